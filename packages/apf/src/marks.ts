/**
 * Marks: how an agent frees a block of another one's superblock without a lock. The picture is in layout.
 *
 * Who frees stores the mark, then the flag of the superblock unless it is set, then the hint of its owner's record. The owner
 * clears the hint, then the flag, and then looks at the marks: what it does not see there has set the flag once more. Both
 * do it by Atomics, so that of two who write one word and read the other's at least one sees the other.
 *
 * @module
 */
import type { Cursor } from "./cursor.ts";
import { PAGE_BYTES, RECORD, SUPERBLOCK } from "./layout.ts";
import { liveBias } from "./page-map.ts";
import { FLAG_BYTES, freeCount } from "./superblocks.ts";
import { putBack } from "./transfers.ts";

const { offsets } = SUPERBLOCK;
const BASE = offsets.base >>> 2;
const PAGES = offsets.pages >>> 2;
const MAX = offsets.max >>> 2;
const AFTER = offsets.after >>> 2;
const OWNER = offsets.record >>> 2;
const FLAG_WORD = offsets.flag >>> 2;
const SHIFT = offsets.shift >>> 2;
const ALL = RECORD.offsets.all >>> 2;
const HINT = RECORD.offsets.hint >>> 2;

/** Says that a superblock has marks: to its owner, whoever that is now. */
export function announce(i32: Int32Array, descriptor: number): void {
  const word = descriptor >>> 2;
  const flag = i32[word + FLAG_WORD]!;
  if (Atomics.load(i32, flag) !== 0) return;
  Atomics.store(i32, flag, 1);
  // After the flag: who takes the superblock over meanwhile sees to its flag after he is the owner.
  Atomics.store(i32, Atomics.load(i32, word + OWNER) + HINT, 1);
}

/** Says that a record's superblocks may have marks. */
export function hintAt(i32: Int32Array, record: number): void {
  Atomics.store(i32, record + HINT, 1);
}

/** Takes the blocks that others have freed of a record's superblocks. The caller owns it, and holds the lock. */
export function gather(apf: Cursor, record: number): void {
  if (apf.heap.u32[record + HINT] !== 0) gatherFrom(apf, record, false);
}

/** As {@link gather}, and looks at every mark, flagged or not. */
export function gatherAll(apf: Cursor, record: number): void {
  gatherFrom(apf, record, true);
}

function gatherFrom(apf: Cursor, record: number, isThorough: boolean): void {
  const { i32, u32 } = apf.heap;
  Atomics.store(i32, record + HINT, 0);
  let after = 0;
  for (let descriptor = u32[record + ALL]!; descriptor !== 0; descriptor = after) {
    const word = descriptor >>> 2;
    // Before it may be given back.
    after = u32[word + AFTER]!;
    const flag = u32[word + FLAG_WORD]!;
    if (!isThorough && u32[flag] === 0) continue;
    Atomics.store(i32, flag, 0);
    gatherMarked(apf, descriptor);
  }
}

/** Puts the marked blocks of a superblock back to the others. The live bit first: with its mark alone a block is free. */
function gatherMarked(apf: Cursor, descriptor: number): void {
  const { u32, u8 } = apf.heap;
  const word = descriptor >>> 2;
  const bias = liveBias(u32, descriptor);
  const first = firstMark(u32, descriptor);
  const end = (first + markBytes(u32, descriptor) + 3) >>> 2;
  for (let at = first >>> 2; at < end; at += 1) {
    if (u32[at] === 0) continue;
    for (let mark = at * 4; mark < at * 4 + 4; mark += 1) {
      // By Atomics: what was done to the block before it was freed is done.
      if (u8[mark] === 0 || Atomics.load(u8, mark) === 0) continue;
      const ptr = markedBlock(u32, descriptor, mark - first);
      u32[(bias + (ptr >>> 8)) | 0]! &= ~(1 << (ptr >>> 3));
      u8[mark] = 0;
      const isLast = freeCount(u32, descriptor) + 1 === u32[word + MAX];
      putBack(apf, u32, descriptor, ptr);
      // With it the superblock may be gone.
      if (isLast) return;
    }
  }
}

/** Address of the first mark of a superblock in a shared heap. */
export function firstMark(u32: Uint32Array, descriptor: number): number {
  return u32[(descriptor >>> 2) + FLAG_WORD]! * 4 + FLAG_BYTES;
}

/** How many marks there are. */
export function markBytes(u32: Uint32Array, descriptor: number): number {
  return (u32[(descriptor >>> 2) + PAGES]! * PAGE_BYTES) >>> u32[(descriptor >>> 2) + SHIFT]!;
}

/** The block that a mark speaks of, by its number. */
export function markedBlock(u32: Uint32Array, descriptor: number, number: number): number {
  return u32[(descriptor >>> 2) + BASE]! + number * 2 ** u32[(descriptor >>> 2) + SHIFT]!;
}
