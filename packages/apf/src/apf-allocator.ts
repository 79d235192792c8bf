/**
 * What users make: a private allocator or, in a shared heap, one for several workers.
 *
 * @module
 */
import { type Heap, type HeapBuffer, type Ptr, SharedHeap } from "@heapwright/core";

import { type ApfOptions, create, isOpened, open, type Opened } from "./cursor.ts";
import { PrivateAllocator } from "./private-allocator.ts";
import { makePrivate } from "./recover.ts";
import { SharedAllocator } from "./shared-allocator.ts";

/**
 * Hands out blocks of any size from caches of 39 size classes. Allocate and free are O(1) up to 14 KiB, whatever is live;
 * above that they cost what the backing's do.
 *
 * A cache is filled from superblocks, runs of blocks of one class, and gives blocks back to them. How many is the business
 * of a tuner, which aims at a number of allocations per fetch.
 *
 * In a shared heap all workers that attach to it may use it at once. Each has caches, tuners and superblocks of its own; a
 * block that another one frees goes back to its superblock without the lock.
 *
 * @example
 * ```ts
 * using apf = new ApfAllocator({ backing: heap });
 * const ptr = apf.malloc(100);
 * heap.u32[ptr >>> 2] = 42;
 * apf.free(ptr);
 * ```
 */
export class ApfAllocator extends PrivateAllocator {
  /**
   * Makes an allocator; it takes some 3 KiB from its backing, in a shared heap as much for each agent that opens it, and more
   * with the first block of each class.
   *
   * @param options - where from, and how it is tuned
   * @throws HeapError `ERR_OUT_OF_MEMORY` when the backing has no room, `ERR_INVALID_ARGUMENT` for options that are none
   */
  constructor(options?: ApfOptions);
  /** @internal */
  constructor(opened: Opened);
  constructor(options?: ApfOptions | Opened) {
    super(isOpened(options) ? options : create("new ApfAllocator", options));
    if (this.heap instanceof SharedHeap) return new SharedAllocator(this, this.heap);
    // An image of a shared heap: the workers are elsewhere.
    makePrivate(this);
  }

  /**
   * Opens an allocator that is in a heap already.
   *
   * @param heap - where it is
   * @param handle - what its `handle` gave
   * @param options - with the backing that it was made on, where that is not the heap itself
   * @throws HeapError `ERR_NOT_A_HEAP` when there is none, `ERR_LAYOUT_VERSION` when it was made by a version with another
   * layout, `ERR_INVALID_ARGUMENT` for another backing than its own and for wrong types; in a shared heap
   * `ERR_OUT_OF_MEMORY` when there is no room for what an agent keeps of its own, `ERR_WOULD_BLOCK`
   */
  static attach(heap: Heap<HeapBuffer>, handle: Ptr, options?: ApfOptions): ApfAllocator {
    return new ApfAllocator(open("ApfAllocator.attach", heap, handle, options));
  }

  static [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof PrivateAllocator;
  }
}
