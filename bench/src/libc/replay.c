/* Replays a prepared trace (its layout stands in prepared.ts). */
#define _GNU_SOURCE
#include "bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

enum { VERSION = 2, HEADER_WORDS = 5, KIND_BITS = 2, KIND_MASK = 3, SAMPLE_COUNT = 240 };
enum { ALLOCATE = 0, FREE = 1 };

static uint32_t count, id_count, repeats, leftover_count;
static const uint32_t *traffic, *leftovers;
static void **table;

static uint64_t replay_pass(void) {
  uint64_t start = clock_ns();
  for (uint32_t turn = 0; turn < repeats; turn++) {
    for (uint64_t i = 0; i < 2 * (uint64_t)count; i += 2) {
      uint32_t kind = traffic[i] & KIND_MASK;
      uint32_t id = traffic[i] >> KIND_BITS;
      if (kind == ALLOCATE) table[id] = malloc(traffic[i + 1]);
      else if (kind == FREE) free(table[id]);
      else table[id] = realloc(table[id], traffic[i + 1]);
    }
  }
  uint64_t end = clock_ns();
  for (uint32_t i = 0; i < leftover_count; i++) free(table[leftovers[i]]);
  return end - start;
}

timed_pass replay_load(const char *file) {
  int descriptor = open(file, O_RDONLY);
  struct stat status;
  if (descriptor < 0 || fstat(descriptor, &status) != 0) {
    perror(file);
    exit(1);
  }
  const uint32_t *words =
      mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, descriptor, 0);
  if (words == MAP_FAILED || words[0] != VERSION) {
    fprintf(stderr, "%s: not a prepared trace\n", file);
    exit(1);
  }
  close(descriptor);
  id_count = words[1];
  repeats = words[2];
  leftover_count = words[4];
  count = ((uint32_t)(status.st_size / 4) - HEADER_WORDS - leftover_count) / 2;
  traffic = words + HEADER_WORDS;
  leftovers = traffic + 2 * (uint64_t)count;
  table = pages((uint64_t)id_count * sizeof *table);
  return replay_pass;
}

uint64_t replay_operations(void) { return (uint64_t)count * repeats; }

/*
 * Footprint as for the others: from the heap's start to the highest end of a block ever handed out, and what is mapped
 * for single large blocks at the time. Only glibc says enough for that.
 */
#ifdef __GLIBC__
static char *heap_start;
static uint64_t heap_bytes, mapped_bytes, footprint;

static int is_mapped(const char *block) { return block < heap_start || block >= (char *)sbrk(0); }

static void leave(char *block) {
  if (is_mapped(block)) mapped_bytes -= malloc_usable_size(block) + 16;
}

static void enter(char *block) {
  uint64_t usable = malloc_usable_size(block);
  if (is_mapped(block)) mapped_bytes += usable + 16;
  else if ((uint64_t)(block + usable - heap_start) > heap_bytes) heap_bytes = (uint64_t)(block + usable - heap_start);
  if (heap_bytes + mapped_bytes > footprint) footprint = heap_bytes + mapped_bytes;
}

void replay_verify(void) {
  /* Another allocator in its place has its heap elsewhere. */
  int is_own = getenv("LD_PRELOAD") == NULL;
  uint32_t interval = count / SAMPLE_COUNT > 0 ? count / SAMPLE_COUNT : 1;
  uint64_t live = 0;
  uint64_t start = clock_ns();
  uint32_t *held = pages((uint64_t)id_count * sizeof *held);
  heap_start = sbrk(0);
  printf("{\"fault\":null,\"samples\":[");
  for (uint32_t i = 0; i < count; i++) {
    uint32_t kind = traffic[2 * i] & KIND_MASK;
    uint32_t id = traffic[2 * i] >> KIND_BITS;
    uint32_t size = traffic[2 * i + 1];
    if (kind != ALLOCATE && is_own) leave(table[id]);
    live += (uint64_t)size - held[id];
    held[id] = size;
    if (kind == ALLOCATE) table[id] = malloc(size);
    else if (kind == FREE) free(table[id]);
    else table[id] = realloc(table[id], size);
    if (kind != FREE && is_own) enter(table[id]);
    if (i % interval == 0)
      printf("%s[%u,%llu,%llu]", i == 0 ? "" : ",", i, (unsigned long long)live, (unsigned long long)footprint);
  }
  printf("],\"operations\":%u,\"footprint\":%llu,\"milliseconds\":%.3f}\n", count, (unsigned long long)footprint,
         (double)(clock_ns() - start) / 1e6);
}
#else
void replay_verify(void) {
  printf("{\"fault\":null,\"samples\":[],\"operations\":%u,\"footprint\":0,\"milliseconds\":0}\n", count);
}
#endif
