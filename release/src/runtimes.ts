/**
 * Other runtimes, as npm carries them for this kind of machine, kept in `node_modules/.cache` from the first run on.
 *
 * @module
 */
import { access, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { ROOT } from "./checkout.ts";
import { run } from "./program.ts";

/** A program that runs JavaScript. */
export interface Runtime {
  readonly name: string;
  /** The package on npm, with its version. */
  readonly source: string;
  /** The program in that package. */
  readonly path: string;
  /** What comes before the file. */
  readonly args: readonly string[];
}

const MACHINE = `${process.platform}-${process.arch}`;

function node(version: string): Runtime {
  return { name: `node ${version}`, source: `node-${MACHINE}@${version}`, path: "bin/node", args: [] };
}

/** The oldest node that is supported, the newest of each line that is. */
export const NODES: readonly Runtime[] = ["20.19.0", "22.23.3", "24.21.0", "26.10.0"].map(node);

/** Deno, and Bun for processors of any age. */
export const OTHERS: readonly Runtime[] = [
  {
    name: "Deno",
    source: `@deno/${MACHINE}-glibc@2.9.6`,
    path: "deno",
    args: ["run", "--no-remote", "--node-modules-dir=manual", "--allow-read=."],
  },
  { name: "Bun", source: `@oven/bun-${MACHINE}-baseline@1.4.5`, path: "bin/bun", args: ["run"] },
];

/**
 * Downloads a runtime unless it is there.
 *
 * @returns the command that runs a file
 */
export async function commandOf({ source, path, args }: Runtime): Promise<string[]> {
  const folder = join(ROOT, "node_modules/.cache/release-test", source.replaceAll("/", "-"));
  const program = join(folder, "node_modules/runtime", path);
  const isThere = await access(program).then(
    () => true,
    () => false,
  );
  if (!isThere) {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "package.json"), JSON.stringify({ private: true }));
    // With the settings of whoever runs this: it is they who know a registry that has it.
    const options = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--force"];
    await run("npm", ["install", ...options, `runtime@npm:${source}`], { cwd: folder, env: process.env });
  }
  return [program, ...args];
}
