/**
 * What went wrong, with the number that C's errno would have. Error paths: time does not count and words do.
 *
 * @module
 */
import { asPtr, HeapError, type HeapErrorCode } from "@heapwright/core";

// Linux's numbers.
/** No such entry: what was to be found is not there. */
export const ENOENT = 2;
/** The lock is taken and this agent may not wait for it. */
export const EAGAIN = 11;
/** Out of memory. */
export const ENOMEM = 12;
/** Bad address: freed since, or written over. */
export const EFAULT = 14;
/** Invalid argument. */
export const EINVAL = 22;
/** A size that no size_t holds once it is rounded up. */
export const EOVERFLOW = 75;
/** Not there in this build, or on this kind of memory. */
export const ENOTSUP = 95;

const NUMBERS: Readonly<Record<HeapErrorCode, number>> = {
  ERR_OUT_OF_MEMORY: ENOMEM,
  ERR_INVALID_ARGUMENT: EINVAL,
  ERR_INVALID_POINTER: ENOENT,
  ERR_DOUBLE_FREE: EFAULT,
  ERR_USE_AFTER_FREE: EFAULT,
  ERR_DESTROYED: EINVAL,
  ERR_CORRUPT: EFAULT,
  ERR_NOT_A_HEAP: EINVAL,
  ERR_LAYOUT_VERSION: EINVAL,
  ERR_WOULD_BLOCK: EAGAIN,
  ERR_NO_SLOT: EAGAIN,
  ERR_UNSUPPORTED: ENOTSUP,
  ERR_NOT_ISOLATED: ENOTSUP,
};

/** Misuse or corruption as core reports it, with its number in C besides. Tell errors apart by `code` or `errno`. */
export class MemoryError extends HeapError {
  /** `EINVAL`, `ENOMEM`, `EOVERFLOW`, `ENOENT`, `EFAULT`, `EAGAIN` or `ENOTSUP`. */
  readonly errno: number;

  constructor(code: HeapErrorCode, message: string, ptr?: number, errno: number = NUMBERS[code]) {
    super(code, message, ptr === undefined ? ptr : asPtr(ptr));
    this.errno = errno;
  }
}

/** The number of an error, of core's as well; `undefined` for all that is no HeapError. */
export function errnoOf(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, errno } = error as Error & { readonly code?: unknown; readonly errno?: unknown };
  if (typeof code !== "string" || !Object.hasOwn(NUMBERS, code)) return undefined;
  return typeof errno === "number" ? errno : NUMBERS[code as HeapErrorCode];
}

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

/** A call as messages name it, with the name of the variable that it is about. */
export function callOn(call: string, name: string): string {
  return `${call} of ${JSON.stringify(name)}`;
}

/** An argument of the wrong type or outside its range. */
export function badArgument(call: string, name: string, value: unknown, wanted: string): MemoryError {
  return new MemoryError("ERR_INVALID_ARGUMENT", `${call}: ${name} is ${shown(value)}; pass ${wanted}`);
}

/** Arguments that each are what they must be, but not for each other. */
export function refused(call: string, finding: string, ptr?: number): MemoryError {
  return new MemoryError("ERR_INVALID_ARGUMENT", `${call}: ${finding}`, ptr);
}

/** What was to be found in a pool is not there. */
export function notFound(call: string, container: number): MemoryError {
  const finding = "the container is not in this pool; pass the pool that it is in";
  return new MemoryError("ERR_INVALID_POINTER", `${call}(${show(container)}): ${finding}`, container);
}

/** A size that rounding takes beyond what a heap can address. */
export function overflow(call: string, size: number): MemoryError {
  const finding = `${size} bytes, rounded up, are more than 2^32 - 1; ask for less`;
  return new MemoryError("ERR_INVALID_ARGUMENT", `${call}: ${finding}`, undefined, EOVERFLOW);
}

/** A constructor found no memory. */
export function outOfMemory(call: string, bytes: number): MemoryError {
  return new MemoryError("ERR_OUT_OF_MEMORY", `${call}: the backing has no ${bytes} bytes; ask for less or free some`);
}

/** The allocator is gone. */
export function destroyed(call: string, what: string): MemoryError {
  return new MemoryError("ERR_DESTROYED", `${call}: the ${what} has been destroyed; make a new one`);
}

/** A handle outlived what it names. */
export function usedAfterFree(call: string, what: string, ptr: number): MemoryError {
  const finding = `the ${what} at ${show(ptr)} has been freed since; do not keep handles that long`;
  return new MemoryError("ERR_USE_AFTER_FREE", `${call}: ${finding}`, ptr);
}

/** A handle is destroyed again. */
export function doubleFree(call: string, what: string, ptr: number): MemoryError {
  return new MemoryError("ERR_DOUBLE_FREE", `${call}: the ${what} at ${show(ptr)} is free already; free it once`, ptr);
}

/** Words of the allocator's own have been written over. */
export function corrupt(call: string, finding: string, ptr: number): MemoryError {
  return new MemoryError("ERR_CORRUPT", `${call}: ${finding}, at ${show(ptr)}; something wrote there`, ptr);
}

/** A broken invariant. */
export function broken(invariant: number, finding: string, ptr: number): MemoryError {
  return new MemoryError("ERR_CORRUPT", `check: invariant ${invariant} at ${show(ptr)}: ${finding}`, ptr);
}
