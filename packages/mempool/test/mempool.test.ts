/** The current pool: how it is made, shared, replaced and lost. */
import { asPtr, Heap, HeapError, NULL, setGlobalAllocator } from "@heapwright/core";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import {
  Mempool,
  mempool_alloc,
  mempool_calloc,
  mempool_destroy,
  mempool_free,
  mempool_init,
  mempool_realloc,
  mempool_use,
} from "../src/index.ts";
import { got, heapOf, hex, initiated, keep, poolOf, refused } from "./made.ts";

const printed: unknown[] = [];

beforeEach(() => {
  printed.length = 0;
  vi.spyOn(console, "error").mockImplementation((message) => void printed.push(message));
});
afterEach(() => {
  vi.restoreAllMocks();
  setGlobalAllocator(undefined);
});

test("messages go to console.error unless there is a reporter", () => {
  expect(mempool_init(0, 1)).toBe(-1);
  mempool_free(NULL);
  expect(printed).toEqual([
    "MEMPOOL_ERROR: Invalid size for memory pool, memory pool will not be initialized",
    "MEMPOOL_ERROR: No memory pool was ever initialized. Invalid call to free.",
  ]);
  initiated(1024, 64);
  mempool_free(NULL);
  expect(printed).toHaveLength(2);
});

test("without options the pool lies in what the global allocator serves", () => {
  const heap = heapOf();
  setGlobalAllocator(heap);
  expect(mempool_init(1024, 64)).toBe(1);
  const { liveBlocks } = heap.stats();
  expect(liveBlocks).toBe(1);
  const ptr = got(mempool_alloc(64));
  expect(ptr).toBeLessThan(heap.size);
  mempool_free(ptr);
  mempool_free(ptr);
  expect(printed).toEqual(["MEMPOOL_ERROR: Attempt to free a nonexistent pointer. Potential double free detected"]);
  expect(mempool_destroy()).toBe(1);
});

test("a second init is refused while there is a pool, also a fresh one", () => {
  const { said } = initiated(1024, 64);
  const options = { backing: heapOf(), report: (message: string) => said.push(message) };
  expect(mempool_init(2048, 64, options)).toBe(-1);
  got(mempool_alloc(1024));
  expect(mempool_init(2048, 64, options)).toBe(-1);
  const message = "MEMPOOL_ERROR: A memory pool has already been created. Destroy it before creating another one.";
  expect(said).toEqual([message, message]);
  expect(mempool_destroy()).toBe(1);
  expect(mempool_init(2048, 64, options)).toBe(1);
});

test("init without memory is -1, and leaves nothing behind", () => {
  const backing = heapOf(70_000);
  const said: string[] = [];
  const options = { backing, report: (message: string) => said.push(message) };
  expect(mempool_init(200_000, 64, options)).toBe(-1);
  expect(mempool_init(2 ** 32 - 1, 64, options)).toBe(-1);
  expect(said).toHaveLength(2);
  for (const message of said) expect(message).toMatch(/^MEMPOOL_ERROR: new Mempool: the backing has no \d+ bytes/);
  expect(mempool_init(10_000, 64, options)).toBe(1);
});

test("init without a range that is large enough is -1", () => {
  const said: string[] = [];
  const options = { backing: heapOf(), report: (message: string) => said.push(message) };
  expect(mempool_init(1024, 64, { ...options, external: { base: 64, bytes: 1023 } })).toBe(-1);
  expect(said).toEqual(["MEMPOOL_ERROR: mempool_init: size is 1024; pass at most the range's 1023 bytes"]);
});

test("mempool_use makes an attached pool the current one, and gives back the one before", () => {
  const { pool } = initiated(1024, 64);
  const another = poolOf(4096, 256);
  expect(mempool_use(Mempool.attach(another.heap, another.handle))).toBe(pool);
  const ptr = got(mempool_alloc(256));
  expect([...another.blocks()][0]).toEqual({ ptr, size: 256, state: "live" });
  another.free(ptr);
  expect(mempool_use(pool)).toBeInstanceOf(Mempool);
  expect(pool.stats().liveBlocks).toBe(0);
  got(mempool_alloc(64));
  expect(pool.stats().liveBlocks).toBe(1);
  expect(mempool_use(undefined)).toBe(pool);
  expect(mempool_alloc(64)).toBe(NULL);
  expect(mempool_use(undefined)).toBe(undefined);
  pool.destroy();
});

test("mempool_use refuses what is no pool, and one that is gone", () => {
  const pool = poolOf(1024, 64);
  for (const wrong of [null, 1, "pool", {}, pool.heap]) {
    expect(() => mempool_use(wrong as unknown as Mempool)).toThrow(refused("ERR_INVALID_ARGUMENT"));
  }
  pool.destroy();
  expect(() => mempool_use(pool)).toThrow(refused("ERR_DESTROYED"));
});

test("a current pool that was destroyed through another object is none", () => {
  const calls: [name: string, act: () => unknown, failure: unknown][] = [
    ["alloc", () => mempool_alloc(64), NULL],
    ["calloc", () => mempool_calloc(1, 64), NULL],
    ["calloc", () => mempool_calloc(0, 64), NULL],
    ["realloc", () => mempool_realloc(asPtr(64), 64), NULL],
    ["free", () => mempool_free(asPtr(64)), undefined],
    ["free", () => mempool_free(NULL), undefined],
    ["destroy", () => mempool_destroy(), -1],
  ];
  for (const [name, act, failure] of calls) {
    const { pool, said } = initiated(1024, 64);
    Mempool.attach(pool.heap, pool.handle).destroy();
    expect(act(), name).toBe(failure);
    expect(said).toEqual([`MEMPOOL_ERROR: No memory pool was ever initialized. Invalid call to ${name}.`]);
    expect(mempool_use(undefined)).toBe(undefined);
  }
  const { pool } = initiated(1024, 64);
  Mempool.attach(pool.heap, pool.handle).destroy();
  initiated(2048, 64);
});

test("calloc in an external range has no bytes to clear, and says so", () => {
  const said: string[] = [];
  const pool = keep(
    new Mempool(1024, 64, {
      backing: heapOf(),
      external: { base: 256, bytes: 1024 },
      report: (message) => said.push(message),
    }),
  );
  mempool_use(pool);
  const ptr = got(mempool_alloc(64));
  expect(mempool_calloc(1, 64)).toBe(NULL);
  expect(mempool_realloc(ptr, 64)).toBe(ptr);
  expect(mempool_realloc(ptr, 65)).toBe(NULL);
  expect(said).toEqual([
    "MEMPOOL_ERROR: calloc: the blocks lie in an external range; there are none to clear; use malloc",
    `MEMPOOL_ERROR: realloc(${hex(ptr)}, 65): the blocks lie in an external range; copy there yourself, to a block of that size`,
  ]);
});

test("damage that the heap finds is told, not thrown; what is no HeapError is thrown", () => {
  const heap = new Heap({ bytes: 1 << 16 });
  class Odd extends Mempool {
    thrown: Error = new HeapError("ERR_CORRUPT", "free: damaged");
    override free(): void {
      throw this.thrown;
    }
  }
  const odd = new Odd(1024, 64, { backing: heap });
  mempool_use(odd);
  mempool_free(asPtr(64));
  expect(printed).toEqual(["MEMPOOL_ERROR: free: damaged"]);
  odd.thrown = new RangeError("stack");
  expect(() => mempool_free(asPtr(64))).toThrow("stack");
  odd.thrown = new HeapError("ERR_WOULD_BLOCK", "free: the lock is held");
  expect(() => mempool_free(asPtr(64))).toThrow("the lock is held");
  mempool_use(undefined);
  odd.destroy();
});
