/** The mathematics by itself, against what it means. */
import { random, runs, seedFromEnv } from "@heapwright/core/testing";
import { describe, expect, test } from "vitest";

import {
  fetchCount,
  type FreeInterval,
  LivenessCounter,
  ReuseCounter,
  reuseFunction,
  returnCount,
  returnLimit,
  Trace,
  windowOf,
} from "../src/timescale.ts";
import { code, fail } from "./made.ts";

type Event = readonly [kind: "allocate" | "free", slot: number];

/** `a1 f1 a1` in words. */
function events(text: string): Event[] {
  return text.split(" ").map((word) => [word.startsWith("a") ? "allocate" : "free", Number(word.slice(1))]);
}

function traceOf(list: readonly Event[]): Trace {
  const trace = new Trace();
  for (const [kind, slot] of list) trace[kind](slot);
  return trace;
}

/** What the function means: every window, every interval. */
function bruteForce(n: number, intervals: readonly FreeInterval[], k: number): number {
  let sum = 0;
  for (let first = 0; first + k <= n; first += 1) {
    sum += intervals.filter(({ start, end }) => start >= first && end <= first + k - 1).length;
  }
  return sum / (n - k + 1);
}

describe("traces", () => {
  test("a free interval lasts from a free to the allocation that takes the slot", () => {
    const trace = traceOf(events("a1 a2 f1 a1 f2 a2 f1 a3 a1"));
    expect(trace.allocations).toBe(6);
    expect(trace.intervals()).toEqual([
      { start: 2, end: 2 },
      { start: 3, end: 3 },
      { start: 4, end: 5 },
    ]);
  });

  test("a slot that was never freed ends none, one that is not taken again has none", () => {
    const trace = traceOf(events("a3 f3 f2 f1 a1 a2"));
    expect(trace.intervals()).toEqual([
      { start: 1, end: 1 },
      { start: 1, end: 2 },
    ]);
    expect(traceOf(events("a1 f1 a2")).intervals()).toEqual([]);
  });

  test("what cannot have happened is no trace", () => {
    expect(Trace.isValid(events("a1 a2 f1 a1 f2"))).toBe(true);
    expect(Trace.isValid(events("a1 a1"))).toBe(false);
    expect(Trace.isValid(events("a1 f2"))).toBe(false);
    expect(Trace.isValid(events("a1 f1 f1"))).toBe(false);
    expect(() => traceOf(events("a1 a1"))).toThrow(code("ERR_INVALID_ARGUMENT"));
    expect(() => traceOf(events("f1 f1"))).toThrow(code("ERR_INVALID_ARGUMENT"));
  });
});

describe("reuse", () => {
  test("of a trace known by hand", () => {
    const { allocations, intervals } = {
      allocations: 6,
      intervals: traceOf(events("a1 a2 f1 a1 f2 a2 f1 a3 a1")).intervals(),
    };
    expect([...reuseFunction(allocations, intervals)]).toEqual([0, 1 / 3, 1, 7 / 4, 7 / 3, 5 / 2, 3]);
  });

  test("of frees before the first allocation", () => {
    const of = (text: string): number[] => {
      const trace = traceOf(events(text));
      return [...reuseFunction(trace.allocations, trace.intervals())];
    };
    expect(of("f9 a9 a1")).toEqual([0, 0.5, 1]);
    expect(of("f9 a1 a9")).toEqual([0, 0, 1]);
  });

  test("of no allocation", () => {
    expect([...reuseFunction(0, [])]).toEqual([0]);
  });

  test("equals brute force on random traces, and lies between 0 and k", { timeout: 600_000 }, () => {
    const draw = random(seedFromEnv());
    let compared = 0;
    for (let run = 0; run < runs(10_000); run += 1) {
      const trace = new Trace();
      const [live, free]: [number[], number[]] = [[], []];
      const slots = 1 + Math.floor(draw() * 8);
      for (let slot = 0; slot < slots; slot += 1) (draw() < 0.5 ? live : free).push(slot);
      const length = Math.floor(draw() * 30);
      for (let i = 0; i < length; i += 1) {
        const [from, to] = draw() < 0.5 ? [free, live] : [live, free];
        if (from.length === 0) continue;
        const [slot] = from.splice(Math.floor(draw() * from.length), 1);
        if (to === live) trace.allocate(slot!);
        else trace.free(slot!);
        to.push(slot!);
      }
      const n = trace.allocations;
      const values = reuseFunction(n, trace.intervals());
      for (let k = 1; k <= n; k += 1) {
        const value = values[k]!;
        const isRight = Math.abs(value - bruteForce(n, trace.intervals(), k)) < 1e-9 && value >= 0 && value <= k;
        if (!isRight) fail(`run ${run}: reuse(${k}) of ${n} is ${value}`);
        compared += 1;
      }
    }
    expect(compared).toBeGreaterThan(runs(30_000));
  });

  test("a counter has nothing to say before its first burst is over, and keeps that until the next one is", () => {
    const counter = new ReuseCounter(6, 18);
    const feed = (): void => {
      for (const [kind, slot] of events("a1 a2 f1 a1 f2 a2 f1 a3 a1")) {
        expect(counter.reuse(4)).toBeUndefined();
        counter[kind](slot);
      }
    };
    feed();
    expect(counter.reuse(4)).toBeCloseTo(7 / 3, 12);
    // Beyond the burst: whole ones and the rest.
    expect(counter.reuse(10)).toBeCloseTo(3 + 7 / 3, 12);
    for (let i = 0; i < 18; i += 1) {
      counter.allocate(100 + i);
      counter.free(100 + i);
      expect(counter.reuse(4)).toBeCloseTo(7 / 3, 12);
    }
    // Awake again: nothing is reused.
    for (let i = 0; i < 6; i += 1) counter.allocate(i);
    expect(counter.reuse(4)).toBe(0);
  });

  test("a counter without hibernation goes from burst to burst", () => {
    const counter = new ReuseCounter(2, 0);
    for (const [kind, slot] of events("a1 a2")) counter[kind](slot);
    expect(counter.reuse(2)).toBe(0);
    for (const [kind, slot] of events("f1 a1 f1 a1")) counter[kind](slot);
    expect(counter.reuse(2)).toBe(2);
    expect(() => new ReuseCounter(0, 1)).toThrow(code("ERR_INVALID_ARGUMENT"));
    expect(() => new ReuseCounter(1, -1)).toThrow(code("ERR_INVALID_ARGUMENT"));
  });
});

describe("liveness", () => {
  test("one more object with every tick", () => {
    const counter = new LivenessCounter();
    for (let i = 0; i < 3; i += 1) {
      counter.tick();
      counter.allocate();
    }
    expect(counter.live(1)).toBe(2);
    expect(counter.live(3)).toBe(3);
    expect(counter.live(4)).toBe(0);
    expect(() => counter.live(-1)).toThrow(code("ERR_INVALID_ARGUMENT"));
  });

  test("equals brute force on random traces", { timeout: 600_000 }, () => {
    const draw = random(seedFromEnv() + 1);
    let compared = 0;
    for (let run = 0; run < runs(10_000); run += 1) {
      const counter = new LivenessCounter();
      const objects: [from: number, to: number][] = [];
      const n = 1 + Math.floor(draw() * 12);
      for (let now = 1; now <= n; now += 1) {
        counter.tick();
        for (let i = Math.floor(draw() * 3); i > 0; i -= 1) {
          counter.allocate();
          objects.push([now, Infinity]);
        }
        for (const object of objects) {
          if (object[1] !== Infinity || draw() > 0.2) continue;
          object[1] = now;
          counter.free();
        }
      }
      for (let k = 1; k <= n; k += 1) {
        let sum = 0;
        for (let first = 1; first + k - 1 <= n; first += 1) {
          sum += objects.filter(([from, to]) => from <= first + k - 1 && to >= first).length;
        }
        if (Math.abs(counter.live(k) - sum / (n - k + 1)) > 1e-9) fail(`run ${run}: live(${k}) of ${n}`);
        compared += 1;
      }
    }
    expect(compared).toBeGreaterThan(runs(30_000));
  });
});

describe("rules", () => {
  test("the window until the next fetch", () => {
    const table: readonly (readonly [fetches: number, clock: number, window: number])[] = [
      [0, 1300, 1200],
      [1, 2500, 2500],
      [4, 5000, 7500],
      [2, 9000, 2500],
      [0, 0, 2500],
      [0, 2499, 1],
      [0, 2500, 2500],
    ];
    for (const [fetches, clock, window] of table) expect(windowOf(2500, clock, fetches)).toBe(window);
  });

  test("at least one block is fetched, and whole ones", () => {
    expect([0, 0.2, 1, 1.1, 2500].map(fetchCount)).toEqual([1, 1, 1, 2, 2500]);
  });

  test("twice the demand and one trigger a return, of the demand and one", () => {
    for (const demand of [1, 7, 100]) {
      expect(returnLimit(demand)).toBe(2 * demand + 1);
      expect(returnCount(2 * demand, demand)).toBe(0);
      expect(returnCount(2 * demand + 1, demand)).toBe(demand + 1);
    }
    expect(returnLimit(2.5)).toBe(6);
    expect(returnCount(5, 2.5)).toBe(0);
    expect(returnCount(6, 2.5)).toBe(4);
    expect(returnCount(5, -1)).toBe(0);
    // Far above the limit, all that is more than the demand.
    expect(returnCount(1000, 10)).toBe(990);
  });
});
