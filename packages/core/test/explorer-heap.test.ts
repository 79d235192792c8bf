import { describe, expect, it } from "vitest";
import { runs } from "../src/testing/env.ts";
import { type Exploration, expectClean } from "./explorer/report.ts";
import { flush, growth, recovery, refill } from "./explorer/scenarios.ts";

/**
 * Heap, magazines and growth, in every order of what agents do, up to so many pre-emptions, with deaths anywhere. After
 * each schedule the heap is whole, and live is just what programs have, but for a block a death. By default a part of it, all
 * with FC_RUNS.
 */
const EXPLORATIONS: readonly Exploration[] = [
  { name: "recovery", play: recovery, budget: { preemptions: 1, kills: 1 }, floor: 7000 },
  { name: "recovery cut short", play: recovery, budget: { preemptions: 0, kills: 2 }, floor: 2000 },
  { name: "refill, a sender dies", play: refill("sender"), budget: { preemptions: 1, kills: 1 }, floor: 5000 },
  { name: "refill, a receiver dies", play: refill("receiver"), budget: { preemptions: 1, kills: 1 }, floor: 4000 },
  { name: "refill, nobody dies", play: refill("sender"), budget: { preemptions: 3, wakes: 1 }, floor: 10_000 },
  { name: "flush", play: flush, budget: { preemptions: 1, kills: 1 }, floor: 2000 },
  { name: "flush, nobody dies", play: flush, budget: { preemptions: 3, wakes: 1 }, floor: 400 },
  { name: "growth", play: growth, budget: { preemptions: 1, kills: 1, lags: 1 }, floor: 1500 },
  { name: "growth, nobody dies", play: growth, budget: { preemptions: 3, wakes: 1, lags: 1 }, floor: 3000 },
];

const THOROUGH: readonly Exploration[] = [
  { name: "recovery", play: recovery, budget: { preemptions: 3, kills: 1 }, floor: 500_000 },
  { name: "recovery cut short", play: recovery, budget: { preemptions: 1, kills: 2 }, floor: 50_000 },
  { name: "refill, a sender dies", play: refill("sender"), budget: { preemptions: 3, kills: 1 }, floor: 300_000 },
  { name: "refill, a receiver dies", play: refill("receiver"), budget: { preemptions: 3, kills: 1 }, floor: 200_000 },
  { name: "flush", play: flush, budget: { preemptions: 3, kills: 1, wakes: 1 }, floor: 100_000 },
  { name: "growth", play: growth, budget: { preemptions: 3, kills: 1, wakes: 1, lags: 1 }, floor: 100_000 },
];

describe("every schedule", () => {
  it.each(EXPLORATIONS)("$name, $budget", async (exploration) => {
    expect(await expectClean(exploration)).toBeGreaterThanOrEqual(exploration.floor);
  });

  it.runIf(runs(1) > 1).each(THOROUGH)("$name, thoroughly, $budget", { timeout: 3_600_000 }, async (exploration) => {
    expect(await expectClean(exploration)).toBeGreaterThanOrEqual(exploration.floor);
  });
});
