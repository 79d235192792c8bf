/**
 * Where blocks come from: the options that every function here takes, and how a control block remembers its backing.
 *
 * @module
 */
import { type Allocator, globalAllocator, type Heap, type HeapBuffer, NULL, type Ptr } from "@heapwright/core";

import { BACKING_HEAP, BACKING_UNNAMED, LAYOUT_VERSION } from "./layout.ts";
import { badArgument, MemoryError, show } from "./memory-error.ts";

/** The least alignment there is, the document's `MEM_ALIGNMENT`. */
export const MEM_ALIGNMENT = 8;
const MAX_ALIGNMENT_BYTES = 2 ** 30;

/** What C takes from its surroundings. */
export interface BackingOptions {
  /**
   * Serves all blocks.
   *
   * @defaultValue the global allocator at the time of the call; for `attach` the heap
   */
  readonly backing?: Allocator;
  /**
   * What the address of the data, and its size, are a multiple of, in bytes: a power of two from 8. 16 for SIMD, 64 for
   * cache lines. Above 8 the backing has to have `alignedAlloc`, as heaps do.
   *
   * @defaultValue 8; for a pointer what its pool has
   */
  readonly alignment?: number;
}

/** Checks options and gives what they stand for. `undefined` is all defaults. */
export function backingOf(call: string, options: unknown): Allocator {
  if (options === undefined) return globalAllocator();
  if (typeof options !== "object" || options === null) {
    throw badArgument(call, "options", options, "{ backing, alignment }");
  }
  const { backing } = options as Record<keyof BackingOptions, unknown>;
  if (backing === undefined) return globalAllocator();
  if (!isAllocator(backing)) throw badArgument(call, "backing", backing, "an allocator");
  return backing;
}

/** log2 of the alignment that options ask for, 0 when they name none. */
export function alignmentShiftOf(call: string, options: BackingOptions | undefined): number {
  const alignment: unknown = options?.alignment;
  if (alignment === undefined) return 0;
  const isOne = typeof alignment === "number" && alignment >= MEM_ALIGNMENT && alignment <= MAX_ALIGNMENT_BYTES;
  if (!isOne || 2 ** Math.round(Math.log2(alignment)) !== alignment) {
    throw badArgument(call, "alignment", alignment, "a power of two from 8 to 2^30");
  }
  return Math.round(Math.log2(alignment));
}

/** What a control block says of its backing. */
export function identityOf(backing: Allocator): number {
  if (backing.heap === backing) return BACKING_HEAP;
  const { handle } = backing as { readonly handle?: unknown };
  return typeof handle === "number" && handle !== 0 ? handle : BACKING_UNNAMED;
}

/**
 * Finds a control block that is in a heap already.
 *
 * @param call - names the function in messages
 * @param what - what is to be there, with its article
 * @param magic - its first word
 * @param heap - where
 * @param handle - its address
 * @param backing - where its blocks come from
 * @throws HeapError `ERR_NOT_A_HEAP`, `ERR_LAYOUT_VERSION`, `ERR_INVALID_ARGUMENT` for another backing than its own
 */
export function expectControl(
  call: string,
  what: string,
  magic: number,
  heap: unknown,
  handle: unknown,
  backing: Allocator,
): void {
  expectHeap(call, heap);
  if (typeof handle !== "number") throw badArgument(call, "the handle", handle, `${what}'s handle`);
  const { u32 } = heap;
  const control = handle >>> 2;
  const isAddress = handle >>> 0 === handle && handle % 8 === 0 && handle !== NULL;
  if (!isAddress || u32[control] !== magic) {
    const finding = `no such ${what} there; pass what \`handle\` of one gave`;
    throw new MemoryError("ERR_NOT_A_HEAP", `${call}(${show(handle)}): ${finding}`, handle);
  }
  if (u32[control + 1] !== LAYOUT_VERSION) {
    const finding = `the ${what} has layout version ${u32[control + 1]}, this package ${LAYOUT_VERSION}`;
    throw new MemoryError("ERR_LAYOUT_VERSION", `${call}: ${finding}; use the version that made it`, handle);
  }
  if (backing.heap.buffer !== heap.buffer || u32[control + 2] !== identityOf(backing)) {
    const made = u32[control + 2] === BACKING_HEAP ? "the heap itself" : "another allocator";
    throw badArgument(call, "the backing", backing, `the one that the ${what} was made on: ${made}`);
  }
}

/** The backing that `attach` is given, the heap itself unless options name another one. */
export function attachedBacking(call: string, heap: unknown, options: BackingOptions | undefined): Allocator {
  expectHeap(call, heap);
  return options === undefined || (typeof options === "object" && options?.backing === undefined && options !== null)
    ? heap
    : backingOf(call, options);
}

/** @throws HeapError `ERR_INVALID_ARGUMENT` for what is no heap */
export function expectHeap(call: string, heap: unknown): asserts heap is Heap<HeapBuffer> {
  if (!isHeap(heap)) throw badArgument(call, "the heap", heap, "a Heap");
}

/** A block at a multiple of `2 ** shift`, or `NULL`. */
export function takeAligned(backing: Allocator, shift: number, bytes: number): Ptr {
  const alignment = 1 << shift;
  if (alignment <= MEM_ALIGNMENT) return backing.malloc(bytes);
  if (backing.alignedAlloc !== undefined) return backing.alignedAlloc(alignment, bytes);
  const finding = `this backing has no blocks at multiples of ${alignment}`;
  throw new MemoryError("ERR_UNSUPPORTED", `alignment ${alignment}: ${finding}; take them from its heap`);
}

/** Whether a value has what an allocator must have. */
export function isAllocator(value: unknown): value is Allocator {
  if (typeof value !== "object" || value === null) return false;
  const { malloc, free, usableSize, heap } = value as Partial<Record<keyof Allocator, unknown>>;
  const hasMethods = typeof malloc === "function" && typeof free === "function" && typeof usableSize === "function";
  return hasMethods && isHeap(heap);
}

function isHeap(value: unknown): value is Heap<HeapBuffer> {
  return typeof value === "object" && value !== null && (value as Heap<HeapBuffer>).u32 instanceof Uint32Array;
}
