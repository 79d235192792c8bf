/**
 * Users who have all packages.
 *
 * @module
 */
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { inject } from "vitest";

import { PACKAGES } from "./checkout.ts";
import { type Consumer, install, newProject } from "./managers.ts";

/** Makes a folder under a name of its own, without packages. */
export function consumerOf(name: string): Consumer {
  const folder = inject("folder");
  return { folder: join(folder, name), registry: inject("registry"), home: join(folder, "home") };
}

/** Makes a project with all packages, and the programs of `consumers/` in it. */
export async function everythingInstalled(name: string): Promise<Consumer> {
  const consumer = consumerOf(name);
  await newProject(consumer);
  await install(
    "npm",
    consumer,
    PACKAGES.map((each) => `@heapwright/${each}`),
  );
  await cp(fileURLToPath(new URL("../consumers", import.meta.url)), consumer.folder, { recursive: true });
  return consumer;
}

/** What `everyPackage` finds in one heap. */
export const FOUND: object = {
  sums: {
    malloc: -612.5,
    apf: -612.5,
    "fixed pool": -612.5,
    "variadic pool": -612.5,
    mempool: -612.5,
    refcount: -612.5,
    "memkit pointers": -612.5,
    "memkit arena": -612.5,
    "hash map": 30,
  },
  code: "ERR_DOUBLE_FREE",
  override: 1,
  liveBlocks: 0,
};
