/** The README's code runs, and prints what its comments say. */
import { readFileSync } from "node:fs";

import * as core from "@heapwright/core";
import { expect, test } from "vitest";

import * as own from "../src/index.ts";

const text = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const fences = [...text.matchAll(/```(js|ts)\n([\s\S]*?)```/g)].map(([, language = "", code = ""]) => [language, code]);

/** Node 20 has no `using`: it becomes what it stands for, at the end of the block. */
function runnable(code: string): string {
  const lines = code
    .replaceAll(/^import (\{[^}]*\}) from "@heapwright\/core";$/gm, "const $1 = core;")
    .replaceAll(/^import (\{[^}]*\}) from "@heapwright\/sample";$/gm, "const $1 = own;");
  const used = /^using (\w+) =/m.exec(lines)?.[1];
  return lines.replace(/^using /m, "const ") + (used === undefined ? "" : `\n${used}[Symbol.dispose]();`);
}

test.each(fences)("%s quick start", (_, code) => {
  const printed: string[] = [];
  const before = core.defaultHeap().stats().liveBlocks;
  const log = { log: (...values: unknown[]) => printed.push(values.join(" ")) };
  // oxlint-disable-next-line typescript/no-implied-eval -- the code of the README is what is tested
  new Function("core", "own", "console", runnable(code ?? ""))(core, own, log);
  const promised = [...(code ?? "").matchAll(/console\.log\(.*\/\/ (.+)$/gm)].map(([, comment]) => comment);
  expect(promised.length).toBeGreaterThan(0);
  expect(printed).toEqual(promised);
  expect(core.defaultHeap().stats().liveBlocks).toBe(before);
});
