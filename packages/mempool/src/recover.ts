/**
 * Rebuilds what is derived from the run lengths, after an agent has died in the middle of a call.
 *
 * @module
 */
import { CLASS_BLOCKS, CONTROL, HELD, MARKS_WORD } from "./layout.ts";
import { markAll } from "./marks.ts";
import { damaged } from "./misuse.ts";

const { offsets } = CONTROL;
const COUNT = offsets.count >>> 2;
const LEAF = offsets.leaf >>> 2;
const TREE_WORDS = offsets.treeWords >>> 2;
const BITMAP = offsets.bitmap >>> 2;
const RUNS = offsets.runs >>> 2;
const LOW = offsets.low >>> 2;
const CLEARED = offsets.cleared >>> 2;
const WATCH = offsets.watch >>> 2;

/**
 * Live blocks, and those in magazines, stay as they are; all else is free. O(blocks). Cut short, it is simply done again.
 *
 * @throws HeapError `ERR_CORRUPT` when the run lengths themselves are damaged; nothing is changed then
 */
export function recoverPool(u32: Uint32Array, control: number): void {
  const count = u32[control + COUNT]!;
  const runs = u32[control + RUNS]!;
  const bitmap = u32[control + BITMAP]!;
  for (let block = 0; block < count; block += lengthAt(u32, runs, block)) {
    if (lengthAt(u32, runs, block) > count - block) throw damaged((runs + block) * 4);
  }
  const bitmapWords = Math.ceil(count / 32);
  u32.fill(0, bitmap, bitmap + bitmapWords);
  for (let block = 0; block < count; block += lengthAt(u32, runs, block)) {
    if (u32[runs + block] === 0) u32[bitmap + (block >>> 5)]! |= 1 << (block & 31);
  }
  // Marks may be stale: searches take them back.
  const [leaf, treeWords] = [u32[control + LEAF]!, u32[control + TREE_WORDS]!];
  u32.fill(0, control + MARKS_WORD, control + MARKS_WORD + CLASS_BLOCKS.length * treeWords);
  for (let kind = 0; kind < CLASS_BLOCKS.length; kind += 1) {
    markAll(u32, control + MARKS_WORD + kind * treeWords, leaf, bitmapWords);
  }
  u32[control + LOW] = 0;
  u32[control + CLEARED] = 0;
  u32[control + WATCH] = 0;
}

/** Blocks up to where the next run may begin. */
function lengthAt(u32: Uint32Array, runs: number, block: number): number {
  const run = u32[runs + block]!;
  return run === 0 || run >= HELD ? 1 : run;
}
