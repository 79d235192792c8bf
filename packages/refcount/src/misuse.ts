/**
 * Says what is wrong with an argument: error paths, where time does not count and words do.
 *
 * @module
 */
import { asPtr, HeapError, type Ptr } from "@heapwright/core";

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

/** As many references in words. */
export function references(count: number): string {
  return count === 1 ? "1 reference" : `${count} references`;
}

/** An argument of the wrong type or outside its range. */
export function badArgument(call: string, name: string, value: unknown, wanted: string): HeapError {
  return new HeapError("ERR_INVALID_ARGUMENT", `${call}: ${name} is ${shown(value)}; pass ${wanted}`);
}

/** What is no number, and so no pointer. */
export function notANumber(call: string, ptr: unknown): HeapError {
  return new HeapError("ERR_INVALID_ARGUMENT", `${call}(${show(ptr)}): not a number; pass a pointer`);
}

/** A pointer that the state does not know. */
export function untracked(call: string, ptr: Ptr): HeapError {
  const finding =
    "not tracked by this state, or no longer; pass a pointer that it allocated or that was attached to it";
  return new HeapError("ERR_INVALID_POINTER", `${call}(${show(ptr)}): ${finding}`, ptr);
}

/** A pointer that cannot be tracked: `NULL`, or no address. */
export function noAddress(call: string, ptr: Ptr): HeapError {
  const finding = ptr === 0 ? "NULL names no block; check what malloc returned" : "no address; pass a pointer";
  return new HeapError("ERR_INVALID_POINTER", `${call}(${show(ptr)}): ${finding}`, ptr);
}

/** A pointer that is tracked already. */
export function trackedAlready(call: string, ptr: Ptr, count: number): HeapError {
  const finding = `tracked already, with ${references(count)}; attach a pointer once, and retain it from there on`;
  return new HeapError("ERR_INVALID_POINTER", `${call}(${show(ptr)}): ${finding}`, ptr);
}

/** The backing has handed out an address that the state still tracks. */
export function freedElsewhere(ptr: Ptr, count: number): HeapError {
  const finding = `the backing has handed out ${show(ptr)}, which is tracked with ${references(count)}: it was freed elsewhere`;
  return new HeapError("ERR_INVALID_POINTER", `malloc: ${finding}; detach a pointer before you free it yourself`, ptr);
}

/** A reference or a scope that has been given up. */
export function givenUp(call: string): HeapError {
  return new HeapError("ERR_USE_AFTER_FREE", `${call}: the reference has been released or kept; hold another`);
}

/** What is said when a count can rise no further. */
export function saturated(ptr: Ptr): string {
  return `retain(${show(ptr)}): more references than can be counted; the pointer is kept until it is detached`;
}

/** The state is gone. */
export function destroyed(call: string): HeapError {
  return new HeapError("ERR_DESTROYED", `${call}: the state has been destroyed; make a new one`);
}

/** A broken invariant. */
export function broken(invariant: number, finding: string, address: number): HeapError {
  const where = `check: invariant ${invariant} at ${show(address)}`;
  return new HeapError("ERR_CORRUPT", `${where}: ${finding}`, asPtr(address));
}
