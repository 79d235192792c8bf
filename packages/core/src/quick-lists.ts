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
import { type Block, NULL, type Ptr } from "./ptr.ts";
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
 * Frees a block that free() does not put on its list itself; `NULL` does nothing. A small one that finds its list unmarked
 * marks it; one that finds the budget used up has what the lists hold counted, and a quarter of it merged where they are
 * full. A large one goes on its list while there is room. What is on no list then is merged.
 *
 * It is one function, and longer than V8 inlines, so that V8 inlines what it calls, and has room for malloc() and free()
 * where these are called.
 *
 * @throws HeapError for what is no live block, with nothing changed
 */
export function giveBack<B extends HeapBuffer>(heap: Malloc<B>, ptr: Ptr): void {
  if (ptr === NULL) return;
  const span = heap.liveSpan("free", ptr);
  const u32 = heap.words;
  const word = ptr >>> 2;
  if (span >= LARGE_SPAN_BYTES) {
    const held = u32[heap.largeHeldWord]! + span;
    if (held > limitOf(heap) >>> LARGE_SHARE_SHIFT_BITS) return heap.release("free", (ptr - HEADER_BYTES) as Block);
    const head = heap.quickLists + LARGE_LISTS + ((span >>> 3) & LARGE_LIST_MASK);
    u32[word - 1] = span | CACHED;
    u32[word] = u32[head]!;
    u32[head] = ptr;
    u32[heap.largeHeldWord] = held;
    return;
  }
  let left = u32[heap.budgetWord]!;
  if (left < span) {
    // The budget is what the small lists may still hold.
    const limit = smallLimit(heap);
    let held = thinOut(heap, 0);
    if (held + span > limit - (limit >>> SLACK_SHIFT_BITS)) held = thinOut(heap, 1);
    left = limit - held;
    u32[heap.budgetWord] = left;
    if (left < span) return heap.release("free", (ptr - HEADER_BYTES) as Block);
  }
  const list = span >>> 3;
  const head = heap.quickLists + list;
  const first = u32[head]!;
  if (first > PAID && (u32[(first >>> 2) - 1]! | 0) !== (span | CACHED)) throw corrupt("free", first);
  u32[heap.budgetWord] = left - span;
  u32[heap.quickMap + (list >>> 5)]! |= 1 << list;
  u32[word - 1] = span | CACHED;
  if (first > PAID) {
    u32[word] = first;
    u32[word + 1] = u32[(first >>> 2) + 1]! + span;
  } else {
    u32[word] = PAID;
    u32[word + 1] = span;
  }
  u32[head] = ptr;
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
