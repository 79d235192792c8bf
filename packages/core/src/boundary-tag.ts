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
 * - The span's word of a LIVE or HELD block is written by its owner alone: no bit in it speaks of a neighbour.
 * - A chain ends in a RESERVED block of a header only, so that every block has a right neighbour.
 * - No two neighbours are both FREE.
 *
 * Every function here takes the words of the heap (`u32`) and plain addresses, so that core's heap and a pool's buffers
 * share it. Sums of addresses end in `>>> 0`: V8 then adds 32-bit words, and otherwise doubles.
 *
 * @module
 */
import { type ScalarCodec, struct, type StructCodec, u32 as word32 } from "./codec.ts";
import { insertFree, isLinked, unlink } from "./free-index.ts";
import type { Block } from "./ptr.ts";
import { clearStart, setStart } from "./start-bits.ts";

/** The header. `tag` is the span with the state in its low three bits. */
export const HEADER: StructCodec<{ previous: ScalarCodec<number>; tag: ScalarCodec<number> }> = /* @__PURE__ */ struct({
  previous: word32,
  tag: word32,
});
/** Bytes before a payload that belong to the allocator. */
export const HEADER_BYTES: number = HEADER.size;
/** The smallest block: a header and room for the two links of a free list. */
export const MIN_SPAN_BYTES = 16;

/** What a block is, in the low bits of its span's word. */
export const STATE = {
  /** In no one's hands: may be handed out, split and merged. */
  FREE: 0,
  /** Handed out. */
  LIVE: 1,
  /** Given back and kept whole in a quick list: free for its caller, not merged. */
  CACHED: 2,
  /** The allocator's own: a chain's end, start bits in the chain, a root. Never handed out or merged. */
  RESERVED: 3,
  /** Given back and kept whole in a worker's magazine, which that worker changes without the lock. */
  HELD: 4,
} as const;
/** The bits of the span's word that hold the state. */
export const STATE_MASK = 7;

// Local, because V8 folds a module's own constants into its code and reads exported and imported ones at every use.
const { FREE } = STATE;
const STATE_BITS = 7;
const TAG_BYTES = 4;
const PAYLOAD_BYTES = 8;

/** A block's span in bytes, header included. */
export function spanOf(u32: Uint32Array, block: number): number {
  return (u32[(block + TAG_BYTES) >>> 2]! & ~STATE_BITS) >>> 0;
}

/** A block's state, one of {@link STATE}. */
export function stateOf(u32: Uint32Array, block: number): number {
  return u32[(block + TAG_BYTES) >>> 2]! & STATE_BITS;
}

/** Gives a block another state, or another span and state: the one store that counts. */
export function setTag(u32: Uint32Array, block: number, span: number, state: number): void {
  u32[(block + TAG_BYTES) >>> 2] = span | state;
}

/** Writes a whole header. It becomes part of the chain when the block to its left is given a span that ends here. */
export function writeHeader(u32: Uint32Array, block: number, previous: number, span: number, state: number): void {
  u32[block >>> 2] = previous;
  u32[(block + TAG_BYTES) >>> 2] = span | state;
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
export function split(
  u32: Uint32Array,
  bias: number,
  block: number,
  whole: number,
  span: number,
  state: number,
): Block {
  const rest = (block + span) >>> 0;
  const restSpan = (whole - span) >>> 0;
  u32[rest >>> 2] = span;
  u32[(rest + TAG_BYTES) >>> 2] = restSpan;
  u32[(block + TAG_BYTES) >>> 2] = span | state;
  u32[(block + whole) >>> 2] = restSpan;
  setStart(u32, bias, (rest + PAYLOAD_BYTES) >>> 0);
  return rest as Block;
}

/**
 * Frees a block, merges it with its free neighbours and files the result. O(1).
 *
 * Before the first store, the headers of the block and its neighbours are compared, and the links of the free ones are
 * followed back: what wrote past the end of a payload, or into a free block, is noticed here.
 *
 * Store order: one store makes the block FREE together with its right neighbour, one more adds it to its left one; the
 * next block's `previous`, the bitmap and the index are derived.
 *
 * It is one function, and longer than V8 inlines, so that V8 inlines what it calls: half the time of small steps.
 *
 * @param u32 - the heap's words
 * @param index - word address of the free index that holds the neighbours
 * @param bias - start bits of the block and its neighbours
 * @param block - the block, in no index whatever its state
 * @param top - a block that is in no index and stays as it is: one that would be its left neighbour is not filed either;
 *   0 when there is none
 * @returns the merged block, FREE; 0, with nothing changed, when a header or a link is damaged
 */
export function release(u32: Uint32Array, index: number, bias: number, block: number, top: number): Block {
  const word = block >>> 2;
  let span = (u32[word + 1]! & ~STATE_BITS) >>> 0;
  const right = (block + span) >>> 0;
  const rightTag = u32[(right >>> 2) + 1]!;
  const previous = u32[word]!;
  const left = (block - previous) >>> 0;
  const leftTag = u32[(left >>> 2) + 1]!;
  if (u32[right >>> 2] !== span) return 0 as Block;
  if (previous !== 0 && (leftTag & ~STATE_BITS) >>> 0 !== previous) return 0 as Block;
  const takesRight = (rightTag & STATE_BITS) === FREE && right !== top;
  const takesLeft = (leftTag & STATE_BITS) === FREE && previous !== 0;
  if (takesLeft && takesRight && !isLinked(u32, left)) return 0 as Block;

  if (takesRight) {
    if (!unlink(u32, index, right, rightTag)) return 0 as Block;
    span = (span + rightTag) >>> 0;
    clearStart(u32, bias, (right + PAYLOAD_BYTES) >>> 0);
  }
  let merged = block;
  if (takesLeft) {
    if (!unlink(u32, index, left, previous)) return 0 as Block;
    // FREE before it is part of the left block: the chain is whole at each store.
    u32[word + 1] = span;
    span = (span + previous) >>> 0;
    clearStart(u32, bias, (block + PAYLOAD_BYTES) >>> 0);
    merged = left;
  }
  u32[(merged >>> 2) + 1] = span;
  const end = (merged + span) >>> 0;
  u32[end >>> 2] = span;
  if (end !== top) insertFree(u32, index, merged, span);
  return merged as Block;
}
