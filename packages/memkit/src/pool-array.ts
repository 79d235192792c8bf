/**
 * The array in which a pool has its containers: appended to, removed from by swapping with the last one, doubled when it is
 * full, halved when less than a quarter is in use. The picture is in layout.
 *
 * @module
 */
import { type Allocator, asPtr, NULL } from "@heapwright/core";

import { setSlot } from "./container-block.ts";
import { MAX_BYTES, NO_SLOT, POOL } from "./layout.ts";
import { overflow } from "./memory-error.ts";
import { copy, wipe } from "./wipe.ts";

const { offsets } = POOL;
const ARRAY = offsets.array >>> 2;
const CAPACITY = offsets.capacity >>> 2;
const COUNT = offsets.count >>> 2;
/** The document's default capacity. */
export const MEM_POOL_DEFAULT_CAPACITY = 32;
/** What a pool that grows has at least. */
const LEAST_GROWN_CAPACITY = 8;
/** Pools are halved only above this capacity, and not below it. */
const LEAST_HALVED_CAPACITY = 16;
const HALVE_BELOW_SHARE = 4;

/** Room for that many containers. `NULL` when there is none. */
export function makeArray(backing: Allocator, capacity: number): number {
  const bytes = bytesFor(capacity);
  if (bytes > MAX_BYTES) return NULL;
  const array = backing.malloc(bytes);
  if (array !== NULL) wipe(backing.heap, array, array + bytes);
  return array;
}

/** Bytes of an array: whole ones of 8, so that they are wiped as such. */
export function bytesFor(capacity: number): number {
  return Math.ceil(capacity / 2) * 8;
}

/** What `grow` would give an array. */
export function grownCapacity(capacity: number): number {
  return capacity === 0 ? MEM_POOL_DEFAULT_CAPACITY : Math.max(2 * capacity, LEAST_GROWN_CAPACITY);
}

/**
 * Makes room for twice as many.
 *
 * @returns 0; the bytes that were not to be had, and then all is as it was
 * @throws HeapError with `EOVERFLOW` when no heap could hold it
 */
export function growArray(backing: Allocator, control: number): number {
  const capacity = grownCapacity(backing.heap.u32[control + CAPACITY]!);
  if (bytesFor(capacity) >= 2 ** 32) throw overflow("grow", capacity * 4);
  return resize(backing, control, capacity) ? 0 : capacity * 4;
}

/** Adds a container. O(1). There is room. */
export function append(u32: Uint32Array, control: number, container: number): void {
  const count = u32[control + COUNT]!;
  u32[(u32[control + ARRAY]! >>> 2) + count] = container;
  setSlot(u32, container, count);
  u32[control + COUNT] = count + 1;
}

/** Whether a container is in the pool's array. */
export function holds(u32: Uint32Array, control: number, container: number, slot: number): boolean {
  return slot < u32[control + COUNT]! && u32[(u32[control + ARRAY]! >>> 2) + slot] === container;
}

/** Takes out what is in a slot; the last one takes its place. O(1). */
export function removeAt(u32: Uint32Array, control: number, slot: number): void {
  const array = u32[control + ARRAY]! >>> 2;
  const last = u32[control + COUNT]! - 1;
  const container = u32[array + slot]!;
  const moved = u32[array + last]!;
  u32[array + slot] = moved;
  setSlot(u32, moved, slot);
  u32[control + COUNT] = last;
  u32[array + last] = 0;
  setSlot(u32, container, NO_SLOT);
}

/** Whether less than a quarter of the array is in use, and it is to shrink. */
export function isSparse(u32: Uint32Array, control: number): boolean {
  const capacity = u32[control + CAPACITY]!;
  return capacity > LEAST_HALVED_CAPACITY && u32[control + COUNT]! * HALVE_BELOW_SHARE < capacity;
}

/**
 * Gives half of a sparse array back.
 *
 * @returns the new capacity; 0 when it stays, also where there is no room to move to
 */
export function shrinkArray(backing: Allocator, control: number): number {
  const { u32 } = backing.heap;
  if (!isSparse(u32, control)) return 0;
  const halved = Math.max(u32[control + CAPACITY]! >>> 1, LEAST_HALVED_CAPACITY);
  return resize(backing, control, halved) ? halved : 0;
}

/** Moves the array. `realloc` would leave copies behind. */
function resize(backing: Allocator, control: number, capacity: number): boolean {
  const array = makeArray(backing, capacity);
  if (array === NULL) return false;
  const { heap } = backing;
  const { u32 } = heap;
  const old = u32[control + ARRAY]!;
  const oldCapacity = u32[control + CAPACITY]!;
  copy(heap, old, array, bytesFor(u32[control + COUNT]!));
  // At each moment the capacity is at most what the array has.
  if (capacity < oldCapacity) u32[control + CAPACITY] = capacity;
  u32[control + ARRAY] = array;
  u32[control + CAPACITY] = capacity;
  if (old !== NULL) {
    wipe(heap, old, old + bytesFor(oldCapacity));
    backing.free(asPtr(old));
  }
  return true;
}
