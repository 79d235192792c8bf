/**
 * Blocks that were given back and are kept whole, by size: what comes next of the same size costs a few loads and stores,
 * and merging is put off. They hold at most 1/8 of the footprint.
 *
 * ```text
 *   quickLists[span / 8] -> ptr            ptr            ptr            small: spans below 1016, a list for each
 *                           next 0x...  -> next 0x...  -> next 1
 *                           held 3 * s     held 2 * s     held s
 *
 *   quickLists[128 + (span / 8) % 64] -> ptr -> ptr -> 0                 large: several spans to a list
 * ```
 *
 * `next` and `held` are the first two words of a CACHED payload. `held` tells what a small list holds, in bytes, without a
 * count that every pop would have to touch, and without a walk.
 *
 * Of the 1/8, large lists have 1/8, and what they hold is counted at each push and pop. Small lists have the rest: each
 * push takes from a budget, no pop gives back, and when the budget is used up the lists are counted. A list that is marked
 * has paid for its first block, so that one block that comes and goes costs no budget: it ends in 1, where one that is not
 * marked has 0 for a head.
 *
 * malloc() and free() do the frequent part themselves: they pop, and push where neither a mark nor the budget is missing.
 *
 * @module
 */
import { HEADER_BYTES, setTag, spanOf, STATE, stateOf } from "./boundary-tag.ts";
import type { Malloc } from "./malloc.ts";
import { corrupt } from "./misuse.ts";
import type { Block, Ptr } from "./ptr.ts";
import type { HeapBuffer } from "./views.ts";

/** Spans from here on are large. */
export const LARGE_SPAN_BYTES = 1016;
/** Where the large lists begin, and how many of both there are. */
export const LARGE_LISTS = 128;
export const QUICK_LISTS = 192;
/** A bit for each small list. */
export const QUICK_MAP_WORDS = 4;

const { CACHED } = STATE;
/** The end of a small list that is marked. */
const PAID = 1;
const LARGE_LIST_MASK = 63;
/** All lists hold at most the footprint shifted by this. */
const SHARE_SHIFT_BITS = 3;
/** Large lists hold at most that shifted by this. */
const LARGE_SHARE_SHIFT_BITS = 3;
/** Small lists are full when what they may still hold is less than their limit shifted by this. */
const SLACK_SHIFT_BITS = 3;

/** The list of a span. */
export function listOf(span: number): number {
  return span < LARGE_SPAN_BYTES ? span >>> 3 : LARGE_LISTS + ((span >>> 3) & LARGE_LIST_MASK);
}

/** Whether the lists may hold more than 1/8 of the footprint shifted by `share`; 31 asks whether they hold anything. */
export function mayHold<B extends HeapBuffer>(heap: Malloc<B>, share: number): boolean {
  const u32 = heap.words;
  const held = smallLimit(heap) - u32[heap.budgetWord]! + u32[heap.largeHeldWord]!;
  return held > limitOf(heap) >>> share;
}

/**
 * Puts a small block on its list, whatever that takes: marks the list; and when the budget is used up, counts what the
 * lists hold and merges a quarter of it where they are full.
 */
export function pushSmall<B extends HeapBuffer>(heap: Malloc<B>, ptr: Ptr, span: number): void {
  const u32 = heap.words;
  if (u32[heap.budgetWord]! < span && !refill(heap, span)) return heap.release("free", (ptr - HEADER_BYTES) as Block);
  u32[heap.budgetWord]! -= span;
  const list = span >>> 3;
  u32[heap.quickMap + (list >>> 5)]! |= 1 << list;
  const first = u32[heap.quickLists + list]!;
  setTag(u32, ptr - HEADER_BYTES, span, CACHED);
  u32[ptr >>> 2] = first === 0 ? PAID : first;
  u32[(ptr >>> 2) + 1] = first <= PAID ? span : u32[(first >>> 2) + 1]! + span;
  u32[heap.quickLists + list] = ptr;
}

/** Puts a large block on its list while there is room for it, and merges it otherwise. */
export function pushLarge<B extends HeapBuffer>(heap: Malloc<B>, ptr: Ptr, span: number): void {
  const u32 = heap.words;
  const held = u32[heap.largeHeldWord]! + span;
  if (held > limitOf(heap) >>> LARGE_SHARE_SHIFT_BITS) return heap.release("free", (ptr - HEADER_BYTES) as Block);
  const head = heap.quickLists + LARGE_LISTS + ((span >>> 3) & LARGE_LIST_MASK);
  setTag(u32, ptr - HEADER_BYTES, span, CACHED);
  u32[ptr >>> 2] = u32[head]!;
  u32[head] = ptr;
  u32[heap.largeHeldWord] = held;
}

/** Takes a large block of just this span, which is LIVE then; 0 when its list does not begin with one. */
export function popLarge<B extends HeapBuffer>(heap: Malloc<B>, span: number): number {
  const u32 = heap.words;
  const head = heap.quickLists + LARGE_LISTS + ((span >>> 3) & LARGE_LIST_MASK);
  const ptr = u32[head]!;
  if (ptr === 0 || u32[(ptr >>> 2) - 1] !== (span | CACHED) >>> 0) return 0;
  setTag(u32, ptr - HEADER_BYTES, span, STATE.LIVE);
  u32[head] = u32[ptr >>> 2]!;
  u32[heap.largeHeldWord]! -= span;
  return ptr;
}

/** Merges every cached block. O(cached blocks). */
export function flush<B extends HeapBuffer>(heap: Malloc<B>): void {
  const u32 = heap.words;
  thinOut(heap, 4);
  u32[heap.budgetWord] = smallLimit(heap);
  for (let head = heap.quickLists + LARGE_LISTS; u32[heap.largeHeldWord] !== 0; head += 1) {
    for (let ptr = u32[head]!; ptr !== 0; ptr = u32[head]!) {
      if (stateOf(u32, ptr - HEADER_BYTES) !== CACHED) throw corrupt("malloc", ptr);
      u32[head] = u32[ptr >>> 2]!;
      u32[heap.largeHeldWord]! -= spanOf(u32, ptr - HEADER_BYTES);
      heap.release("malloc", (ptr - HEADER_BYTES) as Block);
    }
  }
}

/** Makes the budget what the small lists may still hold. False when that is less than `span`. */
function refill<B extends HeapBuffer>(heap: Malloc<B>, span: number): boolean {
  const limit = smallLimit(heap);
  let held = thinOut(heap, 0);
  if (held + span > limit - (limit >>> SLACK_SHIFT_BITS)) held = thinOut(heap, 1);
  const left = limit - held;
  heap.words[heap.budgetWord] = left;
  return span <= left;
}

/**
 * Takes a share of the bytes from each small list, the newest blocks first, and merges them. Unmarks what is empty then.
 *
 * @param quarters - how much of each: 0 to 4
 * @returns the bytes that the lists hold then
 */
function thinOut<B extends HeapBuffer>(heap: Malloc<B>, quarters: number): number {
  const u32 = heap.words;
  let held = 0;
  for (let word = 0; word < QUICK_MAP_WORDS; word += 1) {
    for (let bits = u32[heap.quickMap + word]! | 0; bits !== 0; bits &= bits - 1) {
      const list = word * 32 + (31 - Math.clz32(bits & -bits));
      const head = heap.quickLists + list;
      let ptr = u32[head]!;
      const keep = ptr <= PAID ? 0 : (u32[(ptr >>> 2) + 1]! * (4 - quarters)) >>> 2;
      while (ptr > PAID && u32[(ptr >>> 2) + 1]! > keep) {
        if (u32[(ptr >>> 2) - 1] !== ((list * 8) | CACHED)) throw corrupt("free", ptr);
        u32[head] = u32[ptr >>> 2]!;
        heap.release("free", (ptr - HEADER_BYTES) as Block);
        ptr = u32[head]!;
      }
      if (ptr > PAID) {
        held += u32[(ptr >>> 2) + 1]!;
      } else {
        u32[head] = 0;
        u32[heap.quickMap + word]! &= ~(1 << list);
      }
    }
  }
  return held;
}

/** What all lists may hold, in bytes. */
function limitOf<B extends HeapBuffer>(heap: Malloc<B>): number {
  return heap.words[heap.footprintWord]! >>> SHARE_SHIFT_BITS;
}

/** What the small ones may hold. */
function smallLimit<B extends HeapBuffer>(heap: Malloc<B>): number {
  const limit = limitOf(heap);
  return limit - (limit >>> LARGE_SHARE_SHIFT_BITS);
}
