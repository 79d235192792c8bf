/**
 * Superblocks: taken from the backing at a page, given back to it when all blocks are free. Those of a class grow with it,
 * from 4 to 64 KiB. A few that have become empty are kept for any class, since a backing that has to align them finds holes
 * of just their size hard to use. The pictures are in layout.
 *
 * @module
 */
import { asPtr, NULL, type Ptr } from "@heapwright/core";

import type { Cursor } from "./cursor.ts";
import {
  ANCHOR_STATE,
  CONTROL,
  FLAG,
  PAGE_BYTES,
  PAGE_LIVE_WORDS,
  RECORD,
  SUPERBLOCK,
  SUPERBLOCK_BLOCKS,
  SUPERBLOCK_PAGES,
} from "./layout.ts";
import {
  classlessRecord,
  largeAt,
  mapSuperblock,
  reach,
  superblockAt,
  superblocksOf,
  unmapSuperblock,
} from "./page-map.ts";
import { FIRST_PAGES, SIZES, superblockBytes } from "./size-classes.ts";

const { offsets } = SUPERBLOCK;
const BASE = offsets.base >>> 2;
const BLOCK = offsets.block >>> 2;
const PAGES = offsets.pages >>> 2;
const CLASS = offsets.class >>> 2;
const OWNER = offsets.record >>> 2;
const MAX = offsets.max >>> 2;
const ANCHOR_WORD = offsets.anchor >>> 2;
const AVAIL = offsets.avail >>> 2;
const CARVED = offsets.carved >>> 2;
const NEXT = offsets.next >>> 2;
const AFTER = offsets.after >>> 2;
const BEFORE = offsets.before >>> 2;
const FREED = offsets.freed >>> 2;
const MARKS = offsets.marks >>> 2;
const SHIFT = offsets.shift >>> 2;
const PREVIOUS = offsets.previous >>> 2;
const DESCRIPTOR_BYTES = SUPERBLOCK.size;
const LIVE_BITS = DESCRIPTOR_BYTES >>> 2;
const PARTIAL = RECORD.offsets.partial >>> 2;
const HELD_PAGES = RECORD.offsets.pages >>> 2;
const ALL = RECORD.offsets.all >>> 2;
const ALL_PAGES = CONTROL.offsets.pages >>> 2;
const IDLE_PAGES = CONTROL.offsets.idlePages >>> 2;
const RETIRED = CONTROL.offsets.retired >>> 2;
const FLAGS = CONTROL.offsets.flags >>> 2;
const IN_HAND = CONTROL.offsets.inHand >>> 2;
const RETIRED_LISTS = 5;
/** A class's next superblock has at most its pages shifted by this. */
const GROWTH_SHIFT_BITS = 3;
/** Retired superblocks have at most this many pages, or all pages shifted by the second. */
const IDLE_PAGES_MIN = 16;
const IDLE_SHARE_SHIFT_BITS = 3;
const COUNT_SHIFT_BITS = 2;
/** The count of marks has a cache line of its own: others write it, and the owner is not to miss its descriptor for it. */
export const FREED_BYTES = 64;

/** Free blocks of a superblock, those never handed out included. */
export function freeCount(u32: Uint32Array, descriptor: number): number {
  return u32[(descriptor >>> 2) + ANCHOR_WORD]! >>> COUNT_SHIFT_BITS;
}

/**
 * Takes a superblock for a class: a retired one, or pages of the backing. It is PARTIAL and the first of its list.
 *
 * @param apf - as it is now; the backing may grow the heap meanwhile
 * @param record - of the class
 * @param sizeClass - the same, as a number
 * @returns the descriptor, 0 when there is no room
 */
export function takeSuperblock(apf: Cursor, record: number, sizeClass: number): number {
  const { control } = apf;
  const pages = pagesFor(sizeClass, apf.heap.u32[record + HELD_PAGES]!);
  let descriptor = takeRetired(apf, pages, sizeClass);
  if (descriptor === 0) descriptor = makeSuperblock(apf, pages, sizeClass);
  if (descriptor === 0 && pages !== FIRST_PAGES[sizeClass]) {
    descriptor = makeSuperblock(apf, FIRST_PAGES[sizeClass]!, sizeClass);
  }
  if (descriptor === 0) return 0;
  const { u32 } = apf.heap;
  const word = descriptor >>> 2;
  if (u32[word + CLASS] !== sizeClass) format(u32, word, sizeClass);
  // Who counted and did not come to set the mark is gone.
  if (u32[word + FREED] !== 0) u32[u32[word + FREED]!] = 0;
  u32[word + OWNER] = record;
  u32[word + ANCHOR_WORD] = (u32[word + MAX]! << COUNT_SHIFT_BITS) | ANCHOR_STATE.PARTIAL;
  u32[record + HELD_PAGES]! += u32[word + PAGES]!;
  mapSuperblock(u32, control, descriptor, record);
  keepInHand(u32, control, 0, 0);
  linkAll(u32, record, descriptor);
  linkPartial(u32, record, descriptor);
  return descriptor;
}

/** Pages for the next superblock of a class that has so many: a power of two, and at most 4096 blocks. */
function pagesFor(sizeClass: number, held: number): number {
  let pages = FIRST_PAGES[sizeClass]!;
  const limit = Math.min(held >>> GROWTH_SHIFT_BITS, SUPERBLOCK_PAGES);
  while (pages * 2 <= limit && isAllowed(pages * 2, sizeClass)) pages *= 2;
  return pages;
}

function isAllowed(pages: number, sizeClass: number): boolean {
  return pages >= FIRST_PAGES[sizeClass]! && superblockBytes(pages) < (SUPERBLOCK_BLOCKS + 1) * SIZES[sizeClass]!;
}

/** A retired superblock: one of just so many pages, else a larger one, else a smaller one; 0 when none will do. */
function takeRetired(apf: Cursor, pages: number, sizeClass: number): number {
  const { control } = apf;
  const { u32 } = apf.heap;
  const wanted = 31 - Math.clz32(pages);
  for (let step = 0; step < RETIRED_LISTS; step += 1) {
    const list = wanted + step < RETIRED_LISTS ? wanted + step : RETIRED_LISTS - 1 - step;
    const descriptor = u32[control + RETIRED + list]!;
    if (descriptor === 0 || !isAllowed(1 << list, sizeClass)) continue;
    if (u32[(descriptor >>> 2) + SHIFT]! > markShift(sizeClass)) continue;
    u32[control + RETIRED + list] = u32[(descriptor >>> 2) + NEXT]!;
    u32[control + IDLE_PAGES]! -= 1 << list;
    return descriptor;
  }
  return 0;
}

/** log2 of the largest power of two that divides the size of a class: its blocks begin at multiples of that. */
function markShift(sizeClass: number): number {
  const size = SIZES[sizeClass]!;
  return 31 - Math.clz32(size & -size);
}

/**
 * Notes what an agent has in hand that is reachable from nowhere, so that its death loses the block only that it is just
 * being given, or giving back. A block without a descriptor is in no superblock at each instant.
 */
function keepInHand(u32: Uint32Array, control: number, block: number, descriptor: number): void {
  if (block === 0) u32[control + IN_HAND] = 0;
  u32[control + IN_HAND + 1] = descriptor;
  u32[control + IN_HAND] = block;
}

/** Gives back what an agent had in hand that was interrupted, unless the map knows of it. */
export function dropInHand(apf: Cursor): void {
  const { backing, control } = apf;
  const { u32 } = apf.heap;
  const block = u32[control + IN_HAND]!;
  const descriptor = u32[control + IN_HAND + 1]!;
  const isKnown =
    descriptor === 0
      ? largeAt(u32, control, block) >= 0
      : superblockAt(u32, control, u32[(descriptor >>> 2) + BASE]!) === descriptor;
  if (!isKnown && descriptor !== 0) {
    keepInHand(u32, control, block, 0);
    backing.free(asPtr(descriptor));
  }
  keepInHand(u32, control, 0, 0);
  if (!isKnown) backing.free(asPtr(block));
}

/** Does something while a block is in hand. */
export function withInHand<T>(apf: Cursor, block: Ptr, act: () => T): T {
  keepInHand(apf.heap.u32, apf.control, block, 0);
  const result = act();
  keepInHand(apf.heap.u32, apf.control, 0, 0);
  return result;
}

/** Takes pages from the backing and writes a descriptor of no class for them; 0 when there is no room. */
function makeSuperblock(apf: Cursor, pages: number, sizeClass: number): number {
  const { backing, control } = apf;
  const bytes = superblockBytes(pages);
  const isAligned = backing.alignedAlloc !== undefined;
  const block = isAligned ? backing.alignedAlloc!(PAGE_BYTES, bytes) : backing.malloc(bytes + PAGE_BYTES);
  if (block === NULL) return 0;
  const base = Math.ceil(block / PAGE_BYTES) * PAGE_BYTES;
  const isShared = (apf.heap.u32[control + FLAGS]! & FLAG.SHARED) !== 0;
  const shift = isShared ? markShift(sizeClass) : 0;
  const markBytes = isShared ? FREED_BYTES + (((pages * PAGE_BYTES) >>> shift) + 3) : 0;
  const liveBytes = pages * PAGE_LIVE_WORDS * 4;
  keepInHand(apf.heap.u32, control, block, 0);
  const descriptor = backing.malloc(DESCRIPTOR_BYTES + liveBytes + markBytes);
  // Nothing of it is anything yet, whatever its words say; but it is looked at when this agent does not come back.
  if (descriptor !== NULL) backing.heap.u32[(descriptor >>> 2) + BASE] = 0;
  keepInHand(apf.heap.u32, control, block, descriptor);
  if (descriptor === NULL || !reach(backing, control, base, base + bytes)) {
    keepInHand(apf.heap.u32, control, block, 0);
    backing.free(descriptor);
    keepInHand(apf.heap.u32, control, 0, 0);
    backing.free(block);
    return 0;
  }
  const { u32 } = backing.heap;
  const word = descriptor >>> 2;
  u32.fill(0, word, (descriptor + DESCRIPTOR_BYTES) >>> 2);
  u32[word + BASE] = base;
  u32[word + BLOCK] = block;
  u32[word + PAGES] = pages;
  if (isShared) {
    const freed = (descriptor + DESCRIPTOR_BYTES + liveBytes) >>> 2;
    u32.fill(0, freed, freed + (markBytes >>> 2));
    u32[word + FREED] = freed;
    u32[word + MARKS] = (freed * 4 + FREED_BYTES - (base >>> shift)) >>> 0;
    u32[word + SHIFT] = shift;
  }
  u32[control + ALL_PAGES]! += pages;
  return descriptor;
}

/** Makes a superblock one of blocks of a class, none of which was ever handed out. */
function format(u32: Uint32Array, word: number, sizeClass: number): void {
  const pages = u32[word + PAGES]!;
  u32.fill(0, word + LIVE_BITS, word + LIVE_BITS + pages * PAGE_LIVE_WORDS);
  u32[word + CLASS] = sizeClass;
  u32[word + MAX] = Math.floor(superblockBytes(pages) / SIZES[sizeClass]!);
  u32[word + AVAIL] = 0;
  u32[word + CARVED] = 0;
}

/** Keeps an EMPTY superblock, which stands in no list, for any class, or gives it back when enough are kept. */
export function retire(apf: Cursor, descriptor: number): void {
  const { control } = apf;
  const { u32 } = apf.heap;
  const word = descriptor >>> 2;
  const pages = u32[word + PAGES]!;
  u32[u32[word + OWNER]! + HELD_PAGES]! -= pages;
  unlinkAll(u32, u32[word + OWNER]!, descriptor);
  u32[word + OWNER] = 0;
  const limit = Math.max(IDLE_PAGES_MIN, u32[control + ALL_PAGES]! >>> IDLE_SHARE_SHIFT_BITS);
  if (u32[control + IDLE_PAGES]! + pages > limit) return release(apf, descriptor);
  const list = control + RETIRED + (31 - Math.clz32(pages));
  mapSuperblock(u32, control, descriptor, classlessRecord(u32, control));
  u32[word + NEXT] = u32[list]!;
  u32[list] = descriptor;
  u32[control + IDLE_PAGES]! += pages;
}

/** Gives a superblock that stands in no list back to the backing. */
function release(apf: Cursor, descriptor: number): void {
  const { backing, control } = apf;
  const { u32 } = apf.heap;
  const word = descriptor >>> 2;
  const block = asPtr(u32[word + BLOCK]!);
  keepInHand(u32, control, block, descriptor);
  unmapSuperblock(u32, control, descriptor);
  u32[control + ALL_PAGES]! -= u32[word + PAGES]!;
  keepInHand(u32, control, block, 0);
  backing.free(asPtr(descriptor));
  keepInHand(apf.heap.u32, control, 0, 0);
  backing.free(block);
}

/** Gives every retired superblock back to the backing. */
export function releaseRetired(apf: Cursor): void {
  const { control } = apf;
  const { u32 } = apf.heap;
  for (let list = control + RETIRED; list < control + RETIRED + RETIRED_LISTS; list += 1) {
    for (let descriptor = u32[list]!; descriptor !== 0; descriptor = u32[list]!) {
      u32[list] = u32[(descriptor >>> 2) + NEXT]!;
      u32[control + IDLE_PAGES]! -= u32[(descriptor >>> 2) + PAGES]!;
      release(apf, descriptor);
    }
  }
}

/** What superblocks have taken from the backing. */
export function superblockBlocks(u32: Uint32Array, control: number): Ptr[] {
  return [...superblocksOf(u32, control)].flatMap((descriptor) => [
    asPtr(descriptor),
    asPtr(u32[(descriptor >>> 2) + BLOCK]!),
  ]);
}

/** Puts a superblock first in the list of all of its class. */
export function linkAll(u32: Uint32Array, record: number, descriptor: number): void {
  const first = u32[record + ALL]!;
  u32[(descriptor >>> 2) + AFTER] = first;
  u32[(descriptor >>> 2) + BEFORE] = 0;
  if (first !== 0) u32[(first >>> 2) + BEFORE] = descriptor;
  u32[record + ALL] = descriptor;
}

/** Takes a superblock out of that list. */
export function unlinkAll(u32: Uint32Array, record: number, descriptor: number): void {
  const after = u32[(descriptor >>> 2) + AFTER]!;
  const before = u32[(descriptor >>> 2) + BEFORE]!;
  if (after !== 0) u32[(after >>> 2) + BEFORE] = before;
  if (before !== 0) u32[(before >>> 2) + AFTER] = after;
  else u32[record + ALL] = after;
}

/** Puts a superblock first in the list of those of its class with free blocks. */
export function linkPartial(u32: Uint32Array, record: number, descriptor: number): void {
  const first = u32[record + PARTIAL]!;
  u32[(descriptor >>> 2) + NEXT] = first;
  u32[(descriptor >>> 2) + PREVIOUS] = 0;
  if (first !== 0) u32[(first >>> 2) + PREVIOUS] = descriptor;
  u32[record + PARTIAL] = descriptor;
}

/** Takes a superblock out of that list. */
export function unlinkPartial(u32: Uint32Array, record: number, descriptor: number): void {
  const next = u32[(descriptor >>> 2) + NEXT]!;
  const previous = u32[(descriptor >>> 2) + PREVIOUS]!;
  if (next !== 0) u32[(next >>> 2) + PREVIOUS] = previous;
  if (previous !== 0) u32[(previous >>> 2) + NEXT] = next;
  else u32[record + PARTIAL] = next;
}
