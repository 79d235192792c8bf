/* What a block costs in memory, as block-costs.ts has it. */
#define _GNU_SOURCE
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NEIGHBOURS = 1000, LIVE = 1000000, LINE = 64 };

static uint64_t resident_bytes(void) {
  unsigned long long all = 0, resident = 0;
  FILE *status = fopen("/proc/self/statm", "r");
  if (status == NULL || fscanf(status, "%llu %llu", &all, &resident) != 2) return 0;
  fclose(status);
  return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int by_address(const void *a, const void *b) {
  uintptr_t first = *(const uintptr_t *)a, second = *(const uintptr_t *)b;
  return first < second ? -1 : first > second;
}

void blocks(uint32_t size) {
  uintptr_t *table = pages(LIVE * sizeof *table);
  memset(table, 1, LIVE * sizeof *table);
  resident_bytes();
  uint64_t before = resident_bytes();
  for (uint32_t i = 0; i < LIVE; i++) {
    char *block = malloc(size);
    for (uint32_t at = 0; at < size; at += LINE) ((volatile char *)block)[at] = 1;
    table[i] = (uintptr_t)block;
  }
  uint64_t after = resident_bytes();
  uintptr_t distances[NEIGHBOURS];
  memcpy(distances, table, sizeof distances);
  qsort(distances, NEIGHBOURS, sizeof *distances, by_address);
  for (uint32_t i = 0; i + 1 < NEIGHBOURS; i++) distances[i] = distances[i + 1] - distances[i];
  qsort(distances, NEIGHBOURS - 1, sizeof *distances, by_address);
  printf("{\"distance\":%llu,\"jsHeap\":0,\"resident\":%.2f}\n", (unsigned long long)distances[(NEIGHBOURS - 1) / 2],
         (double)(after - before) / LIVE);
}
