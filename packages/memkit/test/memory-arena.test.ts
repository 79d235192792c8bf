import { asPtr, type Heap, type HeapBuffer, type HeapErrorCode, NULL, type Ptr } from "@heapwright/core";
import { random, seedFromEnv } from "@heapwright/core/testing";
import { describe, expect, test } from "vitest";

import { mem_set_oom_handler, MemoryArena } from "../src/index.ts";
import { bytesOf, Failing, got, heapOf, keep } from "./made.ts";

const code = (wanted: HeapErrorCode): unknown => expect.objectContaining({ name: "HeapError", code: wanted });

function arenaOf(size: number, alignment: number = 8, backing: Heap<HeapBuffer> = heapOf()): MemoryArena {
  return keep(new MemoryArena(size, { backing, alignment }));
}
const sizesOf = (arena: MemoryArena): number[] => [...arena.blocks()].map(({ size }) => size);
const usedOf = (arena: MemoryArena): number[] => [...arena.blocks()].map(({ used }) => used);

test("an arena hands out a slab from its first to its last byte", () => {
  const arena = arenaOf(1000);
  expect([arena.size, arena.used, arena.next]).toEqual([1000, 0, null]);
  const ptrs = Array.from({ length: 125 }, () => got(arena.alloc(3)));
  expect(ptrs).toEqual(Array.from({ length: 125 }, (_, i) => arena.memory + 8 * i));
  expect([arena.used, arena.next]).toEqual([1000, null]);
  got(arena.alloc(1));
  expect(arena.next).toMatchObject({ size: 2000, used: 8, next: null });
});

test("what it hands out is 0, also after a reset and in slabs that were used before", () => {
  const backing = heapOf();
  const dirty = backing.malloc(60_000);
  backing.u8.fill(255, dirty, dirty + 60_000);
  backing.free(dirty);
  const arena = arenaOf(256, 8, backing);
  for (let round = 0; round < 3; round += 1) {
    for (const size of [1, 100, 256, 300, 2000, 8]) {
      const ptr = got(arena.alloc(size));
      expect(bytesOf(backing, ptr, size)).toEqual(Array(size).fill(0));
      backing.u8.fill(255, ptr, ptr + size);
    }
    arena.reset();
  }
});

test("allocations do not overlap, whatever their order, and keep what was written", () => {
  const draw = random(seedFromEnv());
  const arena = arenaOf(500);
  const { heap } = arena;
  const made = Array.from({ length: 2000 }, (_, i) => {
    const size = 1 + Math.floor(draw() ** 3 * 900);
    const ptr = got(arena.alloc(size));
    heap.u8.fill(i & 255, ptr, ptr + size);
    return { ptr, size, key: i & 255 };
  });
  arena.check();
  expect(made.findIndex(({ ptr, size, key }) => heap.bytes(ptr, size).some((byte) => byte !== key))).toBe(-1);
  expect(arena.stats().slabs).toBeGreaterThan(4);
});

test.each([8, 16, 64, 4096])("all is aligned to %d where that is asked for", (alignment) => {
  const arena = arenaOf(100, alignment);
  expect(arena.alignment).toBe(alignment);
  const ptrs = Array.from({ length: 40 }, (_, i) => got(arena.alloc(1 + ((i * 37) % 300))));
  expect(ptrs.filter((ptr) => ptr % alignment !== 0)).toEqual([]);
  expect(sizesOf(arena).filter((size) => size % alignment !== 0)).toEqual([]);
});

describe("slabs", () => {
  test("each is twice the last one, or twice a request that is larger than that", () => {
    const arena = arenaOf(104);
    for (let i = 0; i < 8; i += 1) got(arena.alloc(104));
    expect(sizesOf(arena)).toEqual([104, 208, 416, 832]);
    got(arena.alloc(5000));
    expect(sizesOf(arena)).toEqual([104, 208, 416, 832, 10_000]);
    got(arena.alloc(5000));
    got(arena.alloc(8));
    expect(sizesOf(arena)).toEqual([104, 208, 416, 832, 10_000, 20_000]);
  });

  test("the current slab serves, not gaps in earlier ones", () => {
    const arena = arenaOf(104);
    const [x, y, z] = [60, 60, 30].map((size) => got(arena.alloc(size))) as [Ptr, Ptr, Ptr];
    expect([x, z]).toEqual([arena.memory, y + 64]);
    expect(usedOf(arena)).toEqual([64, 96]);
    expect(arena.stats()).toEqual({ usedBytes: 160, freeBytes: 112, slabs: 2, bytes: 312 });
  });

  test("where twice as much is not to be had, as much as is asked for is taken", () => {
    const arena = arenaOf(50_000, 8, heapOf(1 << 17));
    got(arena.alloc(50_000));
    got(arena.alloc(60_000));
    expect(sizesOf(arena)).toEqual([50_000, 60_000]);
  });

  test("a request that is refused by the backing leaves the arena as it is", () => {
    const backing = new Failing(heapOf());
    const arena = keep(new MemoryArena(100, { backing }));
    got(arena.alloc(60));
    backing.failAt = 0;
    const before = [arena.stats(), usedOf(arena), arena.mark()];
    mem_set_oom_handler(() => {});
    expect(arena.alloc(60)).toBe(NULL);
    mem_set_oom_handler(null);
    expect([arena.stats(), usedOf(arena), arena.mark()]).toEqual(before);
    expect(got(arena.alloc(40))).toBe(arena.memory + 64);
  });
});

describe("mark, rewind, reset", () => {
  test("a rewind frees and zeroes what came after the mark, in the same slab", () => {
    const arena = arenaOf(1000);
    const { heap } = arena;
    const kept = got(arena.alloc(100));
    heap.u8.fill(1, kept, kept + 100);
    const mark = arena.mark();
    const gone = got(arena.alloc(500));
    heap.u8.fill(255, gone, gone + 500);
    arena.rewind(mark);
    expect(bytesOf(heap, gone, 500)).toEqual(Array(500).fill(0));
    expect(bytesOf(heap, kept, 100)).toEqual(Array(100).fill(1));
    expect([arena.used, arena.alloc(8)]).toEqual([104, gone]);
  });

  test("a rewind over slabs keeps them for what comes next", () => {
    const arena = arenaOf(104);
    const { heap } = arena;
    const first = got(arena.alloc(40));
    const mark = arena.mark();
    const seen = [64, 200, 400, 800].map((size) => {
      const ptr = got(arena.alloc(size));
      heap.u8.fill(255, ptr, ptr + size);
      return [ptr, size] as const;
    });
    const slabs = sizesOf(arena);
    const { liveBytes } = heap.stats();
    arena.rewind(mark);
    arena.check();
    for (const [ptr, size] of seen) expect(heap.bytes(ptr, size).every((byte) => byte === 0)).toBe(true);
    expect([sizesOf(arena), usedOf(arena)]).toEqual([slabs, [40, ...slabs.slice(1).map(() => 0)]]);
    expect(seen.map(([, size]) => arena.alloc(size))).toEqual(seen.map(([ptr]) => ptr));
    expect([heap.stats().liveBytes, first]).toEqual([liveBytes, arena.memory]);
  });

  test("marks nest", () => {
    const arena = arenaOf(64);
    const marks = Array.from({ length: 10 }, () => {
      const mark = arena.mark();
      got(arena.alloc(40));
      return mark;
    });
    for (const mark of marks.reverse()) {
      arena.rewind(mark);
      expect(arena.mark()).toBe(mark);
    }
    expect(arena.stats().usedBytes).toBe(0);
  });

  test("what is no mark of what is in use is refused, with nothing changed", () => {
    const arena = arenaOf(104);
    const [first] = [got(arena.alloc(40)), got(arena.alloc(100))];
    const late = arena.mark();
    arena.rewind(first);
    got(arena.alloc(16));
    const before = [arena.stats(), usedOf(arena)];
    for (const mark of [late, first + 24, first + 4, arena.memory - 8, 0, -8, 1.5, NaN, 2 ** 32, arena.handle]) {
      expect(() => arena.rewind(asPtr(mark)), String(mark)).toThrow(code("ERR_INVALID_ARGUMENT"));
    }
    expect([arena.stats(), usedOf(arena)]).toEqual(before);
    expect(() => arena.rewind(late)).toThrow(
      /^rewind\(0x[0-9a-f]+\): no mark of what is in use in this arena; pass what mark\(\) gave since the last reset/,
    );
  });

  test("a reset frees all and keeps the slabs", () => {
    const arena = arenaOf(104);
    const ptrs = Array.from({ length: 20 }, () => got(arena.alloc(50)));
    const { bytes, slabs } = arena.stats();
    arena.reset();
    expect(arena.stats()).toEqual({ usedBytes: 0, freeBytes: bytes, slabs, bytes });
    expect(Array.from({ length: 20 }, () => arena.alloc(50))).toEqual(ptrs);
    arena.reset();
    arena.reset();
    expect(arena.mark()).toBe(arena.memory);
  });
});

test("destroyed, it gives everything back, and every call is refused", () => {
  const backing = heapOf();
  const { liveBlocks } = backing.stats();
  const arena = new MemoryArena(104, { backing });
  const twin = MemoryArena.attach(backing, arena.handle);
  for (let i = 0; i < 20; i += 1) got(arena.alloc(50));
  const mark = arena.mark();
  arena.destroy();
  expect(backing.stats().liveBlocks).toBe(liveBlocks);
  for (const one of [arena, twin]) {
    const acts: (() => unknown)[] = [
      () => one.alloc(8),
      () => one.alloc(1 << 20),
      () => one.mark(),
      () => one.rewind(mark),
      () => one.reset(),
      () => one.destroy(),
      () => one.stats(),
      () => [...one.blocks()],
      () => one.dump(),
      () => one.check(),
      () => one.handle,
      () => one.memory,
      () => one.size,
      () => one.used,
      () => one.next,
    ];
    for (const act of acts) expect(act).toThrow(code("ERR_DESTROYED"));
    one[Symbol.dispose]();
  }
});

test("two objects over one arena take turns", () => {
  const arena = arenaOf(104);
  const twin = MemoryArena.attach(arena.heap, arena.handle);
  const ptrs = Array.from({ length: 40 }, (_, i) => got((i % 2 === 0 ? arena : twin).alloc(24)));
  expect(new Set(ptrs).size).toBe(40);
  expect(twin.stats()).toEqual(arena.stats());
  twin.reset();
  expect(arena.alloc(8)).toBe(ptrs[0]);
});

test("a dump has a line for each slab", () => {
  const arena = arenaOf(104);
  for (const size of [60, 60, 30]) got(arena.alloc(size));
  const lines = arena.dump().split("\n");
  expect(lines[0]).toBe("arena with 2 slabs, 160 of 312 bytes in use");
  expect(lines.slice(1).map((line) => line.trim().split(/\s+/))).toEqual([
    [`0x${arena.memory.toString(16)}`, "104", "64", "in", "use"],
    [`0x${arena.next?.memory.toString(16)}`, "208", "96", "in", "use"],
  ]);
});

test("a heap that grows detaches views, and arenas go on", () => {
  const backing = heapOf(1 << 16, 1 << 22);
  const arena = arenaOf(1000, 8, backing);
  const first = got(arena.alloc(8));
  backing.u32[first >>> 2] = 42;
  for (let i = 0; i < 100; i += 1) got(arena.alloc(10_000));
  expect(backing.size).toBeGreaterThan(1 << 16);
  expect(backing.u32[first >>> 2]).toBe(42);
});
