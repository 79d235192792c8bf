/**
 * A pool as one agent has it to itself: what is done to array, counts and rings, in steps that are each complete. What
 * takes time (taking blocks, zeroing, copying) is done between the steps, in references, so that a shared pool's lock is
 * held for a step only.
 *
 * @module
 */
import { type Allocator, asPtr, type Heap, type HeapBuffer, type Ptr } from "@heapwright/core";

import { identityOf } from "./backing.ts";
import { freeContainer, slotOf, wipeData } from "./container-block.ts";
import { forgetPool } from "./hot-paths.ts";
import { CONTAINER, FLAG_DEBUG, FLAG_LOCKED, NO_SLOT, POINTER, POOL, POOL_MAGIC } from "./layout.ts";
import { corrupt, destroyed, notFound, refused } from "./memory-error.ts";
import { reportOom } from "./oom-handler.ts";
import { bestOrphan, clearRings, file, unfile } from "./orphans.ts";
import { append, bytesFor, growArray, holds, isSparse, removeAt, shrinkArray } from "./pool-array.ts";
import { disownPointers, listedPointers, listPointer, unlistPointer } from "./pointer-list.ts";
import { REUSE_STEP } from "./stamps.ts";
import { wipe } from "./wipe.ts";

const { offsets } = POOL;
const FLAGS = offsets.flags >>> 2;
const ARRAY = offsets.array >>> 2;
const CAPACITY = offsets.capacity >>> 2;
const COUNT = offsets.count >>> 2;
const MAX_ORPHANS = offsets.maxOrphans >>> 2;
const ORPHANS = offsets.orphans >>> 2;
const SPARE = offsets.spare >>> 2;
const PENDING = offsets.pending >>> 2;
const REFS = CONTAINER.offsets.refs >>> 2;
const STAMP = CONTAINER.offsets.stamp >>> 2;
const RECORD_BYTES = 24;
const NEXT_SPARE = POINTER.offsets.container >>> 2;
const SPARES = POINTER.offsets.seen >>> 2;
/** No container is smaller. */
const SMALLEST_BYTES = 8;
/** The control block of a pool that this object has destroyed: beyond the words of any heap, so that all reads fail. */
const NO_CONTROL = 0x4000_0000;

/** What a debug build is told of while a pool works. */
export interface PoolWatch {
  /** The array has another capacity. */
  resized(from: number, to: number): void;
  /** An orphan is about to be used again. @throws HeapError when it is not as it was left */
  inspect(container: number): void;
  /** It has been, for a variable that wanted `size` bytes. */
  reused(name: string, container: number, size: number): void;
  /** A variable has a container of its own now, with what was in the one it shared or outgrew. */
  copied(name: string, from: number, to: number): void;
  /** A function of the document's API is about to give its failure value. */
  refused(message: string): void;
  /** Containers are in use while their pool is destroyed. */
  leaked(state: PoolState): void;
}

/** A cursor over a pool's control block. What it knows is in the heap; the fields here are addresses and constants. */
export class PoolState {
  /** The heap whose bytes the pointers are offsets of. */
  declare readonly heap: Heap<HeapBuffer>;
  /** Serves containers and array. */
  declare readonly backing: Allocator;
  /** Word address of the control block. */
  declare control: number;
  /** log2 of the alignment. */
  declare readonly shift: number;
  /** Whether pointers are listed, so that containers have names. */
  declare readonly isDebug: boolean;
  /** Whether it is neither a debug pool nor a locked one: then there is a short way, see hot-paths. */
  declare readonly isPlain: boolean;
  /** The alignment less 1. */
  declare readonly mask: number;
  /** The heap's words and doubles as last seen; of length 0 when its memory has grown since. */
  declare words: Uint32Array;
  declare doubles: Float64Array;
  declare readonly watch: PoolWatch | undefined;
  declare readonly report: ((message: string) => void) | undefined;

  constructor(
    backing: Allocator,
    handle: Ptr,
    watch: PoolWatch | undefined,
    report: ((message: string) => void) | undefined,
  ) {
    this.heap = backing.heap;
    this.backing = backing;
    this.control = handle >>> 2;
    const flags = backing.heap.u32[this.control + FLAGS]!;
    this.isDebug = (flags & FLAG_DEBUG) !== 0;
    this.isPlain = (flags & (FLAG_DEBUG | FLAG_LOCKED)) === 0;
    this.shift = (flags >>> FLAGS_ALIGNMENT_SHIFT_BITS) & 31;
    this.mask = (1 << this.shift) - 1;
    this.words = this.heap.u32;
    this.doubles = this.heap.f64;
    this.watch = watch;
    this.report = report;
  }

  get handle(): Ptr {
    return asPtr((this.control << 2) >>> 0);
  }

  get isDestroyed(): boolean {
    return this.heap.u32[this.control] !== POOL_MAGIC;
  }

  /** The heap's words, after a look at the magic. */
  expectAlive(call: string): Uint32Array {
    const { u32 } = this.heap;
    if (u32[this.control] !== POOL_MAGIC) throw destroyed(call, "pool");
    if (u32 !== this.words) {
      this.words = u32;
      this.doubles = this.heap.f64;
    }
    return u32;
  }

  /** Looks at the pool while nobody changes it. */
  look<T>(call: string, act: (u32: Uint32Array) => T): T {
    return act(this.expectAlive(call));
  }

  /**
   * Takes the best fitting orphan out of its ring. Its count is 1 then, its stamp another one.
   *
   * @param size - bytes, rounded
   * @param shift - log2 of the alignment
   * @returns the container, 0 when no orphan is large enough
   */
  takeOrphan(size: number, shift: number): number {
    const u32 = this.expectAlive("allocate");
    const { control } = this;
    const found = bestOrphan(u32, control, size, shift);
    if (found !== 0) {
      this.watch?.inspect(found);
      if (!unfile(u32, control, found)) throw corrupt("allocate", "an orphan's links are broken", found);
      const word = found >>> 2;
      u32[word + STAMP]! += REUSE_STEP;
      u32[word + REFS] = 1;
    }
    return found;
  }

  /**
   * Takes any orphan out of the pool.
   *
   * @returns the container, to be freed; 0 when there is none
   */
  dropOrphan(): number {
    const u32 = this.expectAlive("trim");
    const { control } = this;
    const found = bestOrphan(u32, control, SMALLEST_BYTES, 0);
    if (found !== 0) this.#takeOut(u32, found);
    return found;
  }

  /**
   * Adds a container that has just been made and that nobody knows of.
   *
   * @returns 0; the bytes that a larger array would have taken, when there was no room for one, and nothing is changed
   */
  append(container: number): number {
    const u32 = this.expectAlive("allocate");
    const { control } = this;
    if (u32[control + COUNT] !== u32[control + CAPACITY]) {
      append(u32, control, container);
      return 0;
    }
    u32[control + PENDING] = container;
    try {
      return this.#appendTo(container);
    } finally {
      this.heap.u32[control + PENDING] = 0;
    }
  }

  /** Adds a container that someone made by hand. One without references becomes an orphan. As {@link append}. */
  add(call: string, container: number, backing: Allocator): number {
    const u32 = this.expectAlive(call);
    const { control } = this;
    if (this.heap.buffer !== backing.heap.buffer || identityOf(this.backing) !== identityOf(backing)) {
      throw refused(call, "the container is from another backing; make it on the pool's", container);
    }
    if (slotOf(u32, container) !== NO_SLOT) throw refused(call, "the container is in a pool already", container);
    if ((container + RECORD_BYTES) % (1 << this.shift) !== 0) {
      const remedy = `make it with { alignment: ${1 << this.shift} }`;
      throw refused(call, `its data is not aligned as the pool's are; ${remedy}`, container);
    }
    const isOrphan = u32[(container >>> 2) + REFS] === 0;
    if (isOrphan) {
      if (u32[control + ORPHANS]! >= u32[control + MAX_ORPHANS]!) {
        throw refused(call, "it has no references, and the pool keeps no more orphans", container);
      }
    }
    const missing = this.#appendTo(container);
    if (isOrphan) {
      if (missing === 0) {
        wipeData(this.backing, container);
        file(this.heap.u32, control, container);
      }
    }
    return missing;
  }

  /**
   * Ends the life of a container whose only reference the caller has, and whose data is 0: makes it an orphan, or takes it
   * out of the pool.
   *
   * @param mayKeep - whether it may become an orphan
   * @returns the container, when it is to be freed; 0 when it is kept
   */
  retire(container: number, mayKeep: boolean): number {
    const u32 = this.expectAlive("destroy");
    const { control } = this;
    const slot = slotOf(u32, container);
    if (slot === NO_SLOT) return container;
    if (!holds(u32, control, container, slot)) throw corrupt("destroy", "a container is not where it says", container);
    const isKept = mayKeep && u32[control + ORPHANS]! < u32[control + MAX_ORPHANS]!;
    if (isKept) {
      const word = container >>> 2;
      u32[word + STAMP]! += REUSE_STEP;
      u32[word + REFS] = 0;
      file(u32, control, container);
    } else {
      this.#takeOut(u32, container);
    }
    return isKept ? 0 : container;
  }

  /**
   * Takes a container out of the pool, in use or not.
   *
   * @param isDestroyed - whether it is to be freed if nobody refers to it
   * @returns the container, when it is to be freed, else 0
   */
  remove(call: string, container: number, isDestroyed: boolean): number {
    const u32 = this.expectAlive(call);
    const { control } = this;
    if (!holds(u32, control, container, slotOf(u32, container))) throw notFound(call, container);
    const word = container >>> 2;
    const refs = u32[word + REFS]! | 0;
    if (refs < 0) throw corrupt(call, `a count of ${refs} references`, container);
    if (refs === 0) {
      if (!unfile(u32, control, container)) throw corrupt(call, "an orphan's links are broken", container);
      // The links: it has no identity.
      u32[word] = 0;
      u32[word + 1] = 0;
    }
    this.#takeOut(u32, container, false);
    return refs === 0 && isDestroyed ? container : 0;
  }

  /** Frees all spare blocks of pointers. Returns how many there were. */
  dropSpares(): number {
    const { u32 } = this.heap;
    const { control } = this;
    let count = 0;
    for (let spare = u32[control + SPARE]!; spare !== 0; spare = u32[control + SPARE]!) {
      u32[control + SPARE] = u32[(spare >>> 2) + NEXT_SPARE]!;
      u32[(spare >>> 2) + NEXT_SPARE] = 0;
      u32[(spare >>> 2) + SPARES] = 0;
      this.backing.free(asPtr(spare));
      count += 1;
    }
    return count;
  }

  /** Halves the array when less than a quarter is in use. What was taken out of it has been freed. */
  shrink(): void {
    if (isSparse(this.heap.u32, this.control)) this.halve();
  }

  /** Halves the array, when less than a quarter is still in use. */
  halve(): void {
    const u32 = this.expectAlive("destroy");
    const from = u32[this.control + CAPACITY]!;
    const to = shrinkArray(this.backing, this.control);
    if (to !== 0) this.watch?.resized(from, to);
  }

  /** Doubles the array. Returns 0; the bytes that were not to be had, and nothing is changed. */
  grow(): number {
    const u32 = this.expectAlive("grow");
    const { control } = this;
    const from = u32[control + CAPACITY]!;
    if (u32[control + ARRAY] === 0 && from !== 0) throw corrupt("grow", "the pool has lost its array", this.handle);
    const missing = growArray(this.backing, control);
    if (missing === 0) this.watch?.resized(from, this.heap.u32[control + CAPACITY]!);
    return missing;
  }

  /** Tells the log and the handler that an allocation has failed. */
  noRoom(call: string, bytes: number): void {
    this.watch?.refused(`${call}: no room for ${bytes} bytes`);
    reportOom(bytes);
  }

  /** Whether a container is in this pool. */
  has(container: number): boolean {
    const { u32 } = this.heap;
    return holds(u32, this.control, container, slotOf(u32, container));
  }

  /** References to a container. */
  refsOf(container: number): number {
    return this.heap.u32[(container >>> 2) + REFS]! | 0;
  }

  /** One more. The caller has one, or it would not be there. */
  retain(container: number): void {
    this.heap.u32[(container >>> 2) + REFS]! += 1;
  }

  /** One less, unless that is the last one, whose owner has to end the container's life. Whether it was not. */
  releaseShared(container: number): boolean {
    const { u32 } = this.heap;
    const refs = u32[(container >>> 2) + REFS]!;
    if (refs <= 1) return false;
    u32[(container >>> 2) + REFS] = refs - 1;
    return true;
  }

  /** Lists a pointer of a debug pool. O(1). */
  link(pointer: number): void {
    listPointer(this.expectAlive("allocate"), this.control, pointer);
  }

  /** Strikes a pointer off the list. O(1). */
  unlink(pointer: number): void {
    if (!unlistPointer(this.heap.u32, this.control, pointer)) {
      throw corrupt("destroy", "a pointer's links are broken", pointer);
    }
  }

  /** The pointers of a debug pool. The pool must not change meanwhile. */
  pointers(): Generator<Ptr> {
    return listedPointers(this.heap.u32, this.control);
  }

  /** The containers, in the order of the array. The pool must not change meanwhile. */
  *containers(): Generator<number> {
    const { u32 } = this.heap;
    const array = u32[this.control + ARRAY]! >>> 2;
    for (let slot = 0; slot < u32[this.control + COUNT]!; slot += 1) yield u32[array + slot]!;
  }

  /** Gives everything back, containers in use as well, from the last to the first. O(bytes). */
  destroy(): void {
    const u32 = this.expectAlive("destroy");
    const { control, backing, heap } = this;
    this.watch?.leaked(this);
    disownPointers(u32, control);
    // One block after the other: who dies in between has lost one, and others can destroy the rest.
    const array = u32[control + ARRAY]!;
    clearRings(u32, control);
    for (let slot = u32[control + COUNT]! - 1; slot >= 0; slot -= 1) {
      const container = u32[(array >>> 2) + slot]!;
      u32[control + COUNT] = slot;
      u32[(array >>> 2) + slot] = 0;
      freeContainer(backing, container);
    }
    const bytes = bytesFor(u32[control + CAPACITY]!);
    u32[control + CAPACITY] = 0;
    u32[control + ARRAY] = 0;
    if (array !== 0) {
      wipe(heap, array, array + bytes);
      backing.free(asPtr(array));
    }
    this.dropSpares();
    forgetPool(this);
    const handle = this.handle;
    this.control = NO_CONTROL;
    // What is left in the freed block makes every other cursor refuse.
    wipe(heap, handle, handle + POOL.size);
    backing.free(handle);
  }

  /** Takes a container out of the array, and out of its ring when it is an orphan. */
  #takeOut(u32: Uint32Array, container: number, isFiled: boolean = u32[(container >>> 2) + REFS] === 0): void {
    const { control } = this;
    if (isFiled && !unfile(u32, control, container)) throw corrupt("trim", "an orphan's links are broken", container);
    removeAt(u32, control, slotOf(u32, container));
  }

  /** Adds a container; the array grows when it is full. Returns 0 or the bytes that were missing for that. */
  #appendTo(container: number): number {
    const { control } = this;
    const u32 = this.heap.u32;
    const missing = u32[control + COUNT] === u32[control + CAPACITY] ? this.grow() : 0;
    if (missing === 0) append(this.heap.u32, control, container);
    return missing;
  }
}

/** log2 of the alignment that a control block's flags name, and where it stands in them. */
export const FLAGS_ALIGNMENT_SHIFT_BITS = 8;
/** What `flags` are for an alignment. */
export function flagsOf(shift: number, isDebug: boolean, isLocked: boolean): number {
  return (isDebug ? FLAG_DEBUG : 0) | (isLocked ? FLAG_LOCKED : 0) | (shift << FLAGS_ALIGNMENT_SHIFT_BITS);
}
