/**
 * Looks into a state: what is tracked, what it adds up to, a picture in words. Nothing here changes a byte.
 *
 * @module
 */
import { asPtr, type Ptr } from "@heapwright/core";

import { type Deallocator, deallocatorOf } from "./control.ts";
import { RM_ENTRY, RM_MAX_REFERENCES } from "./layout.ts";
import { references, show } from "./misuse.ts";
import type { RmState } from "./rm-state.ts";
import { homeOf, tableOf } from "./table.ts";

const COUNTS = RM_ENTRY.offsets.counts >>> 2;
const SLOT_WORDS = RM_ENTRY.size / 4;
const LEAKS_SHOWN = 10;

/** A pointer that is tracked. */
export interface RmBlock {
  readonly ptr: Ptr;
  /** References to it. */
  readonly count: number;
  /** What frees it; undefined when the backing does. */
  readonly deallocator: Deallocator | undefined;
  /** Where it was allocated or attached, when `stacks` are tracked and it was through this object. */
  readonly stack: string | undefined;
}

/** What a state tracks, and what that takes. */
export interface RmStats {
  /** Pointers that are tracked. */
  readonly pointers: number;
  /** References to all of them. */
  readonly references: number;
  /** Slots in which a search may begin. */
  readonly homes: number;
  /** Bytes of table and control block. */
  readonly takenBytes: number;
  /** The most slots that a search for a tracked pointer looks at; never above 64. */
  readonly longestProbe: number;
}

/** What was tracked at the beginning and still is, each as it is then. */
export function* blocksOf(state: RmState): Generator<RmBlock> {
  const { u32 } = state.heap;
  const { first, end } = tableOf(u32, state.control);
  const ptrs: Ptr[] = [];
  for (let slot = first; slot < end; slot += SLOT_WORDS) if (u32[slot + COUNTS] !== 0) ptrs.push(asPtr(u32[slot]!));
  for (const ptr of ptrs) {
    const counts = state.isDestroyed ? 0 : state.countsOf(ptr);
    if (counts === 0) continue;
    yield {
      ptr,
      count: counts & RM_MAX_REFERENCES,
      deallocator: deallocatorOf(state.options, counts),
      stack: state.stacks?.get(ptr),
    };
  }
}

export function statsOf(state: RmState): RmStats {
  const { heap, control, backing } = state;
  const { u32 } = heap;
  const table = tableOf(u32, control);
  let pointers = 0;
  let total = 0;
  let longest = 0;
  for (let slot = table.first; slot < table.end; slot += SLOT_WORDS) {
    const count = u32[slot + COUNTS]! & RM_MAX_REFERENCES;
    if (count === 0) continue;
    pointers += 1;
    total += count;
    longest = Math.max(longest, (slot - homeOf(table, u32[slot]!)) / SLOT_WORDS + 1);
  }
  const takenBytes = backing.usableSize(table.block) + backing.usableSize(asPtr(control * 4));
  return { pointers, references: total, homes: table.homes, takenBytes, longestProbe: longest };
}

export function dumpOf(state: RmState): string {
  const { pointers, references: total, homes, takenBytes, longestProbe } = statsOf(state);
  const lines = [
    `state at ${show(state.handle)}, ${pointers} pointers with ${references(total)}`,
    `${homes} homes, ${takenBytes} bytes, longest probe ${longestProbe}`,
  ];
  for (const { ptr, count, deallocator } of blocksOf(state)) {
    const name = deallocator === undefined ? "" : `  ${deallocator.name || "a deallocator"}`;
    lines.push(`${show(ptr).padStart(12)}  ${String(count).padStart(10)}${name}`);
  }
  return lines.join("\n");
}

/** What is still referenced, put in words; undefined when nothing is. */
export function leaksOf(state: RmState): string | undefined {
  const blocks = [...blocksOf(state)].sort((a, b) => a.ptr - b.ptr);
  if (blocks.length === 0) return undefined;
  const remedy = "release each as often as it was retained, or detach it";
  const count = blocks.length === 1 ? "1 pointer is" : `${blocks.length} pointers are`;
  const lines = [`rm_destroy_state: ${count} still referenced; ${remedy}`];
  for (const block of blocks.slice(0, LEAKS_SHOWN)) {
    const from = block.stack === undefined ? "" : `, from\n${block.stack}`;
    lines.push(`  ${show(block.ptr)}: ${references(block.count)}${from}`);
  }
  if (blocks.length > LEAKS_SHOWN) lines.push(`  and ${blocks.length - LEAKS_SHOWN} more`);
  return lines.join("\n");
}

/** Where the program is, without the line that names the error. */
export function stackHere(): string {
  return (new Error().stack ?? "").replace(/^Error\n/, "");
}
