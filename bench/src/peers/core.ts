import { Heap } from "@heapwright/core";

import { firstBytesFor, type Load, type Subject } from "../adapter.ts";

/** Core's general allocator: a private heap of fixed size, doubled until the load fits. */
export function open(load: Load): Subject {
  let bytes = firstBytesFor(load);
  while (load.isServedBy !== undefined && !load.isServedBy(new Heap({ bytes }))) bytes *= 2;
  const heap = new Heap({ bytes });
  return {
    target: heap,
    bytes: () => heap.u8,
    footprint: () => heap.stats().footprint,
    check: () => heap.check(),
  };
}
