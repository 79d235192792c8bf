/** What a bundler makes of the package: with debug code, and in production without. */
import { fileURLToPath } from "node:url";

import { build } from "esbuild";
import { beforeAll, describe, expect, test } from "vitest";

import type * as Core from "@heapwright/core";
import type * as Package from "../src/index.ts";

type Condition = "development" | "production";

interface Bundle {
  readonly code: string;
  /** The package's files in it. */
  readonly files: readonly string[];
  readonly exports: typeof Package & { readonly Heap: typeof Core.Heap };
}

/** What only debug code says. */
const SAID = [
  "=== Memory Pool Dump ===",
  "Data Pointer",
  "Pool validation",
  "Pool is NULL",
  "reuse: ",
  "copy: ",
  "leak: ",
  '"shrink"',
  "refused: ",
  "written to after it was freed",
];

/** Bundles some code as an application would that lies beside the package. */
async function bundle(contents: string, conditions: readonly Condition[]): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: fileURLToPath(new URL("..", import.meta.url)) },
    conditions: [...conditions],
    bundle: true,
    minify: true,
    format: "esm",
    write: false,
    metafile: true,
  });
  const code = outputFiles[0]!.text;
  const files = Object.values(metafile.outputs)
    .flatMap(({ inputs }) => Object.entries(inputs))
    .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
    .map(([path]) => path.replace(/^.*\//, ""));
  const url = `data:text/javascript;base64,${Buffer.from(code).toString("base64")}`;
  return { code, files, exports: (await import(/* @vite-ignore */ url)) as Bundle["exports"] };
}

const ALL = `export * from "@heapwright/memkit"; export { Heap } from "@heapwright/core";`;
let debug: Bundle;
let production: Bundle;

beforeAll(async () => {
  [debug, production] = await Promise.all([bundle(ALL, ["development"]), bundle(ALL, ["production"])]);
});

test("debug code is in one of them only", () => {
  for (const text of SAID) {
    expect(debug.code, text).toContain(text);
    expect(production.code, text).not.toContain(text);
  }
  expect(debug.files).toContain("debug.js");
  expect(production.files).toContain("production.js");
  expect(production.files).not.toContain("debug.js");
  expect(debug.code.length - production.code.length).toBeGreaterThan(2000);
});

test("who names neither condition gets the debug build", async () => {
  const { files, code, exports } = await bundle(ALL, []);
  expect(files).toContain("debug.js");
  expect(code.length).toBe(debug.code.length);
  expect(exports.DEBUG_MEMORY_MANAGER).toBe(1);
});

test("both export the same names", () => {
  expect(Object.keys(production.exports).sort()).toEqual(Object.keys(debug.exports).sort());
  expect([debug.exports.DEBUG_MEMORY_MANAGER, production.exports.DEBUG_MEMORY_MANAGER]).toEqual([1, 0]);
});

test("who uses the hash alone gets little else", async () => {
  const code = `export { mem_compute_hash } from "@heapwright/memkit";`;
  const one = await bundle(code, ["production"]);
  expect(one.code.length).toBeLessThan(production.code.length / 4);
});

describe.each(["development", "production"] as const)("the %s build", (condition) => {
  const of = (): Bundle["exports"] => (condition === "development" ? debug : production).exports;

  test("does what the quick start says", () => {
    const { Heap, MemoryPool, ...c } = of();
    const heap = new Heap({ bytes: 1 << 16 });
    const said: string[] = [];
    const pool = new MemoryPool();
    expect(c.mem_pool_init(pool, 16, { backing: heap, log: (line) => said.push(line) })).toBe(true);
    const buffer = c.mem_pointer_create("data_buffer", 1024, { backing: heap });
    expect(c.mem_pointer_allocate(buffer, 1024, pool)).toBe(true);
    const { data, size } = buffer!.container!;
    heap.i32[data >>> 2] = 42;
    expect([heap.i32[data >>> 2], size, buffer!.container!.address]).toEqual([42, 1024, 0x0a20_1975_fc57_1218n]);
    const shared = c.mem_pointer_share(buffer, "shared");
    expect(c.mem_pointer_write(shared, pool)).toBe(true);
    c.mem_pointer_destroy(shared, pool);
    c.mem_pointer_destroy(buffer, pool);
    c.mem_pool_destroy(pool);
    expect(heap.stats().liveBlocks).toBe(0);
    expect(said.length > 0).toBe(condition === "development");
  });
});

test("what the production build cannot check, it does not say is true", () => {
  const { Heap, MemoryPool, mem_errno, mem_pool_dump, mem_pool_validate, ENOTSUP } = production.exports;
  const pool = new MemoryPool(8, { backing: new Heap({ bytes: 1 << 16 }) });
  const unsupported = expect.objectContaining({ name: "HeapError", code: "ERR_UNSUPPORTED", errno: ENOTSUP }) as Error;
  expect(() => mem_pool_validate(pool)).toThrow(unsupported);
  expect(mem_errno()).toBe(ENOTSUP);
  expect(() => mem_pool_validate(null)).toThrow(unsupported);
  expect(() => mem_pool_dump(pool, true)).toThrow(unsupported);
  expect(() => pool.dump()).toThrow(/resolve this package with the condition `development`/);
  // The class's own proof is always there.
  pool.check();
  pool.destroy();
});

test("a pool of one build is opened by the other", () => {
  const { Heap, MemoryPool, MemoryPointer } = debug.exports;
  const heap = new Heap({ bytes: 1 << 16 });
  const pool = new MemoryPool(8, { backing: heap });
  const pointer = new MemoryPointer("of_debug", 0, { backing: heap });
  pointer.allocate(64, pool);
  const other = production.exports;
  const copy = other.Heap.attach(heap.image());
  const opened = other.MemoryPool.attach(copy, pool.handle);
  const second = new other.MemoryPointer("of_production", 0, { backing: copy });
  expect(second.allocate(64, opened)).toBe(true);
  // The debug build's list of pointers is kept in order.
  other.MemoryPointer.attach(copy, pointer.handle).destroy();
  const back = MemoryPool.attach(Heap.attach(copy.image()), pool.handle);
  back.check();
  expect(back.dump()).toContain("of_production");
  expect(back.dump()).not.toContain("of_debug");
});
