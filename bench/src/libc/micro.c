/* The small loads of micro.ts: the same choices, drawn by the same generator in the same order. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAIRS = 10000, STEPS = 4096, CHOICES = 1 << 20, LINE = 64, MIN_SIZE = 16, MAX_SIZE = 512 };

static uint32_t state = 2463534242u;
static uint32_t size, count, first;
static uint32_t *order, *slots, *sizes;
static void **table;
static uint64_t operations;

static uint32_t below(uint32_t limit) {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state % limit;
}

static uint32_t random_size(void) { return MIN_SIZE + below(MAX_SIZE - MIN_SIZE + 1); }

/* A constant for each of the loops below, so that the untouched ones have no branch. */
static inline void *allocate(uint32_t bytes, int touched) {
  char *block = malloc(bytes);
  if (touched)
    for (uint32_t at = 0; at < bytes; at += LINE) ((volatile char *)block)[at] = 1;
  return block;
}

static inline uint64_t pairs_of(int touched) {
  uint64_t start = clock_ns();
  for (uint32_t i = 0; i < PAIRS; i++) free(allocate(size, touched));
  return clock_ns() - start;
}

static inline uint64_t batch_of(int touched) {
  uint64_t start = clock_ns();
  for (uint32_t i = 0; i < count; i++) table[i] = allocate(size, touched);
  for (uint32_t i = 0; i < count; i++) free(table[order[i]]);
  return clock_ns() - start;
}

static inline uint64_t replacing_of(int touched) {
  uint32_t end = first + STEPS;
  uint64_t start = clock_ns();
  for (uint32_t i = first; i < end; i++) {
    uint32_t slot = slots[i];
    free(table[slot]);
    table[slot] = allocate(sizes[i], touched);
  }
  uint64_t spent = clock_ns() - start;
  first = end % CHOICES;
  return spent;
}

static uint64_t pairs(void) { return pairs_of(0); }
static uint64_t pairs_touched(void) { return pairs_of(1); }
static uint64_t batch(void) { return batch_of(0); }
static uint64_t batch_touched(void) { return batch_of(1); }
static uint64_t replacing(void) { return replacing_of(0); }
static uint64_t replacing_touched(void) { return replacing_of(1); }

static uint64_t growth(void) {
  uint64_t start = clock_ns();
  for (uint32_t i = 0; i < count; i++) table[i] = NULL;
  for (uint32_t bytes = MIN_SIZE; bytes <= size; bytes += bytes / 2) {
    for (uint32_t i = 0; i < count; i++) table[i] = table[i] == NULL ? malloc(bytes) : realloc(table[i], bytes);
  }
  for (uint32_t i = 0; i < count; i++) free(table[i]);
  return clock_ns() - start;
}

static void prepare_growth(void) {
  table = pages((uint64_t)count * sizeof *table);
  uint64_t steps = 0;
  for (uint32_t bytes = MIN_SIZE; bytes <= size; bytes += bytes / 2) steps++;
  operations = count * (steps + 1);
}

static void prepare_batch(const char *name) {
  order = pages((uint64_t)count * sizeof *order);
  table = pages((uint64_t)count * sizeof *table);
  for (uint32_t i = 0; i < count; i++) order[i] = strcmp(name, "lifo") == 0 ? count - 1 - i : i;
  if (strcmp(name, "random") != 0) return;
  for (uint32_t i = count - 1; i > 0; i--) {
    uint32_t j = below(i + 1);
    uint32_t swapped = order[i];
    order[i] = order[j];
    order[j] = swapped;
  }
}

/* Blocks of `size`, or of random sizes where that is 0. */
static void prepare_replacing(void) {
  table = pages((uint64_t)count * sizeof *table);
  slots = pages((uint64_t)CHOICES * sizeof *slots);
  sizes = pages((uint64_t)CHOICES * sizeof *sizes);
  for (uint32_t i = 0; i < count; i++) table[i] = malloc(size > 0 ? size : random_size());
  for (uint32_t i = 0; i < CHOICES; i++) slots[i] = below(count);
  for (uint32_t i = 0; i < CHOICES; i++) sizes[i] = size > 0 ? size : random_size();
}

uint64_t micro_operations(void) { return operations; }

timed_pass micro_prepare(const char *work) {
  char name[16];
  int touched = strncmp(work, "touched ", 8) == 0;
  if (touched) work += 8;
  if (sscanf(work, "pairs %u", &size) == 1) {
    operations = 2 * PAIRS;
    return touched ? pairs_touched : pairs;
  }
  if (sscanf(work, "batch %u %u %15s", &size, &count, name) == 3) {
    operations = 2 * (uint64_t)count;
    prepare_batch(name);
    return touched ? batch_touched : batch;
  }
  if (sscanf(work, "grow %u %u", &count, &size) == 2) {
    prepare_growth();
    return growth;
  }
  size = 0;
  if (sscanf(work, "replace %u %u", &size, &count) == 2 || sscanf(work, "mixed %u", &count) == 1) {
    operations = 2 * STEPS;
    prepare_replacing();
    return touched ? replacing_touched : replacing;
  }
  fprintf(stderr, "no such work: \"%s\"\n", work);
  exit(1);
}
