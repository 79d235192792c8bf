/**
 * The pool as its users know it: makes or opens a private one or, in a shared heap, one for several workers.
 *
 * @module
 */
import { type Heap, type HeapBuffer, type Ptr, SharedHeap } from "@heapwright/core";

import { isOpened, makePool, type MempoolOptions, type Opened, openPool } from "./control.ts";
import { CONTROL, FLAG_SHARED } from "./layout.ts";
import { discardMagazines } from "./magazines.ts";
import { recoverPool } from "./recover.ts";
import { SharedSuballocator } from "./shared-suballocator.ts";
import { Suballocator } from "./suballocator.ts";

const FLAGS = CONTROL.offsets.flags >>> 2;

/**
 * Hands out blocks of one size: what is free at the lowest address first. For single blocks allocate and free are O(1)
 * whatever is live; a request for more takes the lowest run of neighbouring blocks that is long enough. It never grows. In
 * a shared heap all workers that attach to it may use it at once.
 *
 * @example
 * ```ts
 * using pool = new Mempool(1 << 20, 64);
 * const ptr = pool.malloc(48);
 * pool.heap.f64[ptr >>> 3] = 1.5;
 * pool.free(ptr);
 * ```
 */
export class Mempool extends Suballocator {
  /**
   * @param size - bytes of the pool, a whole number from 1; what does not fill a block at its end is not used
   * @param blockSize - bytes of a block, from 1 and less than `size`; rounded up to a multiple of the alignment
   * @param options - where the pool lies
   * @throws HeapError `ERR_INVALID_ARGUMENT` for anything else and when rounding leaves no block, `ERR_OUT_OF_MEMORY` when
   * the backing has no room, `ERR_UNSUPPORTED` for magazines in a private heap
   */
  constructor(size: number, blockSize: number, options?: MempoolOptions);
  /** @internal */
  constructor(opened: Opened);
  constructor(size: number | Opened, blockSize?: number, options?: MempoolOptions) {
    super(isOpened(size) ? size : makePool(size, blockSize, options));
    if (this.heap instanceof SharedHeap) return new SharedSuballocator(this, this.heap);
    const { u32 } = this.heap;
    if ((u32[this.control + FLAGS]! & FLAG_SHARED) === 0) return;
    // An image of a shared heap: the workers are elsewhere, and one may have died in the middle of a call.
    recoverPool(u32, this.control);
    discardMagazines(this.backing, this.control);
    u32[this.control + FLAGS]! ^= FLAG_SHARED;
  }

  /**
   * Opens a pool that is in a heap already.
   *
   * @param heap - where it is; for an external range, where its tables are
   * @param handle - what its `handle` gave
   * @param options - with the backing that it was made on, where that is not the heap itself, and a reporter
   * @throws HeapError `ERR_NOT_A_HEAP` when there is no such pool, `ERR_LAYOUT_VERSION` when it was made by a version with
   * another layout, `ERR_INVALID_ARGUMENT` for another backing than its own and for wrong types
   */
  static attach(heap: Heap<HeapBuffer>, handle: Ptr, options?: Pick<MempoolOptions, "backing" | "report">): Mempool {
    return new Mempool(openPool(heap, handle, options));
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof Suballocator;
  }
}
