/**
 * Says what is wrong with an argument: error paths, where time does not count and words do.
 *
 * @module
 */
import { asPtr, HeapError } from "@heapwright/core";

/** A whole number from 0: what a size or a count has to be. */
export function isCount(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && Number.isInteger(value);
}

/** What an alignment has to be. */
export function isPowerOfTwo(value: unknown): value is number {
  return typeof value === "number" && value >>> 0 === value && value !== 0 && (value & (value - 1)) === 0;
}

/** Any value as a message can show it: whole numbers below 2^32 in hexadecimal, as pointers are. */
export function show(value: unknown): string {
  if (typeof value === "number" && value >>> 0 === value) return `0x${value.toString(16)}`;
  return shown(value);
}

/** As {@link show}, but with numbers in decimal. */
export function shown(value: unknown): string {
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "object" && value !== null) return "an object";
  return typeof value === "function" || typeof value === "symbol" ? `a ${typeof value}` : String(value);
}

/** An argument of the wrong type or outside its range. */
export function badArgument(call: string, name: string, value: unknown, wanted: string): HeapError {
  return new HeapError("ERR_INVALID_ARGUMENT", `${call}: ${name} is ${shown(value)}; pass ${wanted}`);
}

/** A size that is none. */
export function badSize(call: string, value: unknown): HeapError {
  return badArgument(call, "the size", value, "a whole number of bytes from 0");
}

/** A pointer that is none, or none of this pool. */
export function badPointer(call: string, ptr: unknown): HeapError {
  const what = `${call}(${show(ptr)})`;
  if (typeof ptr !== "number") {
    return new HeapError("ERR_INVALID_ARGUMENT", `${what}: not a number; pass a pointer that this pool returned`);
  }
  const finding = "not from this pool; pass a pointer that it returned";
  return new HeapError("ERR_INVALID_POINTER", `${what}: ${finding}`, asPtr(ptr));
}

/** A pointer into a live block, but not to its beginning. */
export function interior(call: string, ptr: number, block: number, bytes: number): HeapError {
  const finding = `${ptr - block} bytes inside the ${bytes}-byte block at ${show(block)}; pass ${show(block)}`;
  return new HeapError("ERR_INVALID_POINTER", `${call}(${show(ptr)}): ${finding}`, asPtr(ptr));
}

/** A pointer into a free block. */
export function doubleFree(call: string, ptr: number, block: number): HeapError {
  const where = block === ptr ? "the block is free already" : `in the free block at ${show(block)}`;
  return new HeapError("ERR_DOUBLE_FREE", `${call}(${show(ptr)}): ${where}; free each block once`, asPtr(ptr));
}

/** Bytes are asked for where there are none. */
export function noBytes(call: string, remedy: string): HeapError {
  return new HeapError("ERR_UNSUPPORTED", `${call}: the blocks lie in an external range; ${remedy}`);
}

/** More alignment is asked for than the blocks have. */
export function misaligned(wanted: number, own: number): HeapError {
  const finding = `blocks of this pool lie at multiples of ${own}; make one with { alignment: ${wanted} }`;
  return new HeapError("ERR_UNSUPPORTED", `alignedAlloc(${wanted}): ${finding}`);
}

/** Magazines are asked for where there is nobody to share with. */
export function noMagazines(call: string): HeapError {
  return new HeapError("ERR_UNSUPPORTED", `${call}: magazine: the heap is private; leave it out, or share the heap`);
}

/** The run lengths have been written over. */
export function damaged(address: number): HeapError {
  const finding = `the run lengths at ${show(address)} are damaged: something wrote over them`;
  return new HeapError("ERR_CORRUPT", `recover: ${finding}; make a new pool`, asPtr(address));
}

/** The pool is gone. */
export function destroyed(call: string): HeapError {
  return new HeapError("ERR_DESTROYED", `${call}: the pool has been destroyed; make a new one`);
}

/** A constructor found no memory. */
export function outOfMemory(call: string, bytes: number): HeapError {
  return new HeapError("ERR_OUT_OF_MEMORY", `${call}: the backing has no ${bytes} bytes; ask for less or free some`);
}

/** A broken invariant. */
export function broken(invariant: number, finding: string, address: number): HeapError {
  const where = `check: invariant ${invariant} at ${show(address)}`;
  return new HeapError("ERR_CORRUPT", `${where}: ${finding}`, asPtr(address));
}
