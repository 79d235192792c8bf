/**
 * The allocator. This one hands on to its backing and counts: put your own in its place.
 *
 * @module
 */
import {
  type Allocator,
  globalAllocator,
  type Heap,
  type HeapBuffer,
  HeapError,
  NULL,
  type Ptr,
  SharedHeap,
} from "@heapwright/core";

import { check } from "./check.ts";
import { CONTROL, LAYOUT_VERSION, MAGIC } from "./layout.ts";

/** What an allocator may be told. */
export interface SampleOptions {
  /**
   * Serves the control block and the blocks.
   *
   * @defaultValue the global allocator at the time the allocator is made; for `attach` the heap
   */
  readonly backing?: Allocator;
}

/** What an allocator holds. */
export interface SampleStats {
  /** Blocks that have been handed out and not given back. */
  readonly liveBlocks: number;
}

/**
 * A cursor over a control block: everything that it knows lies in the heap.
 *
 * @example
 * ```ts
 * using allocator = new Sample({ backing: heap });
 * const ptr = allocator.malloc(100);
 * allocator.free(ptr);
 * ```
 */
export class Sample implements Allocator {
  /** The heap whose bytes the pointers are offsets of. */
  readonly heap: Heap<HeapBuffer>;
  /** Serves the control block and the blocks. */
  readonly backing: Allocator;
  #handle: Ptr;

  /**
   * Makes an allocator.
   *
   * @param options - where the memory comes from
   * @throws HeapError `ERR_OUT_OF_MEMORY` when there is no room for the control block, `ERR_UNSUPPORTED` in a shared heap
   */
  constructor(options?: SampleOptions);
  /** @internal */
  constructor(options: SampleOptions | undefined, handle: Ptr);
  constructor({ backing = globalAllocator() }: SampleOptions = {}, handle: Ptr = NULL) {
    // The count is written without a lock.
    if (backing.heap instanceof SharedHeap) {
      throw new HeapError("ERR_UNSUPPORTED", "new Sample: the heap is shared; make it in a private one");
    }
    this.heap = backing.heap;
    this.backing = backing;
    this.#handle = handle === NULL ? make(backing) : handle;
  }

  /**
   * Opens an allocator that is in a heap already.
   *
   * @param heap - where it is
   * @param handle - what its `handle` gave
   * @param options - with the backing that it was made on, where that is not the heap itself
   * @returns the same allocator, through another object
   * @throws HeapError `ERR_NOT_A_HEAP` when there is none, `ERR_LAYOUT_VERSION` when it was made by a version with another
   * layout
   */
  static attach(heap: Heap<HeapBuffer>, handle: Ptr, options: SampleOptions = {}): Sample {
    const { magic, version } = CONTROL.read(heap, handle);
    if (magic !== MAGIC) {
      throw new HeapError("ERR_NOT_A_HEAP", `Sample.attach: no allocator at 0x${handle.toString(16)}`, handle);
    }
    if (version !== LAYOUT_VERSION) {
      const finding = `layout ${version}, this is ${LAYOUT_VERSION}`;
      throw new HeapError("ERR_LAYOUT_VERSION", `Sample.attach: ${finding}; open it with that version`, handle);
    }
    return new Sample({ backing: heap, ...options }, handle);
  }

  /** The control block: `attach` opens the same allocator by it. */
  get handle(): Ptr {
    if (this.#handle === NULL) throw new HeapError("ERR_DESTROYED", "Sample: the allocator is destroyed");
    return this.#handle;
  }

  /**
   * Allocates. As dear as the backing's.
   *
   * @param size - payload bytes, a whole number from 0
   * @returns the payload, its bytes undefined; `NULL` when the backing is full
   * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but a whole number from 0, `ERR_DESTROYED`
   */
  malloc(size: number): Ptr {
    const { handle, heap } = this;
    const ptr = this.backing.malloc(size);
    if (ptr !== NULL) CONTROL.set.live(heap, handle, CONTROL.get.live(heap, handle) + 1);
    return ptr;
  }

  /**
   * Gives a block back. As dear as the backing's.
   *
   * @param ptr - a live block of this allocator; `NULL` does nothing
   * @throws HeapError as the backing's `free` does, and nothing has changed then; `ERR_DESTROYED`
   */
  free(ptr: Ptr): void {
    const { handle, heap } = this;
    this.backing.free(ptr);
    if (ptr !== NULL) CONTROL.set.live(heap, handle, CONTROL.get.live(heap, handle) - 1);
  }

  /**
   * How much may be written into a block.
   *
   * @param ptr - a live block of this allocator
   * @returns bytes, at least what was asked for
   * @throws HeapError as `free` does, for `NULL` too
   */
  usableSize(ptr: Ptr): number {
    return this.backing.usableSize(ptr);
  }

  /** What is live. O(1). */
  stats(): SampleStats {
    return { liveBlocks: CONTROL.get.live(this.heap, this.handle) };
  }

  /**
   * Proves every invariant of the layout. O(blocks of the heap).
   *
   * @throws HeapError `ERR_CORRUPT` that names the one that does not hold, `ERR_DESTROYED`
   */
  check(): void {
    check(this.heap, this.handle);
  }

  /**
   * Gives the control block back; blocks that are live stay allocated in the backing.
   *
   * @throws HeapError `ERR_DESTROYED` the second time
   */
  destroy(): void {
    const { handle } = this;
    this.#handle = NULL;
    // What is left in the freed block makes every other object refuse.
    CONTROL.set.magic(this.heap, handle, 0);
    this.backing.free(handle);
  }

  /** As `destroy`, for `using`; harmless when the allocator is gone. */
  [Symbol.dispose](): void {
    if (this.#handle !== NULL) this.destroy();
  }
}

function make(backing: Allocator): Ptr {
  const handle = backing.malloc(CONTROL.size);
  if (handle === NULL) {
    const finding = `the backing has no room for ${CONTROL.size} bytes`;
    throw new HeapError("ERR_OUT_OF_MEMORY", `new Sample: ${finding}; give it a larger one`);
  }
  CONTROL.write(backing.heap, handle, { magic: MAGIC, version: LAYOUT_VERSION, live: 0, reserved: 0 });
  return handle;
}
