/**
 * The allocator of those who name none.
 *
 * @module
 */
import { defaultHeap, HeapError, NULL } from "@heapwright/core";

import { ApfAllocator } from "./apf-allocator.ts";

/** Under this name the default heap knows it, so that two copies of this package in one program use the same. */
const ROOT = "@heapwright/apf";

let opened: ApfAllocator | undefined;

/**
 * The allocator behind the document's functions: over the default heap, made at the first call in each agent.
 *
 * @throws HeapError `ERR_OUT_OF_MEMORY` when there is no memory for it
 */
export function defaultAllocator(): ApfAllocator {
  if (opened === undefined || opened.isDestroyed) opened = findOrMake();
  return opened;
}

function findOrMake(): ApfAllocator {
  const heap = defaultHeap();
  const handle = heap.root(ROOT);
  try {
    if (handle !== NULL) return ApfAllocator.attach(heap, handle);
  } catch (error) {
    // A program that has destroyed it gets another one.
    if (!(error instanceof HeapError) || error.code !== "ERR_NOT_A_HEAP") throw error;
  }
  const made = new ApfAllocator({ backing: heap });
  heap.setRoot(ROOT, made.handle);
  return made;
}
