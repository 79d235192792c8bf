/**
 * The contract between allocators and what stands on them, and what follows from it.
 *
 * @module
 */
import { isPowerOfTwo } from "./align.ts";
import type { Heap } from "./heap.ts";
import { HeapError, show } from "./errors.ts";
import { badCount, isCount } from "./misuse.ts";
import { NULL, type Ptr } from "./ptr.ts";
import type { HeapBuffer } from "./views.ts";

/**
 * Serves blocks of one heap. Three methods are required; the other three are derived by {@link callocFrom},
 * {@link reallocFrom} and {@link alignedAllocFrom} where an allocator has no better way of its own.
 *
 * Out of memory is a result (`NULL`); misuse throws a `HeapError` and changes nothing.
 */
export interface Allocator {
  /** The heap whose bytes the pointers are offsets of. */
  readonly heap: Heap<HeapBuffer>;
  /**
   * @param size - payload bytes, a whole number from 0; 0 gives a distinct block of the smallest size
   * @returns the payload, or `NULL` when there is no memory
   */
  malloc(size: number): Ptr;
  /** @param ptr - a live payload of this allocator; `NULL` does nothing */
  free(ptr: Ptr): void;
  /**
   * @param ptr - a live payload of this allocator
   * @returns the bytes that may be written there, at least what was asked for
   */
  usableSize(ptr: Ptr): number;
  /** As {@link callocFrom}. */
  calloc?(count: number, size: number): Ptr;
  /** As {@link reallocFrom}. */
  realloc?(ptr: Ptr, size: number): Ptr;
  /** As {@link alignedAllocFrom}. */
  alignedAlloc?(alignment: number, size: number): Ptr;
}

/** What the payloads of every allocator are aligned to, in bytes. */
const ALIGNMENT_BYTES = 8;

/**
 * Zeroed memory for an array, from any allocator. O(bytes).
 *
 * @param allocator - where from
 * @param count - elements, a whole number from 0
 * @param size - bytes of each, a whole number from 0
 * @returns the payload; `NULL` when there is no room for `count * size` bytes
 * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but whole numbers from 0
 */
export function callocFrom(allocator: Allocator, count: number, size: number): Ptr {
  expectAllocator("calloc", allocator);
  if (allocator.calloc !== undefined) return allocator.calloc(count, size);
  if (!isCount(count) || !isCount(size)) throw badCount("calloc(count, size)", isCount(count) ? size : count);
  const bytes = count * size;
  if (bytes > 0xffff_ffff) return NULL;
  const ptr = allocator.malloc(bytes);
  if (ptr !== NULL) allocator.heap.bytes(ptr, bytes).fill(0);
  return ptr;
}

/**
 * Changes a block's size, moving it where it has to. Order of a move: allocate, copy, free the payload.
 *
 * @param allocator - where the block is from
 * @param ptr - a live payload of it; `NULL` makes this `malloc(size)`
 * @param size - payload bytes, a whole number from 0; 0 leaves a block of the smallest size
 * @returns the payload, with the old contents up to the smaller of both sizes; `NULL` when there is no room, and then
 * the old block is as it was
 * @throws HeapError as the allocator's own functions do
 */
export function reallocFrom(allocator: Allocator, ptr: Ptr, size: number): Ptr {
  expectAllocator("realloc", allocator);
  if (allocator.realloc !== undefined) return allocator.realloc(ptr, size);
  if (ptr === NULL) return allocator.malloc(size);
  const usable = allocator.usableSize(ptr);
  if (isCount(size) && size <= usable) return ptr;
  const moved = allocator.malloc(size);
  if (moved === NULL) return NULL;
  allocator.heap.u8.copyWithin(moved, ptr, ptr + usable);
  allocator.free(ptr);
  return moved;
}

/**
 * A payload at a multiple of `alignment`.
 *
 * @param allocator - where from
 * @param alignment - bytes, a power of two
 * @param size - payload bytes, a whole number from 0
 * @returns the payload; `NULL` when there is no room
 * @throws HeapError `ERR_INVALID_ARGUMENT` for anything else, `ERR_UNSUPPORTED` above 8 bytes where the allocator has no
 * way to do it
 */
export function alignedAllocFrom(allocator: Allocator, alignment: number, size: number): Ptr {
  expectAllocator("alignedAlloc", allocator);
  if (allocator.alignedAlloc !== undefined) return allocator.alignedAlloc(alignment, size);
  if (!isCount(alignment) || alignment > 0xffff_ffff || !isPowerOfTwo(alignment)) {
    throw badCount("alignedAlloc(alignment, size)", alignment, "a power of two");
  }
  if (alignment <= ALIGNMENT_BYTES) return allocator.malloc(size);
  const finding = `this allocator has no blocks at multiples of ${alignment}`;
  throw new HeapError("ERR_UNSUPPORTED", `alignedAlloc(${alignment}, ${size}): ${finding}; take them from its heap`);
}

/** @throws HeapError `ERR_INVALID_ARGUMENT` for what is no allocator */
export function expectAllocator(call: string, value: unknown): void {
  if (typeof value === "object" && value !== null) {
    const { malloc, free, usableSize, heap } = value as Partial<Record<keyof Allocator, unknown>>;
    const hasMethods = typeof malloc === "function" && typeof free === "function" && typeof usableSize === "function";
    if (hasMethods && typeof heap === "object" && heap !== null) return;
  }
  throw new HeapError("ERR_INVALID_ARGUMENT", `${call}(${show(value)}): pass an allocator`);
}
