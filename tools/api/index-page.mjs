/**
 * The first page of the API docs.
 *
 * @module
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { entriesOf } from "./entries.mjs";

/**
 * @param {string} root the workspace's
 * @returns {string} Markdown: every package, every entry point
 */
export function writeIndex(root) {
  const lines = [
    "# API",
    "",
    "<!-- Written by `npm run api` from the packages' manifests. Do not edit it. -->",
    "",
    "Every export, with its shape, what it takes, in which units, what it returns and throws, and its source.",
    "",
  ];
  for (const name of readdirSync(join(root, "packages")).sort()) {
    const folder = join(root, "packages", name);
    const { description } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    lines.push(`- [\`${name}\`](../../packages/${name}/): ${description}`);
    // Other packages need not be built: an entry point that exports something has a page.
    for (const { specifier, page } of entriesOf(folder)) {
      if (existsSync(join(root, "docs/api", page))) lines.push(`  - [${specifier}](${page})`);
    }
  }
  return `${lines.join("\n")}\n`;
}
