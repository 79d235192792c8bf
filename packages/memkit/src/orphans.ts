/**
 * The orphans of a pool by size: rings, each sorted by size and then by age, so that the first one that is large enough is
 * the best fit, and of equal ones the oldest. Rings up to 512 bytes hold one size each, and all is O(1); above, filing and
 * finding go past the orphans of other sizes in one ring. The picture is in layout.
 *
 * @module
 */
import { CONTAINER, MARK_WORDS, POOL, RING_COUNT } from "./layout.ts";
import { corrupt } from "./memory-error.ts";

const { offsets } = POOL;
const ORPHANS = offsets.orphans >>> 2;
const MARKS = offsets.marks >>> 2;
/** Words of a container, and of the container as which a ring is seen. */
const NEXT = 0;
const PREV = 1;
const SIZE = CONTAINER.offsets.size >>> 2;
const RINGS = offsets.rings >>> 2;
const RECORD_BYTES = 24;
const EXACT_LIMIT_BYTES = 512;
const EXACT_RINGS = 64;
const EXACT_LOG = 9;

/** The ring that a size belongs in. */
export function ringOf(size: number): number {
  if (size <= EXACT_LIMIT_BYTES) return (size >>> 3) - 1;
  const log = 31 - Math.clz32(size);
  return EXACT_RINGS + (log - EXACT_LOG) * 4 + ((size >>> (log - 2)) & 3);
}

/** Empties all rings. */
export function clearRings(u32: Uint32Array, control: number): void {
  u32.fill(0, control + MARKS, control + MARKS + MARK_WORDS);
  for (let ring = 0; ring < RING_COUNT; ring += 1) {
    const word = control + RINGS + 2 * ring;
    u32[word + NEXT] = word << 2;
    u32[word + PREV] = word << 2;
  }
  u32[control + ORPHANS] = 0;
}

/**
 * Files an orphan: behind the last one of its ring that is not larger. O(1) up to 512 bytes.
 *
 * @param control - word address of the pool's control block
 * @param container - its count is 0, and so is its data
 */
export function file(u32: Uint32Array, control: number, container: number): void {
  const word = container >>> 2;
  const size = u32[word + SIZE]!;
  const ring = ringOf(size);
  const end = control + RINGS + 2 * ring;
  let prev = u32[end + PREV]!;
  while (prev >>> 2 !== end && u32[(prev >>> 2) + SIZE]! > size) prev = u32[(prev >>> 2) + PREV]!;
  const next = u32[(prev >>> 2) + NEXT]!;
  u32[word + NEXT] = next;
  u32[word + PREV] = prev;
  u32[(prev >>> 2) + NEXT] = container;
  u32[(next >>> 2) + PREV] = container;
  u32[control + MARKS + (ring >>> 5)]! |= 1 << ring;
  u32[control + ORPHANS]! += 1;
}

/**
 * Takes an orphan out of its ring. O(1).
 *
 * @returns false, with nothing changed, when its links do not lead back to it
 */
export function unfile(u32: Uint32Array, control: number, container: number): boolean {
  const word = container >>> 2;
  const next = u32[word + NEXT]!;
  const prev = u32[word + PREV]!;
  if (u32[(next >>> 2) + PREV] !== container || u32[(prev >>> 2) + NEXT] !== container) return false;
  u32[(next >>> 2) + PREV] = prev;
  u32[(prev >>> 2) + NEXT] = next;
  u32[control + ORPHANS]! -= 1;
  return true;
}

/**
 * Finds the smallest orphan that is large enough, of equal ones the oldest. It stays in its ring.
 *
 * @param control - word address of the pool's control block
 * @param size - bytes wanted, a multiple of 8
 * @param shift - log2 of the alignment wanted
 * @returns the container, 0 when there is none
 * @throws HeapError `ERR_CORRUPT` when the rings lead in a circle
 */
export function bestOrphan(u32: Uint32Array, control: number, size: number, shift: number): number {
  if (u32[control + ORPHANS] === 0) return 0;
  const mask = (1 << shift) - 1;
  let left = u32[control + ORPHANS]!;
  const first = ringOf(size);
  for (let ring = nextRing(u32, control, first); ring < RING_COUNT; ring = nextRing(u32, control, ring + 1)) {
    const end = control + RINGS + 2 * ring;
    for (let at = u32[end + NEXT]!; at >>> 2 !== end; at = u32[(at >>> 2) + NEXT]!) {
      if (left === 0) throw corrupt("allocate", "orphans lead in a circle", at);
      left -= 1;
      if (u32[(at >>> 2) + SIZE]! >= size && ((at + RECORD_BYTES) & mask) === 0) return at;
    }
  }
  return 0;
}

/** The first ring from `ring` on that holds an orphan; takes back the marks of empty ones that it meets. */
function nextRing(u32: Uint32Array, control: number, ring: number): number {
  for (let at = ring >>> 5; at < MARK_WORDS; at += 1) {
    let bits = u32[control + MARKS + at]! & (at === ring >>> 5 ? -1 << ring : -1);
    while (bits !== 0) {
      const found = at * 32 + 31 - Math.clz32(bits & -bits);
      const word = control + RINGS + 2 * found;
      if (u32[word + NEXT]! >>> 2 !== word) return found;
      u32[control + MARKS + at]! &= ~(1 << found);
      bits &= bits - 1;
    }
  }
  return RING_COUNT;
}
