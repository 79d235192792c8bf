/**
 * How functions of the document's API answer: their arguments' types, errno, the failure value.
 *
 * @module
 */
import { isAllocator } from "./backing.ts";
import { MemoryArena } from "./memory-arena.ts";
import { MemoryContainer } from "./memory-container.ts";
import { badArgument, EINVAL, errnoOf } from "./memory-error.ts";
import { MemoryPointer } from "./memory-pointer.ts";
import { MemoryPool } from "./memory-pool.ts";
import type { PoolOptions } from "./pool-control.ts";
import type { PoolState } from "./pool-state.ts";

/** Errors that are answered by a function's failure value. The others are thrown on both faces. */
const ANSWERED: ReadonlySet<string> = /* @__PURE__ */ new Set([
  "ERR_OUT_OF_MEMORY",
  "ERR_INVALID_ARGUMENT",
  "ERR_INVALID_POINTER",
  "ERR_CORRUPT",
]);

/** The types of options, but for `backing`. */
const OPTIONS: readonly (readonly [name: keyof PoolOptions, type: string])[] = [
  ["alignment", "number"],
  ["orphans", "string"],
  ["maxOrphans", "number"],
  ["threadSafe", "boolean"],
  ["debug", "boolean"],
  ["log", "function"],
  ["report", "function"],
];

/** One number. Typed, since V8 asks of a variable that functions of several modules set whether it is there yet. */
const errno: Int32Array = /* @__PURE__ */ new Int32Array(1);

/** Why the last call of one of the functions here failed: `ENOMEM`, `EINVAL` and so on; 0 when it did not. */
export function mem_errno(): number {
  return errno[0]!;
}

/** Ends a call of the document's API. */
export function answer<T>(number: number, value: T): T {
  errno[0] = number;
  return value;
}

/** The document's result for an argument that is null. */
export function isNull<T>(call: string, pool: PoolState | undefined, failure: T): T {
  pool?.watch?.refused(`${call}: an argument is null`);
  return answer(EINVAL, failure);
}

/**
 * The document's result for misuse and damage. What is damaged is reported besides, all else thrown again, and so is what
 * options of wrong types have caused.
 */
export function failed<T>(pool: PoolState | undefined, error: unknown, failure: T, options?: PoolOptions): T {
  const number = errnoOf(error);
  if (number === undefined || !(error instanceof Error)) throw error;
  errno[0] = number;
  const { code } = error as Error & { readonly code?: string };
  pool?.watch?.refused(error.message);
  if (!ANSWERED.has(code ?? "") || !areTyped(options)) throw error;
  if (code === "ERR_CORRUPT") (pool?.report ?? console.error)(error.message);
  return failure;
}

function areTyped(options: unknown): boolean {
  if (options === undefined) return true;
  if (typeof options !== "object" || options === null) return false;
  const of = options as Record<string, unknown>;
  if (of["backing"] !== undefined && !isAllocator(of["backing"])) return false;
  return OPTIONS.every(([name, type]) => of[name] === undefined || typeof of[name] === type);
}

/** Notes what is about to be thrown. */
export function thrown(error: Error & { readonly errno: number }): Error {
  errno[0] = error.errno;
  return error;
}

export function expectPool(call: string, pool: unknown): asserts pool is MemoryPool | null {
  if (pool !== null && !(pool instanceof MemoryPool)) throw thrown(badArgument(call, "pool", pool, "a MemoryPool"));
}

export function expectBoolean(call: string, name: string, value: unknown): void {
  if (typeof value !== "boolean") throw thrown(badArgument(call, name, value, "a boolean"));
}

export function expectPointer(call: string, ptr: unknown): asserts ptr is MemoryPointer | null {
  if (ptr !== null && !(ptr instanceof MemoryPointer)) throw thrown(badArgument(call, "ptr", ptr, "a MemoryPointer"));
}

export function expectContainer(call: string, container: unknown): asserts container is MemoryContainer | null {
  if (container !== null && !(container instanceof MemoryContainer)) {
    throw thrown(badArgument(call, "container", container, "a MemoryContainer"));
  }
}

export function expectArena(call: string, arena: unknown): asserts arena is MemoryArena | null {
  if (arena !== null && !(arena instanceof MemoryArena)) {
    throw thrown(badArgument(call, "arena", arena, "a MemoryArena"));
  }
}

export function expectName(call: string, name: unknown): asserts name is string | null {
  if (name !== null && typeof name !== "string") throw thrown(badArgument(call, "name", name, "a string"));
}

export function expectAddress(call: string, address: unknown): void {
  if (typeof address !== "bigint") throw thrown(badArgument(call, "address", address, "a BigInt"));
}

export function expectNumber(call: string, name: string, value: unknown): asserts value is number {
  if (typeof value !== "number") throw thrown(badArgument(call, name, value, "a number"));
}

/** A number that `null` and an empty struct have none of. */
export function inspect(pool: MemoryPool | null, read: (pool: MemoryPool) => number): number {
  if (pool === null || (pool.state === undefined && !pool.isGone)) return answer(EINVAL, 0);
  try {
    pool.expectState("inspect");
    return answer(0, read(pool));
  } catch (error) {
    return failed(pool.state, error, 0);
  }
}
