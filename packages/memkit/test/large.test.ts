/** Addresses above 2 GiB, where a signed number would be below 0. */
import { asPtr, Heap } from "@heapwright/core";
import { describe, expect, test } from "vitest";

import {
  mem_pointer_allocate,
  mem_pointer_create,
  mem_pointer_destroy,
  MemoryArena,
  MemoryContainer,
  MemoryPointer,
  MemoryPool,
} from "../src/index.ts";

const GIB = 2 ** 30;
const END = 2 ** 32 - 65_536;
const BYTES = 1 << 19;

/** Address space only: no page is touched but those of the range in use. */
const memory: WebAssembly.Memory | undefined = (() => {
  try {
    return new WebAssembly.Memory({ initial: END / 65_536, maximum: 65_536 });
  } catch {
    console.error("large.test.ts: the engine has no WebAssembly.Memory of 4 GiB; tests above 2 GiB are skipped");
    return undefined;
  }
})();

const RANGES: [name: string, base: number][] = [
  ["crosses 2 GiB", 2 * GIB - 100_008],
  ["lies above 3 GiB", 3 * GIB],
  ["ends a page below 4 GiB", END - BYTES],
];

describe.skipIf(memory === undefined).each(RANGES)("in a heap that %s", (_, base) => {
  const heapOf = (): Heap => Heap.adopt(memory ?? new WebAssembly.Memory({ initial: 0 }), { base, bytes: BYTES });
  const isHere = (ptr: number): boolean => ptr >= base && ptr < base + BYTES;

  test.each([
    [true, 8],
    [false, 8],
    [false, 64],
  ])("pools: debug %s, alignment %d", (debug, alignment) => {
    const heap = heapOf();
    const pool = new MemoryPool(4, { backing: heap, debug, alignment });
    const ptrs: MemoryPointer[] = [];
    const isFilled = (data: number, size: number, byte: number): boolean =>
      heap.bytes(asPtr(data), size).every((one) => one === byte);
    const wrong: string[] = [];
    for (let i = 0; i < 400; i += 1) {
      const ptr = mem_pointer_create(i % 3 === 0 ? "name" : "other", 0, { backing: heap });
      if (!mem_pointer_allocate(ptr, 8 + (i % 9) * 60, pool)) throw new Error("no room");
      const { data, size } = ptr.container;
      if (!isHere(data) || data % alignment !== 0 || !isFilled(data, size, 0)) wrong.push(`allocation ${i}`);
      heap.u8.fill(i, data, data + size);
      if (i % 10 === 0) {
        const other = ptr.share("shared");
        ptrs.push(other);
        const copy = other.write() ? (other.container?.data ?? 0) : 0;
        if (copy === data || !isHere(copy) || !isFilled(copy, size, i & 255)) wrong.push(`copy ${i}`);
      }
      if (i % 4 === 0) ptrs.push(ptr);
      else mem_pointer_destroy(ptr, pool);
      if (i % 25 === 0) pool.check();
    }
    expect(wrong).toEqual([]);
    const twin = MemoryPool.attach(heap, pool.handle);
    expect(twin.stats()).toEqual(pool.stats());
    expect(pool.containers.every(({ data }) => isHere(data))).toBe(true);
    expect([...pool.blocks()].every(({ ptr }) => isHere(ptr))).toBe(true);
    for (const ptr of ptrs) mem_pointer_destroy(MemoryPointer.attach(heap, ptr.handle), twin);
    pool.check();
    expect(pool.stats().liveContainers).toBe(0);
    pool.trim();
    const loose = new MemoryContainer(2n ** 64n - 1n, 100, { backing: heap, alignment });
    expect([pool.add(loose), loose.address, pool.dump().includes(`0x${loose.data.toString(16)}`)]).toEqual([
      true,
      2n ** 64n - 1n,
      true,
    ]);
    pool.destroy();
    expect(heap.stats().liveBlocks).toBe(0);
  });

  test.each([8, 64])("arenas: alignment %d", (alignment) => {
    const heap = heapOf();
    const arena = new MemoryArena(100, { backing: heap, alignment });
    const ptrs = Array.from({ length: 200 }, (__, i) => {
      const ptr = arena.alloc(1 + i);
      heap.u8.fill(i, ptr, ptr + 1 + i);
      return ptr;
    });
    arena.check();
    expect(ptrs.findIndex((ptr) => !isHere(ptr) || ptr % alignment !== 0)).toBe(-1);
    expect(ptrs.findIndex((ptr, i) => heap.bytes(ptr, 1 + i).some((byte) => byte !== i))).toBe(-1);
    const mark = arena.mark();
    const gone = arena.alloc(50_000);
    heap.u8.fill(255, gone, gone + 50_000);
    arena.rewind(mark);
    arena.check();
    expect(() => arena.rewind(asPtr(gone + 8))).toThrow(/no mark of what is in use/);
    expect(MemoryArena.attach(heap, arena.handle).stats()).toEqual(arena.stats());
    arena.destroy();
    expect(heap.stats().liveBlocks).toBe(0);
  });
});
