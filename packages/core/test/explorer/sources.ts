/**
 * Loads core's sources twice over: as they are, and rewritten so that they stop at each access to shared words. Faults are
 * planted by replacing text in them.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseAst, transformWithOxc } from "vite";
import { isNode, type Module, type Node, Rewriting, type Site } from "./rewrite.ts";

/** A change of the source: what is to be replaced must be there once. */
export interface Change {
  readonly file: string;
  readonly find: string | RegExp;
  readonly replace: string;
}

/** Gives a constant another value, whatever it has. */
export function constant(file: string, name: string, value: number): Change {
  return { file, find: new RegExp(String.raw`(?<=\bconst ${name} = )[\d_]+(?=;)`), replace: String(value) };
}

/** What all agents of a model run, and what looks at the heap afterwards. */
export interface Sources {
  /** Exports of the rewritten modules, by file. */
  readonly stepped: ReadonlyMap<string, Exports>;
  /** Exports of the modules as they are. */
  readonly plain: ReadonlyMap<string, Exports>;
  readonly sites: readonly Site[];
  readonly unmodelled: readonly string[];
}

export type Exports = Readonly<Record<string, unknown>>;

/** What the rewritten modules are given in place of what they would find. */
export interface Given {
  readonly rt: unknown;
  readonly globalThis: unknown;
  readonly WebAssembly: unknown;
}

const SOURCE = fileURLToPath(new URL("../../src/", import.meta.url));
/** From here on all modules are found. */
const ROOT = "shared-heap.ts";
/** All that touches words while agents run. The rest makes errors, looks at a heap at rest, or touches nothing. */
const STEPPED = new Set([
  "boundary-tag.ts",
  "free-index.ts",
  "general-heap.ts",
  "growth.ts",
  "lock.ts",
  "magazines.ts",
  "malloc.ts",
  "payload.ts",
  "quick-lists.ts",
  "recover.ts",
  "shared-heap.ts",
  "slots.ts",
  "start-bits.ts",
  "views.ts",
  "worker.ts",
]);
/** Without types, by file and text: most texts are the same in each model. */
const stripped = new Map<string, { readonly code: string; readonly program: Node }>();

async function strip(file: string, source: string): Promise<{ readonly code: string; readonly program: Node }> {
  const key = `${file}\n${source}`;
  let found = stripped.get(key);
  if (found === undefined) {
    const { code } = await transformWithOxc(source, SOURCE + file, { sourcemap: false });
    const program: unknown = parseAst(code);
    if (!isNode(program)) throw new Error(`${file}: no syntax tree`);
    found = { code, program };
    stripped.set(key, found);
  }
  return found;
}

/** Reads a file and what it imports, each after its imports. */
async function read(file: string, changes: Change[], modules: Module[], path: readonly string[] = []): Promise<void> {
  if (modules.some((module) => module.path === `./${file}`)) return;
  if (path.includes(file)) throw new Error(`${[...path, file].join(" -> ")}: modules in a circle`);
  let source = readFileSync(SOURCE + file, "utf8");
  for (const change of changes.filter((one) => one.file === file)) {
    const pieces = source.split(change.find);
    if (pieces.length !== 2) throw new Error(`${file} has ${pieces.length - 1} times: ${String(change.find)}`);
    source = pieces.join(change.replace);
    changes.splice(changes.indexOf(change), 1);
  }
  const { code, program } = await strip(file, source);
  for (const statement of program["body"] as Node[]) {
    if (statement.type !== "ImportDeclaration") continue;
    await read(String((statement["source"] as Node)["value"]).slice(2), changes, modules, [...path, file]);
  }
  modules.push({ path: `./${file}`, code, program, isStepped: STEPPED.has(file) });
}

/** @param changes - made before anything else */
export async function load(changes: readonly Change[], given: Given): Promise<Sources> {
  const modules: Module[] = [];
  const left = [...changes];
  await read(ROOT, left, modules);
  if (left.length > 0) throw new Error(`no such file: ${left[0]!.file}`);
  const rewriting = new Rewriting(modules);
  const asIs = new Rewriting(modules.map((module) => ({ ...module, isStepped: false })));
  const stepped = new Map<string, Exports>();
  const plain = new Map<string, Exports>();
  for (const module of modules) {
    const file = module.path.slice(2);
    plain.set(file, run(asIs.emit(module), plain, { rt: undefined, globalThis, WebAssembly }));
    stepped.set(file, module.isStepped ? run(rewriting.emit(module), stepped, given) : plain.get(file)!);
  }
  return { stepped, plain, sites: rewriting.sites, unmodelled: rewriting.unmodelled };
}

function run(text: string, exports: ReadonlyMap<string, Exports>, given: Given): Exports {
  const imports = Object.fromEntries([...exports].map(([file, found]) => [`./${file}`, found]));
  // oxlint-disable-next-line typescript/no-implied-eval -- core's own source
  const make = new Function("rt", "imports", "globalThis", "WebAssembly", text);
  return make(given.rt, imports, given.globalThis, given.WebAssembly) as Exports;
}
