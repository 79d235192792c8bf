/* What the three files of the C program share. */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>

/* Nanoseconds of the monotonic clock. */
uint64_t clock_ns(void);

/* Memory that does not come from the malloc under test. */
void *pages(uint64_t bytes);

/* Loads a prepared trace; then one timed pass over it, and one that prints its footprint over time. */
void replay_load(const char *file);
uint64_t replay_pass(void);
uint64_t replay_operations(void);
void replay_verify(void);

#endif
