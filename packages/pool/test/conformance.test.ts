/** The tests of the original, and what its faults have to be instead; the numbers are those of the README. */
import { NULL, offsetPtr, type Ptr } from "@heapwright/core";
import { describe, expect, test } from "vitest";

import {
  FixedMemPool,
  mem_align,
  pool_fixed_alloc,
  pool_fixed_foreach,
  pool_fixed_free,
  pool_fixed_init,
  pool_fixed_is_associated,
  pool_variadic_alloc,
  pool_variadic_free,
  pool_variadic_init,
  pool_variadic_is_associated,
} from "../src/index.ts";
import { fixedPool, got, heapOf, keep, variadicPool } from "./made.ts";

/** What a payload takes with its header. */
const span = (size: number): number => mem_align(Math.max(size, 16) + 8);

describe("tests of the original", () => {
  test("a: blocks of 10 bytes are 16 apart, reused at once, and known", () => {
    const pool = fixedPool(10, 2);
    const [first, second, third] = [pool_fixed_alloc(pool), pool_fixed_alloc(pool), pool_fixed_alloc(pool)];
    expect(second - first).toBe(16);
    expect(pool.stats().buffers).toBe(2);
    expect([first, second, third].every((ptr) => pool_fixed_is_associated(pool, ptr))).toBe(true);
    expect(pool_fixed_free(pool, first)).toBe(0);
    expect(pool_fixed_alloc(pool)).toBe(first);
    expect(pool_fixed_is_associated(pool, NULL)).toBe(false);
    expect(pool_fixed_free(pool, NULL)).toBe(-1);
  });

  test("b: foreach sums 100 and 200 and stops at 50", () => {
    const pool = fixedPool(4, 2);
    const { heap } = pool;
    for (const value of [100, 200, 50]) heap.i32[pool_fixed_alloc(pool) >>> 2] = value;
    let sum = 0;
    pool_fixed_foreach(pool, (item) => {
      const value = heap.i32[item >>> 2]!;
      if (value === 50) return 0;
      sum += value;
      return 1;
    });
    expect(sum).toBe(300);
  });

  test("c: two blocks fill the first buffer, an array goes to the second", () => {
    const pool = variadicPool(span(4) + span(8), 10);
    const { heap } = pool;
    const [int, record, array] = [4, 8, 16].map((size) => got(pool_variadic_alloc(pool, size))) as [Ptr, Ptr, Ptr];
    expect(pool.stats().buffers).toBe(2);
    heap.i32[int >>> 2] = -7;
    heap.f64[record >>> 3] = 2.5;
    heap.f64.set([1, 2], array >>> 3);
    expect(heap.i32[int >>> 2]).toBe(-7);
    expect(heap.f64[record >>> 3]).toBe(2.5);
    expect([...heap.f64.subarray(array >>> 3, (array >>> 3) + 2)]).toEqual([1, 2]);
    expect([int, record, array].map((ptr) => pool.usableSize(ptr))).toEqual([24, 24, 24]);
    expect([int, record, array].every((ptr) => pool_variadic_is_associated(pool, ptr))).toBe(true);
  });

  test("d: the first buffer merges, and serves both blocks' space at the first one's address", () => {
    const pool = variadicPool(span(4) + span(8), 10);
    const [int, record] = [got(pool_variadic_alloc(pool, 4)), got(pool_variadic_alloc(pool, 8))];
    pool_variadic_free(pool, int);
    pool_variadic_free(pool, record);
    expect([...pool.blocks()]).toEqual([{ ptr: int, size: span(4) + span(8) - 8, state: "free" }]);
    expect(pool_variadic_alloc(pool, 40)).toBe(int);
  });

  test("e: a block given back serves the next that fits, and others are left alone", () => {
    const pool = variadicPool(span(4) + span(8), 10);
    const [int, , array] = [4, 8, 16].map((size) => got(pool_variadic_alloc(pool, size))) as [Ptr, Ptr, Ptr];
    pool.heap.i32[int >>> 2] = 42;
    pool_variadic_free(pool, array);
    expect(pool_variadic_alloc(pool, 4)).toBe(array);
    const another = got(pool_variadic_alloc(pool, 4));
    pool.heap.u32.fill(0xffff_ffff, another >>> 2, (another + 16) >>> 2);
    expect(pool.heap.i32[int >>> 2]).toBe(42);
  });

  test("f: three blocks of a byte, freed as c, a, b, are one; a block of 3 bytes is cut from its beginning", () => {
    const pool = variadicPool(3 * span(1), 101);
    const [a, b, c] = [1, 1, 1].map((size) => got(pool_variadic_alloc(pool, size))) as [Ptr, Ptr, Ptr];
    for (const ptr of [c, a, b]) expect(pool_variadic_free(pool, ptr)).toBe(0);
    expect([...pool.blocks()]).toEqual([{ ptr: a, size: 3 * span(1) - 8, state: "free" }]);
    expect(pool_variadic_alloc(pool, 3)).toBe(a);
    expect(pool.usableSize(a)).toBe(span(3) - 8);
  });

  test("g: sizes are rounded to what alignment leaves", () => {
    const pool = variadicPool(200, 10);
    expect([60, 600, 12].map((size) => pool.usableSize(pool_variadic_alloc(pool, size)))).toEqual([72, 600, 24]);
    expect([60, 600, 12].map(mem_align)).toEqual([64, 608, 16]);
  });

  test("h: with a grow_size of 1 each block has its own buffer", () => {
    const pool = variadicPool(1, 10);
    const blocks = [60, 600, 12].map((size) => got(pool_variadic_alloc(pool, size)));
    expect(pool.stats().buffers).toBe(3);
    expect(blocks.map((ptr) => pool_variadic_free(pool, ptr))).toEqual([0, 0, 0]);
  });
});

describe("faults of the original", () => {
  test("1: a block that is too small is never handed out", () => {
    for (const tolerance of [20, 101]) {
      const pool = variadicPool(4096, tolerance);
      const small = got(pool_variadic_alloc(pool, 96));
      got(pool_variadic_alloc(pool, 1));
      pool_variadic_free(pool, small);
      for (const size of [105, 112, 600]) {
        const ptr = got(pool_variadic_alloc(pool, size));
        expect(ptr).not.toBe(small);
        expect(pool.usableSize(ptr)).toBeGreaterThanOrEqual(size);
      }
    }
  });

  test("2: the smallest that is large enough is taken, not the first within the tolerance", () => {
    for (const order of [
      [120, 104, 136],
      [104, 136, 120],
    ]) {
      const pool = variadicPool(4096, 50);
      const blocks = new Map<number, Ptr>();
      for (const size of order) {
        blocks.set(size, got(pool_variadic_alloc(pool, size)));
        got(pool_variadic_alloc(pool, 1));
      }
      for (const size of order) pool_variadic_free(pool, blocks.get(size)!);
      expect(pool_variadic_alloc(pool, 100)).toBe(blocks.get(104));
      expect(pool_variadic_alloc(pool, 100)).toBe(blocks.get(120));
    }
  });

  test("3: what has merged is split again: rounds of equal blocks take no new buffer", () => {
    for (const tolerance of [0, 20, 101]) {
      const backing = heapOf(4 << 20);
      const pool = variadicPool(1 << 20, tolerance, { backing });
      for (let round = 0; round < 5; round += 1) {
        const blocks = Array.from({ length: 10_000 }, () => got(pool_variadic_alloc(pool, 64)));
        for (const ptr of blocks.reverse()) pool_variadic_free(pool, ptr);
        expect(pool.stats().buffers).toBe(1);
        expect(pool.stats().freeBytes).toBe((1 << 20) - 8);
      }
    }
  });

  test("4: no merge is missed, whatever the order", () => {
    for (const order of [
      [1, 0, 2, 3],
      [3, 1, 2, 0],
      [0, 3, 2, 1],
      [2, 0, 1, 3],
    ]) {
      const pool = variadicPool(4 * span(32), 0);
      const blocks = Array.from({ length: 4 }, () => got(pool_variadic_alloc(pool, 32)));
      for (const i of order) pool_variadic_free(pool, blocks[i]!);
      expect([...pool.blocks()]).toEqual([{ ptr: blocks[0], size: 4 * span(32) - 8, state: "free" }]);
    }
  });

  test("5: one past the end, interior and misaligned pointers are unknown", () => {
    const fixed = fixedPool(48, 2);
    const ptr = got(pool_fixed_alloc(fixed));
    const last = got(pool_fixed_alloc(fixed));
    for (const distance of [3, 8, 16, 32]) expect(pool_fixed_free(fixed, offsetPtr(ptr, distance))).toBe(-1);
    expect(pool_fixed_free(fixed, offsetPtr(last, 48))).toBe(-1);
    expect(pool_fixed_is_associated(fixed, offsetPtr(last, 48))).toBe(false);
    expect(pool_fixed_is_associated(fixed, offsetPtr(ptr, 16))).toBe(false);
    const variadic = variadicPool(2 * span(48), 0);
    const [a, b] = [got(pool_variadic_alloc(variadic, 48)), got(pool_variadic_alloc(variadic, 48))];
    for (const distance of [3, 8, 16, 32, 48]) expect(pool_variadic_free(variadic, offsetPtr(a, distance))).toBe(-1);
    expect(pool_variadic_free(variadic, offsetPtr(b, span(48)))).toBe(-1);
    expect(pool_variadic_is_associated(variadic, offsetPtr(b, span(48)))).toBe(false);
    expect(pool_variadic_is_associated(variadic, offsetPtr(a, 16))).toBe(false);
  });

  test("6: a second free is noticed, and the block has one owner", () => {
    const fixed = fixedPool(48, 4);
    const variadic = variadicPool(4096, 0);
    const a = got(pool_fixed_alloc(fixed));
    const b = got(pool_variadic_alloc(variadic, 48));
    expect([pool_fixed_free(fixed, a), pool_fixed_free(fixed, a)]).toEqual([0, -1]);
    expect([pool_variadic_free(variadic, b), pool_variadic_free(variadic, b)]).toEqual([0, -1]);
    expect(pool_fixed_alloc(fixed)).not.toBe(pool_fixed_alloc(fixed));
    expect(pool_variadic_alloc(variadic, 48)).not.toBe(pool_variadic_alloc(variadic, 48));
  });

  test("7: the blocks of every buffer are known, from the third on too", () => {
    const pool = variadicPool(64, 0);
    const blocks = Array.from({ length: 20 }, () => got(pool_variadic_alloc(pool, 56)));
    expect(pool.stats().buffers).toBe(20);
    expect(blocks.every((ptr) => pool_variadic_is_associated(pool, ptr))).toBe(true);
    expect(blocks.every((ptr) => pool_variadic_free(pool, ptr) === 0)).toBe(true);
  });

  test("8: stop means stop, and members that are free are not visited", () => {
    const pool = fixedPool(16, 2);
    const blocks = Array.from({ length: 7 }, () => got(pool_fixed_alloc(pool)));
    pool_fixed_free(pool, blocks[1]!);
    pool_fixed_free(pool, blocks[6]!);
    const seen: Ptr[] = [];
    pool_fixed_foreach(pool, (item) => seen.push(item));
    expect(seen).toEqual([0, 2, 3, 4, 5].map((i) => blocks[i]));
    seen.length = 0;
    pool_fixed_foreach(pool, (item) => {
      seen.push(item);
      return item === blocks[2] ? 0 : 1;
    });
    expect(seen).toEqual([blocks[0], blocks[2]]);
  });

  test("9: a variadic block may be freed as the document's example does", () => {
    const pool = variadicPool(500, 20);
    const ptr = got(pool_variadic_alloc(pool, 10));
    expect(pool_fixed_free(pool, ptr)).toBe(0);
    expect(pool_fixed_free(pool, ptr)).toBe(-1);
  });

  test("10: size 0 gives a block of its own, of at least 16 bytes", () => {
    const pool = variadicPool(500, 20);
    const blocks = Array.from({ length: 5 }, () => got(pool_variadic_alloc(pool, 0)));
    expect(new Set(blocks).size).toBe(5);
    expect(blocks.every((ptr) => pool.usableSize(ptr) >= 16)).toBe(true);
    expect(blocks.every((ptr) => pool_variadic_free(pool, ptr) === 0)).toBe(true);
  });

  test("11: counts that are none, sizes that overflow, and a backing that is full", () => {
    const backing = heapOf(1 << 16);
    const refused = (code: string): unknown => expect.objectContaining({ name: "HeapError", code });
    expect(() => pool_fixed_init(16, 0, { backing })).toThrow(refused("ERR_INVALID_ARGUMENT"));
    expect(() => pool_fixed_init(2 ** 31, 2 ** 31, { backing })).toThrow(refused("ERR_OUT_OF_MEMORY"));
    expect(() => pool_fixed_init(Number.MAX_SAFE_INTEGER, 1, { backing })).toThrow(refused("ERR_OUT_OF_MEMORY"));
    expect(() => pool_variadic_init(2 ** 32, 0, { backing })).toThrow(refused("ERR_OUT_OF_MEMORY"));
    expect(() => pool_fixed_init(1 << 21, 1, { backing })).toThrow(refused("ERR_OUT_OF_MEMORY"));
    expect(backing.stats().liveBlocks).toBe(0);
    expect(mem_align(2 ** 32 - 1)).toBe(2 ** 32);
    const pool = keep(pool_fixed_init(1024, 8, { backing }));
    const blocks: Ptr[] = [];
    for (let ptr = pool_fixed_alloc(pool); ptr !== NULL; ptr = pool_fixed_alloc(pool)) blocks.push(ptr);
    expect(blocks.length % 8).toBe(0);
    pool.check();
    pool_fixed_free(pool, blocks[3]!);
    expect(pool_fixed_alloc(pool)).toBe(blocks[3]);
  });

  test("12: is_associated keeps up with what another object of the same pool does", () => {
    const pool = fixedPool(16, 1);
    const other = FixedMemPool.attach(pool.heap, pool.handle);
    const blocks = Array.from({ length: 3000 }, () => got(pool_fixed_alloc(other)));
    expect(blocks.every((ptr) => pool_fixed_is_associated(pool, ptr))).toBe(true);
    expect(blocks.every((ptr) => pool_fixed_free(pool, ptr) === 0)).toBe(true);
  });

  test("13: a buffer has increase_count times the aligned size", () => {
    const pool = fixedPool(10, 100);
    expect(pool.stats().freeBytes).toBe(100 * mem_align(10));
  });

  test("14: free knows where blocks begin, whatever payloads contain", () => {
    const pool = variadicPool(4096, 0);
    const ptr = got(pool_variadic_alloc(pool, 200));
    // The payload imitates headers of live blocks everywhere.
    for (let at = 0; at < 192; at += 8) {
      pool.heap.u32[(ptr + at) >>> 2] = 32;
      pool.heap.u32[(ptr + at + 4) >>> 2] = 32 | 1;
    }
    for (let at = 1; at < 200; at += 1) expect(pool_variadic_free(pool, offsetPtr(ptr, at))).toBe(-1);
    expect(pool_variadic_free(pool, ptr)).toBe(0);
  });
});
