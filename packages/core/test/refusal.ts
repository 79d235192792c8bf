import { expect } from "vitest";
import { HeapError } from "../src/errors.ts";
import type { HeapBuffer } from "../src/views.ts";

/** What of a heap can be copied and compared. */
interface Bytes {
  readonly buffer: HeapBuffer;
}

/** The HeapError that a call throws; anything else that happens is a failure. */
export function refusalOf(act: () => unknown): HeapError {
  let result: unknown;
  try {
    result = act();
  } catch (error) {
    if (error instanceof HeapError) return error;
    throw error;
  }
  throw new Error(`accepted, and returned ${String(result)}`);
}

/** The same, and the whole buffer must be as it was. */
export function refusalIn(heap: Bytes, act: () => unknown): HeapError {
  const before = copyOf(heap);
  const error = refusalOf(act);
  expectSame(heap, before, error.message);
  return error;
}

/** A copy of the whole buffer. */
export function copyOf(heap: Bytes): Uint8Array {
  return new Uint8Array(heap.buffer).slice();
}

/** Expects a buffer to be what the copy is; far faster than a deep comparison, and it says where they differ. */
export function expectSame(heap: Bytes, before: Uint8Array, what: string = "the buffer"): void {
  const now = new Uint8Array(heap.buffer);
  if (Buffer.compare(now, before) === 0) return;
  const at = now.findIndex((byte, index) => byte !== before[index]);
  expect.fail(`${what}: byte ${at} was ${before[at]} and is ${now[at]}`);
}
