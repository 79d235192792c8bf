import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";

import { traceText } from "./load.ts";

const CLI = fileURLToPath(new URL("../dist/cli.js", import.meta.url));

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cli-test-"));
  const operations = Array.from({ length: 500 }, (_, id) => [`a ${id} ${8 + (id % 100)}`, `r ${id} 64`]).flat();
  writeFileSync(join(folder, "small.rep"), traceText(operations));
  writeFileSync(join(folder, "note.txt"), "not a trace");
});
afterAll(() => rmSync(folder, { recursive: true }));

function run(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): { status: number | null; out: string; err: string } {
  const result = spawnSync(process.execPath, [CLI, ...args], { encoding: "utf8", env: { ...process.env, ...env } });
  return { status: result.status, out: result.stdout, err: result.stderr };
}

it("replay reads the traces of a folder and leaves a table, JSON and a page", () => {
  const json = join(folder, "figures.json");
  const html = join(folder, "report.html");
  const { status, out, err } = run([
    "replay",
    "--quick",
    "--only",
    "core,thi.ng",
    "--json",
    json,
    "--html",
    html,
    folder,
  ]);
  expect(status, err).toBe(0);
  expect(out).toMatch(/^small +core +1000 /m);
  expect(out).toContain(`Plots: ${html}`);
  expect(err).toContain("3/3 small: timing core, thi.ng");
  expect(readFileSync(html, "utf8")).toContain("small");
  const report = JSON.parse(readFileSync(json, "utf8"));
  for (const means of report.means) {
    expect(means.traces).toBe(1);
    expect(means.nanoseconds).toBeGreaterThan(0);
    expect(means.utilisation).toBeGreaterThan(0.4);
    expect(means.utilisation).toBeLessThan(1);
  }
});

it("micro times the loads it is asked for", () => {
  const { status, out, err } = run(["micro", "--quick", "--only", "core", "--work", "at-once,fifo"]);
  expect(status, err).toBe(0);
  expect(out).toMatch(/^at-once +core +[\d.]+ +- +[\d.]+\.\.[\d.]+$/m);
  expect(out).toMatch(/^fifo +core /m);
});

it("libc without a compiler is left out, with a line that says so", () => {
  const args = ["micro", "--quick", "--only", "core,libc", "--work", "at-once"];
  const { status, out, err } = run(args, { CC: "no-such-compiler" });
  expect(status).toBe(0);
  expect(err).toContain("libc is left out: no C compiler that works");
  expect(out).toMatch(/^at-once +core /m);
});

it("a malformed trace ends the run with file and line", () => {
  const file = join(folder, "bad.rep.txt");
  writeFileSync(file, "10\n1\n1\n1\nb 0 10\n");
  const { status, err } = run(["replay", file]);
  expect(status).toBe(1);
  expect(err).toContain(`${file}:5: not an operation: "b 0 10"`);
});

it.each([
  [["replay", "--only", "hoard"], /--only: no "hoard"; there are core, /],
  [["micro", "--work", "sorting"], /--work: no "sorting"; there are at-once, /],
  [["replay", "--rounds", "none"], /--rounds: a positive number expected, not "none"/],
  [["replay", "--fast"], /Unknown option '--fast'/],
  [["replay", "/no/such/trace.rep"], /no such file/],
  [["paint"], /no command "paint"/],
])("%j is refused in a sentence", (args, message) => {
  const { status, err } = run(args);
  expect(status).toBe(1);
  expect(err).toMatch(message);
  expect(err).not.toMatch(/^ +at /m);
});

it("--help says what there is", () => {
  const { status, out } = run(["--help"]);
  expect(status).toBe(0);
  expect(out).toContain("Usage:");
});
