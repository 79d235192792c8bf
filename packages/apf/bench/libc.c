/*
 * The loads of against-libc.mjs on the C library's malloc and free: the same choices, drawn by the same generator in the
 * same order. Usage: libc <load> <blocks> <milliseconds>; prints nanoseconds of the processor per allocate or free.
 */
#define _POSIX_C_SOURCE 199309L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PAIR_SIZE = 64, SIZE = 32, MIN_SIZE = 16, MAX_SIZE = 512, STEPS = 1 << 20, TURNS = 1 << 14 };

static uint32_t state = 2463534242u;
static uint32_t count, step, operations;
static uint32_t *order, *slots, *sizes;
static void **table;

static uint32_t below(uint32_t limit) {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state % limit;
}

static uint32_t mixed_size(void) { return MIN_SIZE + below(MAX_SIZE - MIN_SIZE + 1); }

static uint32_t one_size(void) { return SIZE; }

static double nanoseconds(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void pairs(void) {
  for (uint32_t i = 0; i < count; i++) free(malloc(PAIR_SIZE));
}

static void batch(void) {
  for (uint32_t i = 0; i < count; i++) table[i] = malloc(SIZE);
  for (uint32_t i = 0; i < count; i++) free(table[order[i]]);
}

static void replace(void) {
  for (uint32_t i = 0; i < TURNS; i++) {
    uint32_t slot = slots[step];
    free(table[slot]);
    table[slot] = malloc(sizes[step]);
    step = (step + 1) % STEPS;
  }
}

static void prepare_batch(void) {
  order = malloc(count * sizeof *order);
  for (uint32_t i = 0; i < count; i++) order[i] = i;
  for (uint32_t i = count - 1; i > 0; i--) {
    uint32_t j = below(i + 1);
    uint32_t swapped = order[i];
    order[i] = order[j];
    order[j] = swapped;
  }
}

static void prepare_replace(uint32_t (*size)(void)) {
  slots = malloc(STEPS * sizeof *slots);
  sizes = malloc(STEPS * sizeof *sizes);
  for (uint32_t i = 0; i < count; i++) table[i] = malloc(size());
  for (uint32_t i = 0; i < STEPS; i++) slots[i] = below(count);
  for (uint32_t i = 0; i < STEPS; i++) sizes[i] = size();
}

int main(int argc, char **argv) {
  if (argc < 4) return 1;
  const char *load = argv[1];
  void (*pass)(void) = replace;
  count = (uint32_t)atol(argv[2]);
  operations = 2 * TURNS;
  table = malloc(count * sizeof *table);
  if (strcmp(load, "pairs") == 0) {
    pass = pairs;
    operations = 2 * count;
  } else if (strcmp(load, "batch") == 0) {
    pass = batch;
    operations = 2 * count;
    prepare_batch();
  } else {
    prepare_replace(strcmp(load, "mixed") == 0 ? mixed_size : one_size);
  }
  /* The first third warms up. */
  double limit = atof(argv[3]) * 1e6, begin = nanoseconds(CLOCK_MONOTONIC), spent = 0;
  uint32_t passes = 0;
  do pass();
  while (nanoseconds(CLOCK_MONOTONIC) - begin < limit / 3);
  spent = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
  do {
    pass();
    passes++;
  } while (nanoseconds(CLOCK_MONOTONIC) - begin < limit);
  spent = nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - spent;
  printf("%.4f\n", spent / ((double)operations * passes));
  return 0;
}
