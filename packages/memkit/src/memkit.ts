/**
 * The document's API: libmemkit's functions with their names, arguments and results. Options and the functions
 * mem_pointer_share, mem_pointer_write and mem_errno are ours.
 *
 * What the document says is returned is returned, also for misuse and when memory is exhausted; `mem_errno()` tells why.
 * Arguments of the wrong type, and objects that have been destroyed, throw a `HeapError`; it has an `errno` too.
 *
 * @module
 */
import { type Allocator, NULL, type Ptr } from "@heapwright/core";

import {
  answer,
  expectAddress,
  expectArena,
  expectBoolean,
  expectContainer,
  expectName,
  expectNumber,
  expectPointer,
  expectPool,
  failed,
  inspect,
  isNull,
} from "./answers.ts";
import type { BackingOptions } from "./backing.ts";
import { leaveExact, takeExact, takeSpare } from "./hot-paths.ts";
import { allocateSlowly, arenaAllocSlowly, createSlowly, destroySlowly } from "./long-way.ts";
import { MemoryArena } from "./memory-arena.ts";
import { MemoryContainer } from "./memory-container.ts";
import { ENOMEM } from "./memory-error.ts";
import { MemoryPointer } from "./memory-pointer.ts";
import type { MemoryPool } from "./memory-pool.ts";
import { hashOf, KNOWN } from "./names.ts";
import type { PoolOptions } from "./pool-control.ts";
import { LAST_STAMP } from "./stamps.ts";

export { mem_errno } from "./answers.ts";

// Local, because V8 folds a module's own constants into its code and reads imported ones at every use.
const STAMPS = LAST_STAMP;
const NAMES = KNOWN;

/** A pointer that has a container. */
export type AllocatedPointer = MemoryPointer & { readonly container: MemoryContainer };

/**
 * Makes a pool of an empty struct.
 *
 * @param pool - `new MemoryPool()`
 * @param initial_capacity - containers that it has room for before its array grows; 0 stands for 32
 * @param options - where its blocks come from, their alignment, what becomes of orphans
 * @returns whether it could: `EINVAL` for `null`, for a pool that has been initialised, and for a number that is no
 * capacity; `ENOMEM`, and the struct stays empty
 * @throws HeapError `ERR_INVALID_ARGUMENT` for wrong types
 */
export function mem_pool_init(pool: MemoryPool | null, initial_capacity: number, options?: PoolOptions): boolean {
  const call = "mem_pool_init";
  expectPool(call, pool);
  expectNumber(call, "initial_capacity", initial_capacity);
  if (pool === null) return isNull(call, undefined, false);
  try {
    pool.fill(call, initial_capacity, options);
    return answer(0, true);
  } catch (error) {
    return failed(pool.state, error, false, options);
  }
}

/**
 * Frees all of a pool, containers in use as well, and the pools behind `next`. The struct is empty then.
 *
 * @param pool - `null` does nothing
 * @throws HeapError `ERR_DESTROYED` the second time, `ERR_INVALID_ARGUMENT` for what is no pool
 */
export function mem_pool_destroy(pool: MemoryPool | null): void {
  const call = "mem_pool_destroy";
  expectPool(call, pool);
  if (pool === null) return answer(0, undefined);
  try {
    pool.destroy();
    return answer(0, undefined);
  } catch (error) {
    return failed(pool.state, error, undefined);
  }
}

/**
 * Adds a container that was made by `mem_container_create`. O(1).
 *
 * @returns false, `EINVAL`: for `null`, and for a container that is in a pool already; `ENOMEM` when the array could not
 * grow
 * @throws HeapError `ERR_DESTROYED`, `ERR_USE_AFTER_FREE`, `ERR_INVALID_ARGUMENT` for wrong types
 */
export function mem_pool_add_container(pool: MemoryPool | null, container: MemoryContainer | null): boolean {
  const call = "mem_pool_add_container";
  expectPool(call, pool);
  expectContainer(call, container);
  if (pool === null || container === null) return isNull(call, pool?.state, false);
  try {
    const isAdded = pool.add(container);
    return answer(isAdded ? 0 : ENOMEM, isAdded);
  } catch (error) {
    return failed(pool.state, error, false);
  }
}

/**
 * Takes a container out of a pool; the last one takes its place. The array may shrink. O(1).
 *
 * @param destroy_if_last_ref - whether it is freed if nobody refers to it; pointers that do keep it
 * @returns false, `EINVAL` for `null`, `ENOENT` when it is not in this pool, `EFAULT` when its count is below 0
 * @throws HeapError `ERR_DESTROYED`, `ERR_USE_AFTER_FREE`, `ERR_INVALID_ARGUMENT` for wrong types
 */
export function remove_container_from_pool(
  pool: MemoryPool | null,
  container: MemoryContainer | null,
  destroy_if_last_ref: boolean,
): boolean {
  const call = "remove_container_from_pool";
  expectPool(call, pool);
  expectContainer(call, container);
  expectBoolean(call, "destroy_if_last_ref", destroy_if_last_ref);
  if (pool === null || container === null) return isNull(call, pool?.state, false);
  try {
    pool.remove(container, destroy_if_last_ref);
    return answer(0, true);
  } catch (error) {
    return failed(pool.state, error, false);
  }
}

/**
 * Doubles a pool's array, to at least 8.
 *
 * @returns false, `EINVAL` for `null`, `ENOMEM`, `EFAULT` for a pool that has lost its array, `EOVERFLOW` when no heap
 * could hold the array
 * @throws HeapError `ERR_DESTROYED`, `ERR_INVALID_ARGUMENT` for what is no pool
 */
export function grow_pool_capacity(pool: MemoryPool | null): boolean {
  const call = "grow_pool_capacity";
  expectPool(call, pool);
  if (pool === null) return isNull(call, undefined, false);
  try {
    const isGrown = pool.grow();
    return answer(isGrown ? 0 : ENOMEM, isGrown);
  } catch (error) {
    return failed(pool.state, error, false);
  }
}

/**
 * Counts a pool's containers.
 *
 * @param pool - `null` and an empty struct have none
 * @returns containers in a pool, orphans included
 * @throws HeapError `ERR_DESTROYED`, `ERR_INVALID_ARGUMENT` for what is no pool
 */
export function mem_pool_get_count(pool: MemoryPool | null): number {
  expectPool("mem_pool_get_count", pool);
  return inspect(pool, (of) => of.count);
}

/**
 * Adds up the sizes of a pool's containers. O(containers).
 *
 * @param pool - `null` and an empty struct have none
 * @returns bytes of all containers, orphans included
 * @throws HeapError `ERR_DESTROYED`, `ERR_INVALID_ARGUMENT` for what is no pool
 */
export function mem_pool_get_total_bytes(pool: MemoryPool | null): number {
  expectPool("mem_pool_get_total_bytes", pool);
  return inspect(pool, (of) => of.totalBytes);
}

/**
 * Makes a pointer that refers to nothing yet.
 *
 * @param name - of the variable; `null` gives `null`
 * @param size_hint - bytes that it is going to need; not used
 * @param options - where the pointer's own block comes from, and the least alignment of its containers
 * @returns `null`, `EINVAL` for a name that is `null`, `ENOMEM`
 * @throws HeapError `ERR_INVALID_ARGUMENT` for wrong types
 */
export function mem_pointer_create(
  name: string | null,
  size_hint: number = 0,
  options?: BackingOptions,
): MemoryPointer | null {
  const word = takeSpare(name, size_hint, options?.backing, options?.alignment);
  if (word === 0) return createSlowly(name, size_hint, options);
  return answer(0, new MemoryPointer(name as string, options?.backing as Allocator, word, STAMPS[0]!, NAMES[7]!));
}

/**
 * Makes sure that a pointer has a container of at least `size` bytes of its own: see {@link MemoryPointer.allocate}.
 *
 * @param size - bytes, rounded up to the alignment
 * @returns false, `EINVAL` for `null`, for 0 and for numbers that are no sizes, `EOVERFLOW`, `ENOMEM`; all is as it was
 * @throws HeapError `ERR_DESTROYED`, `ERR_USE_AFTER_FREE`, `ERR_INVALID_ARGUMENT` for wrong types
 */
export function mem_pointer_allocate(
  ptr: MemoryPointer | null,
  size: number,
  pool: MemoryPool | null,
): ptr is AllocatedPointer {
  try {
    if (ptr !== null && pool?.state !== undefined && takeExact(ptr, size, pool.state)) return answer(0, true);
  } catch {
    // What is no pool or no pointer; the long way says so.
  }
  return allocateSlowly(ptr, size, pool);
}

/**
 * Another pointer to the same container.
 *
 * @param name - of the new variable
 * @returns `null`, `EINVAL` for `null` and for a pointer that has no container, `ENOMEM`
 * @throws HeapError `ERR_USE_AFTER_FREE`, `ERR_INVALID_ARGUMENT` for wrong types
 */
export function mem_pointer_share(ptr: MemoryPointer | null, name: string | null): MemoryPointer | null {
  const call = "mem_pointer_share";
  expectPointer(call, ptr);
  expectName(call, name);
  if (ptr === null || name === null) return isNull(call, ptr?.owner, null);
  try {
    return answer(0, ptr.share(name));
  } catch (error) {
    return failed(ptr.owner, error, null);
  }
}

/**
 * Makes a pointer's container its own before its data is written: a shared one is copied first.
 *
 * @param pool - where the copy is from
 * @returns false, `EINVAL` for `null` and for a pointer that has no container, `ENOMEM`; all is as it was
 * @throws HeapError `ERR_DESTROYED`, `ERR_USE_AFTER_FREE`, `ERR_INVALID_ARGUMENT` for wrong types
 */
export function mem_pointer_write(ptr: MemoryPointer | null, pool: MemoryPool | null): boolean {
  const call = "mem_pointer_write";
  expectPointer(call, ptr);
  expectPool(call, pool);
  if (ptr === null || pool === null) return isNull(call, pool?.state ?? ptr?.owner, false);
  try {
    const isOwn = ptr.write(pool);
    return answer(isOwn ? 0 : ENOMEM, isOwn);
  } catch (error) {
    return failed(pool.state, error, false);
  }
}

/**
 * Frees a pointer and gives up its reference. A container that nobody refers to any more becomes an orphan of its pool.
 *
 * @param ptr - `null` does nothing
 * @param pool - with `null` the container is freed at once
 * @throws HeapError `ERR_DOUBLE_FREE` the second time, `ERR_INVALID_ARGUMENT` for wrong types
 */
export function mem_pointer_destroy(ptr: MemoryPointer | null, pool: MemoryPool | null): void {
  try {
    if (ptr !== null && pool?.state !== undefined && leaveExact(ptr, pool.state)) return answer(0, undefined);
  } catch {
    // What is no pool or no pointer; the long way says so.
  }
  destroySlowly(ptr, pool);
}

/**
 * Makes a container that is in no pool: zeroed, with a count of 1.
 *
 * @param address - its identity
 * @param size - bytes, rounded up to the alignment
 * @param options - where its block comes from, and its alignment
 * @returns `null`, `EINVAL` for 0 and for numbers that are no sizes, `EOVERFLOW`, `ENOMEM`
 * @throws HeapError `ERR_INVALID_ARGUMENT` for wrong types
 */
export function mem_container_create(address: bigint, size: number, options?: BackingOptions): MemoryContainer | null {
  const call = "mem_container_create";
  expectAddress(call, address);
  expectNumber(call, "size", size);
  try {
    return answer(0, new MemoryContainer(address, size, options));
  } catch (error) {
    return failed(undefined, error, null, options);
  }
}

/**
 * Zeroes and frees a container that is in no pool, whoever refers to it. One that is in a pool stays, `EINVAL`.
 *
 * @param container - `null` does nothing
 * @throws HeapError `ERR_DOUBLE_FREE` the second time, `ERR_INVALID_ARGUMENT` for what is no container
 */
export function mem_container_destroy(container: MemoryContainer | null): void {
  const call = "mem_container_destroy";
  expectContainer(call, container);
  if (container === null) return answer(0, undefined);
  try {
    container.destroy();
    return answer(0, undefined);
  } catch (error) {
    return failed(undefined, error, undefined);
  }
}

/**
 * The identity of a name: FNV-1a over 64 bits, over its UTF-8 up to the first NUL.
 *
 * @param name - `null` gives 0n
 * @throws HeapError `ERR_INVALID_ARGUMENT` for wrong types
 */
export function mem_compute_hash(name: string | null): bigint {
  expectName("mem_compute_hash", name);
  return answer(0, name === null ? 0n : hashOf(name));
}

/**
 * Makes an arena with its first slab.
 *
 * @param size - bytes of the slab, rounded up to the alignment
 * @param options - where slabs come from, and the alignment of everything allocated
 * @returns `null`, `EINVAL` for 0 and for numbers that are no sizes, `ENOMEM`
 * @throws HeapError `ERR_INVALID_ARGUMENT` for wrong types
 */
export function mem_arena_create(size: number, options?: BackingOptions): MemoryArena | null {
  expectNumber("mem_arena_create", "size", size);
  try {
    return answer(0, new MemoryArena(size, options));
  } catch (error) {
    return failed(undefined, error, null, options);
  }
}

/**
 * Allocates from an arena. O(1).
 *
 * @param size - bytes, rounded up to the arena's alignment
 * @returns zeroed memory; `NULL`, `EINVAL` for `null`, for 0 and for numbers that are no sizes, `ENOMEM`
 * @throws HeapError `ERR_DESTROYED`, `ERR_INVALID_ARGUMENT` for wrong types
 */
export function mem_arena_alloc(arena: MemoryArena | null, size: number): Ptr {
  try {
    const ptr = arena?.allocHere(size) ?? NULL;
    if (ptr !== NULL) return answer(0, ptr);
  } catch {
    // What is no arena has no such method; the long way says so.
  }
  return arenaAllocSlowly(arena, size);
}

/**
 * Zeroes and frees an arena and all that was allocated from it.
 *
 * @param arena - `null` does nothing
 * @throws HeapError `ERR_DESTROYED` the second time, `ERR_INVALID_ARGUMENT` for what is no arena
 */
export function mem_arena_destroy(arena: MemoryArena | null): void {
  expectArena("mem_arena_destroy", arena);
  if (arena === null) return answer(0, undefined);
  try {
    arena.destroy();
    return answer(0, undefined);
  } catch (error) {
    return failed(undefined, error, undefined);
  }
}
