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

/** What is wrong with a pointer that is no block of the allocator. */
export function badPointer(call: string, ptr: unknown): HeapError {
  const what = `${call}(${show(ptr)})`;
  if (typeof ptr !== "number") {
    return new HeapError("ERR_INVALID_ARGUMENT", `${what}: not a number; pass a pointer that this allocator returned`);
  }
  const finding = "not from this allocator; pass a pointer that it returned";
  return new HeapError("ERR_INVALID_POINTER", `${what}: ${finding}`, asPtr(ptr));
}

/** A pointer into a live block, but not to its beginning. */
export function interior(call: string, ptr: number, block: number, size: number): HeapError {
  const finding = `${ptr - block} bytes inside the ${size}-byte block at ${show(block)}; pass ${show(block)}`;
  return new HeapError("ERR_INVALID_POINTER", `${call}(${show(ptr)}): ${finding}`, asPtr(ptr));
}

/** A pointer into a block that is free. */
export function doubleFree(call: string, ptr: number, block: number): HeapError {
  const where = block === ptr ? "the block is free already" : `inside the free block at ${show(block)}`;
  return new HeapError("ERR_DOUBLE_FREE", `${call}(${show(ptr)}): ${where}; free each block once`, asPtr(ptr));
}

/** A free block's link has been written over. */
export function corrupt(call: string, address: number): HeapError {
  const finding = "a list of free blocks leads here, but here is none: something wrote into a block after it was freed";
  return new HeapError("ERR_CORRUPT", `${call}: ${show(address)}: ${finding}`, asPtr(address));
}

/** The allocator is gone. */
export function destroyed(call: string): HeapError {
  return new HeapError("ERR_DESTROYED", `${call}: the allocator has been destroyed; make a new one`);
}

/** A broken invariant. */
export function broken(invariant: number, finding: string, address: number): HeapError {
  const where = `check: invariant ${invariant} at ${show(address)}`;
  return new HeapError("ERR_CORRUPT", `${where}: ${finding}`, asPtr(address));
}
