/** @module */

// The document's API
export {
  allocate_type,
  allocate_val,
  do_aligned_alloc,
  do_free,
  do_malloc,
  do_realloc,
  get_allocation_size,
  no_tuning,
} from "./apfmalloc.ts";
export { AutoPtr, type AutoPtrOptions } from "./auto-ptr.ts";
export { type AnyHeld, type Held, type Owned, owning } from "./owning.ts";

// The allocator
export { ApfAllocator } from "./apf-allocator.ts";
export { type ApfOptions, BURST_LENGTH, HIBERNATION_PERIOD, TARGET_APF } from "./cursor.ts";
export { defaultAllocator } from "./default-allocator.ts";
export type { ApfBlock, ApfStats } from "./inspect.ts";
export { classOf } from "./size-classes.ts";
export type { TunerPoint, TunerReport } from "./tuner.ts";
