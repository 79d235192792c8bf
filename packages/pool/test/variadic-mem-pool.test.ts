import { alignedAllocFrom, callocFrom, Heap, NULL, type Ptr, reallocFrom } from "@heapwright/core";
import { expect, test } from "vitest";

import { VariadicMemPool } from "../src/index.ts";
import { got, heapOf, variadicPool } from "./made.ts";

const free = (pool: VariadicMemPool) =>
  [...pool.blocks()].filter(({ state }) => state === "free").map(({ ptr, size }) => [ptr, size]);

test("any order of frees leaves one free block in each buffer", () => {
  const pool = variadicPool(20_000, 20);
  for (let round = 0; round < 20; round += 1) {
    const blocks = Array.from({ length: 200 }, (_, i) => got(pool.malloc((i * 37 + round * 11) % 900)));
    for (let i = 0; i < 200; i += 1) pool.free(blocks[(i * 73 + round) % 200]!);
    pool.check();
    expect(free(pool)).toHaveLength(pool.stats().buffers);
  }
});

test("a block larger than grow_size has a buffer to measure", () => {
  const pool = variadicPool(1000, 20);
  const ptr = got(pool.malloc(100_000));
  expect(pool.usableSize(ptr)).toBe(100_008);
  expect(pool.stats().buffers).toBe(2);
  pool.free(ptr);
  expect(pool.malloc(100_000)).toBe(ptr);
});

test("small buffers share a region of a page", () => {
  const pool = variadicPool(32, 20);
  const before = pool.heap.stats().liveBlocks;
  for (let i = 0; i < 60; i += 1) got(pool.malloc(16));
  expect(pool.stats().buffers).toBe(60);
  expect(pool.heap.stats().liveBlocks).toBe(before);
});

test("regions that begin at pages leave no gaps between them", () => {
  const heap = heapOf(1 << 22);
  const pool = variadicPool(1, 20, { backing: heap });
  for (let i = 0; i < 10_000; i += 1) got(pool.malloc(24));
  const regions = [...heap.blocks()].filter(({ ptr, state }) => state === "live" && ptr % 4096 === 0);
  expect(regions.length).toBeGreaterThan(100);
  const steps = regions.slice(1).map(({ ptr }, i) => ptr - regions[i]!.ptr);
  expect(steps.filter((step) => step === 4096).length).toBeGreaterThan(regions.length * 0.9);
});

test("it is an allocator: calloc, realloc, alignedAlloc to 8, and pools on pools", () => {
  const pool = variadicPool(4096, 20);
  const dirty = got(pool.malloc(4000));
  pool.heap.u8.fill(255, dirty, dirty + 4000);
  pool.free(dirty);
  const ptr = callocFrom(pool, 10, 100);
  expect(pool.heap.bytes(ptr, 1000).every((byte) => byte === 0)).toBe(true);
  pool.heap.u32[ptr >>> 2] = 7;
  const moved = reallocFrom(pool, ptr, 3000);
  expect(pool.heap.u32[moved >>> 2]).toBe(7);
  expect(alignedAllocFrom(pool, 8, 100)).not.toBe(NULL);
  // A pool has no blocks at pages: the region is aligned inside a larger block.
  const inner = new VariadicMemPool(500, 20, { backing: pool });
  const ptrs = Array.from({ length: 50 }, (_, i) => got(inner.malloc(i * 9)));
  inner.check();
  for (const block of ptrs) inner.free(block);
  const { liveBlocks } = pool.stats();
  expect(liveBlocks).toBeGreaterThan(2);
  inner.destroy();
  expect(pool.stats().liveBlocks).toBe(2);
});

test("stats, blocks and dump agree", () => {
  const pool = variadicPool(512, 0);
  const [a, b] = [got(pool.malloc(100)), got(pool.malloc(100))];
  pool.free(a);
  expect([...pool.blocks()]).toEqual([
    { ptr: a, size: 104, state: "free" },
    { ptr: b, size: 104, state: "live" },
    { ptr: a + 224, size: 280, state: "free" },
  ]);
  const { takenBytes, ...stats } = pool.stats();
  expect(stats).toEqual({ liveBlocks: 1, liveBytes: 104, freeBytes: 384, buffers: 1 });
  expect(takenBytes).toBe(pool.heap.stats().liveBytes);
  const lines = pool.dump().split("\n");
  expect(lines[0]).toBe("variadic pool, buffers of 512 bytes, tolerance 0 percent");
  expect(lines).toHaveLength(3 + 3);
});

test("a write past the end of a block is noticed when a neighbour is freed", () => {
  const pool = variadicPool(4096, 0);
  const [a, b, c] = [100, 100, 100].map((size) => got(pool.malloc(size))) as [Ptr, Ptr, Ptr];
  const kept = [...pool.heap.u32.subarray((b - 8) >>> 2, b >>> 2)];
  pool.heap.u32.fill(0x4141_4141, (b - 8) >>> 2, b >>> 2);
  const corrupt = expect.objectContaining({ code: "ERR_CORRUPT" });
  expect(() => pool.free(a)).toThrow(corrupt);
  expect(() => pool.free(c)).toThrow(corrupt);
  expect(() => pool.check()).toThrow(corrupt);
  pool.heap.u32.set(kept, (b - 8) >>> 2);
  for (const ptr of [a, b, c]) pool.free(ptr);
});

test("a write into a free block is noticed before its links are followed", () => {
  for (const size of [100, 2000]) {
    const pool = variadicPool(8192, 0);
    const [a, b] = [got(pool.malloc(size)), got(pool.malloc(100))];
    pool.free(a);
    const kept = [...pool.heap.u32.subarray(a >>> 2, (a >>> 2) + 2)];
    for (const link of [0, 4096, 0xffff_fff8]) {
      pool.heap.u32.fill(link, a >>> 2, (a >>> 2) + 2);
      const corrupt = expect.objectContaining({ code: "ERR_CORRUPT" });
      expect(() => pool.malloc(size)).toThrow(corrupt);
      expect(() => pool.free(b)).toThrow(corrupt);
      expect(() => pool.check()).toThrow(corrupt);
      pool.heap.u32.set(kept, a >>> 2);
      pool.check();
    }
  }
});

test("one heap serves pools above 2 GiB", () => {
  const memory = new WebAssembly.Memory({ initial: 33_000 });
  const heap = Heap.adopt(memory, { base: 32_900 * 65_536 });
  const pool = new VariadicMemPool(10_000, 20, { backing: heap });
  const blocks = Array.from({ length: 1000 }, (_, i) => got(pool.malloc(i)));
  expect(Math.min(...blocks)).toBeGreaterThan(2 ** 31);
  pool.check();
  for (let i = 0; i < 1000; i += 1) pool.free(blocks[(i * 617) % 1000]!);
  expect(free(pool)).toHaveLength(pool.stats().buffers);
  pool.destroy();
  expect(heap.stats().liveBlocks).toBe(0);
});

test("the heap's memory may be grown by others in between", () => {
  const memory = new WebAssembly.Memory({ initial: 4, maximum: 200 });
  const heap = Heap.adopt(memory, { bytes: 4 * 65_536, maxBytes: 64 * 65_536 });
  const pool = new VariadicMemPool(1000, 20, { backing: heap });
  const blocks: Ptr[] = [];
  for (let i = 0; i < 1000; i += 1) {
    if (i % 40 === 10) memory.grow(1);
    blocks.push(got(pool.malloc(i)));
    if (i % 40 === 30) memory.grow(1);
    if (i % 3 === 0) pool.free(blocks.pop()!);
  }
  pool.check();
  expect(pool.stats().liveBlocks).toBe(blocks.length);
  pool.destroy();
  expect(heap.stats().liveBlocks).toBe(0);
});
