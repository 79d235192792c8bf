/** The README's code runs, and prints what its comments say. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import * as core from "@heapwright/core";
import { expect, test } from "vitest";

import * as mempool from "../src/index.ts";

const text = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const blocks = [...text.matchAll(/```(?:js|ts)\n([\s\S]*?)```/g)].map(([, code]) => code ?? "");

/** Node 20 has no `using`: it becomes what it stands for, at the end of the block. */
function runnable(code: string): string {
  const lines = code.replaceAll(
    /^import (\{[^}]*\}) from "@heapwright\/(core|mempool)";$/gm,
    "const $1 = packages.$2;",
  );
  const used = /^using (\w+) =/m.exec(lines)?.[1];
  return lines.replace(/^using /m, "const ") + (used === undefined ? "" : `\n${used}[Symbol.dispose]();`);
}

test("there are two quick starts and one of a range", () => {
  expect(blocks).toHaveLength(3);
});

test.each(blocks.map((code, i) => [i + 1, code]))("code %i", (_, code) => {
  const printed: string[] = [];
  const before = core.defaultHeap().stats().liveBlocks;
  const log = { log: (...values: unknown[]) => printed.push(values.join(" ")) };
  // oxlint-disable-next-line typescript/no-implied-eval -- the code of the README is what is tested
  new Function("packages", "console", runnable(code))({ core, mempool }, log);
  const promised = [...code.matchAll(/console\.log\(.*\/\/ (.+)$/gm)].map(([, comment]) => comment);
  expect(promised.length).toBeGreaterThan(0);
  expect(printed).toEqual(promised);
  expect(core.defaultHeap().stats().liveBlocks).toBe(before);
});

test("the workers' code runs, in two files", () => {
  const files = [...text.matchAll(/```js no-run\n\/\/ (\w+\.js)\n([\s\S]*?)```/g)];
  expect(files.map(([, name]) => name)).toEqual(["main.js", "worker.js"]);
  const folder = mkdtempSync(join(tmpdir(), "readme-"));
  try {
    for (const [, name = "", code = ""] of files) writeFileSync(`${folder}/${name}`, code);
    writeFileSync(`${folder}/package.json`, '{ "type": "module" }');
    const packages = fileURLToPath(new URL("../..", import.meta.url));
    mkdirSync(`${folder}/node_modules/@heapwright`, { recursive: true });
    for (const name of ["core", "mempool"]) symlinkSync(packages + name, `${folder}/node_modules/@heapwright/${name}`);
    expect(execFileSync(process.execPath, [`${folder}/main.js`], { encoding: "utf8" })).toBe("1.5\n");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("the document's four conditions are in the section that says when not to use it", () => {
  const [, section = ""] = /## When not to use it\n([\s\S]*?)\n## /.exec(text) ?? [];
  const conditions = [...section.matchAll(/^\| (\d)\. (.+?) \|/gm)].map(([, number, words]) => `${number} ${words}`);
  expect(conditions).toEqual([
    "1 blocks of all around the same size",
    "2 tens or hundreds of thousands of allocations and frees",
    "3 memory that may be wasted for speed",
    "4 a bound on the memory that will be needed",
  ]);
});
