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
} from "./layout.ts";
import { badArgument, isCount } from "./misuse.ts";
import { assign, biasOf, isCovered, reach } from "./page-table.ts";
import { abandon, create, type Opened, outOfMemory, type PoolOptions } from "./pool.ts";

const { offsets } = FIXED_CONTROL;
const FIRST = offsets.first >>> 2;
const LAST = offsets.last >>> 2;
const MEMBER = offsets.member >>> 2;
const COUNT = offsets.count >>> 2;
const HEAD = offsets.head >>> 2;
const CARVED = offsets.carved >>> 2;
const END = offsets.end >>> 2;
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
  u32.fill(0, control + HEAD, control + END + 1);
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
  const bitsBytes = pages * PAGE_BITS_WORDS * 4;
  const region = backing.malloc(REGION_BYTES + bitsBytes + ALIGNMENT_BYTES - 8 + bytes);
  if (region === NULL) return false;
  const start = Math.ceil((region + REGION_BYTES + bitsBytes) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
  const end = start + bytes;
  if (!reach(backing, control, start, end)) {
    backing.free(region);
    return false;
  }
  u32 = backing.heap.u32;
  const word = region >>> 2;
  const bits = word + REGION_BYTES / 4;
  u32.fill(0, bits, bits + pages * PAGE_BITS_WORDS);
  u32[word + NEXT] = 0;
  u32[word + START] = start;
  u32[word + REGION_END] = end;
  u32[word + BITS] = pages * PAGE_BITS_WORDS;
  assign(u32, control, start, end, bits);
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

/** What is known of an address: 0 no block begins there, 1 a free one does, 0x10001 a live one. */
export function blockBits(u32: Uint32Array, control: number, address: number): number {
  if (address >>> 0 !== address || address % ALIGNMENT_BYTES !== 0 || !isCovered(u32, control, address)) return 0;
  return (u32[(biasOf(u32, control, address) + (address >>> 8)) | 0]! >>> ((address >>> 4) & 15)) & BOTH;
}
