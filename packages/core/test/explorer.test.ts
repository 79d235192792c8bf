import { describe, expect, it } from "vitest";
import { SUPERBLOCK } from "../src/layout.ts";
import type { Ptr } from "../src/ptr.ts";
import { runs, seedFromEnv } from "../src/testing/env.ts";
import { random } from "../src/testing/stream.ts";
import { explore, type Scenario } from "./explorer/explore.ts";
import { type Script, Stage } from "./explorer/stage.ts";

describe("the rewritten source", () => {
  it("does what the source does, store for store", async () => {
    const bytes = 1 << 16;
    const stage = await Stage.make({ bytes });
    const actor = stage.supervisor("main");
    const { words } = stage.memory;
    // The source itself, on a copy of the same heap, for the same agent.
    const copy = new Uint32Array(new SharedArrayBuffer(bytes));
    copy.set(words);
    const plain = stage.plainShared(actor, copy.buffer);
    words.set(copy);
    const next = random(seedFromEnv());
    const pick = (limit: number): number => Math.floor(next() * limit);
    const live: Ptr[] = [];
    for (let step = 0; step < runs(3000); step += 1) {
      const size = pick(4) === 0 ? pick(3000) : pick(130);
      const at = pick(live.length + 1);
      const old = live[at];
      const results =
        old === undefined
          ? [plain.malloc(size), stage.before(actor, () => actor.heap.malloc(size))]
          : pick(3) === 0
            ? [plain.realloc(old, size), stage.before(actor, () => actor.heap.realloc(old, size))]
            : [plain.free(old), stage.before(actor, () => actor.heap.free(old))];
      expect(results[1]).toBe(results[0]);
      if (old !== undefined && results[0] !== 0) live.splice(at, 1);
      if (typeof results[0] === "number" && results[0] !== 0) live.push(results[0]);
      expect(
        words.findIndex((word, index) => word !== copy[index] && !isId(index)),
        `after step ${step}`,
      ).toBe(-1);
    }
  });

  it("is all of it but what waits for a page's events", async () => {
    const { sources } = await Stage.make();
    expect(sources.unmodelled).toEqual(["worker.ts certify", "worker.ts awaitCertificate"]);
    expect(sources.sites.length).toBeGreaterThan(250);
  });
});

describe("the explorer", () => {
  /** Two agents that add one to a word. */
  async function counting(isAtomic: boolean): Promise<Scenario> {
    const stage = await Stage.make();
    const main = stage.supervisor("main");
    const index = stage.before(main, () => stage.malloc(main, 64)) >>> 2;
    stage.memory.words[index] = 0;
    const script: Script = function* (actor) {
      if (isAtomic) yield* stage.add(index, 1);
      else yield* stage.write(index, (yield* stage.read(index)) + 1);
      actor.rounds += 1;
    };
    for (const name of ["a", "b"]) stage.bystander(name, script);
    return stage.scenario("counting", { preemptions: 1 }, () => {
      const done = stage.actors.reduce((sum, { rounds }) => sum + rounds, 0);
      if (stage.memory.words[index] !== done) throw new Error(`${stage.memory.words[index]} of ${done}`);
    });
  }

  it("finds an update that is lost, with one pre-emption and not without", async () => {
    const scenario = await counting(false);
    const without = explore(scenario, { preemptions: 0 });
    expect([without.complete, without.failure]).toEqual([6, undefined]);
    const { failure } = explore(scenario);
    expect(failure?.error.message).toBe("1 of 2");
    expect(failure?.schedule.map((line) => line.trim().split(/\s+/)[0])).toEqual(["b", "a"]);
    expect(explore(await counting(true), { preemptions: 3 }).failure).toBeUndefined();
  });

  it("kills an agent between any two stores", async () => {
    const stage = await Stage.make();
    const main = stage.supervisor("main");
    const index = stage.before(main, () => stage.malloc(main, 64)) >>> 2;
    stage.memory.words.fill(0, index, index + 3);
    const script: Script = function* () {
      for (const at of [0, 1, 2]) yield* stage.write(index + at, 1);
    };
    stage.worker("a", script, main);
    const seen = new Set<string>();
    const scenario = stage.scenario("stores", { preemptions: 0, kills: 1 }, () => {
      seen.add(stage.memory.words.subarray(index, index + 3).join(" "));
    });
    expect(explore(scenario).failure).toBeUndefined();
    // A death before the first store is one before the script begins.
    expect([...seen].sort()).toEqual(["0 0 0", "1 0 0", "1 1 0", "1 1 1"]);
  });

  /** An agent that sleeps until a word has changed, and what it finds then in each schedule. */
  async function sleeping(isNotified: boolean): Promise<{ scenario: Scenario; seen: Set<number> }> {
    const stage = await Stage.make();
    const main = stage.supervisor("main");
    const index = stage.before(main, () => stage.malloc(main, 64)) >>> 2;
    stage.memory.words[index] = 0;
    const seen = new Set<number>();
    stage.bystander("a", function* () {
      yield* stage.wait(index, 0);
      seen.add(yield* stage.read(index));
    });
    stage.bystander("b", function* () {
      yield* stage.add(index, 1);
      if (isNotified) yield* stage.notify(index);
    });
    return { scenario: stage.scenario("sleep", { preemptions: 1 }, () => {}), seen };
  }

  it("finds who sleeps for ever, though Atomics.wait has a time-out", async () => {
    const { scenario } = await sleeping(false);
    expect(explore(scenario).failure?.error.message).toBe("a: asleep for ever");
  });

  it("wakes who is notified, and others without a cause where that is asked for", async () => {
    const { scenario, seen } = await sleeping(true);
    expect(explore(scenario).failure).toBeUndefined();
    expect([...seen]).toEqual([1]);
    expect(explore(scenario, { preemptions: 1, wakes: 1 }).failure).toBeUndefined();
    expect([...seen].sort()).toEqual([0, 1]);
  });
});

/** Words that are drawn at random. */
function isId(index: number): boolean {
  const at = index * 4 - SUPERBLOCK.offsets.id;
  return at >= 0 && at < 8;
}
