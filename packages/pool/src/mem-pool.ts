/**
 * The document's API, verbatim: memory-pool's functions with their names, arguments and results. The last argument of the
 * two init functions is ours.
 *
 * What the document says is returned is returned, also for misuse: -1, NULL, false. Arguments of the wrong type and pools
 * that have been destroyed are `HeapError`s.
 *
 * @module
 */
import { HeapError, NULL, type Ptr } from "@heapwright/core";

import { FixedMemPool } from "./fixed-mem-pool.ts";
import { ALIGNMENT_BYTES } from "./layout.ts";
import { badArgument, isCount } from "./misuse.ts";
import { Pool, type PoolOptions } from "./pool.ts";
import { VariadicMemPool } from "./variadic-mem-pool.ts";

/**
 * Makes a pool of blocks of one size.
 *
 * @param block_size - bytes of a block, a whole number from 0; rounded up by `mem_align`
 * @param increase_count - blocks of each internal buffer, a whole number from 1
 * @param options - where the buffers come from
 * @returns the pool, with its first buffer
 * @throws HeapError `ERR_OUT_OF_MEMORY`, `ERR_INVALID_ARGUMENT`
 */
export function pool_fixed_init(block_size: number, increase_count: number, options?: PoolOptions): FixedMemPool {
  return new FixedMemPool(block_size, increase_count, options);
}

/**
 * Gets a block. O(1).
 *
 * @param pool - made by `pool_fixed_init`
 * @returns the block; `NULL` when memory is exhausted
 * @throws HeapError `ERR_DESTROYED`, `ERR_INVALID_ARGUMENT` for what is no fixed pool
 */
export function pool_fixed_alloc(pool: FixedMemPool): Ptr {
  expectFixed("pool_fixed_alloc", pool);
  try {
    return pool.malloc();
  } catch (error) {
    return failed(pool, error, NULL);
  }
}

/**
 * Checks if a pointer is from the pool; whether the block is used makes no difference. O(1).
 *
 * @param pool - made by `pool_fixed_init`
 * @param ptr - any number
 * @throws HeapError `ERR_DESTROYED`, `ERR_INVALID_ARGUMENT` for wrong types
 */
export function pool_fixed_is_associated(pool: FixedMemPool, ptr: Ptr): boolean {
  expectFixed("pool_fixed_is_associated", pool);
  return pool.isAssociated(ptr);
}

/**
 * Iterates through the blocks in use, buffer by buffer. O(blocks).
 *
 * @param pool - made by `pool_fixed_init`
 * @param callback - is given each block; returning 0 stops the iteration. It may allocate and free
 * @throws HeapError `ERR_DESTROYED`, `ERR_INVALID_ARGUMENT` for wrong types; what the callback throws
 */
export function pool_fixed_foreach(pool: FixedMemPool, callback: (item: Ptr) => unknown): void {
  expectFixed("pool_fixed_foreach", pool);
  pool.foreach(callback);
}

/**
 * Gives a block back and makes it reusable. O(1).
 *
 * @param pool - made by `pool_fixed_init`; by `pool_variadic_init` as well, because the document's example does so
 * @param ptr - a block in use
 * @returns 0; -1 when the pointer is not known by the pool, `NULL` and blocks that are free included
 * @throws HeapError `ERR_DESTROYED`, `ERR_INVALID_ARGUMENT` for wrong types
 */
export function pool_fixed_free(pool: FixedMemPool | VariadicMemPool, ptr: Ptr): 0 | -1 {
  // Either kind, without naming the other one: bundles of programs without variadic pools leave it out.
  if (!(pool instanceof Pool)) expectFixed("pool_fixed_free", pool);
  return giveBack(pool, ptr);
}

/**
 * Frees all the memory allocated, blocks in use included.
 *
 * @param pool - made by `pool_fixed_init`
 * @throws HeapError `ERR_DESTROYED` the second time, `ERR_INVALID_ARGUMENT` for what is no fixed pool
 */
export function pool_fixed_destroy(pool: FixedMemPool): void {
  expectFixed("pool_fixed_destroy", pool);
  pool.destroy();
}

/**
 * Makes a pool of blocks of any size.
 *
 * @param grow_size - bytes of each internal buffer, headers included; a buffer for a larger block is as large as that
 * @param tolerance_percent - the most that a block may be larger than what was asked for without being split
 * @param options - where the buffers come from
 * @returns the pool, with its first buffer
 * @throws HeapError `ERR_OUT_OF_MEMORY`, `ERR_INVALID_ARGUMENT`
 */
export function pool_variadic_init(
  grow_size: number,
  tolerance_percent: number,
  options?: PoolOptions,
): VariadicMemPool {
  return new VariadicMemPool(grow_size, tolerance_percent, options);
}

/**
 * Gets a block. O(1).
 *
 * @param pool - made by `pool_variadic_init`
 * @param size - bytes
 * @returns the block; `NULL` when memory is exhausted, and for a number that is no size
 * @throws HeapError `ERR_DESTROYED`, `ERR_INVALID_ARGUMENT` for wrong types
 */
export function pool_variadic_alloc(pool: VariadicMemPool, size: number): Ptr {
  expectVariadic("pool_variadic_alloc", pool);
  if (typeof size === "number" && !isCount(size)) {
    pool.expectAlive("pool_variadic_alloc");
    return NULL;
  }
  try {
    return pool.malloc(size);
  } catch (error) {
    return failed(pool, error, NULL);
  }
}

/**
 * Checks if a pointer is from the pool; whether the block is used makes no difference.
 *
 * @param pool - made by `pool_variadic_init`
 * @param ptr - any number
 * @throws HeapError `ERR_DESTROYED`, `ERR_INVALID_ARGUMENT` for wrong types
 */
export function pool_variadic_is_associated(pool: VariadicMemPool, ptr: Ptr): boolean {
  expectVariadic("pool_variadic_is_associated", pool);
  return pool.isAssociated(ptr);
}

/**
 * Gives a block back, merged with its free neighbours in the buffer. O(1).
 *
 * @param pool - made by `pool_variadic_init`
 * @param ptr - a block in use
 * @returns 0; -1 when the pointer is not known by the pool, `NULL` and blocks that are free included
 * @throws HeapError `ERR_DESTROYED`, `ERR_INVALID_ARGUMENT` for wrong types
 */
export function pool_variadic_free(pool: VariadicMemPool, ptr: Ptr): 0 | -1 {
  expectVariadic("pool_variadic_free", pool);
  return giveBack(pool, ptr);
}

/**
 * Frees all the memory allocated, blocks in use included.
 *
 * @param pool - made by `pool_variadic_init`
 * @throws HeapError `ERR_DESTROYED` the second time, `ERR_INVALID_ARGUMENT` for what is no variadic pool
 */
export function pool_variadic_destroy(pool: VariadicMemPool): void {
  expectVariadic("pool_variadic_destroy", pool);
  pool.destroy();
}

/**
 * Rounds a size up to the alignment of all blocks.
 *
 * @param size - bytes, a whole number from 0
 * @returns the next multiple of 16; it never wraps
 * @throws HeapError `ERR_INVALID_ARGUMENT` for anything else
 */
export function mem_align(size: number): number {
  if (!isCount(size)) throw badArgument("mem_align", "size", size, "a whole number of bytes from 0");
  return Math.ceil(size / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
}

function giveBack(pool: FixedMemPool | VariadicMemPool, ptr: Ptr): 0 | -1 {
  if (ptr === NULL) {
    pool.expectAlive("free");
    return -1;
  }
  try {
    pool.free(ptr);
    return 0;
  } catch (error) {
    return failed(pool, error, -1);
  }
}

/** The document's result for misuse and damage; what is damaged is reported besides, all else thrown again. */
function failed<F>(pool: Pool, error: unknown, failure: F): F {
  if (!(error instanceof HeapError)) throw error;
  if (error.code === "ERR_CORRUPT") (pool.report ?? console.error)(error.message);
  else if (error.code !== "ERR_INVALID_POINTER" && error.code !== "ERR_DOUBLE_FREE") throw error;
  return failure;
}

function expectFixed(call: string, pool: unknown): asserts pool is FixedMemPool {
  if (!(pool instanceof FixedMemPool)) throw badArgument(call, "the pool", pool, "what pool_fixed_init returned");
}

function expectVariadic(call: string, pool: unknown): asserts pool is VariadicMemPool {
  if (!(pool instanceof VariadicMemPool)) throw badArgument(call, "the pool", pool, "what pool_variadic_init returned");
}
