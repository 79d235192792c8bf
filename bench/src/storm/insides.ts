/**
 * What the storm has to see of a heap and its pools that is not part of their public types: who is dead, what a copy is
 * without its lock, and how a fault is planted.
 *
 * @module
 */
import { Heap, HeapError, type Ptr, type SharedHeap } from "@heapwright/core";
import { departuresOf } from "@heapwright/core/engine";

/** Recovery that can be switched off, to see that the storm notices. */
export const FAULTS = ["heap-recovery", "pool-recovery", "apf-recovery"] as const;
export type Fault = (typeof FAULTS)[number];

interface Slots {
  state(slot: number): number;
  dead(): number[];
}

interface HeapInsides {
  readonly slots: Slots;
  readonly inner: object;
  /** Word addresses. */
  readonly deathsWord: number;
  readonly repairedWord: number;
  readonly mutex: { readonly word: number };
}

/** Where a pool keeps the count of deaths that it has been repaired after. */
const POOL_DEATHS_BYTES = 40;
/** Where apf says that an agent is in the midst of something, and how many had left when it looked last. */
const APF_BUSY_BYTES = 60;
const APF_DEPARTURES_BYTES = 84;
const SLOTS = 128;
const PAGE_BYTES = 65536;

function insidesOf(heap: SharedHeap): HeapInsides {
  return heap as SharedHeap & HeapInsides;
}

/** The slots whose agents are dead, with what they held not given back yet. */
export function deadSlots(heap: SharedHeap): readonly number[] {
  return insidesOf(heap).slots.dead();
}

/** How many slots are someone's. */
export function slotsInUse(heap: SharedHeap): number {
  const { slots } = insidesOf(heap);
  let count = 0;
  for (let slot = 1; slot < SLOTS; slot += 1) if (slots.state(slot) !== 0) count += 1;
  return count;
}

/** Takeovers of the lock. */
export function takeovers(heap: SharedHeap): number {
  return heap.u32[insidesOf(heap).deathsWord] ?? 0;
}

/** The blocks of the heap that are a pool's own. */
export function takenBy(pool: object): Iterable<Ptr> {
  return (pool as { taken(): Iterable<Ptr> }).taken();
}

/** A copy of a heap whose lock nobody holds, and which nobody repairs. */
export function copyOf(heap: SharedHeap): SharedHeap {
  const { base } = heap;
  const { mutex, deathsWord, repairedWord } = insidesOf(heap);
  const source = heap.u8;
  const pages = Math.ceil(source.length / PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  // A heap that can grow is found in a memory only, and one that was made in a buffer in both.
  const copy = memory.buffer;
  new Uint8Array(copy).set(source);
  const u32 = new Uint32Array(copy);
  u32[mutex.word] = 0;
  u32[repairedWord] = u32[deathsWord] ?? 0;
  return Heap.attach({ heapwright: memory, base, slot: 0 });
}

/** Has a pool, in a copy of a heap, believe that nobody has died. */
export function believePool(copy: SharedHeap, handle: number): void {
  copy.u32[(handle + POOL_DEATHS_BYTES) >>> 2] = takeovers(copy);
}

/** The same, and that nobody has left. */
export function believeApf(copy: SharedHeap, handle: number): void {
  copy.u32[(handle + APF_BUSY_BYTES) >>> 2] = 0;
  copy.u32[(handle + APF_DEPARTURES_BYTES) >>> 2] = departuresOf(copy);
}

/** Has apf believe, whenever this agent takes the lock, that nobody was in the midst of anything. */
function forgetBusyApf(heap: SharedHeap): void {
  const { lock } = heap;
  const enter = lock.enter.bind(lock);
  let handle = 0;
  const forgetful = (call: string): boolean => {
    const isOuter = enter(call);
    if (handle === 0 && isOuter) handle = heap.root("storm apf");
    if (handle !== 0 && isOuter) heap.u32[(handle + APF_BUSY_BYTES) >>> 2] = 0;
    return isOuter;
  };
  Object.defineProperty(lock, "enter", { value: forgetful });
}

/** Switches a recovery off, in this agent. */
export function plant(heap: SharedHeap, fault: Fault): void {
  if (fault === "apf-recovery") return forgetBusyApf(heap);
  const { inner, mutex } = insidesOf(heap);
  if (!("recover" in inner && "deaths" in mutex)) throw new HeapError("ERR_UNSUPPORTED", `no ${fault} to switch off`);
  if (fault === "heap-recovery") Object.defineProperty(inner, "recover", { value: () => {} });
  else Object.defineProperty(mutex, "deaths", { value: 0 });
}
