/** The backing fails at its n-th allocation, for every n: nothing is leaked, nothing is broken. */
import { type Allocator, Heap, HeapError, NULL, type Ptr, ptr as pointer, u32 } from "@heapwright/core";
import { describe, expect, test } from "vitest";

import { Array as HeapArray, ArrayDeque, HashMap } from "../src/collections/index.ts";
import { ApfAllocator, AutoPtr, owning } from "../src/index.ts";
import { same } from "./made.ts";

/** A heap whose n-th allocation fails, or all from there on. */
class Failing implements Allocator {
  readonly heap: Heap;
  readonly failAt: number;
  readonly isLasting: boolean;
  calls = 0;

  constructor(heap: Heap, failAt: number, isLasting: boolean) {
    this.heap = heap;
    this.failAt = failAt;
    this.isLasting = isLasting;
  }

  malloc(size: number): Ptr {
    return this.#fails() ? NULL : this.heap.malloc(size);
  }
  alignedAlloc(alignment: number, size: number): Ptr {
    return this.#fails() ? NULL : this.heap.alignedAlloc(alignment, size);
  }
  realloc(ptr: Ptr, size: number): Ptr {
    return this.#fails() ? NULL : this.heap.realloc(ptr, size);
  }
  free(ptr: Ptr): void {
    this.heap.free(ptr);
  }
  usableSize(ptr: Ptr): number {
    return this.heap.usableSize(ptr);
  }

  #fails(): boolean {
    this.calls += 1;
    return this.isLasting ? this.calls >= this.failAt : this.calls === this.failAt;
  }
}

/** `undefined` when there was no memory. */
function madeOrNot<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch (error) {
    if (error instanceof HeapError && error.code === "ERR_OUT_OF_MEMORY") return undefined;
    throw error;
  }
}

describe("an allocator", () => {
  for (const isLasting of [false, true]) {
    test(`the n-th allocation fails${isLasting ? " and all after it" : ""}`, () => {
      let failures = 0;
      for (let failAt = 1; failAt < 60; failAt += 1) {
        const heap = new Heap({ bytes: 1 << 20 });
        const backing = new Failing(heap, failAt, isLasting);
        const apf = madeOrNot(() => new ApfAllocator({ backing, targetApf: 20, burstLength: 30 }));
        if (apf === undefined) {
          failures += 1;
          same(heap.stats().liveBlocks, 0);
          continue;
        }
        const blocks: Ptr[] = [];
        const keep = (ptr: Ptr): void => {
          if (ptr === NULL) failures += 1;
          else blocks.push(ptr);
          apf.check();
        };
        for (let i = 0; i < 40; i += 1) {
          keep(apf.malloc(64));
          keep(apf.malloc(700));
          if (i % 10 === 0) {
            keep(apf.malloc(20_000));
            keep(apf.alignedAlloc(4096, 100));
            const large = apf.malloc(30_000);
            const moved = large === NULL ? NULL : apf.realloc(large, 60_000);
            // A failed realloc leaves the old block.
            if (large !== NULL) keep(moved === NULL ? large : moved);
          }
          if (i % 7 === 6 && blocks.length > 0) apf.free(blocks.splice(i % blocks.length, 1)[0]!);
        }
        heap.check();
        for (const ptr of blocks) apf.free(ptr);
        apf.flush();
        apf.check();
        expect(apf.stats()).toMatchObject({ liveBlocks: 0, cachedBlocks: 0, superblocks: 0, largeBlocks: 0 });
        apf.destroy();
        heap.check();
        expect(heap.stats()).toMatchObject({ liveBlocks: 0, liveBytes: 0 });
      }
      // A failure that does not last is healed by what the caches return.
      expect(failures).toBeGreaterThan(isLasting ? 500 : 1);
    });
  }

  test("what other caches hold is returned before there is no memory", () => {
    const heap = new Heap({ bytes: 400_000 });
    const apf = new ApfAllocator({ backing: heap });
    const small: Ptr[] = [];
    for (let ptr = apf.malloc(64); ptr !== NULL; ptr = apf.malloc(64)) small.push(ptr);
    expect(apf.malloc(1000)).toBe(NULL);
    for (const ptr of small) apf.free(ptr);
    expect(apf.malloc(1000)).not.toBe(NULL);
    // In one piece, beside what the caches lie in.
    expect(apf.malloc(80_000)).not.toBe(NULL);
    apf.check();
    // As many blocks as there were once are there again, less what is taken now.
    let again = 0;
    while (apf.malloc(64) !== NULL) again += 1;
    expect(again).toBeGreaterThan((small.length * 2) / 4);
    apf.destroy();
    expect(heap.stats().liveBlocks).toBe(0);
  });

  test("a heap too small for an allocator says so", () => {
    const heap = new Heap({ bytes: 5000 });
    expect(() => new ApfAllocator({ backing: heap })).toThrow(/ERR_OUT_OF_MEMORY|no \d+ bytes/);
    expect(heap.stats().liveBlocks).toBe(0);
  });

  test("a backing that cannot align serves superblocks all the same", () => {
    const heap = new Heap({ bytes: 1 << 22 });
    const backing: Allocator = {
      heap,
      malloc: (size) => heap.malloc(size),
      free: (ptr) => heap.free(ptr),
      usableSize: (ptr) => heap.usableSize(ptr),
    };
    const apf = new ApfAllocator({ backing });
    const blocks = Array.from({ length: 500 }, (_, i) => apf.malloc(8 * i));
    expect(blocks.includes(NULL)).toBe(false);
    expect(apf.alignedAlloc(256, 256) % 256).toBe(0);
    expect(() => apf.alignedAlloc(4096, 4096)).toThrow(expect.objectContaining({ code: "ERR_UNSUPPORTED" }));
    apf.check();
    for (const ptr of blocks) apf.free(ptr);
    apf.check();
    apf.destroy();
    expect(heap.stats().liveBlocks).toBe(0);
  });
});

test("a collection without memory throws, and is as it was", () => {
  for (let failAt = 1; failAt < 20; failAt += 1) {
    const heap = new Heap({ bytes: 1 << 18 });
    const backing = new Failing(heap, failAt, true);
    const array = madeOrNot(() => new HeapArray(u32, { backing }));
    const deque = madeOrNot(() => new ArrayDeque(u32, { backing }));
    const map = madeOrNot(() => new HashMap(u32, u32, { backing }));
    const fill = (add: (i: number) => void): number => {
      for (let i = 0; i < 300; i += 1) if (madeOrNot(() => (add(i), true)) === undefined) return i;
      return 300;
    };
    if (array !== undefined) {
      const count = fill((i) => array.push(i));
      same([...array].join(), Array.from({ length: count }, (_, i) => i).join());
      array.destroy();
    }
    if (deque !== undefined) {
      const count = fill((i) => deque.push_back(i));
      same([...deque].join(), Array.from({ length: count }, (_, i) => i).join());
      deque.destroy();
    }
    if (map !== undefined) {
      const count = fill((i) => map.insert(i, i));
      same(map.length, count);
      for (let i = 0; i < count; i += 1) same(map.get(i), i);
      map.destroy();
    }
    heap.check();
    expect(heap.stats().liveBlocks).toBe(0);
  }
});

test("a clone for which there is no room leaves nothing behind", () => {
  const heap = new Heap({ bytes: 1 << 18 });
  const backing = new Failing(heap, Infinity, true);
  const Box = owning(pointer, () => u32);
  const inner = AutoPtr.new(u32, 5, { backing });
  using outer = AutoPtr.new(Box, inner.into_ptr(), { backing });
  const before = heap.stats().liveBlocks;
  for (const failAt of [1, 2]) {
    const failing = new Failing(heap, failAt, true);
    const p = AutoPtr.from_ptr(Box, outer.ptr, { backing: failing });
    expect(() => p.clone()).toThrow(expect.objectContaining({ code: "ERR_OUT_OF_MEMORY" }));
    p.into_ptr();
    expect(heap.stats().liveBlocks).toBe(before);
  }
  expect(() => AutoPtr.new(u32, 5, { backing: new Failing(heap, 1, true) })).toThrow(
    expect.objectContaining({ code: "ERR_OUT_OF_MEMORY" }),
  );
});
