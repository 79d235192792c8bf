/** @module */

// The allocator
export { ApfAllocator } from "./apf-allocator.ts";
export { type ApfOptions, BURST_LENGTH, HIBERNATION_PERIOD, TARGET_APF } from "./cursor.ts";
export type { ApfBlock, ApfStats } from "./inspect.ts";
export type { TunerPoint, TunerReport } from "./tuner.ts";
export { classOf } from "./size-classes.ts";
