/**
 * The document's API, verbatim: mempool's functions with their names, arguments and results, over the one pool that the
 * agent has. The last argument of `mempool_init`, and `mempool_use`, are ours.
 *
 * What the document says is returned is returned, also for misuse: -1, NULL, nothing, each with a debug message to the
 * pool's reporter. Arguments of the wrong type are `HeapError`s.
 *
 * @module
 */
import { HeapError, NULL, type Ptr } from "@heapwright/core";

import { checkOptions, gridOf, type MempoolOptions } from "./control.ts";
import { MAX_POOL_BYTES } from "./layout.ts";
import { badArgument, destroyed, isCount } from "./misuse.ts";
import { Mempool } from "./mempool-class.ts";

/** 1024 bytes. */
export const KILOBYTE = 1024;
/** 1024 kilobytes, in bytes. */
export const MEGABYTE: number = 1024 * KILOBYTE;
/** 1024 megabytes, in bytes. */
export const GIGABYTE: number = 1024 * MEGABYTE;

const PREFIX = "MEMPOOL_ERROR: ";
const BAD_SIZE = "Invalid size for memory pool, memory pool will not be initialized";
const BAD_BLOCK_SIZE =
  "Invalid default block size. Block size must be strictly less than overall size. Memory pool will not be initialized.";
const EXISTS = "A memory pool has already been created. Destroy it before creating another one.";
const NO_MEMORY =
  "No available memory. You either have a memory leak, or you gave the memory pool too small an amount of memory on creation";
const ZERO_BYTES = "Attempt to allocate 0 bytes";
const REALLOC_NOTHING = "Nothing from the mempool was allocated, realloc is impossible";
const REALLOC_NULL = "Attempt to realloc a null pointer. Potential use after free detected.";
const REALLOC_ZERO = "Attempt to realloc with size of 0 bytes. Invalid input.";
const REALLOC_UNKNOWN = "Attempt to realloc a nonexistent pointer. Potential use after free detected";
const FREE_NULL = "Attempt to free a null pointer";
const FREE_UNKNOWN = "Attempt to free a nonexistent pointer. Potential double free detected";

/** The agent's current pool. It may have been destroyed through another object. */
let current: Mempool | undefined;

/**
 * Makes the pool, which is the agent's current one from here on. O(size).
 *
 * @param size - bytes of the pool, at most 2^32 - 1. It does not resize
 * @param default_block_size - bytes of the blocks that are to be allocated over and over, less than `size`; rounded up to a
 * multiple of 16
 * @param options - where the pool lies, and who is given the debug messages
 * @returns 1; -1 for a bad size, when a pool exists, when there is no memory, and for options that do not go together
 * @throws HeapError `ERR_INVALID_ARGUMENT` for wrong types, and for options that are none
 */
export function mempool_init(size: number, default_block_size: number, options?: MempoolOptions): 1 | -1 {
  const call = "mempool_init";
  const checked = checkOptions(call, options);
  const say = (message: string): -1 => tell(checked.report, message, -1);
  expectNumber(call, "size", size);
  expectNumber(call, "default_block_size", default_block_size);
  if (!isCount(size) || size === 0 || size > MAX_POOL_BYTES) return say(BAD_SIZE);
  const isBlockSize = isCount(default_block_size) && default_block_size > 0 && default_block_size < size;
  try {
    if (!isBlockSize || gridOf(call, size, default_block_size, checked).count === 0) return say(BAD_BLOCK_SIZE);
    if (current !== undefined && !current.isDestroyed) return say(EXISTS);
    current = new Mempool(size, default_block_size, checked);
    return 1;
  } catch (error) {
    if (!(error instanceof HeapError) || error.code === "ERR_WOULD_BLOCK") throw error;
    return say(error.message);
  }
}

/**
 * Destroys the current pool. All its memory is given back, all its pointers become invalid. O(blocks).
 *
 * @returns 1; -1 when there is none
 */
export function mempool_destroy(): 1 | -1 {
  const pool = current;
  if (pool === undefined || pool.isDestroyed) return noPool(pool, "destroy", -1);
  pool.destroy();
  current = undefined;
  return 1;
}

/**
 * Makes a pool the agent's current one: how workers share the document's one pool. The one before it is left as it is.
 *
 * @param pool - made here or attached; `undefined` for none
 * @returns the one before it, `undefined` when there was none
 * @throws HeapError `ERR_DESTROYED`, `ERR_INVALID_ARGUMENT` for what is no pool
 */
export function mempool_use(pool: Mempool | undefined): Mempool | undefined {
  if (pool !== undefined) {
    if (!(pool instanceof Mempool)) throw badArgument("mempool_use", "the pool", pool, "a Mempool, or undefined");
    if (pool.isDestroyed) throw destroyed("mempool_use");
  }
  const previous = current === undefined || current.isDestroyed ? undefined : current;
  current = pool;
  return previous;
}

/**
 * Allocates. O(1) for up to a block; for more, neighbouring blocks are searched for and coalesced.
 *
 * @param num_bytes - 0 stands for a block
 * @returns the lowest place that is large enough, 16-aligned; `NULL` when there is none
 * @throws HeapError `ERR_INVALID_ARGUMENT` for wrong types
 */
export function mempool_alloc(num_bytes: number): Ptr {
  const pool = current;
  if (pool === undefined) return noPool(pool, "alloc", NULL);
  try {
    const ptr = pool.malloc(num_bytes);
    return ptr === NULL ? noRoom(pool, num_bytes) : ptr;
  } catch (error) {
    return failed(pool, "alloc", error, [num_bytes]);
  }
}

/**
 * Allocates memory for an array, all bytes 0.
 *
 * @param num_members - elements
 * @param size - bytes of each
 * @returns as `mempool_alloc`; `NULL` for no bytes at all, and for a product that no pool holds
 * @throws HeapError `ERR_INVALID_ARGUMENT` for wrong types
 */
export function mempool_calloc(num_members: number, size: number): Ptr {
  const pool = current;
  if (pool === undefined) return noPool(pool, "calloc", NULL);
  try {
    if (num_members === 0 || size === 0) return zeroBytes(pool, num_members, size);
    const ptr = pool.calloc(num_members, size);
    return ptr === NULL ? noRoom(pool, num_members * size) : ptr;
  } catch (error) {
    return failed(pool, "calloc", error, [num_members, size]);
  }
}

/**
 * Makes a block larger. Downsizing is not supported: the same pointer is returned then, with all the block has.
 *
 * @param ptr - a block of the pool
 * @param num_bytes - what it is to hold; for 0 the block is left as it is, with a message
 * @returns `ptr` where the block is large enough, else a new block with the old contents; `NULL` when there is none, and
 * then the old one is as it was; `NULL` for what is no block
 * @throws HeapError `ERR_INVALID_ARGUMENT` for wrong types
 */
export function mempool_realloc(ptr: Ptr, num_bytes: number): Ptr {
  const pool = current;
  if (pool === undefined) return noPool(pool, "realloc", NULL);
  expectNumber("mempool_realloc", "ptr", ptr);
  expectNumber("mempool_realloc", "num_bytes", num_bytes);
  try {
    const isLive = pool.isLive(ptr);
    if (!isLive && pool.isEmpty) return tell(pool.report, REALLOC_NOTHING, NULL);
    if (ptr === NULL) return tell(pool.report, REALLOC_NULL, NULL);
    if (num_bytes === 0) tell(pool.report, REALLOC_ZERO, NULL);
    if (!isLive) return tell(pool.report, REALLOC_UNKNOWN, NULL);
    const moved = pool.realloc(ptr, num_bytes);
    return moved === NULL ? noRoom(pool, num_bytes) : moved;
  } catch (error) {
    return failed(pool, "realloc", error, [num_bytes]);
  }
}

/**
 * Gives a block back. O(1), for a run O(its blocks / 32).
 *
 * @param ptr - a block of the pool; for anything else there is a message, and nothing has changed
 * @throws HeapError `ERR_INVALID_ARGUMENT` for wrong types
 */
export function mempool_free(ptr: Ptr): void {
  const pool = current;
  if (pool === undefined) return noPool(pool, "free", undefined);
  try {
    if (ptr === NULL) nullFreed(pool);
    else pool.free(ptr);
  } catch (error) {
    failed(pool, "free", error, [ptr]);
  }
}

function nullFreed(pool: Mempool): void {
  pool.expectAlive("free");
  tell(pool.report, FREE_NULL, undefined);
}

function zeroBytes(pool: Mempool, num_members: number, size: number): Ptr {
  pool.expectAlive("calloc");
  expectNumber("mempool_calloc", "num_members", num_members);
  expectNumber("mempool_calloc", "size", size);
  return tell(pool.report, ZERO_BYTES, NULL);
}

function noRoom(pool: Mempool, bytes: number): Ptr {
  if (bytes <= pool.blockSize || !pool.hasFree) return tell(pool.report, NO_MEMORY, NULL);
  const finding = `Unable to allocated block of size ${bytes} bytes due to insufficient space.`;
  return tell(pool.report, `${finding}\nEither make the mempool larger, or free more space.`, NULL);
}

function noPool<F>(pool: Mempool | undefined, call: string, failure: F): F {
  current = undefined;
  return tell(pool?.report, `No memory pool was ever initialized. Invalid call to ${call}.`, failure);
}

/** The document's result for what the class throws; wrong types, and what is no misuse, are thrown again. */
function failed(pool: Mempool, call: string, error: unknown, values: readonly number[]): Ptr {
  if (!(error instanceof HeapError) || values.some((value) => typeof value !== "number")) throw error;
  const { code, message } = error;
  if (code === "ERR_DESTROYED") return noPool(pool, call, NULL);
  if (code === "ERR_WOULD_BLOCK") throw error;
  const isUnknown = code === "ERR_INVALID_POINTER" || code === "ERR_DOUBLE_FREE";
  if (!isUnknown) return tell(pool.report, message, NULL);
  return tell(pool.report, call === "free" ? FREE_UNKNOWN : REALLOC_UNKNOWN, NULL);
}

function tell<F>(report: ((message: string) => void) | undefined, message: string, failure: F): F {
  (report ?? console.error)(PREFIX + message);
  return failure;
}

function expectNumber(call: string, name: string, value: unknown): void {
  if (typeof value !== "number") throw badArgument(call, name, value, "a number");
}
