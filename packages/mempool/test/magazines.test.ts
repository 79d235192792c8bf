/** Magazines: what each agent keeps for itself in a shared heap. */
import { Heap, NULL, type Ptr } from "@heapwright/core";
import { allowLive } from "@heapwright/core/testing";
import { operations, replay, runs, seedFromEnv, uniform } from "@heapwright/core/testing";
import { expect, test } from "vitest";

import { Mempool, mempool_alloc, mempool_init, mempool_use } from "../src/index.ts";
import { MAGAZINE } from "../src/layout.ts";
import { magazinesOf } from "../src/magazines.ts";
import { got, heapOf, inSharedHeaps, poolOf, refused, unchanged } from "./made.ts";

inSharedHeaps();

test("single blocks come from a magazine that is filled by half, and go back to it", () => {
  const pool = poolOf(64 * 100, 64, { magazine: 8 });
  const ptr = got(pool.malloc(64));
  pool.check();
  expect(pool.stats()).toMatchObject({ liveBlocks: 1, freeBytes: 99 * 64 });
  pool.free(ptr);
  expect(pool.malloc(64)).toBe(ptr);
  expect(() => pool.free((ptr + 64) as Ptr)).toThrow(refused("ERR_DOUBLE_FREE"));
  pool.free(ptr);
  expect(() => pool.free(ptr)).toThrow(refused("ERR_DOUBLE_FREE"));
  expect(pool.stats().liveBlocks).toBe(0);
});

test("a magazine holds no more than it may", () => {
  for (const magazine of [1, 2, 7, 64]) {
    const pool = poolOf(64 * 300, 64, { magazine });
    const blocks = Array.from({ length: 200 }, () => got(pool.malloc(64)));
    expect(new Set(blocks).size).toBe(200);
    for (const ptr of blocks) pool.free(ptr);
    pool.check();
    // What is not in the magazine is in the pool, and is the lowest again.
    const live = Array.from({ length: 200 }, () => got(pool.malloc(64)));
    expect(Math.max(...live)).toBeLessThanOrEqual(Math.max(...blocks) + magazine * 64);
    for (const ptr of live) pool.free(ptr);
    pool.destroy();
    expect(pool.heap.stats().liveBlocks).toBe(0);
  }
});

test("the last block can be had, and a run takes what the own magazine holds", () => {
  const pool = poolOf(64 * 50, 64, { magazine: 16 });
  const blocks = Array.from({ length: 50 }, () => got(pool.malloc(64)));
  expect(pool.malloc(64)).toBe(NULL);
  for (const ptr of blocks) pool.free(ptr);
  const whole = got(pool.malloc(64 * 50));
  expect(pool.malloc(64)).toBe(NULL);
  pool.check();
  pool.free(whole);
  expect(pool.stats()).toMatchObject({ liveBlocks: 0, coalesced: 1 });
});

test("a refused call gets no magazine either", () => {
  const pool = poolOf(64 * 50, 64, { magazine: 16 });
  unchanged(pool.heap, () => {
    for (const size of [NaN, -1, 1.5, Infinity, Symbol("64"), "64", 64n, undefined]) {
      expect(() => pool.malloc(size as number)).toThrow(refused("ERR_INVALID_ARGUMENT"));
      expect(() => pool.calloc(1, size as number)).toThrow(refused("ERR_INVALID_ARGUMENT"));
    }
    expect(() => pool.free((pool.handle + 8) as Ptr)).toThrow(refused("ERR_INVALID_POINTER"));
    expect(() => pool.free(Symbol("64") as unknown as Ptr)).toThrow(refused("ERR_INVALID_ARGUMENT"));
  });
  expect(pool.heap.stats().liveBlocks).toBe(1);
});

test("what is in a magazine without being held is passed over", () => {
  const pool = poolOf(64 * 50, 64, { magazine: 8 });
  const ptr = got(pool.malloc(64));
  const { u32 } = pool.heap;
  const [magazine] = [...magazinesOf(u32, pool.control)].map((at) => at >>> 2);
  const count = magazine! + (MAGAZINE.offsets.count >>> 2);
  const entries = magazine! + (MAGAZINE.size >>> 2);
  u32[entries + u32[count]!] = pool.find(u32, ptr);
  u32[count]! += 1;
  const others = Array.from({ length: 49 }, () => got(pool.malloc(64)));
  expect(new Set([ptr, ...others]).size).toBe(50);
  expect(pool.malloc(64)).toBe(NULL);
  pool.check();
});

test("two objects of one agent share its magazine", () => {
  const pool = poolOf(64 * 40, 64, { magazine: 8 });
  const twin = Mempool.attach(pool.heap, pool.handle);
  const blocks: Ptr[] = [];
  for (let i = 0; i < 2000; i += 1) {
    const [one, other] = i % 2 === 0 ? [pool, twin] : [twin, pool];
    const ptr = one.malloc(64);
    if (ptr !== NULL) blocks.push(ptr);
    expect(new Set(blocks).size).toBe(blocks.length);
    if (ptr === NULL || i % 3 !== 0) other.free(blocks.splice((i * 7) % blocks.length, 1)[0]!);
  }
  pool.check();
  while (blocks.length < 40) blocks.push(got(twin.malloc(64)));
  expect(pool.malloc(64)).toBe(NULL);
});

test("without room for a magazine the pool works without one", () => {
  const heap = heapOf(1 << 14);
  const pool = poolOf(64 * 40, 64, { backing: heap, magazine: 32 });
  const rest: Ptr[] = [];
  for (let size = 65_536; size >= 1; size = Math.floor(size / 2)) {
    for (let ptr = heap.malloc(size); ptr !== NULL; ptr = heap.malloc(size)) rest.push(ptr);
  }
  const blocks = Array.from({ length: 40 }, () => got(pool.malloc(64)));
  expect(blocks.every((ptr, i) => ptr === blocks[0]! + i * 64)).toBe(true);
  pool.free(blocks[7]!);
  expect(pool.malloc(64)).toBe(blocks[7]);
  for (const ptr of rest) heap.free(ptr);
  for (const ptr of blocks) pool.free(ptr);
});

test("contents stay what they are", { timeout: 600_000 }, () => {
  for (let run = 0; run < runs(20); run += 1) {
    const seed = seedFromEnv() + run;
    const pool = poolOf(60_000, 48, { magazine: 1 + (run % 40) });
    const mix = { malloc: 8, free: 10, realloc: 3, calloc: 2, alignedAlloc: 0 };
    const stream = operations({ seed, count: 1000, maxLive: 300, sizes: uniform(0, run % 2 === 0 ? 48 : 200), mix });
    replay(pool, stream, { alignment: 16, everyOp: (index) => void (index % 10 === 0 && pool.check()) });
    expect(pool.stats().liveBlocks).toBe(0);
  }
});

test("through the document's functions, and in an external range", () => {
  const said: string[] = [];
  const backing = heapOf();
  const options = { backing, magazine: 16, report: (message: string) => said.push(message) };
  expect(mempool_init(6400, 64, options)).toBe(1);
  expect(new Set(Array.from({ length: 100 }, () => mempool_alloc(64))).size).toBe(100);
  expect(said).toEqual([]);
  expect(mempool_alloc(64)).toBe(NULL);
  expect(said).toHaveLength(1);
  mempool_use(undefined)?.destroy();
  const pool = poolOf(1000, 10, { backing, magazine: 4, external: { base: 7, bytes: 1000 } });
  const blocks = Array.from({ length: 100 }, () => got(pool.malloc(10)));
  expect(blocks.sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => 7 + 10 * i));
});

test("a private heap has nobody to share with", () => {
  allowLive();
  const backing = new Heap({ bytes: 1 << 16 });
  unchanged(backing, () => {
    expect(() => new Mempool(1024, 64, { backing, magazine: 8 })).toThrow(refused("ERR_UNSUPPORTED"));
    const said: string[] = [];
    const report = (message: string): void => void said.push(message);
    expect(mempool_init(1024, 64, { backing, magazine: 8, report })).toBe(-1);
    expect(said[0]).toContain("magazine: the heap is private");
  });
  new Mempool(1024, 64, { backing, magazine: 0 }).destroy();
});
