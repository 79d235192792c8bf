/**
 * The block header, with split and merge: Knuth's boundary tags (The Art of Computer Programming 2.5, algorithm C) with
 * both words in front of the payload.
 *
 * ```text
 *  block            ptr ->                                   block + span
 *    0        4        8                                       |
 *    +--------+--------+---------------------------------------+--------+--------+----
 *    |previous|span  st| payload, span - 8 bytes               |previous|span  st| ...
 *    +--------+--------+---------------------------------------+--------+--------+----
 *    previous  span of the block to the left, 0 for the first of a chain
 *    span      bytes from this header to the next, a multiple of 8
 *    st        state, in the low three bits of the span's word
 * ```
 *
 * - The chain of spans and the states are the truth. `previous`, start bits and free indexes follow from them and are
 *   rebuilt by `recover()`.
 * - The span's word of a LIVE or CACHED block is written by its owner alone: no bit in it speaks of a neighbour.
 * - A chain ends in a RESERVED block of a header only, so that every block has a right neighbour.
 * - No two neighbours are both FREE.
 *
 * Every function here takes the words of the heap (`u32`) and plain addresses, so that core's heap and a pool's buffers
 * share it. None of them checks what it is given.
 *
 * @module
 */
import { isIndexed, removeFree } from "./free-index.ts";
import type { Block } from "./ptr.ts";
import { clearStart, setStart } from "./start-bits.ts";

/** Bytes before a payload that belong to the allocator. */
export const HEADER_BYTES = 8;
/** The smallest block: a header and room for the two links of a free list. */
export const MIN_SPAN_BYTES = 16;

/** In no list of its owner's and of no use to anyone: may be handed out, split and merged. */
export const FREE = 0;
/** Handed out. */
export const LIVE = 1;
/** Given back and kept whole in a quick list or a magazine: free for its caller, not merged. */
export const CACHED = 2;
/** The allocator's own: a chain's end, a bitmap in the chain, a root. Never handed out or merged. */
export const RESERVED = 3;
/** The bits of the span's word that hold the state. */
export const STATE_MASK = 7;

/** A block's span in bytes, header included. */
export function spanOf(u32: Uint32Array, block: number): number {
  return (u32[(block + 4) >>> 2]! & ~STATE_MASK) >>> 0;
}

/** A block's state: FREE, LIVE, CACHED or RESERVED. */
export function stateOf(u32: Uint32Array, block: number): number {
  return u32[(block + 4) >>> 2]! & STATE_MASK;
}

/** The span of the block to the left, 0 for the first of its chain. */
export function previousOf(u32: Uint32Array, block: number): number {
  return u32[block >>> 2]!;
}

/** Writes a whole header. A block becomes part of the chain only when the block to its left is given a span that ends here. */
export function writeHeader(u32: Uint32Array, block: number, previous: number, span: number, state: number): void {
  u32[block >>> 2] = previous;
  u32[(block + 4) >>> 2] = span | state;
}

/**
 * Cuts a block in two. The left part is given `state`, the right one is FREE and in no index.
 *
 * Store order: the right part's header lies in the old payload, where nobody looks; the one store of the left part's
 * word makes both the cut and the state visible; then the neighbour, then the bitmap.
 *
 * @param u32 - the heap's words
 * @param bias - start bits of both parts
 * @param block - the block to cut
 * @param whole - bytes from `block` to its right neighbour
 * @param span - bytes of the left part, at least 16 less than `whole`
 * @param state - of the left part
 * @returns the right part
 */
export function split(u32: Uint32Array, bias: number, block: number, whole: number, span: number, state: number): Block {
  const rest = block + span;
  const restSpan = whole - span;
  u32[rest >>> 2] = span;
  u32[(rest + 4) >>> 2] = restSpan;
  u32[(block + 4) >>> 2] = span | state;
  u32[(block + whole) >>> 2] = restSpan;
  setStart(u32, bias, rest + HEADER_BYTES);
  return rest as Block;
}

/**
 * Whether a block's header and those of its two neighbours agree, and the free ones among these stand in the index. What
 * wrote past the end of a payload is noticed here, before anything is merged.
 *
 * @returns false when something wrote over a header or a link
 */
export function isSound(u32: Uint32Array, index: number, block: number, top: number): boolean {
  const span = spanOf(u32, block);
  const right = block + span;
  if (u32[right >>> 2] !== span) return false;
  const rightTag = u32[(right + 4) >>> 2]!;
  if ((rightTag & STATE_MASK) === FREE && right !== top && !isIndexed(u32, index, right, rightTag)) return false;
  const previous = u32[block >>> 2]!;
  if (previous === 0) return true;
  const left = block - previous;
  const leftTag = u32[(left + 4) >>> 2];
  if (leftTag === undefined || (leftTag & ~STATE_MASK) >>> 0 !== previous) return false;
  return (leftTag & STATE_MASK) !== FREE || isIndexed(u32, index, left, leftTag);
}

/**
 * Frees a block and merges it with its free neighbours, which leave the index. O(1). {@link isSound} holds.
 *
 * Store order: FREE first, then one store of the larger span for each merge; the neighbour's `previous` and the bitmap
 * are derived and come last.
 *
 * @param u32 - the heap's words
 * @param index - word address of the free index that holds the neighbours
 * @param bias - start bits of the block and its neighbours
 * @param block - the block, in any state but FREE
 * @param top - a free block that is in no index and is left alone; 0 when there is none
 * @returns the merged block, FREE and in no index
 */
export function merge(u32: Uint32Array, index: number, bias: number, block: number, top: number): Block {
  let span = spanOf(u32, block);
  u32[(block + 4) >>> 2] = span;
  const right = block + span;
  const rightTag = u32[(right + 4) >>> 2]!;
  if ((rightTag & STATE_MASK) === FREE && right !== top) {
    removeFree(u32, index, right, rightTag);
    span += rightTag;
    u32[(block + 4) >>> 2] = span;
    clearStart(u32, bias, right + HEADER_BYTES);
  }
  const previous = u32[block >>> 2]!;
  if (previous !== 0 && stateOf(u32, block - previous) === FREE) {
    const left = block - previous;
    removeFree(u32, index, left, previous);
    span += previous;
    u32[(left + 4) >>> 2] = span;
    clearStart(u32, bias, block + HEADER_BYTES);
    block = left;
  }
  u32[(block + span) >>> 2] = span;
  return block as Block;
}
