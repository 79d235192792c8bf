/*
 * The loads of against-libc.mjs on the C library's malloc and free: the same choices, drawn by the same generator in the
 * same order. Usage: libc <load> <milliseconds>; prints nanoseconds of the processor per allocate or free.
 */
#define _POSIX_C_SOURCE 199309L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COUNT = 10000, SIZE = 64, STEPS = 1 << 20, MIN_RUN = 2, MAX_RUN = 8 };

static uint32_t state = 2463534242u;
static uint32_t order[COUNT], slots[STEPS], sizes[STEPS];
static void *table[COUNT];

static uint32_t below(uint32_t limit) {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state % limit;
}

static uint32_t run_size(void) { return (MIN_RUN + below(MAX_RUN - MIN_RUN + 1)) * SIZE; }

static double nanoseconds(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void pairs(void) {
  for (uint32_t i = 0; i < COUNT; i++) free(malloc(SIZE));
}

static void batch(void) {
  for (uint32_t i = 0; i < COUNT; i++) table[i] = malloc(SIZE);
  for (uint32_t i = 0; i < COUNT; i++) free(table[order[i]]);
}

static void runs(void) {
  static uint32_t step;
  for (uint32_t i = 0; i < COUNT; i++) {
    uint32_t slot = slots[step];
    free(table[slot]);
    table[slot] = malloc(sizes[step]);
    step = (step + 1) % STEPS;
  }
}

int main(int argc, char **argv) {
  if (argc < 3) return 1;
  const char *load = argv[1];
  void (*pass)(void) = batch;
  if (strcmp(load, "pairs") == 0) pass = pairs;
  if (strcmp(load, "runs") == 0) pass = runs;
  for (uint32_t i = 0; i < COUNT; i++) order[i] = strcmp(load, "lifo") == 0 ? COUNT - 1 - i : i;
  if (strcmp(load, "random") == 0) {
    for (uint32_t i = COUNT - 1; i > 0; i--) {
      uint32_t j = below(i + 1);
      uint32_t swapped = order[i];
      order[i] = order[j];
      order[j] = swapped;
    }
  }
  if (strcmp(load, "runs") == 0) {
    for (uint32_t i = 0; i < COUNT; i++) table[i] = malloc(run_size());
    for (uint32_t i = 0; i < STEPS; i++) slots[i] = below(COUNT);
    for (uint32_t i = 0; i < STEPS; i++) sizes[i] = run_size();
  }
  /* The first third warms up. */
  double limit = atof(argv[2]) * 1e6, begin = nanoseconds(CLOCK_MONOTONIC), spent = 0;
  uint32_t passes = 0;
  while (nanoseconds(CLOCK_MONOTONIC) - begin < limit / 3) pass();
  spent = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
  do {
    pass();
    passes++;
  } while (nanoseconds(CLOCK_MONOTONIC) - begin < limit);
  spent = nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - spent;
  printf("%.4f\n", spent / (2.0 * COUNT * passes));
  return 0;
}
