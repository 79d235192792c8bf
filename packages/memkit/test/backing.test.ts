/** Options that every function here takes: where blocks come from, and their alignment. */
import { type Allocator, defaultHeap, Heap, HeapError, setGlobalAllocator } from "@heapwright/core";
import { describe, expect, test } from "vitest";

import {
  MEM_ALIGNMENT,
  mem_arena_create,
  mem_container_create,
  mem_pointer_create,
  MemoryArena,
  MemoryContainer,
  MemoryPointer,
  MemoryPool,
} from "../src/index.ts";
import { allocated, bytesOf, Failing, got, heapOf, keep, poolOf } from "./made.ts";

/** What a function gives, or the code of what it throws. */
function resultOf(act: () => unknown): unknown {
  try {
    return act();
  } catch (error) {
    return error instanceof HeapError ? error.code : error;
  }
}

describe("alignment", () => {
  test("8 where none is named", () => {
    expect(MEM_ALIGNMENT).toBe(8);
    expect(poolOf(8).alignment).toBe(8);
    expect(keep(new MemoryArena(8, { backing: heapOf() })).alignment).toBe(8);
  });

  test.each([8, 16, 64, 1024])("%d: data and sizes of every container of a pool", (alignment) => {
    for (const debug of [true, false]) {
      const pool = poolOf(4, { alignment, debug });
      for (let round = 0; round < 2; round += 1) {
        const ptrs = Array.from({ length: 12 }, (_, i) => allocated(pool, `p${i}`, 1 + i * 29));
        for (const [i, ptr] of ptrs.entries()) {
          const { data, size } = ptr.container;
          expect(data % alignment).toBe(0);
          expect(size % alignment).toBe(0);
          expect(size).toBeGreaterThanOrEqual(1 + i * 29);
        }
        const shared = ptrs.map((ptr) => keep(ptr.share("s")));
        for (const one of shared) {
          expect(one.write(pool)).toBe(true);
          expect(got(one.container).data % alignment).toBe(0);
        }
        for (const ptr of [...ptrs, ...shared]) ptr.destroy();
      }
    }
  });

  test("a pointer may ask for more than its pool, and its shares do as well", () => {
    const pool = poolOf(8, { alignment: 16 });
    const ptr = allocated(pool, "simd", 10, { alignment: 64 });
    expect([ptr.container.data % 64, ptr.container.size]).toEqual([0, 64]);
    pool.heap.u8.fill(5, ptr.container.data, ptr.container.data + 64);
    const other = keep(ptr.share("twin"));
    expect(other.write(pool)).toBe(true);
    expect(got(other.container).data % 64).toBe(0);
    expect(bytesOf(pool.heap, got(other.container).data, 64)).toEqual(Array(64).fill(5));
    expect(other.allocate(65, pool)).toBe(true);
    expect([got(other.container).data % 64, got(other.container).size]).toEqual([0, 128]);
    // Less than the pool's is the pool's.
    expect(allocated(poolOf(8, { alignment: 16 }), "less", 10, { alignment: 8 }).container.size).toBe(16);
  });

  test("what a pointer has is replaced when it is not aligned as the new pool demands", () => {
    const pool = poolOf(8);
    const aligned = poolOf(8, { backing: pool.backing, alignment: 4096 });
    const ptr = allocated(pool, "p", 4096);
    pool.heap.u8.fill(5, ptr.container.data, ptr.container.data + 4096);
    expect(ptr.allocate(8, aligned)).toBe(true);
    expect(ptr.container.data % 4096).toBe(0);
  });

  test.each([0, 1, 2, 4, 7, 12, 24, -8, 8.5, 2 ** 31, NaN, Infinity, "8", 8n, null])("%o is none", (value) => {
    const alignment = value as number;
    const heap = heapOf();
    const { liveBlocks } = heap.stats();
    const options = { backing: heap, alignment };
    const acts = [
      () => new MemoryPool(8, options),
      () => new MemoryArena(8, options),
      () => new MemoryContainer(1n, 8, options),
      () => new MemoryPointer("p", 0, options),
    ];
    for (const act of acts) expect(act).toThrow(/: alignment is .+; pass a power of two from 8 to 2\^30$/);
    // The document's API gives its failure value for numbers, and throws for all else.
    const results = [
      () => mem_arena_create(8, options),
      () => mem_container_create(1n, 8, options),
      () => mem_pointer_create("p", 0, options),
    ].map((act) => resultOf(act));
    expect(results).toEqual(Array(3).fill(typeof value === "number" ? null : "ERR_INVALID_ARGUMENT"));
    expect(heap.stats().liveBlocks).toBe(liveBlocks);
  });

  test("a backing without alignedAlloc serves 8 and refuses more", () => {
    const heap = heapOf();
    const plain: Allocator = {
      heap,
      malloc: (size) => heap.malloc(size),
      free: (ptr) => heap.free(ptr),
      usableSize: (ptr) => heap.usableSize(ptr),
    };
    expect(allocated(poolOf(8, { backing: plain }), "p", 10).container.size).toBe(16);
    expect(() => new MemoryContainer(1n, 8, { backing: plain, alignment: 16 })).toThrow(
      "alignment 16: this backing has no blocks at multiples of 16; take them from its heap",
    );
  });
});

describe("backing", () => {
  test("the default heap, where none is named", () => {
    const heap = defaultHeap();
    const { liveBlocks } = heap.stats();
    const pool = keep(new MemoryPool(8));
    const ptr = keep(new MemoryPointer("p"));
    const arena = keep(new MemoryArena(64));
    const container = keep(new MemoryContainer(1n, 8));
    expect([pool, ptr, arena, container].map((one) => one.heap === heap)).toEqual([true, true, true, true]);
    for (const one of [container, arena, ptr, pool]) one[Symbol.dispose]();
    expect(heap.stats().liveBlocks).toBe(liveBlocks);
  });

  test("the global allocator, where one is set", () => {
    const heap = new Heap({ bytes: 1 << 18 });
    setGlobalAllocator(heap);
    const pool = keep(new MemoryPool(8));
    setGlobalAllocator(undefined);
    expect(pool.heap).toBe(heap);
  });

  test("any allocator of the heap, and each block goes back to it", () => {
    const backing = new Failing(heapOf());
    const pool = poolOf(1, { backing });
    const calls = (): number => backing.calls;
    const before = calls();
    const ptr = allocated(pool, "p", 64);
    expect(calls()).toBe(before + 2);
    expect([pool.backing, ptr.backing, ptr.container.backing]).toEqual([backing, backing, backing]);
    ptr.destroy();
    pool.destroy();
    expect(backing.heap.stats().liveBlocks).toBe(0);
  });

  test("a pointer may be from elsewhere in the pool's heap", () => {
    const heap = heapOf();
    const pool = poolOf(8, { backing: new Failing(heap) });
    const ptr = keep(new MemoryPointer("p", 0, { backing: heap }));
    expect(ptr.allocate(64, pool)).toBe(true);
    expect(got(ptr.container).backing).toBe(pool.backing);
    const other = keep(ptr.share("q"));
    expect(other.write(pool)).toBe(true);
    ptr.destroy();
    other.destroy();
    expect(pool.stats().orphans).toBe(2);
  });
});
