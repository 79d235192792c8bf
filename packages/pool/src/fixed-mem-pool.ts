/**
 * The document's fixed pool: opens a private one or, in a shared heap, one for several workers.
 *
 * @module
 */
import { type Heap, type HeapBuffer, type Ptr, SharedHeap } from "@heapwright/core";

import { FixedPool } from "./fixed-pool.ts";
import { makeFixed } from "./fixed-regions.ts";
import { KIND } from "./layout.ts";
import { isOpened, open, type Opened, type PoolOptions } from "./pool.ts";
import { giveBackAll } from "./magazines.ts";
import { SharedFixedPool } from "./shared-fixed-pool.ts";

/**
 * Hands out blocks of one size. Allocate and free are O(1) whatever is live and however many buffers there are. In a shared
 * heap all workers that attach to it may use it at once.
 *
 * @example
 * ```ts
 * using pool = new FixedMemPool(48, 500);
 * const ptr = pool.malloc();
 * pool.heap.f64[ptr >>> 3] = 1.5;
 * pool.free(ptr);
 * ```
 */
export class FixedMemPool extends FixedPool {
  /**
   * @param blockSize - payload bytes of each block, a whole number from 0; rounded up to a multiple of 16
   * @param increaseCount - blocks of each buffer, a whole number from 1
   * @param options - where the buffers come from
   * @throws HeapError `ERR_INVALID_ARGUMENT` for anything else, `ERR_OUT_OF_MEMORY` when there is no room for the first
   * buffer
   */
  constructor(blockSize: number, increaseCount: number, options?: PoolOptions);
  /** @internal */
  constructor(opened: Opened);
  constructor(blockSize: number | Opened, increaseCount?: number, options?: PoolOptions) {
    super(isOpened(blockSize) ? blockSize : makeFixed(blockSize, increaseCount, options));
    if (this.heap instanceof SharedHeap) return new SharedFixedPool(this, this.heap);
    // An image of a shared heap: the workers are elsewhere.
    giveBackAll(this);
  }

  /**
   * Opens a pool that is in a heap already.
   *
   * @param heap - where it is
   * @param handle - what its `handle` gave
   * @param options - with the backing that it was made on, where that is not the heap itself
   * @throws HeapError `ERR_NOT_A_HEAP` when there is no such pool, `ERR_LAYOUT_VERSION` when it was made by a version with
   * another layout, `ERR_INVALID_ARGUMENT` for another backing than its own and for wrong types
   */
  static attach(heap: Heap<HeapBuffer>, handle: Ptr, options?: PoolOptions): FixedMemPool {
    return new FixedMemPool(open("FixedMemPool.attach", KIND.FIXED, heap, handle, options));
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof FixedPool;
  }
}
