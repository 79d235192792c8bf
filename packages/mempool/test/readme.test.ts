/** The README's code runs, and prints what its comments say. */
import { readFileSync } from "node:fs";

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

test("the workers' code runs in its two halves", () => {
  const [, code = ""] = /```ts no-run\n([\s\S]*?)```/.exec(text) ?? [];
  const [main = "", worker = ""] = code.split("// worker.js");
  const roots: unknown[] = [];
  const { Heap, NULL } = core;
  function Spawning(): core.SharedHeap {
    const heap = new Heap({ bytes: 1 << 24, shared: true });
    heap.spawn = ((url: URL) => {
      roots.push(heap, url);
      return {};
    }) as typeof heap.spawn;
    return heap;
  }
  const run = (body: string, given: unknown): unknown =>
    // oxlint-disable-next-line typescript/no-implied-eval -- the code of the README is what is tested
    new Function("given", `const { Heap, Mempool, mempool_use, mempool_alloc } = given; ${body}`)(given);
  const address = JSON.stringify(import.meta.url);
  run(main.replace("import.meta.url", address), { ...mempool, Heap: Spawning });
  expect(roots).toHaveLength(2);
  const node = run(`${worker.replace("await Heap.spawned()", "Heap.spawned()")}; return node;`, {
    ...mempool,
    Heap: { spawned: () => roots[0] },
  });
  expect(node).not.toBe(NULL);
  mempool.mempool_use(undefined)?.destroy();
});
