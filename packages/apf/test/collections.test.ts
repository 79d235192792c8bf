/** The collections against those of the language, with what the original got wrong. */
import { f64, struct, u16, u32, u8 } from "@heapwright/core";
import { random, runs, seedFromEnv } from "@heapwright/core/testing";
import { describe, expect, test } from "vitest";

import { Array as HeapArray, ArrayDeque, HashMap, HashSet } from "../src/collections/index.ts";
import { code, heapOf, same } from "./made.ts";

describe("Array", () => {
  test("is a list", () => {
    using array = new HeapArray(u16, { backing: heapOf() });
    for (const value of [5, 6, 7, 8]) array.push(value);
    expect([...array]).toEqual([5, 6, 7, 8]);
    expect(array.pop()).toBe(8);
    array.swap(0, 2);
    expect([...array.iter()]).toEqual([7, 6, 5]);
    array.swap(1, 1);
    expect(array.remove(0)).toBe(7);
    expect([array.get(0), array.get(1), array.get(2)]).toEqual([6, 5, undefined]);
    array.set(1, 9);
    expect([...array]).toEqual([6, 9]);
    array.clear();
    expect([array.length, array.pop()]).toEqual([0, undefined]);
    for (const act of [() => array.set(0, 1), () => array.remove(0), () => array.swap(0, 0), () => array.get(-1)]) {
      expect(act).toThrow(code("ERR_INVALID_ARGUMENT"));
    }
  });

  test("grows, and keeps what it has and its region when it is cleared", () => {
    const heap = heapOf();
    using array = new HeapArray(u32, { backing: heap });
    for (let i = 0; i < 10_000; i += 1) array.push(i);
    expect([...array].every((value, i) => value === i)).toBe(true);
    const { capacity } = array;
    const { liveBytes } = heap.stats();
    array.clear();
    for (let i = 0; i < 10_000; i += 1) array.push(i);
    expect(array.capacity).toBe(capacity);
    expect(heap.stats().liveBytes).toBe(liveBytes);
  });

  test("of a size, with a capacity, and bits in bytes", () => {
    const backing = heapOf();
    using bits = HeapArray.of_size(u8, 3, { backing });
    expect([...bits]).toEqual([0, 0, 0]);
    for (const bit of [0, 7, 9, 23]) bits.set_bit(bit, true);
    expect([bits.get_byte(0), bits.get_byte(1), bits.get_byte(2)]).toEqual([0x81, 0x02, 0x80]);
    bits.set_bit(7, false);
    expect([bits.get_bit(0), bits.get_bit(7)]).toEqual([true, false]);
    expect(() => bits.get_bit(24)).toThrow(code("ERR_INVALID_ARGUMENT"));
    expect(() => bits.get_byte(3)).toThrow(code("ERR_INVALID_ARGUMENT"));
    using words = HeapArray.with_capacity(u32, 100, { backing });
    expect([words.length, words.capacity]).toEqual([0, 100]);
    expect(() => words.get_bit(0)).toThrow(code("ERR_INVALID_ARGUMENT"));
    expect(() => HeapArray.with_capacity(u32, 2 ** 31, { backing })).toThrow(code("ERR_OUT_OF_MEMORY"));
    expect(() => HeapArray.of_size(u32, -1, { backing })).toThrow(code("ERR_INVALID_ARGUMENT"));
  });

  test("a value that does not fit changes nothing, the capacity neither", () => {
    using array = new HeapArray(u8, { backing: heapOf() });
    expect(() => array.push(256)).toThrow(code("ERR_INVALID_ARGUMENT"));
    expect([array.length, array.capacity]).toEqual([0, 0]);
  });
});

test("ArrayDeque: both ends, round and round", () => {
  const draw = random(seedFromEnv());
  using deque = new ArrayDeque(u32, { backing: heapOf() });
  const model: number[] = [];
  for (let i = 0; i < runs(5000); i += 1) {
    const kind = Math.floor(draw() * (i % 2000 < 1000 ? 3 : 5));
    if (kind === 0) {
      model.push(i);
      deque.push_back(i);
    } else if (kind === 1) {
      model.unshift(i);
      deque.push_front(i);
    } else if (kind === 2) {
      same(deque.pop_back(), model.pop());
    } else {
      same(deque.pop_front(), model.shift());
    }
    expect(deque.length).toBe(model.length);
    expect(deque.get(i % 7)).toBe(model[i % 7]);
  }
  expect([...deque]).toEqual(model);
  deque.clear();
  expect([deque.pop_back(), deque.pop_front(), deque.length]).toEqual([undefined, undefined, 0]);
  expect(() => deque.push_front(-1)).toThrow(code("ERR_INVALID_ARGUMENT"));
});

describe("HashMap", () => {
  test("behaves as a map", () => {
    const draw = random(seedFromEnv() + 1);
    const heap = heapOf(1 << 22);
    using map = new HashMap(u32, u32, { backing: heap });
    const model = new Map<number, number>();
    for (let i = 0; i < runs(20_000); i += 1) {
      const key = Math.floor(draw() ** 2 * 3000);
      const kind = Math.floor(draw() * 6);
      const old = model.get(key);
      if (kind < 3) {
        same(map.insert(key, i), old);
        model.set(key, i);
      } else if (kind === 3) {
        same(map.remove(key), old);
        model.delete(key);
      } else if (kind === 4) {
        same(map.replace(key, i), old);
        if (old !== undefined) model.set(key, i);
      } else {
        same(map.entry(key).or_insert(i), old ?? i);
        if (old === undefined) model.set(key, i);
      }
      same(map.length, model.size);
    }
    expect(new Map(map)).toEqual(model);
    for (const key of model.keys()) expect(map.contains(key)).toBe(true);
    map.clear();
    expect([map.length, map.get(1), [...map].length]).toEqual([0, undefined, 0]);
    map.insert(1, 2);
    expect(map.entry(1).get()).toBe(2);
  });

  test("what the original got wrong: an overwritten key and an absent one do not change the length", () => {
    using map = new HashMap(u32, u32, { backing: heapOf() });
    map.insert(1, 10);
    expect(map.insert(1, 11)).toBe(10);
    expect(map.length).toBe(1);
    expect(map.remove(2)).toBeUndefined();
    expect(map.length).toBe(1);
    expect(map.replace(2, 5)).toBeUndefined();
    expect(map.contains(2)).toBe(false);
  });

  test("keys are structs, padding does not count; nodes are used again", () => {
    const Key = struct({ a: u8, b: f64 });
    const heap = heapOf();
    using map = new HashMap(Key, u8, { backing: heap });
    for (let round = 0; round < 50; round += 1) {
      for (let i = 0; i < 20; i += 1) map.insert({ a: i, b: i / 3 }, i);
      for (let i = 0; i < 20; i += 1) expect(map.get({ a: i, b: i / 3 })).toBe(i);
      const { liveBytes } = heap.stats();
      for (let i = 0; i < 20; i += 1) expect(map.remove({ a: i, b: i / 3 })).toBe(i);
      expect(heap.stats().liveBytes).toBe(liveBytes);
    }
    expect(() => map.get({ a: 300, b: 0 })).toThrow(code("ERR_INVALID_ARGUMENT"));
    expect(() => map.insert({ a: 1, b: 0 }, 300)).toThrow(code("ERR_INVALID_ARGUMENT"));
    expect(map.length).toBe(0);
  });
});

test("HashSet: each value once", () => {
  using set = new HashSet(u32, { backing: heapOf() });
  expect([set.insert(5), set.insert(5), set.insert(6)]).toEqual([true, false, true]);
  expect([set.contains(5), set.contains(7), set.length]).toEqual([true, false, 2]);
  expect([set.remove(5), set.remove(5), set.length]).toEqual([true, false, 1]);
  expect([...set]).toEqual([6]);
  set.clear();
  expect(set.length).toBe(0);
});
