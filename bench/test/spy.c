/*
 * Stands in for the C library's malloc: numbers blocks 1, 2, 3 and writes each call to the file that SPY_LOG names. The
 * program is compiled with malloc, free and realloc defined as these.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uintptr_t blocks;

static FILE *out(void) {
  static FILE *file;
  if (file == NULL) file = fopen(getenv("SPY_LOG"), "w");
  return file;
}

void *spy_malloc(size_t size) {
  fprintf(out(), "malloc %zu\n", size);
  return (void *)++blocks;
}

void spy_free(void *block) { fprintf(out(), "free %llu\n", (unsigned long long)(uintptr_t)block); }

void *spy_realloc(void *block, size_t size) {
  fprintf(out(), "realloc %llu %zu\n", (unsigned long long)(uintptr_t)block, size);
  return (void *)++blocks;
}
