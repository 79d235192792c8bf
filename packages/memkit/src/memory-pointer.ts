/**
 * The document's MemoryPointer: a name that refers to a container.
 *
 * @module
 */
import { type Allocator, asPtr, type Heap, type HeapBuffer, NULL, type Ptr } from "@heapwright/core";

import { alignmentShiftOf, attachedBacking, type BackingOptions, backingOf, expectHeap } from "./backing.ts";
import { leaveExact, takeExact, takeSpare } from "./hot-paths.ts";
import { ALIGNMENT_SHIFT_BITS, CONTAINER, POINTER, REST_MASK } from "./layout.ts";
import {
  badArgument,
  callOn,
  doubleFree,
  MemoryError,
  outOfMemory,
  refused,
  show,
  usedAfterFree,
} from "./memory-error.ts";
import { Life, MemoryContainer } from "./memory-container.ts";
import { MemoryPool } from "./memory-pool.ts";
import { KNOWN, KNOWN_BYTES, KNOWN_TURN, learn } from "./names.ts";
import { freeBlock, makeBlock, nameIn, pointerBytes } from "./pointer-block.ts";
import { reopenPool } from "./pool-control.ts";
import type { PoolState } from "./pool-state.ts";
import { allocate, hold, letGo, makeExclusive } from "./references.ts";
import { LAST_STAMP } from "./stamps.ts";

const { offsets } = POINTER;
const STAMP = offsets.stamp >>> 2;
const HELD = offsets.container >>> 2;
const SEEN = offsets.seen >>> 2;
const POOL = offsets.pool >>> 2;
const NAME_BYTES = offsets.nameBytes >>> 2;
const CONTAINER_STAMP = CONTAINER.offsets.stamp >>> 2;
/** Where no pointer lies: beyond the words of any heap. */
const GONE = 0x4000_0000;

/**
 * A smart pointer: it holds one reference to its container, and gives it up when it is destroyed. Its name stands in dumps,
 * errors and reports, and is what its containers have their identity from.
 *
 * @example
 * ```ts
 * const pool = new MemoryPool(16);
 * using buffer = new MemoryPointer("data_buffer");
 * if (!buffer.allocate(1024, pool)) throw new Error("full");
 * ```
 */
export class MemoryPointer {
  /** Serves the pointer's own block. */
  declare readonly backing: Allocator;
  /** @internal Word address of its block: a small integer, wherever that lies. */
  declare word: number;
  /** @internal Signed, so that V8 keeps it in the object. */
  declare readonly stamp: number;
  /** @internal The name's number, see names. */
  declare readonly turn: number;
  /** The name it was given. */
  declare readonly variable_name: string;
  /** @internal The pool of its container as last seen. */
  declare owner: PoolState | undefined;
  /** @internal The handle that `container` gave last. */
  declare cursor: MemoryContainer | undefined;

  /**
   * Makes a pointer that refers to nothing yet.
   *
   * @param name - of the variable, any string
   * @param sizeHint - bytes that it is going to need; not used
   * @param options - where the pointer's own block comes from, and the least alignment of its containers
   * @throws HeapError `ERR_OUT_OF_MEMORY`, after the handler has been told; `ERR_INVALID_ARGUMENT`
   */
  constructor(name: string, sizeHint?: number, options?: BackingOptions);
  /**
   * @internal For a pointer whose block is there already. Nothing is called here between the object and its last field:
   * that is what V8 makes at least cost.
   */
  constructor(name: string, backing: Allocator, word: number, stamp: number, turn: number);
  constructor(
    name: string,
    backing?: Allocator | number,
    word?: number | BackingOptions,
    stamp: number = 0,
    turn: number = -1,
  ) {
    if (turn === -1) return makePointer(name, backing as number, word as BackingOptions);
    this.backing = backing as Allocator;
    this.word = word as number;
    this.stamp = stamp;
    this.turn = turn;
    this.variable_name = name;
    this.owner = undefined;
    this.cursor = undefined;
  }

  /**
   * Opens a pointer that is in a heap already. It is the same one: destroyed once, it is gone for everybody.
   *
   * @param heap - where it is
   * @param handle - what its `handle` gave
   * @param options - with the backing that it was made on, where that is not the heap itself
   * @throws HeapError `ERR_INVALID_POINTER` when there is no pointer, `ERR_INVALID_ARGUMENT` for wrong types
   */
  static attach(heap: Heap<HeapBuffer>, handle: Ptr, options?: BackingOptions): MemoryPointer {
    const call = "MemoryPointer.attach";
    const backing = attachedBacking(call, heap, options);
    expectHeap(call, heap);
    if (typeof handle !== "number") throw badArgument(call, "the handle", handle, "a pointer's handle");
    if (!isPointer(backing, handle)) {
      const finding = "no pointer there; pass what `handle` of one gave";
      throw new MemoryError("ERR_INVALID_POINTER", `${call}(${show(handle)}): ${finding}`, handle);
    }
    const name = nameIn(backing, handle);
    learn(name);
    return new MemoryPointer(name, backing, handle >>> 2, heap.u32[handle >>> 2]! | 0, KNOWN[KNOWN_TURN]!);
  }

  /** The heap that it lies in. */
  get heap(): Heap<HeapBuffer> {
    return this.backing.heap;
  }

  /** @internal */
  get block(): Ptr {
    return asPtr((this.word << 2) >>> 0);
  }

  /** The pointer in its heap: `attach` opens the same one by it. */
  get handle(): Ptr {
    this.expectAlive("handle");
    return this.block;
  }

  /**
   * What it refers to; `null` before `allocate`.
   *
   * @throws HeapError `ERR_USE_AFTER_FREE` when the pointer has been destroyed, or its container under it
   */
  get container(): MemoryContainer | null {
    const u32 = this.expectAlive("container");
    const held = this.heldBy("container");
    if (held === 0) return null;
    const stamp = u32[(held >>> 2) + CONTAINER_STAMP]!;
    if (this.cursor?.handle !== held || this.cursor.stamp !== stamp) {
      const backing = this.livingOwner()?.backing ?? this.backing;
      this.cursor = new MemoryContainer(new Life(backing, stamp), asPtr(held));
    }
    return this.cursor;
  }

  /**
   * Makes sure of a container of at least `size` bytes that is this pointer's own. One that is large enough and not shared
   * stays as it is; otherwise there is another one, the best fitting orphan of the pool or a new one, with the contents up
   * to the smaller of both sizes, and zeros behind. O(bytes).
   *
   * @param size - bytes, a whole number from 1; rounded up to the alignment
   * @param pool - where a new container is from
   * @returns whether there was room; if not, the handler has been told, and the pointer is as it was
   * @throws HeapError `ERR_INVALID_ARGUMENT` for other sizes (`errno` is `EOVERFLOW` where only rounding makes it too large)
   * and for a pool in another heap, `ERR_USE_AFTER_FREE`, `ERR_DESTROYED`
   */
  allocate(size: number, pool: MemoryPool): boolean {
    const state = this.#stateOf("allocate", pool);
    return takeExact(this, size, state) || allocate(this, size, state);
  }

  /**
   * Another pointer to the same container, which then has one reference more. O(1).
   *
   * @param name - of the new variable
   * @returns a pointer with this one's backing and alignment
   * @throws HeapError `ERR_INVALID_ARGUMENT` when there is no container, `ERR_OUT_OF_MEMORY`, `ERR_USE_AFTER_FREE`
   */
  share(name: string): MemoryPointer {
    if (typeof name !== "string") throw badArgument("share", "name", name, "a string");
    const u32 = this.expectAlive("share");
    const held = this.heldBy("share");
    const owner = held === 0 ? undefined : this.livingOwner();
    if (owner === undefined) {
      const finding = held === 0 ? "it has no container yet; allocate one" : "its container's pool has been destroyed";
      throw refused(callOn("share", this.variable_name), finding);
    }
    const shift = u32[this.word + NAME_BYTES]! >>> ALIGNMENT_SHIFT_BITS;
    const options = { backing: this.backing, ...(shift === 0 ? {} : { alignment: 2 ** shift }) };
    const other = new MemoryPointer(name, 0, options);
    // In this order: who dies in between leaves no count that nobody gives up.
    hold(other, held, owner);
    owner.retain(held);
    return other;
  }

  /**
   * Makes the container this pointer's own before its data is written: a shared one is copied first. O(bytes).
   *
   * @param pool - where the copy is from. @defaultValue the container's own pool
   * @returns whether there was room; if not, the handler has been told, and the pointer is as it was
   * @throws HeapError `ERR_INVALID_ARGUMENT` when there is no container, `ERR_USE_AFTER_FREE`, `ERR_DESTROYED`
   */
  write(pool?: MemoryPool): boolean {
    this.expectAlive("write");
    const state = pool === undefined ? (this.livingOwner() ?? this.owner) : this.#stateOf("write", pool);
    if (state === undefined) throw refused(callOn("write", this.variable_name), "it has no container; allocate one");
    return makeExclusive(this, state);
  }

  /**
   * Gives up the reference and frees the pointer, name and all. A container that nobody refers to any more becomes an
   * orphan of its pool, or is freed, as the pool was made. O(bytes of its data).
   *
   * @throws HeapError `ERR_DOUBLE_FREE` the second time
   */
  destroy(): void {
    this.end(true);
  }

  /** As `destroy`, for `using`; harmless when the pointer is gone. */
  [Symbol.dispose](): void {
    if (this.isAlive) this.end(true);
  }

  /**
   * @internal As `destroy`.
   *
   * @param mayKeep - whether the container may become an orphan
   * @param pool - that it may be in, if not in the one that it was allocated from
   */
  end(mayKeep: boolean, pool?: PoolState): void {
    const { owner } = this;
    if (mayKeep && owner !== undefined && leaveExact(this, owner)) return;
    if (!this.isAlive) throw doubleFree(callOn("destroy", this.variable_name), "pointer", this.block);
    letGo(this, mayKeep, pool);
    const { block } = this;
    this.word = GONE;
    this.owner = undefined;
    this.cursor = undefined;
    freeBlock(this.backing, block);
  }

  /** @internal */
  get isAlive(): boolean {
    return (this.heap.u32[this.word + STAMP]! | 0) === this.stamp;
  }

  /** @internal The heap's words, after a look at the stamp. */
  expectAlive(call: string): Uint32Array {
    const { u32 } = this.heap;
    if ((u32[this.word + STAMP]! | 0) !== this.stamp) {
      throw usedAfterFree(callOn(call, this.variable_name), "pointer", this.block);
    }
    return u32;
  }

  /** @internal Whether its container has been freed under it. */
  get isStale(): boolean {
    const { u32 } = this.heap;
    const { word } = this;
    return u32[(u32[word + HELD]! >>> 2) + CONTAINER_STAMP] !== u32[word + SEEN];
  }

  /** @internal The container, 0 when there is none. */
  heldBy(call: string): number {
    const held = this.heap.u32[this.word + HELD]!;
    if (held !== 0 && this.isStale) throw usedAfterFree(callOn(call, this.variable_name), "container", held);
    return held;
  }

  /** @internal The pool of its container, `undefined` when that is gone. */
  livingOwner(): PoolState | undefined {
    const handle = asPtr(this.heap.u32[this.word + POOL]!);
    const { owner } = this;
    if (
      owner !== undefined &&
      owner.handle === handle &&
      (owner.heap === this.heap || owner.heap.buffer === this.heap.buffer)
    ) {
      return owner.isDestroyed ? undefined : owner;
    }
    const found = handle === NULL ? undefined : reopenPool(this.backing, handle);
    this.owner = found ?? owner;
    return found;
  }

  /** The state of a pool that has been initialised, in the heap that the pointer lies in. */
  #stateOf(call: string, pool: MemoryPool): PoolState {
    if (!(pool instanceof MemoryPool)) throw badArgument(call, "pool", pool, "a MemoryPool");
    const state = pool.expectState(call);
    if (state.heap !== this.heap && state.heap.buffer !== this.heap.buffer) {
      throw refused(callOn(call, this.variable_name), "the pool is in another heap than the pointer; use one heap");
    }
    return state;
  }
}

/** @internal As the constructor, which it is called by. */
export function makePointer(name: string, sizeHint: number = 0, options?: BackingOptions): MemoryPointer {
  const call = "new MemoryPointer";
  if (typeof name !== "string") throw badArgument(call, "name", name, "a string");
  if (typeof sizeHint !== "number") throw badArgument(call, "sizeHint", sizeHint, "a number of bytes");
  const backing = backingOf(call, options);
  const shift = alignmentShiftOf(call, options);
  learn(name);
  let word = takeSpare(name, sizeHint, backing, options?.alignment);
  if (word === 0) word = makeBlock(backing, name, shift) >>> 2;
  if (word === 0) throw outOfMemory(call, pointerBytes(KNOWN[KNOWN_BYTES]!));
  return new MemoryPointer(name, backing, word, LAST_STAMP[0]!, KNOWN[KNOWN_TURN]!);
}

/** Whether a pointer seems to lie at an address. */
function isPointer(backing: Allocator, at: number): boolean {
  if (at >>> 0 !== at || at % 8 !== 0 || at === NULL) return false;
  const { u32 } = backing.heap;
  try {
    const nameBytes = u32[(at >>> 2) + NAME_BYTES]! & REST_MASK;
    const isOdd = ((u32[(at >>> 2) + STAMP] ?? 0) & 1) === 1;
    return isOdd && backing.usableSize(asPtr(at)) >= pointerBytes(nameBytes);
  } catch {
    return false;
  }
}
