/** Each way to damage a pool that mem_pool_validate and check() must see, planted in the bytes; and those of an arena. */
import { asPtr, type Heap, type HeapBuffer, type Ptr } from "@heapwright/core";
import { forget } from "@heapwright/core/testing";
import { describe, expect, test } from "vitest";

import { EFAULT, EINVAL, mem_errno, mem_pool_validate, MemoryArena, MemoryPool } from "../src/index.ts";
import { ARENA, CONTAINER, POINTER, POOL, SLAB } from "../src/layout.ts";
import { allocated, heapOf, poolOf } from "./made.ts";

type Fields<C extends { readonly offsets: object }> = keyof C["offsets"];

const fieldOf = (pool: MemoryPool, name: Fields<typeof POOL>): Ptr => asPtr(pool.handle + POOL.offsets[name]);
const word = (heap: Heap<HeapBuffer>, ptr: number): number => heap.u32[ptr >>> 2]!;

/** A pool with two containers in use and three orphans, two of one size. */
function stage(options: { debug?: boolean } = {}) {
  const said: string[] = [];
  const pool = poolOf(8, { report: (message) => said.push(message), debug: true, ...options });
  const ptrs = [64, 100, 64, 64, 256].map((size, i) => allocated(pool, `variable_${i}`, size));
  const handles = ptrs.map((ptr) => ptr.container.handle);
  for (const i of [2, 3, 4]) ptrs[i]!.destroy();
  return { pool, heap: pool.heap, said, ptrs, handles, at: (i: number) => handles[i]! };
}

type Stage = ReturnType<typeof stage>;

/** Where to write what, and what is said then. By the invariants of the layout. */
const damages: Record<
  number,
  [name: string, where: (s: Stage) => number, value: (s: Stage) => number, said: RegExp][]
> = {
  1: [
    ["version", ({ pool }) => fieldOf(pool, "version"), () => 2, /no control block/],
    ["alignment", ({ pool }) => fieldOf(pool, "flags"), () => 0, /impossible flags/],
    ["flags", ({ pool }) => fieldOf(pool, "flags"), () => 0x8000_0301, /impossible flags/],
  ],
  2: [
    ["array NULL with a capacity", ({ pool }) => fieldOf(pool, "array"), () => 0, /no array/],
    ["array elsewhere", ({ pool }) => fieldOf(pool, "array"), ({ at }) => at(0) + 8, /no block of that size/],
    ["count above the capacity", ({ pool }) => fieldOf(pool, "count"), () => 9, /9 containers in an array for 8/],
    ["capacity above the array", ({ pool }) => fieldOf(pool, "capacity"), () => 1000, /no block of that size/],
    [
      "a word beyond the last",
      ({ pool, heap }) => word(heap, fieldOf(pool, "array")) + 5 * 4,
      ({ at }) => at(0),
      /not 0/,
    ],
  ],
  3: [
    ["a slot that is NULL", ({ pool, heap }) => word(heap, fieldOf(pool, "array")), () => 0, /slot 0 is empty/],
    ["a slot that leads elsewhere", ({ pool, heap }) => word(heap, fieldOf(pool, "array")), () => 12, /no container/],
    [
      "a slot beyond the heap",
      ({ pool, heap }) => word(heap, fieldOf(pool, "array")),
      () => 0xffff_fff0,
      /no container/,
    ],
    ["a container twice", ({ pool, heap }) => word(heap, fieldOf(pool, "array")), ({ at }) => at(1), /in slot 1/],
    ["a place", ({ at }) => at(0) + CONTAINER.offsets.place, () => (3 << 27) | 7, /says that it is in slot 7/],
  ],
  4: [
    ["data with size 0", ({ at }) => at(0) + CONTAINER.offsets.size, () => 0, /a container of 0 bytes/],
    ["a size without data", ({ at }) => at(0) + CONTAINER.offsets.size, () => 4096, /not all in the container's block/],
    ["a size not rounded", ({ at }) => at(0) + CONTAINER.offsets.size, () => 63, /a container of 63 bytes/],
    ["an alignment", ({ at }) => at(0) + CONTAINER.offsets.place, () => 0, /not aligned/],
    ["a stamp", ({ at }) => at(0) + CONTAINER.offsets.stamp, () => 2, /without a stamp/],
  ],
  5: [
    ["a count below 0", ({ at }) => at(0) + CONTAINER.offsets.refs, () => 0xffff_ffff, /a count of -1 references/],
    [
      "the count of an orphan below 0",
      ({ at }) => at(2) + CONTAINER.offsets.refs,
      () => 0x8000_0000,
      /a count of -2147483648/,
    ],
  ],
  6: [
    ["a container that became an orphan by itself", ({ at }) => at(0) + CONTAINER.offsets.refs, () => 0, /filed/],
    ["an orphan that is in use", ({ at }) => at(2) + CONTAINER.offsets.refs, () => 1, /no orphan, but in ring/],
    ["a link to itself", ({ at }) => at(2), ({ at }) => at(2), /filed twice|links/],
    ["a link back", ({ at }) => at(3) + 4, ({ at }) => at(3), /links are broken/],
    ["an orphan left out", ({ at }) => at(2), ({ heap, at }) => word(heap, at(3)), /links|does not end/],
    ["a mark", ({ pool }) => fieldOf(pool, "marks"), () => 0, /not marked/],
    ["the number of orphans", ({ pool }) => fieldOf(pool, "orphans"), () => 2, /3 orphans in rings, 2 counted/],
    ["the most orphans", ({ pool }) => fieldOf(pool, "maxOrphans"), () => 2, /3 orphans, 2 allowed/],
  ],
  7: [["an orphan that was written to", ({ at }) => at(4) + 24 + 200, () => 1, /an orphan's data is not 0/]],
  8: [
    ["a pointer's stamp", ({ ptrs }) => ptrs[0]!.handle, () => 0, /no pointer to a container of this pool/],
    ["a pointer's pool", ({ ptrs }) => ptrs[0]!.handle + POINTER.offsets.pool, () => 8, /no pointer to a container/],
    ["a pointer's link", ({ ptrs }) => ptrs[0]!.handle + POINTER.offsets.prev, () => 8, /links are broken/],
    ["the list's end", ({ ptrs }) => ptrs[0]!.handle + POINTER.offsets.next, ({ ptrs }) => ptrs[1]!.handle, /astray/],
    ["the list's first", ({ pool }) => fieldOf(pool, "pointers"), () => 4, /astray/],
    ["a spare block", ({ pool }) => fieldOf(pool, "spare"), ({ at }) => at(0), /spare block in a pool that keeps none/],
  ],
};

for (const [invariant, ways] of Object.entries(damages)) {
  describe(`invariant ${invariant} of a pool`, () => {
    test.each(ways)("%s", (_, where, value, said) => {
      const on = stage();
      forget(on.heap);
      expect(mem_pool_validate(on.pool)).toBe(true);
      on.pool.check();
      const [at, planted] = [where(on) >>> 2, value(on)];
      const kept = on.heap.u32[at]!;
      on.heap.u32[at] = planted;
      expect(mem_pool_validate(on.pool)).toBe(false);
      expect(mem_errno()).toBe(EFAULT);
      expect(on.said.join("\n")).toMatch(said);
      expect(on.said.every((line) => line.startsWith("Pool validation: "))).toBe(true);
      let thrown: unknown;
      try {
        on.pool.check();
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toMatchObject({ name: "HeapError", code: "ERR_CORRUPT", errno: EFAULT });
      expect(String(thrown)).toMatch(/check: invariant \d at 0x/);
      on.heap.u32[at] = kept;
      expect(mem_pool_validate(on.pool)).toBe(true);
    });
  });
}

test("validation goes on after a container that is damaged", () => {
  const { pool, heap, said, at } = stage();
  heap.i32[(at(0) + CONTAINER.offsets.refs) >>> 2] = -5;
  heap.i32[(at(1) + CONTAINER.offsets.refs) >>> 2] = -6;
  expect(mem_pool_validate(pool)).toBe(false);
  expect(said.map((line) => /a count of (-\d)/.exec(line)?.[1])).toEqual(["-5", "-6"]);
  heap.i32[(at(0) + CONTAINER.offsets.refs) >>> 2] = 1;
  heap.i32[(at(1) + CONTAINER.offsets.refs) >>> 2] = 1;
});

test("orphans are no damage, and neither is a pool without any container", () => {
  const pool = poolOf(4);
  expect(mem_pool_validate(pool)).toBe(true);
  allocated(pool, "p", 8).destroy();
  expect([pool.stats().orphans, mem_pool_validate(pool)]).toEqual([1, true]);
});

test("NULL and an empty struct are no valid pools", () => {
  expect([mem_pool_validate(null), mem_errno()]).toEqual([false, EINVAL]);
  expect([mem_pool_validate(new MemoryPool()), mem_errno()]).toEqual([false, EINVAL]);
});

test("spare blocks of a pool without debug", () => {
  const { pool, heap, said } = stage({ debug: false });
  const pointers = [1, 2, 3].map((i) => allocated(pool, `last_${i}`, 64));
  for (const pointer of pointers) pointer.destroy();
  const spare = word(heap, fieldOf(pool, "spare"));
  const below = word(heap, spare + 4);
  expect([spare, below].map((block) => word(heap, block + 8))).toEqual([3, 2]);
  expect(mem_pool_validate(pool)).toBe(true);
  for (const [where, value, finding] of [
    [spare, 1, /spare block is not 0/],
    [below + 44, 1, /spare block is not 0/],
    [spare + 4, 0, /miscounted/],
    [below + 8, 5, /miscounted/],
    [spare + 4, spare, /miscounted/],
    [fieldOf(pool, "spare"), spare + 4, /a spare block is none/],
    [fieldOf(pool, "spare"), 0xffff_fff0, /a spare block is none/],
  ] as const) {
    const kept = word(heap, where);
    heap.u32[where >>> 2] = value;
    said.length = 0;
    expect(mem_pool_validate(pool)).toBe(false);
    expect(said.join("\n")).toMatch(finding);
    heap.u32[where >>> 2] = kept;
  }
  const { liveBlocks } = heap.stats();
  expect(pool.trim()).toBe(3);
  expect(heap.stats().liveBlocks).toBe(liveBlocks - 3 - 3);
});

describe("an arena", () => {
  const arenaOf = () => {
    const heap = heapOf();
    const arena = new MemoryArena(64, { backing: heap });
    for (const size of [40, 40, 40, 500]) arena.alloc(size);
    const field = (name: Fields<typeof ARENA>) => arena.handle + ARENA.offsets[name];
    const first = word(heap, field("first"));
    return { heap, arena, field, first, current: word(heap, field("current")) };
  };
  type On = ReturnType<typeof arenaOf>;
  const ways: [name: string, where: (on: On) => number, value: (on: On) => number, said: RegExp][] = [
    ["version", ({ field }) => field("version"), () => 0, /invariant 1/],
    ["alignment", ({ field }) => field("alignment"), () => 24, /invariant 1/],
    ["a circle", ({ first }) => first, ({ first }) => first, /circle/],
    ["a slab's start", ({ first }) => first + SLAB.offsets.start, ({ first }) => first + 24, /a slab's ends/],
    ["a slab's end", ({ first }) => first + SLAB.offsets.end, ({ first }) => first + 4096, /not all in its block/],
    ["the current slab", ({ field }) => field("current"), () => 8, /invariant [34]|not in the chain/],
    ["at", ({ field }) => field("at"), ({ heap, field }) => word(heap, field("end")) + 8, /invariant 3/],
    ["end", ({ field }) => field("end"), ({ heap, field }) => word(heap, field("end")) + 8, /ends elsewhere/],
    ["used", ({ first }) => first + SLAB.offsets.used, ({ first }) => first + 17, /invariant 3/],
    ["a byte that is not in use", ({ heap, field }) => word(heap, field("at")), () => 1, /not 0/],
  ];
  test.each(ways)("%s", (_, where, value, said) => {
    const on = arenaOf();
    forget(on.heap);
    on.arena.check();
    const [at, planted] = [where(on) >>> 2, value(on)];
    const kept = on.heap.u32[at]!;
    on.heap.u32[at] = planted;
    expect(() => on.arena.check()).toThrow(said);
    on.heap.u32[at] = kept;
    on.arena.check();
    on.arena.destroy();
  });
});
