/** The tuner at work: what it sees is what happened, and it keeps the pace that it is told. */
import { NULL, type Ptr } from "@heapwright/core";
import { random, runs, seedFromEnv } from "@heapwright/core/testing";
import { describe, expect, test } from "vitest";

import { cachedCount } from "../src/caches.ts";
import { type ApfAllocator, classOf } from "../src/index.ts";
import { reuseFunction } from "../src/timescale.ts";
import { type FreeInterval } from "../src/trace.ts";
import { apfOf, code, got, heapOf, recordOf } from "./made.ts";

const CLASS = classOf(64);

/** The free intervals of a stack: each allocation takes what was freed last. The clock begins at `from`. */
function stackIntervals(kinds: readonly boolean[], from: number, to: number): FreeInterval[] {
  const intervals: FreeInterval[] = [];
  const freed: number[] = [];
  let clock = 0;
  for (const isAllocation of kinds) {
    if (!isAllocation) {
      freed.push(clock);
      continue;
    }
    const start = freed.pop();
    // Windows begin with an allocation: what was freed just before it was there already.
    if (start !== undefined && start > from && clock < to)
      intervals.push({ start: start - 1 - from, end: clock - from });
    clock += 1;
  }
  return intervals;
}

test("the demand is k less the reuse function of what happened", { timeout: 600_000 }, () => {
  const draw = random(seedFromEnv());
  let seen = 0;
  for (let run = 0; run < runs(60); run += 1) {
    const burstLength = 1 + Math.floor(draw() * 64);
    const apf = apfOf({ targetApf: 1 + Math.floor(draw() * 30), burstLength, hibernationPeriod: 2 ** 30 });
    const kinds: boolean[] = [];
    const live: Ptr[] = [];
    let from = -1;
    for (let i = 0; i < 400; i += 1) {
      const isAllocation = live.length === 0 || draw() < (i < 150 ? 0.9 : 0.5);
      kinds.push(isAllocation);
      if (isAllocation) live.push(got(apf.malloc(64)));
      else apf.free(live.splice(Math.floor(draw() * live.length), 1)[0]!);
      // The burst begins when the cache is filled for the second time, with the allocation that this is for.
      if (from < 0 && apf.tuner(CLASS).isBurst) from = apf.tuner(CLASS).allocations - 1;
    }
    const { curve, allocations, apf: reached } = apf.tuner(CLASS);
    if (reached === undefined) continue;
    seen += 1;
    const expected = reuseFunction(burstLength, stackIntervals(kinds, from, from + burstLength));
    expect(allocations).toBe(kinds.filter(Boolean).length);
    expect(curve.map(({ k }) => k)).toEqual(Array.from({ length: burstLength }, (_, i) => i + 1));
    for (const { k, reuse, demand } of curve) {
      expect(reuse, `run ${run}, k ${k} of ${burstLength}`).toBeCloseTo(expected[k]!, 9);
      expect(demand).toBeCloseTo(k - expected[k]!, 9);
    }
    apf.destroy();
  }
  expect(seen).toBeGreaterThan(20);
});

test("a long burst is seen in steps, and what it shows is that of windows that begin with one", () => {
  const apf = apfOf({ backing: heapOf(1 << 22), targetApf: 100, burstLength: 640, hibernationPeriod: 2 ** 30 });
  const draw = random(7);
  const live: Ptr[] = [];
  /** Level of a stack that nothing is fetched into or returned from, before each allocation, and after it. */
  const levels: [before: number, after: number][] = [];
  let level = 0;
  let from = -1;
  for (let i = 0; levels.length < 900; i += 1) {
    if (live.length === 0 || draw() < (i < 600 ? 0.7 : 0.5)) {
      levels.push([level, level - 1]);
      level -= 1;
      live.push(got(apf.malloc(64)));
      if (from < 0 && apf.tuner(CLASS).isBurst) from = levels.length - 1;
    } else {
      level += 1;
      apf.free(live.splice(Math.floor(draw() * live.length), 1)[0]!);
    }
  }
  const { curve } = apf.tuner(CLASS);
  expect(curve.map(({ k }) => k)).toEqual(Array.from({ length: 64 }, (_, i) => 10 * (i + 1)));
  for (const { k, demand } of curve) {
    let sum = 0;
    let windows = 0;
    for (let first = from; first + k <= from + 640; first += 10) {
      const lowest = Math.min(...levels.slice(first, first + k).map(([, after]) => after));
      sum += levels[first]![0] - lowest;
      windows += 1;
    }
    expect(demand, `k ${k}`).toBeCloseTo(sum / windows, 9);
  }
});

test("there is no curve before the first burst is over, and there are none without tuning", () => {
  const apf = apfOf({ burstLength: 50, targetApf: 25 });
  for (let i = 0; i < 32 + 50; i += 1) {
    expect(apf.tuner(CLASS)).toMatchObject({ curve: [], apf: undefined, window: undefined, demand: undefined });
    got(apf.malloc(64));
  }
  got(apf.malloc(64));
  expect(apf.tuner(CLASS).curve).toHaveLength(50);
  expect(apf.tuner(CLASS).apf).toBeDefined();
  const untuned = apfOf({ burstLength: 50, tuning: false });
  for (let i = 0; i < 1000; i += 1) got(untuned.malloc(64));
  expect(untuned.tuner(CLASS)).toMatchObject({ allocations: 1000, curve: [], apf: undefined, isBurst: false });
});

test("bursts and hibernation take turns", () => {
  const apf = apfOf({ backing: heapOf(1 << 22), targetApf: 10, burstLength: 100, hibernationPeriod: 300 });
  const wasBurst: boolean[] = [];
  for (let i = 0; i < 2000; i += 1) {
    apf.free(got(apf.malloc(64)));
    got(apf.malloc(64));
    wasBurst.push(apf.tuner(CLASS).isBurst);
  }
  const first = wasBurst.indexOf(true);
  // Two allocations a turn.
  const turns = [...wasBurst.slice(first).entries()].filter(([i, is], _, all) => i > 0 && is !== all[i - 1]![1]);
  const lengths = turns.map(([i], at) => i - (turns[at - 1]?.[0] ?? 0));
  expect(lengths.slice(0, 5)).toEqual([50, 150, 50, 150, 50]);
});

describe("a pace of 2500 allocations per fetch", () => {
  type Steps = Generator<"allocate" | "free" | "free any">;
  const repeat = function* (step: "allocate" | "free" | "free any", count: number): Steps {
    for (let i = 0; i < count; i += 1) yield step;
  };
  const batches = function* (size: number, rounds: number): Steps {
    for (let round = 0; round < rounds; round += 1) {
      yield* repeat("allocate", size);
      yield* repeat("free", size);
    }
  };
  const workloads: Record<string, () => Steps> = {
    "only allocate": () => repeat("allocate", 100_000),
    "batches of 100": () => batches(100, 2000),
    "batches of 8000": () => batches(8000, 25),
    "10,000 live, one allocated or freed at random": function* (): Steps {
      const draw = random(1);
      yield* repeat("allocate", 10_000);
      for (let i = 0; i < 200_000; i += 1) yield draw() < 0.5 ? "allocate" : "free any";
    },
  };

  /** Mean blocks in the cache at an allocation. */
  function run(apf: ApfAllocator, steps: Steps): number {
    const draw = random(2);
    const live: Ptr[] = [];
    let sum = 0;
    let allocations = 0;
    for (const step of steps) {
      if (step === "allocate") {
        live.push(got(apf.malloc(64)));
        sum += cachedCount(apf.heap.u32, recordOf(apf, CLASS));
        allocations += 1;
      } else {
        const at = step === "free" ? live.length - 1 : Math.floor(draw() * live.length);
        const ptr = live[at]!;
        live[at] = live.at(-1)!;
        live.pop();
        apf.free(ptr);
      }
    }
    return sum / allocations;
  }

  /** The same under lrmalloc's rule: 4096 blocks are fetched into the empty cache, and returned from the full one. */
  function fixedRule(steps: Steps): number {
    let cached = 0;
    let sum = 0;
    let allocations = 0;
    for (const step of steps) {
      if (step === "allocate") {
        if (cached === 0) cached = 4096;
        cached -= 1;
        sum += cached;
        allocations += 1;
      } else {
        if (cached >= 4096) cached = 0;
        cached += 1;
      }
    }
    return sum / allocations;
  }

  for (const [name, steps] of Object.entries(workloads)) {
    test(
      `${name}: within 10 percent, and fewer blocks are idle than under the fixed rule`,
      { timeout: 120_000 },
      () => {
        const apf = apfOf({ backing: heapOf(1 << 24) });
        const mean = run(apf, steps());
        const { apf: reached } = apf.tuner(CLASS);
        expect(reached).toBeGreaterThan(2250);
        expect(reached).toBeLessThan(2750);
        expect(mean).toBeLessThan(fixedRule(steps()));
        // No block is lost: every one is live, in the cache, or in its superblock.
        apf.check();
      },
    );
  }

  test("other targets are reached too", () => {
    for (const targetApf of [50, 500, 4000]) {
      const apf = apfOf({ backing: heapOf(1 << 26), targetApf });
      for (let i = 0; i < 100 * targetApf + 20_000; i += 1) got(apf.malloc(64));
      const { apf: reached } = apf.tuner(CLASS);
      expect(Math.abs(reached! / targetApf - 1), `${targetApf}`).toBeLessThan(0.1);
    }
  });
});

describe("noTuning", () => {
  test("does not count, nests, and gives back what the function does", () => {
    const apf = apfOf({ burstLength: 20, targetApf: 10 });
    for (let i = 0; i < 45; i += 1) got(apf.malloc(64));
    const before = apf.tuner(CLASS);
    expect(before.isBurst).toBe(true);
    const result = apf.noTuning(() => {
      const blocks = Array.from({ length: 100 }, () => got(apf.malloc(64)));
      apf.noTuning(() => blocks.forEach((ptr) => apf.free(ptr)));
      got(apf.malloc(64));
      return "done";
    });
    expect(result).toBe("done");
    expect(apf.tuner(CLASS).allocations).toBe(before.allocations);
    apf.check();
    got(apf.malloc(64));
    expect(apf.tuner(CLASS).allocations).toBe(before.allocations + 1);
  });

  test("the burst goes on as if nothing had been", () => {
    const curves = [false, true].map((isDisturbed) => {
      const apf = apfOf({ burstLength: 200, targetApf: 10, hibernationPeriod: 2 ** 30 });
      const live: Ptr[] = [];
      const draw = random(3);
      for (let i = 0; i < 700; i += 1) {
        if (isDisturbed && i % 7 === 0 && apf.tuner(CLASS).isBurst) {
          apf.noTuning(() => {
            const blocks = Array.from({ length: i % 50 }, () => got(apf.malloc(64)));
            for (const ptr of blocks.slice(i % 3)) apf.free(ptr);
          });
        }
        if (live.length === 0 || draw() < 0.6) live.push(got(apf.malloc(64)));
        else apf.free(live.pop()!);
      }
      return apf.tuner(CLASS);
    });
    expect(curves[0]!.curve).toHaveLength(50);
    expect(curves[1]!.allocations).toBe(curves[0]!.allocations);
    expect(curves[1]!.curve).toEqual(curves[0]!.curve);
  });

  test("ends when the function throws, or destroys the allocator", () => {
    const apf = apfOf();
    expect(() =>
      apf.noTuning(() => {
        throw new Error("mine");
      }),
    ).toThrow("mine");
    got(apf.malloc(64));
    expect(apf.tuner(CLASS).allocations).toBe(1);
    apf.noTuning(() => apf.destroy());
    expect(() => apf.noTuning(() => 1)).toThrow(code("ERR_DESTROYED"));
  });
});

test("a class that is none is refused", () => {
  const apf = apfOf();
  for (const wrong of [0, 40, -1, 1.5, NaN, "8", undefined]) {
    expect(() => apf.tuner(wrong as number)).toThrow(code("ERR_INVALID_ARGUMENT"));
  }
  expect(apf.tuner(39)).toMatchObject({ blockBytes: 14_336, allocations: 0, fetches: 0, cached: 0 });
  expect(apf.malloc(14_336)).not.toBe(NULL);
});
