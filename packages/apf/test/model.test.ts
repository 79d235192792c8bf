/** Random operations against the shadow heap, every invariant of allocator and heap proved between them. */
import { Heap } from "@heapwright/core";
import {
  allowLive,
  operations,
  programSizes,
  random,
  replay,
  runs,
  seedFromEnv,
  type Distribution,
  uniform,
} from "@heapwright/core/testing";
import { beforeEach, expect, test } from "vitest";

import { ApfAllocator, type ApfOptions } from "../src/index.ts";

// An allocator keeps superblocks, which its heap takes for live.
beforeEach(() => allowLive());

const SIZES: readonly Distribution[] = [
  uniform(0, 600),
  uniform(0, 60),
  programSizes,
  uniform(0, 20_000),
  uniform(64, 64),
];

/** Short bursts and small targets, so that tuners do all they can do within a test. */
function hurried(draw: () => number): ApfOptions {
  return {
    targetApf: 1 + Math.floor(draw() * 60),
    burstLength: 1 + Math.floor(draw() * 150),
    hibernationPeriod: Math.floor(draw() * 100),
    tuning: draw() < 0.9,
  };
}

function ended(apf: ApfAllocator, heap: Heap): void {
  apf.check();
  apf.flush();
  apf.check();
  expect(apf.stats()).toMatchObject({ liveBlocks: 0, cachedBlocks: 0, superblocks: 0 });
  apf.destroy();
  heap.check();
  expect(heap.stats()).toMatchObject({ liveBlocks: 0, liveBytes: 0 });
}

test("every operation keeps every invariant", { timeout: 600_000 }, () => {
  const draw = random(seedFromEnv());
  for (let run = 0; run < runs(20); run += 1) {
    const heap = new Heap({ bytes: 1 << 16, maxBytes: 1 << 26, alignment: run % 2 === 0 ? 8 : 16 });
    const apf = new ApfAllocator({ backing: heap, ...hurried(draw) });
    const seed = Math.floor(draw() * 2 ** 31);
    const stream = operations({ seed, count: 800, maxLive: 1 + Math.floor(draw() * 60), sizes: SIZES[run % 5]! });
    const { failures } = replay(apf, stream, { everyOp: () => apf.check() });
    expect(failures).toBe(0);
    ended(apf, heap);
  }
});

test("a million operations", { timeout: 600_000 }, () => {
  const draw = random(seedFromEnv() + 1);
  const count = 20_000;
  for (let run = 0; run < runs(50); run += 1) {
    const heap = new Heap({ bytes: 1 << 16, maxBytes: 1 << 27 });
    const apf = new ApfAllocator({ backing: heap, ...(run % 4 === 0 ? {} : hurried(draw)) });
    const seed = Math.floor(draw() * 2 ** 31);
    const maxLive = 1 + Math.floor(draw() ** 2 * 1500);
    const sizes = SIZES[run % 5]!;
    const everyOp = (index: number): void => {
      if (index % 1000 === 0) apf.check();
      if (index % 7000 === 6999) apf.flush();
    };
    const { failures } = replay(apf, operations({ seed, count, maxLive, sizes }), { everyOp });
    expect(failures).toBe(0);
    ended(apf, heap);
  }
});

test("allocators and other blocks share a small heap, which runs full now and then", { timeout: 600_000 }, () => {
  const draw = random(seedFromEnv() + 2);
  let failed = 0;
  for (let run = 0; run < runs(8); run += 1) {
    const heap = new Heap({ bytes: 60_000 + Math.floor(draw() * 200_000) });
    const inner = new ApfAllocator({ backing: heap, ...hurried(draw) });
    const outer = new ApfAllocator({ backing: inner, ...hurried(draw) });
    const check = (): void => {
      outer.check();
      inner.check();
      heap.check();
    };
    const options = { seed: Math.floor(draw() * 2 ** 31), count: 500, maxLive: 300 } as const;
    failed += replay(outer, operations({ ...options, sizes: uniform(0, 500) }), { everyOp: check }).failures;
    failed += replay(inner, operations({ ...options, sizes: uniform(0, 4000) }), { everyOp: check }).failures;
    outer.destroy();
    ended(inner, heap);
  }
  expect(failed).toBeGreaterThan(0);
});
