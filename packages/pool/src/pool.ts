/**
 * What both pools have in common: a control block in the heap, regions from a backing, an end.
 *
 * @module
 */
import {
  type Allocator,
  asPtr,
  globalAllocator,
  type Heap,
  type HeapBuffer,
  HeapError,
  NULL,
  type Ptr,
} from "@heapwright/core";

import { BACKING_HEAP, BACKING_UNNAMED, CONTROL, LAYOUT_VERSION, MAGIC, PAGE_SHIFT_BITS } from "./layout.ts";
import { badArgument, destroyed, show } from "./misuse.ts";
import { forget, tableBlocks } from "./page-table.ts";

const { offsets } = CONTROL;
const TABLE = offsets.table >>> 2;
const LOWEST = offsets.lowest >>> 2;
const LENGTH = offsets.length >>> 2;
const FIRST = offsets.first >>> 2;
/** The control block of a pool that this object has destroyed: beyond the words of any heap, so that all reads fail. */
const NO_CONTROL = 0x4000_0000;

/** What a pool may be told beyond the document's arguments. */
export interface PoolOptions {
  /**
   * Serves the pool's control block and its regions.
   *
   * @defaultValue the global allocator at the time the pool is made; for `attach` the heap
   */
  readonly backing?: Allocator;
  /**
   * Is given the message when a function of the document's API finds the pool damaged and can only say NULL or -1.
   *
   * @defaultValue `console.error`, looked up at each call
   */
  readonly report?: (message: string) => void;
}

/** What a pool holds, in bytes and blocks. */
export interface PoolStats {
  /** Blocks that have been handed out and not given back. */
  readonly liveBlocks: number;
  /** Payload bytes of the live blocks, padding included. */
  readonly liveBytes: number;
  /** Payload bytes that can be handed out, in pieces, before the pool takes another buffer. */
  readonly freeBytes: number;
  /** The document's buffers. */
  readonly buffers: number;
  /** What the pool has taken from its backing: control block, page table, regions. */
  readonly takenBytes: number;
}

/** A block as its pool sees it. */
export interface PoolBlock {
  readonly ptr: Ptr;
  /** Payload bytes. */
  readonly size: number;
  readonly state: "live" | "free";
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

/** A cursor over a control block. What it knows is in the heap; the fields here are addresses and constants. */
export abstract class Pool {
  /** The heap whose bytes the pointers are offsets of. */
  declare readonly heap: Heap<HeapBuffer>;
  /** Serves the pool's regions. */
  declare readonly backing: Allocator;
  /** @internal Word address of the control block. */
  declare control: number;
  /** @internal */
  declare readonly report: ((message: string) => void) | undefined;
  /** @internal The heap's words as last seen; of length 0 when its memory has grown since. */
  declare words: Uint32Array;
  /** @internal The page table as last seen: word address of its first entry, the page that this is of, their number. */
  declare table: number;
  /** @internal */
  declare firstPage: number;
  /** @internal */
  declare pageCount: number;

  /** @internal */
  constructor(opened: Opened) {
    const { u32 } = opened.backing.heap;
    this.heap = opened.backing.heap;
    this.backing = opened.backing;
    this.control = opened.handle >>> 2;
    this.report = opened.report;
    this.words = u32;
    this.table = 0;
    this.firstPage = 0;
    this.pageCount = 0;
    this.refresh();
  }

  /** The control block: `attach` opens the same pool by it. */
  get handle(): Ptr {
    this.expectAlive("handle");
    return asPtr(this.control * 4);
  }

  /**
   * Gives all memory back to the backing, live blocks too. O(regions).
   *
   * @throws HeapError `ERR_DESTROYED` the second time
   */
  destroy(): void {
    const u32 = this.expectAlive("destroy");
    const { control, backing } = this;
    const taken = this.taken();
    // What is left in the freed blocks makes every other cursor refuse.
    forget(u32, tableBlocks(u32, control));
    this.empty(u32);
    u32.fill(0, control, control + CONTROL.size / 4);
    this.control = NO_CONTROL;
    this.refresh();
    for (const block of taken) backing.free(block);
  }

  /** @internal What the pool has taken from its backing. */
  taken(): Ptr[] {
    const { u32 } = this.heap;
    const { control } = this;
    const blocks = [...tableBlocks(u32, control), asPtr(control * 4)];
    for (let region = u32[control + FIRST]!; region !== 0; region = u32[region >>> 2]!) {
      blocks.push(this.regionBlock(u32, region));
    }
    return blocks;
  }

  /** As `destroy`, for `using`; harmless when the pool is gone. */
  [Symbol.dispose](): void {
    if (!this.isDestroyed) this.destroy();
  }

  /** @internal */
  get isDestroyed(): boolean {
    return this.heap.u32[this.control] !== MAGIC;
  }

  /** @internal The heap's words, after a look at the magic. */
  expectAlive(call: string): Uint32Array {
    const { u32 } = this.heap;
    if (u32[this.control] !== MAGIC) throw destroyed(call);
    return u32;
  }

  /** @internal Sees what has changed since: views, page table. Returns whether anything has. */
  refresh(): boolean {
    const { u32 } = this.heap;
    const firstPage = u32[this.control + LOWEST]! >>> PAGE_SHIFT_BITS;
    const pageCount = u32[this.control + LENGTH]! >>> PAGE_SHIFT_BITS;
    const table = (u32[this.control + TABLE]! + firstPage) | 0;
    if (u32 === this.words && firstPage === this.firstPage && pageCount === this.pageCount && table === this.table) {
      return false;
    }
    this.words = u32;
    this.table = table;
    this.firstPage = firstPage;
    this.pageCount = pageCount;
    return true;
  }

  /** @internal Leaves nothing in the control block to be handed out. */
  abstract empty(u32: Uint32Array): void;

  /** @internal The block of the backing that a region lies in. */
  abstract regionBlock(u32: Uint32Array, region: number): Ptr;
}

/** @internal Adds up what a pool's blocks say. */
export function statsOf(pool: Pool, blocks: Iterable<PoolBlock>, buffers: number): PoolStats {
  let liveBlocks = 0;
  let liveBytes = 0;
  let freeBytes = 0;
  for (const { size, state } of blocks) {
    if (state === "live") {
      liveBlocks += 1;
      liveBytes += size;
    } else {
      freeBytes += size;
    }
  }
  let takenBytes = 0;
  for (const block of pool.taken()) takenBytes += pool.backing.usableSize(block);
  return { liveBlocks, liveBytes, freeBytes, buffers, takenBytes };
}

/** @internal Puts a pool in words. */
export function dumpOf(title: string, stats: PoolStats, blocks: Iterable<PoolBlock>): string {
  const { buffers, liveBlocks, liveBytes, freeBytes, takenBytes } = stats;
  const lines = [
    title,
    `${buffers} buffers, ${takenBytes} bytes taken from the backing`,
    `${liveBlocks} live blocks with ${liveBytes} bytes, ${freeBytes} bytes free`,
  ];
  for (const { ptr, size, state } of blocks)
    lines.push(`${show(ptr).padStart(12)}  ${String(size).padStart(10)}  ${state}`);
  return lines.join("\n");
}

/** @internal Tells a constructor's ways apart: numbers make a pool, this opens one that is there. */
export function isOpened(value: unknown): value is Opened {
  return value instanceof Opened;
}

/**
 * @internal Takes a control block from the backing and fills in what both kinds have.
 *
 * @returns the pool; it is none before `magic` is set
 */
export function create(call: string, kind: number, bytes: number, options: PoolOptions | undefined): Opened {
  const { backing = globalAllocator(), report } = checkOptions(call, options);
  const handle = backing.malloc(bytes);
  if (handle === NULL) throw outOfMemory(call, bytes);
  const { u32 } = backing.heap;
  const control = handle >>> 2;
  u32.fill(0, control, control + CONTROL.size / 4);
  u32[control + (offsets.version >>> 2)] = LAYOUT_VERSION;
  u32[control + (offsets.kind >>> 2)] = kind;
  u32[control + (offsets.backing >>> 2)] = identityOf(backing);
  u32[control + (offsets.deaths >>> 2)] = backing.heap.lock?.deaths ?? 0;
  return new Opened(backing, handle, report);
}

/** @internal Finds a pool that is in a heap already. */
export function open(
  call: string,
  kind: number,
  heap: Heap<HeapBuffer>,
  handle: Ptr,
  options: PoolOptions | undefined,
): Opened {
  const { backing = heap, report } = checkOptions(call, options);
  if (!isHeap(heap)) throw badArgument(call, "the heap", heap, "a Heap");
  if (typeof handle !== "number") throw badArgument(call, "the handle", handle, "a pool's handle");
  const { u32 } = heap;
  const control = handle >>> 2;
  const stranger = (finding: string): HeapError =>
    new HeapError(
      "ERR_NOT_A_HEAP",
      `${call}(${show(handle)}): ${finding}; pass what \`handle\` of such a pool gave`,
      handle,
    );
  const isAddress = handle >>> 0 === handle && handle % 8 === 0 && handle !== NULL;
  if (!isAddress || u32[control] !== MAGIC) throw stranger("no pool there");
  const at = (field: keyof typeof offsets): number => u32[control + (offsets[field] >>> 2)]!;
  if (at("version") !== LAYOUT_VERSION) {
    const finding = `the pool has layout version ${at("version")}, this package ${LAYOUT_VERSION}`;
    throw new HeapError("ERR_LAYOUT_VERSION", `${call}: ${finding}; use the version that made it`, handle);
  }
  if (at("kind") !== kind) throw stranger("a pool of the other kind");
  if (backing.heap.buffer !== heap.buffer || at("backing") !== identityOf(backing)) {
    const made = at("backing") === BACKING_HEAP ? "the heap itself" : "another allocator";
    throw badArgument(call, "the backing", backing, `the one that the pool was made on: ${made}`);
  }
  return new Opened(backing, handle, report);
}

/** @internal A constructor found no memory. */
export function outOfMemory(call: string, bytes: number): HeapError {
  return new HeapError("ERR_OUT_OF_MEMORY", `${call}: the backing has no ${bytes} bytes; ask for less or free some`);
}

/** @internal The end of a constructor that found no memory for its first region: nothing stays behind. */
export function abandon(opened: Opened): void {
  const { u32 } = opened.backing.heap;
  for (const table of tableBlocks(u32, opened.handle >>> 2)) opened.backing.free(table);
  opened.backing.free(opened.handle);
}

/** What a control block says of its backing. */
function identityOf(backing: Allocator): number {
  if (backing.heap === backing) return BACKING_HEAP;
  const { handle } = backing as { readonly handle?: unknown };
  return typeof handle === "number" && handle !== 0 ? handle : BACKING_UNNAMED;
}

function checkOptions(call: string, options: unknown): PoolOptions {
  if (options === undefined) return {};
  if (typeof options !== "object" || options === null) throw badArgument(call, "options", options, "{ backing }");
  const { backing, report } = options as Record<keyof PoolOptions, unknown>;
  if (backing !== undefined && !isAllocator(backing)) throw badArgument(call, "backing", backing, "an allocator");
  if (report !== undefined && typeof report !== "function") throw badArgument(call, "report", report, "a function");
  return options;
}

function isAllocator(value: unknown): value is Allocator {
  if (typeof value !== "object" || value === null) return false;
  const { malloc, free, heap } = value as Partial<Record<keyof Allocator, unknown>>;
  return typeof malloc === "function" && typeof free === "function" && isHeap(heap);
}

function isHeap(value: unknown): value is Heap<HeapBuffer> {
  return typeof value === "object" && value !== null && (value as Heap<HeapBuffer>).u32 instanceof Uint32Array;
}
