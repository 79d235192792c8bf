import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

import { runs, seedFromEnv } from "@heapwright/core/testing";
import { describe, expect, it } from "vitest";

import { verdictOf } from "../src/storm/report.ts";
import type { StormResult } from "../src/storm/storm.ts";

const CLI = fileURLToPath(new URL("../dist/storm/cli.js", import.meta.url));
const KILLS = runs(200);

async function storm(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise<number>((resolve) => child.once("exit", (code) => resolve(code ?? -1)));
  const [out, err, status] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  return { status, out, err };
}

it("workers die by the hundred, and the heap and its pools live on", { timeout: 60_000 + 1000 * KILLS }, async () => {
  const { status, out, err } = await storm("--kills", String(KILLS), "--seed", String(seedFromEnv()));
  expect(status, `${out}\n${err}`).toBe(0);
  expect(out).toMatch(new RegExp(`^kills +${KILLS}$`, "m"));
  expect(out).toMatch(/^deadlocks +0$/m);
  expect(out).toMatch(/^broken invariants +0$/m);
  expect(out).toMatch(/^blocks lost beyond +0$/m);
});

it.each(["heap-recovery", "pool-recovery", "apf-recovery"])(
  "without %s they do not",
  { timeout: 300_000 },
  async (fault) => {
    const { status, out } = await storm("--kills", "1000", "--seed", String(seedFromEnv()), "--without", fault);
    expect(out).toMatch(/: failed\n/);
    expect(status).toBe(1);
  },
);

it.each([
  [["--kills", "many"], /--kills: a whole number from 1 expected, not "many"/],
  [["--workers", "2"], /--workers: a whole number from 3 expected, not "2"/],
  [["--seed=-1"], /--seed: a whole number from 0 expected, not "-1"/],
  [["--without", "hope"], /--without: no "hope"; there are heap-recovery, pool-recovery, apf-recovery/],
  [["--fast"], /Unknown option '--fast'/],
])("%j is refused in a sentence", async (args, message) => {
  const { status, err } = await storm(...args);
  expect(status).toBe(1);
  expect(err).toMatch(message);
  expect(err).not.toMatch(/^ +at /m);
});

describe("the verdict", () => {
  const result: StormResult = {
    kills: 200,
    paired: 60,
    early: 5,
    lockHeld: 30,
    broken: 20,
    rebuilding: 5,
    brokenBy: new Map(),
    inFlight: 40,
    lost: 0,
    deadlocks: 0,
    brokenInvariants: 0,
    heaps: 5,
    operations: 100_000,
    refusals: 0,
    waits: 0,
    failure: undefined,
  };

  it.each([
    ["passed", {}],
    ["void", { lockHeld: 29 }],
    ["void", { broken: 19 }],
    ["failed", { failure: "Deadlock" }],
    ["failed", { failure: "BrokenInvariant", lockHeld: 0, broken: 0 }],
  ])("is %s for %j", (verdict, change) => {
    expect(verdictOf({ ...result, ...change })).toBe(verdict);
  });
});
