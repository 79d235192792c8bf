/**
 * A container's block: made zeroed, wiped before it is given back. The picture is in layout.
 *
 * @module
 */
import { type Allocator, asPtr, NULL } from "@heapwright/core";

import { takeAligned } from "./backing.ts";
import {
  ALIGNMENT_SHIFT_BITS,
  CONTAINER,
  LEAST_ALIGNMENT_SHIFT_BITS,
  MAX_BYTES,
  NO_SLOT,
  REST_MASK,
} from "./layout.ts";
import { nextStamp } from "./stamps.ts";
import { wipe } from "./wipe.ts";

const { offsets } = CONTAINER;
const SIZE = offsets.size >>> 2;
const REFS = offsets.refs >>> 2;
const PLACE = offsets.place >>> 2;
const STAMP = offsets.stamp >>> 2;
/** Bytes from a container to its data. */
const RECORD_BYTES = 24;

/** A size rounded up to an alignment, of which `shift` is log2. It may come to 2^32 or more, which no container has. */
export function roundedUp(size: number, shift: number): number {
  const alignment = 1 << shift;
  return Math.ceil(size / alignment) * alignment;
}

/** Bytes of a block before the data, with what the alignment takes. */
export function headroomOf(shift: number): number {
  return shift <= LEAST_ALIGNMENT_SHIFT_BITS ? RECORD_BYTES : roundedUp(RECORD_BYTES, shift);
}

/**
 * Takes a block for a container: all of it 0 but for size, place (in no pool), stamp and a count of 1.
 *
 * @param backing - where from
 * @param size - bytes, a multiple of the alignment
 * @param shift - log2 of the alignment
 * @returns the container, 0 when there is no room
 */
export function makeContainer(backing: Allocator, size: number, shift: number): number {
  const headroom = headroomOf(shift);
  if (headroom + size > MAX_BYTES) return 0;
  const block = takeAligned(backing, shift, headroom + size);
  if (block === NULL) return 0;
  const { heap } = backing;
  wipe(heap, block, block + headroom + size);
  const container = block + headroom - RECORD_BYTES;
  const { u32 } = heap;
  const word = container >>> 2;
  u32[word + SIZE] = size;
  u32[word + REFS] = 1;
  u32[word + PLACE] = NO_SLOT | (Math.max(shift, LEAST_ALIGNMENT_SHIFT_BITS) << ALIGNMENT_SHIFT_BITS);
  u32[word + STAMP] = nextStamp();
  return container;
}

/** Gives a container's block back, all 0. It is in no pool. */
export function freeContainer(backing: Allocator, container: number): void {
  wipeData(backing, container);
  freeWiped(backing, container);
}

/** As {@link freeContainer}, where the data is 0 already. */
export function freeWiped(backing: Allocator, container: number): void {
  const { heap } = backing;
  const block = blockOf(heap.u32, container);
  wipe(heap, container, container + RECORD_BYTES);
  backing.free(asPtr(block));
}

/** The block that a container lies in. */
export function blockOf(u32: Uint32Array, container: number): number {
  const shift = u32[(container >>> 2) + PLACE]! >>> ALIGNMENT_SHIFT_BITS;
  return container + RECORD_BYTES - headroomOf(shift);
}

/** Zeroes a container's data. */
export function wipeData(backing: Allocator, container: number): void {
  const { heap } = backing;
  const data = container + RECORD_BYTES;
  wipe(heap, data, data + heap.u32[(container >>> 2) + SIZE]!);
}

/** Where a container stands in its pool's array, `NO_SLOT` when it is in no pool. */
export function slotOf(u32: Uint32Array, container: number): number {
  return u32[(container >>> 2) + PLACE]! & REST_MASK;
}

/** Notes where a container stands. */
export function setSlot(u32: Uint32Array, container: number, slot: number): void {
  const place = (container >>> 2) + PLACE;
  u32[place] = (u32[place]! & ~REST_MASK) | slot;
}
