/* What the three files of the C program share. */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>

/* Nanoseconds of the monotonic clock. */
uint64_t clock_ns(void);

/* Memory that does not come from the malloc under test. */
void *pages(uint64_t bytes);

/* Does its operations once and returns what they cost in nanoseconds. */
typedef uint64_t (*timed_pass)(void);

/* Loads a prepared trace; its operations in a pass; a pass that prints the footprint over time. */
timed_pass replay_load(const char *file);
uint64_t replay_operations(void);
void replay_verify(void);

/* Makes one of the small loads ready; its operations in a pass. */
timed_pass micro_prepare(const char *work);
uint64_t micro_operations(void);

/* Prints what a block of so many bytes costs in memory. */
void blocks(uint32_t size);

#endif
