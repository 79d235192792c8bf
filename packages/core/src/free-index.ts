/**
 * The free blocks of an allocator by size: segregated lists with a two-level bitmap (Masmano's TLSF), so that a block is
 * filed, found and taken out in constant time, whatever is free.
 *
 * Bins are 8 bytes wide up to spans of 256, and 1/16 of a power of two above.
 *
 * ```text
 *   index (word address)
 *     +0            bit w: word w of the map is not 0
 *     +1 .. +13     map, a bit for each bin that holds something
 *     +14 .. +429   bins: the block filed last, 1: none
 *
 *   bin of a span   16 * (log - 7) + (span >>> (log - 4)),  log = floor(log2(span)), at least 7
 *
 *   a FREE block
 *     0        8        12       16
 *     +--------+--------+--------+----
 *     | header | next   | prev   |           next: a block, 1 in the last
 *     +--------+--------+--------+----       prev: a block; in the first, the address at which a block would lie whose
 *                                            `next` is the bin, so that nobody has to ask which is the first
 * ```
 *
 * Lists end in 1, so that a free block that someone filled with zeros is no end.
 *
 * Marks are set without asking whether they are set: sizes are random, and a branch that the processor cannot foresee
 * costs as much as ten instructions.
 *
 * The index is derived: `recover()` clears it and files every FREE block again.
 *
 * @module
 */
import type { Block } from "./ptr.ts";

const MAP = 1;
const MAP_WORDS = 13;
const BINS = 14;
const BIN_COUNT = 416;
const TAG = 1;
const NEXT = 2;
const PREV = 3;
/** What stands for no block at a list's end. */
const END = 1;
/** What bestFit() looks at in a bin: far more than one holds, but where someone frees thousands of one wide bin. */
const CANDIDATES = 64;

/** Size of an index in bytes. */
export const FREE_INDEX_BYTES: number = (BINS + BIN_COUNT + 2) * 4;

function binOf(span: number): number {
  const log = 31 - Math.clz32(span | 128);
  return ((log - 7) << 4) + (span >>> (log - 4));
}

/** A bin as its first block's `prev` has it. */
function holderOf(index: number, bin: number): number {
  return ((index + BINS + bin - NEXT) << 2) >>> 0;
}

/** Empties an index. */
export function clearIndex(u32: Uint32Array, index: number): void {
  u32.fill(0, index, index + BINS);
  u32.fill(END, index + BINS, index + BINS + BIN_COUNT);
}

/** Files a FREE block. O(1). */
export function insertFree(u32: Uint32Array, index: number, block: number, span: number): void {
  const bin = binOf(span);
  const head = index + BINS + bin;
  const first = u32[head]!;
  const word = block >>> 2;
  u32[word + NEXT] = first;
  u32[word + PREV] = holderOf(index, bin);
  u32[head] = block;
  u32[index + MAP + (bin >>> 5)]! |= 1 << bin;
  u32[index]! |= 1 << (bin >>> 5);
  if (first !== END) u32[(first >>> 2) + PREV] = block;
}

/** Whether a block's links lead back to it: a write into free memory is noticed here, before the links are followed. */
export function isLinked(u32: Uint32Array, block: number): boolean {
  const next = u32[(block >>> 2) + NEXT]!;
  const prev = u32[(block >>> 2) + PREV]!;
  return u32[(prev >>> 2) + NEXT] === block && (next === END || u32[(next >>> 2) + PREV] === block);
}

/**
 * Takes a block out of the index. O(1).
 *
 * @returns false, with nothing changed, when its links do not lead back to it
 */
export function unlink(u32: Uint32Array, index: number, block: number, span: number): boolean {
  const next = u32[(block >>> 2) + NEXT]!;
  const prev = u32[(block >>> 2) + PREV]!;
  const link = (prev >>> 2) + NEXT;
  if (u32[link] !== block) return false;
  if (next !== END) {
    if (u32[(next >>> 2) + PREV] !== block) return false;
    u32[(next >>> 2) + PREV] = prev;
    u32[link] = next;
    return true;
  }
  u32[link] = END;
  const bin = binOf(span);
  if (u32[index + BINS + bin] === END) unmark(u32, index, bin);
  return true;
}

function unmark(u32: Uint32Array, index: number, bin: number): void {
  const map = index + MAP + (bin >>> 5);
  const bits = u32[map]! & ~(1 << bin);
  u32[map] = bits;
  if (bits === 0) u32[index]! &= ~(1 << (bin >>> 5));
}

/**
 * Finds a block that is large enough: the first in the bin of the span itself if it is, else the first of the next bin
 * that holds something. It stays in the index. O(1).
 *
 * @param u32 - the heap's words
 * @param index - word address of the index
 * @param span - bytes wanted, header included
 * @returns the block, 0 when none was found
 */
export function goodFit(u32: Uint32Array, index: number, span: number): Block {
  const bin = binOf(span);
  const first = u32[index + BINS + bin]!;
  if (first !== END && u32[(first >>> 2) + TAG]! >= span) return first as Block;
  return firstFrom(u32, index, bin + 1);
}

/**
 * Finds the smallest block that is large enough, of equal ones the one freed last. It stays in the index. O(1): exact for
 * spans below 256, and among 64 candidates of 1/16 of difference above.
 *
 * @param u32 - the heap's words
 * @param index - word address of the index
 * @param span - bytes wanted, header included
 * @returns the block, 0 when none is large enough
 */
export function bestFit(u32: Uint32Array, index: number, span: number): Block {
  const bin = binOf(span);
  const best = smallestOf(u32, u32[index + BINS + bin]!, span);
  return best === 0 ? smallestOf(u32, firstFrom(u32, index, bin + 1), span) : best;
}

/** The first block of the first bin from `bin` on that holds something. */
function firstFrom(u32: Uint32Array, index: number, bin: number): Block {
  let word = bin >>> 5;
  let bits = u32[index + MAP + word]! & (-1 << bin);
  if (bits === 0) {
    const words = u32[index]! & (-2 << word);
    if (words === 0) return 0 as Block;
    word = 31 - Math.clz32(words & -words);
    bits = u32[index + MAP + word]! | 0;
  }
  return u32[index + BINS + word * 32 + (31 - Math.clz32(bits & -bits))]! as Block;
}

function smallestOf(u32: Uint32Array, first: number, span: number): Block {
  let best = 0;
  let bestSpan = 0xffff_ffff;
  let block = first;
  for (let seen = 0; block > END && seen < CANDIDATES; seen += 1) {
    const found = u32[(block >>> 2) + TAG]!;
    if (found === span) return block as Block;
    if (found > span && found < bestSpan) {
      best = block;
      bestSpan = found;
    }
    block = u32[(block >>> 2) + NEXT]!;
  }
  return best as Block;
}

/** Every block of an index with its bin, for check() and tests, in no order of addresses. */
export function* indexedBlocks(u32: Uint32Array, index: number): Generator<Block> {
  for (let bin = 0; bin < BIN_COUNT; bin += 1) {
    for (let block = u32[index + BINS + bin]!; block > END; block = u32[(block >>> 2) + NEXT]!) yield block as Block;
  }
}

/** What is wrong with an index in itself: the bits of both levels, the blocks' bins. `undefined` when nothing is. */
export function indexDamage(u32: Uint32Array, index: number): string | undefined {
  for (let bin = 0; bin < BIN_COUNT; bin += 1) {
    const first = u32[index + BINS + bin]!;
    const bit = (u32[index + MAP + (bin >>> 5)]! >>> (bin & 31)) & 1;
    if ((bit === 1) !== (first !== END)) return `the mark of bin ${bin} is wrong`;
    if (first !== END && u32[(first >>> 2) + PREV] !== holderOf(index, bin))
      return `bin ${bin} and its first block disagree`;
    for (let block = first; block > END; block = u32[(block >>> 2) + NEXT]!) {
      if (!isLinked(u32, block)) return `the list of bin ${bin} is broken`;
      if (binOf(u32[(block >>> 2) + TAG]!) !== bin) return `bin ${bin} holds a block of another size`;
    }
  }
  for (let word = 0; word < MAP_WORDS; word += 1) {
    if (((u32[index]! >>> word) & 1) !== (u32[index + MAP + word] === 0 ? 0 : 1))
      return `the mark of word ${word} is wrong`;
  }
  return undefined;
}
