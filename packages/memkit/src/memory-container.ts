/**
 * The document's MemoryContainer: what pointers refer to. The fields of C are read from the heap.
 *
 * @module
 */
import { type Allocator, asPtr, type Heap, type HeapBuffer, type Ptr } from "@heapwright/core";

import {
  alignmentShiftOf,
  attachedBacking,
  type BackingOptions,
  backingOf,
  expectHeap,
  MEM_ALIGNMENT,
} from "./backing.ts";
import { blockOf, freeContainer, makeContainer, roundedUp, slotOf } from "./container-block.ts";
import { CONTAINER, LEAST_ALIGNMENT_SHIFT_BITS, NO_SLOT } from "./layout.ts";
import {
  badArgument,
  doubleFree,
  isCount,
  MemoryError,
  outOfMemory,
  overflow,
  refused,
  show,
  usedAfterFree,
} from "./memory-error.ts";
import { reportOom } from "./oom-handler.ts";

const { offsets } = CONTAINER;
const SIZE = offsets.size >>> 2;
const REFS = offsets.refs >>> 2;
const STAMP = offsets.stamp >>> 2;
const RECORD_BYTES = 24;
const SIZE_LIMIT_BYTES = 2 ** 32;
const MAX_ADDRESS = 0xffff_ffff_ffff_ffffn;

/**
 * A block of zeroed memory with an identity and a count of references, in a pool or by itself.
 *
 * The object is a handle. It remembers a stamp, and is refused with `ERR_USE_AFTER_FREE` once the container has been
 * freed, has become an orphan or is used again.
 */
export class MemoryContainer {
  /** Serves the block. */
  declare readonly backing: Allocator;
  /** The container in its heap: `attach` opens the same one by it. */
  declare readonly handle: Ptr;
  /** @internal */
  declare readonly stamp: number;

  /**
   * Makes a container that is in no pool, with a count of 1.
   *
   * @param address - its identity, 0 to 2^64 - 1
   * @param size - bytes, a whole number from 1; rounded up to the alignment
   * @param options - where the block comes from, and its alignment
   * @throws HeapError `ERR_OUT_OF_MEMORY`, after the handler has been told; `ERR_INVALID_ARGUMENT`
   */
  constructor(address: bigint, size: number, options?: BackingOptions);
  /** @internal */
  constructor(life: Life, handle: Ptr);
  constructor(first: bigint | Life, second: number, options?: BackingOptions) {
    const isOpened = first instanceof Life;
    const backing = isOpened ? first.backing : backingOf("new MemoryContainer", options);
    this.backing = backing;
    this.handle = asPtr(isOpened ? second : make(first, second, backing, options));
    this.stamp = isOpened ? first.stamp : backing.heap.u32[(this.handle >>> 2) + STAMP]!;
  }

  /**
   * Opens a container that is in a heap already.
   *
   * @param heap - where it is
   * @param handle - what its `handle` gave
   * @param options - with the backing that it was made on, where that is not the heap itself
   * @throws HeapError `ERR_INVALID_POINTER` when there is no container, `ERR_INVALID_ARGUMENT` for wrong types
   */
  static attach(heap: Heap<HeapBuffer>, handle: Ptr, options?: BackingOptions): MemoryContainer {
    const call = "MemoryContainer.attach";
    const backing = attachedBacking(call, heap, options);
    expectHeap(call, heap);
    if (typeof handle !== "number") throw badArgument(call, "the handle", handle, "a container's handle");
    if (!isContainer(backing, handle)) {
      const finding = "no container there; pass what `handle` of one gave";
      throw new MemoryError("ERR_INVALID_POINTER", `${call}(${show(handle)}): ${finding}`, handle);
    }
    return new MemoryContainer(new Life(backing, backing.heap.u32[(handle >>> 2) + STAMP]!), handle);
  }

  /** The heap whose bytes `data` is an offset of. */
  get heap(): Heap<HeapBuffer> {
    return this.backing.heap;
  }

  /** Its identity: FNV-1a of the name that it was allocated for. 0n of an orphan, which has none. */
  get address(): bigint {
    const u32 = this.expectAlive("address");
    return u32[(this.handle >>> 2) + REFS] === 0 ? 0n : this.heap.u64[this.handle >>> 3]!;
  }

  /** Bytes of the data, rounded up to the alignment. */
  get size(): number {
    return this.expectAlive("size")[(this.handle >>> 2) + SIZE]!;
  }

  /** How many references there are. 0 of an orphan. */
  get ref_count(): number {
    return this.expectAlive("ref_count")[(this.handle >>> 2) + REFS]! | 0;
  }

  /** The first byte of the data. */
  get data(): Ptr {
    this.expectAlive("data");
    return asPtr(this.handle + RECORD_BYTES);
  }

  /**
   * Frees a container that is in no pool, all 0, whoever refers to it.
   *
   * @throws HeapError `ERR_INVALID_ARGUMENT` for one that is in a pool, `ERR_DOUBLE_FREE` the second time
   */
  destroy(): void {
    const { u32 } = this.heap;
    if (!this.isAlive) throw doubleFree("destroy", "container", this.handle);
    if (slotOf(u32, this.handle) !== NO_SLOT) {
      throw refused("destroy", "the container is in a pool; remove it there first", this.handle);
    }
    freeContainer(this.backing, this.handle);
  }

  /** As `destroy`, for `using`; harmless when the container is gone or belongs to a pool. */
  [Symbol.dispose](): void {
    if (this.isAlive && slotOf(this.heap.u32, this.handle) === NO_SLOT) this.destroy();
  }

  /** @internal Whether it is still the one that this object was made for. */
  get isAlive(): boolean {
    return this.heap.u32[(this.handle >>> 2) + STAMP] === this.stamp;
  }

  /** @internal The heap's words, after a look at the stamp. */
  expectAlive(call: string): Uint32Array {
    const { u32 } = this.heap;
    if (u32[(this.handle >>> 2) + STAMP] !== this.stamp) throw usedAfterFree(call, "container", this.handle);
    return u32;
  }
}

/** Tells the constructor that the container is there already, and which of its lives is meant. */
export class Life {
  readonly backing: Allocator;
  readonly stamp: number;
  constructor(backing: Allocator, stamp: number) {
    this.backing = backing;
    this.stamp = stamp;
  }
}

/** Whether a container seems to lie at an address. */
function isContainer(backing: Allocator, at: number): boolean {
  const { u32 } = backing.heap;
  if (at >>> 0 !== at || at % MEM_ALIGNMENT !== 0 || at === 0 || ((u32[(at >>> 2) + STAMP] ?? 0) & 1) === 0)
    return false;
  try {
    const block = blockOf(u32, at);
    return backing.usableSize(asPtr(block)) >= at - block + RECORD_BYTES + u32[(at >>> 2) + SIZE]!;
  } catch {
    return false;
  }
}

function make(address: unknown, size: unknown, backing: Allocator, options: BackingOptions | undefined): number {
  const call = "new MemoryContainer";
  if (typeof address !== "bigint" || address < 0n || address > MAX_ADDRESS) {
    throw badArgument(call, "address", address, "a BigInt from 0n to 2n ** 64n - 1n");
  }
  if (!isCount(size) || size === 0) throw badArgument(call, "size", size, "a whole number of bytes from 1");
  const shift = alignmentShiftOf(call, options) || LEAST_ALIGNMENT_SHIFT_BITS;
  const rounded = roundedUp(size, shift);
  if (rounded >= SIZE_LIMIT_BYTES) throw overflow(call, size);
  const container = makeContainer(backing, rounded, shift);
  if (container === 0) {
    reportOom(rounded);
    throw outOfMemory(call, rounded);
  }
  const { u32 } = backing.heap;
  u32[container >>> 2] = Number(address & 0xffff_ffffn);
  u32[(container >>> 2) + 1] = Number(address / 0x1_0000_0000n);
  return container;
}
