/**
 * What every published package has to say of itself, and may not depend on.
 *
 * @module
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const PACKAGES = fileURLToPath(new URL("../packages", import.meta.url));
const HOME = "https://github.com/heapwright/heapwright";
const SCRIPTS = [
  "build",
  "dev",
  "typecheck",
  "test",
  "test:long",
  "test:memory",
  "test:browser",
  "check:pack",
  "check:api",
  "api",
];
/** Modules that do something when they are imported; all others may be dropped by bundlers. */
const WITH_EFFECTS = ["@heapwright/apf ./dist/global.js", "@heapwright/core ./dist/testing/setup.js"];
/** @type {string[]} */
const failures = [];

for (const name of readdirSync(PACKAGES)) {
  const folder = join(PACKAGES, name);
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  /**
   * @param {boolean} condition
   * @param {string} finding
   */
  const holds = (condition, finding) => {
    if (!condition) failures.push(`packages/${name}/package.json: ${finding}`);
  };

  holds(manifest.name === `@heapwright/${name}`, `name is not @heapwright/${name}`);
  holds(manifest.private !== true, "is private");
  holds(/^[A-Z].{20,}\.$/.test(manifest.description ?? ""), "description is no sentence");
  holds(manifest.keywords?.length >= 3, "fewer than three keywords");
  holds(manifest.license === "MIT", "license is not MIT");
  holds(manifest.homepage === `${HOME}/tree/main/packages/${name}#readme`, "homepage is not the package's README");
  holds(manifest.bugs === `${HOME}/issues`, "bugs is not the list of issues");
  holds(manifest.repository?.url === `git+${HOME}.git`, "repository.url is not this repository");
  holds(manifest.repository?.directory === `packages/${name}`, `repository.directory is not packages/${name}`);
  holds(manifest.type === "module" && manifest.engines?.node === ">=20.19", "type or engines differ");
  holds(manifest.publishConfig?.access === "public", "publishConfig.access is not public");
  holds(JSON.stringify(manifest.files) === '["dist","src"]', "files are not dist and src");

  const dependencies = Object.keys(manifest.dependencies ?? {});
  const allowed = name === "core" ? [] : ["@heapwright/core"];
  holds(
    dependencies.join() === allowed.join(),
    `dependencies are ${dependencies.join()}, not ${allowed.join() || "none"}`,
  );
  const peers = Object.keys(manifest.peerDependencies ?? {});
  holds(
    peers.every((peer) => manifest.peerDependenciesMeta?.[peer]?.optional === true),
    "a peer dependency is not optional",
  );
  holds(manifest.optionalDependencies === undefined, "has optionalDependencies");

  const effects = manifest.sideEffects === false ? [] : manifest.sideEffects;
  holds(Array.isArray(effects), "sideEffects is neither false nor a list");
  for (const file of effects ?? []) {
    holds(WITH_EFFECTS.includes(`${manifest.name} ${file}`), `${file} has no side effect that is known`);
  }

  for (const script of SCRIPTS) holds(manifest.scripts?.[script] !== undefined, `has no script ${script}`);

  const readme = readFileSync(join(folder, "README.md"), "utf8");
  const last = readme.match(/^## .*$/gm)?.at(-1);
  holds(last === "## Contributing to this package", 'the README does not end with "Contributing to this package"');
}

for (const failure of failures) console.error(failure);
if (failures.length > 0) process.exitCode = 1;
