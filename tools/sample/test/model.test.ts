/** Random operations against the shadow heap, every invariant proved after each. */
import { Heap } from "@heapwright/core";
import { operations, programSizes, random, replay, runs, seedFromEnv } from "@heapwright/core/testing";
import { expect, test } from "vitest";

import { Sample } from "../src/index.ts";

test("the allocator keeps its promises", () => {
  const draw = random(seedFromEnv());
  for (let run = 0; run < runs(5); run += 1) {
    const heap = new Heap({ bytes: 1 << 16, maxBytes: 1 << 26 });
    const allocator = new Sample({ backing: heap });
    const seed = Math.floor(draw() * 2 ** 31);
    const stream = operations({ seed, count: 1000, maxLive: 100, sizes: programSizes });
    const { failures } = replay(allocator, stream, { everyOp: () => allocator.check() });
    expect(failures).toBe(0);
    expect(allocator.stats()).toEqual({ liveBlocks: 0 });
    allocator.destroy();
    heap.check();
    expect(heap.stats()).toMatchObject({ liveBlocks: 0, liveBytes: 0 });
  }
});
