/**
 * Marks: how an agent frees a block of another one's superblock without a lock. The picture is in layout.
 *
 * Who frees counts the block in its superblock, leaves a hint in the owner's record if it is the first, and then sets the
 * mark, by which the block is free. All else comes before: with its last block a superblock may go, and its descriptor with
 * it. The owner clears the hint, looks at the marks of each superblock that has a count, and counts down what it found. Who
 * has counted and not marked yet is not forgotten: the count stays, and the owner leaves the hint for itself.
 *
 * Counts and hints are written by Atomics, so that of two who write one and then read the other at least one sees both.
 *
 * @module
 */
import type { Cursor } from "./cursor.ts";
import { PAGE_BYTES, RECORD, SUPERBLOCK } from "./layout.ts";
import { liveBias } from "./page-map.ts";
import { FREED_BYTES, freeCount } from "./superblocks.ts";
import { putBack } from "./transfers.ts";

const { offsets } = SUPERBLOCK;
const BASE = offsets.base >>> 2;
const PAGES = offsets.pages >>> 2;
const MAX = offsets.max >>> 2;
const AFTER = offsets.after >>> 2;
const OWNER = offsets.record >>> 2;
const FREED = offsets.freed >>> 2;
const SHIFT = offsets.shift >>> 2;
const ALL = RECORD.offsets.all >>> 2;
const HINT = RECORD.offsets.hint >>> 2;

/** Counts a block of another agent's superblock, which is live and is marked next. */
export function countFreed(i32: Int32Array, descriptor: number): void {
  const word = descriptor >>> 2;
  // After the count: who takes the superblock over meanwhile looks at it once he is the owner.
  if (Atomics.add(i32, i32[word + FREED]!, 1) === 0) hintOwner(i32, descriptor);
}

/** Says that a superblock has a count: to its owner, whoever that is now. */
export function hintOwner(i32: Int32Array, descriptor: number): void {
  hintAt(i32, Atomics.load(i32, (descriptor >>> 2) + OWNER));
}

/** Says that a record's superblocks may have marks. */
export function hintAt(i32: Int32Array, record: number): void {
  Atomics.store(i32, record + HINT, 1);
}

/** Takes the blocks that others have freed of a record's superblocks. The caller owns it, and holds the lock. */
export function gather(apf: Cursor, record: number): void {
  if (apf.heap.u32[record + HINT] !== 0) gatherFrom(apf, record, false);
}

/** As {@link gather}, and looks at every mark, counted or not. */
export function gatherAll(apf: Cursor, record: number): void {
  gatherFrom(apf, record, true);
}

function gatherFrom(apf: Cursor, record: number, isThorough: boolean): void {
  const { i32, u32 } = apf.heap;
  Atomics.store(i32, record + HINT, 0);
  let isMore = false;
  let after = 0;
  for (let descriptor = u32[record + ALL]!; descriptor !== 0; descriptor = after) {
    const word = descriptor >>> 2;
    // Before it may be given back.
    after = u32[word + AFTER]!;
    const freed = u32[word + FREED]!;
    if (!isThorough && u32[freed] === 0) continue;
    if (!gatherMarked(apf, descriptor) && Atomics.load(i32, freed) !== 0) isMore = true;
  }
  if (isMore) hintAt(i32, record);
}

/**
 * Puts the marked blocks of a superblock back to the others. The live bit first: with its mark alone a block is free.
 *
 * @returns whether all blocks of the superblock are free now: then it is none any more
 */
function gatherMarked(apf: Cursor, descriptor: number): boolean {
  const { i32, u32, u8 } = apf.heap;
  const word = descriptor >>> 2;
  const bias = liveBias(u32, descriptor);
  const first = firstMark(u32, descriptor);
  const end = (first + markBytes(u32, descriptor) + 3) >>> 2;
  let gathered = 0;
  for (let at = first >>> 2; at < end; at += 1) {
    if (u32[at] === 0) continue;
    for (let mark = at * 4; mark < at * 4 + 4; mark += 1) {
      // By Atomics: what was done to the block before it was freed is done.
      if (u8[mark] === 0 || Atomics.load(u8, mark) === 0) continue;
      const ptr = markedBlock(u32, descriptor, mark - first);
      u32[(bias + (ptr >>> 8)) | 0]! &= ~(1 << (ptr >>> 3));
      u8[mark] = 0;
      gathered += 1;
      const isLast = freeCount(u32, descriptor) + 1 === u32[word + MAX];
      putBack(apf, u32, descriptor, ptr);
      if (isLast) return true;
    }
  }
  if (gathered !== 0) Atomics.sub(i32, u32[word + FREED]!, gathered);
  return false;
}

/** Address of the first mark of a superblock in a shared heap. */
export function firstMark(u32: Uint32Array, descriptor: number): number {
  return u32[(descriptor >>> 2) + FREED]! * 4 + FREED_BYTES;
}

/** How many marks there are. */
export function markBytes(u32: Uint32Array, descriptor: number): number {
  return (u32[(descriptor >>> 2) + PAGES]! * PAGE_BYTES) >>> u32[(descriptor >>> 2) + SHIFT]!;
}

/** The block that a mark speaks of, by its number. */
export function markedBlock(u32: Uint32Array, descriptor: number, number: number): number {
  return (u32[(descriptor >>> 2) + BASE]! + (number << u32[(descriptor >>> 2) + SHIFT]!)) >>> 0;
}
