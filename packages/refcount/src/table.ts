/**
 * The table, where time does not count: makes, clears and replaces it. The picture and the order of stores are in layout.
 * What a cursor does over and over, it does itself (see rm-state).
 *
 * @module
 */
import { type Allocator, asPtr, callocFrom, NULL, type Ptr } from "@heapwright/core";

import {
  HOME_BITS,
  homesFor,
  HOMES_LIMIT,
  MAX_FACTOR,
  MIN_FACTOR,
  PROBE_LIMIT_SLOTS,
  RM_ENTRY,
  RM_STATE,
  RM_TABLE,
  tableBytesOf,
  trackedLimitOf,
  usedLimitOf,
} from "./layout.ts";
import { mix } from "./mixer.ts";

const EPOCH = RM_STATE.offsets.epoch >>> 2;
const TABLE = RM_STATE.offsets.table >>> 2;
const USED = RM_STATE.offsets.used >>> 2;
const COUNTS = RM_ENTRY.offsets.counts >>> 2;
const SLOT_WORDS = RM_ENTRY.size >>> 2;

/** A table as it is now. */
export interface Table {
  readonly block: Ptr;
  readonly factor: number;
  readonly shift: number;
  readonly homes: number;
  /** Word address of its first slot. */
  readonly first: number;
  /** Word address of what lies behind its last slot. */
  readonly end: number;
}

/** The table at a word address. */
function tableAt(u32: Uint32Array, word: number): Table {
  const factor = u32[word]!;
  const shift = u32[word + 1]!;
  const homes = factor * 2 ** (HOME_BITS - shift);
  const block = asPtr(word * 4);
  return { block, factor, shift, homes, first: word + RM_TABLE.size / 4, end: word + tableBytesOf(homes) / 4 };
}

/** A state's table. */
export function tableOf(u32: Uint32Array, control: number): Table {
  return tableAt(u32, u32[control + TABLE]! >>> 2);
}

/** The word address of the slot in which a search for a pointer begins. */
export function homeOf({ first, factor, shift }: Table, ptr: number): number {
  return first + (Math.imul(mix(ptr) >>> (32 - HOME_BITS), factor) >>> shift) * SLOT_WORDS;
}

/** The word address of the slot in which it ends: the pointer's own, or an empty one. */
export function slotOf(u32: Uint32Array, table: Table, ptr: number): number {
  let slot = homeOf(table, ptr);
  while (u32[slot] !== 0 && u32[slot] !== ptr) slot += SLOT_WORDS;
  return slot;
}

/** Takes an empty table for at least so many homes from the backing; `NULL` when there is no room. */
export function makeTable(backing: Allocator, atLeast: number): Ptr {
  let [factor, log2] = [MIN_FACTOR, 0];
  while (factor * 2 ** log2 < atLeast) {
    factor += 1;
    if (factor > MAX_FACTOR) [factor, log2] = [MIN_FACTOR, log2 + 1];
    if (factor * 2 ** log2 > HOMES_LIMIT) return NULL;
  }
  const table = callocFrom(backing, 1, tableBytesOf(factor * 2 ** log2));
  if (table !== NULL) RM_TABLE.write(backing.heap, table, { factor, shift: HOME_BITS - log2 });
  return table;
}

/**
 * Puts a pointer that is in no slot into the empty one where the search for it has ended.
 *
 * @returns false, with nothing changed, when the table is full or its home too far
 */
export function insert(u32: Uint32Array, control: number, ptr: number, counts: number): boolean {
  const table = tableOf(u32, control);
  const used = u32[control + USED]!;
  if (used >= usedLimitOf(table.homes) || !place(u32, table, ptr, counts)) return false;
  u32[control + USED] = used + 1;
  return true;
}

/** Stores a pointer that is in no slot; false when the next empty one is too far from its home. */
function place(u32: Uint32Array, table: Table, ptr: number, counts: number): boolean {
  const slot = slotOf(u32, table, ptr);
  if (slot - homeOf(table, ptr) >= PROBE_LIMIT_SLOTS * SLOT_WORDS) return false;
  u32[slot + COUNTS] = counts;
  u32[slot] = ptr;
  return true;
}

/**
 * Makes room in a table that is full: clears it, or replaces it by a larger one. O(homes).
 *
 * @returns false, with nothing changed, when there is neither something to clear nor memory for a larger one
 */
export function makeRoom(backing: Allocator, control: number): boolean {
  const { u32 } = backing.heap;
  const table = tableOf(u32, control);
  const tracked = countTracked(u32, table);
  const isClearable = tracked < u32[control + USED]!;
  if (isClearable && tracked <= trackedLimitOf(table.homes)) clear(u32, control);
  else if (!grow(backing, control, tracked)) {
    if (!isClearable) return false;
    clear(u32, control);
  }
  return true;
}

/** Pointers that are tracked. O(homes). */
export function countTracked(u32: Uint32Array, { first, end }: Table): number {
  let tracked = 0;
  for (let slot = first; slot < end; slot += SLOT_WORDS) if (u32[slot + COUNTS] !== 0) tracked += 1;
  return tracked;
}

/** Takes what is not tracked out of the table, in place. */
function clear(u32: Uint32Array, control: number): void {
  const table = tableOf(u32, control);
  let used = 0;
  for (let slot = table.first; slot < table.end; slot += SLOT_WORDS) {
    if (u32[slot] === 0) continue;
    if (u32[slot + COUNTS] === 0) fillUp(u32, table, slot);
    if (u32[slot] !== 0) used += 1;
  }
  u32[control + USED] = used;
}

/** Moves up into a slot what is searched for through it; leaves the slot empty when there is nothing. */
function fillUp(u32: Uint32Array, table: Table, slot: number): void {
  for (let from = slot + SLOT_WORDS; u32[from] !== 0; from += SLOT_WORDS) {
    const ptr = u32[from]!;
    if (u32[from + COUNTS] === 0 || homeOf(table, ptr) > slot) continue;
    u32[slot] = ptr;
    u32[slot + COUNTS] = u32[from + COUNTS]!;
    u32[from + COUNTS] = 0;
    return;
  }
  u32[slot] = 0;
}

/** Moves what is tracked to a larger table. False, with nothing changed, when there is no room for one. */
function grow(backing: Allocator, control: number, tracked: number): boolean {
  const old = tableOf(backing.heap.u32, control);
  let wanted = Math.max(old.homes + 1, homesFor(tracked));
  for (;;) {
    const block = makeTable(backing, wanted);
    if (block === NULL) return false;
    const { u32 } = backing.heap;
    if (copyTracked(u32, old, tableAt(u32, block >>> 2))) {
      // The one store that makes it the state's table.
      u32[control + TABLE] = block;
      u32[control + USED] = tracked;
      u32[control + EPOCH]! += 1;
      backing.free(old.block);
      return true;
    }
    // The homes of too many lie too near to each other.
    backing.free(block);
    wanted *= 2;
  }
}

function copyTracked(u32: Uint32Array, from: Table, to: Table): boolean {
  for (let slot = from.first; slot < from.end; slot += SLOT_WORDS) {
    const counts = u32[slot + COUNTS]!;
    if (counts !== 0 && !place(u32, to, u32[slot]!, counts)) return false;
  }
  return true;
}
