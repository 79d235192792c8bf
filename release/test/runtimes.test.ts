/** Every supported node, Deno and Bun, as programs that have installed all packages. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";

import { PACKAGES } from "../src/checkout.ts";
import { everythingInstalled, FOUND } from "../src/consumers.ts";
import type { Consumer } from "../src/managers.ts";
import { newUser, type Output, run } from "../src/program.ts";
import { promised, quickStart, type Sample } from "../src/samples.ts";
import { commandOf, NODES, OTHERS } from "../src/runtimes.ts";

let consumer: Consumer;
let samples: Sample[];
beforeAll(async () => {
  consumer = await everythingInstalled("runtimes");
  samples = [];
  for (const name of PACKAGES) {
    const readme = await readFile(join(consumer.folder, "node_modules/@heapwright", name, "README.md"), "utf8");
    const written = quickStart(readme).filter(({ language }) => language === "js");
    for (const sample of written) {
      samples.push({ ...sample, name: `${name}-${sample.name}` });
      await writeFile(join(consumer.folder, `${name}-${sample.name}.js`), sample.code);
    }
  }
});

function runFile([program = "", ...args]: readonly string[], file: string): Promise<Output> {
  return run(program, [...args, file], { cwd: consumer.folder, env: newUser(consumer.home) });
}

describe.each([...NODES, ...OTHERS])("$name", (runtime) => {
  let command: string[];
  beforeAll(async () => {
    command = await commandOf(runtime);
  });

  it("imports every package, on heaps of all kinds and in a worker", async () => {
    const { stdout } = await runFile(command, "program.js");
    expect(JSON.parse(stdout)).toEqual([FOUND, FOUND, FOUND, FOUND]);
  });

  it("runs the quick starts of all READMEs", async () => {
    for (const sample of samples) {
      const { stdout } = await runFile(command, `${sample.name}.js`);
      expect(stdout, sample.name).toBe(promised(sample));
    }
  });

  it("requires every package", async () => {
    const { stdout } = await runFile(command, "program.cjs");
    expect(JSON.parse(stdout)).toEqual([FOUND]);
  });
});
