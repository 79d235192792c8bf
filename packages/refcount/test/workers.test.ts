/** A state in a shared heap, handed from agent to agent, one of which dies now and then in the middle. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";

import { Heap, type Ptr, type SharedHeap } from "@heapwright/core";
import { runs, seedFromEnv } from "@heapwright/core/testing";
import { expect, test } from "vitest";

import { RmState } from "../src/index.ts";
import { RM_STATE } from "../src/state.ts";
import { got } from "./made.ts";

const options = { deallocators: [(): void => {}] };

function made(): { heap: SharedHeap; state: RmState; given: Ptr[] } {
  const heap = new Heap({ bytes: 1 << 18, maxBytes: 1 << 26, shared: true });
  const state = new RmState(16, { ...options, backing: heap });
  heap.setRoot("state", state.handle);
  const given = Array.from({ length: 200 }, (_, at) => got(state.malloc(at)));
  for (const ptr of given.slice(0, 100)) state.retain(ptr);
  return { heap, state, given };
}

async function start(heap: SharedHeap): Promise<Worker> {
  const worker = heap.spawn(new Worker(new URL("fixtures/state.worker.mjs", import.meta.url)));
  await once(worker, "message");
  return worker;
}

const countsOf = (state: RmState, ptrs: readonly Ptr[]): number[] => ptrs.map((ptr) => state.count(ptr));

test("agents take turns with one state, and each sees what the others have done", { timeout: 600_000 }, async () => {
  const { heap, state, given } = made();
  const before = countsOf(state, given);
  const workers = await Promise.all([start(heap), start(heap)]);
  for (let round = 0; round < runs(6); round += 1) {
    const worker = workers[round % 2]!;
    worker.postMessage({ seed: seedFromEnv() + round, count: 3000, given });
    expect(await once(worker, "message")).toEqual([{ isAllClosed: true }]);
    // The cursor that was there all the time.
    expect(countsOf(state, given)).toEqual(before);
    expect(state.stats()).toMatchObject({ pointers: 200, references: 300 });
    state.check();
    heap.check();
  }
  for (const ptr of given) while (state.release(ptr) > 0);
  state.destroy();
  await Promise.all(workers.map((worker) => worker.terminate()));
  expect(heap.stats().liveBlocks).toBe(0);
});

test("an agent dies in the middle: who takes over recovers the state", { timeout: 600_000 }, async () => {
  const { heap, given } = made();
  let torn = 0;
  for (let round = 0; round < runs(10); round += 1) {
    const worker = await start(heap);
    worker.postMessage({ seed: seedFromEnv() + round, count: 1e9, given });
    // Not before it is at work.
    const usedWord = (heap.root("state") + RM_STATE.offsets.used) >>> 2;
    const used = heap.u32[usedWord]!;
    do await new Promise((resolve) => setTimeout(resolve, 1 + (round % 3)));
    while (heap.u32[usedWord] === used);
    await worker.terminate();
    const state = RmState.attach(heap, heap.root("state"), options);
    state.recover();
    state.check();
    heap.check();
    // What it was given has one reference more; what it had of its own is there to be found.
    for (const [at, count] of countsOf(state, given).entries()) expect([1, 2]).toContain(count - (at < 100 ? 1 : 0));
    const known = new Set(given);
    const left = [...state].filter(({ ptr }) => !known.has(ptr));
    if (left.length > 0) torn += 1;
    for (const { ptr, count } of left) for (let i = 0; i < count; i += 1) state.release(ptr);
    for (const [at, ptr] of given.entries()) while (state.count(ptr) > (at < 100 ? 2 : 1)) state.release(ptr);
    expect(state.stats()).toMatchObject({ pointers: 200, references: 300 });
  }
  expect(torn).toBeGreaterThan(0);
});
