/**
 * The general allocator of a heap: the "libc" that the other packages stand on.
 *
 * Small frees go to exact-size quick lists and come back from there. What misses them is cut from the free index, and at
 * last from the wilderness. Merging is put off until the quick lists are full, or until the wilderness would have to give
 * memory that was never used; then cached blocks are merged in one go.
 *
 * @module
 */
import { isPowerOfTwo } from "./align.ts";
import { release, setTag, spanOf, split, STATE, stateOf } from "./boundary-tag.ts";
import { goodFit, insertFree, unlink } from "./free-index.ts";
import { extend } from "./growth.ts";
import { ALIGNMENT_SHIFT_BITS, SUPERBLOCK } from "./layout.ts";
import { badCount, badSize, corrupt, isCount, refusal } from "./misuse.ts";
import { copyWords, zeroWords } from "./payload.ts";
import { asPtr, type Block, NULL, type Ptr } from "./ptr.ts";
import { flush, giveBack, mayHold, popLarge } from "./quick-lists.ts";
import { clearStart, isStart } from "./start-bits.ts";
import { type HeapBuffer, Views } from "./views.ts";

const { LIVE, CACHED, FREE } = STATE;
const STATE_BITS = 7;
const HEADER_BYTES = 8;
const MIN_SPAN_BYTES = 16;
/** Head of a small quick list that is empty and has paid for its first block; pointers are larger. */
const PAID = 1;
/** Largest payload that a quick list may serve. */
const QUICK_PAYLOAD_BYTES = 1000;
/** Span words from here on are of no quick list. */
const QUICK_TAG_LIMIT = 1016;
/** The list of the largest spans below them. */
const QUICK_LIST_LAST = 126;
/** Asks whether quick lists hold anything at all. */
const ANYTHING = 31;
/** The wilderness gives memory that was never used while quick lists hold less than their limit shifted by this. */
const FLUSH_SHARE_SHIFT_BITS = 2;
/** No payload is larger, since no heap is. */
const MAX_PAYLOAD_BYTES = 0xffff_ff00;
/** Sizes below it and what is added to them are small integers to V8. */
const SMI_BYTES = 0x7fff_ff00;
/** From here on a block is large enough to be worth a gap in front, of the second size. */
const GAP_SPAN_BYTES = 1024;
const GAP_BYTES = 256;

/** Allocates in a formatted range of a buffer. What it knows is in the superblock; the fields here are its addresses. */
export class Malloc<B extends HeapBuffer = HeapBuffer> extends Views<B> {
  /** Where the heap begins in its buffer, in bytes. */
  declare readonly base: number;
  /** What every payload's address is a multiple of: 8 or 16 bytes. */
  declare readonly alignment: number;
  /** @internal Word addresses of the superblock's parts. */
  declare readonly topWord: number;
  /** @internal */
  declare readonly footprintWord: number;
  /** @internal */
  declare readonly bytesWord: number;
  /** @internal */
  declare readonly budgetWord: number;
  /** @internal */
  declare readonly largeHeldWord: number;
  /** @internal */
  declare readonly quickMap: number;
  /** @internal */
  declare readonly quickLists: number;
  /** @internal */
  declare readonly index: number;
  /** @internal Word address of the directory, less its first granule. */
  declare readonly directory: number;
  /** @internal log2 of the bytes that a word of the directory stands for. */
  declare readonly granule: number;
  /** @internal The first payload there can be. */
  declare readonly lowest: number;
  /** @internal End of the heap as last seen. */
  declare end: number;
  /** @internal `(size + rounding) & mask` is the span of a payload above 8 bytes. */
  declare readonly rounding: number;
  /** @internal */
  declare readonly mask: number;

  /** @internal The range at `base` is formatted. */
  constructor(source: B | WebAssembly.Memory, base: number) {
    super(source);
    const { offsets } = SUPERBLOCK;
    const wordOf = (field: keyof typeof offsets): number => (base + offsets[field]) >>> 2;
    const value = (field: keyof typeof offsets): number => this.words[wordOf(field)]!;
    this.base = base;
    this.alignment = 1 << ((value("flags") >>> ALIGNMENT_SHIFT_BITS) & 255);
    this.topWord = wordOf("top");
    this.footprintWord = wordOf("footprint");
    this.bytesWord = wordOf("bytes");
    this.budgetWord = wordOf("budget");
    this.largeHeldWord = wordOf("largeHeld");
    this.quickMap = wordOf("quickMap");
    this.quickLists = wordOf("quickLists");
    this.index = wordOf("index");
    this.granule = value("granule");
    this.directory = (value("directory") >>> 2) - (base >>> this.granule);
    this.lowest = value("first") + HEADER_BYTES;
    this.end = base + value("bytes");
    this.rounding = this.alignment - 1 + HEADER_BYTES;
    this.mask = -this.alignment;
  }

  /**
   * Allocates. O(1).
   *
   * @param size - payload bytes, a whole number from 0; 0 gives a distinct block of the smallest size
   * @returns the payload, its bytes undefined; `NULL` when the heap is full and cannot grow
   * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but a whole number from 0
   * @example
   * ```ts
   * const ptr = heap.malloc(100);
   * if (ptr === NULL) throw new Error("full");
   * heap.u32[ptr >>> 2] = 42;
   * heap.free(ptr);
   * ```
   */
  malloc(size: number): Ptr {
    if (typeof size === "number" && size <= QUICK_PAYLOAD_BYTES && size >>> 0 === size) {
      const span = size <= 8 ? MIN_SPAN_BYTES : (size + this.rounding) & this.mask;
      const u32 = this.words;
      const list = this.quickLists + (span >>> 3);
      const ptr = u32[list]!;
      if (ptr > PAID) {
        const word = ptr >>> 2;
        if ((u32[word - 1]! | 0) !== (span | CACHED)) throw corrupt("malloc", ptr);
        u32[word - 1] = span | LIVE;
        u32[list] = u32[word]!;
        return asPtr(ptr);
      }
      return this.#take(span);
    }
    return this.#mallocLarge(size);
  }

  /**
   * Gives a block back. O(1).
   *
   * @param ptr - a live payload of this heap; `NULL` does nothing
   * @throws HeapError `ERR_DOUBLE_FREE` for a pointer into free space, `ERR_INVALID_POINTER` for one into a live block or
   * outside the heap, `ERR_CORRUPT` when something wrote over a header; nothing is changed
   */
  free(ptr: Ptr): void {
    const u32 = this.words;
    if (typeof ptr === "number" && isPayloadAddress(ptr) && this.#isInside(ptr >>> 0)) {
      const word = ptr >>> 2;
      const tag = u32[word - 1]!;
      const starts = u32[(u32[this.directory + (ptr >>> this.granule)]! + (ptr >>> 8)) | 0]!;
      if (((starts >>> (ptr >>> 3)) & 1) !== 0 && (tag & STATE_BITS) === LIVE && tag < QUICK_TAG_LIMIT) {
        const list = this.quickLists + (tag >>> 3);
        const first = u32[list]!;
        let held = tag - LIVE;
        if (first === 0) return giveBack(this, ptr);
        if (first !== PAID) {
          const left = (u32[this.budgetWord]! - held) | 0;
          if (left < 0) return giveBack(this, ptr);
          u32[this.budgetWord] = left;
          held += u32[(first >>> 2) + 1]!;
        }
        u32[word - 1] = tag + (CACHED - LIVE);
        u32[word] = first;
        u32[word + 1] = held;
        u32[list] = ptr;
        return;
      }
    }
    giveBack(this, ptr);
  }

  /**
   * Allocates zeroed memory for an array. O(bytes).
   *
   * @param count - elements, a whole number from 0
   * @param size - bytes of each, a whole number from 0
   * @returns the payload, all zero; `NULL` when there is no room for `count * size` bytes
   * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but whole numbers from 0
   */
  calloc(count: number, size: number): Ptr {
    if (!isCount(count) || !isCount(size)) throw badCount(`calloc(count, size)`, isCount(count) ? size : count);
    if (count * size > MAX_PAYLOAD_BYTES) return NULL;
    const ptr = this.malloc(count * size);
    if (ptr !== NULL) zeroWords(this.words, ptr, spanOf(this.words, ptr - HEADER_BYTES) - HEADER_BYTES);
    return ptr;
  }

  /**
   * Changes a block's size: in place when it shrinks, or when the memory to its right is free, otherwise by moving it.
   *
   * @param ptr - a live payload of this heap; `NULL` makes this `malloc(size)`
   * @param size - payload bytes, a whole number from 0; 0 leaves a block of the smallest size
   * @returns the payload, with the old contents up to the smaller of both sizes; `NULL` when there is no room, and then
   * the old block is as it was
   * @throws HeapError as `malloc` and `free` do
   */
  realloc(ptr: Ptr, size: number): Ptr {
    if (ptr === NULL) return this.malloc(size);
    if (this.resize(ptr, size)) return ptr;
    const moved = this.malloc(size);
    if (moved !== NULL) {
      copyWords(this.words, ptr, moved, spanOf(this.words, ptr - HEADER_BYTES) - HEADER_BYTES);
      this.free(ptr);
    }
    return moved;
  }

  /** @internal What `realloc` can do without moving the block. */
  resize(ptr: Ptr, size: number): boolean {
    const old = this.liveSpan("realloc", ptr);
    const span = this.#spanOf("realloc", size);
    if (span === 0) return false;
    const block = (ptr - HEADER_BYTES) as Block;
    if (span > old) return this.#growInPlace(block, old, span);
    this.#trim(block, old, span);
    return true;
  }

  /**
   * Allocates at an address that is a multiple of more than the heap's alignment.
   *
   * @param alignment - bytes, a power of two from 1
   * @param size - payload bytes, a whole number from 0
   * @returns the payload; `NULL` when there is no room
   * @throws HeapError `ERR_INVALID_ARGUMENT` for anything else
   */
  alignedAlloc(alignment: number, size: number): Ptr {
    if (!isCount(alignment) || alignment > 0xffff_ffff || !isPowerOfTwo(alignment)) {
      throw badCount("alignedAlloc(alignment, size)", alignment, "a power of two");
    }
    if (alignment <= this.alignment) return this.malloc(size);
    const span = this.#spanOf("alignedAlloc", size);
    if (span === 0 || span + alignment + MIN_SPAN_BYTES > 0xffff_ffff) return NULL;
    const footprint = this.u32[this.footprintWord]!;
    // Room for a free block in front of the payload, wherever the aligned address falls.
    const ptr = this.#take(span + alignment + MIN_SPAN_BYTES);
    if (ptr === NULL) return NULL;
    this.words[this.footprintWord] = footprint;
    const block = (ptr - HEADER_BYTES) as Block;
    let aligned = Math.ceil(ptr / alignment) * alignment;
    if (aligned !== ptr && aligned - ptr < MIN_SPAN_BYTES) aligned += alignment;
    const whole = spanOf(this.words, block);
    let main = block;
    if (aligned !== ptr) {
      // Both parts FREE first: two LIVE ones would both be lost if this agent died here.
      main = split(this.words, this.#bias(ptr), block, whole, aligned - ptr, FREE);
      setTag(this.words, main, whole - (aligned - ptr), LIVE);
      this.release("alignedAlloc", block);
    }
    this.#trim(main, whole - (aligned - ptr), span);
    this.#raiseFootprint(this.words, main + spanOf(this.words, main));
    return asPtr(aligned);
  }

  /**
   * @param ptr - a live payload of this heap
   * @returns the bytes that may be written there, at least what was asked for
   * @throws HeapError `ERR_DOUBLE_FREE` or `ERR_INVALID_POINTER`, as `free` does
   */
  usableSize(ptr: Ptr): number {
    return this.liveSpan("usableSize", ptr) - HEADER_BYTES;
  }

  /** @internal Whether memory or heap have grown unseen; sees it. */
  isStale(): boolean {
    let stale = false;
    if (this.words.length === 0) {
      this.retake();
      stale = true;
    }
    const end = this.base + this.words[this.bytesWord]!;
    if (end !== this.end) {
      // Another agent has grown a shared memory: the views here are too short. A buffer cannot have grown.
      if (end > this.words.length * 4 && this.memory !== undefined) this.retake();
      this.end = end;
      stale = true;
    }
    return stale;
  }

  /** Bytes with header and padding for a payload; 0 when no heap could hold it. */
  #spanOf(call: string, size: number): number {
    if (typeof size === "number" && (size | 0) === size && size > 8 && size < SMI_BYTES) {
      return (size + this.rounding) & this.mask;
    }
    if (!isCount(size)) throw badSize(call, size);
    if (size <= 8) return MIN_SPAN_BYTES;
    if (size > MAX_PAYLOAD_BYTES) return 0;
    return Math.floor((size + this.rounding) / this.alignment) * this.alignment;
  }

  /** Serves payloads above 1000 bytes, and refuses what is no size. */
  #mallocLarge(size: number): Ptr {
    const span = this.#spanOf("malloc", size);
    if (span === 0) return NULL;
    const ptr = span < QUICK_TAG_LIMIT ? 0 : popLarge(this, span);
    if (ptr !== 0) return asPtr(ptr);
    return this.#take(span);
  }

  /**
   * Serves what the quick list of just this size could not: from a slightly larger one, from the free index, or from the
   * wilderness. It is one function, and longer than V8 inlines, so that V8 inlines what it calls.
   */
  #take(span: number): Ptr {
    let u32 = this.words;
    if (span < QUICK_TAG_LIMIT) {
      // A cached block at most an eighth larger: cheaper than cutting one, and as tight as cutting usually is.
      const list = this.quickLists + (span >>> 3);
      const last = Math.min(list + (span >>> 6), this.quickLists + QUICK_LIST_LAST);
      for (let at = list + 1; at <= last; at += 1) {
        const ptr = u32[at]!;
        if (ptr > PAID) {
          const word = ptr >>> 2;
          const tag = u32[word - 1]!;
          if (tag >>> 3 !== at - this.quickLists || (tag & STATE_BITS) !== CACHED) throw corrupt("malloc", ptr);
          u32[word - 1] = tag - (CACHED - LIVE);
          u32[at] = u32[word]!;
          return asPtr(ptr);
        }
      }
    }
    for (;;) {
      const block = goodFit(u32, this.index, span);
      if (block !== 0) {
        const whole = u32[(block >>> 2) + 1]!;
        if (u32[(block + whole) >>> 2] !== whole || !unlink(u32, this.index, block, whole))
          throw corrupt("malloc", block);
        const restSpan = (whole - span) >>> 0;
        if (restSpan < MIN_SPAN_BYTES) setTag(u32, block, whole, LIVE);
        else insertFree(u32, this.index, split(u32, this.#bias(block), block, whole, span, LIVE), restSpan);
        return asPtr(block + HEADER_BYTES);
      }
      const top = u32[this.topWord]!;
      const topSpan = this.#topSpan(u32, top);
      const isUsed = (top + span) >>> 0 <= (this.base + u32[this.footprintWord]!) >>> 0;
      if (topSpan >= span && (isUsed || !mayHold(this, FLUSH_SHARE_SHIFT_BITS))) {
        const gap = span >= GAP_SPAN_BYTES && u32[this.index] === 0 && topSpan >= span + GAP_BYTES ? GAP_BYTES : 0;
        if (gap !== 0) this.#leaveGap(u32, top, topSpan);
        this.#cutTop(u32, top + gap, topSpan - gap, span);
        return asPtr(top + gap + HEADER_BYTES);
      }
      // Memory that was never used is the last resort: what the quick lists hold comes first.
      if (mayHold(this, ANYTHING)) flush(this);
      else if (!this.isStale() && !extend(this, span)) return NULL;
      u32 = this.words;
    }
  }

  /** Makes a LIVE block of the first `span` of `whole` bytes, which are in no index, and files the rest. */
  #cut(u32: Uint32Array, block: number, whole: number, span: number): void {
    const restSpan = (whole - span) >>> 0;
    if (restSpan < MIN_SPAN_BYTES) {
      setTag(u32, block, whole, LIVE);
      u32[(block + whole) >>> 2] = whole;
    } else {
      insertFree(u32, this.index, split(u32, this.#bias(block), block, whole, span, LIVE), restSpan);
    }
  }

  /**
   * Leaves some free memory in front of a large block where there is none at all: the small ones that come next lie there,
   * and not behind it, where they would keep it from growing in place.
   */
  #leaveGap(u32: Uint32Array, top: number, topSpan: number): void {
    u32[this.topWord] = split(u32, this.#bias(top), top, topSpan, GAP_BYTES, FREE);
    insertFree(u32, this.index, top, GAP_BYTES);
  }

  /** Makes a LIVE block of the first `span` of the `whole` bytes at `block` that end where the wilderness does. */
  #cutTop(u32: Uint32Array, block: number, whole: number, span: number): void {
    let end = (block + whole) >>> 0;
    if (whole - span < MIN_SPAN_BYTES) {
      setTag(u32, block, whole, LIVE);
      u32[end >>> 2] = whole;
    } else {
      end = split(u32, this.#bias(block), block, whole, span, LIVE);
    }
    u32[this.topWord] = end;
    this.#raiseFootprint(u32, end);
  }

  #raiseFootprint(u32: Uint32Array, end: number): void {
    const footprint = (end - this.base) >>> 0;
    if (footprint > u32[this.footprintWord]!) u32[this.footprintWord] = footprint;
  }

  /** Bytes of the wilderness: none when `top` is the end of the chain. */
  #topSpan(u32: Uint32Array, top: number): number {
    const tag = u32[(top >>> 2) + 1]!;
    return (tag & STATE_BITS) === FREE ? tag : 0;
  }

  /** All sides unsigned, so that V8 compares 32-bit words whatever it knows of the address. */
  #isInside(address: number): boolean {
    return address >= this.lowest >>> 0 && address < this.end >>> 0;
  }

  /** The start bits that speak of an address. */
  #bias(address: number): number {
    return this.words[this.directory + (address >>> this.granule)]!;
  }

  /** @internal Frees a LIVE or CACHED block and merges it. */
  release(call: string, block: Block): void {
    const u32 = this.words;
    const top = u32[this.topWord]!;
    const merged = release(u32, this.index, this.#bias(block), block, top);
    if (merged === 0) throw corrupt(call, block + HEADER_BYTES);
    const span = u32[(merged >>> 2) + 1]!;
    if ((merged + span) >>> 0 === top) this.#joinTop(u32, merged, span, top);
  }

  /** Makes a free block that ends at the wilderness part of it. */
  #joinTop(u32: Uint32Array, block: Block, span: number, top: number): void {
    const topSpan = this.#topSpan(u32, top);
    if (topSpan !== 0) {
      const whole = (span + topSpan) >>> 0;
      setTag(u32, block, whole, FREE);
      u32[(top + topSpan) >>> 2] = whole;
      clearStart(u32, this.#bias(block), (top + HEADER_BYTES) >>> 0);
    }
    u32[this.topWord] = block;
  }

  /** Gives back what a live block of `whole` bytes has beyond `span`. */
  #trim(block: Block, whole: number, span: number): void {
    if (whole - span < MIN_SPAN_BYTES) return;
    const u32 = this.words;
    if (u32[(block + whole) >>> 2] !== whole) throw corrupt("realloc", block + HEADER_BYTES);
    this.release("realloc", split(u32, this.#bias(block), block, whole, span, LIVE));
  }

  /** Grows a block into the free memory to its right. False when there is not enough of it. */
  #growInPlace(block: Block, old: number, span: number): boolean {
    const u32 = this.words;
    const right = (block + old) >>> 0;
    if (!this.#isFreeUpTo(u32, block, old, span)) return false;
    if (stateOf(u32, right) === CACHED || old + spanOf(u32, right) < span) flush(this);
    const rightSpan = spanOf(u32, right);
    const whole = (old + rightSpan) >>> 0;
    const isTop = right === u32[this.topWord];
    if (whole < span || !(isTop || unlink(u32, this.index, right, rightSpan)))
      throw corrupt("realloc", right + HEADER_BYTES);
    clearStart(u32, this.#bias(block), (right + HEADER_BYTES) >>> 0);
    if (isTop) this.#cutTop(u32, block, whole, span);
    else this.#cut(u32, block, whole, span);
    return true;
  }

  /** Whether the blocks behind a block of `old` bytes are free or cached as far as it has to grow. */
  #isFreeUpTo(u32: Uint32Array, block: Block, old: number, span: number): boolean {
    let previous = old;
    for (let whole = old; whole < span; whole += previous) {
      const next = (block + whole) >>> 0;
      const state = stateOf(u32, next);
      if (u32[next >>> 2] !== previous) throw corrupt("realloc", next + HEADER_BYTES);
      if (state !== FREE && state !== CACHED) return false;
      previous = spanOf(u32, next);
      if (previous < MIN_SPAN_BYTES) throw corrupt("realloc", next + HEADER_BYTES);
    }
    return true;
  }

  /** @internal The span of a live block, or the error that says why there is none. */
  liveSpan(call: string, ptr: Ptr): number {
    if (typeof ptr === "number" && isPayloadAddress(ptr) && this.#isInside(ptr >>> 0)) {
      const tag = this.words[(ptr >>> 2) - 1];
      if (tag !== undefined && (tag & STATE_BITS) === LIVE && isStart(this.words, this.#bias(ptr), ptr))
        return tag - LIVE;
    }
    if (this.isStale()) return this.liveSpan(call, ptr);
    throw refusal(this, call, ptr);
  }
}

/** A multiple of 8 below 2^32. */
function isPayloadAddress(ptr: number): boolean {
  return (ptr & 7) === 0 && ptr >>> 0 === ptr;
}
