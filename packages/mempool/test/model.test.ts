/** Random operations: every address that of the original's list, every invariant proved, nothing written over. */
import { asPtr, Heap, HeapError, NULL, type Ptr } from "@heapwright/core";
import { operations, random, type Random, replay, runs, seedFromEnv, uniform } from "@heapwright/core/testing";
import { expect, test } from "vitest";

import { Mempool } from "../src/index.ts";
import { NaivePool } from "./naive-pool.ts";

const POOLS = 40;
/** A million in all. */
const COUNT = 25_000;

/** What a pool says of any pointer; undefined for one that it refuses. */
function usableSizeOf(pool: Mempool, ptr: Ptr): number | undefined {
  try {
    return pool.usableSize(ptr);
  } catch (error) {
    if (error instanceof HeapError) return undefined;
    throw error;
  }
}

/** Sizes: single blocks mostly, runs of some, now and then one of many. */
function drawSize(draw: Random, blockBytes: number, count: number): number {
  const kind = draw();
  if (kind < 0.5) return Math.floor(draw() * (blockBytes + 1));
  if (kind < 0.9) return Math.floor(draw() * 9 * blockBytes);
  return Math.floor(draw() ** 2 * (count + 2) * blockBytes);
}

test("a million operations give the addresses of the original's list", { timeout: 600_000 }, () => {
  const draw = random(seedFromEnv());
  const pools = runs(POOLS);
  for (let run = 0; run < pools; run += 1) {
    const isSmall = run % 2 === 0;
    const count = 2 + Math.floor(draw() * (isSmall ? 60 : 400));
    const blockBytes = 16 * (1 + Math.floor(draw() ** 2 * 20));
    const heap = new Heap({ bytes: count * blockBytes * 2 + 65_536, alignment: run % 4 < 2 ? 8 : 16 });
    const pool = new Mempool(count * blockBytes, blockBytes, { backing: heap });
    const first = [...pool.blocks()][0]!.ptr;
    const naive = new NaivePool(first, blockBytes, count);
    const live: Ptr[] = [];
    const frees = 0.3 + draw() * 0.4;
    for (let i = 0; i < COUNT; i += 1) {
      const step = `pool ${run}, operation ${i}`;
      const kind = draw();
      if (kind < frees && live.length > 0) {
        const ptr = live.splice(Math.floor(draw() * live.length), 1)[0]!;
        naive.free(ptr);
        pool.free(ptr);
      } else if (kind < 0.97) {
        const size = drawSize(draw, blockBytes, count);
        const ptr = naive.alloc(size);
        if (pool.malloc(size) !== ptr) throw new Error(`${step}: not the address of the list, ${ptr}`);
        if (ptr !== NULL) live.push(ptr);
      } else {
        const ptr = asPtr(first + Math.floor(draw() * count * 4) * (blockBytes / 4));
        const size = naive.sizeOf(ptr);
        if (size !== usableSizeOf(pool, ptr)) throw new Error(`${step}: ${ptr} has ${size} bytes`);
      }
      if (i % (isSmall ? 4 : 64) === 0) pool.check();
    }
    pool.check();
    expect(pool.stats()).toMatchObject({
      coalesced: naive.coalesced,
      liveBlocks: naive.liveBlocks,
      freeBytes: naive.freeBlocks * blockBytes,
    });
    pool.destroy();
    heap.check();
    expect(heap.stats().liveBlocks).toBe(0);
  }
});

test("contents stay what they are", { timeout: 600_000 }, () => {
  const draw = random(seedFromEnv() + 1);
  for (let run = 0; run < runs(30); run += 1) {
    const heap = new Heap({ bytes: 1 << 18, alignment: run % 2 === 0 ? 8 : 16 });
    const pool = new Mempool(100_000, 1 + Math.floor(draw() * 200), { backing: heap });
    const seed = Math.floor(draw() * 2 ** 31);
    const sizes = uniform(0, run % 3 === 0 ? 1000 : 150);
    const mix = { malloc: 8, free: 10, realloc: 3, calloc: 2, alignedAlloc: 0 };
    const stream = operations({ seed, count: 1500, maxLive: 1 + Math.floor(draw() * 500), sizes, mix });
    replay(pool, stream, { alignment: 16, everyOp: (index) => void (index % 10 === 0 && pool.check()) });
    expect(pool.stats().liveBlocks).toBe(0);
    pool.destroy();
    heap.check();
  }
});
