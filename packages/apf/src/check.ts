/**
 * Proves the invariants; their numbers and words are in layout.
 *
 * @module
 */
import { asPtr } from "@heapwright/core";

import { cachedBlocks, cachedCount, MAX_CACHED_BLOCKS } from "./caches.ts";
import type { Cursor } from "./cursor.ts";
import { largeBlocks } from "./large-blocks.ts";
import {
  ANCHOR_STATE,
  CLASS_COUNT,
  CONTROL,
  ENTRY,
  LAYOUT_VERSION,
  PAGE_BYTES,
  PAGE_LIVE_WORDS,
  RECORD,
  RECORD_WORDS,
  SUPERBLOCK,
  SUPERBLOCK_BLOCKS,
} from "./layout.ts";
import { broken } from "./misuse.ts";
import { entriesOf, isLive, largeAt, liveBias, superblockAt, superblocksOf } from "./page-map.ts";
import { SIZES, superblockBytes } from "./size-classes.ts";

/** What the walk over superblocks finds, to be compared with what lists and caches hold. */
interface Found {
  /** Superblocks by the list that they belong in: a class's record, or the word of a list of retired ones. */
  readonly lists: Map<number, Set<number>>;
  /** Blocks that are not live and in no list of their superblock, by the record of their class. */
  readonly idle: Map<number, Set<number>>;
  /** Pages by the record of their class; 0: of retired superblocks. */
  readonly pages: Map<number, number>;
}

const MARK = 1;

/** @throws HeapError `ERR_CORRUPT` that names the first invariant found broken. O(blocks and pages). */
export function checkAllocator(apf: Cursor): void {
  const { u32 } = apf.heap;
  const control = fieldsOf(u32, apf.control, CONTROL.offsets);
  holds(1, control("version") === LAYOUT_VERSION && control("target") >= 1, "no control block", apf.control * 4);
  holds(1, control("burst") >= 1 && control("burst") <= 65_535, "an impossible burst", apf.control * 4);
  checkMap(apf, u32);
  const found: Found = { lists: new Map(), idle: new Map(), pages: new Map() };
  for (const descriptor of superblocksOf(u32, apf.control)) checkSuperblock(apf, u32, descriptor, found);
  checkLists(apf, u32, found);
  for (let sizeClass = 0; sizeClass < CLASS_COUNT; sizeClass += 1) checkCache(apf, u32, sizeClass, found);
  checkLarge(apf, u32);
}

/** Invariant 2. */
function checkMap(apf: Cursor, u32: Uint32Array): void {
  const control = fieldsOf(u32, apf.control, CONTROL.offsets);
  holds(2, (control("lowest") | control("length")) % PAGE_BYTES === 0, "the map speaks of parts of pages", apf.control);
  const empty = apf.control + (CONTROL.offsets.empty >>> 2);
  for (let i = 0; i < PAGE_LIVE_WORDS; i += 1) holds(2, u32[empty + i] === 0, "a live bit of no page", empty * 4);
  for (const [address, entry] of entriesOf(u32, apf.control)) {
    const at = fieldsOf(u32, entry, ENTRY.offsets);
    const descriptor = at("superblock");
    if (descriptor === 0) {
      const live = (empty - (address >>> 8)) >>> 0;
      holds(
        2,
        at("live") === live && at("record") === apf.records,
        "a page without superblock has one's words",
        address,
      );
      continue;
    }
    const superblock = fieldsOf(u32, descriptor >>> 2, SUPERBLOCK.offsets);
    const [base, record] = [superblock("base"), superblock("record")];
    holds(2, address >= base && address < base + superblock("pages") * PAGE_BYTES, "another's page", address);
    holds(2, at("live") === liveBias(u32, descriptor) && at("large") === 0, "not the superblock's words", address);
    holds(2, at("record") === (record === 0 ? apf.records : record), "frees go to another class", address);
  }
}

/** Invariants 3, 4 and 7. */
function checkSuperblock(apf: Cursor, u32: Uint32Array, descriptor: number, found: Found): void {
  const at = fieldsOf(u32, descriptor >>> 2, SUPERBLOCK.offsets);
  const [base, pages, sizeClass, max, carved] = [at("base"), at("pages"), at("class"), at("max"), at("carved")];
  const size = SIZES[sizeClass] ?? 0;
  const isPossible = base % PAGE_BYTES === 0 && [1, 2, 4, 8, 16].includes(pages) && size !== 0;
  holds(3, isPossible && at("block") <= base && max <= SUPERBLOCK_BLOCKS, "no superblock", descriptor);
  holds(3, max === Math.floor(superblockBytes(pages) / size) && carved <= max, "impossible blocks", descriptor);
  for (let page = 0; page < pages; page += 1) {
    const owner = superblockAt(u32, apf.control, base + page * PAGE_BYTES);
    holds(3, owner === descriptor, "a page is not in the map", base + page * PAGE_BYTES);
  }
  const record = at("record");
  const ownRecord = apf.records + sizeClass * RECORD_WORDS;
  holds(3, record === 0 || record === ownRecord, "another class's owner", descriptor);

  const free = new Set<number>();
  for (let ptr = at("avail"); ptr !== 0; ptr = u32[ptr >>> 2]!) {
    const index = (ptr - base) / size;
    holds(4, Number.isInteger(index) && index >= 0 && index < carved, "a list leads to no block", ptr);
    holds(4, !free.has(ptr) && !isLive(u32, descriptor, ptr), "a block in a list is live, or there twice", ptr);
    free.add(ptr);
  }
  const [state, count] = [at("anchor") & 3, at("anchor") >>> 2];
  holds(4, count === free.size + max - carved, `${count} blocks are said to be free`, descriptor);
  const expected = record === 0 ? ANCHOR_STATE.EMPTY : count === 0 ? ANCHOR_STATE.FULL : ANCHOR_STATE.PARTIAL;
  holds(4, state === expected && (record !== 0 || count === max), "the anchor has another state", descriptor);

  let bits = 0;
  let live = 0;
  for (let i = 0; i < pages * PAGE_LIVE_WORDS; i += 1) {
    for (let word = u32[(descriptor + SUPERBLOCK.size) / 4 + i]! | 0; word !== 0; word &= word - 1) bits += 1;
  }
  const idle = setIn(found.idle, ownRecord);
  for (let i = 0; i < carved; i += 1) {
    const ptr = base + i * size;
    if (isLive(u32, descriptor, ptr)) live += 1;
    else if (!free.has(ptr)) idle.add(ptr);
  }
  holds(3, bits === live, "live bits where no block begins", descriptor);
  if (state === ANCHOR_STATE.PARTIAL) setIn(found.lists, record).add(descriptor);
  const retired = CONTROL.offsets.retired + Math.log2(pages) * 4;
  if (record === 0) setIn(found.lists, apf.control + retired / 4).add(descriptor);
  found.pages.set(record, (found.pages.get(record) ?? 0) + pages);
}

/** Invariant 5. */
function checkLists(apf: Cursor, u32: Uint32Array, found: Found): void {
  const next = SUPERBLOCK.offsets.next >>> 2;
  const expectList = (head: number, members: Set<number> | undefined): void => {
    const left = new Set(members);
    for (let descriptor = u32[head]!; descriptor !== 0; descriptor = u32[(descriptor >>> 2) + next]!) {
      holds(5, left.delete(descriptor), "a list leads to a superblock of another one, or in a circle", head * 4);
    }
    holds(5, left.size === 0, `${left.size} superblocks stand in no list`, head * 4);
  };
  let all = found.pages.get(0) ?? 0;
  const control = fieldsOf(u32, apf.control, CONTROL.offsets);
  holds(5, control("idlePages") === all, "retired pages are miscounted", apf.control * 4);
  for (let sizeClass = 0; sizeClass < CLASS_COUNT; sizeClass += 1) {
    const record = apf.records + sizeClass * RECORD_WORDS;
    expectList(record + (RECORD.offsets.partial >>> 2), found.lists.get(record));
    const pages = found.pages.get(record) ?? 0;
    holds(5, u32[record + (RECORD.offsets.pages >>> 2)] === pages, "a class's pages are miscounted", record * 4);
    all += pages;
  }
  for (let list = 0; list < 5; list += 1) {
    const head = apf.control + (CONTROL.offsets.retired >>> 2) + list;
    expectList(head, found.lists.get(head));
  }
  holds(5, control("pages") === all, "pages are miscounted", apf.control * 4);
}

/** Invariants 6 and 7. */
function checkCache(apf: Cursor, u32: Uint32Array, sizeClass: number, found: Found): void {
  const record = apf.records + sizeClass * RECORD_WORDS;
  const at = fieldsOf(u32, record, RECORD.offsets);
  const idle = found.idle.get(record) ?? new Set<number>();
  const cached = cachedCount(u32, record);
  const [room, stack, capacity] = [at("tally") & MAX_CACHED_BLOCKS, at("stack"), at("capacity")];
  if (stack === 0) {
    holds(6, room === 0 && capacity === 0 && u32[at("end") - 1] === 0, "room in a cache without slots", record * 4);
  } else {
    holds(
      6,
      u32[stack >>> 2] === 0 && cached >= 0 && cached + room <= capacity,
      "a cache beyond its slots",
      record * 4,
    );
    let isMarked = true;
    for (let i = 1; i <= cached; i += 1) {
      const slot = u32[(stack >>> 2) + i]!;
      holds(6, isMarked || (slot & MARK) === 0, "a marked block above one without", slot);
      isMarked = (slot & MARK) === 1;
    }
  }
  let seen = 0;
  for (const ptr of cachedBlocks(u32, record)) {
    holds(6, idle.delete(ptr), "a cache holds a block that is live, free, of another class or there twice", ptr);
    seen += 1;
  }
  holds(
    7,
    seen === cached && idle.size === 0,
    `${idle.size} blocks of ${SIZES[sizeClass]!} bytes are lost`,
    record * 4,
  );
}

/** Invariant 8. */
function checkLarge(apf: Cursor, u32: Uint32Array): void {
  const counts = Array.from({ length: CLASS_COUNT }, () => 0);
  for (const ptr of largeBlocks(u32, apf.control)) {
    const sizeClass = largeAt(u32, apf.control, ptr);
    holds(8, apf.backing.usableSize(asPtr(ptr)) >= SIZES[sizeClass - 1 < 0 ? 0 : sizeClass - 1]!, "too small", ptr);
    if (sizeClass >= 0) counts[sizeClass]! += 1;
  }
  for (let sizeClass = 0; sizeClass < CLASS_COUNT; sizeClass += 1) {
    const record = apf.records + sizeClass * RECORD_WORDS;
    const large = u32[record + (RECORD.offsets.large >>> 2)];
    holds(8, large === counts[sizeClass], "large blocks are miscounted", record * 4);
  }
}

function fieldsOf<N extends string>(u32: Uint32Array, word: number, offsets: Record<N, number>): (field: N) => number {
  return (field) => u32[word + (offsets[field] >>> 2)]!;
}

function setIn(sets: Map<number, Set<number>>, key: number): Set<number> {
  const set = sets.get(key) ?? new Set<number>();
  sets.set(key, set);
  return set;
}

function holds(invariant: number, condition: boolean, finding: string, address: number): void {
  if (!condition) throw broken(invariant, finding, address);
}
