import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as core from "../src/index.ts";
import { SUPERBLOCK } from "../src/layout.ts";
import * as testing from "../src/testing/index.ts";

/** The documents of the foundation: what stands in them runs, and what they name is there. */

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const README = "packages/core/README.md";
const DOCUMENTS = ["README.md", README, "docs/architecture.md", "docs/workers.md"];

interface Sample {
  readonly name: string;
  readonly language: "js" | "ts";
  readonly code: string;
}

function textOf(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

/**
 * The blocks of code in a document's fences. Those in sh or text are for people; those that begin with a file's name are
 * files of one program, which workers-page.test.ts runs.
 */
function samplesOf(path: string): Sample[] {
  const fences = [...textOf(path).matchAll(/^```(\w*)\n(.*?)^```$/gms)];
  return fences.flatMap(([, language, code = ""], index) => {
    if ((language !== "js" && language !== "ts") || /^\/\/ \w+\.js$/m.test(code.split("\n", 1)[0] ?? "")) return [];
    return [{ name: `${path.replaceAll(/\W/g, "-")}-${index + 1}`, language, code }];
  });
}

const SAMPLES = DOCUMENTS.flatMap(samplesOf);

/** Runs a sample as it is, then fails for a damaged heap and for a block that it left live. */
const RUN = `
import { HeapWatch } from "@heapwright/core/testing";
const watch = new HeapWatch();
watch.install();
watch.begin();
await import(process.argv[2]);
watch.end();
`;

/** A folder like a user's, with core installed. */
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "heapwright-readme-"));
  mkdirSync(join(folder, "node_modules/@heapwright"), { recursive: true });
  symlinkSync(join(ROOT, "packages/core"), join(folder, "node_modules/@heapwright/core"), "junction");
  const config = {
    extends: join(ROOT, "tsconfig.base.json"),
    compilerOptions: { rootDir: ".", outDir: "out" },
    include: ["*.ts"],
  };
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  writeFileSync(join(folder, "run.js"), RUN);
  mkdirSync(join(folder, "out"));
  for (const { name, language, code } of SAMPLES) {
    writeFileSync(join(folder, language === "ts" ? `${name}.ts` : `out/${name}.js`), code);
  }
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(...args: string[]): string {
  return execFileSync(process.execPath, args, { cwd: folder, encoding: "utf8" });
}

describe("the code in the documents", () => {
  it("is there in both languages", () => {
    expect(SAMPLES.filter(({ name }) => name.startsWith("README")).length).toBeGreaterThan(0);
    const languages = SAMPLES.filter(({ name }) => name.startsWith("packages")).map(({ language }) => language);
    expect(new Set(languages)).toEqual(new Set(["js", "ts"]));
  });

  it("passes the strictest compiler where it is TypeScript", () => {
    const typescript = createRequire(import.meta.url).resolve("typescript/package.json");
    let complaints = "";
    try {
      run(join(dirname(typescript), "bin/tsc"), "-p", ".");
    } catch (error) {
      complaints = String((error as { stdout?: unknown }).stdout ?? error);
    }
    expect(complaints).toBe("");
  });

  it.each(SAMPLES)("prints what it says, and leaves no block live: $name", ({ name, code }) => {
    const promised = [...code.matchAll(/^ *console\.log\(.*\); \/\/ (.*)$/gm)].map(([, text]) => text);
    expect(promised.length, "a sample that shows nothing").toBeGreaterThan(0);
    const printed = run("run.js", `./out/${name}.js`);
    expect(printed.trimEnd().split("\n")).toEqual(promised);
  });
});

/** Methods and getters of a class that its users are promised: all but those that the sources mark as internal. */
function publicNames(prototype: object): string[] {
  const sources = readdirSync(join(ROOT, "packages/core/src")).filter((name) => name.endsWith(".ts"));
  const marked = sources.flatMap((name) => [
    ...textOf(`packages/core/src/${name}`).matchAll(/\/\*\*(?:(?!\*\/).)*@internal.*?\*\/\s+(?:\w+ )*(\w+)[(<]/gs),
  ]);
  const internal = new Set(["constructor", ...marked.map(([, name]) => name)]);
  const names: string[] = [];
  for (let proto: object = prototype; proto !== Object.prototype; proto = Object.getPrototypeOf(proto)) {
    names.push(...Object.getOwnPropertyNames(proto).filter((name) => !internal.has(name)));
  }
  return names;
}

describe("core's README", () => {
  const readme = textOf(README);

  it("names every function, class and constant that is exported", () => {
    const spans = readme
      .match(/`[^`\n]+`/g)
      ?.join(" ")
      .match(/\w+/g);
    const named = new Set(spans);
    expect([...Object.keys(core), ...Object.keys(testing)].filter((name) => !named.has(name))).toEqual([]);
  });

  it("has every method and getter of heaps and locks, and every code of an error", () => {
    const codes =
      textOf("packages/core/src/errors.ts")
        .match(/\| "(ERR_\w+)"/g)
        ?.map((line) => line.slice(3, -1)) ?? [];
    expect(codes.length).toBeGreaterThan(10);
    const names = [core.Heap, core.SharedHeap, core.Lock].flatMap(({ prototype }) => publicNames(prototype));
    expect(names).toEqual(expect.arrayContaining(["malloc", "u32", "supervise", "tryAcquire"]));
    const words = new Set(readme.match(/\w+/g));
    expect([...names, ...codes].filter((name) => !words.has(name))).toEqual([]);
  });

  it("says how large the superblock is", () => {
    expect(readme).toContain(`${SUPERBLOCK.size.toLocaleString("en")} bytes`);
  });
});

it("docs/architecture.md has a word on every file of core", () => {
  const architecture = textOf("docs/architecture.md");
  const files = readdirSync(join(ROOT, "packages/core/src")).filter(
    (name) => name.endsWith(".ts") && name !== "index.ts",
  );
  expect(files.filter((name) => !architecture.includes(`\`${name.slice(0, -3)}\``))).toEqual([]);
});

it.each(DOCUMENTS)("the links of %s lead to something", (path) => {
  const links = [...textOf(path).matchAll(/\]\((?!https?:)([^)\s]*)\)/g)].map(([, link = ""]) => link);
  expect(links.length).toBeGreaterThan(0);
  for (const link of links) {
    const [file = "", anchor] = link.split("#");
    const target = file === "" ? path : join(dirname(path), file);
    expect(existsSync(join(ROOT, target)), link).toBe(true);
    if (anchor === undefined) continue;
    const titles = textOf(target).match(/^#+ .*$/gm) ?? [];
    const anchors = titles.map((title) =>
      title
        .replace(/^#+ /, "")
        .toLowerCase()
        .replaceAll(/[^\w -]/g, "")
        .replaceAll(" ", "-"),
    );
    expect(anchors, link).toContain(anchor);
  }
});
