/**
 * The slabs of an arena: made zeroed, chained, wiped. The picture is in layout.
 *
 * @module
 */
import { type Allocator, asPtr, NULL } from "@heapwright/core";

import { takeAligned } from "./backing.ts";
import { MAX_BYTES, SLAB } from "./layout.ts";
import { wipe } from "./wipe.ts";

const NEXT = SLAB.offsets.next >>> 2;
const START = SLAB.offsets.start >>> 2;
const END = SLAB.offsets.end >>> 2;
const USED = SLAB.offsets.used >>> 2;

/**
 * Takes a slab, all 0 but for its record.
 *
 * @param size - bytes that can be allocated in it, a multiple of the alignment
 * @param alignment - of its start, a power of two
 * @returns the slab, 0 when there is no room
 */
export function makeSlab(backing: Allocator, size: number, alignment: number): number {
  const headroom = headroomOf(alignment);
  if (headroom + size > MAX_BYTES) return 0;
  const slab = takeAligned(backing, Math.log2(alignment), headroom + size);
  if (slab === NULL) return 0;
  const { heap } = backing;
  const start = slab + headroom;
  wipe(heap, slab, start + size);
  const { u32 } = heap;
  const word = slab >>> 2;
  u32[word + START] = start;
  u32[word + END] = start + size;
  u32[word + USED] = start;
  return slab;
}

/** Gives a slab back, all 0. */
export function freeSlab(backing: Allocator, slab: number): void {
  const { heap } = backing;
  wipe(heap, slab, heap.u32[(slab >>> 2) + END]!);
  backing.free(asPtr(slab));
}

/** Bytes of a slab before its start. */
export function headroomOf(alignment: number): number {
  return Math.max(alignment, SLAB.size);
}

/** The slabs from one on. */
export function* slabsFrom(u32: Uint32Array, slab: number): Generator<number> {
  for (let at = slab; at !== 0; at = u32[(at >>> 2) + NEXT]!) yield at;
}
