/** Random operations against a Map, every invariant proved after each. */
import { asPtr, Heap, NULL, type Ptr } from "@heapwright/core";
import { random, runs, seedFromEnv } from "@heapwright/core/testing";
import { expect, test } from "vitest";

import { rm_attach, RmState } from "../src/index.ts";

interface Known {
  count: number;
  readonly isForeign: boolean;
}

/** A run of one state; `check` says after which operations the invariants are proved. */
function run(seed: number, operations: number, maxLive: number, check: (operation: number) => boolean): number {
  const next = random(seed);
  const heap = new Heap({ bytes: 1 << 16, maxBytes: 1 << 27 });
  const freed: Ptr[] = [];
  const deallocator = (ptr: Ptr): void => void freed.push(ptr);
  const options = { backing: heap, deallocators: [deallocator] };
  let state = new RmState(1 + Math.floor(next() * 50), options);
  const known = new Map<Ptr, Known>();
  const ptrs: Ptr[] = [];
  const forget = (at: number): void => {
    const last = ptrs.pop() ?? NULL;
    if (at < ptrs.length) ptrs[at] = last;
  };
  let done = 0;
  for (let i = 0; i < operations; i += 1) {
    const draw = next();
    const at = Math.floor(next() * ptrs.length);
    const ptr = ptrs[at] ?? NULL;
    const entry = known.get(ptr);
    const where = `seed ${seed}, operation ${i}`;
    if (entry === undefined || (draw < 0.25 && ptrs.length < maxLive)) {
      const isForeign = next() < 0.3;
      const fresh = isForeign
        ? asPtr(2 ** 31 + 8 * Math.floor(next() * 2 ** 20))
        : state.malloc(Math.floor(next() * 60));
      if (known.has(fresh)) {
        if (!isForeign || rm_attach(state, fresh, deallocator) !== -1) throw new Error(`${where}: ${fresh} came twice`);
      } else {
        if (isForeign && !state.attach(fresh, deallocator)) throw new Error(`${where}: no room`);
        known.set(fresh, { count: 1, isForeign });
        ptrs.push(fresh);
      }
    } else if (draw < 0.5) {
      entry.count += 1;
      if (state.retain(ptr) !== entry.count) throw new Error(`${where}: retain(${ptr}) is not ${entry.count}`);
    } else if (draw < 0.93) {
      entry.count -= 1;
      if (state.release(ptr) !== entry.count) throw new Error(`${where}: release(${ptr}) is not ${entry.count}`);
      if (entry.count === 0) {
        if (entry.isForeign && freed.pop() !== ptr)
          throw new Error(`${where}: ${ptr} was not freed by its deallocator`);
        known.delete(ptr);
        forget(at);
      }
    } else if (draw < 0.97) {
      if (state.detach(ptr) !== entry.count - 1) throw new Error(`${where}: detach(${ptr}) is not ${entry.count - 1}`);
      if (!entry.isForeign) heap.free(ptr);
      known.delete(ptr);
      forget(at);
    } else if (draw < 0.98) {
      // Another object goes on.
      state = RmState.attach(heap, state.handle, options);
    } else if (state.count(ptr) !== entry.count || state.count(asPtr(ptr + 4)) !== 0) {
      throw new Error(`${where}: count(${ptr}) is ${state.count(ptr)}, not ${entry.count}`);
    }
    if (freed.length > 0) throw new Error(`${where}: ${freed.length} were freed that should not`);
    if (check(i)) state.check();
    done += 1;
  }
  const tracked = [...state].map(({ ptr, count }) => [ptr, count] as const).sort(([a], [b]) => a - b);
  const wanted = [...known].map(([ptr, { count }]) => [ptr, count] as const).sort(([a], [b]) => a - b);
  expect(tracked).toEqual(wanted);
  const own = [...known].filter(([, { isForeign }]) => !isForeign);
  state.check();
  state.destroy();
  heap.check();
  expect(heap.stats().liveBlocks).toBe(own.length);
  for (const [ptr] of own) heap.free(ptr);
  return done;
}

test("few pointers, proved after every operation", { timeout: 600_000 }, () => {
  const seed = seedFromEnv();
  let done = 0;
  for (let round = 0; round < runs(20); round += 1) done += run(seed + round, 5000, 5 + round * 10, () => true);
  expect(done).toBe(runs(20) * 5000);
});

test("thousands of pointers over a million operations", { timeout: 600_000 }, () => {
  const seed = seedFromEnv() + 1000;
  let done = 0;
  for (let round = 0; round < runs(3); round += 1) {
    done += run(seed + round, 300_000, 10 ** (round % 3) * 100, (operation) => operation % 500 === 0);
  }
  expect(done).toBe(runs(3) * 300_000);
});
