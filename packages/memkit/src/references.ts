/**
 * What pointers do with containers: the document's mem_pointer_allocate, copy-on-write, sharing, letting go. Here is what
 * takes time; what changes a pool is in its state, step by step.
 *
 * @module
 */
import type { Allocator } from "@heapwright/core";

import { freeContainer, freeWiped, makeContainer, roundedUp, slotOf, wipeData } from "./container-block.ts";
import { CONTAINER, NO_SLOT, POINTER } from "./layout.ts";
import { badArgument, callOn, isCount, overflow, refused } from "./memory-error.ts";
import type { MemoryPointer } from "./memory-pointer.ts";
import { KNOWN, KNOWN_HIGH, KNOWN_LOW, learn } from "./names.ts";
import { shiftIn } from "./pointer-block.ts";
import { releaseAtomically } from "./shared-pool-state.ts";
import type { PoolState } from "./pool-state.ts";
import { copy } from "./wipe.ts";

const SIZE = CONTAINER.offsets.size >>> 2;
const REFS = CONTAINER.offsets.refs >>> 2;
const STAMP = CONTAINER.offsets.stamp >>> 2;
const HELD = POINTER.offsets.container >>> 2;
const SEEN = POINTER.offsets.seen >>> 2;
const POOL = POINTER.offsets.pool >>> 2;
const RECORD_BYTES = 24;
const SIZE_LIMIT_BYTES = 2 ** 32;

/**
 * Gives a pointer a container of at least `size` bytes, of its own: what it has is kept if it is large enough and nobody
 * else's, otherwise its contents come along.
 *
 * @param pool - where a new container is from
 * @returns whether there was room; if not, all is as it was, and the handler has been told
 * @throws HeapError for a size that is none, and for a container that was freed under the pointer
 */
export function allocate(pointer: MemoryPointer, size: number, pool: PoolState): boolean {
  const name = pointer.variable_name;
  const u32 = pointer.expectAlive("allocate");
  if (!isCount(size) || size === 0) {
    throw badArgument(callOn("allocate", name), "size", size, "a whole number of bytes from 1");
  }
  const shift = Math.max(pool.shift, shiftIn(u32, pointer.block));
  const rounded = roundedUp(size, shift);
  if (rounded >= SIZE_LIMIT_BYTES) throw overflow(callOn("allocate", name), size);
  pool.expectAlive("allocate");
  const held = pointer.heldBy("allocate");
  if (held === 0) {
    const fresh = acquire(pool, rounded, shift, name);
    if (fresh !== 0) hold(pointer, fresh, pool);
    return fresh !== 0;
  }
  const isLarge = u32[(held >>> 2) + SIZE]! >= rounded && (held + RECORD_BYTES) % (1 << shift) === 0;
  if (isLarge && refsOf(pointer, held) === 1) return true;
  return replace(pointer, held, rounded, shift, pool);
}

/** Makes a pointer's container its own before it is written to. As {@link allocate}, with the size that it has. */
export function makeExclusive(pointer: MemoryPointer, pool: PoolState): boolean {
  const u32 = pointer.expectAlive("write");
  const held = pointer.heldBy("write");
  if (held === 0) throw refused(callOn("write", pointer.variable_name), "it has no container; allocate one");
  if (refsOf(pointer, held) === 1) return true;
  const shift = Math.max(pool.shift, shiftIn(u32, pointer.block));
  return replace(pointer, held, roundedUp(u32[(held >>> 2) + SIZE]!, shift), shift, pool);
}

/** Makes a pointer without a container lead to one that the caller has a reference to. */
export function hold(pointer: MemoryPointer, container: number, pool: PoolState): void {
  const { u32 } = pool.heap;
  const { word } = pointer;
  u32[word + SEEN] = u32[(container >>> 2) + STAMP]!;
  u32[word + POOL] = pool.handle;
  if (pool.isDebug) pool.link(pointer.block);
  u32[word + HELD] = container;
  pointer.owner = pool;
}

/**
 * Takes a pointer's container away from it, and ends its life if nobody else refers to it.
 *
 * @param mayKeep - whether it may become an orphan
 * @param other - the pool that it is in, if not in the one that it was allocated from
 */
export function letGo(pointer: MemoryPointer, mayKeep: boolean, other: PoolState | undefined): void {
  const { u32 } = pointer.heap;
  const { word } = pointer;
  const held = u32[word + HELD]!;
  if (held === 0) return;
  const owner = pointer.livingOwner();
  if (!pointer.isStale) {
    const home = homeOf("destroy", pointer, held, owner, other);
    drop(home, backingOf(pointer, home), held, mayKeep);
  }
  if (owner?.isDebug === true) owner.unlink(pointer.block);
  u32[word + HELD] = 0;
}

/** Puts a container of its own in the place of the one that a pointer shares or has outgrown. */
function replace(pointer: MemoryPointer, held: number, size: number, shift: number, pool: PoolState): boolean {
  const { heap } = pool;
  const owner = pointer.livingOwner();
  const home = homeOf("allocate", pointer, held, owner, pool);
  const backing = backingOf(pointer, home);
  const fresh = acquire(pool, size, shift, pointer.variable_name);
  if (fresh === 0) return false;
  copy(heap, held + RECORD_BYTES, fresh + RECORD_BYTES, Math.min(size, heap.u32[(held >>> 2) + SIZE]!));
  pool.watch?.copied(pointer.variable_name, held, fresh);
  if (owner?.isDebug === true) owner.unlink(pointer.block);
  // Before the old one goes: who dies in between loses one of them, not both.
  hold(pointer, fresh, pool);
  drop(home, backing, held, true);
  return true;
}

/**
 * The pool that a pointer's container is in, or was in when it was taken out and has been in no other since.
 *
 * @param owner - the pool that it was allocated from, `undefined` when that is gone
 * @param other - one that it may have been added to since
 * @throws HeapError `ERR_INVALID_ARGUMENT` when it is in neither, and somewhere else
 */
function homeOf(
  call: string,
  pointer: MemoryPointer,
  container: number,
  owner: PoolState | undefined,
  other: PoolState | undefined,
): PoolState | undefined {
  if (slotOf(pointer.heap.u32, container) === NO_SLOT || owner?.has(container) === true) return owner;
  if (other?.has(container) === true) return other;
  const finding = "its container has been added to another pool; pass that one";
  throw refused(callOn(call, pointer.variable_name), finding, container);
}

/** Where a pointer's container came from. One that was taken out of its pool while in use outlives it. */
function backingOf(pointer: MemoryPointer, home: PoolState | undefined): Allocator {
  return home?.backing ?? pointer.owner?.backing ?? pointer.backing;
}

/**
 * A container with one reference, all 0: the best fitting orphan, or a new one. Where there is no room, the pool's orphans
 * are given back first.
 *
 * @returns the container, 0 when there is no room, and the handler has been told
 */
function acquire(pool: PoolState, size: number, shift: number, name: string): number {
  let container = pool.takeOrphan(size, shift);
  if (container !== 0) {
    pool.watch?.reused(name, container, size);
  } else {
    const { backing } = pool;
    container = makeContainer(backing, size, shift);
    if (container === 0 && makeRoom(pool)) container = makeContainer(backing, size, shift);
    const missing = container === 0 ? size : enter(pool, container);
    if (missing !== 0) {
      pool.noRoom(callOn("allocate", name), missing);
      return 0;
    }
  }
  learn(name);
  const { u32 } = pool.heap;
  u32[container >>> 2] = KNOWN[KNOWN_LOW]!;
  u32[(container >>> 2) + 1] = KNOWN[KNOWN_HIGH]!;
  return container;
}

/** Adds a new container to a pool. Returns 0; the bytes that were missing for the array, and the container is freed. */
function enter(pool: PoolState, container: number): number {
  let missing = -1;
  try {
    missing = pool.append(container);
    if (missing > 0 && makeRoom(pool)) missing = pool.append(container);
    return missing;
  } finally {
    if (missing !== 0) freeContainer(pool.backing, container);
  }
}

/** Gives back every orphan of a pool. Returns how many there were. */
export function trim(pool: PoolState): number {
  for (let count = 0; ; count += 1) {
    const orphan = pool.dropOrphan();
    if (orphan === 0) return count;
    freeWiped(pool.backing, orphan);
    pool.shrink();
  }
}

/** Gives back what is only kept to be used again. Whether there was anything. */
function makeRoom(pool: PoolState): boolean {
  return trim(pool) + pool.dropSpares() > 0;
}

/** Gives a reference up. */
function drop(owner: PoolState | undefined, backing: Allocator, container: number, mayKeep: boolean): void {
  const isShared = owner?.releaseShared(container) ?? releaseAtomically(backing.heap.i32, (container >>> 2) + REFS);
  if (isShared) return;
  wipeData(backing, container);
  const isTakenOut = slotOf(backing.heap.u32, container) !== NO_SLOT;
  const gone = owner === undefined ? container : owner.retire(container, mayKeep);
  if (gone === 0) return;
  freeWiped(backing, gone);
  if (isTakenOut) owner?.shrink();
}

function refsOf(pointer: MemoryPointer, container: number): number {
  return pointer.livingOwner()?.refsOf(container) ?? pointer.heap.u32[(container >>> 2) + REFS]!;
}
