/**
 * What the shadow heap writes into payloads: words that depend on the block and on the place in it, so that a block's
 * contents are recognised wherever a `realloc` has moved them, and neither another block's contents nor the same ones a
 * few bytes off pass for them.
 *
 * @module
 */

/** What it takes to write and read a payload; every `Heap` has it. */
export interface PayloadViews {
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
}

const WORD_BYTES = 4;
/** Odd constants without structure: the golden ratio, and one of MurmurHash3's. */
const STEP = 0x9e37_79b1;
const SPREAD = 0x85eb_ca6b;

/**
 * The key of a block's pattern.
 *
 * @param seed - of the run
 * @param order - of the block
 */
export function keyOf(seed: number, order: number): number {
  const mixed = Math.imul(seed ^ Math.imul(order, STEP), SPREAD);
  return mixed ^ (mixed >>> 15);
}

/**
 * Writes a part of a block's pattern. O(to - from).
 *
 * @param views - of the heap
 * @param ptr - the payload
 * @param from - first byte to write, from the payload's start
 * @param to - one past the last
 * @param key - of the block
 */
export function writePattern(views: PayloadViews, ptr: number, from: number, to: number, key: number): void {
  const { u8, u32 } = views;
  let at = from;
  if (ptr % WORD_BYTES === 0) {
    for (; at < to && at % WORD_BYTES !== 0; at += 1) u8[ptr + at] = byteAt(at, key);
    const word = ptr / WORD_BYTES;
    for (; at + WORD_BYTES <= to; at += WORD_BYTES) u32[word + (at >>> 2)] = wordAt(at >>> 2, key);
  }
  for (; at < to; at += 1) u8[ptr + at] = byteAt(at, key);
}

/**
 * Compares a payload with its pattern. O(to).
 *
 * @param views - of the heap
 * @param ptr - the payload
 * @param to - bytes to compare
 * @param key - of the block
 * @returns the first byte that differs, -1 when none does
 */
export function findDamage(views: PayloadViews, ptr: number, to: number, key: number): number {
  const { u8, u32 } = views;
  let at = 0;
  if (ptr % WORD_BYTES === 0) {
    const word = ptr / WORD_BYTES;
    while (at + WORD_BYTES <= to && u32[word + (at >>> 2)] === wordAt(at >>> 2, key)) at += WORD_BYTES;
  }
  for (; at < to; at += 1) {
    if (u8[ptr + at] !== byteAt(at, key)) return at;
  }
  return -1;
}

/**
 * @param at - a byte's distance from the payload's start
 * @param key - of the block
 * @returns what the pattern has there
 */
export function byteAt(at: number, key: number): number {
  return (wordAt(at >>> 2, key) >>> ((at % WORD_BYTES) * 8)) & 0xff;
}

function wordAt(index: number, key: number): number {
  return (key + Math.imul(index, STEP)) >>> 0;
}
