/** Pools that a test makes: checked and destroyed after it, and nothing of them may be left in their heap. */
import { Heap, type HeapBuffer, NULL, type Ptr } from "@heapwright/core";
import { afterEach, expect } from "vitest";

import { FixedMemPool, type PoolOptions, VariadicMemPool } from "../src/index.ts";

const made: (FixedMemPool | VariadicMemPool)[] = [];
const heaps = new Set<Heap<HeapBuffer>>();
let isShared = false;

afterEach(() => {
  for (const pool of made.splice(0)) {
    if (pool.isDestroyed) continue;
    pool.check();
    pool.destroy();
  }
  const opened = [...heaps];
  heaps.clear();
  for (const heap of opened) {
    heap.check();
    const { liveBlocks } = heap.stats();
    if (liveBlocks !== 0) throw new Error(`pools left ${liveBlocks} blocks in their heap`);
  }
});

/** Makes the heaps of this test file shared ones, which have slots to hold, and a byte for each 16 of a pool. */
export function inSharedHeaps(): void {
  isShared = true;
}

export function heapOf(bytes: number = 1 << 20, maxBytes: number = bytes): Heap<HeapBuffer> {
  const heap: Heap<HeapBuffer> = isShared
    ? new Heap({ bytes: Math.max(1 << 17, bytes), maxBytes: Math.max(1 << 17, 4 * maxBytes), shared: true })
    : new Heap(maxBytes === bytes ? { bytes } : { bytes, maxBytes });
  heaps.add(heap);
  return heap;
}

export function keep<P extends FixedMemPool | VariadicMemPool>(pool: P): P {
  made.push(pool);
  return pool;
}

export function fixedPool(
  blockSize: number,
  count: number,
  options: PoolOptions = { backing: heapOf() },
): FixedMemPool {
  return keep(new FixedMemPool(blockSize, count, options));
}

export function variadicPool(
  grow: number,
  tolerance: number,
  options: PoolOptions = { backing: heapOf() },
): VariadicMemPool {
  return keep(new VariadicMemPool(grow, tolerance, options));
}

/** A block, which must be there. */
export function got(ptr: Ptr): Ptr {
  expect(ptr).not.toBe(NULL);
  return ptr;
}

/** The heap's bytes before and after an act are the same. */
export function unchanged(heap: Heap<HeapBuffer>, act: () => void): void {
  const before = new Uint8Array(heap.image());
  act();
  const after = new Uint8Array(heap.image());
  expect(after.length).toBe(before.length);
  expect(after.findIndex((byte, at) => byte !== before[at])).toBe(-1);
}
