/**
 * Free runs in the bitmap: found lowest first, a word at a time, handed out and given back. Pictures and invariants are in
 * layout.
 *
 * @module
 */
import { CLASS_BLOCKS, CONTROL, MARKS_WORD } from "./layout.ts";
import { firstMarked, mark, nextMarked, unmark } from "./marks.ts";

const { offsets } = CONTROL;
const LEAF = offsets.leaf >>> 2;
const TREE_WORDS = offsets.treeWords >>> 2;
const BITMAP = offsets.bitmap >>> 2;
const RUNS = offsets.runs >>> 2;
const LOW = offsets.low >>> 2;
const CLEARED = offsets.cleared >>> 2;
const WATCH = offsets.watch >>> 2;
const COALESCED = offsets.coalesced >>> 2;
const COUNT = offsets.count >>> 2;
const MARKS = MARKS_WORD;
const CLASSES = CLASS_BLOCKS;
/** Runs of more are found by looking on from a run of that many. */
const LONGEST_CLASS_BLOCKS = 32;

/**
 * Makes `low` the lowest word with a free block. O(1) amortised: each stale mark was set by a free.
 *
 * @returns false when no block is free
 */
export function seekLow(u32: Uint32Array, control: number): boolean {
  const tree = (control + MARKS) | 0;
  const leaf = u32[control + LEAF]! | 0;
  const bitmap = u32[control + BITMAP]! | 0;
  let word = u32[control + LOW]! | 0;
  if (u32[(bitmap + word) | 0] !== 0) return true;
  if (u32[(bitmap + word + 1) | 0] !== 0) {
    // Mostly it is the next one, without a search. The mark of this one is left: no search looks before `low`.
    word = (word + 1) | 0;
  } else {
    for (;;) {
      word = nextMarked(u32, tree, leaf, word);
      if (word === -1) return false;
      if (u32[(bitmap + word) | 0] !== 0) break;
      unmark(u32, tree, leaf, word);
    }
  }
  const cleared = u32[control + CLEARED]! | 0;
  u32[control + LOW] = word;
  u32[control + WATCH] = word < cleared ? cleared : word;
  return true;
}

/**
 * Hands out the lowest free run of `blocks`, at least 2.
 *
 * @returns its first block, or `NONE`
 */
export function takeRun(u32: Uint32Array, control: number, blocks: number): number {
  const block = findRun(u32, control, blocks);
  if (block === -1) return block;
  const bitmap = u32[control + BITMAP]! | 0;
  const end = (block + blocks) | 0;
  for (let word = block >>> 5; word << 5 < end; word = (word + 1) | 0) {
    const at = (bitmap + word) | 0;
    u32[at] = u32[at]! & ~maskOf(word, block, end);
  }
  u32[control + COALESCED]! += 1;
  u32[(u32[control + RUNS]! + block) | 0] = blocks;
  return block;
}

/** Gives a run back, whose first block is `block`. O(blocks / 32). */
export function releaseRun(u32: Uint32Array, control: number, block: number, blocks: number): void {
  const bitmap = u32[control + BITMAP]! | 0;
  const leaf = u32[control + LEAF]! | 0;
  const first = block >>> 5;
  const end = (block + blocks) | 0;
  u32[(u32[control + RUNS]! + block) | 0] = 0;
  for (let word = first; word << 5 < end; word = (word + 1) | 0) {
    const at = (bitmap + word) | 0;
    const bits = u32[at]!;
    u32[at] = bits | maskOf(word, block, end);
    if (bits === 0) mark(u32, control + MARKS, leaf, word);
  }
  const cleared = u32[control + CLEARED]! | 0;
  if (first < cleared) markRuns(u32, control, block, blocks);
  if (first < u32[control + LOW]!) {
    u32[control + LOW] = first;
    u32[control + WATCH] = first < cleared ? cleared : first;
  }
}

/** The lowest free run begins in one of the words that are marked in the class of its length. */
function findRun(u32: Uint32Array, control: number, blocks: number): number {
  const bitmap = u32[control + BITMAP]! | 0;
  const leaf = u32[control + LEAF]! | 0;
  const kind = classOf(blocks);
  const least = CLASSES[kind]!;
  const tree = (control + MARKS + Math.imul(kind, u32[control + TREE_WORDS]!)) | 0;
  for (let word = firstMarked(u32, tree, leaf); word !== -1; word = nextMarked(u32, tree, leaf, word)) {
    const begin = startIn(u32, (bitmap + word) | 0, least);
    if (begin === -1) {
      unmark(u32, tree, leaf, word);
      // A free in the next word may lengthen a run that begins in this one.
      if (word + 2 > u32[control + CLEARED]!) {
        u32[control + CLEARED] = word + 2;
        u32[control + WATCH] = Math.max(word + 2, u32[control + LOW]!);
      }
    } else if (blocks === least) {
      return (word << 5) | begin;
    } else if (blocks <= LONGEST_CLASS_BLOCKS) {
      const start = startIn(u32, (bitmap + word) | 0, blocks);
      if (start !== -1) return (word << 5) | start;
    } else {
      const start = (word << 5) | begin;
      const end = endOfRun(u32, bitmap, start + LONGEST_CLASS_BLOCKS, start + blocks);
      if (end >= start + blocks) return start;
      // No run of a class begins before it ends.
      word = (end >>> 5) - 1;
    }
  }
  return -1;
}

/** Marks the words in which runs begin that a free of `blocks` at `block` has made or lengthened. */
function markRuns(u32: Uint32Array, control: number, block: number, blocks: number): void {
  const bitmap = u32[control + BITMAP]! | 0;
  const leaf = u32[control + LEAF]! | 0;
  const treeWords = u32[control + TREE_WORDS]! | 0;
  const start = startOfRun(u32, bitmap, block);
  const freed = (block + blocks) | 0;
  const end = endOfRun(u32, bitmap, freed, freed + LONGEST_CLASS_BLOCKS);
  for (let word = start >>> 5; word << 5 < freed; word = (word + 1) | 0) {
    const from = word << 5 < start ? start : word << 5;
    const last = classOf((end - from) | 0);
    let tree = (control + MARKS) | 0;
    for (let kind = 1; kind <= last; kind = (kind + 1) | 0) {
      tree = (tree + treeWords) | 0;
      mark(u32, tree, leaf, word);
    }
  }
}

/** The first block of the free run that ends before `block`; of a long one, one at least 31 blocks away. */
function startOfRun(u32: Uint32Array, bitmap: number, block: number): number {
  const at = (bitmap + (block >>> 5)) | 0;
  const bit = block & 31;
  const before = bit === 0 ? 0 : Math.clz32(~(u32[at]! << (32 - bit)));
  if (before < bit || block < 32) return (block - before) | 0;
  return (block - bit - Math.clz32(~u32[at - 1]!)) | 0;
}

/** The end of the free run from `block` on, which may be empty; of a long one, anything from `enough` on. */
function endOfRun(u32: Uint32Array, bitmap: number, block: number, enough: number): number {
  let end = block | 0;
  while (end < enough) {
    const bit = end & 31;
    // Shifted in from above are zeros, which count as taken.
    const taken = ~(u32[(bitmap + (end >>> 5)) | 0]! >>> bit);
    const free = taken === 0 ? 32 : 31 - Math.clz32(taken & -taken);
    end = (end + free) | 0;
    if (free < 32 - bit) break;
  }
  return end;
}

/**
 * Where in a word of the bitmap the lowest run of `blocks` begins, which may end in the next one; -1 for nowhere.
 *
 * @param word - its word address; the one behind it is read too
 * @param blocks - from 1 to 32
 */
function startIn(u32: Uint32Array, word: number, blocks: number): number {
  let low = u32[word]! | 0;
  let high = u32[(word + 1) | 0]! | 0;
  let length = 1;
  // After each step a bit is set where a run of `length` begins.
  while (length < blocks) {
    const rest = (blocks - length) | 0;
    const step = rest < length ? rest : length;
    low = low & ((low >>> step) | (high << (32 - step)));
    high = high & (high >>> step);
    length = (length + step) | 0;
  }
  return low === 0 ? -1 : 31 - Math.clz32(low & -low);
}

/** The class whose marks tell of runs of `blocks`. */
function classOf(blocks: number): number {
  if (blocks <= 8) return (blocks - 1) | 0;
  return blocks < 16 ? 7 : blocks < 32 ? 8 : 9;
}

/** The bits of a word of the bitmap that stand for the blocks from `block` to before `end`. */
function maskOf(word: number, block: number, end: number): number {
  const from = (block - (word << 5)) | 0;
  const to = (end - (word << 5)) | 0;
  return (from > 0 ? -1 << from : -1) & (to < 32 ? -1 >>> (32 - to) : -1);
}

/** Whether no block is in a run. O(count / 32). */
export function isEmpty(u32: Uint32Array, control: number): boolean {
  const count = u32[control + COUNT]!;
  return endOfRun(u32, u32[control + BITMAP]! | 0, 0, count) >= count;
}
