/**
 * Blocks between superblocks and a cache: fetched when it is empty, returned when it holds too many.
 *
 * @module
 */
import { pop, push, setLimit, widen } from "./caches.ts";
import type { Cursor } from "./cursor.ts";
import { ANCHOR_STATE, RECORD, SUPERBLOCK } from "./layout.ts";
import { corrupt } from "./misuse.ts";
import { isLive, superblockAt } from "./page-map.ts";
import { SIZES } from "./size-classes.ts";
import { freeCount, linkPartial, retire, takeSuperblock, unlinkPartial } from "./superblocks.ts";
import { noteTransfer } from "./tuner.ts";

const { FULL, PARTIAL } = ANCHOR_STATE;
const { offsets } = SUPERBLOCK;
const BASE = offsets.base >>> 2;
const CLASS = offsets.class >>> 2;
const OWNER = offsets.record >>> 2;
const MAX = offsets.max >>> 2;
const ANCHOR_WORD = offsets.anchor >>> 2;
const AVAIL = offsets.avail >>> 2;
const CARVED = offsets.carved >>> 2;
const CAPACITY = RECORD.offsets.capacity >>> 2;
const PARTIAL_LIST = RECORD.offsets.partial >>> 2;
const FETCHES = RECORD.offsets.fetches >>> 2;
const RETURNS = RECORD.offsets.returns >>> 2;
const ROOM_MASK = 0x1fff;
const STATE_MASK = 3;
const COUNT_SHIFT_BITS = 2;
const ONE = 1 << COUNT_SHIFT_BITS;

/**
 * Fills an empty cache from superblocks of its class, and from new ones where these have too few blocks.
 *
 * @param wanted - blocks, from 1
 * @returns the blocks taken: 0 when there is no memory
 */
export function fetch(apf: Cursor, record: number, sizeClass: number, wanted: number): number {
  const count = widen(apf, record, wanted) ? wanted : Math.min(wanted, apf.heap.u32[record + CAPACITY]!);
  prepare(apf.heap.u32, record, count);
  noteTransfer(apf, record, 0);
  let taken = 0;
  while (taken < count) {
    let descriptor = apf.heap.u32[record + PARTIAL_LIST]!;
    if (descriptor === 0 && apf.supply !== undefined) descriptor = apf.supply.find(record, sizeClass);
    if (descriptor === 0) descriptor = takeSuperblock(apf, record, sizeClass);
    if (descriptor === 0) break;
    taken += take(apf, record, descriptor, count - taken);
  }
  if (taken === 0) return 0;
  noteTransfer(apf, record, taken);
  apf.heap.u32[record + FETCHES]! += 1;
  return taken;
}

/** Lets an empty cache have so many blocks, which it has slots for. */
function prepare(u32: Uint32Array, record: number, count: number): void {
  if ((u32[record]! & ROOM_MASK) < count) setLimit(u32, record, count);
}

/** Moves free blocks of a superblock to the cache: those freed before, then some that were never handed out. */
function take(apf: Cursor, record: number, descriptor: number, most: number): number {
  const { u32 } = apf.heap;
  const word = descriptor >>> 2;
  const free = freeCount(u32, descriptor);
  const count = Math.min(most, free);
  const listed = Math.min(count, free - (u32[word + MAX]! - u32[word + CARVED]!));
  for (let i = 0; i < listed; i += 1) {
    const ptr = u32[word + AVAIL]!;
    if (!isFreeBlock(u32, descriptor, ptr)) throw corrupt("malloc", ptr);
    u32[word + AVAIL] = u32[ptr >>> 2]!;
    u32[word + ANCHOR_WORD]! -= ONE;
    push(u32, record, ptr);
  }
  if (count > listed) carve(u32, record, word, count - listed);
  if (count === free) {
    u32[word + ANCHOR_WORD] = FULL;
    unlinkPartial(u32, record, descriptor);
  }
  return count;
}

/** Whether a superblock has a block there that nobody holds. */
function isFreeBlock(u32: Uint32Array, descriptor: number, ptr: number): boolean {
  const word = descriptor >>> 2;
  const offset = ptr - u32[word + BASE]!;
  const size = SIZES[u32[word + CLASS]!]!;
  if (!(offset >= 0 && offset < u32[word + CARVED]! * size) || offset % size !== 0) return false;
  return !isLive(u32, descriptor, ptr);
}

/** Puts blocks that were never handed out into the cache, so that the lowest is taken first. */
function carve(u32: Uint32Array, record: number, word: number, count: number): void {
  const size = SIZES[u32[word + CLASS]!]!;
  const carved = u32[word + CARVED]!;
  const first = u32[word + BASE]! + carved * size;
  for (let ptr = first + (count - 1) * size; ptr >= first; ptr -= size) push(u32, record, ptr);
  u32[word + CARVED] = carved + count;
  u32[word + ANCHOR_WORD]! -= count * ONE;
}

/**
 * Returns blocks from a cache to their superblocks, those freed last first. Superblocks that have become empty are retired.
 *
 * @param count - blocks, at most those in the cache
 */
export function giveBack(apf: Cursor, record: number, count: number): void {
  if (count === 0) return;
  const { control } = apf;
  const { u32 } = apf.heap;
  noteTransfer(apf, record, -count);
  for (let i = 0; i < count; i += 1) {
    const ptr = pop(u32, record);
    const descriptor = superblockAt(u32, control, ptr);
    if (descriptor === 0) throw corrupt("free", ptr);
    putBack(apf, u32, descriptor, ptr);
  }
  u32[record + RETURNS]! += 1;
}

/** Adds a block, which is not live, to those that its superblock has to give. */
export function putBack(apf: Cursor, u32: Uint32Array, descriptor: number, ptr: number): void {
  const word = descriptor >>> 2;
  const anchor = u32[word + ANCHOR_WORD]! + ONE;
  u32[ptr >>> 2] = u32[word + AVAIL]!;
  u32[word + AVAIL] = ptr;
  u32[word + ANCHOR_WORD] = anchor | PARTIAL;
  const record = u32[word + OWNER]!;
  if ((anchor & STATE_MASK) === FULL) linkPartial(u32, record, descriptor);
  if (anchor >>> COUNT_SHIFT_BITS !== u32[word + MAX]) return;
  unlinkPartial(u32, record, descriptor);
  u32[word + ANCHOR_WORD] = (anchor & ~STATE_MASK) | ANCHOR_STATE.EMPTY;
  retire(apf, descriptor);
}
