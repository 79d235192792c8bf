import {
  mem_pointer_allocate,
  mem_pointer_create,
  mem_pointer_destroy,
  MemoryPool,
  type MemoryPointer,
} from "@heapwright/memkit";

import type { Load, MicroSubject } from "../adapter.ts";
import { backingFor } from "./pool.ts";

/** Names, pointers and containers beside the payloads. */
const ROOM_FACTOR = 8;

/** A named smart pointer with a container of its own, destroyed again; without the debug build's bookkeeping. */
export function open(load: Load): MicroSubject {
  const backing = backingFor(load, ROOM_FACTOR);
  const pool = new MemoryPool(16, { backing, debug: false });
  const malloc = (size: number): MemoryPointer | 0 => {
    const pointer = mem_pointer_create("block", size, { backing });
    return pointer !== null && mem_pointer_allocate(pointer, size, pool) ? pointer : 0;
  };
  return {
    target: { malloc, free: (pointer: MemoryPointer) => mem_pointer_destroy(pointer, pool) },
    bytes: () => backing.u8,
    placeOf: (pointer: MemoryPointer) => pointer.container?.data ?? 0,
  };
}
