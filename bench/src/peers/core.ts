import { Heap } from "@heapwright/core";

import { heapBytesFor, type Load, type Subject } from "../adapter.ts";

const FIRST_BYTES = 65_536;

/** Core's general allocator: a private heap that starts small and grows. */
export function open(load: Load): Subject {
  const heap = new Heap({ bytes: FIRST_BYTES, maxBytes: heapBytesFor(load) });
  return {
    target: heap,
    bytes: () => heap.u8,
    footprint: () => heap.stats().footprint,
    check: () => heap.check(),
  };
}
