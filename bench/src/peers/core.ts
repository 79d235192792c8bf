import { Heap } from "@heapwright/core";

import { firstBytesFor, heapBytesFor, type Load, type Subject } from "../adapter.ts";

/** Core's general allocator: a private heap with room for the load, that can grow. */
export function open(load: Load): Subject {
  const heap = new Heap({ bytes: firstBytesFor(load), maxBytes: heapBytesFor(load) });
  return {
    target: heap,
    bytes: () => heap.u8,
    footprint: () => heap.stats().footprint,
    check: () => heap.check(),
  };
}
