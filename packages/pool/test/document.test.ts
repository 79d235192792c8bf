import { defaultHeap, NULL, type Ptr } from "@heapwright/core";
import { expect, test } from "vitest";

import {
  mem_align,
  pool_fixed_alloc,
  pool_fixed_destroy,
  pool_fixed_foreach,
  pool_fixed_free,
  pool_fixed_init,
  pool_fixed_is_associated,
  pool_variadic_alloc,
  pool_variadic_destroy,
  pool_variadic_free,
  pool_variadic_init,
  pool_variadic_is_associated,
} from "../src/index.ts";
import { got, heapOf } from "./made.ts";

const section = {
  how: "How it works",
  fixed: "FixedMemPool",
  variadic: "(#variadic-pool)",
};

test(`${section.how}: fixed pools store a large number of objects of the same size`, () => {
  const backing = heapOf(1 << 22);
  const pool = pool_fixed_init(40, 500, { backing });
  const items = Array.from({ length: 20_000 }, () => got(pool_fixed_alloc(pool)));
  expect(new Set(items).size).toBe(20_000);
  items.forEach((ptr, i) => backing.u32.fill(i, ptr >>> 2, (ptr + 40) >>> 2));
  expect(items.every((ptr, i) => backing.u32.subarray(ptr >>> 2, (ptr + 40) >>> 2).every((word) => word === i))).toBe(
    true,
  );
  pool_fixed_destroy(pool);
});

test(`${section.how}: the variadic pool gives the best fitting of the free blocks`, () => {
  const backing = heapOf();
  const pool = pool_variadic_init(8192, 0, { backing });
  const blocks = [640, 1, 200, 1, 400, 1, 300, 1].map((size) => got(pool_variadic_alloc(pool, size)));
  for (const i of [0, 2, 4, 6]) pool_variadic_free(pool, blocks[i]!);
  expect(pool_variadic_alloc(pool, 290)).toBe(blocks[6]);
  expect(pool_variadic_alloc(pool, 390)).toBe(blocks[4]);
  expect(pool_variadic_alloc(pool, 390)).toBe(blocks[0]);
  expect(pool_variadic_alloc(pool, 190)).toBe(blocks[2]);
  pool_variadic_destroy(pool);
});

test(`${section.how}: a header before each block holds its size and leads to the one before`, () => {
  const backing = heapOf();
  const pool = pool_variadic_init(4096, 0, { backing });
  const first = got(pool_variadic_alloc(pool, 100));
  const second = got(pool_variadic_alloc(pool, 50));
  // Core's header: the span of the block to the left, and the own span with the state LIVE.
  expect([...backing.u32.subarray((first - 8) >>> 2, first >>> 2)]).toEqual([0, 112 | 1]);
  expect([...backing.u32.subarray((second - 8) >>> 2, second >>> 2)]).toEqual([112, 64 | 1]);
  expect(second - first).toBe(112);
  pool_variadic_destroy(pool);
});

test(`${section.how}: all pointers that pools return are aligned`, () => {
  for (const alignment of [8, 16] as const) {
    const backing = heapOf();
    const spacer = backing.malloc(alignment === 8 ? 8 : 24);
    const fixed = pool_fixed_init(7, 3, { backing });
    const variadic = pool_variadic_init(100, 20, { backing });
    const ptrs = Array.from({ length: 50 }, (_, i) => [pool_fixed_alloc(fixed), pool_variadic_alloc(variadic, i * 7)]);
    expect(ptrs.flat().filter((ptr) => ptr === NULL || ptr % 16 !== 0)).toEqual([]);
    pool_fixed_destroy(fixed);
    pool_variadic_destroy(variadic);
    backing.free(spacer);
  }
});

test(`${section.fixed}: the example runs as it stands, without naming a heap`, () => {
  const heap = defaultHeap();
  const before = heap.stats().liveBlocks;
  const pool = pool_fixed_init(24, 500);
  const ptr = got(pool_fixed_alloc(pool));
  const seen: Ptr[] = [];
  pool_fixed_foreach(pool, (item) => {
    seen.push(item);
    return 0;
  });
  expect(seen).toEqual([ptr]);
  expect(pool_fixed_is_associated(pool, ptr)).toBe(true);
  expect(pool_fixed_free(pool, ptr)).toBe(0);
  pool_fixed_destroy(pool);
  expect(heap.stats().liveBlocks).toBe(before);
});

test(`${section.fixed}: when it runs out it takes a new internal buffer of increase_count blocks`, () => {
  const backing = heapOf();
  const pool = pool_fixed_init(48, 10, { backing });
  const room = () => pool.stats().liveBytes + pool.stats().freeBytes;
  for (let i = 1; i <= 35; i += 1) {
    got(pool_fixed_alloc(pool));
    expect(pool.stats().buffers).toBe(Math.ceil(i / 10));
    expect(room()).toBe(Math.ceil(i / 10) * 10 * 48);
  }
  pool_fixed_destroy(pool);
});

test(`${section.fixed}: foreach iterates through the pool, and returning 0 stops it`, () => {
  const backing = heapOf();
  const pool = pool_fixed_init(16, 4, { backing });
  const items = Array.from({ length: 11 }, () => got(pool_fixed_alloc(pool)));
  const seen: Ptr[] = [];
  pool_fixed_foreach(pool, (item) => {
    seen.push(item);
  });
  expect(seen).toEqual(items);
  seen.length = 0;
  pool_fixed_foreach(pool, (item) => {
    seen.push(item);
    return item === items[5] ? 0 : 1;
  });
  expect(seen).toEqual(items.slice(0, 6));
  pool_fixed_destroy(pool);
});

test(`${section.fixed}: is_associated tells the pool's pointers from others, in use or not`, () => {
  const backing = heapOf();
  const pool = pool_fixed_init(32, 5, { backing });
  const other = pool_fixed_init(32, 5, { backing });
  const ptr = got(pool_fixed_alloc(pool));
  const foreign = got(pool_fixed_alloc(other));
  expect(pool_fixed_is_associated(pool, ptr)).toBe(true);
  expect(pool_fixed_is_associated(pool, foreign)).toBe(false);
  pool_fixed_free(pool, ptr);
  expect(pool_fixed_is_associated(pool, ptr)).toBe(true);
  pool_fixed_destroy(pool);
  pool_fixed_destroy(other);
});

test(`${section.fixed}: free makes the block reusable and gives -1 for an unknown pointer`, () => {
  const backing = heapOf();
  const pool = pool_fixed_init(32, 5, { backing });
  const foreign = backing.malloc(32);
  const ptr = got(pool_fixed_alloc(pool));
  expect(pool_fixed_free(pool, foreign)).toBe(-1);
  expect(pool_fixed_free(pool, ptr)).toBe(0);
  expect(pool_fixed_alloc(pool)).toBe(ptr);
  pool_fixed_destroy(pool);
  backing.free(foreign);
});

test(`${section.fixed}: destroy frees all the memory allocated`, () => {
  const backing = heapOf();
  const { liveBlocks, liveBytes } = backing.stats();
  const pool = pool_fixed_init(100, 7, { backing });
  for (let i = 0; i < 100; i += 1) got(pool_fixed_alloc(pool));
  pool_fixed_destroy(pool);
  expect(backing.stats()).toMatchObject({ liveBlocks, liveBytes });
});

test(`${section.variadic}: the example runs as it stands, pool_fixed_free included`, () => {
  const heap = defaultHeap();
  const before = heap.stats().liveBlocks;
  const pool = pool_variadic_init(500, 20);
  const ptr = got(pool_variadic_alloc(pool, 24));
  expect(pool_variadic_is_associated(pool, ptr)).toBe(true);
  expect(pool_fixed_free(pool, ptr)).toBe(0);
  pool_variadic_destroy(pool);
  expect(heap.stats().liveBlocks).toBe(before);
});

test(`${section.variadic}: grow_size is the size of a new buffer, taken when no free space that fits is left`, () => {
  const backing = heapOf();
  const pool = pool_variadic_init(512, 0, { backing });
  const room = () => [...pool.blocks()].reduce((sum, { size }) => sum + size + 8, 0);
  expect(room()).toBe(512);
  for (let i = 0; i < 4; i += 1) got(pool_variadic_alloc(pool, 120));
  expect(pool.stats()).toMatchObject({ buffers: 1, freeBytes: 0 });
  got(pool_variadic_alloc(pool, 120));
  expect(pool.stats().buffers).toBe(2);
  expect(room()).toBe(1024);
  pool_variadic_destroy(pool);
});

test(`${section.variadic}: grow_size includes the aligned size of the headers`, () => {
  const backing = heapOf();
  const pool = pool_variadic_init(3 * mem_align(100 + 8), 0, { backing });
  for (let i = 0; i < 3; i += 1) got(pool_variadic_alloc(pool, 100));
  expect(pool.stats()).toMatchObject({ buffers: 1, freeBytes: 0 });
  pool_variadic_destroy(pool);
});

test(`${section.variadic}: tolerance_percent is the most that a block taken whole may be larger`, () => {
  for (const [tolerance, usable] of [
    [10, 104],
    [21, 104],
    [30, 136],
    [101, 136],
  ] as const) {
    const backing = heapOf();
    const pool = pool_variadic_init(4096, tolerance, { backing });
    const ptr = got(pool_variadic_alloc(pool, 136));
    got(pool_variadic_alloc(pool, 1));
    pool_variadic_free(pool, ptr);
    // 136 is larger than 104 by 32, which is 26.7 percent of their mean.
    expect(pool_variadic_alloc(pool, 100)).toBe(ptr);
    expect(pool.usableSize(ptr)).toBe(usable);
    pool_variadic_destroy(pool);
  }
});

test(`${section.variadic}: is_associated tells the pool's pointers from others, in use or not`, () => {
  const backing = heapOf();
  const pool = pool_variadic_init(500, 20, { backing });
  const other = pool_variadic_init(500, 20, { backing });
  const [a, b, c] = [pool_variadic_alloc(pool, 30), pool_variadic_alloc(pool, 30), pool_variadic_alloc(other, 30)];
  expect([a, b, c].map((ptr) => pool_variadic_is_associated(pool, ptr))).toEqual([true, true, false]);
  pool_variadic_free(pool, a);
  pool_variadic_free(pool, b);
  expect([a, b, c].map((ptr) => pool_variadic_is_associated(pool, ptr))).toEqual([true, true, false]);
  pool_variadic_destroy(pool);
  pool_variadic_destroy(other);
});

test(`${section.variadic}: free merges neighbours, the space of their headers included, and makes them reusable`, () => {
  const backing = heapOf();
  const pool = pool_variadic_init(8 * 64, 0, { backing });
  const blocks = Array.from({ length: 8 }, () => got(pool_variadic_alloc(pool, 56)));
  for (const i of [2, 4, 3]) pool_variadic_free(pool, blocks[i]!);
  expect([...pool.blocks()].filter(({ state }) => state === "free")).toEqual([
    { ptr: blocks[2], size: 3 * 56 + 2 * 8, state: "free" },
  ]);
  expect(pool_variadic_alloc(pool, 3 * 56 + 2 * 8)).toBe(blocks[2]);
  pool_variadic_destroy(pool);
});

test(`${section.variadic}: merging stops at the buffer`, () => {
  const backing = heapOf();
  const pool = pool_variadic_init(64, 0, { backing });
  const blocks = Array.from({ length: 6 }, () => got(pool_variadic_alloc(pool, 56)));
  for (const ptr of blocks) expect(pool_variadic_free(pool, ptr)).toBe(0);
  expect([...pool.blocks()].map(({ size, state }) => `${state} ${size}`)).toEqual(Array(6).fill("free 56"));
  pool_variadic_destroy(pool);
});

test(`${section.variadic}: free gives -1 when the pointer is not known by the pool`, () => {
  const backing = heapOf();
  const pool = pool_variadic_init(500, 20, { backing });
  const foreign = backing.malloc(32);
  expect(pool_variadic_free(pool, foreign)).toBe(-1);
  pool_variadic_destroy(pool);
  backing.free(foreign);
});

test(`${section.variadic}: destroy frees all the memory allocated`, () => {
  const backing = heapOf();
  const { liveBlocks, liveBytes } = backing.stats();
  const pool = pool_variadic_init(500, 20, { backing });
  for (let i = 0; i < 100; i += 1) got(pool_variadic_alloc(pool, i * 20));
  pool_variadic_destroy(pool);
  expect(backing.stats()).toMatchObject({ liveBlocks, liveBytes });
});
