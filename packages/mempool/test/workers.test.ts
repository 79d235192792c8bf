/** The document's "thread-safe", under real workers, which free each other's blocks, and of which some die. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";

import { Heap, NULL, type Ptr, type SharedHeap } from "@heapwright/core";
import { runs, seedFromEnv } from "@heapwright/core/testing";
import { describe, expect, test } from "vitest";

import { Mempool } from "../src/index.ts";

const PLACES = 256;
const BLOCK_BYTES = 48;
const COUNT = 20_000;

interface Made {
  readonly heap: SharedHeap;
  readonly pool: Mempool;
  readonly places: Ptr;
}

/** A pool in which the ring's blocks have room, though not always in one piece. */
function made(magazine: number): Made {
  const heap = new Heap({ bytes: 1 << 18, maxBytes: 1 << 20, shared: true });
  const pool = new Mempool(PLACES * 3 * BLOCK_BYTES, BLOCK_BYTES, { backing: heap, magazine });
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

async function work(worker: Worker, seed: number, count: number): Promise<{ wrong: number; served: number }> {
  worker.postMessage({ seed, count });
  const [answer] = (await once(worker, "message")) as [{ wrong: number; served: number }];
  return answer;
}

/** Frees what the ring holds. */
function settle({ heap, pool, places }: Made): void {
  for (let place = places >>> 2; place < (places >>> 2) + PLACES; place += 1) {
    pool.free(heap.u32[place] as Ptr);
    heap.u32[place] = 0;
  }
}

/** All blocks can be had, each once. */
function expectWhole({ pool }: Made): void {
  const { blockCount } = pool.stats();
  const blocks = new Set(Array.from({ length: blockCount }, () => pool.malloc(1)));
  expect(blocks.size).toBe(blockCount);
  expect(blocks.has(NULL)).toBe(false);
  for (const ptr of blocks) pool.free(ptr);
}

for (const magazine of [0, 16]) {
  describe(`magazines of ${magazine}`, () => {
    test(
      "mempool_alloc, mempool_calloc, mempool_realloc, mempool_free, thread safe: yes: nothing is lost",
      { timeout: 600_000 },
      async () => {
        const all = made(magazine);
        const { heap, pool } = all;
        const workers = await Promise.all([start(heap), start(heap), start(heap)]);
        const seed = seedFromEnv();
        for (let round = 0; round < runs(2); round += 1) {
          const answers = await Promise.all(workers.map((worker, at) => work(worker, seed + round * 3 + at, COUNT)));
          expect(answers.map(({ wrong }) => wrong)).toEqual([0, 0, 0]);
          for (const { served } of answers) expect(served).toBeGreaterThan(COUNT / 8);
          pool.check();
          heap.check();
        }
        settle(all);
        expect(pool.stats().liveBlocks).toBe(0);
        await Promise.all(workers.map((worker) => worker.terminate()));
        expectWhole(all);
        pool.destroy();
        heap.check();
      },
    );

    test("thread safe: yes: workers die in the middle, and the pool goes on", { timeout: 600_000 }, async () => {
      const all = made(magazine);
      const { heap, pool } = all;
      const seed = seedFromEnv();
      const steady = await start(heap);
      const deaths = runs(10);
      for (let round = 0; round < deaths; round += 1) {
        const victim = await start(heap);
        const answer = work(steady, seed + round, COUNT / 4);
        victim.postMessage({ seed: seed - round, count: 1e9 });
        // A worker that is held up in the middle of a push is no damage.
        for (let look = 0; look < 50; look += 1) pool.check();
        expect((await answer).wrong).toBe(0);
        await victim.terminate();
        pool.check();
        heap.check();
      }
      // The blocks that the dead were about to put into the ring or to free, and one on its way into a magazine, are lost.
      settle(all);
      const { liveBlocks } = pool.stats();
      expect(liveBlocks).toBeLessThanOrEqual(3 * deaths);
      await steady.terminate();
      const left = [...pool.blocks()].filter(({ state }) => state === "live");
      for (const { ptr } of left) pool.free(ptr);
      expectWhole(all);
      pool.destroy();
      heap.check();
    });
  });
}
