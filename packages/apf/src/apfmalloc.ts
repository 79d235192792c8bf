/**
 * The document's API, verbatim: apfmalloc's functions with their names, arguments and results, over the default allocator.
 * The type parameter of C++ and Rust is a codec here.
 *
 * What fails gives `NULL`, misuse of sizes and alignments included; only `do_free`, which has no result, throws. Arguments of
 * the wrong type are `HeapError`s.
 *
 * @module
 */
import { type Codec, NULL, type Ptr } from "@heapwright/core";

import { expectNumber, isFailure, nullFor } from "./answers.ts";
import { defaultAllocator } from "./default-allocator.ts";
import { badArgument } from "./misuse.ts";

/**
 * Allocates at least so many bytes. O(1) up to 14 KiB.
 *
 * @param size - bytes; 0 gives a block of 8
 * @returns the block; `NULL` when there is no memory, and for a number that is no size
 * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but a number
 */
export function do_malloc(size: number): Ptr {
  expectNumber("do_malloc", "size", size);
  try {
    return defaultAllocator().malloc(size);
  } catch (error) {
    return nullFor(error);
  }
}

/**
 * Allocates at least so many bytes at a multiple of an alignment.
 *
 * @param align - bytes, a power of two
 * @param size - bytes, any number of them
 * @returns the block; `NULL` when there is no memory, and for numbers that are no alignment or no size
 * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but numbers
 */
export function do_aligned_alloc(align: number, size: number): Ptr {
  expectNumber("do_aligned_alloc", "align", align);
  expectNumber("do_aligned_alloc", "size", size);
  try {
    return defaultAllocator().alignedAlloc(align, size);
  } catch (error) {
    return nullFor(error);
  }
}

/**
 * Changes a block's size; when it has to, it moves what lies there to another place, never past its end.
 *
 * @param ptr - a block; `NULL` makes this `do_malloc`
 * @param size - bytes
 * @returns the block, the old pointer is void if it is another one; `NULL` when there is no memory, and for a pointer or a
 * size that is none: the old block is as it was
 * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but numbers
 */
export function do_realloc(ptr: Ptr, size: number): Ptr {
  expectNumber("do_realloc", "ptr", ptr);
  expectNumber("do_realloc", "size", size);
  try {
    return defaultAllocator().realloc(ptr, size);
  } catch (error) {
    return nullFor(error);
  }
}

/**
 * Releases a block, which others may be given then. O(1).
 *
 * @param ptr - a block; `NULL` does nothing
 * @throws HeapError `ERR_DOUBLE_FREE` for a block that is free, `ERR_INVALID_POINTER` for any other pointer that is no block,
 * `ERR_INVALID_ARGUMENT` for anything but a number; nothing has changed then
 */
export function do_free(ptr: Ptr): void {
  expectNumber("do_free", "ptr", ptr);
  defaultAllocator().free(ptr);
}

/**
 * Allocates what a value of a type takes, aligned as it has to be. The value is not initialised.
 *
 * @param codec - the type
 * @returns the block; `NULL` when there is no memory
 * @throws HeapError `ERR_INVALID_ARGUMENT` for what is no codec
 */
export function allocate_type<T>(codec: Codec<T>): Ptr {
  expectCodec("allocate_type", codec);
  return do_aligned_alloc(codec.align, codec.size);
}

/**
 * Allocates what a value takes, and writes it there.
 *
 * @param codec - its type
 * @param val - the value
 * @returns the block; `NULL` when there is no memory
 * @throws HeapError `ERR_INVALID_ARGUMENT` for what is no codec, and for a value that it cannot write: no block is left then
 */
export function allocate_val<T>(codec: Codec<T>, val: T): Ptr {
  expectCodec("allocate_val", codec);
  const ptr = allocate_type(codec);
  if (ptr === NULL) return NULL;
  try {
    codec.write(defaultAllocator().heap, ptr, val);
    return ptr;
  } catch (error) {
    do_free(ptr);
    throw error;
  }
}

/**
 * How much may be written into a block.
 *
 * @param ptr - a block
 * @returns the bytes that may be written there; `undefined` for a pointer that is no block
 * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but a number
 */
export function get_allocation_size(ptr: Ptr): number | undefined {
  expectNumber("get_allocation_size", "ptr", ptr);
  try {
    return defaultAllocator().usableSize(ptr);
  } catch (error) {
    if (isFailure(error)) return undefined;
    throw error;
  }
}

/**
 * Calls a function with the tuner off.
 *
 * @param act - the function
 * @returns what it returns
 * @throws HeapError `ERR_INVALID_ARGUMENT` for what is no function; what the function throws
 */
export function no_tuning<T>(act: () => T): T {
  return defaultAllocator().noTuning(act);
}

function expectCodec(call: string, value: unknown): void {
  if (typeof value === "object" && value !== null) {
    const { size, align, read, write } = value as Partial<Record<keyof Codec, unknown>>;
    const hasMethods = typeof read === "function" && typeof write === "function";
    if (hasMethods && typeof size === "number" && typeof align === "number") return;
  }
  throw badArgument(call, "the codec", value, "one of core's, such as u32 or a struct");
}
