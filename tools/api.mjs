/**
 * Writes the API reports of the package in the current folder, and its pages in docs/api; with `--check` it fails where
 * they are not what is there.
 *
 * @module
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

import { entriesOf, hasExports } from "./api/entries.mjs";
import { extract } from "./api/extract.mjs";
import { writeIndex } from "./api/index-page.mjs";
import { namesIn, writePage } from "./api/page.mjs";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PAGES = join(ROOT, "docs/api");
const folder = process.cwd();
const isCheck = process.argv.includes("--check");
/** @type {string[]} */
const failures = [];

/**
 * @param {string} path
 * @param {string} text
 */
function put(path, text) {
  const old = existsSync(path) ? readFileSync(path, "utf8") : "";
  if (old === text) return;
  if (isCheck) {
    failures.push(
      `${relative(ROOT, path)} is not up to date; run npm run api, and commit what it wrote`,
      ...differences(old, text),
    );
    return;
  }
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/**
 * The first lines that are in one text only.
 *
 * @param {string} old
 * @param {string} text
 */
function differences(old, text) {
  const [before, after] = [old.split("\n"), text.split("\n")];
  const gone = before.filter((line) => !after.includes(line)).map((line) => `  - ${line}`);
  return [...gone, ...after.filter((line) => !before.includes(line)).map((line) => `  + ${line}`)].slice(0, 10);
}

/** @type {Set<string>} */
let elsewhere = new Set();
const entries = entriesOf(folder).filter(hasExports);
for (const entry of entries) {
  const { report, model, findings } = extract(folder, entry);
  put(join(folder, entry.report), report);
  const sources = relative(PAGES, folder).split("\\").join("/");
  const { page, undocumented } = writePage({ specifier: entry.specifier, model, sources, elsewhere });
  put(join(PAGES, entry.page), page);
  if (entry.report === "api/index.api.md") elsewhere = namesIn(model);
  failures.push(
    ...findings,
    ...undocumented.map((name) => `${entry.specifier}: ${name} has no doc comment that says what it is`),
  );
}
put(join(PAGES, "README.md"), writeIndex(ROOT));

const reports = new Set(entries.map((entry) => basename(entry.report)));
for (const name of readdirSync(join(folder, "api"))) {
  if (!reports.has(name)) failures.push(`${basename(folder)}/api/${name} belongs to nothing that is exported`);
}
for (const failure of failures) console.error(failure);
if (failures.length > 0) process.exitCode = 1;
