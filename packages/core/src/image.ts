/**
 * Copies a shared heap for one agent alone.
 *
 * @module
 */
import { HEADER_BYTES, setTag, spanOf, STATE, stateOf } from "./boundary-tag.ts";
import { GeneralHeap } from "./general-heap.ts";
import { chainOf } from "./inspect.ts";
import { FLAG_SHARED, SUPERBLOCK } from "./layout.ts";
import { NULL } from "./ptr.ts";
import { SLOTS, type SlotTable } from "./slots.ts";
import type { HeapBuffer } from "./views.ts";

const { CACHED, HELD } = STATE;

/** A copy of a shared heap as a private one, in which what magazines hold is free. The lock is held. */
export function imageOf(heap: GeneralHeap<HeapBuffer>, slots: SlotTable): ArrayBuffer {
  const buffer = new ArrayBuffer(heap.end);
  new Uint8Array(buffer).set(heap.u8.subarray(heap.base, heap.end), heap.base);
  const copy = new GeneralHeap(buffer, heap.base);
  const { offsets } = SUPERBLOCK;
  const records = Array.from({ length: SLOTS }, (_, slot) => slots.record(slot)).filter((record) => record !== NULL);
  const own = new Set([...records, slots.table * 4]);
  for (const block of chainOf(copy)) {
    const isFree = stateOf(copy.words, block) === HELD || own.has(block + HEADER_BYTES);
    if (isFree) setTag(copy.words, block, spanOf(copy.words, block), CACHED);
  }
  copy.words[(copy.base + offsets.flags) >>> 2]! &= ~FLAG_SHARED;
  copy.words.fill(0, (copy.base + offsets.id) >>> 2, (copy.base + offsets.quickMap) >>> 2);
  copy.recover();
  return buffer.slice(heap.base);
}
