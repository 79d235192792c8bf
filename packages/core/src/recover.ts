/**
 * Rebuilds what is derived from what is true: the chain of spans and each block's state say where blocks begin, which are
 * free and how they lie; `previous` words, start bits, free index, quick lists and the wilderness follow from them.
 *
 * Idempotent: cut short anywhere, it is done again from the start.
 *
 * @module
 */
import { HEADER_BYTES, MIN_SPAN_BYTES, setTag, spanOf, STATE, stateOf } from "./boundary-tag.ts";
import { HeapError, show } from "./errors.ts";
import { clearIndex, insertFree } from "./free-index.ts";
import { SUPERBLOCK } from "./layout.ts";
import type { Malloc } from "./malloc.ts";
import { asPtr } from "./ptr.ts";
import { QUICK_LISTS, QUICK_MAP_WORDS } from "./quick-lists.ts";
import { setStart } from "./start-bits.ts";
import type { HeapBuffer } from "./views.ts";

const { FREE, CACHED, HELD, RESERVED } = STATE;

/**
 * @param heap - any heap; cached blocks become free, what workers hold in magazines is left alone
 * @throws HeapError `ERR_CORRUPT` when the chain does not lead to the end exactly; only then is anything lost
 */
export function recoverHeap<B extends HeapBuffer>(heap: Malloc<B>): void {
  if (heap.memory !== undefined) heap.retake();
  heap.isStale();
  const u32 = heap.words;
  const first = heap.lowest - HEADER_BYTES;
  const maxBytes = u32[(heap.base + SUPERBLOCK.offsets.maxBytes) >>> 2]!;
  const last = endOfChain(u32, first, heap.alignment);
  const isEnd = last + HEADER_BYTES >= heap.end && last + HEADER_BYTES <= heap.base + maxBytes;
  if (!isEnd) throw broken(last);
  // Growth that was cut short after its one visible store is completed here.
  heap.end = last + HEADER_BYTES;
  u32[heap.bytesWord] = heap.end - heap.base;

  clearIndex(u32, heap.index);
  u32.fill(0, heap.quickMap, heap.quickMap + QUICK_MAP_WORDS);
  u32.fill(0, heap.quickLists, heap.quickLists + QUICK_LISTS);
  u32[heap.largeHeldWord] = 0;
  u32[heap.budgetWord] = 0;
  for (let word = heap.lowest >>> 8; word <= (heap.end - 1) >>> 8; word += 1) u32[biasOf(heap, word * 256) + word] = 0;

  let previous = 0;
  let top = last;
  for (let block = first; block !== last;) {
    mergeRight(u32, block, last);
    const span = spanOf(u32, block);
    const end = block + span;
    u32[block >>> 2] = previous;
    setStart(u32, biasOf(heap, block + HEADER_BYTES), block + HEADER_BYTES);
    const state = stateOf(u32, block);
    const isTop = state === FREE && end === last;
    // What is handed out from the index lies below the footprint: nobody looks there.
    if (!isTop && state !== RESERVED) {
      u32[heap.footprintWord] = Math.max(u32[heap.footprintWord]!, end - heap.base);
    }
    if (isTop) top = block;
    else if (state === FREE) insertFree(u32, heap.index, block, span);
    previous = span;
    block = end;
  }
  u32[last >>> 2] = previous;
  u32[heap.topWord] = top;
}

/** Makes one free block of this one and those to its right, when it is free. */
function mergeRight(u32: Uint32Array, block: number, last: number): void {
  if (!isFree(u32, block)) return;
  let span = spanOf(u32, block);
  while (block + span !== last && isFree(u32, block + span)) span += spanOf(u32, block + span);
  setTag(u32, block, span, FREE);
}

function isFree(u32: Uint32Array, block: number): boolean {
  const state = stateOf(u32, block);
  return state === FREE || state === CACHED;
}

/** The RESERVED header without a payload that ends the chain. Nothing is written before it has been found. */
function endOfChain(u32: Uint32Array, first: number, alignment: number): number {
  let block = first;
  while (block < u32.length * 4 - 4) {
    const span = spanOf(u32, block);
    const state = stateOf(u32, block);
    if (span === HEADER_BYTES && state === RESERVED) return block;
    if (span < MIN_SPAN_BYTES || span % alignment !== 0 || state > HELD) break;
    block += span;
  }
  throw broken(block);
}

function broken(block: number): HeapError {
  const finding = `the chain of blocks breaks off at ${show(block)}`;
  return new HeapError("ERR_CORRUPT", `recover: ${finding}; nothing beyond can be told apart`, asPtr(block));
}

function biasOf<B extends HeapBuffer>(heap: Malloc<B>, address: number): number {
  return heap.words[heap.directory + (address >>> heap.granule)]!;
}
