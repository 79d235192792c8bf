/** Later releases: what changes takes along what depends on it and nothing else, and two versions of core get along. */
import { copyFile, cp, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import { Checkout, PACKAGES, type Versions } from "../src/checkout.ts";
import { type Consumer, install, installed, newProject } from "../src/managers.ts";
import { newUser, run } from "../src/program.ts";
import { type Registry, startRegistry } from "../src/registry.ts";

const folder = inject("folder");
const first = inject("versions");
let registry: Registry;
let checkout: Checkout;

/** Packages of the same first release, in a registry and a clone of their own. */
beforeAll(async () => {
  await cp(inject("registryFolder"), join(folder, "registry-2"), { recursive: true });
  registry = await startRegistry(join(folder, "registry-2"));
  checkout = await Checkout.clone(inject("clone"), join(folder, "clone-2"));
  await checkout.install();
});
afterAll(() => registry?.stop());

/** Versions, builds and publishes what has changed. */
async function release(): Promise<{ versions: Versions; published: string[] }> {
  const versions = await checkout.version();
  await checkout.build();
  return { versions, published: await checkout.publish(registry.url) };
}

async function newConsumer(name: string, packages: readonly string[]): Promise<Consumer> {
  const consumer = { folder: join(folder, name), registry: registry.url, home: join(folder, "home-2") };
  await newProject(consumer);
  await install("npm", consumer, packages);
  return consumer;
}

async function packageJson(where: string): Promise<{ version: string; dependencies?: Record<string, string> }> {
  return JSON.parse(await readFile(join(where, "package.json"), "utf8"));
}

/** A version with its patch, or its minor, one higher. */
function next(version: string, bump: "patch" | "minor"): string {
  const [major = 0, minor = 0, patch = 0] = version.split(".").map(Number);
  return bump === "patch" ? `${major}.${minor}.${patch + 1}` : `${major}.${minor + 1}.0`;
}

/** Adds a line that changes nothing. */
function remark(text: string): string {
  return `${text}// A remark.\n`;
}

describe.sequential("later releases", () => {
  let newest: Versions = first;

  it("a change of pool publishes pool", async () => {
    await checkout.change("packages/pool/src/index.ts", remark, "patch", "pool");
    const { versions, published } = await release();
    newest = { ...first, pool: next(first.pool, "patch") };
    expect(versions).toEqual(newest);
    expect(published).toEqual([`pool@${newest.pool}`]);
  });

  it("a correction of core publishes core, and reaches those who have the other packages by their ranges", async () => {
    await checkout.change("packages/core/src/index.ts", remark, "patch", "core");
    const { versions, published } = await release();
    newest = { ...newest, core: next(first.core, "patch") };
    expect(versions).toEqual(newest);
    expect(published).toEqual([`core@${newest.core}`]);
    const user = await newConsumer("corrected", [`@heapwright/refcount@${first.refcount}`]);
    expect(await installed(user.folder)).toEqual(["@heapwright/core", "@heapwright/refcount"]);
    expect((await packageJson(join(user.folder, "node_modules/@heapwright/core"))).version).toBe(newest.core);
  });

  it("a change of the heap's layout is a minor of core, and publishes what depends on it", async () => {
    const before = newest;
    const higher = (text: string): string =>
      text.replace(/(LAYOUT_VERSION = )(\d+)/, (_, start: string, version: string) => `${start}${Number(version) + 1}`);
    await checkout.change("packages/core/src/layout.ts", higher, "minor", "core");
    const { versions, published } = await release();
    const bumped = PACKAGES.map((name) => [name, next(before[name] ?? "", name === "core" ? "minor" : "patch")]);
    newest = Object.fromEntries(bumped);
    expect(versions).toEqual(newest);
    expect(published).toEqual(PACKAGES.map((name) => `${name}@${newest[name]}`).sort());
    const user = await newConsumer(
      "newest",
      PACKAGES.map((name) => `@heapwright/${name}`),
    );
    for (const name of PACKAGES.slice(1)) {
      const { dependencies } = await packageJson(join(user.folder, "node_modules/@heapwright", name));
      expect(dependencies).toEqual({ "@heapwright/core": `^${newest.core}` });
    }
    expect(await installed(user.folder)).toEqual(PACKAGES.map((name) => `@heapwright/${name}`).sort());
  });

  it("two copies of core in a program agree on errors, heaps and the global allocator, and refuse each other's layouts", async () => {
    const packages = [`@heapwright/core@${newest.core}`, `@heapwright/pool@${first.pool}`];
    const user = await newConsumer("two-copies", packages);
    const nested = join(user.folder, "node_modules/@heapwright/pool/node_modules/@heapwright/core");
    expect((await packageJson(nested)).version).toBe(next(first.core, "patch"));

    await copyFile(new URL("../consumers/two-copies.js", import.meta.url), join(user.folder, "two-copies.js"));
    const { stdout } = await run(process.execPath, ["two-copies.js"], { cwd: user.folder, env: newUser(user.home) });
    const found = JSON.parse(stdout);
    const layout = Number(/LAYOUT_VERSION = (\d+)/.exec(await readFile(join(nested, "dist/layout.js"), "utf8"))?.[1]);
    const refused = (heap: number, own: number): object => ({
      code: "ERR_LAYOUT_VERSION",
      message: `Heap.attach: the heap has layout version ${heap}, this package ${own}; use the version that made it`,
      isOurs: true,
    });
    expect(found).toEqual({
      copies: 2,
      held: 42,
      liveBlocks: 3,
      doubleFree: { code: "ERR_DOUBLE_FREE", message: expect.stringMatching(/^free\(0x/), isOurs: true },
      liveAtTheEnd: 0,
      isOne: true,
      isGlobal: true,
      isThere: true,
      locks: 2,
      symbol: true,
      newerOfOlder: refused(layout, layout + 1),
      olderOfNewer: refused(layout + 1, layout),
    });
  });
});
