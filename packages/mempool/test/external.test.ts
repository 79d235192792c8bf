/** Ranges that are not in the heap: offsets are handed out, and no byte is touched. */
import { asPtr, HeapError, NULL, offsetPtr, type Ptr } from "@heapwright/core";
import { random, runs, seedFromEnv } from "@heapwright/core/testing";
import { expect, test } from "vitest";

import { Mempool, type MempoolOptions } from "../src/index.ts";
import { got, heapOf, keep, refused, unchanged } from "./made.ts";
import { NaivePool } from "./naive-pool.ts";

function external(size: number, blockSize: number, options: MempoolOptions & { external: object }): Mempool {
  return keep(new Mempool(size, blockSize, { backing: heapOf(), ...options }));
}

test("pointers are offsets of the range, at multiples of the alignment", () => {
  const pool = external(1 << 20, 1000, { external: { base: 4096, bytes: 1 << 20 }, alignment: 256 });
  expect(pool.isExternal).toBe(true);
  expect(pool.blockSize).toBe(1024);
  const blocks = Array.from({ length: 1024 }, () => got(pool.malloc(1000)));
  expect(blocks).toEqual(Array.from({ length: 1024 }, (_, i) => 4096 + i * 1024));
  expect(pool.malloc(1)).toBe(NULL);
  // Nothing but tables.
  const { takenBytes } = pool.stats();
  expect(takenBytes).toBeLessThan(1024 * 5);
});

test("a base that is not aligned is rounded up", () => {
  const pool = external(10_000, 100, { external: { base: 1000, bytes: 10_000 }, alignment: 256 });
  const blocks = [pool.malloc(100), pool.malloc(100)];
  expect(blocks).toEqual([1024, 1280]);
  // The last block ends inside of the range.
  let last = NULL;
  for (let ptr = pool.malloc(1); ptr !== NULL; ptr = pool.malloc(1)) last = ptr;
  expect(last + 256).toBeLessThanOrEqual(11_000);
  expect(last + 512).toBeGreaterThan(11_000);
});

test("any block size goes, and address 0 is never handed out", () => {
  const row = external(1000, 37, { external: { base: 0, bytes: 1000 } });
  expect(row.blockSize).toBe(37);
  expect([row.malloc(37), row.malloc(1), row.malloc(75)]).toEqual([1, 38, 75]);
  expect(row.malloc(37)).toBe(75 + 3 * 37);
  const pages = external(1 << 20, 4096, { external: { base: 0, bytes: 1 << 20 }, alignment: 4096 });
  expect(pages.malloc(1)).toBe(4096);
  expect(pages.stats().blockCount).toBe(255);
});

test("ranges up to 4 GiB, beyond what the heap has", () => {
  const base = 2 ** 32 - 2 ** 20;
  const pool = external(2 ** 20, 65_536, { external: { base, bytes: 2 ** 20 } });
  const blocks = Array.from({ length: 16 }, () => got(pool.malloc(65_536)));
  expect(blocks.at(-1)).toBe(2 ** 32 - 65_536);
  pool.free(blocks[15]!);
  expect(pool.malloc(1)).toBe(2 ** 32 - 65_536);
  expect(() => pool.free(offsetPtr(blocks[15]!, 100))).toThrow("100 bytes inside the 65536-byte block");
  const whole = external(2 ** 32 - 1, 2 ** 30, { external: { base: 1, bytes: 2 ** 32 - 1 } });
  expect([whole.malloc(2 ** 30), whole.malloc(2 ** 31)]).toEqual([1, 1 + 2 ** 30]);
});

test("only the size of the range is managed that was asked for", () => {
  const pool = external(1000, 100, { external: { base: 100, bytes: 10_000 } });
  expect(pool.stats().blockCount).toBe(10);
  expect(() => external(10_001, 100, { external: { base: 100, bytes: 10_000 } })).toThrow(
    refused("ERR_INVALID_ARGUMENT"),
  );
});

test("what asks for bytes is refused, and nothing has changed", () => {
  const pool = external(1 << 16, 256, { external: { base: 256, bytes: 1 << 16 } });
  const ptr = got(pool.malloc(300));
  unchanged(pool.heap, () => {
    expect(() => pool.calloc(1, 10)).toThrow(refused("ERR_UNSUPPORTED"));
    expect(() => pool.calloc(0, 0)).toThrow(refused("ERR_UNSUPPORTED"));
    expect(() => pool.realloc(ptr, 513)).toThrow(refused("ERR_UNSUPPORTED"));
    expect(pool.realloc(ptr, 512)).toBe(ptr);
    expect(() => pool.free(offsetPtr(ptr, 256))).toThrow("256 bytes inside the 512-byte block");
    expect(() => pool.free(asPtr(ptr + 512))).toThrow(refused("ERR_DOUBLE_FREE"));
    expect(() => pool.free(asPtr(1 << 17))).toThrow(refused("ERR_INVALID_POINTER"));
  });
  expect(got(pool.realloc(NULL, 10))).toBe(ptr + 512);
});

test("no byte of the heap at those offsets is touched", () => {
  const heap = heapOf();
  const mine = heap.malloc(10_000);
  heap.u8.fill(0x5a, mine, mine + 10_000);
  const pool = external(10_000, 10, { backing: heap, external: { base: mine, bytes: 10_000 } });
  const blocks: Ptr[] = [];
  for (let ptr = pool.malloc(10); ptr !== NULL; ptr = pool.malloc(10)) blocks.push(ptr);
  for (const ptr of blocks) pool.free(ptr);
  expect(heap.bytes(mine, 10_000).every((byte) => byte === 0x5a)).toBe(true);
  expect(blocks).toHaveLength(1000);
  heap.free(mine);
});

test("an attached object knows the range", () => {
  const pool = external(10_000, 100, { external: { base: 500, bytes: 10_000 } });
  const twin = Mempool.attach(pool.heap, pool.handle);
  expect([pool.malloc(100), twin.malloc(100), pool.malloc(100)]).toEqual([500, 600, 700]);
  expect(twin.isExternal).toBe(true);
  expect(() => twin.calloc(1, 1)).toThrow(refused("ERR_UNSUPPORTED"));
});

test(
  "any stride: the addresses of the original's list, and every other pointer is refused",
  { timeout: 600_000 },
  () => {
    const draw = random(seedFromEnv() + 3);
    for (let run = 0; run < runs(60); run += 1) {
      const blockSize = 1 + Math.floor(2 ** (draw() * 20));
      const count = 2 + Math.floor(draw() * 100);
      const base = 1 + Math.floor(draw() * (2 ** 32 - blockSize * count - 1));
      const bytes = blockSize * count;
      const pool = external(bytes, blockSize, { external: { base, bytes } });
      const naive = new NaivePool(base, blockSize, count);
      for (let i = 0; i < 300; i += 1) {
        const size = Math.floor(draw() * blockSize * (draw() < 0.7 ? 1 : 5));
        const [ptr, expected] = [pool.malloc(size), naive.alloc(size)];
        if (ptr !== expected) throw new Error(`run ${run}, operation ${i}: ${ptr}, not ${expected}`);
        const { live } = naive;
        if (live.length > 0 && draw() < 0.5) {
          const freed = live[Math.floor(draw() * live.length)]!;
          naive.free(freed);
          pool.free(asPtr(freed));
        }
      }
      pool.check();
      const live = new Set(naive.live);
      for (let i = 0; i < 300; i += 1) {
        const ptr = i < 150 ? base + Math.floor(draw() * bytes) : Math.floor(draw() * 2 ** 32);
        if (ptr === 0 || live.has(ptr)) continue;
        expect(() => pool.free(asPtr(ptr)), `${ptr}`).toThrow(HeapError);
      }
    }
  },
);
