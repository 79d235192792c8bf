/** The README's code runs, prints what its comments say, and compiles under `strict`. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import * as core from "@heapwright/core";
import { afterAll, beforeAll, expect, test } from "vitest";

import * as memkit from "../src/index.ts";

const text = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const samples = [...text.matchAll(/```(?:js|ts)\n([\s\S]*?)```/g)].map(([, code]) => code ?? "");
const isFile = (code: string): boolean => /^\/\/ \w+\.js$/m.test(code);
const blocks = samples.filter((code) => !isFile(code));
const files = samples.filter(isFile);

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(fileURLToPath(new URL(".", import.meta.url)), ".readme-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Node 20 has no `using`: it becomes what it stands for, at the end of the block. */
function runnable(code: string): string {
  const lines = code.replaceAll(/^import (\{[^}]*\}) from "@heapwright\/(core|memkit)";$/gm, "const $1 = packages.$2;");
  const used = [...lines.matchAll(/^using (\w+) =/gm)].map(([, name]) => `${name}[Symbol.dispose]();`).reverse();
  return `${lines.replaceAll(/^using /gm, "const ")}\n${used.join("\n")}`;
}

/** What the comments behind calls of console.log, and of what logs there, promise. */
function promises(code: string): string[] {
  return [...code.matchAll(/^(?:console\.log|\w+\.(?:allocate|destroy))\(.*; \/\/ (?!the )(.+)$/gm)].map(
    ([, comment]) => comment!,
  );
}

test("there are five samples, and two files", () => {
  expect([blocks.length, files.length]).toEqual([5, 2]);
});

test.each(blocks.map((code, i) => [i + 1, code]))("sample %i", (_, code) => {
  const printed: string[] = [];
  const before = core.defaultHeap().stats().liveBlocks;
  const log = { log: (...values: unknown[]) => printed.push(values.join(" ")), error: console.error };
  // oxlint-disable-next-line typescript/no-implied-eval -- the code of the README is what is tested
  new Function("packages", "console", runnable(code))({ core, memkit }, log);
  expect(promises(code).length).toBeGreaterThan(0);
  expect(printed).toEqual(promises(code));
  expect(core.defaultHeap().stats().liveBlocks).toBe(before);
});

test("it speaks of all that the package exports", () => {
  expect(Object.keys(memkit).filter((name) => !new RegExp(`\\b${name}\\b`).test(text))).toEqual([]);
});

test("it names every room", () => {
  const rooms = readdirSync(new URL("../src", import.meta.url)).map((file) => file.replace(/\.ts$/, ""));
  expect(rooms.filter((room) => !text.includes(`\`${room}\``))).toEqual([]);
});

test("blocks are as large as the table of costs says", () => {
  const heap = new core.Heap({ bytes: 1 << 18 });
  const options = { backing: heap };
  const pool = new memkit.MemoryPool(1000, options);
  const array = core.asPtr(heap.u32[(pool.handle + 16) >>> 2]!);
  const names = ["data_buffer", "x".repeat(100)].map((name) => new memkit.MemoryPointer(name, 0, options));
  const container = new memkit.MemoryContainer(1n, 1000, options);
  const arena = new memkit.MemoryArena(800, options);
  const bytesOf = (ptr: number): number => heap.usableSize(core.asPtr(ptr)) + 8;
  expect([pool.handle, array].map(bytesOf)).toEqual([1344, 4008]);
  expect(names.map((one) => bytesOf(one.handle))).toEqual([56, 136]);
  expect(bytesOf(container.handle)).toBe(1032);
  expect([bytesOf(arena.handle), bytesOf(arena.memory - 16) - 800]).toEqual([40, 24]);
  for (const one of [arena, container, ...names, pool]) one.destroy();
  for (const figure of ["1,344", "56 with", "36 and", "| 32 and", "40, 24"]) expect(text).toContain(figure);
});

test("the files of the section on workers run", () => {
  for (const code of files) writeFileSync(join(folder, /^\/\/ (\S+)/.exec(code)?.[1] ?? ""), code);
  const seen = "heap.u8[text.container.data], text.container.ref_count, pool.stats().orphans";
  const end = `worker.once("exit", () => { pool.check(); heap.check(); console.log(${seen}); });`;
  writeFileSync(join(folder, "main.js"), `${files[0]}${end}`);
  const { stdout, stderr } = spawnSync(process.execPath, [join(folder, "main.js")], { encoding: "utf8" });
  expect(stderr).toBe("");
  expect(stdout).toBe("65 1 1\n");
});

test("all of them compile, as modules that use the built packages", () => {
  blocks.forEach((code, i) => writeFileSync(join(folder, `sample-${i}.ts`), `${code}\nexport {};\n`));
  const options = {
    strict: true,
    noEmit: true,
    skipLibCheck: false,
    target: "esnext",
    module: "nodenext",
    types: ["node"],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: options, include: ["*.ts"] }));
  const tsc = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin", "tsc");
  const { stdout } = spawnSync(process.execPath, [tsc, "-p", folder], { encoding: "utf8" });
  expect(stdout).toBe("");
});
