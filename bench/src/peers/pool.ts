import { Heap } from "@heapwright/core";

import { firstBytesFor, type Load } from "../adapter.ts";

/** Room for a first region of either pool, whatever the load. */
const REGION_BYTES = 2 ** 22;

/**
 * @param factor - what the allocator needs beside payloads: this many times what the load would be given in core
 * @returns a heap of fixed size for an allocator's regions: the factor, and room for a region
 */
export function backingFor(load: Load, factor = 2): Heap {
  return new Heap({ bytes: factor * firstBytesFor(load) + REGION_BYTES });
}
