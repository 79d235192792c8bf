/**
 * Makes the rooms of a new package: `npx pnpm new-package ring-buffer`. They hold a small allocator that works, with its
 * tests, so that there is something to replace step by step.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SAMPLE = join(ROOT, "tools/sample");

/**
 * `sample` in all its spellings; a name in two words is `ring-buffer` to people and files, `ring_buffer_init` and
 * `RingBuffer` in code.
 *
 * @param {string} text
 * @param {string} name
 */
function rename(text, name) {
  const words = name.split("-");
  const pascal = words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join("");
  return text
    .replaceAll("sample_", `${words.join("_")}_`)
    .replaceAll("Sample", pascal)
    .replaceAll("sample", name);
}

/**
 * @param {string} path relative to the root
 * @param {(text: string) => string} change
 */
function edit(path, change) {
  const file = join(ROOT, path);
  writeFileSync(file, change(readFileSync(file, "utf8")));
}

const [name = "", ...more] = process.argv.slice(2);
if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name) || more.length > 0) {
  console.error("usage: npx pnpm new-package <name>, in kebab-case: ring-buffer");
  process.exit(1);
}
const folder = join(ROOT, "packages", name);
if (existsSync(folder)) {
  console.error(`packages/${name} is there already`);
  process.exit(1);
}

const files = readdirSync(SAMPLE, { recursive: true, withFileTypes: true }).filter((file) => file.isFile());
for (const file of files) {
  const from = join(file.parentPath, file.name);
  const to = join(folder, rename(from.slice(SAMPLE.length), name));
  mkdirSync(dirname(to), { recursive: true });
  writeFileSync(to, rename(readFileSync(from, "utf8"), name));
}
const magic = Math.floor(Math.random() * 2 ** 32)
  .toString(16)
  .padStart(8, "0");
edit(`packages/${name}/src/layout.ts`, (text) =>
  text.replace("0x5ea1_5ea1", `0x${magic.slice(0, 4)}_${magic.slice(4)}`),
);
writeFileSync(
  join(ROOT, ".changeset", `${name}.md`),
  `---\n"@heapwright/${name}": minor\n---\n\nFirst release: what a user gains, in a sentence.\n`,
);
edit(".size-limit.mjs", (text) =>
  text.replace(
    /\];\n$/,
    `${rename(`  check("packages/sample/dist/index.js", "{ Sample }", "5 kB", "5 kB"),`, name)}\n];\n`,
  ),
);
edit("README.md", (text) => {
  const row = `| [\`@heapwright/${name}\`](packages/${name}/) | what it is, in a sentence | begun |`;
  return text.replace(/(^\| \[`@heapwright\/.*\n)(?!\| \[`)/m, `$1${row}\n`);
});

// Other names, other lines.
execFileSync(join(ROOT, "node_modules/.bin/oxfmt"), [
  "--no-error-on-unmatched-pattern",
  folder,
  join(ROOT, ".size-limit.mjs"),
]);

console.log(`packages/${name} is there: an allocator that counts, and hands on to its backing.

  npx pnpm install                                      puts it into pnpm-lock.yaml
  npx turbo run test --filter=@heapwright/${name}
  npm run api                                           writes its API report and its page in docs/api

Then say what it is: in its package.json, README.md and src, in .changeset/${name}.md, and in the table of README.md.`);
