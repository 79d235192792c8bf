import { NULL, type Ptr } from "@heapwright/core";
import { VariadicMemPool } from "@heapwright/pool";

import type { Load, Subject } from "../adapter.ts";
import { backingFor } from "./pool.ts";

const GROW_BYTES = 65_536;
const TOLERANCE_PERCENT = 20;

/** The variadic pool: it grows by 64 KiB and may waste 20 percent of a block. The footprint is that of its backing. */
export function open(load: Load): Subject {
  const backing = backingFor(load);
  const pool = new VariadicMemPool(GROW_BYTES, TOLERANCE_PERCENT, { backing });
  const target = Object.assign(pool, { realloc: (ptr: Ptr, size: number): Ptr => moveTo(pool, ptr, size) });
  return {
    target,
    bytes: () => backing.u8,
    footprint: () => backing.stats().footprint,
    check: () => pool.check(),
  };
}

/** The document has no realloc: allocate, copy, free. */
function moveTo(pool: VariadicMemPool, ptr: Ptr, size: number): Ptr {
  const room = pool.usableSize(ptr);
  const moved = pool.malloc(size);
  if (moved === NULL) return NULL;
  pool.heap.u8.copyWithin(moved, ptr, ptr + Math.min(room, size));
  pool.free(ptr);
  return moved;
}
