/**
 * The one error type of every package, and the catalogue of its codes.
 *
 * @module
 */
import type { Ptr } from "./ptr.ts";

/** What went wrong; errors are recognised by this, never by their text or class. */
export type HeapErrorCode =
  /** A constructor or an init function found no memory. Allocation itself returns `NULL`. */
  | "ERR_OUT_OF_MEMORY"
  /** An argument of the wrong type or outside its range. */
  | "ERR_INVALID_ARGUMENT"
  /** A pointer that is no payload of this allocator: foreign, interior, misaligned or out of range. */
  | "ERR_INVALID_POINTER"
  /** The block is free already. */
  | "ERR_DOUBLE_FREE"
  /** A handle whose block has been freed since. */
  | "ERR_USE_AFTER_FREE"
  /** The allocator has been destroyed. */
  | "ERR_DESTROYED"
  /** The allocator's own words are not what they must be: something wrote over them. */
  | "ERR_CORRUPT"
  /** The buffer holds no heap (or the handle no such allocator). */
  | "ERR_NOT_A_HEAP"
  /** The heap was made by a version with another layout. */
  | "ERR_LAYOUT_VERSION"
  /** The lock is taken and this agent may not wait for it. */
  | "ERR_WOULD_BLOCK"
  /** Every worker slot of the heap is taken. */
  | "ERR_NO_SLOT"
  /** What was asked cannot be done on this kind of memory. */
  | "ERR_UNSUPPORTED"
  /** Shared memory is not to be had in this page: it is not cross-origin isolated. */
  | "ERR_NOT_ISOLATED";

/**
 * Misuse or corruption, with its code and, where one is concerned, the pointer. The message states call, pointer,
 * finding and remedy: `free(0x1a40): 16 bytes inside the 64-byte block at 0x1a30; pass 0x1a30`.
 */
export class HeapError extends Error {
  override readonly name = "HeapError";
  readonly code: HeapErrorCode;
  /** The pointer in question, where there is one. */
  readonly ptr: Ptr | undefined;

  constructor(code: HeapErrorCode, message: string, ptr?: Ptr) {
    super(message);
    this.code = code;
    this.ptr = ptr;
  }

  /** @internal A program may have two copies of this package: the errors of both are recognised by either. */
  static [Symbol.hasInstance](value: unknown): boolean {
    if (this !== HeapError) return Function.prototype[Symbol.hasInstance].call(this, value);
    return value instanceof Error && value.name === "HeapError" && "code" in value;
  }
}

/**
 * Writes any value a caller may have passed so that a message can show it: pointers in hexadecimal, all else as it is.
 *
 * @param value - the argument
 * @returns `0x1a40` for a whole number from 0 to 2^32 - 1, otherwise type and value
 */
export function show(value: unknown): string {
  if (typeof value === "number") {
    return value >>> 0 === value ? `0x${value.toString(16)}` : String(value);
  }
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "object" && value !== null) return "an object";
  return typeof value === "function" || typeof value === "symbol" ? `a ${typeof value}` : String(value);
}
