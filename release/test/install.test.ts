/** Each package alone, in an empty folder, with each package manager: what arrives, and that the README's beginning works. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, inject, it } from "vitest";

import { PACKAGES } from "../src/checkout.ts";
import { consumerOf } from "../src/consumers.ts";
import { type Consumer, install, installed, MANAGERS, newProject } from "../src/managers.ts";
import type { Output } from "../src/program.ts";
import { compile, promised, quickStart, runJavaScript, type Sample } from "../src/samples.ts";

const versions = inject("versions");

function packageFile(folder: string, name: string, file: string): Promise<string> {
  return readFile(join(folder, "node_modules/@heapwright", name, file), "utf8");
}

/** What each sample prints, run by this node. */
async function printed(consumer: Consumer, samples: readonly Sample[]): Promise<Output[]> {
  const outputs: Output[] = [];
  for (const sample of samples) outputs.push(await runJavaScript(consumer, sample));
  return outputs;
}

/** What each sample must print. */
function expected(samples: readonly Sample[]): Output[] {
  return samples.map((sample) => ({ stdout: promised(sample), stderr: "" }));
}

describe.each(MANAGERS)("%s", (manager) => {
  it.each(PACKAGES)("adds %s alone: it and core arrive", async (name) => {
    const consumer = consumerOf(`${manager}-${name}`.replace(" ", "-"));
    await newProject(consumer);
    await install(manager, consumer, [`@heapwright/${name}`]);
    expect(await installed(consumer.folder)).toEqual([...new Set(["@heapwright/core", `@heapwright/${name}`])].sort());
    const { version, dependencies } = JSON.parse(await packageFile(consumer.folder, name, "package.json"));
    expect(version).toBe(versions[name]);
    expect(dependencies).toEqual(name === "core" ? undefined : { "@heapwright/core": `^${versions.core}` });
  });
});

describe.each(PACKAGES)("the quick start of %s", (name) => {
  const consumer = consumerOf(`quick-start-${name}`);
  let samples: readonly Sample[];

  beforeAll(async () => {
    await newProject(consumer);
    await install("npm", consumer, [`@heapwright/${name}`]);
    samples = quickStart(await packageFile(consumer.folder, name, "README.md"));
  });

  it("comes with the package, which has its licence and its sources, and not its tests", async () => {
    const files = await readdir(join(consumer.folder, "node_modules/@heapwright", name));
    expect(files).toEqual(expect.arrayContaining(["LICENSE", "README.md", "dist", "package.json", "src"]));
    expect(files).not.toContain("test");
  });

  it("is there in JavaScript and in TypeScript", () => {
    expect(new Set(samples.map(({ language }) => language))).toEqual(new Set(["js", "ts"]));
  });

  it.each(["nodenext", "bundler"] as const)("passes the strict compiler with the resolution %s", async (resolution) => {
    expect(await compile(consumer, samples, resolution)).toBe("");
  });

  it("runs, and prints what it says", async () => {
    expect(samples.map(promised), "a sample that shows nothing").not.toContain("");
    expect(await printed(consumer, samples)).toEqual(expected(samples));
  });

  it("runs where pnpm has installed it, which shows a program only what its own package.json names", async () => {
    const strict = consumerOf(`pnpm-quick-start-${name}`);
    await newProject(strict);
    await install("pnpm", strict, [`@heapwright/${name}`, "@heapwright/core"]);
    await compile(strict, samples, "nodenext");
    expect(await printed(strict, samples)).toEqual(expected(samples));
  });
});
