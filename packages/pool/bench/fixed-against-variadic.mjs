// "This type of pool does a bit less work to allocate new blocks": the fixed pool against the variadic, blocks of 64
// bytes. Each load runs in a process of its own, because V8 compiles a loop for what it has seen.
//
//     pnpm --filter @heapwright/pool build && node packages/pool/bench/fixed-against-variadic.mjs
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

import { Heap } from "@heapwright/core";

import { FixedMemPool, VariadicMemPool } from "../dist/index.js";

const COUNT = 10_000;
const SIZE = 64;
const PASSES = 600;
const LOADS = ["at once", "last in first out", "first in first out", "random order"];

function order(load) {
  const indices = Uint32Array.from({ length: COUNT }, (_, i) => (load === "last in first out" ? COUNT - 1 - i : i));
  if (load !== "random order") return indices;
  let state = 1;
  for (let i = COUNT - 1; i > 0; i -= 1) {
    state = Math.imul(state, 1_664_525) + 1_013_904_223;
    const j = (state >>> 0) % (i + 1);
    [indices[i], indices[j]] = [indices[j], indices[i]];
  }
  return indices;
}

function pairs(pool) {
  const start = performance.now();
  for (let i = 0; i < COUNT; i += 1) pool.free(pool.malloc(SIZE));
  return performance.now() - start;
}

function batch(pool, indices, table) {
  const start = performance.now();
  for (let i = 0; i < COUNT; i += 1) table[i] = pool.malloc(SIZE);
  for (let i = 0; i < COUNT; i += 1) pool.free(table[indices[i]]);
  return performance.now() - start;
}

/** Median of the second half of the passes, in nanoseconds per allocate or free. */
function measure(kind, load) {
  const backing = new Heap({ bytes: 1 << 20, maxBytes: 1 << 28 });
  const pool =
    kind === "fixed" ? new FixedMemPool(SIZE, 16_384, { backing }) : new VariadicMemPool(1 << 20, 20, { backing });
  const indices = order(load);
  const table = new Uint32Array(COUNT);
  const times = Array.from({ length: PASSES }, () => (load === "at once" ? pairs(pool) : batch(pool, indices, table)));
  const later = times.slice(PASSES / 2).sort((a, b) => a - b);
  return (later[later.length / 2] * 1e6) / (2 * COUNT);
}

const [, , kind, load] = process.argv;
if (load !== undefined) {
  console.log(measure(kind, load));
} else {
  const timeOf = (pool, name) => Number(execFileSync(process.execPath, [fileURLToPath(import.meta.url), pool, name]));
  console.log("ns per operation      fixed  variadic");
  for (const name of LOADS) {
    const [fixed, variadic] = [timeOf("fixed", name), timeOf("variadic", name)];
    console.log(`${name.padEnd(20)} ${fixed.toFixed(1).padStart(6)}  ${variadic.toFixed(1).padStart(8)}`);
  }
}
