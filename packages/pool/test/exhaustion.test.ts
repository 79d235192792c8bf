/** The backing fails at its n-th allocation, for every n: nothing is leaked, nothing is broken. */
import { type Allocator, Heap, HeapError, NULL, type Ptr } from "@heapwright/core";
import { expect, test } from "vitest";

import { FixedMemPool, VariadicMemPool } from "../src/index.ts";

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

const makers: [name: string, make: (backing: Allocator) => FixedMemPool | VariadicMemPool][] = [
  ["fixed", (backing) => new FixedMemPool(1000, 6, { backing })],
  ["variadic", (backing) => new VariadicMemPool(6000, 10, { backing })],
];

/** `undefined` when there was no memory. */
function madeOrNot<P>(make: () => P): P | undefined {
  try {
    return make();
  } catch (error) {
    if (error instanceof HeapError && error.code === "ERR_OUT_OF_MEMORY") return undefined;
    throw error;
  }
}

for (const [name, make] of makers) {
  for (const isLasting of [false, true]) {
    test(`${name} pool: the n-th allocation fails${isLasting ? " and all after it" : ""}`, () => {
      let failures = 0;
      let leaks = 0;
      for (let failAt = 1; failAt < 60; failAt += 1) {
        const heap = new Heap({ bytes: 1 << 19 });
        const backing = new Failing(heap, failAt, isLasting);
        const pool = madeOrNot(() => make(backing));
        if (pool === undefined) {
          failures += 1;
          leaks += heap.stats().liveBlocks;
          continue;
        }
        const blocks: Ptr[] = [];
        for (let i = 0; i < 120; i += 1) {
          const before = heap.stats().liveBlocks;
          const ptr = pool.malloc(1000);
          if (ptr === NULL) failures += 1;
          else blocks.push(ptr);
          expect(heap.stats().liveBlocks === before || ptr !== NULL).toBe(true);
          pool.check();
        }
        heap.check();
        for (const ptr of blocks) pool.free(ptr);
        pool.check();
        // What there was once is there again.
        for (let i = 0; i < blocks.length; i += 1) expect(pool.malloc(1000)).not.toBe(NULL);
        pool.destroy();
        heap.check();
        expect(heap.stats()).toMatchObject({ liveBlocks: 0, liveBytes: 0 });
      }
      expect(failures).toBeGreaterThan(10);
      expect(leaks).toBe(0);
    });
  }
}
