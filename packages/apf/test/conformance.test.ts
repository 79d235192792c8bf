/** The conformance cases, by their letters; (a) to (j) are in timescale.test.ts and tuner.test.ts, (x) in the latter. */
import { asPtr, isAligned, NULL, ptr as pointer, type Ptr, struct, u32, usize } from "@heapwright/core";
import { random, seedFromEnv } from "@heapwright/core/testing";
import { describe, expect, test } from "vitest";

import { aligned_alloc, calloc, malloc, realloc } from "../src/c.ts";
import {
  AutoPtr,
  classOf,
  defaultAllocator,
  do_aligned_alloc,
  do_free,
  do_malloc,
  do_realloc,
  type Held,
  owning,
} from "../src/index.ts";
import { ANCHOR } from "../src/layout.ts";
import { CLASS_LIMIT_BYTES, SIZES } from "../src/size-classes.ts";
import { apfOf, fail, got, heapOf } from "./made.ts";

test("k: size 0 gives 8 bytes", () => {
  const apf = apfOf();
  expect(apf.usableSize(got(apf.malloc(0)))).toBe(8);
});

test("l: the class of a size is the smallest that is large enough", () => {
  const table =
    "8,16,24,32,40,48,56,64,80,96,112,128,160,192,224,256,320,384,448,512,640,768,896,1024,1280,1536,1792,2048," +
    "2560,3072,3584,4096,5120,6144,7168,8192,10240,12288,14336";
  expect(SIZES.slice(1).join()).toBe(table);
  for (let size = 1; size <= CLASS_LIMIT_BYTES; size += 1) {
    const sizeClass = classOf(size);
    if (SIZES[sizeClass]! < size || (sizeClass > 1 && SIZES[sizeClass - 1]! >= size)) fail(`size ${size}`);
  }
  expect(classOf(0)).toBe(1);
  expect(classOf(CLASS_LIMIT_BYTES + 1)).toBe(0);
});

test("m: one and a half superblocks of a class: all distinct, writable, freed", () => {
  const apf = apfOf();
  const { heap } = apf;
  const first = got(apf.malloc(64));
  const blocks = [first];
  while (apf.stats().superblocks < 2) blocks.push(got(apf.malloc(64)));
  for (let i = blocks.length >>> 1; i > 0; i -= 1) blocks.push(got(apf.malloc(64)));
  expect(new Set(blocks).size).toBe(blocks.length);
  blocks.forEach((ptr, i) => heap.u32.fill(i, ptr >>> 2, (ptr + 64) >>> 2));
  expect(blocks.every((ptr, i) => heap.u32.subarray(ptr >>> 2, (ptr + 64) >>> 2).every((word) => word === i))).toBe(
    true,
  );
  for (const ptr of blocks) apf.free(ptr);
  expect(apf.stats().liveBlocks).toBe(0);
});

test("n: twice the largest class is a large block, which free gives back", () => {
  const backing = heapOf();
  const apf = apfOf({ backing });
  // The page map is there from here on.
  apf.free(got(apf.malloc(20_000)));
  const before = backing.stats().liveBytes;
  const ptr = got(apf.malloc(2 * CLASS_LIMIT_BYTES));
  expect(apf.stats()).toMatchObject({ largeBlocks: 1, superblocks: 0 });
  expect(backing.stats().liveBytes).toBeGreaterThanOrEqual(before + 2 * CLASS_LIMIT_BYTES);
  apf.free(ptr);
  expect(backing.stats().liveBytes).toBe(before);
});

test("o: thousands of 64 KiB at pages, all aligned and distinct", () => {
  const apf = apfOf({ backing: heapOf(1 << 20, 1 << 30) });
  const seen = new Set<Ptr>();
  for (let i = 0; i < 10_000; i += 1) {
    const ptr = apf.alignedAlloc(4096, 65_536);
    if (ptr === NULL || !isAligned(ptr, 4096)) fail(`block ${i} at ${ptr}`);
    seen.add(ptr);
  }
  expect(seen.size).toBe(10_000);
});

test("p: the block freed last is the next one of its class", () => {
  const apf = apfOf();
  const blocks = Array.from({ length: 10 }, () => got(apf.malloc(100)));
  for (const ptr of blocks) apf.free(ptr);
  for (const ptr of blocks.reverse()) expect(apf.malloc(97)).toBe(ptr);
});

test("q: the fields of an anchor are independent", () => {
  const heap = heapOf();
  const at = got(heap.malloc(8));
  for (const state of [0, 1, 2, 3]) {
    for (const count of [0, 1, 4096, 2 ** 30 - 1]) {
      ANCHOR.write(heap, at, { state, count });
      expect(ANCHOR.read(heap, at)).toEqual({ state, count });
      ANCHOR.set.state(heap, at, 3 - state);
      expect(ANCHOR.get.count(heap, at)).toBe(count);
      ANCHOR.set.count(heap, at, count ^ 1);
      expect(ANCHOR.get.state(heap, at)).toBe(3 - state);
    }
  }
  heap.free(at);
});

describe("s: AutoPtr", () => {
  test("the value is read and written, take frees the block", () => {
    const p = AutoPtr.new(usize, 16);
    p.value = 42;
    expect(p.value).toBe(42);
    const { ptr } = p;
    expect(p.take()).toBe(42);
    using q = AutoPtr.new(usize, 1);
    expect(q.ptr).toBe(ptr);
  });

  test("into_ptr keeps the block, from_ptr frees it", () => {
    const p = AutoPtr.new(usize, 7);
    const ptr = p.into_ptr();
    p[Symbol.dispose]();
    expect(defaultAllocator().heap.u32[ptr >>> 2]).toBe(7);
    AutoPtr.from_ptr(usize, ptr)[Symbol.dispose]();
    expect(() => do_free(ptr)).toThrow(/free already/);
  });

  test("nested ones are freed", () => {
    const before = defaultAllocator().stats().liveBlocks;
    const inner = AutoPtr.new(usize, 5);
    const outer = AutoPtr.new(
      owning(pointer, () => usize),
      inner.into_ptr(),
    );
    expect(defaultAllocator().stats().liveBlocks).toBe(before + 2);
    outer[Symbol.dispose]();
    expect(defaultAllocator().stats().liveBlocks).toBe(before);
  });

  test("a tree is freed, and so is a list of 100,000", () => {
    const before = defaultAllocator().stats().liveBlocks;
    interface Node {
      key: number;
      left: Ptr;
      right: Ptr;
    }
    const Tree: Held<Node> = owning(struct({ key: u32, left: pointer, right: pointer }), () => ({
      left: Tree,
      right: Tree,
    }));
    const grow = (depth: number): Ptr =>
      depth === 0 ? NULL : AutoPtr.new(Tree, { key: depth, left: grow(depth - 1), right: grow(depth - 1) }).into_ptr();
    AutoPtr.from_ptr(Tree, grow(8))[Symbol.dispose]();
    let list = NULL;
    for (let i = 0; i < 100_000; i += 1) list = AutoPtr.new(Tree, { key: i, left: list, right: NULL }).into_ptr();
    AutoPtr.from_ptr(Tree, list)[Symbol.dispose]();
    expect(defaultAllocator().stats().liveBlocks).toBe(before);
  });

  test("what a taken value owns is the caller's", () => {
    const before = defaultAllocator().stats().liveBlocks;
    // enum List { Cons(u32, AutoPtr<List>), Nil }
    interface Cons {
      head: number;
      tail: Ptr;
    }
    const List: Held<Cons> = owning(struct({ head: u32, tail: pointer }), () => ({ tail: List }));
    let list = AutoPtr.new(List, { head: 3, tail: NULL });
    for (const head of [2, 1]) list = AutoPtr.new(List, { head, tail: list.into_ptr() });
    const heads: number[] = [];
    for (;;) {
      const { head, tail } = list.take();
      heads.push(head);
      if (tail === NULL) break;
      list = AutoPtr.from_ptr(List, tail);
    }
    expect(heads).toEqual([1, 2, 3]);
    expect(defaultAllocator().stats().liveBlocks).toBe(before);
  });
});

describe("t: C's functions", () => {
  test("calloc zeroes, and notices overflow", () => {
    const { heap } = defaultAllocator();
    const dirty = got(malloc(64));
    heap.bytes(dirty, 64).fill(0xff);
    do_free(dirty);
    const ptr = got(calloc(4, 16));
    expect(ptr).toBe(dirty);
    expect(heap.bytes(ptr, 64).every((byte) => byte === 0)).toBe(true);
    do_free(ptr);
    for (const [count, size] of [
      [2 ** 32, 1],
      [2 ** 16, 2 ** 16],
      [2 ** 31, 2],
      [2 ** 53 - 1, 2 ** 53 - 1],
      [1e300, 1e300],
    ]) {
      expect(calloc(count!, size!)).toBe(NULL);
    }
  });

  test("realloc of NULL is malloc, and a block keeps its bytes through growing and shrinking", () => {
    const { heap } = defaultAllocator();
    let ptr = got(realloc(NULL, 10));
    heap.bytes(ptr, 10).set([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    for (const size of [100, 5000, 100_000, 20_000, 300, 11]) {
      ptr = got(realloc(ptr, size));
      expect([...heap.bytes(ptr, 10)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    }
    do_free(ptr);
  });

  test("aligned_alloc asks for a power of two and a multiple of it", () => {
    expect(aligned_alloc(9, 8)).toBe(NULL);
    expect(aligned_alloc(8, 12)).toBe(NULL);
    const ptr = got(aligned_alloc(256, 512));
    expect(isAligned(ptr, 256)).toBe(true);
    do_free(ptr);
  });
});

describe("u: many", () => {
  test("sizes 2^3 to 2^10, 10,000 times", () => {
    const apf = apfOf();
    for (let power = 3; power <= 10; power += 1) {
      for (let i = 0; i < 10_000; i += 1) apf.free(got(apf.malloc(2 ** power)));
    }
    expect(apf.stats().liveBlocks).toBe(0);
  });

  test("10,000 of 0 to 7 bytes, and 500,000 of 2", () => {
    const draw = random(seedFromEnv());
    const apf = apfOf({ backing: heapOf(1 << 25) });
    const some = Array.from({ length: 10_000 }, () => got(apf.malloc(Math.floor(draw() * 8))));
    expect(new Set(some).size).toBe(10_000);
    for (const ptr of some) apf.free(ptr);
    const many = Uint32Array.from({ length: 500_000 }, () => got(apf.malloc(2)));
    const { u8 } = apf.heap;
    for (const [i, ptr] of many.entries()) u8.fill(i, ptr, ptr + 2);
    for (const [i, ptr] of many.entries()) if (u8[ptr] !== (i & 255) || u8[ptr + 1] !== (i & 255)) fail(`${i}`);
    for (const ptr of many) apf.free(asPtr(ptr));
    apf.flush();
    expect(apf.stats()).toMatchObject({ liveBlocks: 0, cachedBlocks: 0, superblocks: 0 });
  });
});

test("v: blocks of 1 to 65,536 bytes keep their patterns and are freed in any order", () => {
  const draw = random(seedFromEnv() + 1);
  const apf = apfOf({ backing: heapOf(1 << 20, 1 << 29) });
  const blocks = Array.from({ length: 3000 }, (_, i) => {
    const size = 1 + Math.floor(draw() * 65_536);
    const ptr = got(apf.malloc(size));
    apf.heap.bytes(ptr, size).fill(i);
    return { ptr, size, byte: i & 255, order: draw() };
  });
  for (const { ptr, size, byte } of blocks.sort((a, b) => a.order - b.order)) {
    if (apf.heap.bytes(ptr, size).some((found) => found !== byte)) fail(`${size} bytes at ${ptr}`);
    apf.free(ptr);
  }
  expect(apf.stats().liveBlocks).toBe(0);
});

test("w: what is freed is given back: every superblock, to the last byte", () => {
  const backing = heapOf(1 << 24);
  const apf = apfOf({ backing, tuning: false });
  const blocks: Ptr[] = [];
  const round = (): void => {
    for (let i = 0; i < 20_000; i += 1) blocks.push(got(apf.malloc(16 + (i % 600))));
    for (const ptr of blocks.splice(0)) apf.free(ptr);
    apf.flush();
  };
  for (let i = 0; i < 3; i += 1) round();
  // Stacks and page map stay, superblocks do not.
  const { liveBlocks, liveBytes } = backing.stats();
  round();
  expect(apf.stats()).toMatchObject({ superblocks: 0, freeBytes: 0, cachedBlocks: 0 });
  expect(backing.stats()).toMatchObject({ liveBlocks, liveBytes });
});

test("realloc stays in its class, and moves when it saves half", () => {
  const ptr = got(do_malloc(100));
  for (const size of [97, 112, 60, 57]) expect(do_realloc(ptr, size)).toBe(ptr);
  const moved = got(do_realloc(ptr, 20));
  expect(moved).not.toBe(ptr);
  do_free(moved);
});

test("an alignment above the size makes the block as large", () => {
  const ptr = got(do_aligned_alloc(1024, 10));
  expect(isAligned(ptr, 1024)).toBe(true);
  do_free(ptr);
  const large = got(do_aligned_alloc(1 << 20, 10));
  expect(isAligned(large, 1 << 20)).toBe(true);
  do_free(large);
});
