/**
 * Proves a pool's invariants; their numbers and words are in layout.
 *
 * @module
 */
import { asPtr } from "@heapwright/core";

import { blockOf, headroomOf } from "./container-block.ts";
import {
  ALIGNMENT_SHIFT_BITS,
  CONTAINER,
  FLAG_DEBUG,
  FLAG_LOCKED,
  LAYOUT_VERSION,
  LEAST_ALIGNMENT_SHIFT_BITS,
  POINTER,
  POOL,
  REST_MASK,
  RING_COUNT,
} from "./layout.ts";
import { broken } from "./memory-error.ts";
import { ringOf } from "./orphans.ts";
import { pointerBytes } from "./pointer-block.ts";
import { FLAGS_ALIGNMENT_SHIFT_BITS, type PoolState } from "./pool-state.ts";
import { isZero } from "./wipe.ts";

const { offsets } = POOL;
const RINGS = offsets.rings >>> 2;
const MARKS = offsets.marks >>> 2;
const SIZE = CONTAINER.offsets.size >>> 2;
const REFS = CONTAINER.offsets.refs >>> 2;
const PLACE = CONTAINER.offsets.place >>> 2;
const STAMP = CONTAINER.offsets.stamp >>> 2;
const RECORD_BYTES = 24;
const NEXT = 0;
const PREV = 1;
const SHIFT_MASK = 31;

/** A broken invariant: its number, what is wrong, and where. */
export type Finding = readonly [invariant: number, finding: string, address: number];

/** @throws HeapError `ERR_CORRUPT` that names the first invariant found broken. O(containers and bytes of orphans). */
export function checkPool(state: PoolState): void {
  for (const [invariant, finding, address] of findingsIn(state)) throw broken(invariant, finding, address);
}

/** Every broken invariant, as far as can be told. Nothing it finds makes it read outside the heap. */
export function* findingsIn(state: PoolState): Generator<Finding> {
  const { u32 } = state.heap;
  const { control, handle } = state;
  const at = (field: keyof typeof offsets): number => u32[control + (offsets[field] >>> 2)]!;
  const shift = (at("flags") >>> FLAGS_ALIGNMENT_SHIFT_BITS) & SHIFT_MASK;
  const known = FLAG_DEBUG | FLAG_LOCKED | (SHIFT_MASK << FLAGS_ALIGNMENT_SHIFT_BITS);
  if (at("version") !== LAYOUT_VERSION) yield [1, "no control block of a pool", handle];
  if (shift < LEAST_ALIGNMENT_SHIFT_BITS || (at("flags") & ~known) !== 0) yield [1, "impossible flags", handle];

  const [capacity, count] = [at("capacity"), at("count")];
  if (at("array") === 0 && capacity > 0) return yield [2, "there is no array", handle];
  if (usable(state, at("array")) < capacity * 4) return yield [2, "the array is no block of that size", at("array")];
  if (count > capacity) return yield [2, `${count} containers in an array for ${capacity}`, handle];
  const array = at("array") >>> 2;
  if (!isZero(state.heap, (array + count) * 4, (array + capacity) * 4)) {
    yield [2, "words beyond the last container are not 0", at("array")];
  }

  if (at("pending") !== 0) yield [2, "something is pending", at("pending")];

  const orphans = new Set<number>();
  let live = 0;
  for (let slot = 0; slot < count; slot += 1) {
    const container = u32[array + slot]!;
    const finding = placeDamage(state, container, slot);
    if (finding !== undefined) {
      yield [3, finding, (array + slot) * 4];
      continue;
    }
    yield* containerDamage(state, container, shift);
    if (u32[(container >>> 2) + REFS] === 0) orphans.add(container);
    else live += 1;
  }
  yield* ringDamage(state, orphans);
  for (const orphan of orphans) {
    const data = orphan + RECORD_BYTES;
    if (!isZero(state.heap, data, data + u32[(orphan >>> 2) + SIZE]!)) yield [7, "an orphan's data is not 0", data];
  }
  yield* pointerDamage(state);
  if (live + orphans.size !== count) yield [9, `${live} live and ${orphans.size} orphans of ${count}`, handle];
}

function placeDamage(state: PoolState, container: number, slot: number): string | undefined {
  const { u32 } = state.heap;
  if (container === 0) return `slot ${slot} is empty`;
  if (container % 8 !== 0 || (container >>> 2) + STAMP >= u32.length) return `slot ${slot} leads to no container`;
  const place = u32[(container >>> 2) + PLACE]! & REST_MASK;
  return place === slot ? undefined : `the container in slot ${slot} says that it is in slot ${place}`;
}

function* containerDamage(state: PoolState, container: number, least: number): Generator<Finding> {
  const { u32 } = state.heap;
  const word = container >>> 2;
  const size = u32[word + SIZE]!;
  const shift = u32[word + PLACE]! >>> ALIGNMENT_SHIFT_BITS;
  const refs = u32[word + REFS]! | 0;
  if (size === 0 || size % 8 !== 0) yield [4, `a container of ${size} bytes`, container];
  if (shift < least || (container + RECORD_BYTES) % (1 << shift) !== 0) yield [4, "data is not aligned", container];
  else if (usable(state, blockOf(u32, container)) < headroomOf(shift) + size) {
    yield [4, `${size} bytes are not all in the container's block`, container];
  }
  if ((u32[word + STAMP]! & 1) === 0) yield [4, "a container without a stamp", container];
  if (refs < 0) yield [5, `a count of ${refs} references`, container];
}

function* ringDamage(state: PoolState, orphans: ReadonlySet<number>): Generator<Finding> {
  const { u32 } = state.heap;
  const { control, handle } = state;
  const at = (field: keyof typeof offsets): number => u32[control + (offsets[field] >>> 2)]!;
  const seen = new Set<number>();
  for (let ring = 0; ring < RING_COUNT; ring += 1) {
    const end = control + RINGS + 2 * ring;
    const mark = (u32[control + MARKS + (ring >>> 5)]! >>> ring) & 1;
    let [before, size] = [(end << 2) >>> 0, 0];
    for (let container = u32[end + NEXT]!; container >>> 2 !== end; container = u32[(container >>> 2) + NEXT]!) {
      const word = container >>> 2;
      if (!orphans.has(container)) return yield [6, `no orphan, but in ring ${ring}`, container];
      if (seen.has(container)) return yield [6, "an orphan is filed twice", container];
      if (u32[word + PREV] !== before) return yield [6, "an orphan's links are broken", container];
      if (ringOf(u32[word + SIZE]!) !== ring || u32[word + SIZE]! < size) yield [6, "filed out of order", container];
      seen.add(container);
      [before, size] = [container, u32[word + SIZE]!];
    }
    if (u32[end + PREV] !== before) yield [6, `ring ${ring} does not end with its last orphan`, end * 4];
    if (before >>> 2 !== end && mark === 0) yield [6, `ring ${ring} holds orphans, but is not marked`, end * 4];
  }
  if (seen.size !== at("orphans")) yield [6, `${seen.size} orphans in rings, ${at("orphans")} counted`, handle];
  if (seen.size !== orphans.size) yield [6, `${orphans.size} orphans, ${seen.size} of them filed`, handle];
  if (seen.size > at("maxOrphans")) yield [6, `${seen.size} orphans, ${at("maxOrphans")} allowed`, handle];
}

function* pointerDamage(state: PoolState): Generator<Finding> {
  const { u32 } = state.heap;
  const { handle } = state;
  yield* spareDamage(state);
  const seen = new Set<number>();
  let before = 0;
  for (const pointer of state.pointers()) {
    const word = pointer >>> 2;
    if (seen.has(pointer) || pointer % 8 !== 0 || word + POINTER.size / 4 > u32.length) {
      return yield [8, "the list of pointers leads astray", pointer];
    }
    seen.add(pointer);
    if ((u32[word]! & 1) === 0 || u32[word + (POINTER.offsets.pool >>> 2)] !== handle) {
      return yield [8, "listed, but no pointer to a container of this pool", pointer];
    }
    if (u32[word + (POINTER.offsets.prev >>> 2)] !== before) yield [8, "a pointer's links are broken", pointer];
    before = pointer;
  }
}

function* spareDamage(state: PoolState): Generator<Finding> {
  const { u32 } = state.heap;
  const bytes = pointerBytes(0);
  const [next, left] = [POINTER.offsets.container, POINTER.offsets.seen];
  let expected: number | undefined;
  for (let at = u32[(state.handle + offsets.spare) >>> 2]!; at !== 0; at = u32[(at + next) >>> 2]!) {
    if (!state.isPlain) return yield [8, "a spare block in a pool that keeps none", at];
    if (usable(state, at) < bytes) return yield [8, "a spare block is none", at];
    const count = u32[(at + left) >>> 2]!;
    if (count === 0 || count !== (expected ?? count)) return yield [8, "spare blocks are miscounted", at];
    expected = count - 1;
    if (!isZero(state.heap, at, at + next) || !isZero(state.heap, at + left + 4, at + bytes)) {
      yield [8, "a spare block is not 0", at];
    }
  }
  if ((expected ?? 0) !== 0) yield [8, "spare blocks are miscounted", state.handle];
}

/** Bytes of a block of the backing, -1 when it is none. */
function usable(state: PoolState, block: number): number {
  if (block === 0) return 0;
  try {
    return state.backing.usableSize(asPtr(block));
  } catch {
    return -1;
  }
}
