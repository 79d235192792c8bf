/**
 * What a package exports, and where that is described.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * @typedef {object} Entry An entry point of a package.
 * @property {string} specifier what users import, `@heapwright/apf/c`
 * @property {string} declarations its declarations, an absolute path
 * @property {string} report its API report, relative to the package's folder
 * @property {string} page its page, relative to docs/api
 */

/**
 * The entry points of a package, built or not.
 *
 * @param {string} folder the package's folder
 * @returns {Entry[]} in the order of its `exports`
 */
export function entriesOf(folder) {
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const shortName = manifest.name.replace(/^@.*\//, "");
  const entries = [];
  for (const [subpath, target] of Object.entries(manifest.exports)) {
    if (typeof target !== "object") continue;
    const words = subpath.split("/").slice(1);
    entries.push({
      specifier: [manifest.name, ...words].join("/"),
      declarations: join(folder, target.types),
      report: `api/${words.join("-") || "index"}.api.md`,
      page: `${[shortName, ...words].join("-")}.md`,
    });
  }
  return entries;
}

/**
 * Whether an entry point, which is built, exports anything. Those that are imported for their effect alone have no report.
 *
 * @param {Entry} entry
 */
export function hasExports({ declarations }) {
  return !/^export \{\};$/m.test(readFileSync(declarations, "utf8"));
}
