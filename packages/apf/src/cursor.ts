/**
 * A cursor over a control block: how an object finds the allocator that is used through it.
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
  SharedHeap,
} from "@heapwright/core";

import {
  BACKING_HEAP,
  BACKING_UNNAMED,
  CONTROL,
  ENTRY,
  FLAG,
  LAYOUT_VERSION,
  MAGIC,
  PAGE_SHIFT_BITS,
  WORKER,
} from "./layout.ts";
import { badArgument, destroyed, isCount, show } from "./misuse.ts";
import { makeWorker } from "./workers.ts";

const { offsets } = CONTROL;
const TABLE = offsets.table >>> 2;
const LOWEST = offsets.lowest >>> 2;
const LENGTH = offsets.length >>> 2;
const RECORDS = WORKER.offsets.records >>> 2;
const LARGE = ENTRY.offsets.large >>> 2;
/** The control block of an allocator that this object has destroyed: beyond the words of any heap. */
const NO_CONTROL = 0x4000_0000;

/** Allocations per fetch that the tuner aims at. */
export const TARGET_APF = 2500;
/** Allocations of a class that a burst records: twice the target. */
export const BURST_LENGTH = 5000;
/** Allocations between two bursts: twice a burst. */
export const HIBERNATION_PERIOD = 10_000;
/** No burst is longer: what is summed over it has to fit in 32 bits. */
const MAX_BURST_LENGTH = 65_535;
const MAX_PERIOD = 2 ** 30;

/** What an allocator may be told. */
export interface ApfOptions {
  /**
   * Serves superblocks, large blocks and all that the allocator keeps.
   *
   * @defaultValue the global allocator at the time the allocator is made; for `attach` the heap
   */
  readonly backing?: Allocator;
  /**
   * Whether caches are tuned. Without it they are filled and emptied by fixed shares of their class.
   *
   * @defaultValue true
   */
  readonly tuning?: boolean;
  /** Allocations for each fetch that the tuner aims at, 1 to 2^30. @defaultValue 2500 */
  readonly targetApf?: number;
  /** Allocations that a burst records, 1 to 65,535. @defaultValue twice the target, at most 65,535 */
  readonly burstLength?: number;
  /** Allocations between two bursts, 0 to 2^30. @defaultValue twice a burst */
  readonly hibernationPeriod?: number;
}

/** @internal How an object finds the allocator that is to be used through it. */
export class Opened {
  readonly backing: Allocator;
  readonly handle: Ptr;

  constructor(backing: Allocator, handle: Ptr) {
    this.backing = backing;
    this.handle = handle;
  }
}

/** @internal Superblocks besides those that a worker knows to have free blocks: in shared heaps. */
export interface Supply {
  /** One with free blocks, the first of its record's list then; 0 when there is none. */
  find(record: number, sizeClass: number): number;
  /** Takes whatever others have freed of this worker's blocks. */
  collect(): void;
}

/** What it knows is in the heap; the fields here are addresses and constants. */
export class Cursor {
  /** The heap whose bytes the pointers are offsets of. */
  declare readonly heap: Heap<HeapBuffer>;
  /** Serves the allocator's regions. */
  declare readonly backing: Allocator;
  /** @internal Word address of the control block. */
  declare control: number;
  /** @internal The heap's words as last seen; of length 0 when its memory has grown since. */
  declare words: Uint32Array;
  /** @internal The page map as last seen: word address of page 0's entry, if it had one; its first page; their number. */
  declare map: number;
  /** @internal */
  declare firstPage: number;
  /** @internal */
  declare pageCount: number;
  /** @internal Word address of the worker's first record. */
  declare records: number;
  /** @internal That of the first worker: in a private heap there is no other. */
  declare common: number;
  /** @internal What other agents have freed or left behind. */
  declare supply: Supply | undefined;

  /** @internal */
  constructor(opened: Opened) {
    const { u32 } = opened.backing.heap;
    this.heap = opened.backing.heap;
    this.backing = opened.backing;
    this.control = opened.handle >>> 2;
    this.words = u32;
    this.map = 0;
    this.firstPage = 0;
    this.pageCount = 0;
    this.records = (u32[this.control + (offsets.worker >>> 2)]! >>> 2) + RECORDS;
    this.common = this.records;
    this.supply = undefined;
    this.refresh();
  }

  /** The control block: `attach` opens the same allocator by it. */
  get handle(): Ptr {
    this.expectAlive("handle");
    return asPtr(this.control * 4);
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

  /** @internal Sees what has changed since: views, page map. Returns whether anything has. */
  refresh(): boolean {
    const { u32 } = this.heap;
    const firstPage = u32[this.control + LOWEST]! >>> PAGE_SHIFT_BITS;
    const pageCount = u32[this.control + LENGTH]! >>> PAGE_SHIFT_BITS;
    const map = u32[this.control + TABLE]! | 0;
    if (u32 === this.words && firstPage === this.firstPage && pageCount === this.pageCount && map === this.map) {
      return false;
    }
    this.words = u32;
    this.map = map;
    this.firstPage = firstPage;
    this.pageCount = pageCount;
    return true;
  }

  /** @internal Where the map as last seen says which large blocks begin in the page of an address; -1: nowhere. */
  largeWord(address: number): number {
    const page = address >>> PAGE_SHIFT_BITS;
    return (page - this.firstPage) >>> 0 < this.pageCount ? (this.map + page * 4 + LARGE) | 0 : -1;
  }

  /** @internal Forgets the control block, which is no more. */
  close(): void {
    this.control = NO_CONTROL;
    this.records = NO_CONTROL;
    this.common = NO_CONTROL;
    this.refresh();
  }
}

/** @internal Tells a constructor's ways apart: options make an allocator, this opens one that is there. */
export function isOpened(value: unknown): value is Opened {
  return value instanceof Opened;
}

/**
 * @internal Takes control block and worker from the backing and fills them in.
 *
 * @returns the allocator; it is none before `magic` is set
 */
export function create(call: string, options: ApfOptions | undefined): Opened {
  const { backing = globalAllocator(), ...given } = checkOptions(call, options);
  const { targetApf = TARGET_APF, tuning = true } = given;
  const { burstLength = Math.min(2 * targetApf, MAX_BURST_LENGTH) } = given;
  const { hibernationPeriod = 2 * burstLength } = given;
  const handle = backing.malloc(CONTROL.size);
  const worker = handle === NULL ? NULL : makeWorker(backing);
  if (handle === NULL || worker === NULL) {
    backing.free(handle);
    const bytes = CONTROL.size + WORKER.size;
    throw new HeapError("ERR_OUT_OF_MEMORY", `${call}: the backing has no ${bytes} bytes; give it more or free some`);
  }
  const { u32 } = backing.heap;
  const control = handle >>> 2;
  const set = (field: keyof typeof offsets, value: number): void => {
    u32[control + (offsets[field] >>> 2)] = value;
  };
  u32.fill(0, control, control + CONTROL.size / 4);
  set("version", LAYOUT_VERSION);
  const shared = backing.heap instanceof SharedHeap ? FLAG.SHARED : 0;
  set("flags", tuning ? shared : shared | FLAG.UNTUNED);
  set("backing", identityOf(backing));
  set("target", targetApf);
  set("burst", burstLength);
  set("hibernation", hibernationPeriod);
  set("worker", worker);
  set("magic", MAGIC);
  return new Opened(backing, handle);
}

/** @internal Finds an allocator that is in a heap already. */
export function open(call: string, heap: Heap<HeapBuffer>, handle: Ptr, options: ApfOptions | undefined): Opened {
  const { backing = heap } = checkOptions(call, options);
  if (!isHeap(heap)) throw badArgument(call, "the heap", heap, "a Heap");
  if (typeof handle !== "number") throw badArgument(call, "the handle", handle, "an allocator's handle");
  const { u32 } = heap;
  const control = handle >>> 2;
  const isAddress = handle >>> 0 === handle && handle % 8 === 0 && handle !== NULL;
  if (!isAddress || u32[control] !== MAGIC) {
    const finding = "no allocator there; pass what `handle` of one gave";
    throw new HeapError("ERR_NOT_A_HEAP", `${call}(${show(handle)}): ${finding}`, handle);
  }
  const at = (field: keyof typeof offsets): number => u32[control + (offsets[field] >>> 2)]!;
  if (at("version") !== LAYOUT_VERSION) {
    const finding = `the allocator has layout version ${at("version")}, this package ${LAYOUT_VERSION}`;
    throw new HeapError("ERR_LAYOUT_VERSION", `${call}: ${finding}; use the version that made it`, handle);
  }
  if (backing.heap.buffer !== heap.buffer || at("backing") !== identityOf(backing)) {
    const made = at("backing") === BACKING_HEAP ? "the heap itself" : "another allocator";
    throw badArgument(call, "the backing", backing, `the one that the allocator was made on: ${made}`);
  }
  return new Opened(backing, handle);
}

/** What a control block says of its backing. */
function identityOf(backing: Allocator): number {
  if (backing.heap === backing) return BACKING_HEAP;
  const { handle } = backing as { readonly handle?: unknown };
  return typeof handle === "number" && handle !== 0 ? handle : BACKING_UNNAMED;
}

function checkOptions(call: string, options: unknown): ApfOptions {
  if (options === undefined) return {};
  if (typeof options !== "object" || options === null) throw badArgument(call, "options", options, "{ backing }");
  const { backing, tuning, targetApf, burstLength, hibernationPeriod } = options as Record<keyof ApfOptions, unknown>;
  if (backing !== undefined && !isAllocator(backing)) throw badArgument(call, "backing", backing, "an allocator");
  if (tuning !== undefined && typeof tuning !== "boolean") throw badArgument(call, "tuning", tuning, "true or false");
  expectPeriod(call, "targetApf", targetApf, 1, MAX_PERIOD);
  expectPeriod(call, "burstLength", burstLength, 1, MAX_BURST_LENGTH);
  expectPeriod(call, "hibernationPeriod", hibernationPeriod, 0, MAX_PERIOD);
  return options;
}

function expectPeriod(call: string, name: string, value: unknown, from: number, to: number): void {
  if (value === undefined || (isCount(value) && value >= from && value <= to)) return;
  throw badArgument(call, name, value, `a whole number from ${from} to ${to}`);
}

function isAllocator(value: unknown): value is Allocator {
  if (typeof value !== "object" || value === null) return false;
  const { malloc, free, heap } = value as Partial<Record<keyof Allocator, unknown>>;
  return typeof malloc === "function" && typeof free === "function" && isHeap(heap);
}

function isHeap(value: unknown): value is Heap<HeapBuffer> {
  return typeof value === "object" && value !== null && (value as Heap<HeapBuffer>).u32 instanceof Uint32Array;
}
