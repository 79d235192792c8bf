/**
 * The cache of a class: a stack of blocks. malloc and free do the frequent part themselves. The picture is in layout.
 *
 * @module
 */
import { asPtr, NULL, type Ptr } from "@heapwright/core";

import type { Cursor } from "./cursor.ts";
import { CLASS_COUNT, RECORD, RECORD_WORDS } from "./layout.ts";

const END = RECORD.offsets.end >>> 2;
const STACK = RECORD.offsets.stack >>> 2;
const CAPACITY = RECORD.offsets.capacity >>> 2;
const LIMIT = RECORD.offsets.limit >>> 2;
const ROOM_MASK = 0x1fff;
const MARK = 1;
/** Slots of a first stack. */
const FIRST_CAPACITY = 16;
/** No cache holds more blocks, since room has 13 bits. */
export const MAX_CACHED_BLOCKS = 8191;

/** Word address of the first slot of a cache that has a stack. */
function firstSlot(u32: Uint32Array, record: number): number {
  return (u32[record + STACK]! >>> 2) + 1;
}

/** Blocks in a cache. */
export function cachedCount(u32: Uint32Array, record: number): number {
  if (u32[record + STACK] === 0) return 0;
  return u32[record + END]! - (u32[record]! & ROOM_MASK) - firstSlot(u32, record);
}

/** Says how many blocks a cache may hold; those that it holds stay. */
export function setLimit(u32: Uint32Array, record: number, limit: number): void {
  u32[record + LIMIT] = limit;
  if (u32[record + STACK] === 0) return;
  const cached = cachedCount(u32, record);
  const most = Math.max(Math.min(limit, u32[record + CAPACITY]!), cached);
  u32[record + END] = firstSlot(u32, record) + most;
  u32[record] = (u32[record]! & ~ROOM_MASK) | (most - cached);
}

/** Whether a cache that is full may hold more, but has no slots for it. */
export function isCramped(u32: Uint32Array, record: number): boolean {
  return u32[record + CAPACITY]! < Math.min(u32[record + LIMIT]!, MAX_CACHED_BLOCKS);
}

/**
 * Gives a cache slots for at least so many blocks, twice as many as before if that is more.
 *
 * @param blocks - at most 8191
 * @returns false, with nothing changed, when there is no room for them
 */
export function widen(apf: Cursor, record: number, blocks: number): boolean {
  const old = apf.heap.u32[record + CAPACITY]!;
  if (old >= blocks) return true;
  const capacity = Math.min(MAX_CACHED_BLOCKS, Math.max(blocks, 2 * old, FIRST_CAPACITY));
  const stack = apf.backing.malloc((capacity + 1) * 4);
  if (stack === NULL) return false;
  const { u32 } = apf.heap;
  const cached = cachedCount(u32, record);
  const oldStack = u32[record + STACK]!;
  u32[stack >>> 2] = 0;
  if (oldStack !== 0) u32.copyWithin(stack >>> 2, oldStack >>> 2, (oldStack >>> 2) + 1 + cached);
  u32[record + STACK] = stack;
  u32[record + CAPACITY] = capacity;
  u32[record + END] = firstSlot(u32, record) + cached;
  u32[record] = u32[record]! & ~ROOM_MASK;
  setLimit(u32, record, u32[record + LIMIT]!);
  apf.backing.free(asPtr(oldStack));
  return true;
}

/** Puts a block from its superblock into a cache that has room for it, and in which all blocks are marked. */
export function push(u32: Uint32Array, record: number, ptr: number): void {
  u32[u32[record + END]! - (u32[record]! & ROOM_MASK)] = ptr | MARK;
  u32[record]! -= 1;
}

/** Takes a block from a cache that is not empty. */
export function pop(u32: Uint32Array, record: number): number {
  u32[record]! += 1;
  return (u32[u32[record + END]! - (u32[record]! & ROOM_MASK)]! & ~MARK) >>> 0;
}

/**
 * Marks all blocks of a cache.
 *
 * @returns how many were marked already: so few blocks there were, at least once, since all had been marked
 */
export function markAll(u32: Uint32Array, record: number): number {
  let count = cachedCount(u32, record);
  const below = firstSlot(u32, record) - 1;
  while (count > 0 && (u32[below + count]! & MARK) === 0) {
    u32[below + count]! |= MARK;
    count -= 1;
  }
  return count;
}

/** The blocks of a cache, the one that malloc takes next last. */
export function* cachedBlocks(u32: Uint32Array, record: number): Generator<number> {
  const cached = cachedCount(u32, record);
  for (let i = 0; i < cached; i += 1) yield (u32[firstSlot(u32, record) + i]! & ~MARK) >>> 0;
}

/** The blocks that caches lie in. */
export function stackBlocks(u32: Uint32Array, records: number): Ptr[] {
  const blocks: Ptr[] = [];
  for (let record = records; record < records + CLASS_COUNT * RECORD_WORDS; record += RECORD_WORDS) {
    if (u32[record + STACK] !== 0) blocks.push(asPtr(u32[record + STACK]!));
  }
  return blocks;
}
