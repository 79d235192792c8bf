/**
 * Makes states and finds them again: the control block, and what a state is told that cannot lie in a heap.
 *
 * @module
 */
import {
  type Allocator,
  globalAllocator,
  type Heap,
  type HeapBuffer,
  HeapError,
  NULL,
  type Ptr,
} from "@heapwright/core";

import {
  BACKING_HEAP,
  BACKING_UNNAMED,
  DEALLOCATOR_SHIFT_BITS,
  FIRST_EPOCH,
  LAYOUT_VERSION,
  MAGIC,
  RM_MAX_DEALLOCATORS,
  RM_STATE,
  tableBytesOf,
} from "./layout.ts";
import { badArgument, isCount, show } from "./misuse.ts";
import { homesFrom, makeTable } from "./table.ts";

/** Gives back memory that came from elsewhere. */
export type Deallocator = (ptr: Ptr) => void;

/** What a state may be told beyond the document's arguments. */
export interface RmOptions {
  /**
   * Serves the state's table and the blocks that it allocates, and frees what is released.
   *
   * @defaultValue the global allocator at the time the state is made; for `attach` the heap
   */
  readonly backing?: Allocator;
  /**
   * The functions that may be named in `rm_attach`, at most 63. The heap keeps their places in this list: whoever attaches to
   * the state passes as many, in the same order, that do the same.
   *
   * @defaultValue none: what is released is freed by the backing
   */
  readonly deallocators?: readonly Deallocator[];
  /**
   * Whether `rm_destroy_state` reports what is still referenced.
   *
   * @defaultValue false
   */
  readonly debug?: boolean;
  /**
   * Whether that report shows where each pointer was allocated or attached, as far as it was through this object. Some
   * microseconds an allocation.
   *
   * @defaultValue false
   */
  readonly stacks?: boolean;
  /**
   * Is given every message: leaks, counts that can rise no further, and what a function of the document's API that has no
   * result could not do.
   *
   * @defaultValue `console.error`, looked up at each call
   */
  readonly report?: (message: string) => void;
}

/** How an object finds the state that is to be used through it. */
export class Opened {
  readonly backing: Allocator;
  readonly handle: Ptr;
  readonly options: RmOptions;

  constructor(backing: Allocator, handle: Ptr, options: RmOptions) {
    this.backing = backing;
    this.handle = handle;
    this.options = options;
  }
}

/** Makes a state with its first table. */
export function create(hashSize: unknown, given: RmOptions | undefined): Opened {
  const call = "new RmState";
  if (!isCount(hashSize) || hashSize === 0) {
    throw badArgument(call, "hash_size", hashSize, "a whole number from 1");
  }
  const options = checkOptions(call, given);
  const { backing = globalAllocator(), deallocators = [] } = options;
  const table = makeTable(backing, homesFrom(hashSize));
  if (table === NULL) throw outOfMemory(call, tableBytesOf(hashSize));
  const handle = backing.malloc(RM_STATE.size);
  if (handle === NULL) {
    backing.free(table);
    throw outOfMemory(call, RM_STATE.size);
  }
  RM_STATE.write(backing.heap, handle, {
    magic: 0,
    version: LAYOUT_VERSION,
    backing: identityOf(backing),
    epoch: FIRST_EPOCH,
    table,
    used: 0,
    deallocators: deallocators.length,
    reserved: [0, 0, 0],
  });
  // Last: it is a state from here on.
  RM_STATE.set.magic(backing.heap, handle, MAGIC);
  return new Opened(backing, handle, options);
}

/** Finds a state that is in a heap already. */
export function open(heap: Heap<HeapBuffer>, handle: Ptr, given: RmOptions | undefined): Opened {
  const call = "RmState.attach";
  const options = checkOptions(call, given);
  const { backing = heap, deallocators = [] } = options;
  if (!isHeap(heap)) throw badArgument(call, "the heap", heap, "a Heap");
  if (typeof handle !== "number") throw badArgument(call, "the handle", handle, "a state's handle");
  const isAddress = handle >>> 0 === handle && handle % 8 === 0 && handle !== NULL;
  if (!isAddress || heap.u32[handle >>> 2] !== MAGIC) {
    const finding = "no state there; pass what `handle` of one gave";
    throw new HeapError("ERR_NOT_A_HEAP", `${call}(${show(handle)}): ${finding}`, handle);
  }
  const { get } = RM_STATE;
  if (get.version(heap, handle) !== LAYOUT_VERSION) {
    const finding = `the state has layout version ${get.version(heap, handle)}, this package ${LAYOUT_VERSION}`;
    throw new HeapError("ERR_LAYOUT_VERSION", `${call}: ${finding}; use the version that made it`, handle);
  }
  if (backing.heap.buffer !== heap.buffer || get.backing(heap, handle) !== identityOf(backing)) {
    const made = get.backing(heap, handle) === BACKING_HEAP ? "the heap itself" : "another allocator";
    throw badArgument(call, "the backing", backing, `the one that the state was made on: ${made}`);
  }
  const count = get.deallocators(heap, handle);
  if (deallocators.length !== count) {
    const wanted = `as many as the state was made with, ${count}, in the same order`;
    throw badArgument(call, "the number of deallocators", deallocators.length, wanted);
  }
  return new Opened(backing, handle, options);
}

/** What a slot's counts name: a function of the list, `undefined` for the backing's `free`. */
export function deallocatorOf({ deallocators = [] }: RmOptions, counts: number): Deallocator | undefined {
  return deallocators[(counts >>> DEALLOCATOR_SHIFT_BITS) - 1];
}

function outOfMemory(call: string, bytes: number): HeapError {
  return new HeapError("ERR_OUT_OF_MEMORY", `${call}: the backing has no ${bytes} bytes; ask for less or free some`);
}

/** What a control block says of its backing. */
function identityOf(backing: Allocator): number {
  if (backing.heap === backing) return BACKING_HEAP;
  const { handle } = backing as { readonly handle?: unknown };
  return typeof handle === "number" && handle !== 0 ? handle : BACKING_UNNAMED;
}

function checkOptions(call: string, options: unknown): RmOptions {
  if (options === undefined) return {};
  if (typeof options !== "object" || options === null) throw badArgument(call, "options", options, "{ backing }");
  const { backing, deallocators, debug, stacks, report } = options as Record<keyof RmOptions, unknown>;
  if (backing !== undefined && !isAllocator(backing)) throw badArgument(call, "backing", backing, "an allocator");
  if (deallocators !== undefined) expectDeallocators(call, deallocators);
  if (debug !== undefined && typeof debug !== "boolean") throw badArgument(call, "debug", debug, "a boolean");
  if (stacks !== undefined && typeof stacks !== "boolean") throw badArgument(call, "stacks", stacks, "a boolean");
  if (report !== undefined && typeof report !== "function") throw badArgument(call, "report", report, "a function");
  return options;
}

function expectDeallocators(call: string, list: unknown): void {
  const wanted = `a list of at most ${RM_MAX_DEALLOCATORS} functions`;
  if (!Array.isArray(list)) throw badArgument(call, "deallocators", list, wanted);
  if (list.length > RM_MAX_DEALLOCATORS) throw badArgument(call, "the number of deallocators", list.length, wanted);
  const stranger: unknown = list.find((one) => typeof one !== "function");
  if (stranger !== undefined || list.includes(undefined)) {
    throw badArgument(call, "a deallocator", stranger, "functions only");
  }
}

function isAllocator(value: unknown): value is Allocator {
  if (typeof value !== "object" || value === null) return false;
  const { malloc, free, heap } = value as Partial<Record<keyof Allocator, unknown>>;
  return typeof malloc === "function" && typeof free === "function" && isHeap(heap);
}

function isHeap(value: unknown): value is Heap<HeapBuffer> {
  return typeof value === "object" && value !== null && (value as Heap<HeapBuffer>).u32 instanceof Uint32Array;
}
