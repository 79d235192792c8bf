/**
 * Four ways to install a package, in a folder that is empty.
 *
 * @module
 */
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { ROOT } from "./checkout.ts";
import { newUser, run, runTool } from "./program.ts";

/** The folder of a user, and the registry that they install from. */
export interface Consumer {
  readonly folder: string;
  readonly registry: string;
  /** Settings and caches of the package managers. */
  readonly home: string;
}

export type Manager = "npm" | "pnpm" | "yarn 1" | "yarn 4";
export const MANAGERS: readonly Manager[] = ["npm", "pnpm", "yarn 1", "yarn 4"];

/** Makes the folder of a project with nothing in it. */
export async function newProject({ folder, registry }: Consumer): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "package.json"), JSON.stringify({ name: "user", private: true, type: "module" }));
  await writeFile(join(folder, ".npmrc"), `registry=${registry}\naudit=false\nfund=false\nupdate-notifier=false\n`);
}

/** Adds packages to it, with the command that the manager's users type. */
export async function install(manager: Manager, consumer: Consumer, packages: readonly string[]): Promise<void> {
  const { folder, registry, home } = consumer;
  const where = { cwd: folder, env: newUser(home) };
  if (manager === "npm") {
    await run("npm", ["i", ...packages], where);
  } else if (manager === "pnpm") {
    // What was published a moment ago is younger than pnpm takes by default.
    await writeFile(join(folder, "pnpm-workspace.yaml"), "minimumReleaseAge: 0\npmOnFail: ignore\n");
    await run(join(ROOT, "node_modules/.bin/pnpm"), ["add", ...packages], where);
  } else if (manager === "yarn 1") {
    await runTool("yarn", "bin/yarn.js", ["add", "--cache-folder", join(home, "yarn-1"), ...packages], where);
  } else {
    const settings = {
      npmRegistryServer: registry,
      unsafeHttpWhitelist: ["127.0.0.1"],
      nodeLinker: "node-modules",
      enableTelemetry: false,
      npmMinimalAgeGate: 0,
    };
    await writeFile(join(folder, ".yarnrc.yml"), JSON.stringify(settings));
    await writeFile(join(folder, "yarn.lock"), "");
    await runTool("@yarnpkg/cli-dist", "bin/yarn.js", ["add", ...packages], where);
  }
}

/** What lies in `node_modules`, by name; of pnpm what lies in its store beside it. */
export async function installed(folder: string): Promise<string[]> {
  const names: string[] = [];
  const store = join(folder, "node_modules/.pnpm");
  const entries = await readdir(store).catch(() => undefined);
  if (entries !== undefined) {
    for (const entry of entries) {
      if (entry !== "node_modules" && entry !== "lock.yaml")
        names.push(entry.replace("+", "/").replace(/(?<=.)@.*/, ""));
    }
  } else {
    for (const entry of await readdir(join(folder, "node_modules"))) {
      if (entry.startsWith("@")) {
        for (const name of await readdir(join(folder, "node_modules", entry))) names.push(`${entry}/${name}`);
      } else if (!entry.startsWith(".")) names.push(entry);
    }
  }
  return names.sort();
}
