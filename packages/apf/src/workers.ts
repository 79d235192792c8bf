/**
 * Workers: what each agent keeps of its own. A private heap has one; in a shared one the first is nobody's. The picture is in
 * layout.
 *
 * @module
 */
import { type Allocator, asPtr, NULL, type Ptr } from "@heapwright/core";

import { CLASS_COUNT, CONTROL, RECORD, RECORD_WORDS, WORKER } from "./layout.ts";

const { offsets } = WORKER;
const FIRST_WORKER = CONTROL.offsets.worker >>> 2;
const SLOT = offsets.slot >>> 2;
const GENERATION = offsets.generation >>> 2;
const NEXT = offsets.next >>> 2;
const BROKEN = offsets.broken >>> 2;
const RECORDS = offsets.records >>> 2;
const END = RECORD.offsets.end >>> 2;
/** Words of all records of a worker. */
export const ALL_RECORDS_WORDS: number = CLASS_COUNT * RECORD_WORDS;

/** Whether an agent has its slot still. */
export type IsPresent = (slot: number, generation: number) => boolean;

/** Word address of a worker's first record. */
export function recordsOf(worker: number): number {
  return (worker >>> 2) + RECORDS;
}

/** All workers, the first one first. */
export function* workersOf(u32: Uint32Array, control: number): Generator<Ptr> {
  for (let worker = u32[control + FIRST_WORKER]!; worker !== NULL; worker = u32[(worker >>> 2) + NEXT]!) {
    yield asPtr(worker);
  }
}

/** The agents' workers: all but the first. */
export function* agentsOf(u32: Uint32Array, control: number): Generator<Ptr> {
  const first = u32[control + FIRST_WORKER]!;
  for (const worker of workersOf(u32, control)) if (worker !== first) yield worker;
}

/** The worker that a record belongs to, 0: none. */
export function workerOf(u32: Uint32Array, control: number, record: number): number {
  for (const worker of workersOf(u32, control)) {
    if ((record - recordsOf(worker)) >>> 0 < ALL_RECORDS_WORDS) return worker;
  }
  return NULL;
}

/** Whether a worker's lists and caches cannot be believed until they are made anew. */
export function isBroken(u32: Uint32Array, worker: number): boolean {
  return u32[(worker >>> 2) + BROKEN] !== 0;
}

export function setBroken(u32: Uint32Array, worker: number, isSo: boolean): void {
  u32[(worker >>> 2) + BROKEN] = isSo ? 1 : 0;
}

/** A worker without blocks; `NULL` when there is no room for one. Its caches share no cache line with another's. */
export function makeWorker(backing: Allocator): Ptr {
  const worker =
    backing.alignedAlloc === undefined ? backing.malloc(WORKER.size) : backing.alignedAlloc(64, WORKER.size);
  if (worker === NULL) return NULL;
  const { u32 } = backing.heap;
  u32.fill(0, worker >>> 2, (worker + WORKER.size) >>> 2);
  for (let record = recordsOf(worker); record < recordsOf(worker) + ALL_RECORDS_WORDS; record += RECORD_WORDS) {
    u32[record + END] = emptyEnd(worker);
  }
  return worker;
}

/** What `end` of a record is that has no cache yet. */
export function emptyEnd(worker: number): number {
  return ((worker + offsets.none) >>> 2) + 1;
}

/**
 * Finds an agent's worker: its own, one that is nobody's, or a new one. The lock is held.
 *
 * @returns `NULL` when there is no room for one
 */
export function workerFor(backing: Allocator, control: number, slot: number, generation: number): Ptr {
  let { u32 } = backing.heap;
  let found: Ptr = NULL;
  for (const worker of agentsOf(u32, control)) {
    const word = worker >>> 2;
    if (u32[word + SLOT] === slot && u32[word + GENERATION] === generation) return worker;
    if (u32[word + SLOT] === 0) found = worker;
  }
  if (found === NULL) {
    found = makeWorker(backing);
    if (found === NULL) return NULL;
    ({ u32 } = backing.heap);
    u32[(found >>> 2) + GENERATION] = generation;
    u32[(found >>> 2) + SLOT] = slot;
    const first = u32[control + FIRST_WORKER]! >>> 2;
    u32[(found >>> 2) + NEXT] = u32[first + NEXT]!;
    u32[first + NEXT] = found;
    return found;
  }
  u32[(found >>> 2) + GENERATION] = generation;
  u32[(found >>> 2) + SLOT] = slot;
  return found;
}

/** The workers of agents that are gone. */
export function goneOf(u32: Uint32Array, control: number, isPresent: IsPresent): Ptr[] {
  return [...agentsOf(u32, control)].filter((worker) => {
    const [slot, generation] = [u32[(worker >>> 2) + SLOT]!, u32[(worker >>> 2) + GENERATION]!];
    return slot !== 0 && !isPresent(slot, generation);
  });
}

/** Makes a worker that has no superblocks any more nobody's. */
export function vacate(u32: Uint32Array, worker: Ptr): void {
  u32.fill(0, (worker >>> 2) + BROKEN, recordsOf(worker));
  u32[(worker >>> 2) + (offsets.depth >>> 2)] = 0;
  u32[(worker >>> 2) + SLOT] = 0;
}
