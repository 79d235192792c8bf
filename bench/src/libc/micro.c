/* The small loads of micro.ts: the same choices, drawn by the same generator in the same order. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAIRS = 10000, STEPS = 4096, CHOICES = 1 << 20, MIN_SIZE = 16, MAX_SIZE = 512 };

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

static uint64_t pairs(void) {
  uint64_t start = clock_ns();
  for (uint32_t i = 0; i < PAIRS; i++) free(malloc(size));
  return clock_ns() - start;
}

static uint64_t batch(void) {
  uint64_t start = clock_ns();
  for (uint32_t i = 0; i < count; i++) table[i] = malloc(size);
  for (uint32_t i = 0; i < count; i++) free(table[order[i]]);
  return clock_ns() - start;
}

static uint64_t mixed(void) {
  uint32_t end = first + STEPS;
  uint64_t start = clock_ns();
  for (uint32_t i = first; i < end; i++) {
    uint32_t slot = slots[i];
    free(table[slot]);
    table[slot] = malloc(sizes[i]);
  }
  uint64_t spent = clock_ns() - start;
  first = end % CHOICES;
  return spent;
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

static void prepare_mixed(void) {
  table = pages((uint64_t)count * sizeof *table);
  slots = pages((uint64_t)CHOICES * sizeof *slots);
  sizes = pages((uint64_t)CHOICES * sizeof *sizes);
  for (uint32_t i = 0; i < count; i++) table[i] = malloc(random_size());
  for (uint32_t i = 0; i < CHOICES; i++) slots[i] = below(count);
  for (uint32_t i = 0; i < CHOICES; i++) sizes[i] = random_size();
}

uint64_t micro_operations(void) { return operations; }

timed_pass micro_prepare(const char *work) {
  char name[16];
  if (sscanf(work, "pairs %u", &size) == 1) {
    operations = 2 * PAIRS;
    return pairs;
  }
  if (sscanf(work, "batch %u %u %15s", &size, &count, name) == 3) {
    operations = 2 * (uint64_t)count;
    prepare_batch(name);
    return batch;
  }
  if (sscanf(work, "mixed %u", &count) == 1) {
    operations = 2 * STEPS;
    prepare_mixed();
    return mixed;
  }
  fprintf(stderr, "no such work: \"%s\"\n", work);
  exit(1);
}
