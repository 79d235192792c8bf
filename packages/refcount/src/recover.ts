/**
 * Puts a table in order whose last change was cut short. What may have happened is in layout, under store order.
 *
 * @module
 */
import { RM_ENTRY } from "./layout.ts";
import { clear, slotOf, tableOf } from "./table.ts";

const COUNTS = RM_ENTRY.offsets.counts >>> 2;
const SLOT_WORDS = RM_ENTRY.size / 4;

/** Moves what is tracked to where the search for it ends, empties every other slot, and counts. Cut short, it is done again. */
export function recoverState(u32: Uint32Array, control: number): void {
  const table = tableOf(u32, control);
  for (let slot = table.first; slot < table.end; slot += SLOT_WORDS) {
    const counts = u32[slot + COUNTS]!;
    const found = slotOf(u32, table, u32[slot]!);
    if (counts === 0 || found === slot) continue;
    if (u32[found + COUNTS] === 0) u32[found + COUNTS] = counts;
    u32[slot + COUNTS] = 0;
  }
  clear(u32, control);
}
