/**
 * Small blocks that one worker keeps for itself, by size: it hands them out and takes them back without the lock.
 *
 * ```text
 *   heads[span / 8] -> ptr -> ptr -> 0      a list of HELD blocks, linked through their payloads
 *   rooms[span / 8]                         how many more it takes
 *   limits[span / 8]                        how many it may hold; grows each time that it was empty or full
 * ```
 *
 * They lie in the record of the worker's slot. Only its agent touches it, without the lock; after
 * its death whoever holds the lock. Two rules let a death anywhere lose no more than the block in flight:
 *
 * - push: the link, the head, then the block's state HELD, then the room;
 * - pop: the block's state LIVE, then the head, then the room.
 *
 * So at each instant every HELD block is in just one magazine; and what is in a magazine without being HELD, after a death,
 * has its link intact, and is dropped.
 *
 * @module
 */
import { HEADER_BYTES, setTag, spanOf, STATE, stateOf } from "./boundary-tag.ts";
import { HeapError } from "./errors.ts";
import type { Malloc } from "./malloc.ts";
import { asPtr, type Ptr } from "./ptr.ts";
import { isStart } from "./start-bits.ts";
import type { HeapBuffer } from "./views.ts";

const { HELD, LIVE } = STATE;
/** One for each span below 1016 bytes, as quick lists are. */
export const MAGAZINES = 127;
/** Words from a magazine's head to its room and to its limit. */
const ROOM = 127;
const LIMIT = 254;
/** What a magazine may hold at first, and in the end: this many bytes, but at least and at most so many blocks. */
const FIRST_LIMIT_BLOCKS = 4;
const LIMIT_BYTES = 16_384;
const LEAST_LIMIT_BLOCKS = 8;
const MOST_LIMIT_BLOCKS = 256;

/** Puts a LIVE block into a magazine that has room. */
export function push(u32: Uint32Array, head: number, ptr: number, tag: number): void {
  u32[ptr >>> 2] = u32[head]!;
  u32[head] = ptr;
  u32[(ptr >>> 2) - 1] = tag + (HELD - LIVE);
  u32[head + ROOM]! -= 1;
}

/** Puts a LIVE block behind `tail`, or first into an empty magazine: blocks come out in the order they went in. */
export function append(u32: Uint32Array, head: number, tail: number, ptr: number, tag: number): void {
  u32[ptr >>> 2] = 0;
  u32[tail === 0 ? head : tail >>> 2] = ptr;
  u32[(ptr >>> 2) - 1] = tag + (HELD - LIVE);
  u32[head + ROOM]! -= 1;
}

/** Takes a block, LIVE then, out of a magazine that is not empty. */
export function pop(u32: Uint32Array, head: number): Ptr {
  const ptr = u32[head]!;
  u32[(ptr >>> 2) - 1]! -= HELD - LIVE;
  u32[head] = u32[ptr >>> 2]!;
  u32[head + ROOM]! += 1;
  return asPtr(ptr);
}

/** Lets a magazine hold more. Half of what it may hold goes to or comes from the heap at once. */
export function raiseLimit(u32: Uint32Array, head: number, span: number): void {
  const limit = u32[head + LIMIT]!;
  const most = Math.min(MOST_LIMIT_BLOCKS, Math.max(LEAST_LIMIT_BLOCKS, Math.floor(LIMIT_BYTES / span)));
  const raised = limit === 0 ? FIRST_LIMIT_BLOCKS : Math.min(most, limit * 2);
  u32[head + LIMIT] = raised;
  u32[head + ROOM]! += raised - limit;
}

/** How many blocks go from or to a magazine under one lock. */
export function batchOf(u32: Uint32Array, head: number): number {
  return u32[head + LIMIT]! >>> 1;
}

/** What the magazines of a record hold, each block with the number of its magazine; 0 is no record. */
export function* magazineBlocks<B extends HeapBuffer>(
  heap: Malloc<B>,
  record: number,
): Generator<[list: number, ptr: number]> {
  if (record === 0) return;
  for (let list = 0; list < MAGAZINES; list += 1) {
    for (let ptr = heap.words[(record >>> 2) + 1 + list]!; ptr !== 0; ptr = heap.words[ptr >>> 2]!) yield [list, ptr];
  }
}

/** Frees all blocks of a magazine. One at a time is in flight, so a death in here loses one. */
export function emptyMagazine(heap: Malloc<HeapBuffer>, head: number): void {
  for (;;) {
    const u32 = heap.words;
    const ptr = u32[head]!;
    if (ptr === 0) break;
    const isBlock = ptr % 8 === 0 && ptr >= heap.lowest && ptr < heap.end && isStart(u32, biasOf(heap, ptr), ptr);
    if (!isBlock) {
      u32[head] = 0;
      throw new HeapError("ERR_CORRUPT", `a magazine was written over; what it held is lost`, asPtr(ptr));
    }
    const isHeld = stateOf(u32, ptr - HEADER_BYTES) === HELD;
    if (isHeld) setTag(u32, ptr - HEADER_BYTES, spanOf(u32, ptr - HEADER_BYTES), LIVE);
    u32[head] = u32[ptr >>> 2]!;
    if (isHeld) heap.free(asPtr(ptr));
  }
  heap.words[head + ROOM] = heap.words[head + LIMIT]!;
}

function biasOf(heap: Malloc<HeapBuffer>, address: number): number {
  return heap.words[heap.directory + (address >>> heap.granule)]!;
}
