/** A WebAssembly module beside a heap in its memory. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import newWabt from "wabt";

import { everythingInstalled } from "../src/consumers.ts";
import type { Consumer } from "../src/managers.ts";
import { newUser, run } from "../src/program.ts";

const PLACERS = [
  "malloc",
  "apf",
  "fixed pool",
  "variadic pool",
  "mempool",
  "refcount",
  "memkit pointers",
  "memkit arena",
];

let consumer: Consumer;
beforeAll(async () => {
  consumer = await everythingInstalled("neighbour");
});

/** Compiles the module for memory of a kind. */
async function assemble(memory: "" | "shared"): Promise<string> {
  const text = await readFile(new URL("../consumers/neighbour.wat", import.meta.url), "utf8");
  const wabt = await newWabt();
  const module = wabt.parseWat("neighbour.wat", text.replace("MEMORY", memory), { threads: true });
  const file = join(consumer.folder, `neighbour-${memory}.wasm`);
  await writeFile(file, module.toBinary({}).buffer);
  module.destroy();
  return file;
}

it.each(["private", "shared"])("reads and writes what every allocator has placed in its memory: %s", async (kind) => {
  const file = await assemble(kind === "shared" ? "shared" : "");
  const where = { cwd: consumer.folder, env: newUser(consumer.home) };
  const { stdout, stderr } = await run(process.execPath, ["neighbour.js", file, kind], where);
  expect(stderr).toBe("");
  const { offsets, size, found, own, hasGrown, liveBlocks } = JSON.parse(stdout);
  // As the module's text has them, and as C would.
  expect([offsets, size]).toEqual([{ next: 0, id: 4, x: 8, y: 16, kind: 24, level: 26, weight: 28, stamp: 32 }, 40]);
  // Sums over the ids 0 to 49: x y = id * 1.5, id, kind - level = 0, weight 0.5, stamp -7; then x is doubled, stamp 7.
  const written = 1.5 * 1225 + 1225 + 25 - 350;
  const changed = 3 * 1225 + 1225 + 25 + 350;
  const built = 0.5 * 1225 + 1225 + 50 * (200 - 3 + 0.25 - 5);
  expect(Object.keys(found)).toEqual(PLACERS);
  for (const name of PLACERS) {
    expect(found[name], name).toMatchObject({
      written: [written, written],
      changed: [changed, changed],
      built: [built, built],
      grown: [built, built],
    });
  }
  // The module's own growth has worked each time.
  const pages = PLACERS.map((name) => found[name].pages);
  expect(pages).toEqual([...new Set(pages)].sort((a, b) => a - b));
  expect(own).toEqual({ text: "the neighbour's own", scaled: PLACERS.length, elsewhere: false });
  expect([hasGrown, liveBlocks]).toEqual([true, 0]);
});
