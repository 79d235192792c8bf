/**
 * The document's API, under the document's names.
 *
 * @module
 */
import type { Ptr } from "@heapwright/core";

import { Sample, type SampleOptions } from "./sample-allocator.ts";

/**
 * Makes an allocator.
 *
 * @param options - where the memory comes from
 * @returns the allocator
 * @throws HeapError `ERR_OUT_OF_MEMORY`
 */
export function sample_init(options?: SampleOptions): Sample {
  return new Sample(options);
}

/**
 * Gets a block.
 *
 * @param allocator - made by `sample_init`
 * @param size - bytes, a whole number from 0
 * @returns the block; `NULL` when memory is exhausted
 * @throws HeapError `ERR_INVALID_ARGUMENT`, `ERR_DESTROYED`
 */
export function sample_alloc(allocator: Sample, size: number): Ptr {
  return allocator.malloc(size);
}

/**
 * Gives a block back.
 *
 * @param allocator - made by `sample_init`
 * @param ptr - a live block of it; `NULL` does nothing
 * @throws HeapError `ERR_DOUBLE_FREE`, `ERR_INVALID_POINTER`, `ERR_DESTROYED`; nothing has changed then
 */
export function sample_free(allocator: Sample, ptr: Ptr): void {
  allocator.free(ptr);
}
