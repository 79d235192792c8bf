/** The array of a pool: case (j) of the conformance tests, further. */
import { type Allocator, type Heap, type HeapBuffer, type Ptr } from "@heapwright/core";
import { describe, expect, test } from "vitest";

import {
  grow_pool_capacity,
  MEM_POOL_DEFAULT_CAPACITY,
  mem_pool_init,
  mem_set_oom_handler,
  type MemoryPointer,
  MemoryPool,
} from "../src/index.ts";
import { allocated, Failing, heapOf, keep, poolOf } from "./made.ts";

/** Fills a pool and says after how many containers which capacity was seen first. */
function growth(pool: MemoryPool, count: number): [count: number, capacity: number][] {
  const seen: [number, number][] = [[pool.count, pool.capacity]];
  for (let i = 0; i < count; i += 1) {
    allocated(pool, `p${i}`, 8);
    if (pool.capacity !== seen.at(-1)?.[1]) seen.push([pool.count, pool.capacity]);
  }
  return seen;
}

test("capacity 0 stands for the default", () => {
  expect(MEM_POOL_DEFAULT_CAPACITY).toBe(32);
  const backing = heapOf();
  expect(poolOf(0, { backing }).capacity).toBe(32);
  const pool = keep(new MemoryPool());
  expect(mem_pool_init(pool, 0, { backing })).toBe(true);
  expect(pool.capacity).toBe(32);
});

describe("growth", () => {
  test.each([
    [
      1,
      [
        [0, 1],
        [2, 8],
        [9, 16],
        [17, 32],
        [33, 64],
      ],
    ],
    [
      3,
      [
        [0, 3],
        [4, 8],
        [9, 16],
        [17, 32],
        [33, 64],
      ],
    ],
    [
      5,
      [
        [0, 5],
        [6, 10],
        [11, 20],
        [21, 40],
      ],
    ],
    [
      16,
      [
        [0, 16],
        [17, 32],
        [33, 64],
      ],
    ],
    [
      32,
      [
        [0, 32],
        [33, 64],
      ],
    ],
  ])("from %d, to the double when a container finds it full, to 8 at least", (capacity, seen) => {
    expect(growth(poolOf(capacity), 40)).toEqual(seen);
  });

  test.each([16, 100, 1000])(
    "made with the right capacity, %d, a pool takes one array and never another",
    (capacity) => {
      const sizes: number[] = [];
      const heap = heapOf();
      const pool = poolOf(capacity, { backing: recording(heap, sizes) });
      const ptrs: MemoryPointer[] = [];
      for (let round = 0; round < 3; round += 1) {
        while (ptrs.length < capacity) ptrs.push(allocated(pool, "p", 56, { backing: heap }));
        expect([pool.stats().liveContainers, pool.capacity]).toEqual([capacity, capacity]);
        // A quarter is left: nothing shrinks.
        for (const ptr of ptrs.splice(capacity / 4)) ptr.destroy();
        expect(pool.capacity).toBe(capacity);
      }
      // Besides containers of 24 + 56 bytes and the control block.
      expect(sizes.filter((size) => size !== 80).slice(1)).toEqual([capacity * 4]);
    },
  );

  test("by hand: the double, 8 at least", () => {
    const pool = poolOf(1);
    expect([grow_pool_capacity(pool), pool.capacity]).toEqual([true, 8]);
    expect([pool.grow(), pool.capacity]).toEqual([true, 16]);
    allocated(pool, "p", 8);
    expect([pool.grow(), pool.capacity, pool.count]).toEqual([true, 32, 1]);
  });

  test("the order of containers stays, and each knows its place", () => {
    const pool = poolOf(1);
    const made = Array.from({ length: 100 }, (_, i) => allocated(pool, `p${i}`, 8 * (i + 1)).container);
    expect(pool.containers.map(({ data }) => data)).toEqual(made.map(({ data }) => data));
    pool.check();
    for (const container of made.filter((_, i) => i % 3 === 0)) pool.remove(container);
    pool.check();
    expect(pool.count).toBe(66);
  });
});

describe("shrinking", () => {
  test("to the half when less than a quarter is in use, one halving a removal, to 16 at least", () => {
    const pool = poolOf(256, { orphans: "destroy" });
    const ptrs = Array.from({ length: 66 }, (_, i) => allocated(pool, `p${i}`, 8));
    const seen = ptrs.map((ptr) => {
      ptr.destroy();
      return [pool.count, pool.capacity] as const;
    });
    const changes = seen.filter(([, capacity], i) => capacity !== (seen[i - 1]?.[1] ?? 256));
    expect(changes).toEqual([
      [63, 128],
      [31, 64],
      [15, 32],
      [7, 16],
    ]);
  });

  test.each([
    [17, 16],
    [33, 16],
    [63, 31],
    [16, 16],
    [9, 9],
    [1, 1],
  ])("a capacity of %d falls to %d with its first removal to 0", (capacity, left) => {
    const pool = poolOf(capacity, { orphans: "destroy" });
    allocated(pool, "p", 8).destroy();
    expect(pool.capacity).toBe(left);
  });

  test("orphans count: only what is removed makes room", () => {
    const pool = poolOf(64, { maxOrphans: 64 });
    const ptrs = Array.from({ length: 30 }, (_, i) => allocated(pool, `p${i}`, 8));
    for (const ptr of ptrs) ptr.destroy();
    expect([pool.count, pool.capacity]).toEqual([30, 64]);
    pool.trim();
    expect([pool.count, pool.capacity]).toEqual([0, 16]);
  });

  test("where there is no room to move to, the array stays, and nobody is told", () => {
    const backing = new Failing(heapOf());
    const pool = poolOf(64, { backing, orphans: "destroy" });
    const ptrs = Array.from({ length: 20 }, (_, i) => allocated(pool, `p${i}`, 8, { backing: backing.heap }));
    const told: number[] = [];
    mem_set_oom_handler((bytes) => told.push(bytes));
    backing.failAt = 0;
    for (const ptr of ptrs.slice(0, 10)) ptr.destroy();
    expect([pool.count, pool.capacity, told]).toEqual([10, 64, []]);
    backing.failAt = Infinity;
    ptrs[10]?.destroy();
    expect([pool.count, pool.capacity]).toEqual([9, 32]);
    mem_set_oom_handler(null);
  });
});

/** A heap that notes what is asked of it. */
function recording(heap: Heap<HeapBuffer>, sizes: number[]): Allocator {
  return {
    heap,
    malloc(size: number): Ptr {
      sizes.push(size);
      return heap.malloc(size);
    },
    free: (ptr: Ptr) => heap.free(ptr),
    usableSize: (ptr: Ptr) => heap.usableSize(ptr),
  };
}
