/** Both pools under real workers, which free each other's blocks, and of which some die. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";

import { Heap, NULL, type Ptr, type SharedHeap } from "@heapwright/core";
import { runs, seedFromEnv } from "@heapwright/core/testing";
import { expect, test } from "vitest";

import { FixedMemPool, VariadicMemPool } from "../src/index.ts";

const PLACES = 512;
const COUNT = 20_000;

function made(): { heap: SharedHeap; fixed: FixedMemPool; variadic: VariadicMemPool; places: Ptr } {
  const heap = new Heap({ bytes: 1 << 18, maxBytes: 1 << 26, shared: true });
  const fixed = new FixedMemPool(48, 64, { backing: heap });
  const variadic = new VariadicMemPool(8192, 20, { backing: heap });
  const places = heap.calloc(PLACES, 4);
  heap.setRoot("fixed", fixed.handle);
  heap.setRoot("variadic", variadic.handle);
  heap.setRoot("places", places);
  return { heap, fixed, variadic, places };
}

async function start(heap: SharedHeap): Promise<Worker> {
  const worker = heap.spawn(new Worker(new URL("fixtures/pools.worker.mjs", import.meta.url)));
  await once(worker, "message");
  return worker;
}

/** What the ring holds at the end is all that is live. */
function settle(fixed: FixedMemPool, variadic: VariadicMemPool, places: Ptr): void {
  const { heap } = fixed;
  for (let place = places >>> 2; place < (places >>> 2) + PLACES; place += 1) {
    const ptr = heap.u32[place] as Ptr;
    if (ptr !== NULL) ((heap.u32[ptr >>> 2]! & 1) === 1 ? fixed : variadic).free(ptr);
  }
}

test("workers free each other's blocks, and nothing is lost", { timeout: 600_000 }, async () => {
  const { heap, fixed, variadic, places } = made();
  const workers = await Promise.all([start(heap), start(heap), start(heap)]);
  const seed = seedFromEnv();
  for (let round = 0; round < runs(3); round += 1) {
    workers.forEach((worker, at) => worker.postMessage({ seed: seed + round * 3 + at, count: COUNT }));
    const wrong = await Promise.all(workers.map(async (worker) => ((await once(worker, "message")) as [number])[0]));
    expect(wrong).toEqual([0, 0, 0]);
    fixed.check();
    variadic.check();
    heap.check();
  }
  settle(fixed, variadic, places);
  expect([fixed.stats().liveBlocks, variadic.stats().liveBlocks]).toEqual([0, 0]);
  await Promise.all(workers.map((worker) => worker.terminate()));
  // All that they held can be handed out again, to one agent.
  const { freeBytes, buffers } = fixed.stats();
  for (let left = freeBytes / 48; left > 0; left -= 1) expect(fixed.malloc()).not.toBe(NULL);
  expect(fixed.stats()).toMatchObject({ freeBytes: 0, buffers });
});

test("workers die in the middle, and the pools go on", { timeout: 600_000 }, async () => {
  const { heap, fixed, variadic, places } = made();
  const seed = seedFromEnv();
  const steady = await start(heap);
  let deaths = 0;
  for (let round = 0; round < runs(12); round += 1) {
    const victim = await start(heap);
    steady.postMessage({ seed: seed + round, count: COUNT / 4 });
    victim.postMessage({ seed: seed - round, count: 1e9 });
    await once(steady, "message");
    await victim.terminate();
    deaths += 1;
    fixed.check();
    variadic.check();
    heap.check();
  }
  settle(fixed, variadic, places);
  // One block in flight for each death, and one that was swapped out of the ring and not freed yet.
  const lost = fixed.stats().liveBlocks + variadic.stats().liveBlocks;
  expect(lost).toBeLessThanOrEqual(2 * deaths);
  await steady.terminate();
  fixed.destroy();
  variadic.destroy();
  heap.check();
});

test("a stack that overflows leaves the lock free and the pools sound", { timeout: 600_000 }, async () => {
  let deaths = 0;
  for (const task of [
    { root: "fixed", name: "malloc", size: 48 },
    { root: "fixed", name: "stats" },
    { root: "variadic", name: "malloc", size: 100 },
    { root: "variadic", name: "check" },
  ]) {
    const { heap, fixed, variadic } = made();
    const worker = heap.spawn(new Worker(new URL("fixtures/overflow.worker.mjs", import.meta.url)));
    await once(worker, "message");
    worker.postMessage(task);
    const [{ overflows, heldStill }] = (await once(worker, "message")) as [{ overflows: number; heldStill: number }];
    expect([task, heldStill]).toEqual([task, 0]);
    expect(overflows).toBeGreaterThan(0);
    deaths += heap.lock.deaths;
    fixed.check();
    variadic.check();
    heap.check();
    await worker.terminate();
  }
  // Otherwise it has never overflowed under the lock, and the test shows nothing.
  expect(deaths).toBeGreaterThan(0);
});
