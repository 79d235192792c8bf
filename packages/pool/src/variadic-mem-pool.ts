/**
 * The document's variadic pool: opens a private one or, in a shared heap, one for several workers.
 *
 * @module
 */
import { type Heap, type HeapBuffer, type Ptr, SharedHeap } from "@heapwright/core";

import { KIND } from "./layout.ts";
import { isOpened, open, type Opened, type PoolOptions } from "./pool.ts";
import { SharedVariadicPool } from "./shared-variadic-pool.ts";
import { makeVariadic } from "./variadic-buffers.ts";
import { VariadicPool } from "./variadic-pool.ts";

/**
 * Hands out blocks of any size by best fit, and merges them when they are given back. Allocate and free are O(1), the one
 * amortised, whatever is live and however many buffers there are. In a shared heap all workers that attach to it may use
 * it at once.
 *
 * @example
 * ```ts
 * using pool = new VariadicMemPool(65_536, 20);
 * const ptr = pool.malloc(100);
 * pool.heap.u32[ptr >>> 2] = 42;
 * pool.free(ptr);
 * ```
 */
export class VariadicMemPool extends VariadicPool {
  /**
   * @param growSize - bytes of each buffer, headers included, a whole number from 0; rounded up to a multiple of 16, and
   * to the block that the buffer is made for
   * @param tolerancePercent - how much larger than asked for a block may be that is handed out whole, in percent of the
   * mean of both; a whole number from 0, of which 101 stands for all above
   * @param options - where the buffers come from
   * @throws HeapError `ERR_INVALID_ARGUMENT` for anything else, `ERR_OUT_OF_MEMORY` when there is no room for the first
   * buffer
   */
  constructor(growSize: number, tolerancePercent: number, options?: PoolOptions);
  /** @internal */
  constructor(opened: Opened);
  constructor(growSize: number | Opened, tolerancePercent?: number, options?: PoolOptions) {
    super(isOpened(growSize) ? growSize : makeVariadic(growSize, tolerancePercent, options));
    if (this.heap instanceof SharedHeap) return new SharedVariadicPool(this, this.heap);
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
  static attach(heap: Heap<HeapBuffer>, handle: Ptr, options?: PoolOptions): VariadicMemPool {
    return new VariadicMemPool(open("VariadicMemPool.attach", KIND.VARIADIC, heap, handle, options));
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof VariadicPool;
  }
}
