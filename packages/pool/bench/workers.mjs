// What several workers on one heap get done: `node bench/workers.mjs [rounds]`. Medians of interleaved rounds.
//
// - batches of 100 blocks of 64 bytes, one worker and two on one heap, beside a control: the same on arrays of their own,
//   which shows what two cores give just then;
// - producer and consumer: blocks allocated by one worker, passed on through a ring in the heap, freed by the other;
// - the lock, taken and given back by one.
import { once } from "node:events";
import { isMainThread, parentPort, Worker } from "node:worker_threads";

import { Heap } from "@heapwright/core";
import { FixedMemPool } from "@heapwright/pool";

const BATCH = 100;
const BATCHES = 50_000;
const BLOCKS = 3_000_000;
const RING = 1 << 14;
const STEP = 64;
/** Words of the ring: how many were written, a line on how many were read, another on the blocks. */
const READ = 32;
const ENTRIES = 64;

function batches(allocator, count) {
  const blocks = new Uint32Array(BATCH);
  for (let batch = 0; batch < count; batch += 1) {
    for (let i = 0; i < BATCH; i += 1) blocks[i] = allocator.malloc(64);
    for (let i = 0; i < BATCH; i += 1) allocator.free(blocks[i]);
  }
}

/** The garbage collector's turn: the same number of objects, kept as long. */
function control(count) {
  const kept = Array.from({ length: BATCH });
  for (let batch = 0; batch < count; batch += 1) {
    for (let i = 0; i < BATCH; i += 1) kept[i] = [batch, i, 0, 0];
  }
  return kept;
}

function produce(heap, allocator, ring) {
  const { i32 } = heap;
  const word = ring >>> 2;
  let read = 0;
  for (let at = 0; at < BLOCKS; at += STEP) {
    while (at + STEP - read > RING) read = Atomics.load(i32, word + READ);
    for (let i = at; i < at + STEP; i += 1) {
      const ptr = allocator.malloc(64);
      heap.u32[ptr >>> 2] = i;
      i32[word + ENTRIES + (i & (RING - 1))] = ptr;
    }
    Atomics.store(i32, word, at + STEP);
  }
}

function consume(heap, allocator, ring) {
  const { i32 } = heap;
  const word = ring >>> 2;
  let at = 0;
  while (at < BLOCKS) {
    const written = Atomics.load(i32, word);
    for (; at < written; at += 1) {
      const ptr = i32[word + ENTRIES + (at & (RING - 1))] >>> 0;
      if (heap.u32[ptr >>> 2] !== at) throw new Error(`block ${at} holds ${heap.u32[ptr >>> 2]}`);
      allocator.free(ptr);
    }
    Atomics.store(i32, word + READ, at);
  }
}

async function work() {
  const heap = await Heap.spawned();
  const pool = FixedMemPool.attach(heap, heap.root("pool"));
  const jobs = {
    pool: (count) => batches(pool, count),
    malloc: (count) => batches(heap, count),
    control,
    "produce pool": () => produce(heap, pool, heap.root("ring")),
    "consume pool": () => consume(heap, pool, heap.root("ring")),
    "produce malloc": () => produce(heap, heap, heap.root("ring")),
    "consume malloc": () => consume(heap, heap, heap.root("ring")),
  };
  parentPort.on("message", ({ job, go, workers }) => {
    const start = heap.i32;
    Atomics.add(start, go, 1);
    while (Atomics.load(start, go) < workers);
    const begun = performance.now();
    jobs[job](BATCHES);
    parentPort.postMessage(performance.now() - begun);
  });
  parentPort.postMessage("ready");
}

function median(values) {
  const sorted = values.toSorted?.((a, b) => a - b) ?? [...values].sort((a, b) => a - b);
  return sorted[sorted.length >>> 1];
}

async function measure(rounds) {
  const heap = new Heap({ bytes: 1 << 24, maxBytes: 1 << 28, shared: true });
  const pool = new FixedMemPool(64, 10_000, { backing: heap });
  const ring = heap.calloc(1, (ENTRIES + RING) * 4);
  heap.setRoot("pool", pool.handle);
  heap.setRoot("ring", ring);
  const go = heap.calloc(1, 64) >>> 2;
  const workers = [1, 2].map(() => heap.spawn(new Worker(new URL(import.meta.url))));
  await Promise.all(workers.map((worker) => once(worker, "message")));
  // The time of the slowest, from when all have begun.
  const run = async (...names) => {
    Atomics.store(heap.i32, go, 0);
    heap.u32.fill(0, ring >>> 2, (ring >>> 2) + ENTRIES);
    const answers = names.map((job, at) => {
      workers[at].postMessage({ job, go, workers: names.length });
      return once(workers[at], "message");
    });
    return Math.max(...(await Promise.all(answers)).map(([time]) => time));
  };
  const times = {};
  const note = (name, time) => (times[name] ??= []).push(time);
  for (let round = 0; round <= rounds; round += 1) {
    for (const job of ["pool", "malloc", "control"]) {
      const [one, two] = [await run(job), await run(job, job)];
      if (round === 0) continue;
      note(`${job} 1`, one);
      note(`${job} 2`, two);
      note(`${job} x`, (2 * one) / two);
    }
    for (const job of ["pool", "malloc"]) {
      const time = await run(`produce ${job}`, `consume ${job}`);
      if (round > 0) note(`pass ${job}`, time);
    }
    const { lock } = heap;
    const begun = performance.now();
    for (let i = 0; i < 1e6; i += 1) {
      lock.acquire();
      lock.release();
    }
    if (round > 0) note("lock", performance.now() - begun);
  }
  await Promise.all(workers.map((worker) => worker.terminate()));
  pool.check();
  heap.check();
  const perBlock = (name) => ((median(times[name]) * 1e6) / (BATCH * BATCHES * 2)).toFixed(1);
  for (const job of ["pool", "malloc", "control"]) {
    const factor = median(times[`${job} x`]).toFixed(2);
    console.log(`${job}: ${perBlock(`${job} 1`)} ns an operation, two workers get ${factor} times as much done as one`);
  }
  for (const job of ["pool", "malloc"]) {
    console.log(
      `${job}: ${(BLOCKS / median(times[`pass ${job}`]) / 1e3).toFixed(1)} million blocks a second passed on`,
    );
  }
  console.log(`lock: ${median(times.lock).toFixed(1)} ns taken and given back`);
}

if (isMainThread) await measure(Number(process.argv[2] ?? 7));
else await work();
