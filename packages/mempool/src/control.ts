/**
 * Makes and opens pools: arguments, control block, tables. The pictures are in layout.
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
} from "@heapwright/core";

import {
  ALIGNMENT_BYTES,
  BACKING_HEAP,
  BACKING_UNNAMED,
  CLASS_BLOCKS,
  CONTROL,
  FLAG_EXTERNAL,
  FLAG_SHARED,
  LAYOUT_VERSION,
  MAGIC,
  MARKS_WORD,
  MAX_MAGAZINE_BLOCKS,
  MAX_POOL_BYTES,
  shapeOf,
} from "./layout.ts";
import { markAll } from "./marks.ts";
import { badArgument, isCount, isPowerOfTwo, noMagazines, outOfMemory, show } from "./misuse.ts";

const { offsets } = CONTROL;
const BITMAP = offsets.bitmap >>> 2;

/** A range that is not in the heap: a GPU buffer, a file, a row of a texture atlas. */
export interface ExternalRange {
  /** Where it begins, a whole number from 0 in whatever unit the range has: the address of its first byte. */
  readonly base: number;
  /** Its length. */
  readonly bytes: number;
}

/** What a pool may be told beyond the document's arguments. */
export interface MempoolOptions {
  /**
   * Serves the block that the pool lies in; for an external range only its tables.
   *
   * @defaultValue the global allocator at the time the pool is made; for `attach` the heap
   */
  readonly backing?: Allocator;
  /**
   * Is given the messages of the document's functions.
   *
   * @defaultValue `console.error`, looked up at each call
   */
  readonly report?: (message: string) => void;
  /**
   * What every block's address, and so the block size, is a multiple of: a power of two.
   *
   * @defaultValue 16, and less is 16; for an external range 1
   */
  readonly alignment?: number;
  /**
   * Manages blocks of this range instead of memory in the heap. Pointers are addresses in the range: of its units, from
   * `base` on. No byte of it is ever read or written.
   */
  readonly external?: ExternalRange;
  /**
   * In a shared heap: how many single blocks each worker may keep for itself, to hand them out and take them back without
   * the lock. Blocks are then no longer the lowest free ones, and a pool is full for one worker while another holds some.
   *
   * @defaultValue 0: every call takes the lock, and addresses are those of the original
   */
  readonly magazine?: number;
}

/** @internal How an object finds the pool that is to be used through it. */
export class Opened {
  readonly backing: Allocator;
  readonly handle: Ptr;
  readonly report: ((message: string) => void) | undefined;

  constructor(backing: Allocator, handle: Ptr, report: ((message: string) => void) | undefined) {
    this.backing = backing;
    this.handle = handle;
    this.report = report;
  }
}

/** @internal Tells a constructor's ways apart: numbers make a pool, this opens one that is there. */
export function isOpened(value: unknown): value is Opened {
  return value instanceof Opened;
}

/** @internal Where the blocks of a pool lie, as far as that is known before it has memory. */
export interface Grid {
  /** Bytes from block to block. */
  readonly blockBytes: number;
  /** Blocks; 0 when what rounding makes of the block size leaves none. */
  readonly count: number;
  readonly alignment: number;
  /** Address of the first block of an external range, else undefined. */
  readonly first: number | undefined;
}

/**
 * @internal Checks all arguments, and counts the blocks.
 *
 * @throws HeapError `ERR_INVALID_ARGUMENT`, `ERR_OUT_OF_MEMORY` for more than a pool can have
 */
export function gridOf(call: string, size: unknown, blockSize: unknown, options: MempoolOptions): Grid {
  if (!isCount(size) || size === 0) throw badArgument(call, "size", size, "a whole number of bytes from 1");
  if (!isCount(blockSize) || blockSize === 0 || blockSize >= size) {
    throw badArgument(call, "default_block_size", blockSize, `a whole number of bytes from 1, less than size, ${size}`);
  }
  const { external } = options;
  const alignment = alignmentOf(call, options.alignment, external !== undefined);
  const blockBytes = Math.ceil(blockSize / alignment) * alignment;
  if (external === undefined) {
    if (size > MAX_POOL_BYTES) throw outOfMemory(call, size);
    return { blockBytes, count: Math.floor(size / blockBytes), alignment, first: undefined };
  }
  if (size > external.bytes) throw badArgument(call, "size", size, `at most the range's ${external.bytes} bytes`);
  // Address 0 names no block.
  const first = Math.ceil(Math.max(1, external.base) / alignment) * alignment;
  const count = Math.max(0, Math.floor((external.base + size - first) / blockBytes));
  return { blockBytes, count, alignment, first };
}

/** @internal Takes memory from the backing and makes a pool of it. O(size). */
export function makePool(size: unknown, blockSize: unknown, given: MempoolOptions | undefined): Opened {
  const call = "new Mempool";
  const options = checkOptions(call, given);
  const { blockBytes, count, alignment, first } = gridOf(call, size, blockSize, options);
  if (count < 1) {
    const rounded = `less: rounded up to ${blockBytes}, it leaves no block`;
    throw badArgument(call, "default_block_size", blockSize, rounded);
  }
  const { backing = globalAllocator(), report, magazine = 0 } = options;
  const { lock } = backing.heap;
  if (magazine > 0 && lock === undefined) throw noMagazines(call);
  const { bitmapWords, leaf, treeWords, ...shape } = shapeOf(count);
  // What the backing aligns to is known to be 8 only.
  const bytes = shape.end * 4 + (first === undefined ? alignment - 8 + count * blockBytes : 0);
  const handle = bytes > MAX_POOL_BYTES ? NULL : backing.malloc(bytes);
  if (handle === NULL) throw outOfMemory(call, bytes);
  const { u32 } = backing.heap;
  const control = handle >>> 2;
  const bitmap = control + shape.bitmap;
  u32.fill(0, control, control + shape.end);
  for (let kind = 0; kind < CLASS_BLOCKS.length; kind += 1) {
    markAll(u32, control + MARKS_WORD + kind * treeWords, leaf, bitmapWords);
  }
  u32.fill(0xffff_ffff, bitmap, bitmap + bitmapWords);
  u32[bitmap + bitmapWords - 1] = 0xffff_ffff >>> (bitmapWords * 32 - count);
  const set = (field: keyof typeof offsets, value: number): void => {
    u32[control + (offsets[field] >>> 2)] = value;
  };
  set("version", LAYOUT_VERSION);
  set("flags", (first === undefined ? 0 : FLAG_EXTERNAL) | (lock === undefined ? 0 : FLAG_SHARED));
  set("backing", identityOf(backing));
  set("first", first ?? Math.ceil((handle + shape.end * 4) / alignment) * alignment);
  set("blockBytes", blockBytes);
  set("count", count);
  set("alignment", alignment);
  set("leaf", leaf);
  set("treeWords", treeWords);
  set("bitmap", bitmap);
  set("runs", control + shape.runs);
  set("deaths", lock?.deaths ?? 0);
  set("depth", magazine);
  // Last: it is a pool from here on.
  set("magic", MAGIC);
  return new Opened(backing, handle, report);
}

/** @internal Finds a pool that is in a heap already. */
export function openPool(heap: Heap<HeapBuffer>, handle: Ptr, options: MempoolOptions | undefined): Opened {
  const call = "Mempool.attach";
  const { backing = heap, report } = checkOptions(call, options);
  if (!isHeap(heap)) throw badArgument(call, "the heap", heap, "a Heap");
  if (typeof handle !== "number") throw badArgument(call, "the handle", handle, "a pool's handle");
  const { u32 } = heap;
  const control = handle >>> 2;
  const isAddress = handle >>> 0 === handle && handle % 8 === 0 && handle !== NULL;
  if (!isAddress || u32[control] !== MAGIC) {
    const finding = "no pool there; pass what `handle` of a pool gave";
    throw new HeapError("ERR_NOT_A_HEAP", `${call}(${show(handle)}): ${finding}`, handle);
  }
  const at = (field: keyof typeof offsets): number => u32[control + (offsets[field] >>> 2)]!;
  if (at("version") !== LAYOUT_VERSION) {
    const finding = `the pool has layout version ${at("version")}, this package ${LAYOUT_VERSION}`;
    throw new HeapError("ERR_LAYOUT_VERSION", `${call}: ${finding}; use the version that made it`, handle);
  }
  if (backing.heap.buffer !== heap.buffer || at("backing") !== identityOf(backing)) {
    const made = at("backing") === BACKING_HEAP ? "the heap itself" : "another allocator";
    throw badArgument(call, "the backing", backing, `the one that the pool was made on: ${made}`);
  }
  return new Opened(backing, handle, report);
}

/** @internal Gives a pool back to its backing, and leaves nothing to be handed out behind. O(blocks). */
export function unmakePool(backing: Allocator, handle: Ptr): void {
  const { u32 } = backing.heap;
  const control = handle >>> 2;
  // What is left in the freed block makes every other cursor refuse.
  u32.fill(0, u32[control + BITMAP]!, control + shapeOf(u32[control + (offsets.count >>> 2)]!).end);
  u32.fill(0, control, control + MARKS_WORD);
  backing.free(handle);
}

function alignmentOf(call: string, given: number | undefined, isExternal: boolean): number {
  const least = isExternal ? 1 : ALIGNMENT_BYTES;
  if (given === undefined) return least;
  return Math.max(least, given);
}

/** What a control block says of its backing. */
function identityOf(backing: Allocator): number {
  if (backing.heap === backing) return BACKING_HEAP;
  const { handle } = backing as { readonly handle?: unknown };
  return typeof handle === "number" && handle !== 0 ? handle : BACKING_UNNAMED;
}

/** @internal @throws HeapError `ERR_INVALID_ARGUMENT` for options of the wrong types */
export function checkOptions(call: string, options: unknown): MempoolOptions {
  if (options === undefined) return {};
  if (typeof options !== "object" || options === null) throw badArgument(call, "options", options, "an object");
  const { backing, report, alignment, external, magazine } = options as Record<keyof MempoolOptions, unknown>;
  if (backing !== undefined && !isAllocator(backing)) throw badArgument(call, "backing", backing, "an allocator");
  if (report !== undefined && typeof report !== "function") throw badArgument(call, "report", report, "a function");
  if (alignment !== undefined && !isPowerOfTwo(alignment)) {
    throw badArgument(call, "alignment", alignment, "a power of two");
  }
  if (external !== undefined) expectRange(call, external);
  if (magazine !== undefined && (!isCount(magazine) || magazine > MAX_MAGAZINE_BLOCKS)) {
    throw badArgument(call, "magazine", magazine, `a whole number of blocks from 0 to ${MAX_MAGAZINE_BLOCKS}`);
  }
  return options;
}

function expectRange(call: string, external: unknown): void {
  if (typeof external !== "object" || external === null) {
    throw badArgument(call, "external", external, "{ base, bytes }");
  }
  const { base, bytes } = external as Record<keyof ExternalRange, unknown>;
  if (!isCount(base)) throw badArgument(call, "external.base", base, "a whole number from 0");
  if (!isCount(bytes)) throw badArgument(call, "external.bytes", bytes, "a whole number from 0");
  if (base + bytes > 2 ** 32) throw badArgument(call, "external.base", base, "a range that ends at 2^32 at most");
}

function isAllocator(value: unknown): value is Allocator {
  if (typeof value !== "object" || value === null) return false;
  const { malloc, free, heap } = value as Partial<Record<keyof Allocator, unknown>>;
  return typeof malloc === "function" && typeof free === "function" && isHeap(heap);
}

function isHeap(value: unknown): value is Heap<HeapBuffer> {
  return typeof value === "object" && value !== null && (value as Heap<HeapBuffer>).u32 instanceof Uint32Array;
}
