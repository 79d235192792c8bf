// The allocator against the C library's malloc and free in C, in one run: 64 bytes at once, mixed sizes with 10,000 live,
// up to a million small blocks that are replaced at random, and a million allocated and freed at random. Mixed sizes also
// against dlmalloc in WebAssembly, as SQLite's build has it, called from JavaScript. Each measurement is a process of its
// own, in rounds, so that a disturbance of the machine meets all sides alike; medians of the processor's time.
//
//     pnpm --filter @heapwright/apf build && node packages/apf/bench/against-libc.mjs [rounds [load ...]]
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";

import { Heap } from "@heapwright/core";

import { ApfAllocator } from "../dist/index.js";

const PAIR_SIZE = 64;
const SIZE = 32;
const MIN_SIZE = 16;
const MAX_SIZE = 512;
const STEPS = 1 << 20;
const TURNS = 1 << 14;
const MILLISECONDS = 900;

/** What is done, with how many blocks, and how many times libc's time it may take. */
const LOADS = {
  "at once": ["pairs", 10_000, 1.3],
  "mixed, 10,000 live": ["mixed", 10_000, 0.85],
  "1,000 live": ["replace", 1000, 2],
  "10,000 live": ["replace", 10_000, 2],
  "100,000 live": ["replace", 100_000, 2],
  "1,000,000 live": ["replace", 1_000_000, 2],
  "a million at random": ["batch", 1_000_000, 2],
};
/** Of dlmalloc's time, for mixed sizes. */
const WASM_BAR = 0.3;

let state = 2_463_534_242;
function below(limit) {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % limit;
}

const mixedSize = () => MIN_SIZE + below(MAX_SIZE - MIN_SIZE + 1);
const oneSize = () => SIZE;

function shuffled(count) {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i -= 1) {
    const j = below(i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

function pairs(allocator, count) {
  for (let i = 0; i < count; i += 1) allocator.free(allocator.malloc(PAIR_SIZE));
}

function batch(allocator, order, table) {
  for (let i = 0; i < table.length; i += 1) table[i] = allocator.malloc(SIZE);
  for (let i = 0; i < table.length; i += 1) allocator.free(table[order[i]]);
}

function replace(allocator, slots, sizes, table, from) {
  for (let i = from; i < from + TURNS; i += 1) {
    const slot = slots[i];
    allocator.free(table[slot]);
    table[slot] = allocator.malloc(sizes[i]);
  }
}

/** One load made ready: a function that does it once, and its operations. */
function prepared(allocator, load, count) {
  if (load === "pairs") return [() => pairs(allocator, count), 2 * count];
  const table = new Uint32Array(count);
  if (load === "batch") {
    const order = shuffled(count);
    return [() => batch(allocator, order, table), 2 * count];
  }
  const size = load === "mixed" ? mixedSize : oneSize;
  for (let i = 0; i < count; i += 1) table[i] = allocator.malloc(size());
  const slots = Uint32Array.from({ length: STEPS }, () => below(count));
  const sizes = Uint32Array.from({ length: STEPS }, size);
  let step = 0;
  const pass = () => {
    replace(allocator, slots, sizes, table, step);
    step = (step + TURNS) % STEPS;
  };
  return [pass, 2 * TURNS];
}

async function opened(name, load, count) {
  if (name === "apf") return new ApfAllocator({ backing: new Heap({ bytes: (64 << 20) + count * 2 * SIZE }) });
  // The workspace's bench has it; this package needs it nowhere else.
  const bench = createRequire(new URL("../../../bench/package.json", import.meta.url));
  const { default: init } = await import(pathToFileURL(bench.resolve("@sqlite.org/sqlite-wasm")).href);
  const { malloc, free } = (await init()).wasm.exports;
  return { malloc, free };
}

/** Nanoseconds of the processor per allocate or free. The first third warms up. */
async function measure(name, load, count, milliseconds) {
  const [pass, operations] = prepared(await opened(name, load, count), load, count);
  const begin = performance.now();
  do pass();
  while (performance.now() - begin < milliseconds / 3);
  const before = process.cpuUsage();
  let passes = 0;
  do {
    pass();
    passes += 1;
  } while (performance.now() - begin < milliseconds);
  const { user, system } = process.cpuUsage(before);
  return ((user + system) * 1000) / (operations * passes);
}

function buildLibc() {
  const source = fileURLToPath(new URL("libc.c", import.meta.url));
  const folder = fileURLToPath(new URL("dist/", import.meta.url));
  mkdirSync(folder, { recursive: true });
  // Without -fno-builtin a compiler may drop a malloc whose block is freed unused.
  execFileSync(process.env.CC ?? "cc", ["-O2", "-fno-builtin", "-o", `${folder}libc`, source]);
  return `${folder}libc`;
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.ceil((sorted.length - 1) / 2)]) / 2;
}

function child(...words) {
  return Number(execFileSync(process.execPath, [fileURLToPath(import.meta.url), "child", ...words.map(String)]));
}

function show(load, ours, other, theirs, bar) {
  const columns = [median(ours).toFixed(2).padStart(7), other.padEnd(13), median(theirs).toFixed(2).padStart(7)];
  const ratio = (median(ours) / median(theirs)).toFixed(2);
  console.log(`${load.padEnd(20)}${columns.join("  ")}  ${ratio.padStart(6)}  ${bar}`);
}

if (process.argv[2] === "child") {
  const [, , , name, load, count, milliseconds] = process.argv;
  console.log(await measure(name, load, Number(count), Number(milliseconds)));
} else {
  const [rounds = "7", ...loads] = process.argv.slice(2);
  const program = buildLibc();
  console.log("ns per operation        apf  against          ns       ratio  bar");
  for (const title of loads.length > 0 ? loads : Object.keys(LOADS)) {
    const [load, count, bar] = LOADS[title];
    const ours = [];
    const libcs = [];
    const wasms = [];
    for (let round = 0; round < Number(rounds); round += 1) {
      ours.push(child("apf", load, count, MILLISECONDS));
      libcs.push(Number(execFileSync(program, [load, String(count), String(MILLISECONDS / 2)])));
      if (load === "mixed") wasms.push(child("dlmalloc", load, count, MILLISECONDS));
    }
    show(title, ours, "libc", libcs, bar);
    if (wasms.length > 0) show(title, ours, "WASM dlmalloc", wasms, WASM_BAR);
  }
}
