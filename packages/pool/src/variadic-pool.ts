/**
 * The variadic pool as one agent uses it: blocks of any size, cut from buffers by best fit, merged when they are given back.
 *
 * @module
 */
import { type Allocator, asPtr, type HeapError, NULL, type Ptr } from "@heapwright/core";
import { bestFit, clearStart, isLinked, spanOf, split, STATE, stateOf, unlink } from "@heapwright/core/engine";

import { checkVariadic } from "./check-variadic.ts";
import { clearFree, fileFree, firstOf, mark, smallestSpan, unring } from "./free-blocks.ts";
import { VARIADIC_CONTROL, VARIADIC_REGION } from "./layout.ts";
import { badArgument, badPointer, corrupt, doubleFree, interior, isCount } from "./misuse.ts";
import { dumpOf, type Opened, Pool, type PoolBlock, type PoolStats, statsOf } from "./pool.ts";
import { addBuffer, blockAround, buffersOf } from "./variadic-buffers.ts";

// Local, because V8 folds a module's own constants into its code and reads imported ones at every use.
const { FREE, LIVE } = STATE;
const STATE_BITS = 7;
const HEADER_BYTES = 8;
const MIN_SPAN_BYTES = 32;
const MIN_PAYLOAD_BYTES = 16;
/** Header and rounding: `(size + 23) & -16` is the span of a payload. */
const ROUNDING_BYTES = 23;
const ALIGNMENT_BYTES = 16;
/** Spans from here on stand in the free index, and so do payloads above. */
const SMALL_LIMIT_BYTES = 1024;
const SMALL_PAYLOAD_BYTES = 1000;
/** Words of a block from its header on. */
const TAG = 1;
const NEXT_FREE = 2;
const PREV_FREE = 3;
const BUFFER_BYTES = 8;
const MAX_BYTES = 2 ** 32 - 2 ** 17;

const { offsets } = VARIADIC_CONTROL;
const GROW = offsets.growBytes >>> 2;
const TOLERANCE = offsets.tolerance >>> 2;
const TOP = offsets.top >>> 2;
const RINGS = offsets.rings >>> 2;
const INDEX = offsets.index >>> 2;
const REGION_BLOCK = VARIADIC_REGION.offsets.block >>> 2;

/** Hands out blocks of any size by best fit, without a lock. */
export class VariadicPool extends Pool implements Allocator {
  /** @internal Word address of the free index. */
  declare readonly index: number;
  /** @internal Word address of the control block's `top`. */
  declare readonly top: number;
  /** @internal Word address of the rings. */
  declare readonly rings: number;
  /** @internal */
  declare readonly tolerance: number;

  /** @internal */
  constructor(opened: Opened) {
    super(opened);
    this.index = this.control + INDEX;
    this.top = this.control + TOP;
    this.rings = this.control + RINGS - NEXT_FREE;
    this.tolerance = this.words[this.control + TOLERANCE]!;
  }

  /**
   * Allocates. O(1) amortised.
   *
   * @param size - payload bytes, a whole number from 0; 0 gives a distinct block of the smallest size
   * @returns the payload of the smallest free block that is large enough, of equal ones the one freed last, cut to size
   * where the rest is worth a block and more than the tolerance; else what is cut from the end of the last buffer; `NULL`
   * when the backing has no room for another one
   * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but a whole number from 0, `ERR_DESTROYED`, `ERR_CORRUPT` when
   * something wrote over a header or into a free block
   */
  malloc(size: number): Ptr {
    if (typeof size === "number" && size <= SMALL_PAYLOAD_BYTES && (size | 0) === size && size >= 0) {
      const span = size <= MIN_PAYLOAD_BYTES ? MIN_SPAN_BYTES : (size + ROUNDING_BYTES) & -ALIGNMENT_BYTES;
      const u32 = this.words;
      const ring = this.rings + (span >>> 3);
      const block = u32[ring + NEXT_FREE]!;
      const word = block >>> 2;
      if (word !== ring && (u32[word + TAG]! | 0) === span) {
        const next = u32[word + NEXT_FREE]!;
        const back = (next >>> 2) + PREV_FREE;
        if (u32[back] === block) {
          u32[ring + NEXT_FREE] = next;
          u32[back] = ring << 2;
          u32[word + TAG] = span | LIVE;
          return ((block + HEADER_BYTES) >>> 0) as Ptr;
        }
      }
      return this.#take(span);
    }
    if (!isCount(size)) throw badArgument("malloc", "size", size, "a whole number of bytes from 0");
    if (size > MAX_BYTES) return NULL;
    return this.#take(Math.floor((size + ROUNDING_BYTES) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES);
  }

  /**
   * Gives a block back and merges it with its free neighbours in the buffer. O(1).
   *
   * @param ptr - a live payload of this pool; `NULL` does nothing
   * @throws HeapError `ERR_DOUBLE_FREE` for a pointer into free space, `ERR_INVALID_POINTER` for one into a live block or
   * from elsewhere, `ERR_INVALID_ARGUMENT` for anything but a number, `ERR_DESTROYED`, `ERR_CORRUPT` when something wrote
   * over a header; nothing is changed
   */
  free(ptr: Ptr): void {
    if (typeof ptr === "number" && (ptr & 15) === 0 && ((ptr | 0) === ptr || ptr >>> 0 === ptr)) {
      const u32 = this.words;
      const page = ((ptr >>> 12) - this.firstPage) >>> 0;
      if (page < this.pageCount) {
        const starts = u32[(u32[(this.table + page) | 0]! + (ptr >>> 8)) | 0]!;
        const word = (ptr >>> 2) - 2;
        const tag = u32[word + TAG]!;
        if (((starts >>> (ptr >>> 3)) & 1) !== 0 && (tag & STATE_BITS) === LIVE) {
          const span = tag - LIVE;
          const right = word + (span >>> 2);
          const previous = u32[word]!;
          // Neither neighbour is FREE: LIVE and RESERVED are odd.
          if (
            span < SMALL_LIMIT_BYTES &&
            u32[right] === span &&
            (u32[right + TAG]! & 1) !== 0 &&
            (previous === 0 || u32[word - (previous >>> 2) + TAG] === previous + LIVE)
          ) {
            const ring = this.rings + (span >>> 3);
            const first = u32[ring + NEXT_FREE]!;
            u32[word + NEXT_FREE] = first;
            u32[word + PREV_FREE] = ring << 2;
            u32[(first >>> 2) + PREV_FREE] = word << 2;
            u32[ring + NEXT_FREE] = word << 2;
            u32[word + TAG] = span;
            if (first >>> 2 === ring) mark(u32, this.control, span);
            return;
          }
          return this.#merge(ptr, span);
        }
      }
    }
    if (ptr === NULL && !this.isDestroyed) return;
    if (this.refresh()) return this.free(ptr);
    throw this.#refusal("free", ptr);
  }

  /**
   * Takes the smallest free block that holds `span`, whole where that wastes little. It is one function, and longer than
   * V8 inlines, so that V8 inlines what it calls.
   */
  #take(span: number): Ptr {
    if (this.pageCount === 0) this.expectAlive("malloc");
    for (;;) {
      const u32 = this.words;
      let block = 0;
      let whole = span < SMALL_LIMIT_BYTES ? smallestSpan(u32, this.control, span) : 0;
      if (whole !== 0) {
        block = firstOf(u32, this.control, whole);
        if (u32[(block >>> 2) + TAG] !== whole || !unring(u32, block)) throw corrupt("malloc", block + HEADER_BYTES);
      } else {
        block = bestFit(u32, this.index, span);
        if (block !== 0) {
          whole = u32[(block >>> 2) + TAG]!;
          if (u32[(block + whole) >>> 2] !== whole || !unlink(u32, this.index, block, whole)) {
            throw corrupt("malloc", block + HEADER_BYTES);
          }
        }
      }
      if (block !== 0) {
        const rest = (whole - span) >>> 0;
        const isTolerable = rest * 100 <= this.tolerance * ((whole + span) / 2 - HEADER_BYTES);
        if (rest < MIN_SPAN_BYTES || isTolerable) {
          u32[(block >>> 2) + TAG] = whole | LIVE;
        } else {
          const page = ((block >>> 12) - this.firstPage) >>> 0;
          const bias = u32[(this.table + page) | 0]!;
          const cut = split(u32, bias, block, whole, span, LIVE);
          fileFree(u32, this.control, cut, rest);
        }
        return ((block + HEADER_BYTES) >>> 0) as Ptr;
      }
      const top = u32[this.top]!;
      if (top !== 0) {
        whole = u32[(top >>> 2) + TAG]!;
        const end = (top + whole) >>> 0;
        if ((whole & STATE_BITS) !== FREE || u32[end >>> 2] !== whole) throw corrupt("malloc", top + HEADER_BYTES);
        if (whole >= span) {
          if (whole - span < MIN_SPAN_BYTES) {
            u32[this.top] = 0;
            u32[(top >>> 2) + TAG] = whole | LIVE;
          } else {
            const page = ((top >>> 12) - this.firstPage) >>> 0;
            u32[this.top] = split(u32, u32[(this.table + page) | 0]!, top, whole, span, LIVE);
          }
          return ((top + HEADER_BYTES) >>> 0) as Ptr;
        }
      }
      if (!this.refresh()) {
        this.expectAlive("malloc");
        if (!addBuffer(this.backing, this.control, span)) return NULL;
        this.refresh();
      }
    }
  }

  /**
   * Frees a block that is large or has a free neighbour, and merges it. Before the first store all headers and links
   * concerned are compared. The order of the stores is that of core's `release`: the chain is whole at each.
   */
  #merge(ptr: Ptr, size: number): void {
    const u32 = this.words;
    const { index } = this;
    let block = (ptr - HEADER_BYTES) >>> 0;
    let span = size;
    const word = block >>> 2;
    const right = (block + span) >>> 0;
    const previous = u32[word]!;
    const left = (block - previous) >>> 0;
    const rightTag = u32[(right >>> 2) + TAG]!;
    const leftTag = u32[(left >>> 2) + TAG]!;
    const isTop = right === u32[this.top];
    const takesRight = (rightTag & STATE_BITS) === FREE;
    const takesLeft = (leftTag & STATE_BITS) === FREE && previous !== 0;
    if (
      u32[right >>> 2] !== span ||
      (previous !== 0 && (leftTag & ~STATE_BITS) >>> 0 !== previous) ||
      (takesRight && !isTop && !isLinked(u32, right)) ||
      (takesLeft && !isLinked(u32, left))
    ) {
      throw corrupt("free", ptr);
    }
    const bias = u32[(this.table + (((ptr >>> 12) - this.firstPage) >>> 0)) | 0]!;
    if (takesRight) {
      if (isTop) u32[this.top] = 0;
      else if (rightTag < SMALL_LIMIT_BYTES) unring(u32, right);
      else unlink(u32, index, right, rightTag);
      span = (span + rightTag) >>> 0;
      clearStart(u32, bias, (right + HEADER_BYTES) >>> 0);
    }
    if (takesLeft) {
      if (previous < SMALL_LIMIT_BYTES) unring(u32, left);
      else unlink(u32, index, left, previous);
      u32[word + TAG] = span;
      span = (span + previous) >>> 0;
      clearStart(u32, bias, ptr);
      block = left;
    }
    u32[(block >>> 2) + TAG] = span;
    u32[(block + span) >>> 2] = span;
    if (isTop) u32[this.top] = block;
    else fileFree(u32, this.control, block, span);
  }

  /**
   * @param ptr - a live payload of this pool
   * @returns the bytes that may be written there, at least what was asked for
   * @throws HeapError as `free` does, for `NULL` too
   */
  usableSize(ptr: Ptr): number {
    const u32 = this.expectAlive("usableSize");
    const found = typeof ptr === "number" ? blockAround(u32, this.control, ptr) : 0;
    if (found === 0 || found !== ptr || stateOf(u32, found - HEADER_BYTES) !== LIVE)
      throw this.#refusal("usableSize", ptr);
    return spanOf(u32, found - HEADER_BYTES) - HEADER_BYTES;
  }

  /**
   * Whether a pointer is from the pool: the payload of a block, or 16-aligned in free memory, where one was or may be.
   * Live or not makes no difference.
   *
   * O(1) for what is the payload of a block; else a search for the block around, 256 bytes a step.
   *
   * @param ptr - any number
   * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but a number, `ERR_DESTROYED`
   */
  isAssociated(ptr: Ptr): boolean {
    const u32 = this.expectAlive("isAssociated");
    if (typeof ptr !== "number") throw badPointer("isAssociated", ptr);
    const found = blockAround(u32, this.control, ptr);
    return (
      found !== 0 && (found === ptr || (ptr % ALIGNMENT_BYTES === 0 && stateOf(u32, found - HEADER_BYTES) === FREE))
    );
  }

  /** What is live and what is free. O(blocks). */
  stats(): PoolStats {
    const u32 = this.expectAlive("stats");
    return statsOf(this, this.blocks(), [...buffersOf(u32, this.control)].length);
  }

  /** All blocks, buffer by buffer in the order they were taken, by ascending address. The pool must not change meanwhile. */
  *blocks(): Generator<PoolBlock> {
    const u32 = this.expectAlive("blocks");
    for (const buffer of buffersOf(u32, this.control)) {
      const end = buffer + BUFFER_BYTES + u32[buffer >>> 2]!;
      for (let block = buffer + BUFFER_BYTES; block < end; block += Math.max(HEADER_BYTES, spanOf(u32, block))) {
        const state = stateOf(u32, block) === LIVE ? "live" : "free";
        yield { ptr: asPtr(block + HEADER_BYTES), size: spanOf(u32, block) - HEADER_BYTES, state };
      }
    }
  }

  /** A picture in words: the pool, then a line a block. */
  dump(): string {
    const u32 = this.expectAlive("dump");
    const grow = u32[this.control + GROW]!;
    return dumpOf(
      `variadic pool, buffers of ${grow} bytes, tolerance ${this.tolerance} percent`,
      this.stats(),
      this.blocks(),
    );
  }

  /**
   * Proves every invariant of the layout. O(blocks).
   *
   * @throws HeapError `ERR_CORRUPT` that names the one that does not hold
   */
  check(): void {
    checkVariadic(this.expectAlive("check"), this.control);
  }

  #refusal(call: string, ptr: Ptr): HeapError {
    const u32 = this.expectAlive(call);
    const found = typeof ptr === "number" ? blockAround(u32, this.control, ptr) : 0;
    if (found === 0) return badPointer(call, ptr);
    if (stateOf(u32, found - HEADER_BYTES) === FREE) return doubleFree(call, ptr, found);
    return interior(call, ptr, found, spanOf(u32, found - HEADER_BYTES) - HEADER_BYTES);
  }

  /** @internal */
  override empty(u32: Uint32Array): void {
    clearFree(u32, this.control);
  }

  /** @internal */
  override regionBlock(u32: Uint32Array, region: number): Ptr {
    return asPtr(u32[(region >>> 2) + REGION_BLOCK]!);
  }
}
