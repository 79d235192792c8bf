/**
 * Tells from a pointer where the bits are that speak of it: one word for each page of 4 KiB from a pool's lowest to its
 * highest. The picture is in layout.
 *
 * When the pool reaches beyond its table it gets one at least twice as large, so that a page costs amortised constant time.
 * What another cursor remembers of the old one stays right, as far as it goes: it is kept until the pool is destroyed. All
 * tables take 1/1024 to 1/256 of the range of addresses that the pool's regions are spread over.
 *
 * ```text
 *   tableBlock -> +0 the table before it, 0: none
 *                 +4 pages
 *                 +8 the number of the first
 *                 +12 a bias for each
 * ```
 *
 * @module
 */
import { type Allocator, asPtr, NULL, type Ptr } from "@heapwright/core";

import { CONTROL, PAGE_BITS_WORDS, PAGE_SHIFT_BITS } from "./layout.ts";
import { broken } from "./misuse.ts";

const { offsets } = CONTROL;
const TABLE = offsets.table >>> 2;
const LOWEST = offsets.lowest >>> 2;
const LENGTH = offsets.length >>> 2;
const TABLE_BLOCK = offsets.tableBlock >>> 2;
const EMPTY = offsets.empty >>> 2;
const PENDING = offsets.pending >>> 2;
const HEADER_WORDS = 3;
const PAGES = 1;
const FIRST_PAGE = 2;
/** A bias in a table that is no more: beyond the words of any heap. */
const NO_BIAS = 0x4000_0000;
/** Pages that a pool's first table has room for beyond those needed. */
const SPARE_PAGES = 6;
/** Pages below 4 GiB less 64 KiB, where every heap ends. */
const MAX_PAGES = 2 ** 20 - 16;

/** The bias that makes a page's bits those of `empty`. */
export function emptyBias(control: number, page: number): number {
  return (control + EMPTY - page * PAGE_BITS_WORDS) >>> 0;
}

/** Whether the table speaks of an address. */
export function isCovered(u32: Uint32Array, control: number, address: number): boolean {
  return (address - u32[control + LOWEST]!) >>> 0 < u32[control + LENGTH]!;
}

/** The bias of the page that a covered address lies in. */
export function biasOf(u32: Uint32Array, control: number, address: number): number {
  return u32[(u32[control + TABLE]! + (address >>> PAGE_SHIFT_BITS)) | 0]!;
}

/**
 * Makes the table reach over `[from, to)`. What it said of other pages stays.
 *
 * @param backing - where the table's block is from
 * @param control - word address of the control block
 * @param from - lowest address
 * @param to - the address after the highest
 * @returns false, with nothing changed, when there is no room for a larger table
 */
function reach(backing: Allocator, control: number, from: number, to: number): boolean {
  let u32 = backing.heap.u32;
  const oldFirst = u32[control + LOWEST]! >>> PAGE_SHIFT_BITS;
  const oldCount = u32[control + LENGTH]! >>> PAGE_SHIFT_BITS;
  const oldEnd = oldFirst + oldCount;
  let first = from >>> PAGE_SHIFT_BITS;
  let end = ((to - 1) >>> PAGE_SHIFT_BITS) + 1;
  if (oldCount === 0) {
    end = Math.min(end + SPARE_PAGES, MAX_PAGES);
  } else {
    if (first >= oldFirst && end <= oldEnd) return true;
    if (first < oldFirst) first = Math.max(0, Math.min(first, oldEnd - 2 * oldCount));
    else first = oldFirst;
    end = end > oldEnd ? Math.max(end, Math.min(oldFirst + 2 * oldCount, MAX_PAGES)) : oldEnd;
  }
  const block = backing.malloc((HEADER_WORDS + end - first) * 4);
  if (block === NULL) return false;
  u32 = backing.heap.u32;
  const old = u32[control + TABLE]!;
  const table = tableOf(block, first);
  u32[block >>> 2] = u32[control + TABLE_BLOCK]!;
  u32[(block >>> 2) + PAGES] = end - first;
  u32[(block >>> 2) + FIRST_PAGE] = first;
  for (let page = first; page < end; page += 1) {
    const isOld = page >= oldFirst && page < oldEnd;
    u32[(table + page) | 0] = isOld ? u32[(old + page) | 0]! : emptyBias(control, page);
  }
  u32[control + TABLE_BLOCK] = block;
  follow(u32, control);
  return true;
}

/**
 * As {@link reach}, for the region in a block that the backing has just given; without room that is given back. Meanwhile the
 * block is `pending`, so that a death loses it or the new table's, and not both.
 */
export function reachFor(backing: Allocator, control: number, block: Ptr, from: number, to: number): boolean {
  backing.heap.u32[control + PENDING] = block;
  const isReached = reach(backing, control, from, to);
  backing.heap.u32[control + PENDING] = 0;
  if (!isReached) backing.free(block);
  return isReached;
}

/** Gives back, after a death, the region that the dead agent was about to add. */
export function dropPending(backing: Allocator, control: number): void {
  const { u32 } = backing.heap;
  const block = asPtr(u32[control + PENDING]!);
  u32[control + PENDING] = 0;
  backing.free(block);
}

/** Writes what follows from the address of the table's block. */
function follow(u32: Uint32Array, control: number): void {
  const block = u32[control + TABLE_BLOCK]!;
  const first = block === 0 ? 0 : u32[(block >>> 2) + FIRST_PAGE]!;
  u32[control + TABLE] = block === 0 ? 0 : tableOf(block, first);
  u32[control + LOWEST] = (first << PAGE_SHIFT_BITS) >>> 0;
  u32[control + LENGTH] = block === 0 ? 0 : (u32[(block >>> 2) + PAGES]! << PAGE_SHIFT_BITS) >>> 0;
}

/** Word address of a table's entry for page 0. */
function tableOf(block: number, first: number): number {
  return ((block >>> 2) + HEADER_WORDS - first) >>> 0;
}

/** Where the bits of a region's pages lie. */
export interface PageBits {
  /** Lowest address, and the address after the highest. */
  readonly from: number;
  readonly to: number;
  /** Word address of the bits of the first page, and words from there to those of the next. */
  readonly bits: number;
  readonly stride: number;
}

/**
 * Rebuilds the table after a death. Agents that do not hold the lock read it meanwhile: what was right is not touched.
 *
 * @param regions - in the order they were taken
 */
export function rebuildTable(u32: Uint32Array, control: number, regions: readonly PageBits[]): void {
  follow(u32, control);
  const table = u32[control + TABLE]!;
  const first = u32[control + LOWEST]! >>> PAGE_SHIFT_BITS;
  const count = u32[control + LENGTH]! >>> PAGE_SHIFT_BITS;
  const biases = Uint32Array.from({ length: count }, (_, at) => emptyBias(control, first + at));
  for (const { from, to, bits, stride } of regions) {
    const start = from >>> PAGE_SHIFT_BITS;
    for (let page = start; page <= (to - 1) >>> PAGE_SHIFT_BITS; page += 1) {
      const isTaken = biases[page - first] !== emptyBias(control, page);
      if (!isTaken) biases[page - first] = bits + (page - start) * stride - page * PAGE_BITS_WORDS;
    }
  }
  biases.forEach((bias, at) => {
    const word = (table + first + at) | 0;
    if (u32[word] !== bias) u32[word] = bias;
  });
}

/**
 * Gives pages their bits. Pages that have some keep them.
 *
 * @param from - lowest address; the table reaches over it
 * @param to - the address after the highest
 * @param bits - word address of the bits of the first page
 * @param stride - words from there to those of the next
 */
export function assign(
  u32: Uint32Array,
  control: number,
  from: number,
  to: number,
  bits: number,
  stride: number = PAGE_BITS_WORDS,
): void {
  const first = from >>> PAGE_SHIFT_BITS;
  const last = (to - 1) >>> PAGE_SHIFT_BITS;
  const table = u32[control + TABLE]!;
  for (let page = first; page <= last; page += 1) {
    const word = (table + page) | 0;
    const bias = bits + (page - first) * stride - page * PAGE_BITS_WORDS;
    if (u32[word] === emptyBias(control, page)) u32[word] = bias;
  }
}

/** The blocks that tables lie in, the present one and those before it. */
export function tableBlocks(u32: Uint32Array, control: number): Ptr[] {
  const blocks: Ptr[] = [];
  for (let block = u32[control + TABLE_BLOCK]!; block !== 0; block = u32[block >>> 2]!) blocks.push(asPtr(block));
  return blocks;
}

/** Makes tables that are about to be freed refuse every pointer, for cursors that still remember them. */
export function forget(u32: Uint32Array, blocks: readonly Ptr[]): void {
  for (const block of blocks) {
    const entries = (block >>> 2) + HEADER_WORDS;
    u32.fill(NO_BIAS, entries, entries + u32[(block >>> 2) + PAGES]!);
  }
}

/**
 * Proves invariant 3 of both pools: pages with blocks have bits, and the others have none. O(pages).
 *
 * @param ranges - where the pool has blocks
 * @param mask - which bits of a word to count
 * @returns how many such bits are set in all
 * @throws HeapError `ERR_CORRUPT`
 */
export function countBits(
  u32: Uint32Array,
  control: number,
  ranges: readonly (readonly [from: number, to: number])[],
  mask: number,
): number {
  const first = u32[control + LOWEST]! >>> PAGE_SHIFT_BITS;
  const count = u32[control + LENGTH]! >>> PAGE_SHIFT_BITS;
  if (((u32[control + LOWEST]! | u32[control + LENGTH]!) & (2 ** PAGE_SHIFT_BITS - 1)) !== 0) {
    throw broken(3, "the page table speaks of parts of pages", control * 4);
  }
  const isTaken = new Uint8Array(count);
  for (const [from, to] of ranges) {
    const isReached = isCovered(u32, control, from) && isCovered(u32, control, to - 1);
    if (!isReached) throw broken(3, "the page table does not reach this far", from);
    isTaken.fill(1, (from >>> PAGE_SHIFT_BITS) - first, ((to - 1) >>> PAGE_SHIFT_BITS) - first + 1);
  }
  for (let word = 0; word < PAGE_BITS_WORDS; word += 1) {
    if (u32[control + EMPTY + word] !== 0) throw broken(3, "bits where no block is", (control + EMPTY + word) * 4);
  }
  let found = 0;
  for (let page = first; page < first + count; page += 1) {
    const address = (page << PAGE_SHIFT_BITS) >>> 0;
    const bias = biasOf(u32, control, address);
    const isEmpty = bias === emptyBias(control, page);
    if (isEmpty === (isTaken[page - first] === 1)) {
      throw broken(3, isEmpty ? "a page with blocks has no bits" : "a page without blocks has bits", address);
    }
    if (isEmpty) continue;
    for (let word = 0; word < PAGE_BITS_WORDS; word += 1) {
      for (let bits = u32[(bias + page * PAGE_BITS_WORDS + word) | 0]! & mask; bits !== 0; bits &= bits - 1) found += 1;
    }
  }
  return found;
}
