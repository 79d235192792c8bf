/**
 * Single blocks that one agent keeps for itself and moves in and out without the lock. Picture and order of stores are in
 * layout.
 *
 * @module
 */
import { type Allocator, asPtr, NULL, type Ptr } from "@heapwright/core";

import { CONTROL, HELD, MAGAZINE } from "./layout.ts";
import { NONE } from "./marks.ts";
import { releaseRun } from "./runs.ts";

const { offsets } = MAGAZINE;
const DEPTH = CONTROL.offsets.depth >>> 2;
const MAGAZINES = CONTROL.offsets.magazines >>> 2;
const POOL_COUNT = CONTROL.offsets.count >>> 2;
const RUNS = CONTROL.offsets.runs >>> 2;
const NEXT = offsets.next >>> 2;
const SLOT = offsets.slot >>> 2;
const GENERATION = offsets.generation >>> 2;
const COUNT = offsets.count >>> 2;
const ENTRIES = MAGAZINE.size >>> 2;

/** Whether an agent has its slot still. */
type IsPresent = (slot: number, generation: number) => boolean;

/** The magazines of a pool. */
export function* magazinesOf(u32: Uint32Array, control: number): Generator<Ptr> {
  for (let magazine = u32[control + MAGAZINES]!; magazine !== 0; magazine = u32[(magazine >>> 2) + NEXT]!) {
    yield asPtr(magazine);
  }
}

/**
 * Finds an agent's magazine: its own, one whose agent is gone, or a new one. The lock is held, and what agents that are
 * gone held has been given back.
 *
 * @returns `NULL` when there is no room for one
 */
export function magazineFor(
  backing: Allocator,
  control: number,
  slot: number,
  generation: number,
  isPresent: IsPresent,
): Ptr {
  let { u32 } = backing.heap;
  let found = NULL;
  for (const magazine of magazinesOf(u32, control)) {
    const word = magazine >>> 2;
    if (u32[word + SLOT] === slot && u32[word + GENERATION] === generation) return magazine;
    if (!isPresent(u32[word + SLOT]!, u32[word + GENERATION]!)) found = magazine;
  }
  if (found === NULL) {
    const bytes = MAGAZINE.size + u32[control + DEPTH]! * 4;
    found = backing.malloc(bytes);
    if (found === NULL) return NULL;
    u32 = backing.heap.u32;
    u32.fill(0, found >>> 2, (found + bytes) >>> 2);
    u32[(found >>> 2) + NEXT] = u32[control + MAGAZINES]!;
    u32[control + MAGAZINES] = found;
  }
  u32[(found >>> 2) + GENERATION] = generation;
  u32[(found >>> 2) + SLOT] = slot;
  return found;
}

/** Puts a live single block into a magazine that has room. */
export function push(u32: Uint32Array, control: number, magazine: number, block: number): void {
  const count = u32[magazine + COUNT]!;
  u32[magazine + ENTRIES + count] = block;
  u32[magazine + COUNT] = count + 1;
  u32[u32[control + RUNS]! + block] = (HELD | u32[magazine + SLOT]!) >>> 0;
}

/** Takes a block, live then, out of a magazine; `NONE` when none is in it. What is in it without being held is dropped. */
export function pop(u32: Uint32Array, control: number, magazine: number): number {
  const held = (HELD | u32[magazine + SLOT]!) >>> 0;
  for (let count = u32[magazine + COUNT]!; count > 0; count -= 1) {
    const block = u32[magazine + ENTRIES + count - 1]!;
    const run = u32[control + RUNS]! + block;
    const isHeld = block < u32[control + POOL_COUNT]! && u32[run] === held;
    if (isHeld) u32[run] = 1;
    u32[magazine + COUNT] = count - 1;
    if (isHeld) return block;
  }
  return NONE;
}

/** Frees the last `count` blocks of a magazine. What is in it without being held is dropped. The lock is held. */
export function giveBack(u32: Uint32Array, control: number, magazine: number, count: number): void {
  const held = (HELD | u32[magazine + SLOT]!) >>> 0;
  for (let wanted = Math.min(count, u32[magazine + COUNT]!); wanted > 0; wanted -= 1) {
    const last = u32[magazine + COUNT]! - 1;
    const block = u32[magazine + ENTRIES + last]!;
    // Free first: then it is held no more, and an entry too many does no harm.
    if (block < u32[control + POOL_COUNT]! && u32[u32[control + RUNS]! + block] === held) {
      releaseRun(u32, control, block, 1);
    }
    u32[magazine + COUNT] = last;
  }
}

/** Frees what the magazines of agents hold that are gone. The lock is held. */
export function giveBackOfGone(u32: Uint32Array, control: number, isPresent: IsPresent): void {
  for (const magazine of magazinesOf(u32, control)) {
    const word = magazine >>> 2;
    if (!isPresent(u32[word + SLOT]!, u32[word + GENERATION]!)) giveBack(u32, control, word, u32[word + COUNT]!);
  }
}

/** Frees what all magazines hold, and the magazines themselves. */
export function discardMagazines(backing: Allocator, control: number): void {
  const { u32 } = backing.heap;
  const magazines = [...magazinesOf(u32, control)];
  giveBackOfGone(u32, control, () => false);
  u32[control + MAGAZINES] = 0;
  // Empty, for cursors that remember them.
  for (const magazine of magazines) u32.fill(0, magazine >>> 2, (magazine >>> 2) + ENTRIES);
  for (const magazine of magazines) backing.free(magazine);
}
