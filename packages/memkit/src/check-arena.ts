/**
 * Proves an arena's invariants; their numbers and words are in layout.
 *
 * @module
 */
import { type Allocator, asPtr } from "@heapwright/core";

import { headroomOf } from "./arena-slabs.ts";
import { ARENA, LAYOUT_VERSION, SLAB } from "./layout.ts";
import { broken } from "./memory-error.ts";
import { isZero } from "./wipe.ts";

const { offsets } = ARENA;
const NEXT = SLAB.offsets.next >>> 2;
const START = SLAB.offsets.start >>> 2;
const END = SLAB.offsets.end >>> 2;
const USED = SLAB.offsets.used >>> 2;

/** @throws HeapError `ERR_CORRUPT` that names the first invariant found broken. O(bytes of the slabs). */
export function checkArena(backing: Allocator, control: number): void {
  const { heap } = backing;
  const { u32 } = heap;
  const at = (field: keyof typeof offsets): number => u32[control + (offsets[field] >>> 2)]!;
  const base = control * 4;
  const alignment = at("alignment");
  holds(1, at("version") === LAYOUT_VERSION, "no control block of an arena", base);
  holds(1, alignment >= 8 && Number.isInteger(Math.log2(alignment)), `an alignment of ${alignment}`, base);

  const seen = new Set<number>();
  let isBefore = true;
  for (let slab = at("first"); slab !== 0; slab = u32[(slab >>> 2) + NEXT]!) {
    const word = slab >>> 2;
    const [start, end] = [u32[word + START]!, u32[word + END]!];
    const isCurrent = slab === at("current");
    const used = isCurrent ? at("at") : u32[word + USED]!;
    holds(2, !seen.has(slab), "the slabs lead in a circle", slab);
    seen.add(slab);
    holds(2, start === slab + headroomOf(alignment) && end > start, "a slab's ends", slab);
    holds(2, start % alignment === 0 && end % alignment === 0, "a slab is not aligned", slab);
    holds(2, usable(backing, slab) >= end - slab, "a slab is not all in its block", slab);
    holds(3, used >= start && used <= end && used % alignment === 0, "in use up to where no allocation ends", slab);
    if (isCurrent) {
      isBefore = false;
      holds(3, at("end") === end, "the current slab ends elsewhere", slab);
    } else if (!isBefore) {
      holds(4, used === start, "a slab that is still to come is in use", slab);
    }
    holds(4, isZero(heap, used, end), "what is not in use is not 0", used);
  }
  holds(2, !isBefore, "the current slab is not in the chain", at("current"));
  let [bytes, used, free] = [0, 0, 0];
  for (const slab of seen) {
    const word = slab >>> 2;
    const mark = slab === at("current") ? at("at") : u32[word + USED]!;
    bytes += u32[word + END]! - u32[word + START]!;
    used += mark - u32[word + START]!;
    free += u32[word + END]! - mark;
  }
  holds(5, used + free === bytes, `${used} bytes in use and ${free} free of ${bytes}`, base);
}

function holds(invariant: number, condition: boolean, finding: string, address: number): void {
  if (!condition) throw broken(invariant, finding, address);
}

/** Bytes of a block of the backing, -1 when it is none. */
function usable(backing: Allocator, block: number): number {
  try {
    return backing.usableSize(asPtr(block));
  } catch {
    return -1;
  }
}
