/**
 * Before all tests: publishes the checkout, as it is committed, to a registry on loopback.
 *
 * @module
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";

import { bareEnvironment, run } from "./program.ts";
import { Checkout, ROOT, type Versions } from "./checkout.ts";
import { type Registry, startRegistry } from "./registry.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** The URL of the registry. */
    registry: string;
    /** The folder that the registry keeps its packages in. */
    registryFolder: string;
    /** A folder for whatever a test needs; it is removed at the end. */
    folder: string;
    /** The clone that was published. */
    clone: string;
    versions: Versions;
  }
}

async function step<T>(what: string, work: () => Promise<T>): Promise<T> {
  const start = performance.now();
  const result = await work();
  console.log(`${what}: ${((performance.now() - start) / 1000).toFixed(1)} s`);
  return result;
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), "heapwright-release-"));
  await mkdir(join(folder, "home"));
  async function end(): Promise<void> {
    await registry?.stop();
    await rm(folder, { recursive: true, force: true });
  }
  const { stdout: changes } = await run("git", ["status", "--short"], { cwd: ROOT, env: bareEnvironment() });
  if (changes !== "") console.log("what is not committed has no part in this:\n" + changes);

  let registry: Registry | undefined;
  try {
    registry = await step("start verdaccio", () => startRegistry(join(folder, "registry")));
    const { url } = registry;
    const checkout = await step("clone", () => Checkout.clone(ROOT, join(folder, "clone")));
    await step("pnpm install", () => checkout.install());
    const versions = await step("changeset version", () => checkout.version());
    await step("build", () => checkout.build());
    const published = await step("changeset publish", () => checkout.publish(url));
    console.log(`published ${published.join(", ")}`);
    project.provide("registry", url);
    project.provide("registryFolder", registry.folder);
    project.provide("folder", folder);
    project.provide("clone", checkout.folder);
    project.provide("versions", versions);
  } catch (error) {
    await end();
    throw error;
  }
  return end;
}
