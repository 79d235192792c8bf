/** @module */

// The shadow heap
export type { PayloadViews } from "./pattern.ts";
export { type ShadowBlock, ShadowError, ShadowHeap, type ShadowOptions, type Watchable } from "./shadow-heap.ts";

// Streams of operations
export {
  bimodal,
  describeOperation,
  type Distribution,
  type Mix,
  OPERATION,
  operations,
  powerLaw,
  programSizes,
  random,
  type Random,
  type Stream,
  type StreamOptions,
  uniform,
} from "./stream.ts";
export { replay, type ReplayOptions, type ReplayResult } from "./replay.ts";

// Tests under the watch of the setup file
export { allowLive, forget, HeapWatch } from "./heap-watch.ts";

// The run
export { runs, seedFromEnv } from "./env.ts";
