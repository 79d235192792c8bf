/** The class: what the document does not have. */
import { alignedAllocFrom, asPtr, callocFrom, Heap, NULL, offsetPtr, type Ptr, reallocFrom } from "@heapwright/core";
import { expect, test } from "vitest";

import { Mempool } from "../src/index.ts";
import { got, heapOf, hex, keep, poolOf, refused, unchanged } from "./made.ts";

test("it serves what is built on the allocators' contract", () => {
  const pool = poolOf(4096, 64);
  const ptr = got(callocFrom(pool, 10, 10));
  expect(pool.heap.bytes(ptr, 100).every((byte) => byte === 0)).toBe(true);
  pool.heap.u8.fill(7, ptr, ptr + 100);
  const moved = got(reallocFrom(pool, ptr, 500));
  expect(pool.heap.bytes(moved, 100).every((byte) => byte === 7)).toBe(true);
  expect(got(alignedAllocFrom(pool, 16, 10)) % 16).toBe(0);
  expect(() => alignedAllocFrom(pool, 32, 10)).toThrow(refused("ERR_UNSUPPORTED"));
  pool.free(moved);
  pool.free(NULL);
  const inner = keep(new Mempool(1024, 16, { backing: pool }));
  expect(inner.heap).toBe(pool.heap);
  got(inner.malloc(16));
  inner.destroy();
  expect(pool.stats().liveBlocks).toBe(1);
});

test("calloc(0) and malloc(0) give a block, as malloc does everywhere", () => {
  const pool = poolOf(4096, 64);
  expect(new Set([pool.calloc(0, 8), pool.calloc(8, 0), pool.malloc(0)]).size).toBe(3);
  expect(pool.stats()).toMatchObject({ liveBlocks: 3, liveBytes: 192 });
});

test("realloc(NULL) allocates, realloc to 0 keeps the block", () => {
  const pool = poolOf(4096, 64);
  const ptr = got(pool.realloc(NULL, 100));
  expect(pool.usableSize(ptr)).toBe(128);
  expect(pool.realloc(ptr, 0)).toBe(ptr);
  expect(pool.usableSize(ptr)).toBe(128);
});

test("blocks lie at multiples of the alignment that was asked for", () => {
  for (const alignment of [1, 16, 64, 256, 4096]) {
    const pool = poolOf(40_000, 100, { alignment });
    const stride = alignment <= 16 ? 112 : Math.max(128, alignment);
    expect(pool.blockSize).toBe(stride);
    const blocks = Array.from({ length: 5 }, () => got(pool.malloc(100)));
    expect(blocks.every((ptr, i) => ptr % Math.max(16, alignment) === 0 && ptr === blocks[0]! + i * stride)).toBe(true);
    expect(pool.alignedAlloc(Math.max(16, alignment), 1) % Math.max(16, alignment)).toBe(0);
  }
});

test("messages name call, pointer, finding and remedy", () => {
  const pool = poolOf(1024, 64);
  const [single, run] = [got(pool.malloc(10)), got(pool.malloc(150))];
  const inside = `free(${hex(run + 100)}): 100 bytes inside the 192-byte block at ${hex(run)}; pass ${hex(run)}`;
  expect(() => pool.free(offsetPtr(run, 100))).toThrow(inside);
  expect(() => pool.usableSize(offsetPtr(run, 64))).toThrow(`usableSize(${hex(run + 64)}): 64 bytes inside`);
  pool.free(single);
  expect(() => pool.free(single)).toThrow(`free(${hex(single)}): the block is free already; free each block once`);
  expect(() => pool.realloc(offsetPtr(single, 4), 10)).toThrow(
    `realloc(${hex(single + 4)}): in the free block at ${hex(single)}; free each block once`,
  );
  const foreign = asPtr(run + 4096);
  expect(() => pool.free(foreign)).toThrow(
    `free(${hex(foreign)}): not from this pool; pass a pointer that it returned`,
  );
});

test("using destroys, and disposing twice is harmless", () => {
  const backing = heapOf();
  const pool = new Mempool(1024, 64, { backing });
  pool.malloc(64);
  pool[Symbol.dispose]();
  pool[Symbol.dispose]();
  expect(backing.stats().liveBlocks).toBe(0);
  expect(() => pool.destroy()).toThrow(refused("ERR_DESTROYED"));
});

test("a pool that is destroyed writes nothing, whatever takes its place", () => {
  const backing = heapOf(1 << 16);
  const pool = new Mempool(1024, 64, { backing });
  const ptr = got(pool.malloc(64));
  pool.destroy();
  const another = keep(new Mempool(1024, 64, { backing }));
  got(another.malloc(64));
  unchanged(backing, () => {
    expect(() => pool.malloc(64)).toThrow(refused("ERR_DESTROYED"));
    expect(() => pool.malloc(640)).toThrow(refused("ERR_DESTROYED"));
    expect(() => pool.free(ptr)).toThrow(refused("ERR_DESTROYED"));
  });
});

test("stats, blocks and dump agree", () => {
  const pool = poolOf(1000, 64);
  const [a, b, c] = [64, 130, 1].map((size) => got(pool.malloc(size))) as [Ptr, Ptr, Ptr];
  pool.free(a);
  expect([...pool.blocks()].slice(0, 4)).toEqual([
    { ptr: a, size: 64, state: "free" },
    { ptr: b, size: 192, state: "live" },
    { ptr: c, size: 64, state: "live" },
    { ptr: c + 64, size: 64, state: "free" },
  ]);
  const { takenBytes, ...stats } = pool.stats();
  expect(stats).toEqual({
    blockSize: 64,
    blockCount: 15,
    liveBlocks: 2,
    liveBytes: 256,
    freeBytes: 15 * 64 - 256,
    coalesced: 1,
  });
  expect(takenBytes).toBe(pool.heap.stats().liveBytes);
  const line = (ptr: number, size: number, state: string): string =>
    `${hex(ptr).padStart(12)}  ${String(size).padStart(10)}  ${state}`;
  expect(pool.dump().split("\n")).toEqual([
    `mempool of 15 blocks of 64 bytes, ${takenBytes} bytes taken from the backing`,
    "2 live blocks with 256 bytes, 704 bytes free, 1 runs coalesced",
    line(a, 64, "free"),
    line(b, 192, "live"),
    line(c, 64, "live"),
    line(c + 64, 640, "free"),
  ]);
});

test("the heap's memory may be grown by others in between", () => {
  const memory = new WebAssembly.Memory({ initial: 4, maximum: 40 });
  const heap = Heap.adopt(memory, { bytes: 4 * 65_536, maxBytes: 8 * 65_536 });
  const pool = new Mempool(20_000, 64, { backing: heap });
  const blocks: Ptr[] = [];
  for (let i = 0; i < 30; i += 1) {
    if (i % 5 === 0) memory.grow(1);
    blocks.push(got(pool.malloc(1 + ((i * 40) % 200))));
    if (i % 5 === 1) memory.grow(1);
    if (i % 3 === 0) pool.free(blocks.shift()!);
    if (i % 5 === 2) memory.grow(1);
    const ptr = got(pool.calloc(1, 300));
    if (i % 5 === 3) memory.grow(1);
    blocks.push(got(pool.realloc(ptr, 1 + i * 20)));
    pool.check();
  }
  expect(new Set(blocks).size).toBe(pool.stats().liveBlocks);
  pool.destroy();
  expect(heap.stats().liveBlocks).toBe(0);
});

test("one heap serves pools above 2 GiB", () => {
  const memory = new WebAssembly.Memory({ initial: 33_000 });
  const heap = Heap.adopt(memory, { base: 32_900 * 65_536 });
  const pool = new Mempool(100_000, 48, { backing: heap });
  const blocks = Array.from({ length: 500 }, (_, i) => got(pool.malloc((i * 17) % 200)));
  expect(Math.min(...blocks)).toBeGreaterThan(2 ** 31);
  pool.check();
  expect(() => pool.free(offsetPtr(blocks[3]!, 16))).toThrow("16 bytes inside");
  for (let i = 0; i < 500; i += 1) pool.free(blocks[(i * 321) % 500]!);
  pool.check();
  expect(pool.stats().liveBlocks).toBe(0);
  pool.destroy();
  expect(heap.stats().liveBlocks).toBe(0);
});

test("a pool of a million blocks finds the lowest run at once, wherever it is", () => {
  const heap = new Heap({ bytes: 24 << 20 });
  const count = 1 << 20;
  const pool = new Mempool(count * 16, 16, { backing: heap });
  const first = got(pool.malloc(count * 16));
  pool.free(first);
  for (let i = 0; i < count; i += 1) pool.malloc(16);
  expect(pool.malloc(16)).toBe(NULL);
  const at = (block: number): Ptr => asPtr(first + block * 16);
  for (const block of [1_000_000, 31, 32, 700_000, 700_001, 700_002, 999_999]) pool.free(at(block));
  expect(pool.malloc(48)).toBe(at(700_000));
  expect(pool.malloc(32)).toBe(at(31));
  expect(pool.malloc(32)).toBe(at(999_999));
  for (let block = 100_000; block < 200_000; block += 1) pool.free(at(block));
  expect(pool.malloc(100_001 * 16)).toBe(NULL);
  expect(pool.malloc(99_999 * 16)).toBe(at(100_000));
  expect(pool.malloc(16)).toBe(at(199_999));
  pool.check();
  pool.destroy();
});
