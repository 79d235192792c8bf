/**
 * The free blocks of an allocator by size: segregated lists with a two-level bitmap (Masmano's TLSF), so that a block is
 * filed, found and taken out in constant time, whatever is free.
 *
 * Bins are 8 bytes wide up to spans of 512, and 1/32 of a power of two above: one bin, one size, for what programs ask
 * for most.
 *
 * ```text
 *   index (word address)
 *     +0           bit w: word w of the map is not 0
 *     +1           unused
 *     +2 .. +26    map, a bit for each bin that holds something
 *     +27          unused
 *     +28 .. +827  bins: the block filed last
 *
 *   bin of a span    span < 256:  span / 8
 *                    otherwise:   32 * (log - 7) + the 5 bits below the highest, log = floor(log2(span))
 *
 *   a FREE block
 *     0        8        12       16
 *     +--------+--------+--------+----
 *     | header | next   | prev   |          block addresses; next is 0 in the last, prev in the first
 *     +--------+--------+--------+----
 * ```
 *
 * The index is derived: `recover()` clears it and files every FREE block again.
 *
 * @module
 */
import type { Block } from "./ptr.ts";

/** Size of an index in bytes. */
export const FREE_INDEX_BYTES = 3312;

const MAP = 2;
const MAP_WORDS = 25;
const BINS = 28;
const TAG = 1;
const NEXT = 2;
const PREV = 3;
/** What bestFit() looks at in a bin: far more than one holds, but where someone frees thousands of one wide bin. */
const CANDIDATES = 64;

function binOf(span: number): number {
  if (span < 256) return span >>> 3;
  const log = 31 - Math.clz32(span);
  return ((log - 7) << 5) + ((span >>> (log - 5)) & 31);
}

/** Empties an index. */
export function clearIndex(u32: Uint32Array, index: number): void {
  u32.fill(0, index, index + (FREE_INDEX_BYTES >>> 2));
}

/** Files a FREE block. O(1). */
export function insertFree(u32: Uint32Array, index: number, block: number, span: number): void {
  const bin = binOf(span);
  const head = index + BINS + bin;
  const first = u32[head]!;
  const word = block >>> 2;
  u32[word + NEXT] = first;
  u32[word + PREV] = 0;
  u32[head] = block;
  if (first !== 0) {
    u32[(first >>> 2) + PREV] = block;
    return;
  }
  u32[index + MAP + (bin >>> 5)]! |= 1 << bin;
  u32[index]! |= 1 << (bin >>> 5);
}

/**
 * Takes a block out of the index. O(1).
 *
 * @returns false, with nothing changed, when its links do not lead back to it: something wrote into free memory
 */
export function unlink(u32: Uint32Array, index: number, block: number, span: number): boolean {
  const word = block >>> 2;
  const next = u32[word + NEXT]!;
  const prev = u32[word + PREV]!;
  if (next !== 0 && u32[(next >>> 2) + PREV] !== block) return false;
  if (prev === 0) {
    const bin = binOf(span);
    const head = index + BINS + bin;
    if (u32[head] !== block) return false;
    u32[head] = next;
    if (next === 0) unmark(u32, index, bin);
  } else {
    const link = (prev >>> 2) + NEXT;
    if (u32[link] !== block) return false;
    u32[link] = next;
  }
  if (next !== 0) u32[(next >>> 2) + PREV] = prev;
  return true;
}

function unmark(u32: Uint32Array, index: number, bin: number): void {
  const map = index + MAP + (bin >>> 5);
  const bits = u32[map]! & ~(1 << bin);
  u32[map] = bits;
  if (bits === 0) u32[index]! &= ~(1 << (bin >>> 5));
}

/** Whether a block's links lead back to it, so that {@link unlink} would succeed. */
export function isLinked(u32: Uint32Array, index: number, block: number, span: number): boolean {
  const next = u32[(block >>> 2) + NEXT]!;
  const prev = u32[(block >>> 2) + PREV]!;
  if (next !== 0 && u32[(next >>> 2) + PREV] !== block) return false;
  return u32[prev === 0 ? index + BINS + binOf(span) : (prev >>> 2) + NEXT] === block;
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
  if (first !== 0 && u32[(first >>> 2) + TAG]! >= span) return first as Block;
  return firstFrom(u32, index, bin + 1);
}

/**
 * Finds the smallest block that is large enough, of equal ones the one freed last. It stays in the index. O(1): exact for
 * spans below 1024, and among 64 candidates of 1/32 of difference above.
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
  let bits = word < MAP_WORDS ? u32[index + MAP + word]! & (-1 << bin) : 0;
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
  for (let seen = 0; block !== 0 && seen < CANDIDATES; seen += 1) {
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

/** Every block of an index, for check() and tests, in no order of addresses. */
export function* indexedBlocks(u32: Uint32Array, index: number): Generator<Block> {
  for (let bin = 0; bin < MAP_WORDS * 32; bin += 1) {
    for (let block = u32[index + BINS + bin]!; block !== 0; block = u32[(block >>> 2) + NEXT]!) yield block as Block;
  }
}

/** Whether the bits of both levels say which bins hold something. */
export function areMapsRight(u32: Uint32Array, index: number): boolean {
  for (let bin = 0; bin < MAP_WORDS * 32; bin += 1) {
    const bit = (u32[index + MAP + (bin >>> 5)]! >>> (bin & 31)) & 1;
    if ((bit === 1) !== (u32[index + BINS + bin] !== 0)) return false;
  }
  for (let word = 0; word < MAP_WORDS; word += 1) {
    if (((u32[index]! >>> word) & 1) !== (u32[index + MAP + word] === 0 ? 0 : 1)) return false;
  }
  return true;
}
