/** Pools that a test makes: checked and destroyed after it, and nothing of them may be left in their heap. */
import { Heap, type HeapBuffer, NULL, type Ptr } from "@heapwright/core";
import { afterEach, expect } from "vitest";

import { Mempool, mempool_init, type MempoolOptions, mempool_use } from "../src/index.ts";

const made: Mempool[] = [];
const heaps = new Set<Heap<HeapBuffer>>();
let isShared = false;

afterEach(() => {
  const current = mempool_use(undefined);
  for (const pool of [...made.splice(0), current]) {
    if (pool === undefined || pool.isDestroyed) continue;
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

/** Makes the heaps of this test file shared ones, which have slots to hold. */
export function inSharedHeaps(): void {
  isShared = true;
}

export function heapOf(bytes: number = 1 << 20, options: { alignment?: 8 | 16 } = {}): Heap<HeapBuffer> {
  const heap: Heap<HeapBuffer> = isShared
    ? new Heap({ bytes: bytes + 65_536, shared: true, ...options })
    : new Heap({ bytes, ...options });
  heaps.add(heap);
  return heap;
}

export function keep(pool: Mempool): Mempool {
  made.push(pool);
  return pool;
}

export function poolOf(size: number, blockSize: number, options: MempoolOptions = {}): Mempool {
  return keep(new Mempool(size, blockSize, { backing: heapOf(size * 3 + 65_536), ...options }));
}

/** The document's pool, in a heap of its own, and what it says. */
export function initiated(
  size: number,
  blockSize: number,
  options: MempoolOptions = {},
): { said: string[]; heap: Heap<HeapBuffer>; pool: Mempool } {
  const said: string[] = [];
  const heap = heapOf(size * 3 + 65_536);
  expect(mempool_init(size, blockSize, { backing: heap, report: (message) => said.push(message), ...options })).toBe(1);
  const pool = mempool_use(undefined);
  if (pool === undefined) throw new Error("no pool after mempool_init");
  mempool_use(pool);
  return { said, heap, pool };
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

export const hex = (address: number): string => `0x${address.toString(16)}`;

export const refused = (code: string): unknown => expect.objectContaining({ name: "HeapError", code });
