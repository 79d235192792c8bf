/**
 * How the document's functions answer: with `NULL` for what fails, with an error for arguments of another type.
 *
 * @module
 */
import { HeapError, NULL, type Ptr } from "@heapwright/core";

import { badArgument } from "./misuse.ts";

const FAILURES: readonly string[] = [
  "ERR_DOUBLE_FREE",
  "ERR_INVALID_ARGUMENT",
  "ERR_INVALID_POINTER",
  "ERR_OUT_OF_MEMORY",
  "ERR_UNSUPPORTED",
];

/**
 * The answer where an allocation has thrown.
 *
 * @throws the error, where the document does not answer it with a result
 */
export function nullFor(error: unknown): Ptr {
  if (isFailure(error)) return NULL;
  throw error;
}

/** Whether an error is one that the document answers with a result. */
export function isFailure(error: unknown): boolean {
  return error instanceof HeapError && FAILURES.includes(error.code);
}

/** @throws HeapError `ERR_INVALID_ARGUMENT` for anything but a number */
export function expectNumber(call: string, name: string, value: unknown): void {
  if (typeof value !== "number") throw badArgument(call, name, value, "a number");
}
