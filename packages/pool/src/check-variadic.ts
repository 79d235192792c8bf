/**
 * Proves the variadic pool's invariants; their numbers and words are in layout.
 *
 * @module
 */
import { indexDamage, indexedBlocks, isLinked, isStart, spanOf, STATE, stateOf } from "@heapwright/core/engine";

import { ringDamage, ringedBlocks } from "./free-blocks.ts";
import {
  ALIGNMENT_BYTES,
  BUFFER_BYTES,
  BUFFER_OVERHEAD_BYTES,
  HEADER_BYTES,
  KIND,
  LAYOUT_VERSION,
  MIN_SPAN_BYTES,
  PAGE_BYTES,
  VARIADIC_CONTROL,
  VARIADIC_REGION,
} from "./layout.ts";
import { broken } from "./misuse.ts";
import { biasOf, countBits, isCovered } from "./page-table.ts";
import { buffersOf, regionsOf } from "./variadic-buffers.ts";

const { FREE, LIVE, RESERVED } = STATE;
const { offsets } = VARIADIC_CONTROL;
const FILLED = VARIADIC_REGION.offsets.filled >>> 2;
const END = VARIADIC_REGION.offsets.end >>> 2;

/** @throws HeapError `ERR_CORRUPT` that names the first invariant found broken. O(blocks). */
export function checkVariadic(u32: Uint32Array, control: number): void {
  const at = (field: keyof typeof offsets): number => u32[control + (offsets[field] >>> 2)]!;
  const base = control * 4;
  holds(
    1,
    at("version") === LAYOUT_VERSION && at("kind") === KIND.VARIADIC,
    "no control block of a variadic pool",
    base,
  );
  holds(1, at("growBytes") >= MIN_SPAN_BYTES && at("growBytes") % ALIGNMENT_BYTES === 0, "impossible sizes", base);
  holds(1, at("tolerance") <= 101, "impossible tolerance", base);

  const ranges: [from: number, to: number][] = [];
  let last = 0;
  for (const region of regionsOf(u32, control)) {
    const filled = u32[(region >>> 2) + FILLED]!;
    const end = u32[(region >>> 2) + END]!;
    holds(2, region % PAGE_BYTES === 0 && filled <= end && filled > region, "a region's ends", region);
    ranges.push([region, end]);
    holds(2, ranges.length <= 2 ** 20, "the regions lead in a circle", region);
    last = region;
  }
  holds(2, last === at("last"), "the last region is another one", last);

  const counts = { blocks: 0, free: 0, tops: 0 };
  for (const buffer of buffersOf(u32, control)) checkChain(u32, control, buffer, counts);
  holds(7, counts.tops === (at("top") === 0 ? 0 : 1), "the top is no block", at("top"));
  holds(6, countBits(u32, control, ranges, -1) === counts.blocks, "start bits without blocks", base);
  const damage = indexDamage(u32, control + (offsets.index >>> 2)) ?? ringDamage(u32, control);
  holds(7, damage === undefined, damage ?? "", base);
  let found = 0;
  const count = (block: number, isPlaced: boolean): void => {
    const ptr = block + HEADER_BYTES;
    const isBlock = isCovered(u32, control, ptr) && isStart(u32, biasOf(u32, control, ptr), ptr);
    holds(7, isBlock && stateOf(u32, block) === FREE, "filed, but no FREE block", block);
    holds(7, isPlaced, "filed where its span does not belong", block);
    found += 1;
    holds(7, found <= counts.free, "more are filed than the chains have", block);
  };
  for (const block of indexedBlocks(u32, control + (offsets.index >>> 2))) count(block, spanOf(u32, block) >= 1024);
  for (const [block, span] of ringedBlocks(u32, control)) count(block, spanOf(u32, block) === span);
  holds(7, found === counts.free, `${counts.free} free blocks, ${found} filed`, base);
}

/** Invariants 2, 4, 5, 6 and 8 of one buffer; counts its blocks. */
function checkChain(
  u32: Uint32Array,
  control: number,
  buffer: number,
  counts: { blocks: number; free: number; tops: number },
): void {
  const bytes = u32[buffer >>> 2]!;
  const first = buffer + BUFFER_BYTES;
  const last = first + bytes;
  holds(2, bytes >= MIN_SPAN_BYTES && bytes % ALIGNMENT_BYTES === 0, "impossible size of a buffer", buffer);
  holds(2, buffer % ALIGNMENT_BYTES === 0 && first < last, "a buffer out of place", buffer);
  const bias = biasOf(u32, control, buffer);
  let previous = 0;
  let previousState: number = RESERVED;
  let block = first;
  while (block < last) {
    const span = spanOf(u32, block);
    const state = stateOf(u32, block);
    holds(4, u32[block >>> 2] === previous, "`previous` is not the span of the block to the left", block);
    holds(4, span >= MIN_SPAN_BYTES && span % ALIGNMENT_BYTES === 0 && block + span <= last, `span ${span}`, block);
    holds(5, state === FREE || state === LIVE, `unknown state ${state}`, block);
    holds(5, state !== FREE || previousState !== FREE, "two neighbours are free", block);
    if (block === u32[control + (offsets.top >>> 2)]) {
      holds(7, state === FREE && block + span === last, "the top is not the free end of a buffer", block);
      counts.tops += 1;
    } else if (state === FREE) {
      counts.free += 1;
      holds(7, isLinked(u32, block), "free, but filed nowhere", block);
    }
    holds(6, isStart(u32, bias, block + HEADER_BYTES), "no start bit", block);
    counts.blocks += 1;
    previous = span;
    previousState = state;
    block += span;
  }
  holds(8, block - first === bytes, "spans do not add up to the buffer", buffer);
  holds(4, u32[last >>> 2] === previous && stateOf(u32, last) === RESERVED, "the end is damaged", last);
  holds(4, spanOf(u32, last) === BUFFER_OVERHEAD_BYTES - BUFFER_BYTES, "the end is damaged", last);
}

function holds(invariant: number, condition: boolean, finding: string, address: number): void {
  if (!condition) throw broken(invariant, finding, address);
}
