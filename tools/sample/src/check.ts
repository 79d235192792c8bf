/**
 * Proves the invariants of the layout.
 *
 * @module
 */
import { type Heap, type HeapBuffer, HeapError, type Ptr } from "@heapwright/core";

import { CONTROL, LAYOUT_VERSION, MAGIC } from "./layout.ts";

/**
 * @param heap - where the allocator lies
 * @param handle - its control block
 * @throws HeapError `ERR_CORRUPT` that names the invariant that does not hold
 */
export function check(heap: Heap<HeapBuffer>, handle: Ptr): void {
  const { magic, version, live } = CONTROL.read(heap, handle);
  holds(1, magic === MAGIC && version === LAYOUT_VERSION, `magic 0x${magic.toString(16)}, version ${version}`, handle);
  const { liveBlocks } = heap.stats();
  holds(2, live + 1 <= liveBlocks, `${live} live blocks, ${liveBlocks} in the heap`, handle);
}

function holds(number: number, condition: boolean, finding: string, ptr: Ptr): void {
  if (!condition) throw new HeapError("ERR_CORRUPT", `check: invariant ${number} does not hold: ${finding}`, ptr);
}
