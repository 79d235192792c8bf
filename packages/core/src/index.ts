/** @module */

// Pointers
export { asPtr, type Block, NULL, offsetPtr, type Ptr } from "./ptr.ts";

// Errors
export { HeapError, type HeapErrorCode } from "./errors.ts";

// The heap
export { type AdoptOptions, type AttachOptions, Heap, type HeapOptions, type HeapSource } from "./heap.ts";
export type { BlockInfo, HeapStats } from "./inspect.ts";
export type { HeapBuffer } from "./views.ts";

// The contract
export type { Allocator } from "./allocator.ts";
