/** @module */

// Pointers
export { asPtr, type Block, NULL, offsetPtr, type Ptr } from "./ptr.ts";

// Errors
export { HeapError, type HeapErrorCode } from "./errors.ts";

// The heap
export { Heap, type HeapConstructor } from "./heap.ts";
export type { AdoptOptions, AttachOptions, HeapOptions, HeapSource, SharedHeapOptions } from "./range.ts";
export type { BlockInfo, HeapStats } from "./inspect.ts";
export type { HeapBuffer } from "./views.ts";

// Several workers
export { SharedHeap } from "./shared-heap.ts";
export { type Acquired, Lock } from "./lock.ts";
export type { HeapDescriptor } from "./slots.ts";
export type { WorkerLike } from "./worker.ts";

// The contract
export { alignedAllocFrom, type Allocator, callocFrom, reallocFrom } from "./allocator.ts";
export { defaultHeap, globalAllocator, setGlobalAllocator } from "./global-allocator.ts";

// libc's names
export { aligned_alloc, calloc, free, malloc, realloc } from "./libc.ts";

// Alignment
export { alignDown, alignUp, isAligned, isPowerOfTwo } from "./align.ts";

// Codecs
export {
  array,
  type ArrayCodec,
  bits,
  type BitsCodec,
  bool,
  type Codec,
  f32,
  f64,
  i16,
  i32,
  i64,
  i8,
  ptr,
  type ScalarCodec,
  struct,
  type StructCodec,
  u16,
  u32,
  u64,
  u8,
  usize,
  type ValueOf,
  type Views,
} from "./codec.ts";
