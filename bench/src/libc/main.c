/*
 * The C library's malloc behind the same line protocol as child.ts: load, micro, verify, run, blocks.
 * Its buffers are static and its tables mapped, so that the heap holds the blocks of the load and nothing else.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

static char input_buffer[1 << 16];
static char output_buffer[1 << 16];
static char line[1 << 13];

static timed_pass pass;
static uint64_t operations;

uint64_t clock_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Nanoseconds that the process has had of the processors. */
static uint64_t cpu_ns(void) {
  struct timespec used;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

void *pages(uint64_t bytes) {
  void *address = mmap(NULL, bytes == 0 ? 1 : bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) {
    perror("mmap");
    exit(1);
  }
  return address;
}

/* Passes until the time is up, at least one; the first counts only when it is the only one. */
static void run(double milliseconds) {
  uint64_t used = cpu_ns();
  uint64_t end = clock_ns() + (uint64_t)(milliseconds * 1e6);
  uint64_t spent = pass();
  uint64_t passes = 1;
  while (clock_ns() < end) {
    if (passes == 1) spent = 0;
    spent += pass();
    passes++;
  }
  uint64_t counted = passes > 1 ? passes - 1 : 1;
  used = cpu_ns() - used;
  printf("{\"nanoseconds\":%.4f,\"cpuNanoseconds\":%.4f,\"passes\":%llu}\n",
         (double)spent / ((double)counted * (double)operations), (double)used / ((double)passes * (double)operations),
         (unsigned long long)passes);
}

int main(void) {
  setvbuf(stdin, input_buffer, _IOFBF, sizeof input_buffer);
  setvbuf(stdout, output_buffer, _IOFBF, sizeof output_buffer);
  while (fgets(line, sizeof line, stdin) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "load ", 5) == 0) {
      pass = replay_load(line + 5);
      operations = replay_operations();
      puts("null");
    } else if (strncmp(line, "micro ", 6) == 0) {
      pass = micro_prepare(line + 6);
      operations = micro_operations();
      puts("null");
    } else if (strncmp(line, "verify ", 7) == 0) {
      replay_verify();
    } else if (strncmp(line, "blocks ", 7) == 0) {
      blocks((uint32_t)atoi(line + 7));
    } else if (strncmp(line, "run ", 4) == 0 && pass != NULL) {
      run(atof(line + 4));
    } else {
      fprintf(stderr, "unknown command \"%s\"\n", line);
      return 1;
    }
    fflush(stdout);
  }
  return 0;
}
