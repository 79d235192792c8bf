import { HEADER_BYTES } from "../src/boundary-tag.ts";
import type { Heap } from "../src/heap.ts";
import type { Ptr } from "../src/ptr.ts";
import { flush } from "../src/quick-lists.ts";
import { SharedHeap } from "../src/shared-heap.ts";
import type { HeapBuffer } from "../src/views.ts";

/**
 * Allocates blocks of more than 8 bytes that lie side by side, whatever the heap's policy of placement: nothing is free
 * but the wilderness and one block too small for any of them. Of a shared heap they come past the magazines.
 */
export function neighbours(from: Heap<HeapBuffer>, ...sizes: number[]): Ptr[] {
  const heap: Heap<HeapBuffer> = from instanceof SharedHeap ? from.inner : from;
  flush(heap);
  for (;;) {
    const free = [...heap.blocks()].slice(0, -1).find(({ size, state }) => state === "free" && size > 8);
    if (free === undefined) break;
    heap.malloc(free.size);
  }
  const [, small] = [heap.malloc(8), heap.malloc(8), heap.malloc(8)];
  heap.free(small);
  flush(heap);

  const blocks = sizes.map((size) => heap.malloc(size));
  blocks.forEach((ptr, at) => {
    const left = blocks[at - 1];
    if (left === undefined || ptr === left + heap.usableSize(left) + HEADER_BYTES) return;
    throw new Error(`blocks of ${sizes.join(", ")} bytes lie at ${blocks.join(", ")}`);
  });
  return blocks;
}
