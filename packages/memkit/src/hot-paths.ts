/**
 * The short way of the three calls that programs make most, in pools without lock and debug: a pointer is created in the
 * block of one that was destroyed, a container is allocated that was orphaned and has just the size, and both are given up
 * again. Everything else, and everything that is not as it must be, takes the long way, in references.
 *
 * Orphans of up to 512 bytes stand in rings of one size each, the oldest in front. Blocks of pointers with short names are
 * spare for a while, in a stack; each knows how many there are below it.
 *
 * A call that V8 does not inline takes 3 to 4 ns, so each function does all by itself. `takeSpare` and `takeExact` stay below
 * what V8 inlines, 460 bytecodes.
 *
 * @module
 */
import type { Allocator } from "@heapwright/core";

import type { MemoryPointer } from "./memory-pointer.ts";
import { KNOWN, learn, USED } from "./names.ts";
import type { PoolState } from "./pool-state.ts";
import { LAST_STAMP } from "./stamps.ts";

// Local, because V8 folds a module's own constants into its code and reads imported ones at every use. The layout's.
const MAGIC = 0x4c50_4b4d;
/** Words of a pool. */
const ARRAY = 4;
const MAX_ORPHANS = 7;
const ORPHANS = 8;
const SPARE = 10;
const MARKS = 16;
const RINGS = 22;
/** Where a ring for size 0 would be. */
const RINGS_OF_0 = 20;
/** Words of a container. */
const SIZE = 2;
const REFS = 3;
const PLACE = 4;
const STAMP = 5;
const SLOT_MASK = 0x07ff_ffff;
const DATA_DOUBLES = 3;
/** Words of a pointer; its stamp is the first. */
const HELD = 1;
const SEEN = 2;
/** Of a spare block, the next of which stands where the container would: how many there are from it on. */
const SPARES = 2;
const MAX_SPARES = 64;
const POOL = 3;
const NAME_BYTES = 6;
const NAME = 7;
const SHORT_NAME_BYTES = 16;
/** Up to here a ring is of one size. */
const EXACT_LIMIT_BYTES = 512;
const STAMP_STEP = -0x61c8_8646;
const REUSE_STEP = 2;
/** Words of what is known of the name used last. */
const NAMES = KNOWN;
const STAMPS = LAST_STAMP;
const USED_NAME = USED;
const KNOWN_TURN = 7;
/** Where no pointer lies: beyond the words of any heap. */
const GONE = 0x4000_0000;
/** The pool that has a spare block, as far as anyone knows. Only a hint: the block is in the heap. */
const holder: { pool: PoolState | undefined } = { pool: undefined };

/** Lets go of a pool that is destroyed, and of its heap. */
export function forgetPool(pool: PoolState): void {
  if (holder.pool === pool) holder.pool = undefined;
}

/**
 * Makes a pointer of a spare block.
 *
 * @param name - the one used last; others are learned first
 * @param backing - where its block would come from
 * @param alignment - that it asks for: for none, or there is no such block
 * @returns word address of the pointer, 0 when there is none at hand, or an argument is another than it must be
 */
export function takeSpare(
  name: string | null,
  sizeHint: number,
  backing: Allocator | undefined,
  alignment: number | undefined,
): number {
  const { pool } = holder;
  if (name === null || name !== USED_NAME.name || typeof sizeHint !== "number" || pool === undefined) return 0;
  if (pool.backing !== backing || alignment !== undefined) return 0;
  const { words: u32, control } = pool;
  const word = u32[control + SPARE]! >>> 2;
  const nameBytes = NAMES[2]!;
  if (word === 0 || nameBytes > SHORT_NAME_BYTES || u32[control] !== MAGIC) return 0;
  u32[control + SPARE] = u32[word + HELD]!;
  u32[word + HELD] = 0;
  u32[word + SPARES] = 0;
  u32[word + NAME_BYTES] = nameBytes;
  u32[word + NAME] = NAMES[3]!;
  u32[word + NAME + 1] = NAMES[4]!;
  u32[word + NAME + 2] = NAMES[5]!;
  u32[word + NAME + 3] = NAMES[6]!;
  const stamp = (STAMPS[0]! + STAMP_STEP) | 0;
  STAMPS[0] = stamp;
  u32[word] = stamp;
  return word;
}
/**
 * Gives a pointer without a container the oldest orphan that fits exactly.
 *
 * @returns false, with nothing changed, when there is none, or something is not as it must be
 */
export function takeExact(pointer: MemoryPointer, size: number, pool: PoolState): boolean {
  if (typeof size !== "number" || (size | 0) !== size) return false;
  const { words: u32, control, mask } = pool;
  const { word } = pointer;
  const rounded = (size + mask) & ~mask;
  // Unsigned, so that what is not above 0 is too large.
  if ((rounded - 1) >>> 0 >= EXACT_LIMIT_BYTES || !pool.isPlain || pointer.backing !== pool.backing) return false;
  if ((u32[word]! | 0) !== pointer.stamp || u32[word + HELD] !== 0 || u32[word + NAME_BYTES]! > SHORT_NAME_BYTES) {
    return false;
  }
  const ring = control + RINGS_OF_0 + (rounded >>> 2);
  const found = u32[ring]!;
  const at = found >>> 2;
  const next = u32[at]!;
  if (at === ring || u32[at + SIZE] !== rounded || u32[at + 1]! >>> 2 !== ring || u32[(next >>> 2) + 1] !== found) {
    return false;
  }
  if (pointer.turn !== NAMES[KNOWN_TURN]!) learn(pointer.variable_name);
  u32[ring] = next;
  u32[(next >>> 2) + 1] = ring << 2;
  u32[control + ORPHANS]! -= 1;
  const stamp = u32[at + STAMP]! + REUSE_STEP;
  u32[at] = NAMES[0]!;
  u32[at + 1] = NAMES[1]!;
  u32[at + STAMP] = stamp;
  u32[at + REFS] = 1;
  u32[word + SEEN] = stamp;
  u32[word + POOL] = control << 2;
  u32[word + HELD] = found;
  pointer.owner = pool;
  return true;
}

/**
 * Destroys a pointer whose container is small and its own: that is the youngest orphan of its size then, and the block
 * spare.
 *
 * @returns false, with nothing changed, when there are enough of either, or something is not as it must be
 */
export function leaveExact(pointer: MemoryPointer, pool: PoolState): boolean {
  const { words: u32, doubles: f64, control } = pool;
  const { word } = pointer;
  const held = u32[word + HELD]!;
  const at = held >>> 2;
  const stamp = u32[at + STAMP]!;
  const size = u32[at + SIZE]!;
  const orphans = u32[control + ORPHANS]!;
  const spare = u32[control + SPARE]!;
  const spares = spare === 0 ? 0 : u32[(spare >>> 2) + SPARES]!;
  if (
    (u32[word]! | 0) !== pointer.stamp ||
    !pool.isPlain ||
    pointer.backing !== pool.backing ||
    u32[word + POOL] !== (control << 2) >>> 0 ||
    u32[word + NAME_BYTES]! > SHORT_NAME_BYTES ||
    stamp !== u32[word + SEEN]! ||
    u32[at + REFS] !== 1 ||
    // Taken out of the pool, and in another one perhaps.
    u32[(u32[control + ARRAY]! >>> 2) + (u32[at + PLACE]! & SLOT_MASK)] !== held ||
    size > EXACT_LIMIT_BYTES ||
    spares >= MAX_SPARES ||
    orphans >= u32[control + MAX_ORPHANS]!
  ) {
    return false;
  }
  let data = (at >>> 1) + DATA_DOUBLES;
  const end = data + (size >>> 3);
  for (; data + 8 <= end; data += 8) {
    f64[data] = 0;
    f64[data + 1] = 0;
    f64[data + 2] = 0;
    f64[data + 3] = 0;
    f64[data + 4] = 0;
    f64[data + 5] = 0;
    f64[data + 6] = 0;
    f64[data + 7] = 0;
  }
  for (; data < end; data += 1) f64[data] = 0;
  u32[at + STAMP] = (stamp + REUSE_STEP) | 0;
  u32[at + REFS] = 0;
  const mark = (size >>> 3) - 1;
  const ring = control + RINGS + 2 * mark;
  const last = u32[ring + 1]!;
  u32[at] = ring << 2;
  u32[at + 1] = last;
  u32[last >>> 2] = held;
  u32[ring + 1] = held;
  u32[control + MARKS + (mark >>> 5)]! |= 1 << mark;
  u32[control + ORPHANS] = orphans + 1;
  const block = word >>> 1;
  f64[block] = 0;
  f64[block + 1] = 0;
  f64[block + 2] = 0;
  f64[block + 3] = 0;
  f64[block + 4] = 0;
  f64[block + 5] = 0;
  u32[word + HELD] = spare;
  u32[word + SPARES] = spares + 1;
  u32[control + SPARE] = word << 2;
  pointer.word = GONE;
  holder.pool = pool;
  return true;
}
