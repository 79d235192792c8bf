/** A seventh package is made in a copy of the workspace, and passes what every package passes. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const NAME = "ring-buffer";
const COPIED = [
  "package.json pnpm-workspace.yaml pnpm-lock.yaml turbo.json README.md tsconfig.base.json tsconfig.build.json",
  "vitest.config.ts .gitignore .oxlintrc.json .oxfmtrc.json .size-limit.mjs .changeset packages/core tools",
].flatMap((line) => line.split(" "));
/** Of the root's tools, those that this needs. */
const TOOLS = ["@types/node", "oxfmt", "oxlint", "pnpm", "turbo", "typescript", "vitest"];
const LEFT_OUT = /\/(node_modules|dist|\.turbo)$/;

let copy: string;

/** Runs a program of the workspace in the copy, without what the tests' own runner says to it. */
function run(bin: string, ...args: string[]): { status: number | null; output: string } {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([key]) => !/^(TURBO|VITEST|NODE_ENV|FC_)/.test(key)),
  );
  const { status, stdout, stderr } = spawnSync(join(ROOT, "node_modules/.bin", bin), args, {
    cwd: copy,
    env: { ...env, NO_COLOR: "1", TURBO_TELEMETRY_DISABLED: "1" },
    encoding: "utf8",
  });
  return { status, output: stdout + stderr };
}

function passes(bin: string, ...args: string[]): string {
  const { status, output } = run(bin, ...args);
  expect(status, output).toBe(0);
  return output;
}

beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), "heapwright-new-package-"));
  for (const path of COPIED) {
    cpSync(join(ROOT, path), join(copy, path), { recursive: true, filter: (from) => !LEFT_OUT.test(from) });
  }
  const manifest = JSON.parse(readFileSync(join(copy, "package.json"), "utf8"));
  const kept = Object.entries(manifest.devDependencies).filter(([name]) => TOOLS.includes(name));
  writeFileSync(join(copy, "package.json"), JSON.stringify({ ...manifest, devDependencies: Object.fromEntries(kept) }));
  mkdirSync(join(copy, "node_modules"));
  passes("pnpm", "install", "--prefer-offline", "--no-frozen-lockfile", "--reporter=append-only");
  passes("pnpm", "new-package", NAME);
  passes("pnpm", "install", "--prefer-offline", "--no-frozen-lockfile", "--reporter=append-only");
}, 240_000);

afterAll(() => {
  if (copy !== undefined) rmSync(copy, { recursive: true, force: true });
});

test("it builds, its types are right, its tests pass, its API is described", () => {
  passes("turbo", "run", "api", `--filter=@heapwright/${NAME}`);
  const output = passes("turbo", "run", "typecheck", "test", "check:api", `--filter=@heapwright/${NAME}`);
  expect(output).toMatch(/Tests {2}\d+ passed/);
  expect(readFileSync(join(copy, `docs/api/${NAME}.md`), "utf8")).toContain("### RingBuffer\n");
  expect(readFileSync(join(copy, "docs/api/README.md"), "utf8")).toContain(`[@heapwright/${NAME}](${NAME}.md)`);
});

test("it is formatted and free of lint, keeps the boundaries, and says of itself what packages say", () => {
  passes("oxfmt", "--check", `packages/${NAME}`, ".size-limit.mjs");
  passes("oxlint", `packages/${NAME}`);
  passes("turbo", "boundaries");
  const manifests = spawnSync(process.execPath, ["tools/manifests.mjs"], { cwd: copy, encoding: "utf8" });
  expect(manifests.stderr).toBe("");
  expect(manifests.status).toBe(0);
  expect(readFileSync(join(copy, "README.md"), "utf8")).toMatch(/apf.*\n.*mempool.*\n.*ring-buffer.* begun \|\n\n/);
  expect(readFileSync(join(copy, ".size-limit.mjs"), "utf8")).toContain('"packages/ring-buffer/dist/index.js"');
});

test("an import of another allocator is refused", () => {
  const file = join(copy, `packages/${NAME}/src/index.ts`);
  const before = readFileSync(file, "utf8");
  writeFileSync(file, `${before}export { FixedMemPool } from "@heapwright/pool";\n`);
  const { status, output } = run("turbo", "boundaries");
  writeFileSync(file, before);
  expect(status).not.toBe(0);
  expect(output).toContain("@heapwright/pool");
});

test("an export that the API report does not have is refused", () => {
  const file = join(copy, `packages/${NAME}/src/index.ts`);
  const before = readFileSync(file, "utf8");
  writeFileSync(file, `${before}\n/** How many. */\nexport const MORE = 7 as const;\n`);
  const { status, output } = run("turbo", "run", "check:api", `--filter=@heapwright/${NAME}`);
  writeFileSync(file, before);
  expect(status).not.toBe(0);
  expect(output).toContain(`packages/${NAME}/api/index.api.md is not up to date`);
  expect(output).toContain("+ export const MORE");
});

test("a name that is taken, or none, makes nothing", () => {
  for (const [name, answer] of [
    ["core", "packages/core is there already"],
    ["Ring_Buffer", "usage:"],
    ["", "usage:"],
  ] as const) {
    const { status, stderr } = spawnSync(process.execPath, ["tools/new-package.mjs", name], {
      cwd: copy,
      encoding: "utf8",
    });
    expect(status).toBe(1);
    expect(stderr).toContain(answer);
  }
});
