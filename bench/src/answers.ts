/**
 * Recognises what the measuring processes answer.
 *
 * @module
 */
import type { BlockCosts } from "./block-costs.ts";
import type { Failure, Garbage, Started, Timing } from "./child.ts";
import type { Verification } from "./replay.ts";

/** @returns whether `answer` says why there is none */
export function isFailure(answer: unknown): answer is Failure {
  return typeof answer === "object" && answer !== null && "error" in answer && typeof answer.error === "string";
}

/** @returns whether `answer` is what `run` gives */
export function isTiming(answer: unknown): answer is Timing {
  return hasNumbers(answer, ["nanoseconds", "cpuNanoseconds", "passes"]);
}

/** @returns whether `answer` is what `blocks` gives */
export function isBlockCosts(answer: unknown): answer is BlockCosts {
  return hasNumbers(answer, ["jsHeap", "resident"]) && "distance" in answer;
}

/** @returns whether `answer` is what `garbage` gives */
export function isGarbage(answer: unknown): answer is Garbage {
  return hasNumbers(answer, ["bytes"]);
}

/** @returns whether `answer` is what `start` gives */
export function isStarted(answer: unknown): answer is Started {
  return hasNumbers(answer, ["microseconds"]);
}

/** @returns whether `answer` is what `verify` gives */
export function isVerification(answer: unknown): answer is Verification {
  return (
    hasNumbers(answer, ["operations", "footprint", "milliseconds"]) &&
    "fault" in answer &&
    (answer.fault === null || typeof answer.fault === "string") &&
    "samples" in answer &&
    Array.isArray(answer.samples)
  );
}

function hasNumbers(answer: unknown, names: readonly string[]): answer is object {
  return (
    typeof answer === "object" &&
    answer !== null &&
    names.every((name) => typeof Object.getOwnPropertyDescriptor(answer, name)?.value === "number")
  );
}

/** @returns whether `answer` says that something has been made ready */
export function isNull(answer: unknown): answer is null {
  return answer === null;
}
