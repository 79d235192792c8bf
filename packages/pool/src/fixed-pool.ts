/**
 * The fixed pool as one agent uses it: blocks of one size, 16-aligned and without headers. What is known of a block lies out of line, two bits
 * for each 16 bytes; the free ones are linked through their payloads, the one freed last first.
 *
 * @module
 */
import { type Allocator, asPtr, type HeapError, NULL, type Ptr } from "@heapwright/core";

import { checkFixed } from "./check-fixed.ts";
import { blockBits, carvedEnd, regionsOf, takeRegion } from "./fixed-regions.ts";
import { ALIGNMENT_BYTES, FIXED_CONTROL, FIXED_REGION } from "./layout.ts";
import { badArgument, badPointer, corrupt, doubleFree, interior, isCount } from "./misuse.ts";
import { biasOf } from "./page-table.ts";
import { dumpOf, type Opened, Pool, type PoolBlock, type PoolStats, statsOf } from "./pool.ts";

// Local, because V8 folds a module's own constants into its code and reads imported ones at every use.
const { offsets } = FIXED_CONTROL;
const FIRST = offsets.first >>> 2;
const MEMBER = offsets.member >>> 2;
const COUNT = offsets.count >>> 2;
const HEAD = offsets.head >>> 2;
const CARVED = offsets.carved >>> 2;
const END = offsets.end >>> 2;
const NEXT = FIXED_REGION.offsets.next >>> 2;
const START = FIXED_REGION.offsets.start >>> 2;
/** Start bit and live bit of a granule, once its word has been shifted down. */
const BOTH = 0x1_0001;
const STARTS = 1;
const LIVE = 0x1_0000;

/** Hands out blocks of one size, without a lock. */
export class FixedPool extends Pool implements Allocator {
  /** Bytes of a block, padding included: what `usableSize` gives for each. */
  declare readonly memberSize: number;

  /** @internal Word address of the free list's head. */
  declare readonly headWord: number;

  /** @internal */
  constructor(opened: Opened) {
    super(opened);
    this.memberSize = this.heap.u32[this.control + MEMBER]!;
    this.headWord = this.control + HEAD;
  }

  /**
   * Allocates a block. O(1).
   *
   * @param size - payload bytes needed, a whole number from 0. @defaultValue a whole block
   * @returns the block given back last, else the next one of the last buffer, its bytes undefined; `NULL` when `size` is
   * more than a block has, or when the backing has no room for another buffer
   * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but a whole number from 0, `ERR_DESTROYED`, `ERR_CORRUPT` when
   * something wrote into a free block
   */
  malloc(size: number = this.memberSize): Ptr {
    if (typeof size === "number" && size <= this.memberSize && size >= 0 && (size | 0) === size) {
      const u32 = this.words;
      const head = u32[this.headWord]!;
      const page = ((head >>> 12) - this.firstPage) >>> 0;
      if (page < this.pageCount && (head & 15) === 0) {
        const word = (u32[(this.table + page) | 0]! + (head >>> 8)) | 0;
        const bits = u32[word]!;
        const shift = (head >>> 4) & 15;
        if (((bits >>> shift) & BOTH) === STARTS) {
          u32[word] = bits | (LIVE << shift);
          u32[this.headWord] = u32[head >>> 2]!;
          return head as Ptr;
        }
      }
    }
    return this.#carve(size);
  }

  /**
   * Gives a block back. O(1).
   *
   * @param ptr - a live block of this pool; `NULL` does nothing
   * @throws HeapError `ERR_DOUBLE_FREE` for a block that is free, `ERR_INVALID_POINTER` for a pointer into a block or from
   * elsewhere, `ERR_INVALID_ARGUMENT` for anything but a number, `ERR_DESTROYED`; nothing is changed
   */
  free(ptr: Ptr): void {
    if (typeof ptr === "number" && (ptr & 15) === 0 && ((ptr | 0) === ptr || ptr >>> 0 === ptr)) {
      const u32 = this.words;
      const page = ((ptr >>> 12) - this.firstPage) >>> 0;
      if (page < this.pageCount) {
        const word = (u32[(this.table + page) | 0]! + (ptr >>> 8)) | 0;
        const bits = u32[word]!;
        const shift = (ptr >>> 4) & 15;
        if (((bits >>> shift) & BOTH) === BOTH) {
          u32[word] = bits ^ (LIVE << shift);
          u32[ptr >>> 2] = u32[this.headWord]!;
          u32[this.headWord] = ptr;
          return;
        }
      }
    }
    if (ptr === NULL && !this.isDestroyed) return;
    if (this.refresh()) return this.free(ptr);
    throw this.refusal("free", ptr);
  }

  /** Serves what the free list could not: from memory that was never handed out. */
  #carve(size: number): Ptr {
    let u32 = this.expectAlive("malloc");
    if (!isCount(size)) throw badArgument("malloc", "size", size, "a whole number of bytes from 0");
    if (size > this.memberSize) return NULL;
    if (this.refresh()) return this.malloc(size);
    const { control } = this;
    if (u32[control + HEAD] !== 0) throw corrupt("malloc", u32[control + HEAD]!);
    if (u32[control + CARVED] === u32[control + END]) {
      if (!takeRegion(this.backing, control)) return NULL;
      this.refresh();
      u32 = this.words;
    }
    const ptr = u32[control + CARVED]!;
    u32[(biasOf(u32, control, ptr) + (ptr >>> 8)) | 0]! |= BOTH << ((ptr >>> 4) & 15);
    u32[control + CARVED] = (ptr + this.memberSize) >>> 0;
    return asPtr(ptr);
  }

  /**
   * @param ptr - a live payload of this pool
   * @returns the bytes that may be written there, at least what was asked for
   * @throws HeapError as `free` does, for `NULL` too
   */
  usableSize(ptr: Ptr): number {
    const u32 = this.expectAlive("usableSize");
    if (typeof ptr === "number" && this.isLive(u32, ptr)) return this.memberSize;
    throw this.refusal("usableSize", ptr);
  }

  /**
   * Whether a pointer is the payload of a block that this pool has handed out, live or not. O(1).
   *
   * @param ptr - any number
   * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but a number, `ERR_DESTROYED`
   */
  isAssociated(ptr: Ptr): boolean {
    const u32 = this.expectAlive("isAssociated");
    if (typeof ptr !== "number") throw badPointer("isAssociated", ptr);
    return blockBits(u32, this.control, ptr) !== 0;
  }

  /**
   * Visits the live blocks, buffer by buffer in the order they were taken, by ascending address. O(blocks).
   *
   * The callback may allocate, free, also the block in hand, and destroy the pool, which ends the iteration. A block that
   * is allocated meanwhile is visited if its place is still to come.
   *
   * @param callback - is given each block; the number 0 stops, any other result goes on, none too
   * @throws HeapError `ERR_INVALID_ARGUMENT` when `callback` is no function, `ERR_DESTROYED`; what the callback throws
   */
  foreach(callback: (ptr: Ptr) => unknown): void {
    let u32 = this.expectAlive("foreach");
    if (typeof callback !== "function") throw badArgument("foreach", "callback", callback, "a function");
    const { control, memberSize } = this;
    for (let region = u32[control + FIRST]!; region !== 0; region = u32[(region >>> 2) + NEXT]!) {
      for (let ptr = u32[(region >>> 2) + START]!; ptr < carvedEnd(u32, control, region); ptr += memberSize) {
        if (!this.isLive(u32, ptr)) continue;
        if (callback(asPtr(ptr)) === 0 || this.isDestroyed) return;
        u32 = this.heap.u32;
      }
    }
  }

  /** What is live and what is free. O(blocks). */
  stats(): PoolStats {
    const u32 = this.expectAlive("stats");
    const { control, memberSize } = this;
    const buffers = [...regionsOf(u32, control)].length;
    const stats = statsOf(this, this.blocks(), buffers);
    const uncarved = u32[control + END]! - u32[control + CARVED]!;
    return { ...stats, freeBytes: stats.freeBytes + Math.floor(uncarved / memberSize) * memberSize };
  }

  /**
   * The blocks that have been handed out at least once, buffer by buffer in the order they were taken, by ascending
   * address. The pool must not change meanwhile.
   */
  *blocks(): Generator<PoolBlock> {
    const u32 = this.expectAlive("blocks");
    const { control, memberSize: size } = this;
    for (const region of regionsOf(u32, control)) {
      for (let ptr = u32[(region >>> 2) + START]!; ptr < carvedEnd(u32, control, region); ptr += size) {
        yield { ptr: asPtr(ptr), size, state: this.isLive(u32, ptr) ? "live" : "free" };
      }
    }
  }

  /** A picture in words: the pool, then a line a block. */
  dump(): string {
    const u32 = this.expectAlive("dump");
    const title = `fixed pool, buffers of ${u32[this.control + COUNT]!} blocks of ${this.memberSize} bytes`;
    return dumpOf(title, this.stats(), this.blocks());
  }

  /**
   * Proves every invariant of the layout. O(blocks).
   *
   * @throws HeapError `ERR_CORRUPT` that names the one that does not hold
   */
  check(): void {
    checkFixed(this.expectAlive("check"), this.control);
  }

  /** @internal Whether a block that is handed out begins there. */
  isLive(u32: Uint32Array, ptr: number): boolean {
    return blockBits(u32, this.control, ptr) === BOTH;
  }

  /** @internal Why a pointer is no live payload of this pool. */
  refusal(call: string, ptr: Ptr): HeapError {
    const u32 = this.expectAlive(call);
    if (typeof ptr !== "number" || ptr >>> 0 !== ptr) return badPointer(call, ptr);
    const { control, memberSize } = this;
    for (let block = ptr - (ptr % ALIGNMENT_BYTES); block > ptr - memberSize; block -= ALIGNMENT_BYTES) {
      const bits = blockBits(u32, control, block);
      if (this.isLive(u32, block)) return interior(call, ptr, block, memberSize);
      if (bits !== 0) return doubleFree(call, ptr, block);
    }
    return badPointer(call, ptr);
  }

  /** @internal */
  override empty(u32: Uint32Array): void {
    u32[this.headWord] = 0;
  }

  /** @internal */
  override regionBlock(_u32: Uint32Array, region: number): Ptr {
    return asPtr(region);
  }
}
