import { Heap } from "@heapwright/core";

import { firstBytesFor, type Load } from "../adapter.ts";

/** Room for a first region of either pool, whatever the load. */
const REGION_BYTES = 2 ** 22;

/** @returns a heap of fixed size for a pool's regions: twice what the load would be given in core, and room for a region */
export function backingFor(load: Load): Heap {
  return new Heap({ bytes: 2 * firstBytesFor(load) + REGION_BYTES });
}
