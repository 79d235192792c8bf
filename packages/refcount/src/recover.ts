/**
 * Puts a table in order whose last change was cut short. What may have happened is in layout, under store order.
 *
 * @module
 */
import { RM_ENTRY, RM_STATE } from "./layout.ts";
import { slotOf, tableOf } from "./table.ts";

const USED = RM_STATE.offsets.used >>> 2;
const COUNTS = RM_ENTRY.offsets.counts >>> 2;
const SLOT_WORDS = RM_ENTRY.size / 4;

/** Moves what is tracked to where the search for it ends, clears what an empty slot has kept, and counts. */
export function recoverState(u32: Uint32Array, control: number): void {
  const table = tableOf(u32, control);
  let used = 0;
  for (let slot = table.first; slot < table.end; slot += SLOT_WORDS) {
    const ptr = u32[slot]!;
    if (ptr === 0) {
      u32[slot + COUNTS] = 0;
      continue;
    }
    const found = slotOf(u32, table, ptr);
    if (found !== slot) {
      if (u32[found + COUNTS] === 0) u32[found + COUNTS] = u32[slot + COUNTS]!;
      u32[slot + COUNTS] = 0;
    }
    used += 1;
  }
  u32[control + USED] = used;
}
