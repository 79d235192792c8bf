import { ApfAllocator } from "@heapwright/apf";

import type { Load, Subject } from "../adapter.ts";
import { backingFor } from "./pool.ts";

/** The allocator of `@heapwright/apf`, tuned as it is by default. The footprint is that of its backing. */
export function open(load: Load): Subject {
  const backing = backingFor(load);
  const target = new ApfAllocator({ backing });
  return {
    target,
    bytes: () => backing.u8,
    footprint: () => backing.stats().footprint,
    check: () => target.check(),
  };
}
