/** The README's code runs as it stands, in programs of its own, and prints what its comments say. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, expect, test } from "vitest";

const text = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const samples = [...text.matchAll(/```(?:js|ts)\n([\s\S]*?)```/g)].map(([, code]) => code ?? "");
/** Those of the section on workers belong together, and name their files. */
const [programs, files] = [0, 1].map((isFile) =>
  samples.filter((code) => /^\/\/ [\w-]+\.js$/m.test(code) === (isFile === 1)),
) as [string[], string[]];

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(fileURLToPath(new URL(".", import.meta.url)), ".readme-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Node 20 has no `using`: it becomes what it stands for, at the end of the program. */
function runnable(code: string): string {
  const used = [...code.matchAll(/^using (\w+) =/gm)].map(([, name]) => `${name}[Symbol.dispose]();`).reverse();
  return `${code.replaceAll(/^using /gm, "const ")}\n${used.join("\n")}`;
}

function run(name: string): { stdout: string; stderr: string } {
  const { stdout, stderr } = spawnSync(process.execPath, [join(folder, name)], { encoding: "utf8" });
  return { stdout, stderr };
}

test("there are five samples", () => {
  expect(programs).toHaveLength(5);
});

test.each(programs.map((code, i) => [i + 1, code]))("sample %i", (i, code) => {
  writeFileSync(join(folder, `sample-${i}.mjs`), runnable(code));
  const promised = [...code.matchAll(/console\.log\(.*\/\/ (.+)$/gm)].map(([, comment]) => `${comment}\n`);
  expect(promised.length).toBeGreaterThan(0);
  expect(run(`sample-${i}.mjs`)).toEqual({ stdout: promised.join(""), stderr: "" });
});

test("the files of the section on workers run", () => {
  expect(files).toHaveLength(2);
  for (const code of files) writeFileSync(join(folder, /^\/\/ (\S+)/.exec(code)?.[1] ?? ""), code);
  const end = `worker.once("exit", () => { apf.check(); heap.check(); console.log(apf.stats().liveBlocks); });`;
  writeFileSync(join(folder, "main.js"), `${files[0]}${end}`);
  expect(run("main.js")).toEqual({ stdout: "0\n", stderr: "" });
});
