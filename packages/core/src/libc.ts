/**
 * libc's names, over the global allocator.
 *
 * @module
 */
import { alignedAllocFrom, callocFrom, reallocFrom } from "./allocator.ts";
import { globalAllocator } from "./global-allocator.ts";
import type { Ptr } from "./ptr.ts";

/**
 * Allocates.
 *
 * @param size - payload bytes, a whole number from 0
 * @returns the payload, its bytes undefined, or `NULL` when there is no memory
 * @throws HeapError `ERR_INVALID_ARGUMENT` for anything else
 */
export function malloc(size: number): Ptr {
  return globalAllocator().malloc(size);
}

/**
 * Allocates zeroed memory for an array. O(bytes).
 *
 * @param count - elements, a whole number from 0
 * @param size - bytes of each
 * @returns the payload, all zero, or `NULL` when there is no room
 * @throws HeapError `ERR_INVALID_ARGUMENT` for anything else
 */
export function calloc(count: number, size: number): Ptr {
  return callocFrom(globalAllocator(), count, size);
}

/**
 * Changes a block's size, and moves it where that takes it.
 *
 * @param ptr - a live payload, or `NULL`
 * @param size - payload bytes
 * @returns the payload, moved or not, or `NULL` when there is no room and the old block is as it was
 * @throws HeapError as `free` and `malloc` do
 */
export function realloc(ptr: Ptr, size: number): Ptr {
  return reallocFrom(globalAllocator(), ptr, size);
}

/**
 * Gives a block back.
 *
 * @param ptr - a live payload; `NULL` does nothing
 * @throws HeapError `ERR_DOUBLE_FREE` or `ERR_INVALID_POINTER`, and nothing is changed
 */
export function free(ptr: Ptr): void {
  globalAllocator().free(ptr);
}

/**
 * Allocates at a multiple of `alignment`.
 *
 * @param alignment - bytes, a power of two
 * @param size - payload bytes
 * @returns the payload, or `NULL` when there is no room
 * @throws HeapError `ERR_INVALID_ARGUMENT` for anything else
 */
export function aligned_alloc(alignment: number, size: number): Ptr {
  return alignedAllocFrom(globalAllocator(), alignment, size);
}
