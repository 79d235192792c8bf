/**
 * The contract between allocators and what stands on them.
 *
 * @module
 */
import type { Heap } from "./heap.ts";
import type { Ptr } from "./ptr.ts";
import type { HeapBuffer } from "./views.ts";

/**
 * Serves blocks of one heap. Three methods are required; the optional three are derived by {@link calloc},
 * {@link realloc} and {@link alignedAlloc} where an allocator has no better way of its own.
 *
 * Out of memory is a result (`NULL`); misuse throws a `HeapError` and changes nothing.
 */
export interface Allocator {
  /** The heap whose bytes the pointers are offsets of. */
  readonly heap: Heap<HeapBuffer>;
  /**
   * @param size - payload bytes, a whole number from 0; 0 gives a distinct block of the smallest size
   * @returns the payload, or `NULL` when there is no memory
   */
  malloc(size: number): Ptr;
  /** @param ptr - a live payload of this allocator; `NULL` does nothing */
  free(ptr: Ptr): void;
  /**
   * @param ptr - a live payload of this allocator
   * @returns the bytes that may be written there, at least what was asked for
   */
  usableSize(ptr: Ptr): number;
  calloc?(count: number, size: number): Ptr;
  realloc?(ptr: Ptr, size: number): Ptr;
  alignedAlloc?(alignment: number, size: number): Ptr;
}
