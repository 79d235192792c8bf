/** The README's code runs, and prints what its comments say. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import * as core from "@heapwright/core";
import { expect, test } from "vitest";

import * as pool from "../src/index.ts";

const text = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const samples = [...text.matchAll(/```(?:js|ts)\n([\s\S]*?)```/g)].map(([, code]) => code ?? "");
const [blocks, files] = [0, 1].map((isFile) =>
  samples.filter((code) => /^\/\/ \w+\.js$/m.test(code) === (isFile === 1)),
) as [string[], string[]];

/** Node 20 has no `using`: it becomes what it stands for, at the end of the block. */
function runnable(code: string): string {
  const lines = code.replaceAll(/^import (\{[^}]*\}) from "@heapwright\/(core|pool)";$/gm, "const $1 = packages.$2;");
  const used = /^using (\w+) =/m.exec(lines)?.[1];
  return lines.replace(/^using /m, "const ") + (used === undefined ? "" : `\n${used}[Symbol.dispose]();`);
}

test("there are two quick starts", () => {
  expect(blocks).toHaveLength(2);
});

test.each(blocks.map((code, i) => [i + 1, code]))("quick start %i", (_, code) => {
  const printed: string[] = [];
  const before = core.defaultHeap().stats().liveBlocks;
  const log = { log: (...values: unknown[]) => printed.push(values.join(" ")) };
  // oxlint-disable-next-line typescript/no-implied-eval -- the code of the README is what is tested
  new Function("packages", "console", runnable(code))({ core, pool }, log);
  const promised = [...code.matchAll(/console\.log\(.*\/\/ (.+)$/gm)].map(([, comment]) => comment);
  expect(promised.length).toBeGreaterThan(0);
  expect(printed).toEqual(promised);
  expect(core.defaultHeap().stats().liveBlocks).toBe(before);
});

test("the files of the section on workers run", () => {
  expect(files).toHaveLength(2);
  const folder = mkdtempSync(join(fileURLToPath(new URL(".", import.meta.url)), ".readme-"));
  try {
    for (const code of files) writeFileSync(join(folder, /^\/\/ (\S+)/.exec(code)?.[1] ?? ""), code);
    const end = `worker.once("exit", () => { pool.check(); heap.check(); console.log(pool.stats().liveBlocks); });`;
    writeFileSync(join(folder, "main.js"), `${files[0]}${end}`);
    const { stdout, stderr } = spawnSync(process.execPath, [join(folder, "main.js")], { encoding: "utf8" });
    expect(stderr).toBe("");
    expect(stdout).toBe("0\n");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
