/** What the document says, statement by statement, each test named after its section. */
import { asPtr, NULL, type Ptr } from "@heapwright/core";
import { expect, test } from "vitest";

import * as api from "../src/index.ts";
import {
  GIGABYTE,
  KILOBYTE,
  MEGABYTE,
  mempool_alloc,
  mempool_calloc,
  mempool_destroy,
  mempool_free,
  mempool_init,
  mempool_realloc,
} from "../src/index.ts";
import { got, heapOf, initiated } from "./made.ts";

const section = {
  overview: "Overview",
  api: "mempool API details",
  init: "mempool_init",
  destroy: "mempool_destroy",
  alloc: "mempool_alloc",
  calloc: "mempool_calloc",
  realloc: "mempool_realloc",
  free: "mempool_free",
};

/** As many blocks as there are. */
function exhaust(size: number): Ptr[] {
  const blocks: Ptr[] = [];
  for (let ptr = mempool_alloc(size); ptr !== NULL; ptr = mempool_alloc(size)) blocks.push(ptr);
  return blocks;
}

test(`${section.overview}: calls by the hundred thousand neither slow down nor fragment the pool`, () => {
  const { heap, pool } = initiated(100 * KILOBYTE, 32);
  const taken = heap.stats();
  const ring = Array.from({ length: 3000 }, () => got(mempool_alloc(32)));
  for (let i = 0; i < 200_000; i += 1) {
    const at = (i * 7919) % ring.length;
    mempool_free(ring[at]!);
    ring[at] = mempool_alloc(32);
  }
  expect(new Set(ring).size).toBe(3000);
  // Blocks that are freed are there again: the 3000 are the lowest of all, and the heap has given nothing more.
  expect(Math.max(...ring) - Math.min(...ring)).toBe(2999 * 32);
  expect(heap.stats()).toEqual(taken);
  for (const ptr of ring) mempool_free(ptr);
  expect(pool.stats()).toMatchObject({ liveBlocks: 0, freeBytes: 100 * KILOBYTE });
  expect(mempool_alloc(100 * KILOBYTE)).toBe(Math.min(...ring));
});

test(`${section.api}: there are six functions`, () => {
  const names = ["init", "destroy", "alloc", "calloc", "realloc", "free"].map((name) => `mempool_${name}`);
  for (const name of names) expect(Reflect.get(api, name), name).toBeTypeOf("function");
  expect(names.map((name) => (Reflect.get(api, name) as { length: number }).length)).toEqual([3, 0, 1, 2, 2, 1]);
});

test(`${section.init}: it takes the overall size and the default block size, and creates the pool`, () => {
  const { pool } = initiated(KILOBYTE, 64);
  expect(pool.stats()).toMatchObject({ blockSize: 64, blockCount: 16, liveBlocks: 0, freeBytes: KILOBYTE });
});

test(`${section.init}: a size that is too small runs out of space, and does not resize`, () => {
  const { heap, said } = initiated(KILOBYTE, 64);
  const before = heap.stats();
  expect(exhaust(64)).toHaveLength(16);
  expect(mempool_alloc(64)).toBe(NULL);
  expect(heap.stats()).toEqual(before);
  expect(said).toHaveLength(2);
});

test(`${section.init}: KILOBYTE, MEGABYTE and GIGABYTE are included`, () => {
  expect([KILOBYTE, MEGABYTE, GIGABYTE]).toEqual([1024, 1024 ** 2, 1024 ** 3]);
  expect(exhaustOf(MEGABYTE, KILOBYTE)).toBe(1024);
});

function exhaustOf(size: number, blockSize: number): number {
  initiated(size, blockSize);
  return exhaust(blockSize).length;
}

test(`${section.init}: blocks of the default size are allocated over and over without coalescing`, () => {
  const { pool } = initiated(64 * KILOBYTE, 128);
  for (let i = 0; i < 2000; i += 1) mempool_free(got(mempool_alloc(i % 129)));
  expect(pool.stats().coalesced).toBe(0);
});

test(`${section.init}: with a default that is too small the pool coalesces blocks to get the size`, () => {
  const { heap, pool } = initiated(64 * KILOBYTE, 16);
  const sizes = Array.from({ length: 100 }, (_, i) => 17 + i * 5);
  const blocks = sizes.map((size) => got(mempool_alloc(size)));
  expect(pool.stats().coalesced).toBe(100);
  blocks.forEach((ptr, i) => heap.u8.fill(i, ptr, ptr + sizes[i]!));
  blocks.forEach((ptr, i) => expect(heap.bytes(ptr, sizes[i]!).every((byte) => byte === i)).toBe(true));
});

test(`${section.destroy}: it destroys the entire pool`, () => {
  const { said, pool } = initiated(KILOBYTE, 64);
  const ptr = got(mempool_alloc(64));
  expect(mempool_destroy()).toBe(1);
  expect(() => pool.free(ptr)).toThrow("the pool has been destroyed");
  expect(said).toEqual([]);
});

test(`${section.destroy}: it gives back all the memory that init has taken, whatever is allocated`, () => {
  for (const size of [KILOBYTE, 100_000, MEGABYTE]) {
    const backing = heapOf(2 * MEGABYTE);
    const before = backing.stats();
    for (let round = 0; round < 3; round += 1) {
      expect(mempool_init(size, 100, { backing })).toBe(1);
      for (let i = 0; i < 6; i += 1) got(mempool_alloc(i * 20));
      expect(mempool_destroy()).toBe(1);
      const { liveBlocks, liveBytes } = before;
      expect(backing.stats()).toMatchObject({ liveBlocks, liveBytes });
    }
  }
});

test(`${section.alloc}: it returns the start of a region of num_bytes that is the caller's alone`, () => {
  const { heap } = initiated(64 * KILOBYTE, 64);
  const sizes = Array.from({ length: 120 }, (_, i) => (i * 37) % 300);
  const blocks = sizes.map((size) => got(mempool_alloc(size)));
  blocks.forEach((ptr, i) => heap.u8.fill(i + 1, ptr, ptr + sizes[i]!));
  blocks.forEach((ptr, i) => expect(heap.bytes(ptr, sizes[i]!).every((byte) => byte === i + 1)).toBe(true));
});

test(`${section.alloc}: out of space it returns NULL`, () => {
  initiated(KILOBYTE, 64);
  expect(mempool_alloc(KILOBYTE + 1)).toBe(NULL);
  exhaust(64);
  expect(mempool_alloc(1)).toBe(NULL);
});

test(`${section.calloc}: it holds num_members of size bytes each, all 0, and returns the first`, () => {
  const { heap, pool } = initiated(64 * KILOBYTE, 64);
  const all = got(mempool_alloc(64 * KILOBYTE));
  heap.u8.fill(0xff, all, all + 64 * KILOBYTE);
  mempool_free(all);
  for (const [members, size] of [
    [1, 64],
    [10, 3],
    [25, 40],
    [1, 1],
  ] as const) {
    const ptr = got(mempool_calloc(members, size));
    expect(pool.usableSize(ptr)).toBeGreaterThanOrEqual(members * size);
    expect(heap.bytes(ptr, members * size).every((byte) => byte === 0)).toBe(true);
  }
  expect(mempool_calloc(64 * KILOBYTE, 2)).toBe(NULL);
});

test(`${section.realloc}: it makes a chunk num_bytes large and keeps what is in it`, () => {
  const { heap, pool } = initiated(64 * KILOBYTE, 64);
  let ptr = got(mempool_alloc(10));
  heap.u8.set([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], ptr);
  for (const bytes of [11, 64, 65, 200, 1000, 20_000]) {
    ptr = got(mempool_realloc(ptr, bytes));
    expect(pool.usableSize(ptr)).toBeGreaterThanOrEqual(bytes);
    expect([...heap.bytes(ptr, 10)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  }
  mempool_free(ptr);
  expect(pool.stats().liveBlocks).toBe(0);
});

test(`${section.realloc}: it does not downsize`, () => {
  const { pool } = initiated(64 * KILOBYTE, 64);
  const ptr = got(mempool_alloc(1000));
  for (const bytes of [999, 64, 1]) expect(mempool_realloc(ptr, bytes)).toBe(ptr);
  expect(pool.usableSize(ptr)).toBe(1024);
});

test(`${section.free}: it releases the chunk that the pointer points to`, () => {
  const { pool } = initiated(KILOBYTE, 64);
  const [one, run, other] = [got(mempool_alloc(64)), got(mempool_alloc(200)), got(mempool_alloc(64))];
  mempool_free(run);
  expect(pool.stats()).toMatchObject({ liveBlocks: 2, liveBytes: 128 });
  expect(mempool_alloc(256)).toBe(run);
  mempool_free(one);
  mempool_free(other);
  expect(mempool_alloc(64)).toBe(one);
});

test(`${section.free}: a pointer that was never allocated brings a message that speaks of a double free`, () => {
  const { said, pool } = initiated(KILOBYTE, 64);
  const ptr = got(mempool_alloc(64));
  mempool_free(asPtr(ptr + 64));
  expect(said).toHaveLength(1);
  mempool_free(ptr);
  mempool_free(ptr);
  expect(said).toHaveLength(2);
  for (const message of said) expect(message).toContain("Potential double free detected");
  pool.check();
});
