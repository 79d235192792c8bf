import { setGlobalAllocator, NULL } from "@heapwright/core";
import { expect, test, vi } from "vitest";

import {
  mem_align,
  pool_fixed_alloc,
  pool_fixed_destroy,
  pool_fixed_free,
  pool_fixed_init,
  pool_variadic_alloc,
  pool_variadic_free,
  pool_variadic_init,
} from "../src/index.ts";
import { fixedPool, got, heapOf, keep, variadicPool } from "./made.ts";

test("mem_align rounds up to 16 and never wraps", () => {
  expect([0, 1, 15, 16, 17, 100].map(mem_align)).toEqual([0, 16, 16, 16, 32, 112]);
  expect([2 ** 31 - 1, 2 ** 32 - 1, 2 ** 32].map(mem_align)).toEqual([2 ** 31, 2 ** 32, 2 ** 32]);
});

test("the backing is the global allocator, read once when the pool is made", () => {
  const [first, second] = [heapOf(), heapOf()];
  try {
    setGlobalAllocator(first);
    const pool = pool_fixed_init(16, 2);
    setGlobalAllocator(second);
    for (let i = 0; i < 10; i += 1) got(pool_fixed_alloc(pool));
    expect(pool.backing).toBe(first);
    expect(second.stats().liveBlocks).toBe(0);
    pool_fixed_destroy(pool);
  } finally {
    setGlobalAllocator(undefined);
  }
});

test("what is damaged is reported, and the result is the document's", () => {
  const messages: string[] = [];
  const report = (message: string) => messages.push(message);
  const fixed = keep(pool_fixed_init(32, 4, { backing: heapOf(), report }));
  const variadic = keep(pool_variadic_init(4096, 0, { backing: heapOf(), report }));
  const [a, b] = [got(pool_fixed_alloc(fixed)), got(pool_variadic_alloc(variadic, 100))];
  pool_fixed_free(fixed, a);
  fixed.heap.u32[(fixed.handle >>> 2) + 32] = 17;
  expect(pool_fixed_alloc(fixed)).toBe(NULL);
  fixed.heap.u32[(fixed.handle >>> 2) + 32] = a;
  const tag = variadic.heap.u32[(b - 8) >>> 2]!;
  got(pool_variadic_alloc(variadic, 100));
  const right = (b + 104) >>> 2;
  variadic.heap.u32[right] = 99;
  expect(pool_variadic_free(variadic, b)).toBe(-1);
  variadic.heap.u32[right] = 112;
  expect(variadic.heap.u32[(b - 8) >>> 2]).toBe(tag);
  expect(messages).toHaveLength(2);
  expect(messages[0]).toMatch(/^malloc: the block at 0x11 is damaged/);
  expect(messages[1]).toMatch(/^free: the block at 0x[0-9a-f]+ is damaged/);
});

test("without report it is console.error, as it is at the call", () => {
  const pool = fixedPool(32, 4);
  const word = (pool.handle >>> 2) + 32;
  pool.heap.u32[word] = 17;
  const error = vi.spyOn(console, "error").mockImplementation(() => {});
  expect(pool_fixed_alloc(pool)).toBe(NULL);
  expect(error).toHaveBeenCalledOnce();
  error.mockRestore();
  pool.heap.u32[word] = 0;
});

test("misuse is a result, and nothing is printed", () => {
  const error = vi.spyOn(console, "error");
  const pool = variadicPool(4096, 0);
  const ptr = got(pool_variadic_alloc(pool, 10));
  expect([pool_variadic_free(pool, ptr), pool_variadic_free(pool, ptr), pool_variadic_free(pool, NULL)]).toEqual([
    0, -1, -1,
  ]);
  expect(pool_variadic_alloc(pool, -1)).toBe(NULL);
  expect(pool_variadic_alloc(pool, 2 ** 40)).toBe(NULL);
  expect(error).not.toHaveBeenCalled();
  error.mockRestore();
});
