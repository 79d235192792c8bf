/** The cases that the original would have to pass, by number, with what its code got wrong put right. */
import { asPtr, Heap, NULL, type Ptr } from "@heapwright/core";
import { random, runs, seedFromEnv } from "@heapwright/core/testing";
import { describe, expect, test } from "vitest";

import {
  RM_DEFAULT_HASH_SIZE,
  rm_attach,
  rm_create_state,
  rm_destroy_state,
  rm_detach,
  rm_malloc,
  rm_release,
  rm_retain,
} from "../src/index.ts";
import { hash } from "../src/state.ts";
import { got, Spy, stateOf } from "./made.ts";

test("1: an empty state comes and goes without a trace", () => {
  const heap = new Heap({ bytes: 1 << 20 });
  const state = rm_create_state(RM_DEFAULT_HASH_SIZE, { backing: heap });
  state.check();
  rm_destroy_state(state);
  heap.check();
  expect(heap.stats().liveBlocks).toBe(0);
});

test("2: what is allocated and released is freed just once, and the state is empty", () => {
  const backing = new Spy();
  const state = stateOf(16, { backing });
  const ptr = got(rm_malloc(state, 2048));
  expect(state.count(ptr)).toBe(1);
  rm_release(state, ptr);
  expect(backing.freed).toEqual([ptr]);
  expect(state.stats()).toMatchObject({ pointers: 0, references: 0 });
});

test("3: the last of three references frees", () => {
  const backing = new Spy();
  const state = stateOf(16, { backing });
  const ptr = got(rm_malloc(state, 100));
  rm_retain(state, ptr);
  rm_retain(state, ptr);
  rm_release(state, ptr);
  rm_release(state, ptr);
  expect(backing.freed).toEqual([]);
  rm_release(state, ptr);
  expect(backing.freed).toEqual([ptr]);
});

test("4: a foreign block is attached with one reference, and freed by the state's allocator", () => {
  const backing = new Spy();
  const state = stateOf(16, { backing });
  const ptr = got(backing.malloc(100));
  expect([rm_attach(state, ptr), state.count(ptr)]).toEqual([0, 1]);
  rm_release(state, ptr);
  expect(backing.freed).toEqual([ptr]);
});

test("5: what is detached stays readable, and a later release is ignored", () => {
  const backing = new Spy();
  const state = stateOf(16, { backing });
  const ptr = got(rm_malloc(state, 100));
  state.heap.u32.fill(0x1234_5678, ptr >>> 2, (ptr >>> 2) + 25);
  rm_retain(state, ptr);
  expect(rm_detach(state, ptr)).toBe(1);
  rm_release(state, ptr);
  expect(backing.freed).toEqual([]);
  expect([...state.heap.u32.subarray(ptr >>> 2, (ptr >>> 2) + 25)].every((word) => word === 0x1234_5678)).toBe(true);
  backing.free(ptr);
});

test("6: detach of an only reference gives 0 and frees nothing", () => {
  const backing = new Spy();
  const state = stateOf(16, { backing });
  const ptr = got(rm_malloc(state, 100));
  expect(rm_detach(state, ptr)).toBe(0);
  expect(backing.freed).toEqual([]);
  backing.free(ptr);
});

test("7: unknown pointers and NULL are -1 to detach and nothing to the rest", () => {
  const state = stateOf();
  const known = got(rm_malloc(state, 100));
  for (const ptr of [NULL, asPtr(known + 8), asPtr(8), asPtr(0xffff_fff8)]) {
    rm_retain(state, ptr);
    rm_release(state, ptr);
    expect(rm_detach(state, ptr)).toBe(-1);
  }
  expect([state.count(known), state.stats().references]).toEqual([1, 1]);
  rm_release(state, known);
});

test("8: a second release after the last reference frees nothing", () => {
  const backing = new Spy();
  const state = stateOf(16, { backing });
  const ptr = got(rm_malloc(state, 100));
  rm_release(state, ptr);
  rm_release(state, ptr);
  expect(backing.freed).toEqual([ptr]);
});

test("9: what is tracked is not attached again, and keeps its count", () => {
  const state = stateOf();
  const ptr = got(rm_malloc(state, 100));
  rm_retain(state, ptr);
  expect([rm_attach(state, ptr), state.count(ptr)]).toEqual([-1, 2]);
  rm_release(state, ptr);
  rm_release(state, ptr);
  expect(state.stats().pointers).toBe(0);
});

test("10: out of memory for the block or for its entry: NULL, nothing is tracked, and the block is given back", () => {
  const backing = new Spy();
  const state = stateOf(1, { backing });
  backing.left = 0;
  expect(rm_malloc(state, 100)).toBe(NULL);
  expect(state.stats().pointers).toBe(0);
  // The next table is not to be had: sooner or later an entry finds no room.
  const ptrs: Ptr[] = [];
  const allocated = (): Ptr => {
    backing.left = 1;
    return rm_malloc(state, 16);
  };
  const { liveBlocks } = backing.heap.stats();
  for (let ptr = allocated(); ptr !== NULL; ptr = allocated()) ptrs.push(ptr);
  expect(backing.heap.stats().liveBlocks).toBe(liveBlocks + ptrs.length);
  expect(ptrs.length).toBeGreaterThan(0);
  expect(state.stats().pointers).toBe(ptrs.length);
  state.check();
  backing.left = Infinity;
  for (const ptr of ptrs) rm_release(state, ptr);
});

test("11: destroy leaves what is tracked to its owners, and gives its own back", () => {
  const heap = new Heap({ bytes: 1 << 18 });
  const state = rm_create_state(16, { backing: heap });
  const ptrs = [1, 2, 3].map((size) => got(rm_malloc(state, size * 100)));
  rm_destroy_state(state);
  expect(heap.stats().liveBlocks).toBe(3);
  for (const ptr of ptrs) heap.free(ptr);
});

test("12: two states count the same pointer for themselves", () => {
  const heap = new Heap({ bytes: 1 << 18 });
  const [one, other] = [stateOf(16, { backing: heap }), stateOf(16, { backing: heap })];
  const ptr = got(rm_malloc(one, 100));
  expect(rm_attach(other, ptr)).toBe(0);
  rm_retain(one, ptr);
  expect([one.count(ptr), other.count(ptr)]).toEqual([2, 1]);
  expect([rm_detach(other, ptr), one.count(ptr)]).toEqual([0, 2]);
  rm_release(one, ptr);
  rm_release(one, ptr);
});

describe("13: a table of size 1", () => {
  test.each(["first", "middle", "last"])("works and grows; the %s of many goes", (which) => {
    const state = stateOf(1);
    const ptrs = Array.from({ length: 500 }, () => got(rm_malloc(state, 16)));
    state.check();
    expect(state.stats().pointers).toBe(500);
    const at = { first: 0, middle: 250, last: 499 }[which] ?? 0;
    const [gone = NULL] = ptrs.splice(at, 1);
    rm_release(state, gone);
    expect([state.count(gone), ...ptrs.map((ptr) => state.count(ptr))]).toEqual([0, ...ptrs.map(() => 1)]);
    state.check();
    for (const ptr of ptrs) rm_release(state, ptr);
  });
});

test("14: the hash equals its reference in BigInt, and no two pointers have the same", () => {
  const next = random(seedFromEnv());
  const draw = (): number => Math.floor(next() * 2 ** 32);
  const multipliers = [0x9e37_79b1, 1, 2 ** 32 - 1, ...Array.from({ length: 20 }, () => (draw() | 1) >>> 0)];
  for (const multiplier of multipliers) {
    const draws = Array.from({ length: 5000 }, draw);
    for (const ptr of [0, 1, 8, 16, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 16, 2 ** 32 - 1, ...draws]) {
      const wanted = Number((BigInt(ptr) * BigInt(multiplier)) & 0xffff_ffffn);
      if (hash(ptr, multiplier) !== wanted) throw new Error(`hash(${ptr}, ${multiplier}) is not ${wanted}`);
    }
    const regular = Array.from({ length: 10_000 }, (_, at) => at * 16);
    expect(new Set(regular.map((ptr) => hash(ptr, multiplier))).size).toBe(regular.length);
  }
});

test("15: 10,000 live pointers, retained and released at random, count as a Map does", { timeout: 600_000 }, () => {
  const seed = seedFromEnv();
  const next = random(seed);
  const state = stateOf(RM_DEFAULT_HASH_SIZE);
  const counts = new Map<Ptr, number>();
  const ptrs = Array.from({ length: 10_000 }, () => got(rm_malloc(state, 16)));
  for (const ptr of ptrs) counts.set(ptr, 1);
  for (let i = 0; i < runs(100_000); i += 1) {
    const at = Math.floor(next() * ptrs.length);
    const ptr = ptrs[at] ?? NULL;
    const count = counts.get(ptr) ?? 0;
    if (next() < 0.5 || count === 1) {
      rm_retain(state, ptr);
      counts.set(ptr, count + 1);
    } else {
      rm_release(state, ptr);
      counts.set(ptr, count - 1);
    }
    if (state.count(ptr) !== counts.get(ptr)) throw new Error(`seed ${seed}, operation ${i}: ${state.count(ptr)}`);
  }
  state.check();
  for (const [ptr, count] of counts) {
    expect(rm_detach(state, ptr)).toBe(count - 1);
    state.heap.free(ptr);
  }
});
