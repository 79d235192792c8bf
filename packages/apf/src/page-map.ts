/**
 * Tells from a pointer what it is: four words for each page of 4 KiB from the lowest to the highest that holds a block. The
 * picture is in layout.
 *
 * When a block lies outside of the map, it is replaced by one at least twice as large, so that a page costs amortised
 * constant time. The old one is kept, so that a cursor that still remembers it finds it empty and looks again, until the
 * allocator is destroyed.
 *
 * ```text
 *   tableBlock -> +0 the map before it, 0: none
 *                 +4 pages
 *                 +8 the first of them, by its number
 *                 +16 the entries
 * ```
 *
 * @module
 */
import { type Allocator, asPtr, NULL, type Ptr } from "@heapwright/core";

import {
  CONTROL,
  ENTRY_WORDS,
  FLAG,
  PAGE_BYTES,
  PAGE_LIVE_WORDS,
  PAGE_SHIFT_BITS,
  SUPERBLOCK,
  WORKER,
} from "./layout.ts";

const { offsets } = CONTROL;
const TABLE = offsets.table >>> 2;
const LOWEST = offsets.lowest >>> 2;
const LENGTH = offsets.length >>> 2;
const TABLE_BLOCK = offsets.tableBlock >>> 2;
const WORKER_WORD = offsets.worker >>> 2;
const EMPTY = offsets.empty >>> 2;
const FLAGS = offsets.flags >>> 2;
const RECORDS = WORKER.offsets.records >>> 2;
const BASE = SUPERBLOCK.offsets.base >>> 2;
const PAGES = SUPERBLOCK.offsets.pages >>> 2;
const OWNER = SUPERBLOCK.offsets.record >>> 2;
const FREED = SUPERBLOCK.offsets.freed >>> 2;
const MARKS = SUPERBLOCK.offsets.marks >>> 2;
const SHIFT = SUPERBLOCK.offsets.shift >>> 2;
const LIVE_BITS = SUPERBLOCK.size >>> 2;
const LIVE_SHIFT_BITS = 8;
const RECORD_WORD = 1;
const SUPERBLOCK_WORD = 2;
const LARGE_WORD = 3;
const HEADER_WORDS = 4;
const MAP_PAGES = 1;
const MAP_FIRST = 2;
/** In all words of a map that is no more: for live bits beyond the words of any heap, for large blocks of no class. */
const FORGOTTEN = 0x4000_0000;
/** Pages that the first map has room for beyond those needed. */
const SPARE_PAGES = 14;
/** Pages below 4 GiB less 64 KiB, where every heap ends. */
const MAX_PAGES = 2 ** 20 - 16;
const PAGE_MASK = PAGE_BYTES - 1;
const LARGE_BITS = 16;
const LARGE_MASK = 0xffff;
const CLASS_BITS = 6;
const CLASS_MASK = 63;

/** Whether the map speaks of an address. */
export function isCovered(u32: Uint32Array, control: number, address: number): boolean {
  return (address - u32[control + LOWEST]!) >>> 0 < u32[control + LENGTH]!;
}

/** Word address of the entry of the page of an address that the map speaks of. */
function entryOf(u32: Uint32Array, control: number, address: number): number {
  return (u32[control + TABLE]! + (address >>> PAGE_SHIFT_BITS) * ENTRY_WORDS) >>> 0;
}

/** The descriptor of the superblock that an address lies in, 0 when there is none. */
export function superblockAt(u32: Uint32Array, control: number, address: number): number {
  return isCovered(u32, control, address) ? u32[entryOf(u32, control, address) + SUPERBLOCK_WORD]! : 0;
}

/** The live bits of a superblock as the map has them: the word that speaks of `ptr` lies `ptr >>> 8` from there. */
export function liveBias(u32: Uint32Array, descriptor: number): number {
  const word = descriptor >>> 2;
  return (word + LIVE_BITS - (u32[word + BASE]! >>> LIVE_SHIFT_BITS)) >>> 0;
}

/** Whether a block that someone holds begins at an address in the pages of a superblock. */
export function isLive(u32: Uint32Array, descriptor: number, ptr: number): boolean {
  return hasLiveBit(u32, descriptor, ptr) && !isMarked(u32, descriptor, ptr);
}

/** Whether a block begins there that its owner takes for live: another agent may have freed it. */
export function hasLiveBit(u32: Uint32Array, descriptor: number, ptr: number): boolean {
  return (
    (ptr & 7) === 0 && ((u32[(liveBias(u32, descriptor) + (ptr >>> LIVE_SHIFT_BITS)) | 0]! >>> (ptr >>> 3)) & 1) === 1
  );
}

/** Whether another agent than the owner has freed the block at an address in the pages of a superblock. */
export function isMarked(u32: Uint32Array, descriptor: number, ptr: number): boolean {
  const word = descriptor >>> 2;
  if (u32[word + FREED] === 0) return false;
  const mark = (u32[word + MARKS]! + (ptr >>> u32[word + SHIFT]!)) >>> 0;
  return ((u32[mark >>> 2]! >>> ((mark & 3) << 3)) & 0xff) !== 0;
}

/** Writes a superblock's pages into the map, which reaches over them, with the record that its frees go to. */
export function mapSuperblock(u32: Uint32Array, control: number, descriptor: number, record: number): void {
  const bias = liveBias(u32, descriptor);
  const entry = entryOf(u32, control, u32[(descriptor >>> 2) + BASE]!);
  const end = entry + u32[(descriptor >>> 2) + PAGES]! * ENTRY_WORDS;
  for (let at = entry; at < end; at += ENTRY_WORDS) {
    u32[at + RECORD_WORD] = record;
    u32[at + SUPERBLOCK_WORD] = descriptor;
    u32[at] = bias;
  }
}

/** Takes a superblock's pages out of the map. */
export function unmapSuperblock(u32: Uint32Array, control: number, descriptor: number): void {
  const base = u32[(descriptor >>> 2) + BASE]!;
  const first = base >>> PAGE_SHIFT_BITS;
  const pages = u32[(descriptor >>> 2) + PAGES]!;
  for (let page = first; page < first + pages; page += 1) clearEntry(u32, control, u32[control + TABLE]!, page);
}

function clearEntry(u32: Uint32Array, control: number, table: number, page: number): void {
  const at = (table + page * ENTRY_WORDS) >>> 0;
  u32[at] = (control + EMPTY - page * PAGE_LIVE_WORDS) >>> 0;
  u32[at + RECORD_WORD] = classlessRecord(u32, control);
  u32[at + SUPERBLOCK_WORD] = 0;
  u32[at + LARGE_WORD] = 0;
}

/** Notes that a large block begins at an address that the map reaches over. A page has at most two. */
export function addLarge(u32: Uint32Array, control: number, ptr: number, sizeClass: number): void {
  tryAddLarge(u32, entryOf(u32, control, ptr) + LARGE_WORD, ptr, sizeClass);
}

/**
 * The same at a word of a map that may be no more, or at none.
 *
 * @returns false, with nothing changed, if so
 */
export function tryAddLarge(u32: Uint32Array, at: number, ptr: number, sizeClass: number): boolean {
  const word = u32[at];
  if (word === undefined || word === FORGOTTEN) return false;
  const slot = (((ptr & PAGE_MASK) >>> 3) << CLASS_BITS) | (sizeClass + 1);
  u32[at] = (word & LARGE_MASK) === 0 ? word | slot : word | (slot << LARGE_BITS);
  return true;
}

/** Forgets the large block that begins at an address, by a word of a map that may be no more. Its class, -1 if there is none. */
export function tryRemoveLarge(u32: Uint32Array, at: number, ptr: number): number {
  const word = u32[at];
  if (word === undefined || word === FORGOTTEN) return -1;
  const offset = ((ptr & PAGE_MASK) >>> 3) << CLASS_BITS;
  const low = (word & LARGE_MASK) - offset;
  if (low > 0 && low <= CLASS_MASK) {
    u32[at] = word & ~LARGE_MASK;
    return low - 1;
  }
  const high = (word >>> LARGE_BITS) - offset;
  if (!(high > 0 && high <= CLASS_MASK)) return -1;
  u32[at] = word & LARGE_MASK;
  return high - 1;
}

/** Forgets a large block that is there. */
export function removeLarge(u32: Uint32Array, control: number, ptr: number): void {
  const at = entryOf(u32, control, ptr) + LARGE_WORD;
  const word = u32[at]!;
  u32[at] = isSlotOf(word & LARGE_MASK, ptr) ? word & ~LARGE_MASK : word & LARGE_MASK;
}

/** The class of the large block that begins at an address, -1 when none does. */
export function largeAt(u32: Uint32Array, control: number, ptr: number): number {
  if ((ptr & 7) !== 0 || !isCovered(u32, control, ptr)) return -1;
  const word = u32[entryOf(u32, control, ptr) + LARGE_WORD]!;
  if (isSlotOf(word & LARGE_MASK, ptr)) return (word & CLASS_MASK) - 1;
  return isSlotOf(word >>> LARGE_BITS, ptr) ? ((word >>> LARGE_BITS) & CLASS_MASK) - 1 : -1;
}

function isSlotOf(slot: number, ptr: number): boolean {
  return slot !== 0 && slot >>> CLASS_BITS === (ptr & PAGE_MASK) >>> 3;
}

/** Every descriptor, by ascending address of its pages. */
export function* superblocksOf(u32: Uint32Array, control: number): Generator<number> {
  for (const [address, entry] of entriesOf(u32, control)) {
    const descriptor = u32[entry + SUPERBLOCK_WORD]!;
    if (descriptor !== 0 && u32[(descriptor >>> 2) + BASE] === address) yield descriptor;
  }
}

/** Every large block but a stray one, by ascending address. */
export function* largeBlocksOf(u32: Uint32Array, control: number): Generator<number> {
  for (const [address, entry] of entriesOf(u32, control)) {
    const word = u32[entry + LARGE_WORD]!;
    const offsetsIn = [word & LARGE_MASK, word >>> LARGE_BITS].filter((slot) => slot !== 0);
    const blocks = offsetsIn.map((slot) => address + (slot >>> CLASS_BITS) * 8);
    yield* blocks.sort((a, b) => a - b);
  }
}

/** Every page that the map speaks of: its address and its entry's word address. */
export function* entriesOf(u32: Uint32Array, control: number): Generator<[address: number, entry: number]> {
  const lowest = u32[control + LOWEST]!;
  const length = u32[control + LENGTH]!;
  for (let at = 0; at < length; at += PAGE_BYTES) yield [lowest + at, entryOf(u32, control, lowest + at)];
}

/**
 * Makes the map reach over `[from, to)`. What it said of other pages stays.
 *
 * @param backing - where its block is from
 * @param control - word address of the control block
 * @param from - lowest address
 * @param to - the address after the highest
 * @returns false, with nothing changed, when there is no room for a larger map
 */
export function reach(backing: Allocator, control: number, from: number, to: number): boolean {
  let { u32 } = backing.heap;
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
  const block = backing.malloc((HEADER_WORDS + (end - first) * ENTRY_WORDS) * 4);
  if (block === NULL) return false;
  ({ u32 } = backing.heap);
  const old = u32[control + TABLE]!;
  const oldBlock = u32[control + TABLE_BLOCK]!;
  u32[block >>> 2] = oldBlock;
  u32[(block >>> 2) + MAP_PAGES] = end - first;
  u32[(block >>> 2) + MAP_FIRST] = first;
  const table = tableOf(block, first);
  for (let page = first; page < end; page += 1) {
    if (page < oldFirst || page >= oldEnd) clearEntry(u32, control, table, page);
  }
  const to0 = (table + oldFirst * ENTRY_WORDS) >>> 0;
  u32.copyWithin(to0, (old + oldFirst * ENTRY_WORDS) >>> 0, (old + oldEnd * ENTRY_WORDS) >>> 0);
  u32[control + TABLE_BLOCK] = block;
  follow(u32, control);
  // Other agents look at `table` before they believe an entry, and may be reading one.
  if (oldBlock !== 0 && (u32[control + FLAGS]! & FLAG.SHARED) === 0) forget(u32, asPtr(oldBlock));
  return true;
}

/** Word address of a map's entry for page 0. */
function tableOf(block: number, first: number): number {
  return ((block >>> 2) + HEADER_WORDS - first * ENTRY_WORDS) >>> 0;
}

/** Writes what follows from the address of the map's block. */
export function follow(u32: Uint32Array, control: number): void {
  const block = u32[control + TABLE_BLOCK]!;
  if (block === 0) return;
  const first = u32[(block >>> 2) + MAP_FIRST]!;
  u32[control + TABLE] = tableOf(block, first);
  u32[control + LOWEST] = (first << PAGE_SHIFT_BITS) >>> 0;
  u32[control + LENGTH] = (u32[(block >>> 2) + MAP_PAGES]! << PAGE_SHIFT_BITS) >>> 0;
}

/**
 * Completes what an agent was about to write into the map: the entry of a superblock's first page decides whether it is
 * there.
 */
export function mendEntries(u32: Uint32Array, control: number): void {
  let end = 0;
  for (const [address, entry] of entriesOf(u32, control)) {
    if (address < end) continue;
    const descriptor = u32[entry + SUPERBLOCK_WORD]!;
    const word = descriptor >>> 2;
    if (descriptor !== 0 && u32[word + BASE] === address) {
      end = address + u32[word + PAGES]! * PAGE_BYTES;
      mapSuperblock(u32, control, descriptor, u32[word + OWNER]! || classlessRecord(u32, control));
    } else {
      const large = descriptor === 0 ? u32[entry + LARGE_WORD]! : 0;
      clearEntry(u32, control, u32[control + TABLE]!, address >>> PAGE_SHIFT_BITS);
      u32[entry + LARGE_WORD] = large;
    }
  }
}

/** Word address of the record of no class: that of pages that no agent's blocks lie in. */
export function classlessRecord(u32: Uint32Array, control: number): number {
  return (u32[control + WORKER_WORD]! >>> 2) + RECORDS;
}

/** The blocks that maps lie in, the present one and those before it. */
export function mapBlocks(u32: Uint32Array, control: number): Ptr[] {
  const blocks: Ptr[] = [];
  for (let block = u32[control + TABLE_BLOCK]!; block !== 0; block = u32[block >>> 2]!) blocks.push(asPtr(block));
  return blocks;
}

/** Makes a map refuse every pointer, for cursors that still remember it. */
export function forget(u32: Uint32Array, block: Ptr): void {
  const entries = (block >>> 2) + HEADER_WORDS;
  u32.fill(FORGOTTEN, entries, entries + u32[(block >>> 2) + MAP_PAGES]! * ENTRY_WORDS);
}
