import { callocFrom, Heap, NULL, type Ptr, reallocFrom } from "@heapwright/core";
import { expect, test } from "vitest";

import { FixedMemPool } from "../src/index.ts";
import { fixedPool, got, heapOf, unchanged } from "./made.ts";

test("the block freed last is handed out first", () => {
  const pool = fixedPool(64, 10);
  const blocks = Array.from({ length: 10 }, () => got(pool.malloc()));
  for (const ptr of blocks) pool.free(ptr);
  expect(blocks.map(() => pool.malloc())).toEqual([...blocks].reverse());
});

test("malloc gives what fits into a block, and NULL for more", () => {
  const pool = fixedPool(20, 4);
  expect(pool.memberSize).toBe(32);
  expect(pool.usableSize(got(pool.malloc(0)))).toBe(32);
  got(pool.malloc(32));
  unchanged(pool.backing.heap as Heap, () => expect(pool.malloc(33)).toBe(NULL));
});

test("it is an allocator: calloc, realloc, and other pools stand on it", () => {
  const outer = fixedPool(8192, 8);
  const zeroed = callocFrom(outer, 100, 80);
  expect(outer.heap.bytes(zeroed, 8000).every((byte) => byte === 0)).toBe(true);
  expect(reallocFrom(outer, zeroed, 8192)).toBe(zeroed);
  expect(reallocFrom(outer, zeroed, 8193)).toBe(NULL);
  outer.free(zeroed);
  const inner = new FixedMemPool(16, 200, { backing: outer });
  const ptrs = Array.from({ length: 200 }, () => got(inner.malloc()));
  expect(new Set(ptrs).size).toBe(200);
  inner.check();
  inner.destroy();
  expect(outer.stats().liveBlocks).toBe(0);
});

test("foreach may allocate and free, the block in hand too", () => {
  const pool = fixedPool(16, 3);
  const blocks = Array.from({ length: 6 }, () => got(pool.malloc()));
  const seen: Ptr[] = [];
  pool.foreach((ptr) => {
    seen.push(ptr);
    pool.free(ptr);
    if (ptr === blocks[1]) pool.free(blocks[4]!);
    pool.check();
  });
  expect(seen).toEqual([0, 1, 2, 3, 5].map((i) => blocks[i]));
  expect(pool.stats().liveBlocks).toBe(0);
  const growing = fixedPool(16, 3);
  got(growing.malloc());
  let visits = 0;
  growing.foreach(() => {
    visits += 1;
    if (visits < 50) for (let i = 0; i < 5; i += 1) got(growing.malloc());
  });
  expect(visits).toBeGreaterThanOrEqual(50);
});

test("foreach: only the number 0 stops, what is thrown passes, and the pool may be destroyed", () => {
  const pool = fixedPool(16, 3);
  for (let i = 0; i < 5; i += 1) got(pool.malloc());
  for (const answer of [undefined, null, false, "", 0n, NaN, 1, -1]) {
    let visits = 0;
    pool.foreach(() => {
      visits += 1;
      return answer;
    });
    expect(visits).toBe(5);
  }
  for (const answer of [0, -0]) {
    let visits = 0;
    pool.foreach(() => {
      visits += 1;
      return answer;
    });
    expect(visits).toBe(1);
  }
  expect(() =>
    pool.foreach(() => {
      throw new RangeError("mine");
    }),
  ).toThrow("mine");
  let visits = 0;
  pool.foreach(() => {
    visits += 1;
    pool.destroy();
  });
  expect(visits).toBe(1);
});

test("stats, blocks and dump agree", () => {
  const pool = fixedPool(100, 4);
  const blocks = Array.from({ length: 6 }, () => got(pool.malloc()));
  pool.free(blocks[2]!);
  expect(pool.stats()).toMatchObject({ liveBlocks: 5, liveBytes: 5 * 112, freeBytes: 3 * 112, buffers: 2 });
  const heap = pool.heap.stats();
  expect(pool.stats().takenBytes).toBe(heap.liveBytes);
  expect([...pool.blocks()]).toEqual(blocks.map((ptr, i) => ({ ptr, size: 112, state: i === 2 ? "free" : "live" })));
  const lines = pool.dump().split("\n");
  expect(lines[0]).toBe("fixed pool, buffers of 4 blocks of 112 bytes");
  expect(lines).toHaveLength(3 + 6);
});

test("a write into a free block is noticed before it is followed", () => {
  for (const link of [0xffff_fff0, 17, 4096, 0x50]) {
    const pool = fixedPool(32, 4);
    const [a, b] = [got(pool.malloc()), got(pool.malloc())];
    pool.free(a);
    pool.free(b);
    const kept = pool.heap.u32[b >>> 2]!;
    pool.heap.u32[b >>> 2] = link;
    expect(() => pool.check()).toThrow(expect.objectContaining({ code: "ERR_CORRUPT" }));
    expect(pool.malloc()).toBe(b);
    expect(() => pool.malloc()).toThrow(expect.objectContaining({ code: "ERR_CORRUPT" }));
    pool.heap.u32[b >>> 2] = kept;
    pool.free(b);
    pool.heap.u32[b >>> 2] = a;
  }
});

test("check names what is broken", () => {
  const pool = fixedPool(32, 4);
  const { u32 } = pool.heap;
  got(pool.malloc());
  const control = pool.handle >>> 2;
  let found = 0;
  for (const word of [1, 2, 4, 5, 6, 8, 9, 13, 29, 30, 31, 32, 33, 34]) {
    const kept = u32[control + word]!;
    u32[control + word] = kept + 16;
    expect(() => pool.check(), `word ${word}`).toThrow(expect.objectContaining({ code: "ERR_CORRUPT" }));
    u32[control + word] = kept;
    found += 1;
  }
  expect(found).toBe(14);
  pool.check();
});

test("one heap serves pools above 2 GiB", () => {
  const memory = new WebAssembly.Memory({ initial: 33_000 });
  const base = 32_900 * 65_536;
  const heap = Heap.adopt(memory, { base });
  const pool = new FixedMemPool(64, 1000, { backing: heap });
  const blocks = Array.from({ length: 3000 }, () => got(pool.malloc()));
  expect(Math.min(...blocks)).toBeGreaterThan(2 ** 31);
  pool.check();
  for (const ptr of blocks) pool.free(ptr);
  expect(blocks.map(() => pool.malloc())).toEqual([...blocks].reverse());
  pool.destroy();
  expect(heap.stats().liveBlocks).toBe(0);
});

test("the heap's memory may be grown by others in between", () => {
  const memory = new WebAssembly.Memory({ initial: 4, maximum: 64 });
  const heap = Heap.adopt(memory, { bytes: 4 * 65_536, maxBytes: 32 * 65_536 });
  const pool = new FixedMemPool(64, 100, { backing: heap });
  const blocks: Ptr[] = [];
  for (let i = 0; i < 2000; i += 1) {
    if (i % 100 === 50) memory.grow(1);
    blocks.push(got(pool.malloc()));
    if (i % 100 === 70) memory.grow(1);
    if (i % 3 === 0) pool.free(blocks.pop()!);
    if (i > 1000) break;
  }
  pool.check();
  expect(pool.stats().liveBlocks).toBe(blocks.length);
  pool.destroy();
  expect(heapOf().stats().liveBlocks).toBe(0);
});
