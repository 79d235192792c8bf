/**
 * A pool's control block: made, found again, and what a pool may be told.
 *
 * @module
 */
import { type Allocator, asPtr, NULL, type Ptr } from "@heapwright/core";

import {
  alignmentShiftOf,
  attachedBacking,
  type BackingOptions,
  backingOf,
  expectControl,
  identityOf,
} from "./backing.ts";
import { BACKING_HEAP, FLAG_LOCKED, LAYOUT_VERSION, LEAST_ALIGNMENT_SHIFT_BITS, POOL, POOL_MAGIC } from "./layout.ts";
import { badArgument, isCount, MemoryError, outOfMemory } from "./memory-error.ts";
import { reportOom } from "./oom-handler.ts";
import { clearRings } from "./orphans.ts";
import { makeArray, MEM_POOL_DEFAULT_CAPACITY } from "./pool-array.ts";
import { flagsOf, PoolState, type PoolWatch } from "./pool-state.ts";
import { recoverPool } from "./recover-pool.ts";
import { SharedPoolState } from "./shared-pool-state.ts";
import { wipe } from "./wipe.ts";

const { offsets } = POOL;
const FLAGS = offsets.flags >>> 2;
/** Orphans that a pool keeps unless told otherwise. */
const DEFAULT_MAX_ORPHANS = 64;
const MAX_CAPACITY = 2 ** 30;

/** The document's `MEM_THREAD_SAFE`: whether pools in shared heaps are locked unless told otherwise. */
export const MEM_THREAD_SAFE = 1;

/** What a pool may be told beyond the document's arguments. */
export interface PoolOptions extends BackingOptions {
  /**
   * What becomes of a container that nobody refers to any more: an orphan that is used again for the next request that it
   * fits best, or it is freed at once.
   *
   * @defaultValue "keep"
   */
  readonly orphans?: "keep" | "destroy";
  /** The most orphans that are kept; what comes then is freed. A whole number from 0. @defaultValue 64 */
  readonly maxOrphans?: number;
  /**
   * Whether several workers may use the pool at once, where it is in a shared heap.
   *
   * @defaultValue `MEM_THREAD_SAFE`
   */
  readonly threadSafe?: boolean;
  /**
   * Whether the pool knows the names of the pointers to its containers, and in a debug build looks at each orphan before it
   * is used again.
   *
   * @defaultValue `DEBUG_MEMORY_MANAGER`
   */
  readonly debug?: boolean;
  /** Is given a line for each grow, shrink, reuse, copy, leak and refused call, in a debug build. */
  readonly log?: (message: string) => void;
  /**
   * Is given dumps and findings, and the message when a function of the document's API finds damage and can only say so by
   * its result.
   *
   * @defaultValue `console.error`, looked up at each call
   */
  readonly report?: (message: string) => void;
}

/**
 * Makes a pool's control block and array.
 *
 * @param call - names the function in messages
 * @param capacity - containers that the array has room for, 0: the default
 * @param isDebug - whether it is a debug pool unless options say otherwise
 * @returns the handle
 * @throws HeapError `ERR_OUT_OF_MEMORY`, after the handler has been told, `ERR_INVALID_ARGUMENT`; nothing is taken then
 */
export function makePool(
  call: string,
  capacity: unknown,
  backing: Allocator,
  options: PoolOptions,
  isDebug: boolean,
): Ptr {
  if (!isCount(capacity)) throw badArgument(call, "initial_capacity", capacity, "a whole number from 0");
  const slots = capacity === 0 ? MEM_POOL_DEFAULT_CAPACITY : capacity;
  const shift = Math.max(alignmentShiftOf(call, options), LEAST_ALIGNMENT_SHIFT_BITS);
  const handle = slots > MAX_CAPACITY ? NULL : backing.malloc(POOL.size);
  const array = handle === NULL ? NULL : makeArray(backing, slots);
  if (array === NULL) {
    if (handle !== NULL) backing.free(handle);
    reportOom(slots * 4);
    throw outOfMemory(call, slots * 4);
  }
  const { heap } = backing;
  wipe(heap, handle, handle + POOL.size);
  const { u32 } = heap;
  const control = handle >>> 2;
  const {
    orphans = "keep",
    maxOrphans = DEFAULT_MAX_ORPHANS,
    threadSafe = MEM_THREAD_SAFE === 1,
    debug = isDebug,
  } = options;
  const isLocked = threadSafe && heap.lock !== undefined;
  u32[control + (offsets.version >>> 2)] = LAYOUT_VERSION;
  u32[control + (offsets.backing >>> 2)] = identityOf(backing);
  u32[control + FLAGS] = flagsOf(shift, debug, isLocked);
  u32[control + (offsets.array >>> 2)] = array;
  u32[control + (offsets.capacity >>> 2)] = slots;
  u32[control + (offsets.maxOrphans >>> 2)] = orphans === "keep" ? maxOrphans : 0;
  u32[control + (offsets.deaths >>> 2)] = heap.lock?.deaths ?? 0;
  clearRings(u32, control);
  // Last: it is a pool from here on.
  u32[control] = POOL_MAGIC;
  return handle;
}

/** The cursor that suits a pool and its heap. */
export function stateOf(backing: Allocator, handle: Ptr, watch?: PoolWatch, options: PoolOptions = {}): PoolState {
  const { lock, u32 } = backing.heap;
  const isLocked = (u32[(handle >>> 2) + FLAGS]! & FLAG_LOCKED) !== 0;
  if (isLocked && lock === undefined) unlock(backing, handle >>> 2);
  const inner = new PoolState(backing, handle, watch, options.report);
  return isLocked && lock !== undefined ? new SharedPoolState(inner, lock) : inner;
}

/** Makes an ordinary pool of one that is in an image of a shared heap; there may have been someone in the middle of a step. */
function unlock(backing: Allocator, control: number): void {
  const { u32 } = backing.heap;
  u32[control + FLAGS]! &= ~FLAG_LOCKED;
  recoverPool(backing, control);
}

/** Checks what `attach` is given, and gives the pool's backing. */
export function expectPool(call: string, heap: unknown, handle: unknown, options: PoolOptions | undefined): Allocator {
  checkOptions(call, options);
  const backing = attachedBacking(call, heap, options);
  expectControl(call, "pool", POOL_MAGIC, heap, handle, backing);
  return backing;
}

/**
 * Finds the pool that a pointer's container is from, when nobody has said which it is.
 *
 * @param backing - the pointer's
 * @returns `undefined` when it is gone
 * @throws HeapError `ERR_INVALID_ARGUMENT` when its blocks come from elsewhere than the pointer's
 */
export function reopenPool(backing: Allocator, handle: Ptr): PoolState | undefined {
  const { heap } = backing;
  const { u32 } = heap;
  if (u32[handle >>> 2] !== POOL_MAGIC) return undefined;
  const identity = u32[(handle + offsets.backing) >>> 2]!;
  if (identity === BACKING_HEAP) return stateOf(heap, handle);
  if (identity === identityOf(backing)) return stateOf(backing, handle);
  const finding = "the container's pool has another backing than the pointer; pass the pool";
  throw new MemoryError("ERR_INVALID_ARGUMENT", finding, asPtr(handle));
}

/** Checks options, and gives the backing. */
export function checkedBacking(call: string, options: unknown): Allocator {
  checkOptions(call, options);
  return backingOf(call, options);
}

function checkOptions(call: string, options: unknown): void {
  if (options === undefined) return;
  if (typeof options !== "object" || options === null) {
    throw badArgument(call, "options", options, "{ backing, alignment, orphans, maxOrphans, log }");
  }
  const { orphans, maxOrphans, threadSafe, debug, log, report } = options as Record<keyof PoolOptions, unknown>;
  if (orphans !== undefined && orphans !== "keep" && orphans !== "destroy") {
    throw badArgument(call, "orphans", orphans, `"keep" or "destroy"`);
  }
  if (maxOrphans !== undefined && !(isCount(maxOrphans) && maxOrphans <= MAX_CAPACITY)) {
    throw badArgument(call, "maxOrphans", maxOrphans, "a whole number from 0 to 2^30");
  }
  for (const [name, value] of Object.entries({ threadSafe, debug })) {
    if (value !== undefined && typeof value !== "boolean") throw badArgument(call, name, value, "a boolean");
  }
  for (const [name, value] of Object.entries({ log, report })) {
    if (value !== undefined && typeof value !== "function") throw badArgument(call, name, value, "a function");
  }
}
