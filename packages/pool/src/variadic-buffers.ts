/**
 * Where the variadic pool's blocks come from: regions of the backing, and the document's buffers in them. The pictures
 * are in layout.
 *
 * @module
 */
import { type Allocator, NULL, type Ptr } from "@heapwright/core";
import { setStart, setTag, spanOf, startAtOrBelow, STATE, stateOf, writeHeader } from "@heapwright/core/engine";

import { clearFree, fileFree } from "./free-blocks.ts";
import {
  ALIGNMENT_BYTES,
  BUFFER_BYTES,
  BUFFER_OVERHEAD_BYTES,
  HEADER_BYTES,
  KIND,
  MAGIC,
  MAX_POOL_BYTES,
  MIN_SPAN_BYTES,
  PAGE_BITS_WORDS,
  PAGE_BYTES,
  VARIADIC_CONTROL,
  VARIADIC_REGION,
} from "./layout.ts";
import { badArgument, corrupt, isCount } from "./misuse.ts";
import { assign, biasOf, emptyBias, isCovered, reachFor, rebuildTable } from "./page-table.ts";
import { abandon, create, type Opened, outOfMemory, type PoolOptions } from "./pool.ts";

const { FREE, RESERVED } = STATE;
/** Stands for every tolerance from there on. */
const MAX_TOLERANCE = 101;
const PAGE_SHIFT_BITS = 12;
const { offsets } = VARIADIC_CONTROL;
const FIRST = offsets.first >>> 2;
const LAST = offsets.last >>> 2;
const GROW = offsets.growBytes >>> 2;
const TOLERANCE = offsets.tolerance >>> 2;
const TOP = offsets.top >>> 2;
const REGION_BYTES = VARIADIC_REGION.size;
const NEXT = VARIADIC_REGION.offsets.next >>> 2;
const BLOCK = VARIADIC_REGION.offsets.block >>> 2;
const FILLED = VARIADIC_REGION.offsets.filled >>> 2;
const END = VARIADIC_REGION.offsets.end >>> 2;

/** Makes a pool with its first buffer. */
export function makeVariadic(growSize: unknown, tolerance: unknown, options: PoolOptions | undefined): Opened {
  const call = "new VariadicMemPool";
  if (!isCount(growSize)) throw badArgument(call, "grow_size", growSize, "a whole number of bytes from 0");
  if (!isCount(tolerance)) throw badArgument(call, "tolerance_percent", tolerance, "a whole number from 0");
  const bytes = Math.max(MIN_SPAN_BYTES, Math.ceil(growSize / ALIGNMENT_BYTES) * ALIGNMENT_BYTES);
  if (bytes > MAX_POOL_BYTES) throw outOfMemory(call, bytes);
  const opened = create(call, KIND.VARIADIC, VARIADIC_CONTROL.size, options);
  const { backing, handle } = opened;
  const control = handle >>> 2;
  const { u32 } = backing.heap;
  u32[control + GROW] = bytes;
  u32[control + TOLERANCE] = Math.min(tolerance, MAX_TOLERANCE);
  clearFree(u32, control);
  if (!addBuffer(backing, control, bytes)) {
    abandon(opened);
    throw outOfMemory(call, bytes);
  }
  // Last: it is a pool from here on.
  backing.heap.u32[control] = MAGIC;
  return opened;
}

/** Adds the document's next buffer, of `grow_size` or one block of `span`. False, with nothing changed, without room. */
export function addBuffer(backing: Allocator, control: number, span: number): boolean {
  let { u32 } = backing.heap;
  const bytes = Math.max(u32[control + GROW]!, span);
  let region = u32[control + LAST]!;
  if (region === 0 || u32[(region >>> 2) + END]! - u32[(region >>> 2) + FILLED]! < bytes + BUFFER_OVERHEAD_BYTES) {
    region = takeRegion(backing, control, bytes + BUFFER_OVERHEAD_BYTES);
    if (region === 0) return false;
    u32 = backing.heap.u32;
  }
  const word = region >>> 2;
  const buffer = u32[word + FILLED]!;
  const first = (buffer + BUFFER_BYTES) >>> 0;
  u32[buffer >>> 2] = bytes;
  u32[(buffer >>> 2) + 1] = 0;
  writeHeader(u32, first, 0, bytes, FREE);
  writeHeader(u32, first + bytes, bytes, HEADER_BYTES, RESERVED);
  setStart(u32, biasOf(u32, control, region), (first + HEADER_BYTES) >>> 0);
  u32[word + FILLED] = buffer + bytes + BUFFER_OVERHEAD_BYTES;
  const top = u32[control + TOP]!;
  if (top !== 0) fileFree(u32, control, top, spanOf(u32, top));
  u32[control + TOP] = first;
  return true;
}

/** Takes a region that begins at a page and has room for `bytes` of buffers: at least a page. 0 without room. */
function takeRegion(backing: Allocator, control: number, bytes: number): number {
  // Start bits for all pages, which the bits themselves count among.
  const pages = Math.ceil((REGION_BYTES + bytes) / (PAGE_BYTES - PAGE_BITS_WORDS * 4));
  const bitsBytes = pages * PAGE_BITS_WORDS * 4;
  // A header of core's fits before the next page.
  const total = Math.max(REGION_BYTES + bitsBytes + bytes, PAGE_BYTES - HEADER_BYTES);
  let block: Ptr;
  let region: number;
  if (backing.alignedAlloc === undefined) {
    block = backing.malloc(total + PAGE_BYTES - 8);
    region = Math.ceil(block / PAGE_BYTES) * PAGE_BYTES;
  } else {
    block = backing.alignedAlloc(PAGE_BYTES, total);
    region = block;
  }
  if (block === NULL) return 0;
  const end = region + total;
  if (!reachFor(backing, control, block, region, end)) return 0;
  const { u32 } = backing.heap;
  const word = region >>> 2;
  const bits = word + REGION_BYTES / 4;
  u32.fill(0, bits, bits + bitsBytes / 4);
  u32[word + NEXT] = 0;
  u32[word + BLOCK] = block;
  u32[word + FILLED] = region + REGION_BYTES + bitsBytes;
  u32[word + END] = end;
  assign(u32, control, region, end, bits);
  const last = u32[control + LAST]!;
  if (last === 0) u32[control + FIRST] = region;
  else u32[(last >>> 2) + NEXT] = region;
  u32[control + LAST] = region;
  return region;
}

/** Where a region's first buffer lies. */
function firstBuffer(u32: Uint32Array, region: number): number {
  const pages = Math.ceil((u32[(region >>> 2) + END]! - region) / PAGE_BYTES);
  return region + REGION_BYTES + pages * PAGE_BITS_WORDS * 4;
}

/** The regions in the order they were taken. */
export function* regionsOf(u32: Uint32Array, control: number): Generator<number> {
  for (let region = u32[control + FIRST]!; region !== 0; region = u32[(region >>> 2) + NEXT]!) yield region;
}

/** The document's buffers in the order they were made. */
export function* buffersOf(u32: Uint32Array, control: number): Generator<number> {
  for (const region of regionsOf(u32, control)) {
    const filled = u32[(region >>> 2) + FILLED]!;
    let buffer = firstBuffer(u32, region);
    while (buffer < filled) {
      yield buffer;
      buffer += u32[buffer >>> 2]! + BUFFER_OVERHEAD_BYTES;
    }
  }
}

/**
 * The payload of the block that an address lies in, in its own payload; 0 when there is none. O(1) for a payload's first
 * byte, else one step for each 256 bytes that it lies beyond.
 */
export function blockAround(u32: Uint32Array, control: number, address: number): number {
  if (address >>> 0 !== address || !isCovered(u32, control, address)) return 0;
  const bias = biasOf(u32, control, address);
  if (bias === emptyBias(control, address >>> PAGE_SHIFT_BITS)) return 0;
  // bias = (region + 16) / 4 - region / 256
  const region = ((bias - REGION_BYTES / 4) * 256) / 63;
  const lowest = firstBuffer(u32, region) + BUFFER_BYTES + HEADER_BYTES;
  if (address < lowest) return 0;
  const payload = startAtOrBelow(u32, bias, address, lowest);
  const block = payload - HEADER_BYTES;
  return payload !== 0 && address < block + spanOf(u32, block) ? payload : 0;
}

/**
 * Rebuilds what is derived, after a holder of the lock died in the middle of a call: regions, and the spans and states of
 * their blocks say what there is. Idempotent: cut short, it is done again.
 */
export function recoverVariadic(u32: Uint32Array, control: number): void {
  const regions = [...regionsOf(u32, control)].map((region) => ({
    from: region,
    to: u32[(region >>> 2) + END]!,
    bits: (region + REGION_BYTES) >>> 2,
    stride: PAGE_BITS_WORDS,
  }));
  rebuildTable(u32, control, regions);
  clearFree(u32, control);
  u32[control + LAST] = regions.at(-1)?.from ?? 0;
  for (const { from, bits } of regions) u32.fill(0, bits, firstBuffer(u32, from) >>> 2);
  for (const buffer of buffersOf(u32, control)) {
    const top = u32[control + TOP]!;
    if (top !== 0) fileFree(u32, control, top, spanOf(u32, top));
    u32[control + TOP] = rebuild(u32, control, buffer);
  }
}

/** Merges, links and files the blocks of a buffer. Returns the last one if it is FREE, which is not filed, else 0. */
function rebuild(u32: Uint32Array, control: number, buffer: number): number {
  const last = buffer + BUFFER_BYTES + u32[buffer >>> 2]!;
  let previous = 0;
  let top = 0;
  for (let block = buffer + BUFFER_BYTES; block !== last;) {
    let span = spanOf(u32, block);
    const isFree = stateOf(u32, block) === FREE;
    if (isFree) {
      while (block + span !== last && stateOf(u32, block + span) === FREE) span += spanOf(u32, block + span);
      setTag(u32, block, span, FREE);
    }
    const end = block + span;
    if (span < MIN_SPAN_BYTES || span % ALIGNMENT_BYTES !== 0 || end > last) throw corrupt("recover", block);
    u32[block >>> 2] = previous;
    setStart(u32, biasOf(u32, control, block), block + HEADER_BYTES);
    if (isFree && end === last) top = block;
    else if (isFree) fileFree(u32, control, block, span);
    previous = span;
    block = end;
  }
  u32[last >>> 2] = previous;
  return top;
}
