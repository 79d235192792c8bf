/** The document's thread safety, under real workers: pools that they share, counts, copies on write, and deaths. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";

import { asPtr, Heap, NULL, type Ptr, type SharedHeap } from "@heapwright/core";
import { runs, seedFromEnv } from "@heapwright/core/testing";
import { describe, expect, test } from "vitest";

import { MemoryPointer, MemoryPool, type PoolOptions } from "../src/index.ts";

const PLACES = 128;

function made(options: PoolOptions = {}): { heap: SharedHeap; pool: MemoryPool; places: Ptr } {
  const heap = new Heap({ bytes: 1 << 18, maxBytes: 1 << 26, shared: true });
  const pool = new MemoryPool(16, { backing: heap, debug: false, ...options });
  const places = heap.calloc(PLACES, 4);
  heap.setRoot("pool", pool.handle);
  heap.setRoot("places", places);
  return { heap, pool, places };
}

async function start(heap: SharedHeap): Promise<Worker> {
  const worker = heap.spawn(new Worker(new URL("fixtures/pool.worker.mjs", import.meta.url)));
  await once(worker, "message");
  return worker;
}

async function asked<T>(worker: Worker, message: object): Promise<T> {
  worker.postMessage(message);
  const [answer] = (await once(worker, "message")) as [T];
  return answer;
}

function allocated(pool: MemoryPool, name: string, size: number): MemoryPointer {
  const pointer = new MemoryPointer(name, size, { backing: pool.backing });
  expect(pointer.allocate(size, pool)).toBe(true);
  return pointer;
}

/** Destroys what is in the ring, which is all that is in use if nobody has died. */
function empty(heap: SharedHeap, places: Ptr): void {
  for (let place = places >>> 2; place < (places >>> 2) + PLACES; place += 1) {
    const handle = asPtr(heap.u32[place]!);
    heap.u32[place] = 0;
    if (handle !== NULL) MemoryPointer.attach(heap, handle).destroy();
  }
}

test("a container that two workers share is copied by the one that writes", { timeout: 60_000 }, async () => {
  const { heap, pool } = made();
  const mine = allocated(pool, "mine", 100);
  const data = mine.container!.data;
  heap.u32[data >>> 2] = 42;
  const [theirs, others] = [mine.share("theirs"), mine.share("others")];
  expect(mine.container!.ref_count).toBe(3);
  const workers = await Promise.all([start(heap), start(heap)]);
  const [worker, other] = workers as [Worker, Worker];
  const seen = { before: 42, kept: 42, refs: 1 };
  expect(await asked(worker, { way: "write", handle: theirs.handle, value: 43 })).toEqual({ ...seen, value: 43 });
  expect([heap.u32[data >>> 2], mine.container!.ref_count, pool.count]).toEqual([42, 2, 2]);
  expect(await asked(other, { way: "write", handle: others.handle, value: 44 })).toEqual({ ...seen, value: 44 });
  // Now it is only ours, and to be written in place.
  expect(mine.write()).toBe(true);
  expect([mine.container!.data, mine.container!.ref_count, pool.count]).toEqual([data, 1, 3]);
  const found = [mine, theirs, others].map((pointer) => heap.u32[pointer.container!.data >>> 2]);
  expect(found).toEqual([42, 43, 44]);
  pool.check();
  for (const pointer of [mine, theirs, others]) pointer.destroy();
  await Promise.all(workers.map((one) => one.terminate()));
  expect(pool.stats()).toMatchObject({ liveContainers: 0, orphans: 3 });
  pool.destroy();
  expect(heap.stats().liveBlocks).toBe(1);
});

test("a count that workers change at once loses nothing", { timeout: 120_000 }, async () => {
  const { heap, pool } = made();
  const mine = allocated(pool, "mine", 64);
  const shares = [1, 2, 3].map((at) => mine.share(`theirs_${at}`));
  const workers = await Promise.all(shares.map(() => start(heap)));
  const count = 2000 * Math.ceil(runs(1));
  const answers = workers.map((worker, at) => asked(worker, { way: "count", handle: shares[at]!.handle, count }));
  await Promise.all(answers);
  expect(mine.container!.ref_count).toBe(4);
  for (const share of shares) share.destroy();
  expect([mine.container!.ref_count, pool.count]).toEqual([1, 1]);
  pool.check();
  await Promise.all(workers.map((worker) => worker.terminate()));
  mine.destroy();
  pool.destroy();
  heap.check();
  expect(heap.stats().liveBlocks).toBe(1);
});

describe.each([
  ["orphans kept", {}],
  ["orphans destroyed", { orphans: "destroy" }],
  ["debug", { debug: true }],
] as [string, PoolOptions][])("%s", (_, options) => {
  test("workers make and destroy each other's pointers, and nothing is lost", { timeout: 600_000 }, async () => {
    const { heap, pool, places } = made(options);
    const workers = await Promise.all([start(heap), start(heap), start(heap)]);
    for (let round = 0; round < runs(2); round += 1) {
      const answers = workers.map((worker, at) =>
        asked<number>(worker, { way: "pass", seed: seedFromEnv() + round * 3 + at, count: 1500 }),
      );
      expect(await Promise.all(answers)).toEqual([0, 0, 0]);
      pool.check();
      heap.check();
    }
    empty(heap, places);
    expect(pool.stats()).toMatchObject({ liveContainers: 0, orphans: pool.count });
    await Promise.all(workers.map((worker) => worker.terminate()));
    pool.destroy();
    // The ring.
    expect(heap.stats().liveBlocks).toBe(1);
  });

  test("workers die in the middle, and the pool goes on", { timeout: 600_000 }, async () => {
    const { heap, pool, places } = made(options);
    const steady = await start(heap);
    let deaths = 0;
    for (let round = 0; round < runs(6); round += 1) {
      const victim = await start(heap);
      victim.postMessage({ way: "pass", seed: seedFromEnv() - round, count: 1e9 });
      expect(await asked(steady, { way: "pass", seed: seedFromEnv() + round, count: 300 })).toBe(0);
      await victim.terminate();
      deaths += 1;
      pool.check();
      heap.check();
    }
    empty(heap, places);
    // In flight with each death: what it was just making, its copy, and what it had taken out of the ring.
    expect(pool.stats().liveContainers).toBeLessThanOrEqual(3 * deaths);
    await steady.terminate();
    pool.destroy();
    heap.check();
    expect(heap.stats().liveBlocks).toBeLessThanOrEqual(1 + 4 * deaths);
  });
});

test("a stack that overflows leaves the lock free and the pool sound", { timeout: 600_000 }, async () => {
  let deaths = 0;
  for (const debug of [false, true]) {
    for (const call of ["allocate", "write", "stats", "trim", "grow", "destroy"]) {
      const { heap, pool } = made({ debug });
      const worker = heap.spawn(new Worker(new URL("fixtures/overflow.worker.mjs", import.meta.url)));
      await once(worker, "message");
      type Answer = { overflows: number; heldStill: number; left: number };
      const { overflows, heldStill, left } = await asked<Answer>(worker, { call });
      expect([call, heldStill, left]).toEqual([call, 0, 0]);
      expect(overflows).toBeGreaterThan(0);
      deaths += heap.lock.deaths;
      pool.check();
      heap.check();
      await worker.terminate();
      pool.destroy();
    }
  }
  // Otherwise it has never overflowed under the lock, and the test shows nothing.
  expect(deaths).toBeGreaterThan(0);
});
