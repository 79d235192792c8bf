/**
 * The table, where time does not count: makes, clears and replaces it. The picture and the order of stores are in layout.
 * What a cursor does over and over, it does itself (see rm-state).
 *
 * @module
 */
import { type Allocator, asPtr, callocFrom, NULL, type Ptr } from "@heapwright/core";

import { FIRST_MULTIPLIER, hash, nextMultiplier } from "./hash.ts";
import {
  HOME_BITS,
  HOMES_LIMIT,
  MIN_FACTOR,
  MIN_FACTOR_LOG2,
  mostHomesFor,
  PROBE_LIMIT_SLOTS,
  RM_ENTRY,
  RM_STATE,
  RM_TABLE,
  tableBytesOf,
  usedLimitOf,
} from "./layout.ts";

const EPOCH = RM_STATE.offsets.epoch >>> 2;
const TABLE = RM_STATE.offsets.table >>> 2;
const USED = RM_STATE.offsets.used >>> 2;
const MULTIPLIER = RM_TABLE.offsets.multiplier >>> 2;
const COUNTS = RM_ENTRY.offsets.counts >>> 2;
const SLOT_WORDS = RM_ENTRY.size >>> 2;

/** A table as it is now. */
export interface Table {
  readonly block: Ptr;
  readonly factor: number;
  readonly shift: number;
  readonly multiplier: number;
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
  const homes = factor << (HOME_BITS - shift);
  const first = word + RM_TABLE.size / 4;
  const end = word + tableBytesOf(homes) / 4;
  return { block: asPtr(word * 4), factor, shift, multiplier: u32[word + MULTIPLIER]!, homes, first, end };
}

/** A state's table. */
export function tableOf(u32: Uint32Array, control: number): Table {
  return tableAt(u32, u32[control + TABLE]! >>> 2);
}

/** The word address of the slot in which a search for a pointer begins. */
export function homeOf({ first, factor, shift, multiplier }: Table, ptr: number): number {
  return first + (Math.imul(hash(ptr, multiplier) >>> (32 - HOME_BITS), factor) >>> shift) * SLOT_WORDS;
}

/** The word address of the slot in which it ends: the pointer's own, or an empty one. */
export function slotOf(u32: Uint32Array, table: Table, ptr: number): number {
  let slot = homeOf(table, ptr);
  while (u32[slot] !== 0 && u32[slot] !== ptr) slot += SLOT_WORDS;
  return slot;
}

/** A number of homes that a table can have: the next one from a number on. */
export function homesFrom(count: number): number {
  return count > MIN_FACTOR ? Math.ceil(count / stepAt(count)) * stepAt(count) : MIN_FACTOR;
}

/** The last one up to a number. */
function homesUpTo(count: number): number {
  return count > MIN_FACTOR ? Math.floor(count / stepAt(count)) * stepAt(count) : MIN_FACTOR;
}

/** How far apart such numbers are: what they are `factor` times of. */
function stepAt(homes: number): number {
  return 2 ** Math.max(0, 31 - Math.clz32(homes) - MIN_FACTOR_LOG2);
}

/** Takes an empty table from the backing; `NULL` when there is no room. */
export function makeTable(backing: Allocator, homes: number): Ptr {
  if (homes >= HOMES_LIMIT) return NULL;
  const table = callocFrom(backing, 1, tableBytesOf(homes));
  if (table === NULL) return NULL;
  const step = stepAt(homes);
  const shift = HOME_BITS - Math.log2(step);
  RM_TABLE.write(backing.heap, table, { factor: homes / step, shift, multiplier: FIRST_MULTIPLIER, reserved: 0 });
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
  if (used >= usedLimitOf(table.homes) || place(u32, table, ptr, counts) >= PROBE_LIMIT_SLOTS) return false;
  u32[control + USED] = used + 1;
  return true;
}

/** Stores a pointer that is in no slot. Returns its distance from home; at the limit nothing is stored. */
function place(u32: Uint32Array, table: Table, ptr: number, counts: number): number {
  const slot = slotOf(u32, table, ptr);
  const distance = (slot - homeOf(table, ptr)) / SLOT_WORDS;
  if (distance >= PROBE_LIMIT_SLOTS) return distance;
  u32[slot] = ptr;
  u32[slot + COUNTS] = counts;
  return distance;
}

/**
 * Makes room in a table that is full, or where a pointer finds no place near its home: clears it, or replaces it. O(homes).
 *
 * @returns false, with nothing changed, when there is neither something to clear nor memory for another table
 */
export function makeRoom(backing: Allocator, control: number): boolean {
  const { u32 } = backing.heap;
  const table = tableOf(u32, control);
  const used = u32[control + USED]!;
  const tracked = countTracked(u32, table);
  const wanted = homesUpTo(mostHomesFor(tracked));
  if (wanted > table.homes && replace(backing, control, wanted)) return true;
  if (tracked < used) {
    clear(u32, control);
    return true;
  }
  return replace(backing, control, used < usedLimitOf(table.homes) ? table.homes : homesFrom(table.homes + 1));
}

/** Pointers that are tracked. O(homes). */
export function countTracked(u32: Uint32Array, { first, end }: Table): number {
  let tracked = 0;
  for (let slot = first; slot < end; slot += SLOT_WORDS) if (u32[slot + COUNTS] !== 0) tracked += 1;
  return tracked;
}

/** Takes what is not tracked out of the table, in place. O(homes). */
export function clear(u32: Uint32Array, control: number): void {
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

/** Moves what is tracked to a table with so many homes. False, with nothing changed, when there is no room for it. */
function replace(backing: Allocator, control: number, homes: number): boolean {
  const block = makeTable(backing, homes);
  if (block === NULL) return false;
  const { u32 } = backing.heap;
  const old = tableOf(u32, control);
  const tracked = countTracked(u32, old);
  let { multiplier } = old;
  do {
    multiplier = nextMultiplier(multiplier);
    u32[(block >>> 2) + MULTIPLIER] = multiplier;
  } while (!copyTracked(u32, old, tableAt(u32, block >>> 2), tracked));
  // The one store that makes it the state's table.
  u32[control + TABLE] = block;
  u32[control + USED] = tracked;
  u32[control + EPOCH]! += 1;
  backing.free(old.block);
  return true;
}

/** Fills an empty table; leaves it empty, and returns false, when pointers crowd in it. */
function copyTracked(u32: Uint32Array, from: Table, to: Table, tracked: number): boolean {
  // As a rule they stand a third of a slot behind their homes.
  let distances = tracked + PROBE_LIMIT_SLOTS;
  for (let slot = from.first; slot < from.end; slot += SLOT_WORDS) {
    const counts = u32[slot + COUNTS]!;
    if (counts === 0) continue;
    const distance = place(u32, to, u32[slot]!, counts);
    distances -= distance;
    if (distance >= PROBE_LIMIT_SLOTS || distances < 0) {
      u32.fill(0, to.first, to.end);
      return false;
    }
  }
  return true;
}
