/** The README's code runs, and prints what its comments say. */
import { readFileSync } from "node:fs";

import * as core from "@heapwright/core";
import { expect, test } from "vitest";

import * as pool from "../src/index.ts";

const text = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const blocks = [...text.matchAll(/```(?:js|ts)\n([\s\S]*?)```/g)].map(([, code]) => code ?? "");

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
