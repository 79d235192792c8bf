/**
 * Proves the invariants of a state; their numbers and words are in layout.
 *
 * @module
 */
import { type Allocator, HeapError } from "@heapwright/core";

import {
  DEALLOCATOR_SHIFT_BITS,
  HOMES_LIMIT,
  LAYOUT_VERSION,
  MAX_FACTOR,
  MIN_FACTOR,
  PROBE_LIMIT_SLOTS,
  RM_ENTRY,
  RM_MAX_DEALLOCATORS,
  RM_MAX_REFERENCES,
  RM_STATE,
  tableBytesOf,
  usedLimitOf,
} from "./layout.ts";
import { broken } from "./misuse.ts";
import { homeOf, slotOf, tableOf } from "./table.ts";

const { offsets } = RM_STATE;
const COUNTS = RM_ENTRY.offsets.counts >>> 2;
const SLOT_WORDS = RM_ENTRY.size / 4;

/** @throws HeapError `ERR_CORRUPT` that names the first invariant found broken. O(table). */
export function checkState(u32: Uint32Array, control: number, backing: Allocator): void {
  const at = (field: keyof typeof offsets): number => u32[control + (offsets[field] >>> 2)]!;
  const base = control * 4;
  const deallocators = at("deallocators");
  holds(1, at("version") === LAYOUT_VERSION && at("epoch") !== 0, "no control block", base);
  holds(1, deallocators <= RM_MAX_DEALLOCATORS, "too many deallocators", base);
  const table = tableOf(u32, control);
  const { block, factor, homes, first, end } = table;
  holds(1, factor >= MIN_FACTOR && factor <= MAX_FACTOR, "another factor than 8 to 15", block);
  holds(1, Number.isInteger(homes) && homes < HOMES_LIMIT, "impossible sizes", block);
  holds(1, usableSize(backing, block) >= tableBytesOf(homes), "no block of the backing that is large enough", block);

  let used = 0;
  for (let slot = first; slot < end; slot += SLOT_WORDS) {
    const ptr = u32[slot]!;
    const counts = u32[slot + COUNTS]!;
    if (ptr === 0) {
      holds(4, counts === 0, "counts without a pointer", slot * 4);
      continue;
    }
    used += 1;
    holds(4, slot < end - SLOT_WORDS, "the last slot is not empty", slot * 4);
    holds(2, slotOf(u32, table, ptr) === slot, "the search for the pointer ends elsewhere", slot * 4);
    const distance = (slot - homeOf(table, ptr)) / SLOT_WORDS;
    holds(3, distance < PROBE_LIMIT_SLOTS, "too far from its home", slot * 4);
    holds(5, counts === 0 || (counts & RM_MAX_REFERENCES) !== 0, "a deallocator, but no reference", slot * 4);
    holds(5, counts >>> DEALLOCATOR_SHIFT_BITS <= deallocators, "a deallocator that nobody registered", slot * 4);
  }
  holds(6, used === at("used"), `${used} slots are used, ${at("used")} counted`, base);
  holds(6, used <= usedLimitOf(homes), `more than 15/32 of ${homes} homes are used`, base);
}

/** 0 for what is no live block. */
function usableSize(backing: Allocator, block: number): number {
  try {
    return backing.usableSize(block as Parameters<Allocator["usableSize"]>[0]);
  } catch (error) {
    if (error instanceof HeapError) return 0;
    throw error;
  }
}

function holds(invariant: number, condition: boolean, finding: string, address: number): void {
  if (!condition) throw broken(invariant, finding, address);
}
