/**
 * Rebuilds what is derived in a pool, after something was cut short in the middle of a step: slots, rings, marks, the number
 * of orphans, the backward links of listed pointers. What is true is said in layout; what was pending is freed. Cut short
 * itself, it is done again.
 *
 * @module
 */
import type { Allocator } from "@heapwright/core";

import { freeContainer, setSlot, slotOf } from "./container-block.ts";
import { CONTAINER, POOL } from "./layout.ts";
import { clearRings, file } from "./orphans.ts";
import { holds } from "./pool-array.ts";
import { relinkPointers } from "./pointer-list.ts";
import { wipe } from "./wipe.ts";

const { offsets } = POOL;
const ARRAY = offsets.array >>> 2;
const CAPACITY = offsets.capacity >>> 2;
const COUNT = offsets.count >>> 2;
const PENDING = offsets.pending >>> 2;
const SIZE = CONTAINER.offsets.size >>> 2;
const REFS = CONTAINER.offsets.refs >>> 2;
const RECORD_BYTES = 24;

/** @param control - word address of the pool's control block */
export function recoverPool(backing: Allocator, control: number): void {
  const { heap } = backing;
  const { u32 } = heap;
  const array = u32[control + ARRAY]! >>> 2;
  const end = array + u32[control + CAPACITY]!;
  // A removal that was cut short: the last one has its new place already, and its old one still.
  const last = array + u32[control + COUNT]! - 1;
  if (last > array && u32.subarray(array, last).includes(u32[last]!)) u32[control + COUNT]! -= 1;
  const filled = array + u32[control + COUNT]!;
  u32.fill(0, filled, end);
  clearRings(u32, control);
  for (let word = array; word < filled; word += 1) {
    const container = u32[word]!;
    setSlot(u32, container, word - array);
    if (u32[(container >>> 2) + REFS] !== 0) continue;
    wipe(heap, container + RECORD_BYTES, container + RECORD_BYTES + u32[(container >>> 2) + SIZE]!);
    file(u32, control, container);
  }
  relinkPointers(u32, control);
  const pending = u32[control + PENDING]!;
  // First: freed twice would be worse than lost.
  u32[control + PENDING] = 0;
  if (pending !== 0 && !holds(u32, control, pending, slotOf(u32, pending))) freeContainer(backing, pending);
}
