// What a pool costs in a shared heap: single blocks allocated and freed at once, under the lock and from a magazine, by
// one worker and by two at the same time.
//
//     pnpm --filter @heapwright/mempool build && node packages/mempool/bench/shared.mjs
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker } from "node:worker_threads";

import { Heap } from "@heapwright/core";

import { Mempool } from "../dist/index.js";

const SIZE = 64;
const BLOCKS = 10_000;
const PAIRS = 10_000;
const PASSES = 300;

function pairs(pool) {
  const start = performance.now();
  for (let i = 0; i < PAIRS; i += 1) pool.free(pool.malloc(SIZE));
  return performance.now() - start;
}

/** Nanoseconds per allocate or free: the median of the second half of the passes. */
function measure(pool) {
  const times = Array.from({ length: PASSES }, () => pairs(pool));
  const later = times.slice(PASSES / 2).sort((a, b) => a - b);
  return (later[later.length / 2] * 1e6) / (2 * PAIRS);
}

/** What the slowest of so many workers says that work on one pool at the same time. */
async function measureIn(count, magazine) {
  const heap = new Heap({ bytes: 1 << 22, shared: true });
  const pool = new Mempool(BLOCKS * SIZE, SIZE, { backing: heap, magazine });
  heap.setRoot("pool", pool.handle);
  const workers = Array.from({ length: count }, () => heap.spawn(new Worker(fileURLToPath(import.meta.url))));
  await Promise.all(workers.map((worker) => once(worker, "message")));
  for (const worker of workers) worker.postMessage("go");
  const answers = await Promise.all(workers.map((worker) => once(worker, "message")));
  await Promise.all(workers.map((worker) => worker.terminate()));
  return Math.max(...answers.map(([time]) => time));
}

if (isMainThread) {
  console.log("ns per operation  one worker  each of two");
  for (const magazine of [0, 64]) {
    const one = await measureIn(1, magazine);
    const two = await measureIn(2, magazine);
    const name = magazine === 0 ? "under the lock" : `magazine of ${magazine}`;
    console.log(`${name.padEnd(18)} ${one.toFixed(1).padStart(9)}  ${two.toFixed(1).padStart(11)}`);
  }
} else {
  const heap = await Heap.spawned();
  const pool = Mempool.attach(heap, heap.root("pool"));
  parentPort.on("message", () => parentPort.postMessage(measure(pool)));
  parentPort.postMessage("ready");
}
