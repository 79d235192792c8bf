/**
 * Who works on a shared heap: a table of slots, and for each agent that is attached a record with its magazines.
 *
 * ```text
 *   superblock.slots -> 128 entries of 32 bytes (a RESERVED block)
 *                       +0    state       bits 0..7: FREE, ALIVE, DEAD or INVITED
 *                                         bits 8..15: the slot whose agent supervises it
 *                                         bits 16..31: generation, how many agents have had the slot and left
 *                       +4    unused
 *                       +8    agent       64 random bits: whose it is
 *                       +16   record      payload of the record, 0: none yet
 *                       +20   certified   1: a page's worker holds the Web Lock that certifies its life
 *
 *   record (a RESERVED block, kept for the slot's next agent)
 *                       +0    cursors     objects that this agent has open on the heap
 *                       +4    heads       a magazine for each small span, see magazines: its first block, 0: none
 *                       +512  rooms       how many blocks may still be put into it
 *                       +1020 limits      how many it may hold
 * ```
 *
 * Slot 0 is nobody: a lock word of 0 is free. State and generation are one word, so that a slot is given up in one store:
 * an agent that dies while it detaches has either left, or is to be buried.
 *
 * @module
 */
import { HEADER_BYTES, setTag, spanOf, STATE } from "./boundary-tag.ts";
import { array, type ArrayCodec, type ScalarCodec, struct, type StructCodec, u32 } from "./codec.ts";
import { HeapError } from "./errors.ts";
import { FLAG_SHARED, SUPERBLOCK } from "./layout.ts";
import { SLOT_STATE } from "./lock.ts";
import { emptyMagazine, MAGAZINES } from "./magazines.ts";
import type { Malloc } from "./malloc.ts";
import { NULL, type Ptr } from "./ptr.ts";
import type { SharedHeap } from "./shared-heap.ts";
import type { HeapBuffer } from "./views.ts";

type Word = ScalarCodec<number>;
type Words = ArrayCodec<Word>;

/** Slots of a heap, slot 0 included. */
export const SLOTS = 128;

/** An entry of the slot table. */
export const SLOT: StructCodec<{
  state: Word;
  unused: Word;
  agent: Words;
  record: Word;
  certified: Word;
  reserved: Words;
}> = /* @__PURE__ */ struct({
  state: u32,
  unused: u32,
  agent: /* @__PURE__ */ array(u32, 2),
  record: u32,
  certified: u32,
  reserved: /* @__PURE__ */ array(u32, 2),
});

/** An agent's record. */
export const SLOT_RECORD: StructCodec<{ cursors: Word; heads: Words; rooms: Words; limits: Words }> =
  /* @__PURE__ */ struct({
    cursors: u32,
    heads: /* @__PURE__ */ array(u32, MAGAZINES),
    rooms: /* @__PURE__ */ array(u32, MAGAZINES),
    limits: /* @__PURE__ */ array(u32, MAGAZINES),
  });

/** What a shared heap is found by in another worker. It can be cloned, and kept no longer than the heap is wanted. */
export interface HeapDescriptor {
  /** What the heap lies in. */
  readonly heapwright: WebAssembly.Memory | SharedArrayBuffer;
  /** Where it begins in there. */
  readonly base: number;
  /** The slot that is kept for the worker, 0: any. */
  readonly slot: number;
}

const { FREE, ALIVE, DEAD, INVITED } = SLOT_STATE;
const { RESERVED } = STATE;
const ENTRY_WORDS = SLOT.size / 4;
const AGENT = SLOT.offsets.agent >>> 2;
const RECORD = SLOT.offsets.record >>> 2;
const CERTIFIED = SLOT.offsets.certified >>> 2;
const HEADS = SLOT_RECORD.offsets.heads >>> 2;
const STATE_MASK = 0xff;
const SUPERVISOR_SHIFT_BITS = 8;
const GENERATION_SHIFT_BITS = 16;
const GENERATION_MASK = 0xffff << GENERATION_SHIFT_BITS;

/** What a shared heap needs at the least for its own: the table, a record, their headers, and what lies between them. */
export const SHARED_LEAST_BYTES: number = SLOTS * SLOT.size + SLOT_RECORD.size + 288;

/** A heap's words as the slot table needs them: both kinds of view, and the address of entry 0. */
export class SlotTable {
  readonly i32: Int32Array;
  readonly table: number;
  readonly departuresWord: number;

  constructor(heap: Malloc<HeapBuffer>) {
    const { offsets } = SUPERBLOCK;
    this.i32 = heap.i32;
    this.table = heap.u32[(heap.base + offsets.slots) >>> 2]! >>> 2;
    this.departuresWord = (heap.base + offsets.departures) >>> 2;
  }

  /** Word address of a slot's entry. */
  entry(slot: number): number {
    return this.table + slot * ENTRY_WORDS;
  }
  #word(slot: number): number {
    return Atomics.load(this.i32, this.entry(slot));
  }
  state(slot: number): number {
    return this.#word(slot) & STATE_MASK;
  }
  /** The slot whose agent supervises this one, 0: nobody. */
  supervisor(slot: number): number {
    return (this.#word(slot) >>> SUPERVISOR_SHIFT_BITS) & STATE_MASK;
  }
  isFree(slot: number): boolean {
    return this.state(slot) === FREE;
  }
  generation(slot: number): number {
    return this.#word(slot) >>> GENERATION_SHIFT_BITS;
  }
  record(slot: number): number {
    return this.i32[this.entry(slot) + RECORD]! >>> 0;
  }
  isCertified(slot: number): boolean {
    return Atomics.load(this.i32, this.entry(slot) + CERTIFIED) === 1;
  }
  certify(slot: number): void {
    Atomics.store(this.i32, this.entry(slot) + CERTIFIED, 1);
  }

  /** Moves a slot from one state to another, unless it is in a third. */
  #move(slot: number, from: number, to: number): boolean {
    const word = this.#word(slot);
    const generation = word & GENERATION_MASK;
    if (word !== (from | generation)) return false;
    return Atomics.compareExchange(this.i32, this.entry(slot), word, to | generation) === word;
  }

  /** Keeps a slot for a worker, supervised by this agent. 0 when there is none. */
  invite(supervisor: number): number {
    for (let slot = 1; slot < SLOTS; slot += 1) {
      if (this.#move(slot, FREE, INVITED | (supervisor << SUPERVISOR_SHIFT_BITS))) return slot;
    }
    return 0;
  }

  /** The slot of this agent if it has one, else the slot kept for it, else any. 0 when there is none. */
  take(invited: number): number {
    const [low, high] = agentId();
    for (let slot = 1; slot < SLOTS; slot += 1) {
      const agent = this.entry(slot) + AGENT;
      if (this.state(slot) === ALIVE && this.i32[agent] === low && this.i32[agent + 1] === high) return slot;
    }
    const found = invited === 0 ? this.#takeAny() : this.#accept(invited) ? invited : 0;
    if (found !== 0) {
      this.i32[this.entry(found) + AGENT] = low;
      this.i32[this.entry(found) + AGENT + 1] = high;
    }
    return found;
  }

  #takeAny(): number {
    for (let slot = 1; slot < SLOTS; slot += 1) {
      if (this.#move(slot, FREE, ALIVE)) return slot;
    }
    return 0;
  }

  #accept(slot: number): boolean {
    const supervisor = this.supervisor(slot) << SUPERVISOR_SHIFT_BITS;
    return this.#move(slot, INVITED | supervisor, ALIVE | supervisor);
  }

  /** Undoes `take`: a slot that was kept for this agent is kept for it still. */
  giveBack(slot: number): void {
    const supervisor = this.supervisor(slot);
    const state = supervisor === 0 ? FREE : INVITED | (supervisor << SUPERVISOR_SHIFT_BITS);
    // Before the next agent has written its own here, this one would take the slot for its own.
    this.i32[this.entry(slot) + AGENT] = 0;
    this.i32[this.entry(slot) + AGENT + 1] = 0;
    Atomics.store(this.i32, this.entry(slot), state | (this.#word(slot) & GENERATION_MASK));
  }

  /** Marks a slot whose agent is gone, if it is still that agent's. */
  bury(slot: number, generation: number): void {
    const word = this.#word(slot);
    if (word >>> GENERATION_SHIFT_BITS !== generation || (word & STATE_MASK) === FREE) return;
    Atomics.compareExchange(this.i32, this.entry(slot), word, DEAD | (word & GENERATION_MASK));
  }

  /** Makes a slot anyone's: the last step, when nothing of its agent is left. The lock is held. */
  open(slot: number): void {
    Atomics.store(this.i32, this.entry(slot), FREE | ((this.generation(slot) + 1) << GENERATION_SHIFT_BITS));
  }

  /** The slots whose agents are dead. */
  dead(): number[] {
    return this.#all().filter((slot) => this.state(slot) === DEAD);
  }

  /** The slots whose agents a slot's agent supervises. */
  supervisedBy(supervisor: number): number[] {
    return this.#all().filter((slot) => this.state(slot) !== FREE && this.supervisor(slot) === supervisor);
  }

  #all(): number[] {
    return Array.from({ length: SLOTS - 1 }, (_, at) => at + 1);
  }
}

/** Gives a slot its record, if no agent before had one. The lock is held. */
export function equip(heap: Malloc<HeapBuffer>, slots: SlotTable, slot: number): number {
  let record = slots.record(slot);
  if (record === NULL) {
    record = reserve(heap, SLOT_RECORD.size);
    slots.i32[slots.entry(slot) + RECORD] = record;
  }
  return record;
}

/**
 * Gives back what a slot's magazines hold, and counts its agent as gone: who keeps magazines of his own for it sees that.
 * The lock is held, and the agent is dead or is the one that calls.
 */
export function vacate(heap: Malloc<HeapBuffer>, slots: SlotTable, slot: number): void {
  const record = slots.record(slot);
  if (record !== NULL) {
    for (let list = 0; list < MAGAZINES; list += 1) emptyMagazine(heap, (record >>> 2) + HEADS + list);
    heap.words.fill(0, record >>> 2, (record + SLOT_RECORD.size) >>> 2);
  }
  const entry = slots.entry(slot);
  slots.i32[entry + AGENT] = 0;
  slots.i32[entry + AGENT + 1] = 0;
  slots.i32[entry + CERTIFIED] = 0;
  slots.i32[slots.departuresWord]! += 1;
}

/** Makes a heap that has just been formatted, with room for it, one for several workers. */
export function makeShared(heap: Malloc<HeapBuffer>): void {
  const table = reserve(heap, SLOTS * SLOT.size);
  const { offsets } = SUPERBLOCK;
  const [low, high] = agentId();
  heap.words[(heap.base + offsets.id) >>> 2] = low ^ Date.now();
  heap.words[((heap.base + offsets.id) >>> 2) + 1] = high ^ Math.floor(Math.random() * 2 ** 32);
  heap.words[(heap.base + offsets.slots) >>> 2] = table;
  // Last: others may attach from here on.
  heap.words[(heap.base + offsets.flags) >>> 2]! |= FLAG_SHARED;
}

/** What no slot is to be had for. */
export function noSlot(call: string, slot: number): HeapError {
  if (slot === 0) {
    const remedy = "supervise workers, so that the slots of those that end are given back";
    return new HeapError("ERR_NO_SLOT", `${call}: all ${SLOTS - 1} slots of the heap are taken; ${remedy}`);
  }
  return new HeapError("ERR_NO_SLOT", `${call}: slot ${slot} is no longer kept; share the heap with each worker anew`);
}

/** How many agents had a slot of this heap and left: what they held elsewhere is to be given back when it changes. */
export function departuresOf(heap: SharedHeap): number {
  return heap.u32[heap.slots.departuresWord]!;
}

/** Which of a slot's agents has it now: agents are told apart by slot and generation. */
export function generationOf(heap: SharedHeap, slot: number): number {
  return heap.slots.generation(slot);
}

/** Whether an agent has its slot still. */
export function isPresent(heap: SharedHeap, slot: number, generation: number): boolean {
  return heap.slots.generation(slot) === generation;
}

/** A block of the heap's own, zeroed. */
function reserve(heap: Malloc<HeapBuffer>, bytes: number): Ptr {
  const ptr = heap.calloc(1, bytes);
  if (ptr !== NULL) setTag(heap.words, ptr - HEADER_BYTES, spanOf(heap.words, ptr - HEADER_BYTES), RESERVED);
  return ptr;
}

/** Tells this agent from others: drawn once, and the same for all copies of this package in it. */
function agentId(): readonly [low: number, high: number] {
  const key = Symbol.for("heapwright.agent");
  const place = globalThis as { [key]?: readonly [number, number] };
  const draw = (): number => Math.floor(Math.random() * 2 ** 32) | 1;
  return (place[key] ??= [draw() | 0, draw() | 0]);
}
