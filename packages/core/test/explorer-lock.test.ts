import { describe, expect, it } from "vitest";
import { runs } from "../src/testing/env.ts";
import { type Exploration, expectClean } from "./explorer/report.ts";
import { departure, family, lock, returning, stranger, successor } from "./explorer/scenarios.ts";

/**
 * The lock and the slots, in every order of what agents do, up to so many pre-emptions; with a death anywhere, someone who
 * wakes up by himself, someone whose patience is out. By default a part of it, all with FC_RUNS.
 */
const EXPLORATIONS: readonly Exploration[] = [
  { name: "two agents", play: lock([1, 1]), budget: { preemptions: 3, kills: 1, wakes: 1 }, floor: 10_000 },
  { name: "three agents", play: lock([1, 1, 1]), budget: { preemptions: 1, kills: 1 }, floor: 6000 },
  { name: "one gives up", play: lock([2, 1, 1]), budget: { preemptions: 2, lates: 1 }, floor: 5000 },
  { name: "a supervisor dies", play: family, budget: { preemptions: 1, kills: 1, wakes: 1 }, floor: 3000 },
  { name: "in place of the dead", play: successor, budget: { preemptions: 1, kills: 1, wakes: 1 }, floor: 3000 },
  { name: "someone attaches", play: stranger, budget: { preemptions: 2, kills: 1 }, floor: 3000 },
  { name: "someone attaches twice", play: returning, budget: { preemptions: 1, kills: 1 }, floor: 300 },
  { name: "someone detaches", play: departure, budget: { preemptions: 1, kills: 1 }, floor: 4000 },
];

const THOROUGH: readonly Exploration[] = [
  { name: "two agents", play: lock([2, 1]), budget: { preemptions: 3, kills: 2, wakes: 1 }, floor: 50_000 },
  { name: "three agents", play: lock([1, 1, 1]), budget: { preemptions: 3, kills: 1, wakes: 1 }, floor: 500_000 },
  { name: "one gives up", play: lock([2, 1, 1]), budget: { preemptions: 3, lates: 1 }, floor: 50_000 },
  { name: "a supervisor dies", play: family, budget: { preemptions: 3, kills: 1, wakes: 1 }, floor: 50_000 },
  { name: "in place of the dead", play: successor, budget: { preemptions: 3, kills: 1, wakes: 1 }, floor: 50_000 },
  { name: "someone attaches", play: stranger, budget: { preemptions: 3, kills: 1, wakes: 1 }, floor: 10_000 },
  { name: "someone attaches twice", play: returning, budget: { preemptions: 3, kills: 1, wakes: 1 }, floor: 2000 },
  { name: "someone detaches", play: departure, budget: { preemptions: 3, kills: 1, wakes: 1 }, floor: 100_000 },
];

describe("every schedule", () => {
  it.each(EXPLORATIONS)("$name, $budget", async (exploration) => {
    expect(await expectClean(exploration)).toBeGreaterThanOrEqual(exploration.floor);
  });

  it.runIf(runs(1) > 1).each(THOROUGH)("$name, thoroughly, $budget", { timeout: 3_600_000 }, async (exploration) => {
    expect(await expectClean(exploration)).toBeGreaterThanOrEqual(exploration.floor);
  });
});
