/**
 * The hook that is told of each allocation that failed.
 *
 * @module
 */
import { badArgument } from "./memory-error.ts";

/** Is given the bytes that were asked for. It runs after everything is as it was before the call. */
export type OomHandler = (requested: number) => void;

let handler: OomHandler = printFailure;

/**
 * Sets what is called when an allocation of this package fails in this agent: once for each failure, before the call that
 * failed returns.
 *
 * @param oom_handler - is given the bytes that were asked for, rounded to the alignment; `null` goes back to the default,
 * which writes a line to `console.error`. What it throws comes out of the call that failed
 * @throws HeapError `ERR_INVALID_ARGUMENT` for anything else
 * @example
 * ```ts
 * mem_set_oom_handler((requested) => console.error(`CRITICAL: Failed to allocate ${requested} bytes.`));
 * ```
 */
export function mem_set_oom_handler(oom_handler: OomHandler | null): void {
  if (oom_handler !== null && typeof oom_handler !== "function") {
    throw badArgument("mem_set_oom_handler", "the handler", oom_handler, "a function or null");
  }
  handler = oom_handler ?? printFailure;
}

/** Reports an allocation that failed. */
export function reportOom(requested: number): void {
  handler(requested);
}

function printFailure(requested: number): void {
  console.error(`Memory allocation failed: requested ${requested} bytes`);
}
