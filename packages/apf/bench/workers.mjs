// What several workers on one allocator get done: `node bench/workers.mjs [rounds]`. Medians of interleaved rounds, each
// time that of the slowest worker from when all have begun.
//
// - private blocks: each worker allocates and frees batches of 100 of 64 bytes, one worker and two; beside it the same on
//   arrays of their own, which shows what two cores give just then;
// - larson, xmalloc, mstress and threadtest, with the parameters of mimalloc-bench, shortened: with apf, and with core's malloc
//   under a mutex that two workers share; larson, mstress and threadtest with one worker and with two of half the work each,
//   xmalloc with one that does both parts in turn and with a producer and a consumer.
import { once } from "node:events";
import { isMainThread, parentPort, Worker } from "node:worker_threads";

import { ApfAllocator } from "@heapwright/apf";
import { Heap, NULL } from "@heapwright/core";

const BATCH = 100;
const BATCHES = 40_000;
const SLOTS = 5000;
const LARSON = 400_000;
const XMALLOC_BATCH = 4096;
const XMALLOC_BATCHES = 240;
const QUEUE = 100;
const MSTRESS = 120_000;
const SHARED = 1000;
const THREADTEST = 100_000;
const THREADTEST_ROUNDS = 12;
const ALLOCATORS = ["apf", "mutex"];
const PATTERNS = ["larson", "xmalloc", "mstress", "threadtest"];

function generator(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Core's malloc on a private heap's terms: one heap, no magazines, and a mutex around each call. */
class Mutexed {
  constructor(heap) {
    this.lock = heap.lock;
    this.inner = heap.inner;
  }
  malloc(size) {
    const outer = this.lock.enter("malloc");
    try {
      return this.inner.malloc(size);
    } finally {
      if (outer) this.lock.leave();
    }
  }
  free(ptr) {
    const outer = this.lock.enter("free");
    try {
      this.inner.free(ptr);
    } finally {
      if (outer) this.lock.leave();
    }
  }
}

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

/** Swaps slots for new blocks; half way the slots go to the other worker, blocks and all. */
function larson(heap, allocator, { worker, workers, swap }) {
  const { u32 } = heap;
  const draw = generator(worker + 1);
  const half = LARSON / workers / 2;
  for (let turn = 0; turn < 2; turn += 1) {
    const slots = (heap.root("slots") >>> 2) + ((worker + turn) % workers) * SLOTS;
    for (let i = 0; i < half; i += 1) {
      const at = slots + draw(SLOTS);
      allocator.free(u32[at]);
      const ptr = allocator.malloc(8 + draw(992));
      u32[ptr >>> 2] = i;
      u32[at] = ptr;
    }
    meet(heap, swap, workers * (turn + 1));
  }
}

function meet(heap, word, workers) {
  Atomics.add(heap.i32, word, 1);
  while (Atomics.load(heap.i32, word) < workers);
}

/** Batches of blocks and the record that names them, on a queue. */
function produce(heap, allocator, count, queue) {
  const { i32, u32 } = heap;
  for (let at = 0; at < count; at += 1) {
    while (at - Atomics.load(i32, queue + 16) >= QUEUE);
    const record = allocator.malloc(XMALLOC_BATCH * 4);
    for (let i = 0; i < XMALLOC_BATCH; i += 1) {
      const ptr = allocator.malloc(64);
      u32[ptr >>> 2] = i;
      u32[(record >>> 2) + i] = ptr;
    }
    u32[queue + 32 + (at % QUEUE)] = record;
    Atomics.store(i32, queue, at + 1);
  }
}

function consume(heap, allocator, count, queue) {
  const { i32, u32 } = heap;
  for (let at = 0; at < count; at += 1) {
    while (Atomics.load(i32, queue) <= at);
    const record = u32[queue + 32 + (at % QUEUE)];
    for (let i = 0; i < XMALLOC_BATCH; i += 1) allocator.free(u32[(record >>> 2) + i]);
    allocator.free(record);
    Atomics.store(i32, queue + 16, at + 1);
  }
}

function xmalloc(heap, allocator, { worker, workers }) {
  const queue = heap.root("queue") >>> 2;
  if (workers === 2) return (worker === 0 ? produce : consume)(heap, allocator, XMALLOC_BATCHES, queue);
  for (let at = 0; at < XMALLOC_BATCHES; at += 1) {
    heap.u32.fill(0, queue, queue + 32);
    produce(heap, allocator, 1, queue);
    consume(heap, allocator, 1, queue);
  }
}

/** Sizes 4 to 64 bytes, of those kept to 256, now and then a hundred times that; some go through shared places. */
function mstress(heap, allocator, { worker, workers }) {
  const { u32 } = heap;
  const draw = generator(worker + 7);
  const places = heap.root("places") >>> 2;
  const own = [];
  const kept = [];
  const make = (most) => {
    let words = 2 ** draw(most + 1);
    if (draw(50) === 0) words *= draw(9) === 0 ? 1000 : 100;
    const ptr = allocator.malloc(words * 4);
    u32[ptr >>> 2] = ptr;
    return ptr;
  };
  const end = (ptr) => {
    if (u32[ptr >>> 2] !== ptr) throw new Error(`the block at ${ptr} was written to`);
    allocator.free(ptr);
  };
  for (let left = MSTRESS / workers; left > 0 || own.length > 0;) {
    if (left > 0 && (own.length === 0 || draw(2) === 0)) {
      left -= 1;
      own.push(make(4));
      if (draw(3) === 0) kept.push(make(6));
    } else if (draw(3) < 2) {
      const at = draw(own.length);
      end(own[at]);
      own[at] = own[own.length - 1];
      own.pop();
    } else if (draw(4) === 0) {
      const at = draw(own.length);
      const other = Atomics.exchange(heap.i32, places + draw(SHARED), own[at]) >>> 0;
      if (other === NULL) own.splice(at, 1);
      else own[at] = other;
    }
  }
  for (const ptr of kept) end(ptr);
}

function threadtest(heap, allocator, { workers }) {
  const count = THREADTEST / workers;
  const blocks = new Uint32Array(count);
  for (let round = 0; round < THREADTEST_ROUNDS; round += 1) {
    for (let i = 0; i < count; i += 1) blocks[i] = allocator.malloc(8);
    for (let i = 0; i < count; i += 1) allocator.free(blocks[i]);
  }
}

const JOBS = { larson, xmalloc, mstress, threadtest };

async function work() {
  const heap = await Heap.spawned();
  const allocators = { apf: ApfAllocator.attach(heap, heap.root("apf")), mutex: new Mutexed(heap) };
  parentPort.on("message", ({ job, allocator, go, ...part }) => {
    meet(heap, go, part.workers);
    const begun = performance.now();
    if (job === "batches") batches(allocators[allocator], BATCHES);
    else if (job === "control") control(BATCHES);
    else JOBS[job](heap, allocators[allocator], part);
    parentPort.postMessage(performance.now() - begun);
  });
  parentPort.postMessage("ready");
}

function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >>> 1];
}

async function measure(rounds) {
  const heap = new Heap({ bytes: 1 << 28, shared: true });
  const apf = new ApfAllocator({ backing: heap });
  const mutexed = new Mutexed(heap);
  const root = (name, words) => {
    const ptr = heap.calloc(words, 4);
    heap.setRoot(name, ptr);
    return ptr >>> 2;
  };
  heap.setRoot("apf", apf.handle);
  const slots = root("slots", 2 * SLOTS);
  const queue = root("queue", 32 + QUEUE);
  const places = root("places", SHARED);
  const words = root("words", 64);
  const workers = [1, 2].map(() => heap.spawn(new Worker(new URL(import.meta.url))));
  await Promise.all(workers.map((worker) => once(worker, "message")));
  const run = async (job, allocator, count) => {
    const serving = allocator === "mutex" ? mutexed : apf;
    heap.u32.fill(0, words, words + 64);
    heap.u32.fill(0, queue, queue + 32);
    if (job === "larson") {
      // All slots are filled by someone else, and shuffled over the workers.
      const draw = generator(99);
      for (let at = 0; at < 2 * SLOTS; at += 1) heap.u32[slots + at] = serving.malloc(8 + draw(992));
    }
    const answers = workers.slice(0, count).map((worker, at) => {
      worker.postMessage({ job, allocator, go: words, swap: words + 32, worker: at, workers: count });
      return once(worker, "message");
    });
    const time = Math.max(...(await Promise.all(answers)).map(([one]) => one));
    for (const [from, length] of [
      [slots, 2 * SLOTS],
      [places, SHARED],
    ]) {
      for (let at = from; at < from + length; at += 1) {
        if (heap.u32[at] !== 0) serving.free(heap.u32[at]);
        heap.u32[at] = 0;
      }
    }
    return time;
  };
  const times = {};
  const note = (name, time) => (times[name] ??= []).push(time);
  for (let round = 0; round <= rounds; round += 1) {
    for (const [job, allocator] of [
      ["batches", "apf"],
      ["control", "apf"],
      ["batches", "mutex"],
    ]) {
      const [one, two] = [await run(job, allocator, 1), await run(job, allocator, 2)];
      if (round === 0) continue;
      note(`${job} ${allocator} 1`, one);
      note(`${job} ${allocator} x`, (2 * one) / two);
    }
    for (const job of PATTERNS) {
      for (const allocator of ALLOCATORS) {
        for (const count of [1, 2]) {
          const time = await run(job, allocator, count);
          if (round > 0) note(`${job} ${allocator} ${count}`, time);
        }
      }
    }
  }
  await Promise.all(workers.map((worker) => worker.terminate()));
  apf.check();
  heap.check();
  const perBlock = ((median(times["batches apf 1"]) * 1e6) / (BATCH * BATCHES * 2)).toFixed(1);
  const times2 = (name) => median(times[name]).toFixed(2);
  console.log(
    `private blocks: ${perBlock} ns an operation; two workers get ${times2("batches apf x")} times as much done as one, ` +
      `arrays ${times2("control apf x")}, a mutex ${times2("batches mutex x")}`,
  );
  for (const job of PATTERNS) {
    const at = (allocator, count) => median(times[`${job} ${allocator} ${count}`]);
    console.log(
      `${job.padEnd(10)} apf ${at("apf", 1).toFixed(0)} ms with one worker, ${at("apf", 2).toFixed(0)} with two ` +
        `(${(at("apf", 1) / at("apf", 2)).toFixed(2)} times as fast); a mutex around core's malloc ` +
        `${at("mutex", 1).toFixed(0)} and ${at("mutex", 2).toFixed(0)} ms: apf is ` +
        `${(at("mutex", 1) / at("apf", 1)).toFixed(1)} and ${(at("mutex", 2) / at("apf", 2)).toFixed(1)} times as fast`,
    );
  }
}

if (isMainThread) await measure(Number(process.argv[2] ?? 5));
else await work();
