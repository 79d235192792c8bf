/** Memory runs out: in the pool, and in what the pool is made of. */
import { type Allocator, Heap, HeapError, NULL, type Ptr } from "@heapwright/core";
import { random, runs, seedFromEnv } from "@heapwright/core/testing";
import { expect, test } from "vitest";

import { Mempool } from "../src/index.ts";
import { got, heapOf, poolOf, refused, unchanged } from "./made.ts";

test("a backing without room makes no pool, and loses nothing", () => {
  const room = 60_000;
  const backing = heapOf(room);
  let made = 0;
  let failures = 0;
  for (let size = 1000; size < 2 * room; size += 777) {
    const before = backing.stats().liveBlocks;
    try {
      const pool = new Mempool(size, 64, { backing });
      pool.check();
      pool.destroy();
      made += 1;
    } catch (error) {
      if (!(error instanceof HeapError) || error.code !== "ERR_OUT_OF_MEMORY") throw error;
      failures += 1;
    }
    expect(backing.stats().liveBlocks).toBe(before);
    backing.check();
  }
  expect(made).toBeGreaterThan(10);
  expect(failures).toBeGreaterThan(10);
});

test("a backing that says NULL is not asked twice", () => {
  const heap = heapOf();
  let calls = 0;
  const backing: Allocator = {
    heap,
    malloc: () => {
      calls += 1;
      return NULL;
    },
    free: (ptr) => heap.free(ptr),
    usableSize: (ptr) => heap.usableSize(ptr),
  };
  unchanged(heap, () => {
    expect(() => new Mempool(1024, 64, { backing })).toThrow(refused("ERR_OUT_OF_MEMORY"));
    expect(() => new Mempool(2 ** 32, 64, { backing })).toThrow(refused("ERR_OUT_OF_MEMORY"));
    expect(() => new Mempool(2 ** 32 - 1, 16, { backing })).toThrow(refused("ERR_OUT_OF_MEMORY"));
  });
  expect(calls).toBe(1);
});

test("a pool that is full says NULL to everything, and is whole again after the frees", { timeout: 600_000 }, () => {
  const draw = random(seedFromEnv() + 5);
  for (let run = 0; run < runs(40); run += 1) {
    const count = 1 + Math.floor(draw() * 200);
    const pool = poolOf(count * 32 + 1, 32);
    const blocks: Ptr[] = [];
    for (;;) {
      const ptr = pool.malloc(draw() < 0.7 ? 32 : 32 * Math.ceil(draw() * 10));
      if (ptr === NULL && pool.stats().freeBytes === 0) break;
      if (ptr !== NULL) blocks.push(ptr);
    }
    expect([pool.malloc(0), pool.malloc(33), pool.calloc(1, 1), pool.realloc(blocks[0]!, 32 * count + 1)]).toEqual([
      NULL,
      NULL,
      NULL,
      NULL,
    ]);
    pool.check();
    for (let left = blocks.length; left > 0; left -= 1) {
      pool.free(blocks.splice(Math.floor(draw() * left), 1)[0]!);
      pool.check();
    }
    got(pool.malloc(count * 32));
    expect(pool.malloc(1)).toBe(NULL);
  }
});

test("a pool as large as a heap can hold", () => {
  const heap = new Heap({ bytes: 3_000_000_000 });
  const pool = new Mempool(2_500_000_000, 65_536, { backing: heap });
  const blocks: Ptr[] = [];
  for (let ptr = pool.malloc(1); ptr !== NULL; ptr = pool.malloc(1)) blocks.push(ptr);
  expect(blocks).toHaveLength(Math.floor(2_500_000_000 / 65_536));
  expect(blocks.at(-1)! - blocks[0]!).toBe((blocks.length - 1) * 65_536);
  expect(blocks.at(-1)).toBeGreaterThan(2 ** 31);
  pool.check();
  for (const ptr of blocks) pool.free(ptr);
  expect(got(pool.malloc(blocks.length * 65_536))).toBe(blocks[0]);
  pool.destroy();
});
