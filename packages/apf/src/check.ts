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
import { firstMark, markBytes, markedBlock } from "./marks.ts";
import { broken } from "./misuse.ts";
import { entriesOf, hasLiveBit, largeAt, liveBias, superblockAt, superblocksOf } from "./page-map.ts";
import { SIZES, superblockBytes } from "./size-classes.ts";
import { isBroken, recordsOf, workerOf, workersOf } from "./workers.ts";

/** What the walk over superblocks finds, to be compared with what lists and caches hold. */
interface Found {
  /** Superblocks by the list that they belong in: a class's record, or the word of a list of retired ones. */
  readonly lists: Map<number, Set<number>>;
  /** All that are not retired, by the record of their class. */
  readonly owned: Map<number, Set<number>>;
  /** Pages by the record of their class; 0: of retired superblocks. */
  readonly pages: Map<number, number>;
}

/** What is wrong with a cache. */
interface Damage {
  readonly invariant: number;
  readonly finding: string;
  readonly address: number;
}

const MARK = 1;
/** An agent that does nothing wrong is not found wrong so often in a row, and in the same way each time. */
const LOOKS = 24;

/**
 * What other agents change without the lock is judged as far as that can be done while they run; what an interrupted one has
 * left, not before it is made anew.
 *
 * @throws HeapError `ERR_CORRUPT` that names the first invariant found broken. O(blocks and pages).
 */
export function checkAllocator(apf: Cursor): void {
  const { u32 } = apf.heap;
  const control = fieldsOf(u32, apf.control, CONTROL.offsets);
  holds(1, control("version") === LAYOUT_VERSION && control("target") >= 1, "no control block", apf.control * 4);
  holds(1, control("burst") >= 1 && control("burst") <= 65_535, "an impossible burst", apf.control * 4);
  checkMap(apf, u32);
  const workers = [...workersOf(u32, apf.control)].filter((worker) => !isBroken(u32, worker)).map(recordsOf);
  const found: Found = { lists: new Map(), owned: new Map(), pages: new Map() };
  for (const descriptor of superblocksOf(u32, apf.control)) checkSuperblock(apf, u32, descriptor, workers, found);
  checkLists(apf, u32, workers, found);
  for (const records of workers) checkCaches(apf, records, found);
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
        at("live") === live && at("record") === apf.common,
        "a page without superblock has one's words",
        address,
      );
      continue;
    }
    const superblock = fieldsOf(u32, descriptor >>> 2, SUPERBLOCK.offsets);
    const [base, record] = [superblock("base"), superblock("record")];
    holds(2, address >= base && address < base + superblock("pages") * PAGE_BYTES, "another's page", address);
    holds(2, at("live") === liveBias(u32, descriptor) && at("large") === 0, "not the superblock's words", address);
    holds(2, at("record") === (record === 0 ? apf.common : record), "frees go to another class", address);
  }
}

/** Invariants 3, 4 and 9. */
function checkSuperblock(
  apf: Cursor,
  u32: Uint32Array,
  descriptor: number,
  workers: readonly number[],
  found: Found,
): void {
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
  found.pages.set(record, (found.pages.get(record) ?? 0) + pages);
  checkBits(u32, descriptor, base, size, carved);
  checkMarks(u32, descriptor, size, carved);
  const isOwned = workers.some((records) => record === records + sizeClass * RECORD_WORDS);
  if (record !== 0 && !isOwned) {
    const owner = workerOf(u32, apf.control, record);
    const isOfClass = owner !== 0 && record === recordsOf(owner) + sizeClass * RECORD_WORDS;
    holds(3, isOfClass && isBroken(u32, owner), "another class's owner", descriptor);
    return;
  }

  const free = listOf(u32, descriptor, base, size, carved);
  const [state, count] = [at("anchor") & 3, at("anchor") >>> 2];
  holds(4, count === free.size + max - carved, `${count} blocks are said to be free`, descriptor);
  const expected = record === 0 ? ANCHOR_STATE.EMPTY : count === 0 ? ANCHOR_STATE.FULL : ANCHOR_STATE.PARTIAL;
  holds(4, state === expected && (record !== 0 || count === max), "the anchor has another state", descriptor);
  if (record !== 0) setIn(found.owned, record).add(descriptor);
  if (state === ANCHOR_STATE.PARTIAL) setIn(found.lists, record).add(descriptor);
  const retired = CONTROL.offsets.retired + Math.log2(pages) * 4;
  if (record === 0) setIn(found.lists, apf.control + retired / 4).add(descriptor);
}

/** The blocks in a superblock's list. Invariant 4. */
function listOf(u32: Uint32Array, descriptor: number, base: number, size: number, carved: number): Set<number> {
  const free = new Set<number>();
  for (let ptr = u32[(descriptor + SUPERBLOCK.offsets.avail) >>> 2]!; ptr !== 0; ptr = u32[ptr >>> 2]!) {
    const index = (ptr - base) / size;
    holds(4, Number.isInteger(index) && index >= 0 && index < carved, "a list leads to no block", ptr);
    holds(4, !free.has(ptr) && !hasLiveBit(u32, descriptor, ptr), "a block in a list is live, or there twice", ptr);
    free.add(ptr);
  }
  return free;
}

/** The second half of invariant 3. The owner changes bits meanwhile, each word at once. */
function checkBits(u32: Uint32Array, descriptor: number, base: number, size: number, carved: number): void {
  const pages = u32[(descriptor + SUPERBLOCK.offsets.pages) >>> 2]!;
  const starts = new Uint32Array(pages * PAGE_LIVE_WORDS);
  for (let i = 0; i < carved; i += 1) starts[(i * size) >>> 8]! |= 1 << ((base + i * size) >>> 3);
  for (const [i, mask] of starts.entries()) {
    const bits = u32[(descriptor + SUPERBLOCK.size) / 4 + i]!;
    holds(3, (bits & ~mask) === 0, "live bits where no block begins", descriptor);
  }
}

/** Invariant 9. */
function checkMarks(u32: Uint32Array, descriptor: number, size: number, carved: number): void {
  if (u32[(descriptor + SUPERBLOCK.offsets.freed) >>> 2] === 0) return;
  const first = firstMark(u32, descriptor);
  const end = first + markBytes(u32, descriptor);
  const base = u32[(descriptor + SUPERBLOCK.offsets.base) >>> 2]!;
  for (let mark = first; mark < end; mark += 1) {
    const value = (u32[mark >>> 2]! >>> ((mark & 3) * 8)) & 0xff;
    if (value === 0) continue;
    const ptr = markedBlock(u32, descriptor, mark - first);
    const isBlock = (ptr - base) % size === 0 && (ptr - base) / size < carved;
    holds(9, value === 1 && isBlock && hasLiveBit(u32, descriptor, ptr), "a mark where no live block begins", ptr);
  }
}

/** Invariant 5. */
function checkLists(apf: Cursor, u32: Uint32Array, workers: readonly number[], found: Found): void {
  const expectList = (head: number, next: number, members: Set<number> | undefined): void => {
    const left = new Set(members);
    for (let descriptor = u32[head]!; descriptor !== 0; descriptor = u32[(descriptor >>> 2) + next]!) {
      holds(5, left.delete(descriptor), "a list leads to a superblock of another one, or in a circle", head * 4);
    }
    holds(5, left.size === 0, `${left.size} superblocks stand in no list`, head * 4);
  };
  const [next, after] = [SUPERBLOCK.offsets.next >>> 2, SUPERBLOCK.offsets.after >>> 2];
  const control = fieldsOf(u32, apf.control, CONTROL.offsets);
  holds(5, control("idlePages") === (found.pages.get(0) ?? 0), "retired pages are miscounted", apf.control * 4);
  for (const records of workers) {
    for (let record = records; record < records + CLASS_COUNT * RECORD_WORDS; record += RECORD_WORDS) {
      expectList(record + (RECORD.offsets.partial >>> 2), next, found.lists.get(record));
      expectList(record + (RECORD.offsets.all >>> 2), after, found.owned.get(record));
      const pages = found.pages.get(record) ?? 0;
      holds(5, u32[record + (RECORD.offsets.pages >>> 2)] === pages, "a class's pages are miscounted", record * 4);
    }
  }
  for (let list = 0; list < 5; list += 1) {
    const head = apf.control + (CONTROL.offsets.retired >>> 2) + list;
    expectList(head, next, found.lists.get(head));
  }
  const all = [...found.pages.values()].reduce((sum, pages) => sum + pages, 0);
  holds(5, control("pages") === all, "pages are miscounted", apf.control * 4);
}

/** Invariants 6 and 7, of all caches of a worker. Of another agent's what does not look the same each time is not judged. */
function checkCaches(apf: Cursor, records: number, found: Found): void {
  const damage = damageIn(apf, records, found);
  if (damage === undefined) return;
  for (let look = 1; records !== apf.records && look < LOOKS; look += 1) {
    const again = damageIn(apf, records, found);
    if (again?.finding !== damage.finding || again.address !== damage.address) return;
  }
  throw broken(damage.invariant, damage.finding, damage.address);
}

/** The first damage in a worker's caches. */
function damageIn(apf: Cursor, records: number, found: Found): Damage | undefined {
  // An agent may be held up anywhere, with a block that it puts in or takes out.
  let inHand = records === apf.records ? 0 : 1;
  for (let sizeClass = 0; sizeClass < CLASS_COUNT; sizeClass += 1) {
    const record = records + sizeClass * RECORD_WORDS;
    const idle = idleBlocks(apf.heap.u32, found.owned.get(record) ?? []);
    const damage = cacheDamage(apf.heap.u32, record, idle);
    if (damage !== undefined) return damage;
    if (idle.size > inHand) {
      return {
        invariant: 7,
        finding: `${idle.size} blocks of ${SIZES[sizeClass]!} bytes are lost`,
        address: record * 4,
      };
    }
    inHand -= idle.size;
  }
  return undefined;
}

/** Blocks that are not live and in no list of their superblock. */
function idleBlocks(u32: Uint32Array, superblocks: Iterable<number>): Set<number> {
  const idle = new Set<number>();
  for (const descriptor of superblocks) {
    const at = fieldsOf(u32, descriptor >>> 2, SUPERBLOCK.offsets);
    const [base, size, carved] = [at("base"), SIZES[at("class")]!, at("carved")];
    const free = listOf(u32, descriptor, base, size, carved);
    for (let i = 0; i < carved; i += 1) {
      const ptr = base + i * size;
      if (!hasLiveBit(u32, descriptor, ptr) && !free.has(ptr)) idle.add(ptr);
    }
  }
  return idle;
}

/** What is wrong with a cache; what it holds is taken out of `idle`. */
function cacheDamage(u32: Uint32Array, record: number, idle: Set<number>): Damage | undefined {
  const damage = (invariant: number, finding: string, address: number): Damage => ({ invariant, finding, address });
  const at = fieldsOf(u32, record, RECORD.offsets);
  const cached = cachedCount(u32, record);
  const [room, stack, capacity] = [at("tally") & MAX_CACHED_BLOCKS, at("stack"), at("capacity")];
  if (stack === 0) {
    const isEmpty = room === 0 && capacity === 0 && u32[at("end") - 1] === 0;
    return isEmpty ? undefined : damage(6, "room in a cache without slots", record * 4);
  }
  if (u32[stack >>> 2] !== 0 || cached < 0 || cached + room > capacity) {
    return damage(6, "a cache beyond its slots", record * 4);
  }
  let isMarked = true;
  for (let i = 1; i <= cached; i += 1) {
    const slot = u32[(stack >>> 2) + i]!;
    if (!isMarked && (slot & MARK) === 1) return damage(6, "a marked block above one without", slot);
    isMarked = (slot & MARK) === 1;
  }
  let seen = 0;
  for (const ptr of cachedBlocks(u32, record)) {
    if (!idle.delete(ptr)) {
      return damage(6, "a cache holds a block that is live, free, of another class or there twice", ptr);
    }
    seen += 1;
  }
  return seen === cached ? undefined : damage(7, "a cache changes while it is looked at", record * 4);
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
    const record = apf.common + sizeClass * RECORD_WORDS;
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
