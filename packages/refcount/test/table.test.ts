import { asPtr, Heap, type Ptr } from "@heapwright/core";
import { allowLive, random, runs, seedFromEnv } from "@heapwright/core/testing";
import { expect, test } from "vitest";

import { RmState } from "../src/index.ts";
import { homeOf, slotOf, tableOf } from "../src/table.ts";
import { RM_STATE, RM_TABLE } from "../src/state.ts";
import { stateOf } from "./made.ts";

/** 1 over the multiplier of a first table, modulo 2^32: pointers that are small multiples of it have the same home. */
const INVERSE = 0x0e8b_2f51;

const multiplierOf = (state: RmState): number =>
  RM_TABLE.get.multiplier(state.heap, RM_STATE.get.table(state.heap, state.handle));

function detachAll(state: RmState): void {
  for (const { ptr } of state) state.detach(ptr);
}

test("the table holds the homes that were asked for, or the next number of them that there is", () => {
  for (const [asked, homes] of [
    [1, 8],
    [8, 8],
    [9, 9],
    [16, 16],
    [17, 18],
    [1000, 1024],
    [4096, 4096],
    [4097, 4608],
    [100_000, 106_496],
  ] as const) {
    const state = new RmState(asked, { backing: new Heap({ bytes: 1 << 20 }) });
    expect(state.stats().homes, String(asked)).toBe(homes);
    state.check();
    state.destroy();
  }
});

test("homes share pointers evenly, and in the order of their hashes", () => {
  const state = stateOf(13 * 64);
  const table = tableOf(state.heap.u32, state.control);
  const { multiplier } = table;
  const counts = new Uint32Array(table.homes);
  let last = -1;
  for (let hashed = 0; hashed < 2 ** 32; hashed += 2 ** 32 / (table.homes * 16)) {
    const ptr = Math.imul(Math.floor(hashed), INVERSE) >>> 0;
    const home = (homeOf(table, ptr) - table.first) / 2;
    expect(home).toBe(Number((BigInt(Math.imul(ptr, multiplier) >>> 0) * BigInt(table.homes)) / 2n ** 32n));
    expect(home).toBeGreaterThanOrEqual(last);
    last = home;
    counts[home]! += 1;
  }
  expect(last).toBe(table.homes - 1);
  expect(Math.min(...counts)).toBeGreaterThanOrEqual(15);
  expect(Math.max(...counts)).toBeLessThanOrEqual(17);
});

test("what a cursor finds by itself is what the table says", () => {
  const next = random(seedFromEnv());
  const state = stateOf(8);
  for (let i = 0; i < runs(20_000); i += 1) {
    const ptr = asPtr(1 + Math.floor(next() * 2 ** (3 + (i % 30))));
    if (state.count(ptr) === 0) state.attach(ptr);
    else state.detach(ptr);
    const { u32 } = state.heap;
    const slot = slotOf(u32, tableOf(u32, state.control), ptr);
    if (u32[slot] !== ptr || state.slotOf(u32, ptr) !== slot) throw new Error(`${ptr} stands at ${slot}`);
  }
  state.check();
  detachAll(state);
  expect(state.stats().pointers).toBe(0);
});

test("pointers that crowd in one table are moved to another of its size, where they do not", () => {
  const state = stateOf(4096);
  const first = multiplierOf(state);
  for (let i = 1; i <= 1000; i += 1) state.attach(asPtr(Math.imul(i, INVERSE) >>> 0));
  state.check();
  expect(multiplierOf(state)).not.toBe(first);
  expect(state.stats()).toMatchObject({ pointers: 1000, homes: 4096 });
  expect(state.stats().longestProbe).toBeLessThan(20);
  detachAll(state);
});

test("blocks at regular distances stand near their homes, whatever the distance", () => {
  let longest = 0;
  let worst = 0;
  for (const unit of [1, 8, 24, 4096, 65_536]) {
    for (let distance = unit; distance <= 150 * unit && distance * 1500 < 2 ** 32; distance += unit) {
      const state = new RmState(1024, { backing: new Heap({ bytes: 1 << 17 }) });
      for (let i = 1; i <= 1500; i += 1) state.attach(asPtr(i * distance));
      longest = Math.max(longest, state.stats().longestProbe);
      const { u32 } = state.heap;
      const table = tableOf(u32, state.control);
      let slots = 0;
      for (const { ptr } of state) slots += (slotOf(u32, table, ptr) - homeOf(table, ptr)) / 2;
      worst = Math.max(worst, slots / 1500);
      state.destroy();
    }
  }
  expect(longest).toBeLessThanOrEqual(64);
  // At random it is 0.4; a table that was filled further since it was made may have some more.
  expect(worst).toBeLessThan(8);
});

test("slots that wait for their pointers are cleared: the table does not grow by pointers that come and go", () => {
  const next = random(seedFromEnv());
  const state = stateOf(256);
  const { homes, takenBytes } = state.stats();
  const live: Ptr[] = [];
  for (let i = 0; i < runs(50_000); i += 1) {
    const ptr = asPtr(8 * (1 + Math.floor(next() * 2 ** 28)));
    if (state.count(ptr) === 0 && state.attach(ptr)) live.push(ptr);
    if (live.length > 80) state.detach(live.splice(Math.floor(next() * live.length), 1)[0]!);
    if (i % 50 === 0) state.check();
  }
  expect(state.stats()).toMatchObject({ homes, takenBytes, pointers: 80 });
  expect([...state].map(({ ptr }) => ptr).sort((a, b) => a - b)).toEqual([...live].sort((a, b) => a - b));
  detachAll(state);
});

test("where there is no memory for a larger table, one that can be cleared goes on", () => {
  allowLive();
  const heap = new Heap({ bytes: 8192 });
  const state = new RmState(16, { backing: heap });
  const live = Array.from({ length: 7 }, (_, at) => asPtr(8 * (at + 1)));
  for (const ptr of live) state.attach(ptr);
  // All memory is used up.
  for (let size = 4096; size >= 8; size /= 2) while (heap.malloc(size) !== 0) size += 0;
  for (let i = 0; i < 1000; i += 1) {
    state.detach(live.shift()!);
    const ptr = asPtr(8 * (i + 100));
    expect(state.attach(ptr)).toBe(true);
    live.push(ptr);
    state.check();
  }
  expect(state.attach(asPtr(8))).toBe(false);
  expect(live.every((ptr) => state.count(ptr) === 1)).toBe(true);
});
