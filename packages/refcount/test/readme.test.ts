/** The README's code runs, and prints what its comments say. */
import { readFileSync } from "node:fs";

import * as core from "@heapwright/core";
import { expect, test } from "vitest";

import * as refcount from "../src/index.ts";

const text = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const samples = [...text.matchAll(/```(?:js|ts)\n([\s\S]*?)```/g)].map(([, code]) => code ?? "");

/** Node 20 has no `using`: it becomes what it stands for, at the end of the block. */
function runnable(code: string): string {
  const lines = code.replaceAll(
    /^import (\{[^}]*\}) from "@heapwright\/(core|refcount)";$/gm,
    "const $1 = packages.$2;",
  );
  const used = [...lines.matchAll(/^using (\w+) =/gm)].map(([, name]) => `${name}[Symbol.dispose]();`).reverse();
  return `${lines.replaceAll(/^using /gm, "const ")}\n${used.join("\n")}`;
}

test("there are three samples", () => {
  expect(samples).toHaveLength(3);
});

test.each(samples.map((code, i) => [i + 1, code]))("sample %i", (_, code) => {
  const printed: string[] = [];
  const before = core.defaultHeap().stats().liveBlocks;
  const log = { log: (...values: unknown[]) => printed.push(values.join(" ")) };
  // oxlint-disable-next-line typescript/no-implied-eval -- the code of the README is what is tested
  new Function("packages", "console", runnable(code))({ core, refcount }, log);
  const promised = [...code.matchAll(/console\.log\(.*\/\/ (.+)$/gm)].map(([, comment]) => comment);
  expect(promised.length).toBeGreaterThan(0);
  expect(printed).toEqual(promised);
  expect(core.defaultHeap().stats().liveBlocks).toBe(before);
});
