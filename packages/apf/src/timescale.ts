/**
 * The tuner's mathematics by itself: timescale functions of any trace, and the rules that follow from a demand.
 *
 * @module
 */

// Traces and what they tell
export { type FreeInterval, Trace } from "./trace.ts";
export { ReuseCounter, reuseFunction } from "./reuse.ts";
export { LivenessCounter } from "./liveness.ts";

// The rules
export { fetchCount, returnCount, returnLimit, windowOf } from "./demand.ts";
