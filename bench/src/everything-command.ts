/**
 * Without a command: everything, kept in `docs`.
 *
 * @module
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { benchmarksPage } from "./benchmarks-page.ts";
import { changesSince } from "./changes.ts";
import { type Benchmarks, type EverythingOptions, measureEverything } from "./everything.ts";
import type { Progress } from "./progress.ts";

/** Where it goes unless one says otherwise. */
export const DOCS: string = fileURLToPath(new URL("../../docs/", import.meta.url));

/** @param folder - gets `benchmarks.md`, `benchmarks.json` and the plots; figures already there are compared with */
export async function everythingCommand(options: EverythingOptions, folder: string, progress: Progress): Promise<void> {
  const file = join(folder, "benchmarks.json");
  const before = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Benchmarks).loads : [];
  const figures = await measureEverything(options, progress);
  const changes = changesSince(before, figures.loads);
  const { markdown, plots } = benchmarksPage(figures, changes, "npm run bench");
  const plotFolder = join(folder, "benchmarks");
  mkdirSync(plotFolder, { recursive: true });
  for (const [name, plot] of Object.entries(plots)) writeFileSync(join(plotFolder, name), plot);
  writeFileSync(file, `${JSON.stringify(figures, null, 2)}\n`);
  writeFileSync(join(folder, "benchmarks.md"), markdown);
  process.stdout.write(`Written: ${resolve(join(folder, "benchmarks.md"))}\n`);
  for (const { work, peer, before: old, now } of changes) {
    process.stdout.write(`changed: ${work}, ${peer}: ${old.toFixed(2)} of libc's time before, ${now.toFixed(2)} now\n`);
  }
}
