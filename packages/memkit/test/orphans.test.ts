/** Which orphan serves a request: case (h) of the conformance tests, further; and how many are kept. */
import { random, runs, seedFromEnv } from "@heapwright/core/testing";
import { describe, expect, test } from "vitest";

import { type AllocatedPointer, mem_pointer_destroy, type MemoryPool } from "../src/index.ts";
import { allocated, heapOf, poolOf } from "./made.ts";

/** Makes orphans of these sizes in this order, and gives their addresses. */
function orphaned(pool: MemoryPool, sizes: readonly number[]): number[] {
  const ptrs = sizes.map((size, i) => allocated(pool, `o${i}`, size));
  const data = ptrs.map((ptr) => ptr.container.data);
  for (const ptr of ptrs) ptr.destroy();
  return data;
}

describe.each([true, false])("in a pool with debug: %s", (debug) => {
  test("of all that are large enough the smallest serves, of equal ones the one that was orphaned first", () => {
    const pool = poolOf(16, { debug });
    const data = orphaned(pool, [256, 128, 64, 128, 256, 64]);
    const served = [8, 64, 65, 100, 128, 8].map((size) => allocated(pool, `s${size}`, size).container);
    expect(served.map(({ data: at }) => data.indexOf(at))).toEqual([2, 5, 1, 3, 0, 4]);
    expect(served.map(({ size }) => size)).toEqual([64, 64, 128, 128, 256, 256]);
  });

  test("large ones that share a ring, too", () => {
    const pool = poolOf(16, { debug });
    // 1024 to 1279 lie in one ring.
    const data = orphaned(pool, [1200, 1100, 1024, 1272, 1100]);
    const served = [1090, 1090, 1030, 1210, 8].map((size) => allocated(pool, "s", size).container.data as number);
    expect(served.map((at) => data.indexOf(at))).toEqual([1, 4, 0, 3, 2]);
  });

  test("age is the time of being orphaned, not that of being made", () => {
    const pool = poolOf(16, { debug });
    const ptrs = ["a", "b", "c"].map((name) => allocated(pool, name, 64));
    const data = ptrs.map((ptr) => ptr.container.data);
    for (const i of [1, 2, 0]) ptrs[i]?.destroy();
    const again = allocated(pool, "d", 64);
    expect(again.container.data).toBe(data[1]);
    again.destroy();
    // It is the youngest now.
    expect([1, 2, 3].map((i) => allocated(pool, `e${i}`, 64).container.data)).toEqual([data[2], data[0], data[1]]);
  });

  test("an orphan that is not aligned as asked for is passed over", () => {
    const pool = poolOf(16, { debug });
    const data = orphaned(pool, [4096, 4104, 4112]);
    expect(data.filter((at) => at % 4096 === 0)).toEqual([]);
    const ptr = allocated(pool, "a", 8, { alignment: 4096 });
    expect(ptr.container.data % 4096).toBe(0);
    ptr.destroy();
    expect(allocated(pool, "b", 8).container.data).toBe(data[0]);
    expect(allocated(pool, "c", 8, { alignment: 4096 }).container.data % 4096).toBe(0);
    expect(pool.count).toBe(4);
  });

  test("at most maxOrphans are kept; what comes then is freed", () => {
    const pool = poolOf(64, { debug, maxOrphans: 5 });
    const data = orphaned(pool, Array(20).fill(64));
    expect(pool.stats()).toMatchObject({ liveContainers: 0, orphans: 5 });
    expect(pool.maxOrphans).toBe(5);
    expect([...pool.blocks()].map(({ ptr }) => ptr).sort((a, b) => a - b)).toEqual(data.slice(0, 5));
  });

  test("the bound is 64 where none is named", () => {
    const pool = poolOf(128, { debug });
    orphaned(pool, Array(100).fill(24));
    expect([pool.maxOrphans, pool.stats().orphans]).toEqual([64, 64]);
  });

  test.each([{ orphans: "destroy" } as const, { maxOrphans: 0 }, { orphans: "destroy", maxOrphans: 9 } as const])(
    "with %j a container is destroyed when its count reaches 0",
    (options) => {
      const pool = poolOf(64, { debug, ...options });
      const { liveBytes } = pool.heap.stats();
      orphaned(pool, [64, 600, 8]);
      expect([pool.count, pool.totalBytes]).toEqual([0, 0]);
      // At most one block of a pointer is kept.
      expect(pool.heap.stats().liveBytes - liveBytes).toBeLessThanOrEqual(48);
    },
  );

  test("destroyed without its pool, a pointer leaves no orphan", () => {
    const pool = poolOf(8, { debug });
    const ptr = allocated(pool, "p", 64);
    mem_pointer_destroy(ptr, null);
    expect(pool.count).toBe(0);
  });

  test("random sizes: always exactly the best fit of a list that is searched in full", () => {
    const seed = seedFromEnv();
    const draw = random(seed);
    const pool = poolOf(512, { debug, maxOrphans: 300, backing: heapOf(1 << 23) });
    /** In the order in which they became orphans. */
    const orphans: { data: number; size: number }[] = [];
    const live: { ptr: AllocatedPointer; data: number; size: number }[] = [];
    let most = 0;
    for (let i = 0; i < runs(1500); i += 1) {
      // In waves, so that there are many orphans to choose from now and few then.
      const grows = draw() < (i % 400 < 200 ? 0.65 : 0.35);
      if (grows && live.length < 200) {
        const wanted = Math.ceil(2 ** (3 + draw() * 9) / 8) * 8;
        const least = Math.min(...orphans.filter(({ size }) => size >= wanted).map(({ size }) => size));
        const best = orphans.findIndex(({ size }) => size === least);
        const ptr = allocated(pool, "p", wanted);
        const { data, size } = ptr.container;
        const [expected] = best < 0 ? [] : orphans.splice(best, 1);
        if (size !== (expected?.size ?? wanted) || data !== (expected?.data ?? data)) {
          throw new Error(`FC_SEED=${seed}: step ${i}, ${wanted} bytes`);
        }
        live.push({ ptr, data, size });
      } else if (live.length > 0) {
        const [{ ptr, data, size }] = live.splice(Math.floor(draw() * live.length), 1) as [(typeof live)[number]];
        const isKept = draw() < 0.9 && orphans.length < 300;
        if (isKept) orphans.push({ data, size });
        mem_pointer_destroy(ptr, isKept ? pool : null);
      }
      most = Math.max(most, orphans.length);
    }
    pool.check();
    expect(pool.stats()).toMatchObject({ orphans: orphans.length, liveContainers: live.length });
    expect(most).toBeGreaterThan(30);
  });
});

test("orphans are not in the way: each serves as soon as it is asked for, with a thousand others there", () => {
  const pool = poolOf(1024, { maxOrphans: 1000, backing: heapOf(1 << 23) });
  const sizes = Array.from({ length: 1000 }, (_, i) => 8 * (i + 1));
  const data = orphaned(pool, sizes);
  expect(pool.stats().orphans).toBe(1000);
  for (const size of [8, 512, 520, 4000, 8000]) {
    expect(allocated(pool, "s", size).container.data).toBe(data[size / 8 - 1]);
  }
});
