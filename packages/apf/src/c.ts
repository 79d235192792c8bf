/**
 * C's names over the default allocator, for programs that come from C. Importing this changes nothing for others; that is
 * what `@heapwright/apf/global` does.
 *
 * @module
 */
import { globalAllocator, isPowerOfTwo, NULL, type Ptr, ptr as pointer } from "@heapwright/core";

import { expectNumber, nullFor } from "./answers.ts";
import { do_aligned_alloc, do_free, do_malloc, do_realloc } from "./apfmalloc.ts";
import { defaultAllocator } from "./default-allocator.ts";

/** What `posix_memalign` gives: EINVAL, an alignment that is none. */
const EINVAL = 22;
/** ENOMEM, no memory or nowhere to write the result. */
const ENOMEM = 12;
/** An alignment for `posix_memalign` is a multiple of a C pointer, 8 bytes in the original. */
const POINTER_BYTES = 8;

/**
 * Allocates, its bytes undefined.
 *
 * @param size - bytes
 * @returns the block; `NULL` when there is no memory
 * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but a number
 */
export function malloc(size: number): Ptr {
  return do_malloc(size);
}

/**
 * Allocates zeroed memory for an array.
 *
 * @param count - elements
 * @param size - bytes of each
 * @returns the block, all zero; `NULL` when there is no memory, when the product overflows, and for numbers that are no sizes
 * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but numbers
 */
export function calloc(count: number, size: number): Ptr {
  expectNumber("calloc", "count", count);
  expectNumber("calloc", "size", size);
  try {
    return defaultAllocator().calloc(count, size);
  } catch (error) {
    return nullFor(error);
  }
}

/**
 * Changes a block's size, and moves it where that takes it.
 *
 * @param ptr - a block, or `NULL`
 * @param size - bytes
 * @returns the block, moved or not; `NULL` when there is no memory or no such block
 * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but numbers
 */
export function realloc(ptr: Ptr, size: number): Ptr {
  return do_realloc(ptr, size);
}

/**
 * Gives a block back.
 *
 * @param ptr - a block; `NULL` does nothing
 * @throws HeapError `ERR_DOUBLE_FREE`, `ERR_INVALID_POINTER`, `ERR_INVALID_ARGUMENT`
 */
export function free(ptr: Ptr): void {
  do_free(ptr);
}

/**
 * Allocates at a multiple of `alignment`.
 *
 * @param alignment - bytes, a power of two
 * @param size - bytes, a multiple of the alignment
 * @returns the block; `NULL` when there is no memory, and for anything else
 * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but numbers
 */
export function aligned_alloc(alignment: number, size: number): Ptr {
  const ptr = do_aligned_alloc(alignment, size);
  if (ptr === NULL || size % alignment === 0) return ptr;
  do_free(ptr);
  return NULL;
}

/**
 * Allocates at a multiple of an alignment, and writes the pointer where it is told to.
 *
 * @param memptr - where the pointer is to lie: 4 bytes of the default heap
 * @param alignment - bytes, a power of two and a multiple of 8
 * @param size - bytes
 * @returns 0; 22 (EINVAL) for another alignment, 12 (ENOMEM) when there is no memory, and when `memptr` is `NULL`: nothing is
 * written then
 * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but numbers, `ERR_INVALID_POINTER` for a `memptr` where no pointer fits
 */
export function posix_memalign(memptr: Ptr, alignment: number, size: number): 0 | 12 | 22 {
  for (const [name, value] of Object.entries({ memptr, alignment, size })) expectNumber("posix_memalign", name, value);
  if (memptr === NULL) return ENOMEM;
  const { heap } = defaultAllocator();
  // Whether there is room for the result is found out before anything is done.
  pointer.read(heap, memptr);
  const isWhole = alignment >>> 0 === alignment;
  if (!isWhole || alignment % POINTER_BYTES !== 0 || !isPowerOfTwo(alignment)) return EINVAL;
  const block = do_aligned_alloc(alignment, size);
  if (block === NULL) return ENOMEM;
  pointer.write(heap, memptr, block);
  return 0;
}

/** 1 while apf serves every package that names no allocator, otherwise 0. */
export function check_override(): 0 | 1 {
  return globalAllocator() === defaultAllocator() ? 1 : 0;
}
