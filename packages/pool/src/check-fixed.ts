/**
 * Proves the fixed pool's invariants; their numbers and words are in layout.
 *
 * @module
 */
import type { Heap, HeapBuffer } from "@heapwright/core";

import { blockBits, carvedEnd, heldByte, regionsOf } from "./fixed-regions.ts";
import {
  ALIGNMENT_BYTES,
  FIXED_CONTROL,
  FIXED_REGION,
  KIND,
  LAYOUT_VERSION,
  MAGAZINE,
  PAGE_BITS_WORDS,
  SHARED_PAGE_WORDS,
} from "./layout.ts";
import { magazineBlocks, magazinesOf } from "./magazines.ts";
import { broken } from "./misuse.ts";
import { countBits } from "./page-table.ts";

const { offsets } = FIXED_CONTROL;
const START = FIXED_REGION.offsets.start >>> 2;
const REGION_END = FIXED_REGION.offsets.end >>> 2;
const BITS = FIXED_REGION.offsets.bits >>> 2;
const MEMBER = offsets.member >>> 2;
const SLOT = MAGAZINE.offsets.slot >>> 2;
const BOTH = 0x1_0001;
const LOOKS = 24;

/** @throws HeapError `ERR_CORRUPT` that names the first invariant found broken. O(blocks). */
export function checkFixed(u32: Uint32Array, control: number): void {
  const at = (field: keyof typeof offsets): number => u32[control + (offsets[field] >>> 2)]!;
  const base = control * 4;
  const [member, count] = [at("member"), at("count")];
  holds(1, at("version") === LAYOUT_VERSION && at("kind") === KIND.FIXED, "no control block of a fixed pool", base);
  holds(1, member >= ALIGNMENT_BYTES && member % ALIGNMENT_BYTES === 0 && count >= 1, "impossible sizes", base);
  const pageWords = at("pageWords");
  holds(1, pageWords === PAGE_BITS_WORDS || pageWords === SHARED_PAGE_WORDS, "impossible words of a page", base);

  const ranges: [from: number, to: number][] = [];
  let last = 0;
  let carved = 0;
  let live = 0;
  for (const region of regionsOf(u32, control)) {
    const start = u32[(region >>> 2) + START]!;
    const end = u32[(region >>> 2) + REGION_END]!;
    const bits = region + FIXED_REGION.size + u32[(region >>> 2) + BITS]! * 4;
    holds(
      2,
      end - start === member * count && start % ALIGNMENT_BYTES === 0 && start >= bits,
      "a region's ends",
      region,
    );
    const stop = carvedEnd(u32, control, region);
    holds(2, stop >= start && stop <= end && (stop - start) % member === 0, "carved where no block ends", region);
    ranges.push([start, end]);
    for (let ptr = start; ptr < stop; ptr += member) {
      const state = blockBits(u32, control, ptr);
      holds(4, (state & 1) === 1, "a carved block without a start bit", ptr);
      carved += 1;
      if (state === BOTH) live += 1;
    }
    last = region;
    holds(2, ranges.length * count <= 2 ** 28, "the regions lead in a circle", region);
  }
  holds(2, last === at("last") && at("end") === (ranges.at(-1)?.[1] ?? 0), "the last region is another one", last);
  holds(4, countBits(u32, control, ranges, 0xffff) === carved, "start bits without blocks", base);
  holds(4, countBits(u32, control, ranges, -0x1_0000) === live, "live bits without start bits", base);
  let free = 0;
  for (let ptr = at("head"); ptr !== 0; ptr = u32[ptr >>> 2]!) {
    holds(5, blockBits(u32, control, ptr) === 1, "in the free list, but no free block", ptr);
    free += 1;
    holds(5, free <= carved - live, "the free list is too long", ptr);
  }
  holds(5, free === carved - live, `${carved - live} blocks are free, ${free} in the free list`, base);
  const uncarved = (at("end") - at("carved")) / member;
  holds(6, live + free + uncarved === count * ranges.length, "blocks do not add up to the regions", base);
}

/** Invariant 7. Agents that run change magazines meanwhile: what does not look the same each time is not judged. */
export function checkHeld(heap: Heap<HeapBuffer>, control: number): void {
  const damage = heldDamage(heap, control);
  if (damage === undefined) return;
  for (let look = 1; look < LOOKS; look += 1) {
    const again = heldDamage(heap, control);
    if (again?.finding !== damage.finding || again.address !== damage.address) return;
  }
  throw broken(7, damage.finding, damage.address);
}

function heldDamage(heap: Heap<HeapBuffer>, control: number): { finding: string; address: number } | undefined {
  const { u32, u8 } = heap;
  const member = u32[control + MEMBER]!;
  let held = 0;
  for (const region of regionsOf(u32, control)) {
    for (let ptr = u32[(region >>> 2) + START]!; ptr < carvedEnd(u32, control, region); ptr += member) {
      if (u8[heldByte(u32, control, ptr)] === 0) continue;
      if (blockBits(u32, control, ptr) !== BOTH) return { finding: "held, but free to the pool", address: ptr };
      held += 1;
    }
  }
  let found = 0;
  for (const magazine of magazinesOf(u32, control)) {
    const isMine = u32[(magazine >>> 2) + SLOT] === heap.slot;
    let isFirst = true;
    for (const ptr of magazineBlocks(u32, magazine)) {
      const isLive = blockBits(u32, control, ptr) === BOTH;
      const isHeld = isLive && u8[heldByte(u32, control, ptr)] === 1;
      // Another agent may be held up anywhere, with a block that it puts in or takes out.
      const isMoving = isFirst && isLive && !isMine;
      isFirst = false;
      if (!isHeld && isMoving) continue;
      if (!isHeld) return { finding: "in a magazine, but not held", address: ptr };
      found += 1;
      if (found > held) return { finding: "more in magazines than are held", address: ptr };
    }
  }
  return found === held ? undefined : { finding: `${held} held blocks, ${found} in magazines`, address: control * 4 };
}

function holds(invariant: number, condition: boolean, finding: string, address: number): void {
  if (!condition) throw broken(invariant, finding, address);
}
