/**
 * Blocks of a fixed pool that one agent keeps for itself and moves in and out without the lock. The picture is in layout.
 *
 * Two rules let a death anywhere lose no more than the block in flight. Push: the link, the head, then the byte that says
 * held, then the room. Pop: the byte, then the head, then the room. So at each instant every held block is in just one
 * magazine; what is in one without being held, after a death, has its link intact, and is dropped.
 *
 * @module
 */
import { asPtr, NULL, type Ptr } from "@heapwright/core";

import type { FixedPool } from "./fixed-pool.ts";
import { blockBits, heldByte } from "./fixed-regions.ts";
import { FIXED_CONTROL, MAGAZINE } from "./layout.ts";
import { corrupt } from "./misuse.ts";

const { offsets } = MAGAZINE;
const MAGAZINES = FIXED_CONTROL.offsets.magazines >>> 2;
const MEMBER = FIXED_CONTROL.offsets.member >>> 2;
const NEXT = offsets.next >>> 2;
const SLOT = offsets.slot >>> 2;
const GENERATION = offsets.generation >>> 2;
const HEAD = offsets.head >>> 2;
const ROOM = offsets.room >>> 2;
const LIMIT = offsets.limit >>> 2;
/** Bits of a block that is live to the pool. */
const BOTH = 0x1_0001;
/** What a magazine may hold at first, and in the end: this many bytes, but at least and at most so many blocks. */
const FIRST_LIMIT_BLOCKS = 8;
const LIMIT_BYTES = 16_384;
const LEAST_LIMIT_BLOCKS = 8;
const MOST_LIMIT_BLOCKS = 256;

/** Whether an agent has its slot still. */
type IsPresent = (slot: number, generation: number) => boolean;

/** The magazines of a pool. */
export function* magazinesOf(u32: Uint32Array, control: number): Generator<Ptr> {
  for (let magazine = u32[control + MAGAZINES]!; magazine !== 0; magazine = u32[(magazine >>> 2) + NEXT]!) {
    yield asPtr(magazine);
  }
}

/** What a magazine holds. */
export function* magazineBlocks(u32: Uint32Array, magazine: Ptr): Generator<number> {
  for (let ptr = u32[(magazine >>> 2) + HEAD]!; ptr !== 0; ptr = u32[ptr >>> 2]!) yield ptr;
}

/**
 * Finds an agent's magazine: its own, one whose agent is gone, or a new one. The lock is held, and what agents that are
 * gone held has been given back.
 *
 * @returns `NULL` when there is no room for one
 */
export function magazineFor(pool: FixedPool, slot: number, generation: number, isPresent: IsPresent): Ptr {
  let { u32 } = pool.heap;
  const { control } = pool;
  let found = NULL;
  for (const magazine of magazinesOf(u32, control)) {
    const word = magazine >>> 2;
    if (u32[word + SLOT] === slot && u32[word + GENERATION] === generation) return magazine;
    if (!isPresent(u32[word + SLOT]!, u32[word + GENERATION]!)) found = magazine;
  }
  if (found === NULL) {
    found = pool.backing.malloc(MAGAZINE.size);
    if (found === NULL) return NULL;
    u32 = pool.heap.u32;
    const word = found >>> 2;
    u32.fill(0, word, word + MAGAZINE.size / 4);
    u32[word + NEXT] = u32[control + MAGAZINES]!;
    u32[word + SLOT] = slot;
    u32[word + GENERATION] = generation;
    u32[control + MAGAZINES] = found;
    return found;
  }
  u32[(found >>> 2) + GENERATION] = generation;
  u32[(found >>> 2) + SLOT] = slot;
  return found;
}

/** Lets a magazine hold more, each time that it was empty or full: what is seldom used keeps little. */
export function raiseLimit(u32: Uint32Array, control: number, magazine: number): void {
  const limit = u32[magazine + LIMIT]!;
  const blocks = Math.floor(LIMIT_BYTES / u32[control + MEMBER]!);
  const most = Math.min(MOST_LIMIT_BLOCKS, Math.max(LEAST_LIMIT_BLOCKS, blocks));
  const raised = limit === 0 ? FIRST_LIMIT_BLOCKS : Math.min(most, limit * 2);
  u32[magazine + LIMIT] = raised;
  u32[magazine + ROOM]! += raised - limit;
}

/** How many blocks go from or to a magazine under one lock. */
export function batchOf(u32: Uint32Array, magazine: number): number {
  return u32[magazine + LIMIT]! >>> 1;
}

/** Puts a block that is live to the pool into a magazine that has room. */
export function push(pool: FixedPool, magazine: number, ptr: number): void {
  const { u32, u8 } = pool.heap;
  u32[ptr >>> 2] = u32[magazine + HEAD]!;
  u32[magazine + HEAD] = ptr;
  u8[heldByte(u32, pool.control, ptr)] = 1;
  u32[magazine + ROOM]! -= 1;
}

/** Frees the first block of a magazine that is not empty. Drops one that is in it without being held. */
function freeFirst(pool: FixedPool, magazine: number): void {
  const { u32, u8 } = pool.heap;
  const ptr = u32[magazine + HEAD]!;
  if (blockBits(u32, pool.control, ptr) !== BOTH) {
    u32[magazine + HEAD] = 0;
    throw corrupt("free", ptr);
  }
  const held = heldByte(u32, pool.control, ptr);
  const isHeld = u8[held] === 1;
  u8[held] = 0;
  u32[magazine + HEAD] = u32[ptr >>> 2]!;
  u32[magazine + ROOM]! += 1;
  if (isHeld) pool.free(asPtr(ptr));
}

/** Frees what the magazines of agents hold that are gone. The lock is held. */
export function giveBackOfGone(pool: FixedPool, isPresent: IsPresent): void {
  const { u32 } = pool.heap;
  for (const magazine of magazinesOf(u32, pool.control)) {
    const word = magazine >>> 2;
    if (isPresent(u32[word + SLOT]!, u32[word + GENERATION]!)) continue;
    while (u32[word + HEAD] !== 0) freeFirst(pool, word);
    u32[word + ROOM] = 0;
    u32[word + LIMIT] = 0;
  }
}

/** Frees what all magazines hold, and the magazines themselves. */
export function giveBackAll(pool: FixedPool): void {
  const { u32 } = pool.heap;
  const { control } = pool;
  if (u32[control + MAGAZINES] === 0) return;
  giveBackOfGone(pool, () => false);
  const magazines = [...magazinesOf(u32, control)];
  u32[control + MAGAZINES] = 0;
  for (const magazine of magazines) pool.backing.free(magazine);
}
