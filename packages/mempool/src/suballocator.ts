/**
 * The suballocator: blocks of one size on a grid, handed out lowest first, in runs where one is too small.
 *
 * @module
 */
import { type Allocator, asPtr, type Heap, type HeapBuffer, type HeapError, NULL, type Ptr } from "@heapwright/core";

import { checkPool } from "./check.ts";
import { type Opened, unmakePool } from "./control.ts";
import { blocksOf, dumpOf, type MempoolBlock, type MempoolStats, statsOf } from "./inspect.ts";
import { CONTROL, FLAG_EXTERNAL, HELD as HELD_BIT, MAGIC, MARKS_WORD } from "./layout.ts";
import { mark, NONE } from "./marks.ts";
import {
  badArgument,
  badPointer,
  badSize,
  destroyed,
  doubleFree,
  interior,
  isCount,
  isPowerOfTwo,
  misaligned,
  noBytes,
  show,
} from "./misuse.ts";
import { isEmpty, releaseRun, seekLow, takeRun } from "./runs.ts";

// Local, because V8 folds a module's own constants into its code and reads imported ones at every use.
const { offsets } = CONTROL;
const FLAGS = offsets.flags >>> 2;
const FIRST = offsets.first >>> 2;
const BLOCK_BYTES = offsets.blockBytes >>> 2;
const COUNT = offsets.count >>> 2;
const BLOCK_ALIGNMENT = offsets.alignment >>> 2;
const LEAF = offsets.leaf >>> 2;
const BITMAP = offsets.bitmap >>> 2;
const RUNS = offsets.runs >>> 2;
const LOW = offsets.low >>> 2;
const WATCH = offsets.watch >>> 2;
const MARKS = MARKS_WORD;
const HELD = HELD_BIT;
/** The control block of a pool that this object has destroyed: beyond the words of any heap, so that all reads fail. */
const NO_CONTROL = 0x4000_0000;
/** From this size on `fill` is faster than a loop. */
const FILL_BYTES = 256;

/** A cursor over a control block. What it knows is in the heap; the fields here are addresses and constants. */
export class Suballocator implements Allocator {
  /** The heap whose bytes the pointers are offsets of; with an external range the one that the tables lie in. */
  declare readonly heap: Heap<HeapBuffer>;
  /** Serves the pool's memory. */
  declare readonly backing: Allocator;
  /** Bytes of a block: what `usableSize` gives for a single one. */
  declare readonly blockSize: number;
  /** @internal */
  declare readonly report: ((message: string) => void) | undefined;
  /** @internal Word address of the control block. */
  declare control: number;
  /** @internal The heap's words as last seen; of length 0 when its memory has grown since. */
  declare words: Uint32Array;
  /** @internal Word addresses. */
  declare readonly lowWord: number;
  /** @internal */
  declare readonly watchWord: number;
  /** @internal */
  declare readonly bitmap: number;
  /** @internal */
  declare readonly runs: number;
  /** @internal Blocks, and words of the bitmap. */
  declare readonly count: number;
  /** @internal */
  declare readonly bitmapWords: number;
  /** @internal Address of block 0 as a 32-bit integer, so that V8 adds integers. */
  declare readonly origin: number;
  /** @internal The block size is `odd << shift`, and this is the inverse of `odd` modulo 2^32. */
  declare readonly inverse: number;
  /** @internal */
  declare readonly shift: number;
  /** @internal Word address of the marks of single blocks. */
  declare readonly marks: number;
  /** @internal */
  declare readonly leaf: number;

  /** @internal */
  constructor({ backing, handle, report }: Opened) {
    const { u32 } = backing.heap;
    const control = handle >>> 2;
    const blockBytes = u32[control + BLOCK_BYTES]!;
    const shift = 31 - Math.clz32(blockBytes & -blockBytes);
    this.heap = backing.heap;
    this.backing = backing;
    this.blockSize = blockBytes;
    this.report = report;
    this.control = control;
    this.words = u32;
    this.lowWord = control + LOW;
    this.watchWord = control + WATCH;
    this.bitmap = u32[control + BITMAP]!;
    this.runs = u32[control + RUNS]!;
    this.count = u32[control + COUNT]!;
    this.bitmapWords = Math.ceil(this.count / 32);
    this.origin = u32[control + FIRST]! | 0;
    this.inverse = inverseOf(blockBytes >>> shift);
    this.shift = shift;
    this.marks = control + MARKS;
    this.leaf = u32[control + LEAF]!;
  }

  /** The control block: `attach` opens the same pool by it. */
  get handle(): Ptr {
    this.expectAlive("handle");
    return asPtr(this.control * 4);
  }

  /** Whether the blocks lie in a range that is not in the heap. */
  get isExternal(): boolean {
    return this.#lacksBytes("isExternal");
  }

  /**
   * Allocates. O(1) for one block; more are searched for, 32 at a time.
   *
   * @param size - payload bytes, a whole number from 0; 0 gives a block of its own
   * @returns the lowest free block, the lowest run of neighbouring free blocks where one is too small, its bytes undefined;
   * `NULL` when there is none
   * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but a whole number from 0, `ERR_DESTROYED`
   */
  malloc(size: number): Ptr {
    if (typeof size === "number" && size <= this.blockSize && size >>> 0 === size) {
      const u32 = this.words;
      const low = u32[this.lowWord]!;
      if (low < this.bitmapWords) {
        const word = (this.bitmap + low) | 0;
        const bits = u32[word]!;
        if (bits !== 0) {
          const bit = bits & -bits;
          const block = ((low << 5) + 31 - Math.clz32(bit)) | 0;
          u32[word] = bits ^ bit;
          u32[(this.runs + block) | 0] = 1;
          return ((this.origin + Math.imul(block, this.blockSize)) >>> 0) as Ptr;
        }
      }
    }
    return this.#take(size);
  }

  /**
   * Gives a block back. O(1), for a run O(its blocks / 32).
   *
   * @param ptr - a live block of this pool; `NULL` does nothing
   * @throws HeapError `ERR_DOUBLE_FREE` for a pointer into a free block, `ERR_INVALID_POINTER` for one into a live block or
   * from elsewhere, `ERR_INVALID_ARGUMENT` for anything but a number, `ERR_DESTROYED`; nothing is changed
   */
  free(ptr: Ptr): void {
    if (typeof ptr === "number" && ptr >>> 0 === ptr) {
      const product = Math.imul((ptr - this.origin) | 0, this.inverse);
      const block = ((product >>> this.shift) | (product << (32 - this.shift))) >>> 0;
      if (block < this.count) {
        const u32 = this.words;
        const run = (this.runs + block) | 0;
        const at = block >>> 5;
        const word = (this.bitmap + at) | 0;
        if (u32[run] === 1 && at >= u32[this.watchWord]!) {
          const bits = u32[word]!;
          u32[run] = 0;
          u32[word] = bits | (1 << block);
          if (bits === 0) mark(u32, this.marks, this.leaf, at);
          return;
        }
      }
    }
    this.#give(ptr);
  }

  /**
   * Zeroed memory for an array. O(bytes).
   *
   * @param count - elements, a whole number from 0
   * @param size - bytes of each, a whole number from 0
   * @returns the block; `NULL` when there is no room for `count * size` bytes
   * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but whole numbers from 0, `ERR_UNSUPPORTED` with an external
   * range, `ERR_DESTROYED`
   */
  calloc(count: number, size: number): Ptr {
    if (this.#lacksBytes("calloc")) throw noBytes("calloc", "there are none to clear; use malloc");
    if (!isCount(count)) throw badArgument("calloc", "the count", count, "a whole number from 0");
    if (!isCount(size)) throw badSize("calloc", size);
    const bytes = count * size;
    const ptr = this.malloc(bytes);
    if (ptr === NULL) return NULL;
    if (bytes < FILL_BYTES) {
      const u32 = this.words;
      const end = (ptr + bytes) >>> 0;
      for (let at = ptr as number; at < end; at += 4) u32[at >>> 2] = 0;
    } else {
      this.heap.u8.fill(0, ptr, ptr + bytes);
    }
    return ptr;
  }

  /**
   * Makes a block larger. Where `size` fits into what the block has it stays, and keeps all it has; else it moves:
   * allocate, copy, free. O(bytes).
   *
   * @param ptr - a live block of this pool; `NULL` makes this `malloc(size)`
   * @param size - payload bytes, a whole number from 0
   * @returns the block, with the old contents; `NULL` when there is no room, and then the old block is as it was
   * @throws HeapError as `free` does, `ERR_INVALID_ARGUMENT` for a size that is none, `ERR_UNSUPPORTED` where a block in an
   * external range had to move
   */
  realloc(ptr: Ptr, size: number): Ptr {
    if (ptr === NULL) return this.malloc(size);
    const usable = this.#usable("realloc", ptr);
    if (!isCount(size)) throw badSize("realloc", size);
    if (size <= usable) return ptr;
    if (this.isExternal)
      throw noBytes(`realloc(${show(ptr)}, ${size})`, "copy there yourself, to a block of that size");
    const moved = this.malloc(size);
    if (moved === NULL) return NULL;
    this.heap.u8.copyWithin(moved, ptr, ptr + usable);
    this.free(ptr);
    return moved;
  }

  /**
   * As `malloc`, for those who need blocks at multiples of `alignment`.
   *
   * @param alignment - bytes, a power of two up to the pool's own
   * @param size - payload bytes, a whole number from 0
   * @throws HeapError `ERR_UNSUPPORTED` for more than the alignment that the pool was made with, and as `malloc` does
   */
  alignedAlloc(alignment: number, size: number): Ptr {
    const own = this.expectAlive("alignedAlloc")[this.control + BLOCK_ALIGNMENT]!;
    if (!isPowerOfTwo(alignment)) throw badArgument("alignedAlloc", "the alignment", alignment, "a power of two");
    if (alignment <= own) return this.malloc(size);
    throw misaligned(alignment, own);
  }

  /**
   * @param ptr - a live block of this pool
   * @returns the bytes that may be written there, at least what was asked for
   * @throws HeapError as `free` does, for `NULL` too
   */
  usableSize(ptr: Ptr): number {
    return this.#usable("usableSize", ptr);
  }

  /**
   * Gives all memory back to the backing, live blocks too. O(blocks).
   *
   * @throws HeapError `ERR_DESTROYED` the second time
   */
  destroy(): void {
    const { handle } = this;
    this.forget();
    unmakePool(this.backing, handle);
  }

  /** As `destroy`, for `using`; harmless when the pool is gone. */
  [Symbol.dispose](): void {
    if (!this.isDestroyed) this.destroy();
  }

  /** What is live and what is free. O(blocks). */
  stats(): MempoolStats {
    return statsOf(this.expectAlive("stats"), this.control, this.backing, [this.handle]);
  }

  /** All blocks by ascending address. The pool must not change meanwhile. */
  *blocks(): Generator<MempoolBlock> {
    yield* blocksOf(this.expectAlive("blocks"), this.control);
  }

  /** A picture in words: the pool, then a line a live block and a line for what is free between two. */
  dump(): string {
    this.expectAlive("dump");
    return dumpOf(this.stats(), this.blocks());
  }

  /**
   * Proves every invariant of the layout. O(blocks).
   *
   * @throws HeapError `ERR_CORRUPT` that names the one that does not hold
   */
  check(): void {
    checkPool(this.expectAlive("check"), this.control);
  }

  /** @internal Lets go of a pool that is about to be gone. */
  forget(): void {
    this.control = NO_CONTROL;
    this.words = new Uint32Array(0);
  }

  /** @internal */
  get isDestroyed(): boolean {
    return this.heap.u32[this.control] !== MAGIC;
  }

  /** @internal Whether a block is free. O(1) amortised. */
  get hasFree(): boolean {
    return seekLow(this.expectAlive("malloc"), this.control);
  }

  /** @internal Whether no block is live. O(blocks / 32). */
  get isEmpty(): boolean {
    return isEmpty(this.expectAlive("realloc"), this.control);
  }

  /** @internal Whether a pointer is a live block. O(1). */
  isLive(ptr: Ptr): boolean {
    return this.find(this.expectAlive("realloc"), ptr) !== NONE;
  }

  /** @internal The heap's words as they are now, after a look at the magic. */
  expectAlive(call: string): Uint32Array {
    const { u32 } = this.heap;
    if (u32[this.control] !== MAGIC) throw destroyed(call);
    this.words = u32;
    return u32;
  }

  /** Serves what the cached word of the bitmap could not. */
  #take(size: number): Ptr {
    const u32 = this.expectAlive("malloc");
    if (!isCount(size)) throw badSize("malloc", size);
    const { control, blockSize } = this;
    if (size <= blockSize) return seekLow(u32, control) ? this.malloc(size) : NULL;
    const blocks = Math.ceil(size / blockSize);
    const block = blocks > this.count ? NONE : takeRun(u32, control, blocks);
    return block === NONE ? NULL : this.addressOf(block);
  }

  /** Takes back what changes more than a bit, and refuses what is no block. */
  #give(ptr: Ptr): void {
    const u32 = this.expectAlive("free");
    if (ptr === NULL) return;
    const block = this.find(u32, ptr);
    if (block === NONE) throw this.refusal(u32, "free", ptr);
    releaseRun(u32, this.control, block, u32[this.runs + block]!);
  }

  #lacksBytes(call: string): boolean {
    return (this.expectAlive(call)[this.control + FLAGS]! & FLAG_EXTERNAL) !== 0;
  }

  #usable(call: string, ptr: Ptr): number {
    const u32 = this.expectAlive(call);
    const block = this.find(u32, ptr);
    if (block === NONE) throw this.refusal(u32, call, ptr);
    return u32[this.runs + block]! * this.blockSize;
  }

  /** @internal The block at which a live run begins, or `NONE`. */
  find(u32: Uint32Array, ptr: Ptr): number {
    if (typeof ptr !== "number" || ptr >>> 0 !== ptr) return NONE;
    const product = Math.imul((ptr - this.origin) | 0, this.inverse);
    const block = ((product >>> this.shift) | (product << (32 - this.shift))) >>> 0;
    const run = block < this.count ? u32[this.runs + block]! : 0;
    return run !== 0 && run < HELD ? block : NONE;
  }

  /** @internal */
  addressOf(block: number): Ptr {
    return asPtr((this.origin + Math.imul(block, this.blockSize)) >>> 0);
  }

  /** @internal Why a pointer is no live block. */
  refusal(u32: Uint32Array, call: string, ptr: Ptr): HeapError {
    const { blockSize, bitmap, runs } = this;
    const first = this.origin >>> 0;
    if (typeof ptr !== "number" || ptr >>> 0 !== ptr || ptr < first || ptr >= first + this.count * blockSize) {
      return badPointer(call, ptr);
    }
    let block = Math.floor((ptr - first) / blockSize);
    const isFree = ((u32[bitmap + (block >>> 5)]! >>> (block & 31)) & 1) !== 0;
    if (isFree || u32[runs + block]! >= HELD) return doubleFree(call, ptr, this.addressOf(block));
    while (block > 0 && u32[runs + block] === 0) block -= 1;
    return interior(call, ptr, this.addressOf(block), u32[runs + block]! * blockSize);
  }
}

/** The inverse of an odd number modulo 2^32. */
function inverseOf(odd: number): number {
  // Right in 3 bits, and each step doubles that.
  let inverse = odd;
  for (let bits = 3; bits < 32; bits *= 2) inverse = Math.imul(inverse, 2 - Math.imul(odd, inverse));
  return inverse;
}
