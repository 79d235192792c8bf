/**
 * Where the fixed pool's blocks come from: regions of the backing, each a buffer of the document. The pictures are in
 * layout.
 *
 * @module
 */
import { type Allocator, NULL } from "@heapwright/core";

import {
  ALIGNMENT_BYTES,
  FIXED_CONTROL,
  FIXED_REGION,
  KIND,
  MAGIC,
  MAX_POOL_BYTES,
  PAGE_BITS_WORDS,
  PAGE_BYTES,
  SHARED_PAGE_WORDS,
} from "./layout.ts";
import { badArgument, isCount } from "./misuse.ts";
import { assign, biasOf, isCovered, reachFor, rebuildTable } from "./page-table.ts";
import { abandon, create, type Opened, outOfMemory, type PoolOptions } from "./pool.ts";

const { offsets } = FIXED_CONTROL;
const FIRST = offsets.first >>> 2;
const LAST = offsets.last >>> 2;
const MEMBER = offsets.member >>> 2;
const COUNT = offsets.count >>> 2;
const HEAD = offsets.head >>> 2;
const CARVED = offsets.carved >>> 2;
const END = offsets.end >>> 2;
const PAGE_WORDS = offsets.pageWords >>> 2;
const MAGAZINES = offsets.magazines >>> 2;
const NEXT = FIXED_REGION.offsets.next >>> 2;
const START = FIXED_REGION.offsets.start >>> 2;
const REGION_END = FIXED_REGION.offsets.end >>> 2;
const BITS = FIXED_REGION.offsets.bits >>> 2;
const REGION_BYTES = FIXED_REGION.size;
/** Start bit and live bit of a granule, once its word has been shifted down. */
const BOTH = 0x1_0001;

/** Makes a pool with its first region. */
export function makeFixed(blockSize: unknown, increaseCount: unknown, options: PoolOptions | undefined): Opened {
  const call = "new FixedMemPool";
  if (!isCount(blockSize)) throw badArgument(call, "block_size", blockSize, "a whole number of bytes from 0");
  if (!isCount(increaseCount) || increaseCount === 0) {
    throw badArgument(call, "increase_count", increaseCount, "a whole number of blocks from 1");
  }
  const member = Math.max(ALIGNMENT_BYTES, Math.ceil(blockSize / ALIGNMENT_BYTES) * ALIGNMENT_BYTES);
  const bytes = member * increaseCount;
  if (bytes > MAX_POOL_BYTES) throw outOfMemory(call, bytes);
  const opened = create(call, KIND.FIXED, FIXED_CONTROL.size, options);
  const { backing, handle } = opened;
  const control = handle >>> 2;
  const { u32 } = backing.heap;
  u32[control + MEMBER] = member;
  u32[control + COUNT] = increaseCount;
  u32[control + PAGE_WORDS] = backing.heap.lock === undefined ? PAGE_BITS_WORDS : SHARED_PAGE_WORDS;
  u32.fill(0, control + HEAD, control + MAGAZINES + 1);
  if (!takeRegion(backing, control)) {
    abandon(opened);
    throw outOfMemory(call, bytes);
  }
  // Last: it is a pool from here on.
  backing.heap.u32[control] = MAGIC;
  return opened;
}

/** Takes a region from the backing: the document's next buffer. False, with nothing changed, when there is no room. */
export function takeRegion(backing: Allocator, control: number): boolean {
  let { u32 } = backing.heap;
  const bytes = u32[control + MEMBER]! * u32[control + COUNT]!;
  // However they lie, the blocks touch at most this many pages.
  const pages = Math.floor((bytes + 2 * PAGE_BYTES - ALIGNMENT_BYTES - 1) / PAGE_BYTES);
  const pageWords = u32[control + PAGE_WORDS]!;
  const bitsBytes = pages * pageWords * 4;
  const region = backing.malloc(REGION_BYTES + bitsBytes + ALIGNMENT_BYTES - 8 + bytes);
  if (region === NULL) return false;
  const start = Math.ceil((region + REGION_BYTES + bitsBytes) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
  const end = start + bytes;
  if (!reachFor(backing, control, region, start, end)) return false;
  u32 = backing.heap.u32;
  const word = region >>> 2;
  const bits = word + REGION_BYTES / 4;
  u32.fill(0, bits, bits + pages * pageWords);
  u32[word + NEXT] = 0;
  u32[word + START] = start;
  u32[word + REGION_END] = end;
  u32[word + BITS] = pages * pageWords;
  assign(u32, control, start, end, bits, pageWords);
  const last = u32[control + LAST]!;
  if (last === 0) u32[control + FIRST] = region;
  else u32[(last >>> 2) + NEXT] = region;
  u32[control + LAST] = region;
  u32[control + CARVED] = start;
  u32[control + END] = end;
  return true;
}

/** The regions in the order they were taken. */
export function* regionsOf(u32: Uint32Array, control: number): Generator<number> {
  for (let region = u32[control + FIRST]!; region !== 0; region = u32[(region >>> 2) + NEXT]!) yield region;
}

/** Where the blocks of a region end that have ever been handed out. */
export function carvedEnd(u32: Uint32Array, control: number, region: number): number {
  return region === u32[control + LAST] ? u32[control + CARVED]! : u32[(region >>> 2) + REGION_END]!;
}

/** Whether a block can be handed out without taking another region. */
export function isAtHand(u32: Uint32Array, control: number): boolean {
  return u32[control + HEAD] !== 0 || u32[control + CARVED] !== u32[control + END];
}

/** What is known of an address: 0 no block begins there, 1 a free one does, 0x10001 a live one. */
export function blockBits(u32: Uint32Array, control: number, address: number): number {
  if (address >>> 0 !== address || address % ALIGNMENT_BYTES !== 0 || !isCovered(u32, control, address)) return 0;
  return (u32[(biasOf(u32, control, address) + (address >>> 8)) | 0]! >>> ((address >>> 4) & 15)) & BOTH;
}

/** Byte address of what says whether a block is held by a magazine. Of a shared pool's block only. */
export function heldByte(u32: Uint32Array, control: number, ptr: number): number {
  const word = (biasOf(u32, control, ptr) + (ptr >>> 8)) | 0;
  return (word - ((ptr >>> 8) & 15) + PAGE_BITS_WORDS) * 4 + ((ptr >>> 4) & 255);
}

/**
 * Rebuilds what is derived, after a holder of the lock died in the middle of a call: regions and bits say what there is.
 * Idempotent: cut short, it is done again.
 */
export function recoverFixed(u32: Uint32Array, control: number): void {
  const stride = u32[control + PAGE_WORDS]!;
  const regions = [...regionsOf(u32, control)].map((region) => ({
    from: u32[(region >>> 2) + START]!,
    to: u32[(region >>> 2) + REGION_END]!,
    bits: (region + REGION_BYTES) >>> 2,
    stride,
  }));
  rebuildTable(u32, control, regions);
  const member = u32[control + MEMBER]!;
  u32[control + HEAD] = 0;
  u32[control + LAST] = 0;
  for (const region of regionsOf(u32, control)) {
    const word = region >>> 2;
    const [start, end] = [u32[word + START]!, u32[word + REGION_END]!];
    let ptr = start;
    for (; ptr < end; ptr += member) {
      const bits = blockBits(u32, control, ptr);
      if (bits === 0) break;
      if (bits === BOTH) continue;
      u32[ptr >>> 2] = u32[control + HEAD]!;
      u32[control + HEAD] = ptr;
    }
    u32[control + LAST] = region;
    u32[control + CARVED] = ptr;
    u32[control + END] = end;
  }
}
