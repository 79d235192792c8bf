/**
 * The variadic pool's free blocks by span: rings of equal ones below 1024 bytes, core's free index above. A ring costs half
 * of what the index does, and the lowest ring that holds something is the best fit. The pictures are in layout.
 *
 * @module
 */
import { clearIndex, insertFree } from "@heapwright/core/engine";

import { VARIADIC_CONTROL } from "./layout.ts";

const { offsets } = VARIADIC_CONTROL;
const TOP = offsets.top >>> 2;
const MARKS = offsets.marks >>> 2;
/** Word address of the block that ring 0 is seen as, less that of the control block. */
const RINGS = (offsets.rings >>> 2) - 2;
const INDEX = offsets.index >>> 2;
const RING_WORDS_END = INDEX - 2;
const NEXT = 2;
const PREV = 3;
/** Spans from here on stand in the free index. */
const SMALL_LIMIT_BYTES = 1024;

/** Empties marks, rings and index; there is no top. */
export function clearFree(u32: Uint32Array, control: number): void {
  u32.fill(0, control + TOP, control + RINGS + NEXT);
  for (let ring = control + RINGS; ring < control + RING_WORDS_END; ring += 2) {
    u32[ring + NEXT] = ring << 2;
    u32[ring + PREV] = ring << 2;
  }
  clearIndex(u32, control + INDEX);
}

/** Files a FREE block where its span belongs. O(1). */
export function fileFree(u32: Uint32Array, control: number, block: number, span: number): void {
  if (span >= SMALL_LIMIT_BYTES) {
    insertFree(u32, control + INDEX, block, span);
    return;
  }
  const ring = control + RINGS + (span >>> 3);
  const first = u32[ring + NEXT]!;
  u32[(block >>> 2) + NEXT] = first;
  u32[(block >>> 2) + PREV] = ring << 2;
  u32[(first >>> 2) + PREV] = block;
  u32[ring + NEXT] = block;
  if (first >>> 2 === ring) mark(u32, control, span);
}

/** Notes that the ring of a span is no longer empty. */
export function mark(u32: Uint32Array, control: number, span: number): void {
  u32[control + MARKS + (span >>> 9)]! |= 1 << (span >>> 4);
}

/** Takes a block out of its ring. O(1). False, with nothing changed, when its links do not lead back to it. */
export function unring(u32: Uint32Array, block: number): boolean {
  const next = u32[(block >>> 2) + NEXT]!;
  const prev = u32[(block >>> 2) + PREV]!;
  if (u32[(next >>> 2) + PREV] !== block || u32[(prev >>> 2) + NEXT] !== block) return false;
  u32[(next >>> 2) + PREV] = prev;
  u32[(prev >>> 2) + NEXT] = next;
  return true;
}

/**
 * Finds the lowest ring that holds blocks of at least `span`, a small one, and takes back the marks of empty ones: each
 * is met once, so the time is amortised constant, at most that of 62 rings.
 *
 * @returns the span of that ring's blocks, 0 when there is none
 */
export function smallestSpan(u32: Uint32Array, control: number, span: number): number {
  let word = span >>> 9;
  let bits = u32[control + MARKS + word]! & (-1 << (span >>> 4));
  for (;;) {
    while (bits !== 0) {
      const found = word * 512 + (31 - Math.clz32(bits & -bits)) * 16;
      const ring = control + RINGS + (found >>> 3);
      if (u32[ring + NEXT]! >>> 2 !== ring) return found;
      bits &= bits - 1;
      u32[control + MARKS + word]! &= ~(1 << (found >>> 4));
    }
    if (word === 1) return 0;
    word = 1;
    bits = u32[control + MARKS + 1]! | 0;
  }
}

/** The first block of the ring of a span. */
export function firstOf(u32: Uint32Array, control: number, span: number): number {
  return u32[control + RINGS + (span >>> 3) + NEXT]!;
}

/** Every block of the rings with the span that its ring is for. */
export function* ringedBlocks(u32: Uint32Array, control: number): Generator<[block: number, span: number]> {
  for (let span = 0; span < SMALL_LIMIT_BYTES; span += 16) {
    const ring = control + RINGS + (span >>> 3);
    for (let block = u32[ring + NEXT]!; block >>> 2 !== ring; block = u32[(block >>> 2) + NEXT]!) yield [block, span];
  }
}

/** What is wrong with the rings in themselves. `undefined` when nothing is. */
export function ringDamage(u32: Uint32Array, control: number): string | undefined {
  for (let span = 0; span < SMALL_LIMIT_BYTES; span += 16) {
    const ring = control + RINGS + (span >>> 3);
    const isMarked = ((u32[control + MARKS + (span >>> 9)]! >>> (span >>> 4)) & 1) === 1;
    const next = u32[ring + NEXT]!;
    if (next >>> 2 !== ring && !isMarked) return `the ring of span ${span} holds blocks, but is not marked`;
    if (u32[(next >>> 2) + PREV] !== (ring << 2) >>> 0) return `the ring of span ${span} is broken`;
  }
  return undefined;
}
