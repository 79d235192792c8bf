/** The allocator under real workers, which free each other's blocks, and of which some die. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";

import { Heap, NULL, type Ptr, type SharedHeap } from "@heapwright/core";
import { random, runs, seedFromEnv } from "@heapwright/core/testing";
import { expect, test } from "vitest";

import { ApfAllocator } from "../src/index.ts";

const RING_WORDS = 1024 + 32;
const SHARED = 1000;
const SLOTS = 500;
const TIME = { timeout: 600_000 };
const NOTHING = { liveBlocks: 0, cachedBlocks: 0, freeBytes: 0, superblocks: 0 };

interface Scene {
  readonly heap: SharedHeap;
  readonly apf: ApfAllocator;
  /** Blocks that anyone may swap for his own. */
  readonly shared: Ptr;
}

function made(): Scene {
  const heap = new Heap({ bytes: 1 << 18, maxBytes: 1 << 27, shared: true });
  const apf = new ApfAllocator({ backing: heap });
  const shared = heap.calloc(SHARED, 4);
  heap.setRoot("apf", apf.handle);
  heap.setRoot("shared", shared);
  heap.setRoot("ring", heap.calloc(2 * RING_WORDS, 4));
  return { heap, apf, shared };
}

async function start(heap: SharedHeap): Promise<Worker> {
  const worker = heap.spawn(new Worker(new URL("fixtures/patterns.worker.mjs", import.meta.url)));
  await once(worker, "message");
  return worker;
}

/** Has each worker play its part. Returns how much of what they found was wrong. */
async function play(workers: readonly Worker[], parts: readonly object[]): Promise<number> {
  workers.forEach((worker, at) => worker.postMessage(parts[at]));
  const wrong = await Promise.all(workers.map(async (worker) => ((await once(worker, "message")) as [number])[0]));
  return wrong.reduce((sum, count) => sum + count, 0);
}

/** Frees what stands in some words. */
function freeAll({ heap, apf }: Scene, words: number, count: number): void {
  for (let word = words; word < words + count; word += 1) {
    const ptr = heap.u32[word] as Ptr;
    if (ptr !== NULL) apf.free(ptr);
    heap.u32[word] = 0;
  }
}

/** Ends everything. Returns what is live, and what is held when the workers are gone. */
async function settle({ heap, apf }: Scene, workers: readonly Worker[]): Promise<object> {
  apf.check();
  heap.check();
  const { liveBlocks } = apf.stats();
  await Promise.all(workers.map((worker) => worker.terminate()));
  apf.flush();
  apf.check();
  const { cachedBlocks, freeBytes, superblocks } = apf.stats();
  apf.destroy();
  heap.check();
  return { liveBlocks, cachedBlocks, freeBytes, superblocks };
}

test("threadtest: each worker for itself", TIME, async () => {
  const scene = made();
  const workers = await Promise.all([1, 2, 3].map(() => start(scene.heap)));
  const parts = workers.map((_, seed) => ({ pattern: "threadtest", seed, count: 5000, rounds: runs(20) }));
  expect(await play(workers, parts)).toBe(0);
  expect(await settle(scene, workers)).toEqual(NOTHING);
});

test("xmalloc: one allocates, the other frees, both ways at once", TIME, async () => {
  const scene = made();
  const workers = await Promise.all([1, 2, 3, 4].map(() => start(scene.heap)));
  const seed = seedFromEnv();
  for (let round = 0; round < 4; round += 1) {
    const count = runs(15_000);
    const parts = [0, 1].flatMap((pair) => {
      const roles = round % 2 === 0 ? ["produce", "consume"] : ["consume", "produce"];
      return roles.map((pattern) => ({ pattern, seed: seed + round, count, pair, size: round < 2 ? 64 : -1 }));
    });
    expect(await play(workers, parts)).toBe(0);
    scene.apf.check();
    expect(scene.apf.stats().liveBlocks).toBe(0);
    scene.heap.u32.fill(0, scene.heap.root("ring") >>> 2, (scene.heap.root("ring") >>> 2) + 2 * RING_WORDS);
  }
  // What was freed is handed out again: the heap does not grow with what was passed on.
  expect(scene.apf.stats().takenBytes).toBeLessThan(1 << 24);
  expect(await settle(scene, workers)).toEqual(NOTHING);
});

test("larson: slots go from worker to worker, blocks with them", TIME, async () => {
  const scene = made();
  const { heap } = scene;
  const workers = await Promise.all([1, 2, 3].map(() => start(heap)));
  const slots = heap.calloc(3 * SLOTS, 4) >>> 2;
  const seed = seedFromEnv();
  for (let round = 0; round < 6; round += 1) {
    const part = (at: number): object => {
      const base = slots + ((at + round) % 3) * SLOTS;
      return { pattern: "larson", seed: seed + round * 3 + at, slots: SLOTS, base, count: runs(5000) };
    };
    expect(
      await play(
        workers,
        workers.map((_, at) => part(at)),
      ),
    ).toBe(0);
    scene.apf.check();
  }
  freeAll(scene, slots, 3 * SLOTS);
  expect(await settle(scene, workers)).toEqual(NOTHING);
});

test("mstress: rounds with fresh workers, and blocks that outlive them", TIME, async () => {
  const scene = made();
  const next = random(seedFromEnv());
  for (let round = 0; round < 4; round += 1) {
    const workers = await Promise.all([1, 2, 3].map(() => start(scene.heap)));
    const parts = workers.map((_, at) => ({
      pattern: "mstress",
      seed: next() * 2 ** 32,
      count: runs(2000) * (at + 1),
    }));
    expect(await play(workers, parts)).toBe(0);
    scene.apf.check();
    // Half of what is shared survives.
    freeAll(scene, scene.shared >>> 2, SHARED / 2);
    await Promise.all(workers.map((worker) => worker.terminate()));
    scene.apf.check();
    scene.heap.check();
  }
  freeAll(scene, scene.shared >>> 2, SHARED);
  expect(await settle(scene, [])).toEqual(NOTHING);
});

test("workers die in the middle, and nothing is lost but what was in flight", TIME, async () => {
  const scene = made();
  const { heap, apf } = scene;
  const next = random(seedFromEnv());
  const slots = heap.calloc(SLOTS, 4) >>> 2;
  const steady = await start(heap);
  let deaths = 0;
  for (let round = 0; round < runs(10); round += 1) {
    const victim = await start(heap);
    victim.postMessage({ pattern: "larson", seed: next() * 2 ** 32, slots: SLOTS / 2, base: slots, count: 1e9 });
    const part = { pattern: "larson", seed: next() * 2 ** 32, slots: SLOTS / 2, base: slots + SLOTS / 2, count: 8000 };
    expect(await play([steady], [part])).toBe(0);
    await victim.terminate();
    deaths += 1;
    apf.check();
    heap.check();
    // Of a block that was freed and not replaced yet, or replaced and not noted yet, the slot does not tell.
    const live = new Set([...apf.blocks()].filter(({ state }) => state === "live").map(({ ptr }) => ptr as number));
    for (let word = slots; word < slots + SLOTS / 2; word += 1) {
      const ptr = heap.u32[word]!;
      if (ptr !== 0 && live.has(ptr)) apf.free(ptr as Ptr);
      heap.u32[word] = 0;
    }
  }
  freeAll(scene, slots, SLOTS);
  const lost = [...apf.blocks()].filter(({ state }) => state === "live");
  expect(lost.length).toBeLessThanOrEqual(deaths);
  for (const { ptr } of lost) apf.free(ptr);
  expect(await settle(scene, [steady])).toEqual(NOTHING);
});
