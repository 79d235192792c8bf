// The pool against the C library's malloc and free in C, in one run: single blocks at once and 10,000 of them freed in
// three orders, and runs of 2 to 8 blocks in a pool that is half full. Each measurement is a process of its own, in
// rounds, so that a disturbance of the machine meets both sides alike; medians of the processor's time.
//
//     pnpm --filter @heapwright/mempool build && node packages/mempool/bench/against-libc.mjs [rounds [load ...]]
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { Heap } from "@heapwright/core";

import { Mempool } from "../dist/index.js";

const COUNT = 10_000;
const SIZE = 64;
const STEPS = 1 << 20;
const MIN_RUN = 2;
const MAX_RUN = 8;
const MILLISECONDS = 600;
const LOADS = { pairs: 1.3, lifo: 1.3, fifo: 1.3, random: 1.3, runs: 10 };

let state = 2_463_534_242;
function below(limit) {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % limit;
}

function orderOf(load) {
  const order = Uint32Array.from({ length: COUNT }, (_, i) => (load === "lifo" ? COUNT - 1 - i : i));
  if (load !== "random") return order;
  for (let i = COUNT - 1; i > 0; i -= 1) {
    const j = below(i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

function pairs(pool) {
  for (let i = 0; i < COUNT; i += 1) pool.free(pool.malloc(SIZE));
}

function batch(pool, order, table) {
  for (let i = 0; i < COUNT; i += 1) table[i] = pool.malloc(SIZE);
  for (let i = 0; i < COUNT; i += 1) pool.free(table[order[i]]);
}

function runs(pool, slots, sizes, table, from) {
  for (let i = from; i < from + COUNT; i += 1) {
    const slot = slots[i % STEPS];
    pool.free(table[slot]);
    table[slot] = pool.malloc(sizes[i % STEPS]);
  }
}

const runSize = () => (MIN_RUN + below(MAX_RUN - MIN_RUN + 1)) * SIZE;

/** One load made ready: a function that does it once. */
function prepared(load) {
  const table = new Uint32Array(COUNT);
  // Half of the blocks are live: 10,000 runs of 5 on average.
  const blocks = load === "runs" ? COUNT * (MIN_RUN + MAX_RUN) : COUNT + 100;
  const backing = new Heap({ bytes: blocks * (SIZE + 8) + (1 << 20) });
  const pool = new Mempool(blocks * SIZE, SIZE, { backing });
  if (load === "pairs") return () => pairs(pool);
  if (load !== "runs") {
    const order = orderOf(load);
    return () => batch(pool, order, table);
  }
  for (let i = 0; i < COUNT; i += 1) table[i] = pool.malloc(runSize());
  const slots = Uint32Array.from({ length: STEPS }, () => below(COUNT));
  const sizes = Uint32Array.from({ length: STEPS }, runSize);
  let step = 0;
  return () => {
    runs(pool, slots, sizes, table, step);
    step = (step + COUNT) % STEPS;
  };
}

/** Nanoseconds of the processor per allocate or free. The first third warms up. */
function measure(load, milliseconds) {
  const pass = prepared(load);
  const begin = performance.now();
  while (performance.now() - begin < milliseconds / 3) pass();
  const before = process.cpuUsage();
  let passes = 0;
  do {
    pass();
    passes += 1;
  } while (performance.now() - begin < milliseconds);
  const { user, system } = process.cpuUsage(before);
  return ((user + system) * 1000) / (2 * COUNT * passes);
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

if (process.argv[2] === "child") {
  console.log(measure(process.argv[3], Number(process.argv[4])));
} else {
  const [rounds = "7", ...loads] = process.argv.slice(2);
  const program = buildLibc();
  const self = fileURLToPath(import.meta.url);
  console.log("ns per operation  mempool    libc   ratio  bar");
  for (const load of loads.length > 0 ? loads : Object.keys(LOADS)) {
    const ours = [];
    const theirs = [];
    for (let round = 0; round < Number(rounds); round += 1) {
      ours.push(Number(execFileSync(process.execPath, [self, "child", load, String(MILLISECONDS)])));
      theirs.push(Number(execFileSync(program, [load, String(MILLISECONDS / 2)])));
    }
    const ratio = median(ours) / median(theirs);
    const columns = [median(ours).toFixed(2).padStart(7), median(theirs).toFixed(2).padStart(7)];
    console.log(`${load.padEnd(16)}  ${columns.join(" ")}  ${ratio.toFixed(2).padStart(6)}  ${LOADS[load]}`);
  }
}
