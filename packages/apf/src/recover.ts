/**
 * Makes anew what follows from the truth (see layout): when an agent was interrupted in the midst of a change, and when one is
 * gone. The lock is held. Whoever is interrupted in here leaves it to the next, who does it again.
 *
 * @module
 */
import { asPtr, NULL, type Ptr } from "@heapwright/core";

import { MAX_CACHED_BLOCKS, stackBlocks } from "./caches.ts";
import type { Cursor } from "./cursor.ts";
import { ANCHOR_STATE, CONTROL, FLAG, PAGE_LIVE_WORDS, RECORD, RECORD_WORDS, SUPERBLOCK, WORKER } from "./layout.ts";
import { gatherAll, hintAt } from "./marks.ts";
import { follow, largeAt, largeBlocksOf, liveBias, mapSuperblock, mendEntries, superblocksOf } from "./page-map.ts";
import { SIZES, superblockBytes } from "./size-classes.ts";
import { dropInHand, freeCount, linkAll, linkPartial, retire, unlinkPartial } from "./superblocks.ts";
import { clockOf, restart, tunerBlocks } from "./tuner.ts";
import {
  agentsOf,
  ALL_RECORDS_WORDS,
  emptyEnd,
  goneOf,
  type IsPresent,
  recordsOf,
  setBroken,
  vacate,
  workersOf,
} from "./workers.ts";

const { offsets } = SUPERBLOCK;
const BASE = offsets.base >>> 2;
const PAGES = offsets.pages >>> 2;
const CLASS = offsets.class >>> 2;
const OWNER = offsets.record >>> 2;
const MAX = offsets.max >>> 2;
const ANCHOR_WORD = offsets.anchor >>> 2;
const AVAIL = offsets.avail >>> 2;
const CARVED = offsets.carved >>> 2;
const NEXT = offsets.next >>> 2;
const FREED = offsets.freed >>> 2;
const MARKS = offsets.marks >>> 2;
const SHIFT = offsets.shift >>> 2;
const LIVE_BITS = SUPERBLOCK.size >>> 2;
const END = RECORD.offsets.end >>> 2;
const STACK = RECORD.offsets.stack >>> 2;
const CAPACITY = RECORD.offsets.capacity >>> 2;
const DUE = RECORD.offsets.due >>> 2;
const LIMIT = RECORD.offsets.limit >>> 2;
const PARTIAL = RECORD.offsets.partial >>> 2;
const HELD_PAGES = RECORD.offsets.pages >>> 2;
const LARGE = RECORD.offsets.large >>> 2;
const ALL = RECORD.offsets.all >>> 2;
const FLAGS = CONTROL.offsets.flags >>> 2;
const ALL_PAGES = CONTROL.offsets.pages >>> 2;
const IDLE_PAGES = CONTROL.offsets.idlePages >>> 2;
const RETIRED = CONTROL.offsets.retired >>> 2;
const FIRST_WORKER = CONTROL.offsets.worker >>> 2;
const BUSY = CONTROL.offsets.busy >>> 2;
const RETIRED_LISTS = 5;
const COUNT_SHIFT_BITS = 2;

/** What is everybody's: the map, what was in hand, retired superblocks, the first worker. O(pages). */
export function repairCommon(apf: Cursor): void {
  const { control } = apf;
  const { u32 } = apf.heap;
  follow(u32, control);
  mendEntries(u32, control);
  dropInHand(apf);
  u32.fill(0, control + RETIRED, control + RETIRED + RETIRED_LISTS);
  let [all, idle] = [0, 0];
  for (const descriptor of superblocksOf(u32, control)) {
    const word = descriptor >>> 2;
    const pages = u32[word + PAGES]!;
    all += pages;
    if (u32[word + OWNER] !== 0) continue;
    idle += pages;
    resetRetired(u32, descriptor);
    const list = control + RETIRED + (31 - Math.clz32(pages));
    u32[word + NEXT] = u32[list]!;
    u32[list] = descriptor;
  }
  u32[control + ALL_PAGES] = all;
  u32[control + IDLE_PAGES] = idle;
  rebuildWorker(apf, asPtr(u32[control + FIRST_WORKER]!));
  countLarge(u32, control, apf.common);
}

/** A superblock of which the class, and what follows from it, was perhaps being written. */
function resetRetired(u32: Uint32Array, descriptor: number): void {
  const word = descriptor >>> 2;
  const max = Math.floor(superblockBytes(u32[word + PAGES]!) / SIZES[u32[word + CLASS]!]!);
  u32.fill(0, word + LIVE_BITS, word + LIVE_BITS + u32[word + PAGES]! * PAGE_LIVE_WORDS);
  u32[word + MAX] = max;
  u32[word + AVAIL] = 0;
  u32[word + CARVED] = 0;
  u32[word + ANCHOR_WORD] = (max << COUNT_SHIFT_BITS) | ANCHOR_STATE.EMPTY;
}

function countLarge(u32: Uint32Array, control: number, records: number): void {
  for (let at = 0; at < ALL_RECORDS_WORDS; at += RECORD_WORDS) u32[records + at + LARGE] = 0;
  for (const ptr of largeBlocksOf(u32, control)) {
    u32[records + largeAt(u32, control, ptr) * RECORD_WORDS + LARGE]! += 1;
  }
}

/**
 * A worker's lists, from its superblocks: all blocks that nobody holds are free, also those that lay in its caches. Its
 * tuners begin anew.
 */
export function rebuildWorker(apf: Cursor, worker: Ptr): void {
  const { u32 } = apf.heap;
  const records = recordsOf(worker);
  empty(apf, worker);
  const unused: number[] = [];
  for (const descriptor of superblocksOf(u32, apf.control)) {
    const record = u32[(descriptor >>> 2) + OWNER]!;
    if ((record - records) >>> 0 < ALL_RECORDS_WORDS && settle(apf, descriptor, record)) unused.push(descriptor);
  }
  setBroken(u32, worker, false);
  for (const descriptor of unused) retireSettled(apf, descriptor);
}

/** Gives a superblock whose owner is interrupted or gone its list, and files it. Whether all its blocks are free. */
function settle(apf: Cursor, descriptor: number, record: number): boolean {
  const { u32, i32 } = apf.heap;
  const word = descriptor >>> 2;
  relist(apf, descriptor);
  u32[record + HELD_PAGES]! += u32[word + PAGES]!;
  linkAll(u32, record, descriptor);
  if (freeCount(u32, descriptor) !== 0) linkPartial(u32, record, descriptor);
  if (u32[word + FREED] !== 0) hintAt(i32, record);
  return freeCount(u32, descriptor) === u32[word + MAX];
}

/**
 * Takes what agents that are gone have left: their superblocks are the first worker's from here on, and what lay in their
 * caches is free. O(pages) for each.
 */
export function adoptLeft(apf: Cursor, isPresent: IsPresent): void {
  const { control } = apf;
  const { u32 } = apf.heap;
  for (const worker of goneOf(u32, control, isPresent)) adoptFrom(apf, worker);
  // Who is gone may have been the first to count a block of a superblock, and not have said so.
  const { i32 } = apf.heap;
  for (const worker of workersOf(u32, control)) {
    for (let at = 0; at < ALL_RECORDS_WORDS; at += RECORD_WORDS) hintAt(i32, recordsOf(worker) + at);
  }
}

function adoptFrom(apf: Cursor, worker: Ptr): void {
  const { control, common } = apf;
  const { u32, i32 } = apf.heap;
  const records = recordsOf(worker);
  const unused: number[] = [];
  for (const descriptor of superblocksOf(u32, control)) {
    const at = u32[(descriptor >>> 2) + OWNER]! - records;
    if (at >>> 0 >= ALL_RECORDS_WORDS) continue;
    Atomics.store(i32, (descriptor >>> 2) + OWNER, common + at);
    mapSuperblock(u32, control, descriptor, common + at);
    if (settle(apf, descriptor, common + at)) unused.push(descriptor);
  }
  for (const descriptor of unused) retireSettled(apf, descriptor);
  // Slots and tuners are the next agent's that takes the worker.
  empty(apf, worker);
  vacate(u32, worker);
}

/** Moves the slots of caches, which are empty, to a worker that has none: who owns superblocks of a class has a cache. */
function inheritStacks(u32: Uint32Array, from: number, to: number): void {
  for (let at = 0; at < ALL_RECORDS_WORDS; at += RECORD_WORDS) {
    const stack = u32[from + at + STACK]!;
    if (stack === NULL || u32[to + at + STACK] !== NULL) continue;
    u32[to + at + STACK] = stack;
    u32[to + at + CAPACITY] = u32[from + at + CAPACITY]!;
    u32[to + at + END] = (stack >>> 2) + 1;
    u32[from + at + STACK] = NULL;
  }
}

/** Makes an allocator of a shared heap that has become a private one, an image, one of one agent. */
export function makePrivate(apf: Cursor): void {
  const { control } = apf;
  const { u32 } = apf.heap;
  if ((u32[control + FLAGS]! & FLAG.SHARED) === 0) return;
  repairCommon(apf);
  adoptLeft(apf, () => false);
  for (let at = 0; at < ALL_RECORDS_WORDS; at += RECORD_WORDS) gatherAll(apf, apf.common + at);
  for (const worker of agentsOf(u32, control)) inheritStacks(u32, recordsOf(worker), apf.common);
  const left = [...agentsOf(u32, control)].flatMap((worker) => [
    ...stackBlocks(u32, recordsOf(worker)),
    ...tunerBlocks(u32, recordsOf(worker)),
    worker,
  ]);
  u32[(apf.common - (WORKER.offsets.records >>> 2) + (WORKER.offsets.next >>> 2)) | 0] = 0;
  u32[control + BUSY] = 0;
  u32[control + FLAGS]! &= ~FLAG.SHARED;
  for (const block of left) apf.backing.free(block);
}

function retireSettled(apf: Cursor, descriptor: number): void {
  const { u32 } = apf.heap;
  const word = descriptor >>> 2;
  unlinkPartial(u32, u32[word + OWNER]!, descriptor);
  u32[word + ANCHOR_WORD] = (u32[word + MAX]! << COUNT_SHIFT_BITS) | ANCHOR_STATE.EMPTY;
  retire(apf, descriptor);
}

/** Makes the list of a superblock's free blocks from live bits and marks. */
function relist(apf: Cursor, descriptor: number): void {
  const { u32, u8, i32 } = apf.heap;
  const word = descriptor >>> 2;
  const size = SIZES[u32[word + CLASS]!]!;
  const bias = liveBias(u32, descriptor);
  const [freed, marks, shift] = [u32[word + FREED]!, u32[word + MARKS]!, u32[word + SHIFT]!];
  const carved = u32[word + CARVED]!;
  let avail = 0;
  let unmarked = 0;
  let free = u32[word + MAX]! - carved;
  for (let ptr = u32[word + BASE]! + (carved - 1) * size; ptr >= u32[word + BASE]!; ptr -= size) {
    const live = (bias + (ptr >>> 8)) | 0;
    const bit = 1 << (ptr >>> 3);
    const mark = (marks + (ptr >>> shift)) >>> 0;
    const isMarked = freed !== 0 && Atomics.load(u8, mark) !== 0;
    if ((u32[live]! & bit) !== 0 && !isMarked) continue;
    u32[live]! &= ~bit;
    if (isMarked) {
      u8[mark] = 0;
      unmarked += 1;
    }
    u32[ptr >>> 2] = avail;
    avail = ptr;
    free += 1;
  }
  if (unmarked !== 0) Atomics.sub(i32, freed, unmarked);
  u32[word + AVAIL] = avail;
  u32[word + ANCHOR_WORD] = (free << COUNT_SHIFT_BITS) | (free === 0 ? ANCHOR_STATE.FULL : ANCHOR_STATE.PARTIAL);
}

/** Leaves a worker its caches' slots, as many as there are, and nothing in them and in its lists. */
function empty(apf: Cursor, worker: Ptr): void {
  const { u32 } = apf.heap;
  const records = recordsOf(worker);
  for (let record = records; record < records + ALL_RECORDS_WORDS; record += RECORD_WORDS) {
    const stack = u32[record + STACK]!;
    u32[record + DUE] = clockOf(u32, record);
    u32[record] = 0;
    u32[record + LIMIT] = 0;
    u32[record + END] = stack === NULL ? emptyEnd(worker) : (stack >>> 2) + 1;
    u32[record + CAPACITY] = stack === NULL ? 0 : slotsOf(apf, stack);
    u32[record + PARTIAL] = 0;
    u32[record + ALL] = 0;
    u32[record + HELD_PAGES] = 0;
    restart(u32, record);
  }
}

/** Blocks that a stack has slots for: its record may have been cut short of it. */
function slotsOf(apf: Cursor, stack: number): number {
  return Math.min(MAX_CACHED_BLOCKS, (apf.backing.usableSize(asPtr(stack)) >>> 2) - 1);
}
