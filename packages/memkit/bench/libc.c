/* The C library's malloc under the loads of against-libc.mjs: `libc <load>` prints nanoseconds of processor time for one turn. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LIVE = 10000, SIZE = 64, TURNS = 100000, PASSES = 60, LARGE = 65536 };

static void *live[LIVE];
static uint32_t state = 2463534242u;
static char *large;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static uint32_t below(uint32_t limit) {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return (uint32_t)(((uint64_t)state * limit) >> 32);
}

static void pairs(void) {
  for (int i = 0; i < TURNS; i++) free(malloc(SIZE));
}

static void replace(void) {
  for (int i = 0; i < TURNS; i++) {
    uint32_t slot = below(LIVE);
    free(live[slot]);
    live[slot] = malloc(SIZE);
  }
}

static void zero(void) {
  for (int i = 0; i < TURNS / 100; i++) {
    memset(large, 0, LARGE);
    __asm__ volatile("" : : "r"(large) : "memory");
  }
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  const char *load = argc > 1 ? argv[1] : "";
  void (*pass)(void) = strcmp(load, "pairs") == 0 ? pairs : strcmp(load, "replace") == 0 ? replace : zero;
  double turns = pass == zero ? TURNS / 100 : TURNS;
  double times[PASSES];
  for (int i = 0; i < LIVE; i++) live[i] = malloc(SIZE);
  large = malloc(LARGE);
  for (int i = 0; i < PASSES; i++) {
    double start = now();
    pass();
    times[i] = (now() - start) / turns;
  }
  qsort(times + PASSES / 2, PASSES / 2, sizeof *times, compare);
  printf("%.3f\n", times[PASSES / 2 + PASSES / 4]);
  return 0;
}
