/** Random operations against the shadow heap, every invariant of pool and heap proved after each. */
import { Heap, type HeapBuffer } from "@heapwright/core";
import { operations, programSizes, random, replay, runs, seedFromEnv, uniform } from "@heapwright/core/testing";
import { expect, test } from "vitest";

import { FixedMemPool, VariadicMemPool } from "../src/index.ts";

const COUNT = 2000;
/** `calloc` may ask for more than a block of a fixed pool. */
const NO_CALLOC = { malloc: 4, free: 5, realloc: 1, calloc: 0, alignedAlloc: 0 };

/** Of either alignment, every third one shared. */
function heapFor(run: number, maxBytes: number): Heap<HeapBuffer> {
  const options = { bytes: 1 << 16, maxBytes, alignment: run % 2 === 0 ? 8 : 16 } as const;
  return run % 3 === 2 ? new Heap({ ...options, shared: true }) : new Heap(options);
}

test("a fixed pool keeps its promises", { timeout: 600_000 }, () => {
  const draw = random(seedFromEnv());
  for (let run = 0; run < runs(30); run += 1) {
    const heap = heapFor(run, 1 << 26);
    const size = Math.floor(draw() * 200);
    const pool = new FixedMemPool(size, 1 + Math.floor(draw() ** 3 * 300), { backing: heap });
    const seed = Math.floor(draw() * 2 ** 31);
    const maxLive = 1 + Math.floor(draw() * 150);
    const stream = operations({ seed, count: COUNT, maxLive, sizes: uniform(0, size), mix: NO_CALLOC });
    const { failures } = replay(pool, stream, { alignment: 16, everyOp: () => pool.check() });
    expect(failures).toBe(0);
    pool.destroy();
    heap.check();
    expect(heap.stats()).toMatchObject({ liveBlocks: 0, liveBytes: 0 });
  }
});

test("a variadic pool keeps its promises", { timeout: 600_000 }, () => {
  const draw = random(seedFromEnv() + 1);
  for (let run = 0; run < runs(60); run += 1) {
    const heap = heapFor(run, 1 << 27);
    const grow = Math.floor(2 ** (draw() * 17));
    const pool = new VariadicMemPool(grow, Math.floor(draw() * 120), { backing: heap });
    const seed = Math.floor(draw() * 2 ** 31);
    const maxLive = 1 + Math.floor(draw() * 150);
    const sizes = run % 3 === 0 ? uniform(0, 600) : run % 3 === 1 ? uniform(0, 60) : programSizes;
    const stream = operations({ seed, count: COUNT, maxLive, sizes });
    const { failures } = replay(pool, stream, { alignment: 16, everyOp: () => pool.check() });
    expect(failures).toBe(0);
    pool.destroy();
    heap.check();
    expect(heap.stats()).toMatchObject({ liveBlocks: 0, liveBytes: 0 });
  }
});

test("pools and other blocks share a small heap, which runs full now and then", { timeout: 600_000 }, () => {
  const draw = random(seedFromEnv() + 2);
  for (let run = 0; run < runs(20); run += 1) {
    const heap = new Heap({ bytes: 40_000 + Math.floor(draw() * 100_000) });
    const inner = new VariadicMemPool(2000, 20, { backing: heap });
    const outer = new FixedMemPool(100, 5, { backing: inner });
    const seed = Math.floor(draw() * 2 ** 31);
    const check = () => {
      outer.check();
      inner.check();
      heap.check();
    };
    const options = { seed, count: COUNT / 4, maxLive: 400 } as const;
    replay(outer, operations({ ...options, sizes: uniform(0, 100), mix: NO_CALLOC }), {
      alignment: 16,
      everyOp: check,
    });
    replay(inner, operations({ ...options, sizes: uniform(0, 3000) }), { alignment: 16, everyOp: check });
    outer.destroy();
    inner.destroy();
    heap.check();
    expect(heap.stats()).toMatchObject({ liveBlocks: 0, liveBytes: 0 });
  }
});
