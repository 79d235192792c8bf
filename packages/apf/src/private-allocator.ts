/**
 * The allocator of one agent: size classes, a cache for each, superblocks behind them. What is frequent is here, the rest in
 * the rooms that it calls.
 *
 * @module
 */
import { type Allocator, NULL, type Ptr } from "@heapwright/core";

import { cachedCount, isCramped, widen } from "./caches.ts";
import { checkAllocator } from "./check.ts";
import { Cursor } from "./cursor.ts";
import { type ApfBlock, type ApfStats, blocksOf, dumpOf, statsOf, takenBlocks } from "./inspect.ts";
import { freeLarge, isBackings, isLarge, resizeLarge, takeAligned, takeLarge, tryFreeLarge } from "./large-blocks.ts";
import { CLASS_COUNT, CONTROL, MAGIC, RECORD, RECORD_WORDS, SUPERBLOCK, WORKER } from "./layout.ts";
import { badArgument, corrupt, isCount } from "./misuse.ts";
import { forget, isLive, mapBlocks, superblockAt } from "./page-map.ts";
import { refusal } from "./refusal.ts";
import { alignedClassOf, classOf, RECORD_OF, SIZES, SMALL_LIMIT_BYTES } from "./size-classes.ts";
import { releaseRetired } from "./superblocks.ts";
import { fetch, giveBack } from "./transfers.ts";
import { adjustLimit, pause, reportOf, resume, surplusBlocks, tick, type TunerReport, wantedBlocks } from "./tuner.ts";
import { copyBytes, zeroBytes } from "./words.ts";
import { workersOf } from "./workers.ts";

// Local, because V8 folds a module's own constants into its code and reads imported ones at every use.
const RECORD_OF_SIZE = RECORD_OF;
const END = RECORD.offsets.end >>> 2;
const CLASS = SUPERBLOCK.offsets.class >>> 2;
const OWNER = SUPERBLOCK.offsets.record >>> 2;
const ROOM_MASK = 0x1fff;
const LEFT_MASK = 0x1ff_e000;
/** What an allocation takes from the tally: one of left, while room grows by one. */
const ALLOCATION = 0x1fff;
/** A slot of a cache without its mark. */
const UNMARKED = -2;
const CLASSED_BYTES = 14_336;
/** No payload is larger, since no heap is. */
const MAX_PAYLOAD_BYTES = 0xffff_ff00;
/** What every block is aligned to. */
const ALIGNMENT_BYTES = 8;
/** Blocks up to that are never moved to a smaller class. */
const LEAST_SHRUNK_BYTES = 16;

/** The allocator as one agent uses it. */
export class PrivateAllocator extends Cursor implements Allocator {
  /**
   * Allocates. O(1).
   *
   * @param size - payload bytes, a whole number from 0; 0 gives a block of 8 bytes
   * @returns the block of its class that was freed last, its bytes undefined; `NULL` when there is no room
   * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but a whole number from 0, `ERR_DESTROYED`, `ERR_CORRUPT` when
   * the allocator's words were written over
   */
  malloc(size: number): Ptr {
    if (typeof size === "number" && size <= CLASSED_BYTES && size >>> 0 === size) {
      const u32 = this.words;
      const record = (this.records + RECORD_OF_SIZE[(size + 7) >>> 3]!) | 0;
      const tally = u32[record]! | 0;
      const ptr = u32[(u32[(record + END) | 0]! - (tally & ROOM_MASK) - 1) | 0]! & UNMARKED;
      if (ptr !== 0 && (tally & LEFT_MASK) !== 0) {
        const word = (u32[(this.map + (ptr >>> 12) * 4) | 0]! + (ptr >>> 8)) | 0;
        const bits = u32[word]!;
        const bit = 1 << (ptr >>> 3);
        // Not undefined: another object has replaced the map.
        if ((bits & bit) === 0 && bits >= 0) {
          u32[record] = (tally - ALLOCATION) | 0;
          u32[word] = bits | bit;
          return (ptr >>> 0) as Ptr;
        }
      }
    }
    return (this.#mallocSlowly(size) >>> 0) as Ptr;
  }

  /**
   * Gives a block back. O(1).
   *
   * @param ptr - a live block of this allocator; `NULL` does nothing
   * @throws HeapError `ERR_DOUBLE_FREE` for a block that is free, `ERR_INVALID_POINTER` for a pointer into a block or from
   * elsewhere, `ERR_INVALID_ARGUMENT` for anything but a number, `ERR_DESTROYED`; nothing is changed
   */
  free(ptr: Ptr): void {
    if (typeof ptr === "number" && (ptr & 7) === 0 && ((ptr | 0) === ptr || ptr >>> 0 === ptr)) {
      const u32 = this.words;
      const page = ptr >>> 12;
      if ((page - this.firstPage) >>> 0 < this.pageCount >>> 0) {
        const entry = (this.map + page * 4) | 0;
        const word = (u32[entry]! + (ptr >>> 8)) | 0;
        const bits = u32[word]!;
        const bit = 1 << (ptr >>> 3);
        if ((bits & bit) !== 0) {
          const record = u32[(entry + 1) | 0]! | 0;
          const tally = u32[record]! | 0;
          if ((tally & ROOM_MASK) !== 0) {
            u32[word] = bits ^ bit;
            u32[(u32[(record + END) | 0]! - (tally & ROOM_MASK)) | 0] = ptr;
            u32[record] = (tally - 1) | 0;
            return;
          }
        }
      }
    }
    this.#freeSlowly(ptr);
  }

  /** Serves what the cache could not, and refuses what is no size. */
  #mallocSlowly(size: number): Ptr {
    if (Number.isInteger(size) && size > SMALL_LIMIT_BYTES && size <= MAX_PAYLOAD_BYTES) {
      const ptr = this.#mallocLarge(size);
      if (ptr !== NULL) return ptr;
    }
    this.expectAlive("malloc");
    if (!isCount(size)) throw badArgument("malloc", "size", size, "a whole number of bytes from 0");
    if (size > MAX_PAYLOAD_BYTES) return NULL;
    if (this.refresh()) return this.malloc(size);
    const sizeClass = classOf(size);
    const record = this.records + sizeClass * RECORD_WORDS;
    const u32 = this.words;
    if (cachedCount(u32, record) === 0) {
      if (isBackings(this, record, sizeClass)) return this.#takeLarge(size, sizeClass);
      return this.#fetch(record, sizeClass) ? this.malloc(size) : NULL;
    }
    if ((u32[record]! & LEFT_MASK) !== 0) throw corrupt("malloc", record * 4);
    tick(this, record, sizeClass);
    return this.malloc(size);
  }

  /** A block of the backing, when that is where the next one of its class is from; `NULL` also when it has none to give. */
  #mallocLarge(size: number): Ptr {
    const u32 = this.words;
    const sizeClass = classOf(size);
    const record = (this.records + sizeClass * RECORD_WORDS) | 0;
    if (u32[this.control] !== MAGIC || cachedCount(u32, record) !== 0) return NULL;
    return isBackings(this, record, sizeClass) ? takeLarge(this, size, sizeClass) : NULL;
  }

  /** Fills a cache. Without memory for a superblock, what other caches hold is returned first. */
  #fetch(record: number, sizeClass: number): boolean {
    if (fetch(this, record, sizeClass, wantedBlocks(this, record, sizeClass)) === 0) {
      this.flush();
      if (fetch(this, record, sizeClass, 1) === 0) return false;
    }
    this.refresh();
    adjustLimit(this, record, sizeClass);
    return true;
  }

  #takeLarge(size: number, sizeClass: number): Ptr {
    const ptr = takeLarge(this, size, sizeClass);
    if (ptr !== NULL) return ptr;
    this.flush();
    return takeLarge(this, size, sizeClass);
  }

  #orReclaim(take: () => Ptr): Ptr {
    const ptr = take();
    if (ptr !== NULL) return ptr;
    this.flush();
    return take();
  }

  /** Frees what no cache takes at once, and refuses what is no live block. */
  #freeSlowly(ptr: Ptr): void {
    if (tryFreeLarge(this, ptr)) return;
    this.expectAlive("free");
    if (ptr === NULL) return;
    if (this.refresh()) return this.free(ptr);
    const descriptor = this.#superblockOf("free", ptr);
    if (descriptor === 0) return freeLarge(this, ptr);
    const record = this.words[(descriptor >>> 2) + OWNER]!;
    const sizeClass = this.words[(descriptor >>> 2) + CLASS]!;
    if ((this.words[record]! & ROOM_MASK) !== 0) throw corrupt("free", record * 4);
    if (!isCramped(this.words, record) || !widen(this, record, cachedCount(this.words, record) + 1)) {
      giveBack(this, record, surplusBlocks(this, record, sizeClass));
    }
    adjustLimit(this, record, sizeClass);
    this.refresh();
    // The rules may let the cache be full, and there may be no slots for more.
    if ((this.words[record]! & ROOM_MASK) === 0) giveBack(this, record, 1);
    this.free(ptr);
  }

  /**
   * Allocates zeroed memory for an array. O(bytes).
   *
   * @param count - elements, a whole number from 0
   * @param size - bytes of each, a whole number from 0
   * @returns the block, its first `count * size` bytes zero; `NULL` when there is no room
   * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but whole numbers from 0, otherwise as `malloc`
   */
  calloc(count: number, size: number): Ptr {
    const wanted = "a whole number from 0";
    if (!isCount(count)) throw badArgument("calloc", "count", count, wanted);
    if (!isCount(size)) throw badArgument("calloc", "size", size, wanted);
    const bytes = count * size;
    if (bytes > MAX_PAYLOAD_BYTES) return NULL;
    const ptr = this.malloc(bytes);
    if (ptr !== NULL) zeroBytes(this.heap.u32, ptr, bytes);
    return ptr;
  }

  /**
   * Changes a block's size. It stays where it is in its class, when it shrinks by less than half, and where the backing can
   * grow a large one in place.
   *
   * @param ptr - a live block of this allocator; `NULL` makes this `malloc(size)`
   * @param size - payload bytes, a whole number from 0
   * @returns the block, with the old contents up to the smaller of both sizes; `NULL` when there is no room, and then the
   * old block is as it was
   * @throws HeapError as `malloc` and `free` do
   */
  realloc(ptr: Ptr, size: number): Ptr {
    if (this.#isInClass(ptr, size)) return ptr;
    if (ptr === NULL) return this.malloc(size);
    const descriptor = this.#superblockOf("realloc", ptr);
    if (!isCount(size)) throw badArgument("realloc", "size", size, "a whole number of bytes from 0");
    if (size > MAX_PAYLOAD_BYTES) return NULL;
    const old = this.#sizeOf(descriptor, ptr);
    if (size <= old && (size > old >>> 1 || old <= LEAST_SHRUNK_BYTES)) return ptr;
    if (descriptor === 0 && size > SMALL_LIMIT_BYTES) return this.#orReclaim(() => resizeLarge(this, ptr, size));
    const moved = this.malloc(size);
    if (moved === NULL) return NULL;
    copyBytes(this.heap.u32, ptr, moved, Math.min(old, size));
    this.free(ptr);
    return moved;
  }

  /** Whether a block is known to be live, and of the class of a size. */
  #isInClass(ptr: Ptr, size: number): boolean {
    if (typeof ptr !== "number" || (ptr & 7) !== 0 || ((ptr | 0) !== ptr && ptr >>> 0 !== ptr)) return false;
    if (!(typeof size === "number" && size <= CLASSED_BYTES && size >>> 0 === size)) return false;
    const u32 = this.words;
    const page = ptr >>> 12;
    if ((page - this.firstPage) >>> 0 >= this.pageCount >>> 0) return false;
    const entry = (this.map + page * 4) | 0;
    const record = (this.records + RECORD_OF_SIZE[(size + 7) >>> 3]!) | 0;
    return (u32[(u32[entry]! + (ptr >>> 8)) | 0]! & (1 << (ptr >>> 3))) !== 0 && u32[(entry + 1) | 0] === record;
  }

  /**
   * Allocates at a multiple of more than 8 bytes. O(1) up to 2 KiB and an alignment of that.
   *
   * @param alignment - bytes, a power of two
   * @param size - payload bytes, a whole number from 0
   * @returns the block; `NULL` when there is no room
   * @throws HeapError `ERR_INVALID_ARGUMENT` for anything else, `ERR_UNSUPPORTED` where the backing has no such blocks,
   * otherwise as `malloc`
   */
  alignedAlloc(alignment: number, size: number): Ptr {
    const isPossible = isCount(alignment) && alignment <= 0xffff_ffff && alignment !== 0;
    if (!isPossible || (alignment & (alignment - 1)) !== 0) {
      throw badArgument("alignedAlloc", "alignment", alignment, "a power of two");
    }
    if (alignment <= ALIGNMENT_BYTES) return this.malloc(size);
    this.expectAlive("alignedAlloc");
    if (!isCount(size)) throw badArgument("alignedAlloc", "size", size, "a whole number of bytes from 0");
    if (size > MAX_PAYLOAD_BYTES) return NULL;
    const sizeClass = alignedClassOf(alignment, size);
    if (sizeClass !== 0) return this.malloc(SIZES[sizeClass]!);
    return this.#orReclaim(() => takeAligned(this, alignment, size));
  }

  /**
   * @param ptr - a live block of this allocator
   * @returns the bytes that may be written there, at least what was asked for
   * @throws HeapError as `free` does, for `NULL` too
   */
  usableSize(ptr: Ptr): number {
    return this.#sizeOf(this.#superblockOf("usableSize", ptr), ptr);
  }

  /**
   * Calls a function with the tuner off: its allocations are not counted, and caches follow the fixed rule. Calls nest.
   *
   * @param act - the function; what it awaits comes too late
   * @returns what it returns
   * @throws HeapError `ERR_DESTROYED`, `ERR_INVALID_ARGUMENT` for what is no function; what the function throws
   */
  noTuning<T>(act: () => T): T {
    this.expectAlive("noTuning");
    if (typeof act !== "function") throw badArgument("noTuning", "the argument", act, "a function");
    pause(this);
    try {
      return act();
    } finally {
      if (!this.isDestroyed) resume(this);
    }
  }

  /**
   * Returns what the caches hold to the superblocks, and those that are empty then to the backing. O(cached blocks).
   *
   * @throws HeapError `ERR_DESTROYED`
   */
  flush(): void {
    this.expectAlive("flush");
    this.refresh();
    this.supply?.collect();
    for (let sizeClass = 1; sizeClass < CLASS_COUNT; sizeClass += 1) {
      const record = this.records + sizeClass * RECORD_WORDS;
      giveBack(this, record, cachedCount(this.words, record));
    }
    releaseRetired(this);
  }

  /**
   * What the tuner of a class has seen and wants.
   *
   * @param sizeClass - 1 to 39, as {@link classOf} gives it
   * @throws HeapError `ERR_INVALID_ARGUMENT` for anything else, `ERR_DESTROYED`
   */
  tuner(sizeClass: number): TunerReport {
    this.expectAlive("tuner");
    if (!isCount(sizeClass) || sizeClass < 1 || sizeClass >= CLASS_COUNT) {
      throw badArgument("tuner", "the class", sizeClass, `a whole number from 1 to ${CLASS_COUNT - 1}`);
    }
    return reportOf(this, this.records + sizeClass * RECORD_WORDS, sizeClass);
  }

  /** What is live, cached and free. O(blocks). */
  stats(): ApfStats {
    this.expectAlive("stats");
    return statsOf(this);
  }

  /**
   * Every block that was ever handed out of a superblock and every large one that is live. The allocator must not change
   * meanwhile.
   */
  *blocks(): Generator<ApfBlock> {
    this.expectAlive("blocks");
    yield* blocksOf(this);
  }

  /** @internal The blocks of the backing that are the allocator's own, large ones included. */
  taken(): Ptr[] {
    return takenBlocks(this);
  }

  /** A picture in words: superblocks, caches, then a line a block. */
  dump(): string {
    this.expectAlive("dump");
    return dumpOf(this);
  }

  /**
   * Proves every invariant of the layout. O(blocks).
   *
   * @throws HeapError `ERR_CORRUPT` that names the one that does not hold
   */
  check(): void {
    this.expectAlive("check");
    checkAllocator(this);
  }

  /**
   * Gives all memory back to the backing, live blocks too. O(superblocks).
   *
   * @throws HeapError `ERR_DESTROYED` the second time
   */
  destroy(): void {
    const u32 = this.expectAlive("destroy");
    const taken = takenBlocks(this);
    const workers = [...workersOf(u32, this.control)];
    // What is left in the freed blocks makes every other cursor refuse.
    for (const map of mapBlocks(u32, this.control)) forget(u32, map);
    for (const worker of workers) u32.fill(0, worker >>> 2, (worker + WORKER.size) >>> 2);
    u32.fill(0, this.control, this.control + CONTROL.size / 4);
    this.close();
    for (const block of taken) this.backing.free(block);
  }

  /** As `destroy`, for `using`; harmless when the allocator is gone. */
  [Symbol.dispose](): void {
    if (!this.isDestroyed) this.destroy();
  }

  #sizeOf(descriptor: number, ptr: Ptr): number {
    return descriptor === 0 ? this.backing.usableSize(ptr) : SIZES[this.words[(descriptor >>> 2) + CLASS]!]!;
  }

  /** The superblock of a live block, 0 for a large one; or the error that says why there is none. */
  #superblockOf(call: string, ptr: Ptr): number {
    const u32 = this.expectAlive(call);
    this.refresh();
    if (typeof ptr === "number" && ptr >>> 0 === ptr) {
      const descriptor = superblockAt(u32, this.control, ptr);
      if (descriptor !== 0 && isLive(u32, descriptor, ptr)) return descriptor;
      if (isLarge(this, ptr)) return 0;
    }
    throw refusal(this, call, ptr);
  }
}
