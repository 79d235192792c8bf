/** @module */

// The document's API
export { sample_alloc, sample_free, sample_init } from "./sample.ts";

// The class
export { Sample, type SampleOptions, type SampleStats } from "./sample-allocator.ts";
