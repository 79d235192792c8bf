/**
 * The general allocator of a heap: the "libc" that the other packages stand on.
 *
 * Small frees go to exact-size quick lists, linked through the payloads, and come back from there: a few loads and
 * stores. What misses them takes the best fit of the free index, then the wilderness. Merging is put off until the quick
 * lists hold 1/16 of the footprint, or until the wilderness would have to give memory that was never used; then every
 * cached block is merged at once.
 *
 * ```text
 *   quickLists[span / 8] -> ptr --> ptr --> ptr -> 0        (link: first word of the payload, state CACHED)
 * ```
 *
 * @module
 */
import {
  CACHED,
  FREE,
  HEADER_BYTES,
  isSound,
  LIVE,
  merge,
  MIN_SPAN_BYTES,
  spanOf,
  split,
  STATE_MASK,
  stateOf,
} from "./boundary-tag.ts";
import { bestFit, insertFree, isIndexed, removeFree } from "./free-index.ts";
import { extend } from "./growth.ts";
import {
  ALIGNMENT_SHIFT_BITS,
  BASE_AT,
  BUDGET_AT,
  BYTES_AT,
  DIRECTORY_AT,
  FIRST_AT,
  FLAGS_AT,
  FOOTPRINT_AT,
  GRANULE_AT,
  INDEX_AT,
  QUICK_LISTS_AT,
  QUICK_MAP_AT,
  TOP_AT,
} from "./layout.ts";
import { badCount, badSize, corrupt, refusal } from "./misuse.ts";
import { asPtr, type Block, NULL, type Ptr } from "./ptr.ts";
import { clearStart, isStart } from "./start-bits.ts";
import { type HeapBuffer, Views } from "./views.ts";

/** Largest payload that a quick list may serve. */
const QUICK_PAYLOAD_BYTES = 1000;
/** Span words from here on are of no quick list. */
const QUICK_TAG_LIMIT = 1016;
/** Quick lists hold at most the footprint shifted by this: 1/16. */
const QUICK_SHARE_SHIFT_BITS = 4;
/** Up to here a loop over words beats `fill` and `copyWithin`. */
const LOOP_BYTES = 256;

/** Allocates in a formatted range of a buffer. What it knows is in the superblock; the fields here are its addresses. */
export class Malloc<B extends HeapBuffer = HeapBuffer> extends Views<B> {
  /** Where the heap begins in its buffer, in bytes. */
  readonly base: number;
  /** What every payload's address is a multiple of: 8 or 16 bytes. */
  readonly alignment: number;
  /** @internal Word address of the superblock. */
  readonly superblock: number;
  /** @internal Word address of the free index. */
  readonly index: number;
  /** @internal Word address of the quick lists. */
  readonly quickLists: number;
  /** @internal Word address of the directory, less its first granule. */
  readonly directory: number;
  /** @internal log2 of the bytes that a word of the directory stands for. */
  readonly granule: number;
  /** @internal The first payload there can be. */
  readonly lowest: number;
  /** @internal End of the heap as last seen. */
  end: number;
  readonly #round: number;

  /** @internal The range at `base` is formatted. */
  constructor(source: B | WebAssembly.Memory, base: number) {
    super(source);
    const at = (byte: number): number => this.words[(base + byte) >>> 2]!;
    this.base = base;
    this.superblock = base >>> 2;
    this.index = (base + INDEX_AT) >>> 2;
    this.quickLists = (base + QUICK_LISTS_AT) >>> 2;
    this.granule = at(GRANULE_AT);
    this.directory = (at(DIRECTORY_AT) >>> 2) - (base >>> this.granule);
    this.lowest = at(FIRST_AT) + HEADER_BYTES;
    this.alignment = 1 << ((at(FLAGS_AT) >>> ALIGNMENT_SHIFT_BITS) & 255);
    this.#round = this.alignment - 1 + HEADER_BYTES;
    this.end = at(BASE_AT) + at(BYTES_AT);
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
      const span = size <= 8 ? MIN_SPAN_BYTES : (size + this.#round) & -this.alignment;
      const u32 = this.words;
      const list = this.quickLists + (span >>> 3);
      const ptr = u32[list]!;
      if (ptr) {
        const word = ptr >>> 2;
        if (u32[word - 1] !== (span | CACHED)) throw corrupt(`malloc(${size})`, ptr);
        u32[word - 1] = span | LIVE;
        u32[list] = u32[word]!;
        return asPtr(ptr);
      }
      return this.#take(span);
    }
    const span = this.#spanOf("malloc", size);
    return span === 0 ? NULL : this.#take(span);
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
    if (typeof ptr === "number" && ptr >= this.lowest && ptr < this.end && ptr >>> 0 === ptr && (ptr & 7) === 0) {
      const starts = u32[u32[this.directory + (ptr >>> this.granule)]! + (ptr >>> 8)]!;
      if (((starts >>> (ptr >>> 3)) & 1) !== 0) {
        const word = ptr >>> 2;
        const tag = u32[word - 1]!;
        if ((tag & STATE_MASK) === LIVE) {
          if (tag >= QUICK_TAG_LIMIT) return this.#release("free", (ptr - HEADER_BYTES) as Block);
          const budget = this.superblock + (BUDGET_AT >>> 2);
          const left = u32[budget]! - (tag - LIVE);
          if (left < 0) return this.#settle(ptr, tag - LIVE);
          u32[budget] = left;
          const list = this.quickLists + (tag >>> 3);
          const first = u32[list]!;
          u32[word - 1] = tag + (CACHED - LIVE);
          u32[word] = first;
          u32[list] = ptr;
          if (first === 0) this.#mark(u32, tag >>> 3);
          return;
        }
      }
    }
    if (ptr === NULL) return;
    if (this.isStale()) return this.free(ptr);
    throw refusal(this, "free", ptr);
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
    const ptr = this.malloc(count * size);
    if (ptr !== NULL) this.#zero(ptr, spanOf(this.words, ptr - HEADER_BYTES) - HEADER_BYTES);
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
    const old = this.#liveSpan("realloc", ptr);
    const span = this.#spanOf("realloc", size);
    if (span === 0) return NULL;
    const block = (ptr - HEADER_BYTES) as Block;
    if (span <= old) {
      this.#trim(block, old, span);
      return ptr;
    }
    if (this.#growInPlace(block, old, span)) return ptr;
    const moved = this.malloc(size);
    if (moved !== NULL) {
      this.#copy(ptr, moved, old - HEADER_BYTES);
      this.free(ptr);
    }
    return moved;
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
    if (!isCount(alignment) || alignment === 0 || Math.log2(alignment) % 1 !== 0) {
      throw badCount("alignedAlloc(alignment, size)", alignment, "a power of two");
    }
    if (alignment <= this.alignment) return this.malloc(size);
    const span = this.#spanOf("alignedAlloc", size);
    if (span === 0 || span + alignment + MIN_SPAN_BYTES > 0xffff_ffff) return NULL;
    const footprint = this.superblock + (FOOTPRINT_AT >>> 2);
    const before = this.words[footprint]!;
    // Room for a free block in front of the payload, wherever the aligned address falls.
    const ptr = this.#take(span + alignment + MIN_SPAN_BYTES);
    if (ptr === NULL) return NULL;
    this.words[footprint] = before;
    const block = (ptr - HEADER_BYTES) as Block;
    let aligned = Math.ceil(ptr / alignment) * alignment;
    if (aligned !== ptr && aligned - ptr < MIN_SPAN_BYTES) aligned += alignment;
    const whole = spanOf(this.words, block);
    let main = block;
    if (aligned !== ptr) {
      main = split(this.words, this.#bias(ptr), block, whole, aligned - ptr, LIVE);
      this.words[(main + 4) >>> 2] = (whole - (aligned - ptr)) | LIVE;
      this.#release("alignedAlloc", block);
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
    return this.#liveSpan("usableSize", ptr) - HEADER_BYTES;
  }

  /** @internal Whether memory or heap have grown unseen; sees it. */
  isStale(): boolean {
    let stale = false;
    if (this.words.length === 0) {
      this.retake();
      stale = true;
    }
    const end = this.base + this.words[this.superblock + (BYTES_AT >>> 2)]!;
    if (end !== this.end) {
      this.end = end;
      stale = true;
    }
    return stale;
  }

  /** @internal Merges every cached block. O(cached blocks). */
  flush(): void {
    const u32 = this.words;
    const map = this.superblock + (QUICK_MAP_AT >>> 2);
    for (let word = 0; word < 4; word += 1) {
      for (let bits = u32[map + word]!; bits !== 0; bits &= bits - 1) {
        this.#flushList(word * 32 + (31 - Math.clz32(bits & -bits)));
      }
      u32[map + word] = 0;
    }
    u32[this.superblock + (BUDGET_AT >>> 2)] = this.#quickLimit(u32);
  }

  /** Bytes with header and padding for a payload; 0 when no heap could hold it. */
  #spanOf(call: string, size: number): number {
    if (!isCount(size)) throw badSize(call, size);
    if (size <= 8) return MIN_SPAN_BYTES;
    if (size > 0xffff_ff00) return 0;
    return Math.floor((size + this.#round) / this.alignment) * this.alignment;
  }

  /** Serves what the quick lists could not. */
  #take(span: number): Ptr {
    if (this.words.length === 0) this.isStale();
    let ptr = this.#reuse(span);
    if (ptr === NULL && this.#holdsCached()) {
      // Memory that was never used is the last resort: what the quick lists hold comes first.
      this.flush();
      ptr = this.#reuse(span);
    }
    return ptr === NULL ? this.#fromTop(span) : ptr;
  }

  /** Takes memory below the footprint: the best fit, or the wilderness where it was used before. */
  #reuse(span: number): Ptr {
    const u32 = this.words;
    const block = bestFit(u32, this.index, span);
    if (block === 0) {
      const top = u32[this.superblock + (TOP_AT >>> 2)]!;
      const used = this.base + u32[this.superblock + (FOOTPRINT_AT >>> 2)]!;
      return top + span <= used && this.#topSpan(u32, top) >= span ? this.#fromTop(span) : NULL;
    }
    const whole = u32[(block + 4) >>> 2]!;
    if (u32[(block + whole) >>> 2] !== whole || !isIndexed(u32, this.index, block, whole)) throw corrupt("malloc", block);
    removeFree(u32, this.index, block, whole);
    if (whole - span < MIN_SPAN_BYTES) {
      u32[(block + 4) >>> 2] = whole | LIVE;
    } else {
      insertFree(u32, this.index, split(u32, this.#bias(block), block, whole, span, LIVE), whole - span);
    }
    return asPtr(block + HEADER_BYTES);
  }

  /** Takes memory from the wilderness, growing the heap where that is too small. */
  #fromTop(span: number): Ptr {
    let u32 = this.words;
    let top = u32[this.superblock + (TOP_AT >>> 2)]!;
    while (this.#topSpan(u32, top) < span) {
      if (!extend(this, span)) return NULL;
      u32 = this.words;
      top = u32[this.superblock + (TOP_AT >>> 2)]!;
    }
    this.#cutTop(u32, top, this.#topSpan(u32, top), span);
    return asPtr(top + HEADER_BYTES);
  }

  /** Makes a LIVE block of the first `span` of the `whole` bytes at `block` that end where the wilderness does. */
  #cutTop(u32: Uint32Array, block: number, whole: number, span: number): void {
    let end = block + whole;
    if (whole - span < MIN_SPAN_BYTES) {
      u32[(block + 4) >>> 2] = whole | LIVE;
      u32[end >>> 2] = whole;
      u32[this.superblock + (TOP_AT >>> 2)] = end;
    } else {
      end = split(u32, this.#bias(block), block, whole, span, LIVE);
      u32[this.superblock + (TOP_AT >>> 2)] = end;
    }
    this.#raiseFootprint(u32, end);
  }

  #raiseFootprint(u32: Uint32Array, end: number): void {
    const footprint = this.superblock + (FOOTPRINT_AT >>> 2);
    if (end - this.base > u32[footprint]!) u32[footprint] = end - this.base;
  }

  /** Bytes of the wilderness: none when `top` is the end of the chain. */
  #topSpan(u32: Uint32Array, top: number): number {
    return stateOf(u32, top) === FREE ? spanOf(u32, top) : 0;
  }

  /** The start bits that speak of an address. */
  #bias(address: number): number {
    return this.words[this.directory + (address >>> this.granule)]!;
  }

  /** Frees a LIVE or CACHED block and merges it. */
  #release(call: string, block: Block): void {
    const u32 = this.words;
    const top = u32[this.superblock + (TOP_AT >>> 2)]!;
    if (!isSound(u32, this.index, block, top)) throw corrupt(call, block + HEADER_BYTES);
    this.#file(u32, merge(u32, this.index, this.#bias(block), block, top), top);
  }

  /** Files a merged block: beside the wilderness it becomes part of it. */
  #file(u32: Uint32Array, block: Block, top: number): void {
    const span = spanOf(u32, block);
    if (block + span !== top) return insertFree(u32, this.index, block, span);
    const topSpan = this.#topSpan(u32, top);
    if (topSpan !== 0) {
      u32[(block + 4) >>> 2] = span + topSpan;
      u32[(top + topSpan) >>> 2] = span + topSpan;
      clearStart(u32, this.#bias(block), top + HEADER_BYTES);
    }
    u32[this.superblock + (TOP_AT >>> 2)] = block;
  }

  /** Gives back what a block of `whole` bytes has beyond `span`. */
  #trim(block: Block, whole: number, span: number): void {
    if (whole - span < MIN_SPAN_BYTES) return;
    const u32 = this.words;
    const top = u32[this.superblock + (TOP_AT >>> 2)]!;
    if (!isSound(u32, this.index, block, top)) throw corrupt("realloc", block + HEADER_BYTES);
    const bias = this.#bias(block);
    this.#file(u32, merge(u32, this.index, bias, split(u32, bias, block, whole, span, LIVE), top), top);
  }

  /** Grows a block into the free memory to its right. False when there is not enough of it. */
  #growInPlace(block: Block, old: number, span: number): boolean {
    const u32 = this.words;
    const right = block + old;
    if (stateOf(u32, right) === CACHED) this.flush();
    if (stateOf(u32, right) !== FREE) return false;
    const whole = old + spanOf(u32, right);
    if (whole < span) return false;
    const top = u32[this.superblock + (TOP_AT >>> 2)]!;
    if (!isSound(u32, this.index, block, top)) throw corrupt("realloc", block + HEADER_BYTES);
    const bias = this.#bias(block);
    if (right === top) {
      clearStart(u32, bias, right + HEADER_BYTES);
      this.#cutTop(u32, block, whole, span);
      return true;
    }
    removeFree(u32, this.index, right, whole - old);
    clearStart(u32, bias, right + HEADER_BYTES);
    if (whole - span < MIN_SPAN_BYTES) {
      u32[(block + 4) >>> 2] = whole | LIVE;
      u32[(block + whole) >>> 2] = whole;
    } else {
      insertFree(u32, this.index, split(u32, bias, block, whole, span, LIVE), whole - span);
    }
    return true;
  }

  /** The span of a live block, or the error that says why there is none. */
  #liveSpan(call: string, ptr: Ptr): number {
    if (typeof ptr === "number" && ptr >= this.lowest && ptr < this.end && ptr >>> 0 === ptr && (ptr & 7) === 0) {
      const tag = this.words[(ptr >>> 2) - 1];
      if (tag !== undefined && (tag & STATE_MASK) === LIVE && isStart(this.words, this.#bias(ptr), ptr)) return tag - LIVE;
    }
    if (this.isStale()) return this.#liveSpan(call, ptr);
    throw refusal(this, call, ptr);
  }

  /** Marks a quick list that was empty. Marks are not taken back by a pop, only when the lists are counted. */
  #mark(u32: Uint32Array, list: number): void {
    const word = this.superblock + (QUICK_MAP_AT >>> 2) + (list >>> 5);
    const bits = u32[word]!;
    const bit = 1 << (list & 31);
    if ((bits & bit) === 0) u32[word] = bits | bit;
  }

  #holdsCached(): boolean {
    const u32 = this.words;
    const map = this.superblock + (QUICK_MAP_AT >>> 2);
    return (u32[map]! | u32[map + 1]! | u32[map + 2]! | u32[map + 3]!) !== 0;
  }

  /** What the quick lists may hold, in bytes. */
  #quickLimit(u32: Uint32Array): number {
    return u32[this.superblock + (FOOTPRINT_AT >>> 2)]! >>> QUICK_SHARE_SHIFT_BITS;
  }

  /**
   * Frees a small block when the budget is used up: counts what the quick lists hold, and merges it all where that is
   * more than half of what they may. So a push needs no count of what has been popped since.
   */
  #settle(ptr: Ptr, span: number): void {
    const u32 = this.words;
    const limit = this.#quickLimit(u32);
    let held = this.#countCached(u32, limit);
    if ((held + span) * 2 > limit) {
      this.flush();
      held = 0;
    }
    if (span > limit) return this.#release("free", (ptr - HEADER_BYTES) as Block);
    const list = this.quickLists + (span >>> 3);
    u32[(ptr >>> 2) - 1] = span | CACHED;
    u32[ptr >>> 2] = u32[list]!;
    u32[list] = ptr;
    this.#mark(u32, span >>> 3);
    u32[this.superblock + (BUDGET_AT >>> 2)] = limit - held - span;
  }

  /** Bytes in the quick lists; unmarks the empty ones. */
  #countCached(u32: Uint32Array, limit: number): number {
    let held = 0;
    const map = this.superblock + (QUICK_MAP_AT >>> 2);
    for (let word = 0; word < 4; word += 1) {
      for (let bits = u32[map + word]!; bits !== 0; bits &= bits - 1) {
        const list = word * 32 + (31 - Math.clz32(bits & -bits));
        const first = u32[this.quickLists + list]!;
        if (first === 0) u32[map + word]! &= ~(1 << (list & 31));
        for (let ptr = first; ptr !== 0; ptr = u32[ptr >>> 2]!) {
          held += list * 8;
          if (u32[(ptr >>> 2) - 1] !== ((list * 8) | CACHED) || held > limit) throw corrupt("free", ptr);
        }
      }
    }
    return held;
  }

  #flushList(list: number): void {
    const u32 = this.words;
    const head = this.quickLists + list;
    for (let ptr = u32[head]!; ptr !== 0; ) {
      if (u32[(ptr >>> 2) - 1] !== ((list * 8) | CACHED)) throw corrupt("malloc", ptr);
      const next = u32[ptr >>> 2]!;
      this.#release("malloc", (ptr - HEADER_BYTES) as Block);
      u32[head] = next;
      ptr = next;
    }
  }

  #zero(ptr: Ptr, bytes: number): void {
    if (bytes > LOOP_BYTES) {
      this.words.fill(0, ptr >>> 2, (ptr + bytes) >>> 2);
      return;
    }
    const u32 = this.words;
    for (let word = ptr >>> 2; word < (ptr + bytes) >>> 2; word += 1) u32[word] = 0;
  }

  #copy(from: Ptr, to: Ptr, bytes: number): void {
    const u32 = this.words;
    if (bytes > LOOP_BYTES) {
      u32.copyWithin(to >>> 2, from >>> 2, (from + bytes) >>> 2);
      return;
    }
    for (let at = 0; at < bytes >>> 2; at += 1) u32[(to >>> 2) + at] = u32[(from >>> 2) + at]!;
  }
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && Number.isInteger(value);
}
