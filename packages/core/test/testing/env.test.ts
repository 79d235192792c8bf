import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type * as Env from "../../src/testing/env.ts";

/** A fresh copy, since a process prints its seed once. */
async function load(variables: Record<string, string>): Promise<typeof Env> {
  vi.stubEnv("FC_SEED", "");
  vi.stubEnv("FC_RUNS", "");
  for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
  vi.resetModules();
  return import("../../src/testing/env.ts");
}

let lines: unknown[];

beforeEach(() => {
  lines = [];
  vi.spyOn(console, "error").mockImplementation((line) => lines.push(line));
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

const invalid = expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" });

describe("seedFromEnv", () => {
  it("takes FC_SEED and prints it once", async () => {
    const { seedFromEnv } = await load({ FC_SEED: "-42" });
    expect([seedFromEnv(), seedFromEnv()]).toEqual([-42, -42]);
    expect(lines).toEqual(["FC_SEED=-42"]);
  });

  it("makes one otherwise, prints it, and stays with it", async () => {
    const { seedFromEnv } = await load({});
    const seed = seedFromEnv();
    expect(Number.isSafeInteger(seed)).toBe(true);
    expect(seedFromEnv()).toBe(seed);
    expect(lines).toEqual([`FC_SEED=${seed}`]);
    const again = await load({});
    expect(again.seedFromEnv()).not.toBe(seed);
  });

  it("refuses what is no seed", async () => {
    const { seedFromEnv } = await load({ FC_SEED: "lucky" });
    expect(() => seedFromEnv()).toThrow(invalid);
  });
});

describe("runs", () => {
  it("scales by FC_RUNS, rounded, and never to none", async () => {
    expect((await load({})).runs(100)).toBe(100);
    expect((await load({ FC_RUNS: "10" })).runs(100)).toBe(1000);
    expect((await load({ FC_RUNS: "0.015" })).runs(100)).toBe(2);
    expect((await load({ FC_RUNS: "0.001" })).runs(100)).toBe(1);
  });

  it("refuses what is no factor", async () => {
    for (const value of ["0", "-1", "many", "Infinity"]) {
      const { runs } = await load({ FC_RUNS: value });
      expect(() => runs(100), value).toThrow(invalid);
    }
  });
});

it("does without a process, as in a browser", async () => {
  const { runs, seedFromEnv, variable } = await load({});
  vi.stubGlobal("process", undefined);
  try {
    expect(variable("PATH")).toBe(undefined);
    expect(runs(7)).toBe(7);
    expect(Number.isSafeInteger(seedFromEnv())).toBe(true);
  } finally {
    vi.unstubAllGlobals();
  }
});
