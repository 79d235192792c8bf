import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { Target } from "../src/adapter.ts";
import { commandOf, type MicroWork, prepareWork } from "../src/micro.ts";
import { buildLibc } from "../src/peers/libc.ts";
import { readPrepared, writePrepared } from "../src/prepared.ts";
import { timedPass } from "../src/timed-pass.ts";
import { parseTrace } from "../src/trace.ts";
import { traceText } from "./load.ts";

const SPY_NAMES = ["malloc", "free", "realloc"];
const built = buildLibc();

/** What `spy.c` is to the C program: same numbers, same log. */
class Spy implements Target {
  log = "";
  #blocks = 0;

  malloc(size: number): number {
    this.log += `malloc ${size}\n`;
    return ++this.#blocks;
  }

  free(ptr: number): void {
    this.log += `free ${ptr}\n`;
  }

  realloc(ptr: number, size: number): number {
    this.log += `realloc ${ptr} ${size}\n`;
    return ++this.#blocks;
  }
}

function pathOf(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}

describe.skipIf("reason" in built)("the C program", () => {
  let folder = "";
  let program = "";

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "libc-test-"));
    program = join(folder, "spied");
    const sources = ["main.c", "replay.c", "micro.c", "blocks.c"].map((file) => pathOf(`../src/libc/${file}`));
    const defines = SPY_NAMES.map((name) => `-D${name}=spy_${name}`);
    execFileSync(process.env["CC"] ?? "cc", ["-fno-builtin", ...defines, "-o", program, pathOf("spy.c"), ...sources]);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  /** The calls of one pass (a run of no time does one pass), after what `ready` itself allocates. */
  const callsAfter = (ready: string): string => {
    const log = join(folder, "calls.log");
    execFileSync(program, { input: `${ready}\nrun 0\n`, env: { ...process.env, SPY_LOG: log } });
    return readFileSync(log, "latin1");
  };

  const works: readonly MicroWork[] = [
    { pattern: "pairs", size: 64 },
    { pattern: "batch", size: 64, count: 500, order: "lifo" },
    { pattern: "batch", size: 48, count: 500, order: "fifo" },
    { pattern: "batch", size: 64, count: 500, order: "random" },
    { pattern: "replace", size: 32, live: 500 },
    { pattern: "mixed", live: 500 },
    { pattern: "grow", arrays: 3, bytes: 5000 },
  ];
  it.each(works.map((work) => [commandOf(work), work] as const))("does the same as ours for %s", (command, work) => {
    const spy = new Spy();
    prepareWork(work, { target: spy, bytes: () => new Uint8Array(0) }).pass();
    expect(callsAfter(command)).toBe(spy.log);
  });

  const traces: readonly (readonly [what: string, operations: readonly string[]])[] = [
    ["a trace with blocks left over", ["a 0 20", "a 1 40", "r 0 60", "f 1", "a 1 10", "a 2 0"]],
    ["a trace that is repeated", ["a 0 20", "a 1 40", "f 0", "r 1 60", "f 1"]],
  ];
  it.each(traces)("does the same as ours for %s", (_, operations) => {
    const file = join(folder, "trace.bin");
    writePrepared(parseTrace(traceText(operations), "test.rep"), file);
    const spy = new Spy();
    const trace = readPrepared(file);
    timedPass(spy, trace, new Uint32Array(trace.idCount))();
    expect(callsAfter(`load ${file}`)).toBe(spy.log);
  });

  it("knows the footprint of a trace where the C library says enough", () => {
    const file = join(folder, "footprint.bin");
    const operations = Array.from({ length: 100 }, (_, id) => `a ${id} 1000`);
    writePrepared(parseTrace(traceText([...operations, "a 100 50000000", "f 100"]), "test.rep"), file);
    if (!("program" in built)) return;
    const answer = execFileSync(built.program, { input: `load ${file}\nverify 1000\n` }).toString();
    const { footprint } = JSON.parse(answer.split("\n")[1] ?? "") as { footprint: number };
    if (footprint === 0) return;
    expect(footprint).toBeGreaterThan(50_100_000);
    expect(footprint).toBeLessThan(50_200_000);
  });
});

it("a compiler that does not work is a reason, not an error", () => {
  const before = process.env["CC"];
  process.env["CC"] = "no-such-compiler";
  try {
    expect(buildLibc()).toEqual({ reason: expect.stringContaining("no C compiler that works") });
  } finally {
    if (before === undefined) delete process.env["CC"];
    else process.env["CC"] = before;
  }
});
