/**
 * Every allocation that can fail, failing: the documented result, the handler called exactly once with the bytes, and all as
 * it was. The words of every live block are compared, those of pools' control blocks but for marks of empty rings.
 */
import { type Heap, type HeapBuffer, HeapError } from "@heapwright/core";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import {
  ENOMEM,
  grow_pool_capacity,
  mem_arena_alloc,
  mem_arena_create,
  mem_container_create,
  mem_errno,
  mem_pointer_allocate,
  mem_pointer_create,
  mem_pointer_share,
  mem_pointer_write,
  mem_pool_add_container,
  mem_pool_init,
  mem_set_oom_handler,
  MemoryArena,
  MemoryContainer,
  MemoryPointer,
  MemoryPool,
} from "../src/index.ts";
import { allocated, Failing, got, heapOf, keep } from "./made.ts";

const told: number[] = [];
beforeEach(() => {
  told.length = 0;
  mem_set_oom_handler((requested) => told.push(requested));
});
afterEach(() => mem_set_oom_handler(null));

/** The contents of every live block. */
function contents(heap: Heap<HeapBuffer>): Map<number, string> {
  const live = [...heap.blocks()].filter(({ state }) => state === "live");
  return new Map(live.map(({ ptr, size }) => [ptr, Buffer.from(heap.bytes(ptr, size)).toString("latin1")]));
}

/** The code of the HeapError that an act throws. */
function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof HeapError) return error.code;
    throw error;
  }
  return "none";
}

interface Fixture {
  readonly backing: Failing;
  /** Full: the next container needs a larger array. */
  readonly pool: MemoryPool;
  readonly empty: MemoryPointer;
  readonly ptr: MemoryPointer;
  readonly shared: MemoryPointer;
  readonly arena: MemoryArena;
  readonly loose: MemoryContainer;
}

function fixture(debug: boolean): Fixture {
  const backing = new Failing(heapOf());
  const pool = keep(new MemoryPool(2, { backing, debug }));
  const [ptr, shared] = [allocated(pool, "ptr", 64), allocated(pool, "shared", 1000)];
  for (const { container, heap } of [ptr, shared]) heap.u8.fill(7, container.data, container.data + container.size);
  keep(shared.share("twin"));
  const empty = keep(new MemoryPointer("empty", 0, { backing }));
  const arena = keep(new MemoryArena(100, { backing }));
  got(arena.alloc(60));
  return { backing, pool, empty, ptr, shared, arena, loose: keep(new MemoryContainer(1n, 8, { backing })) };
}

interface Case {
  readonly name: string;
  /** What the handler is told when the n-th allocation fails. */
  readonly told: readonly number[];
  /** The document's way, with what it gives. */
  readonly call: (f: Fixture) => unknown;
  readonly failure: unknown;
  /** The class's way: false, or an error. */
  readonly act: (f: Fixture) => unknown;
  readonly code: string;
}

const backingOf = ({ backing }: Fixture): { backing: Failing } => ({ backing });
const CASES: Case[] = [
  {
    name: "a pool",
    told: [64, 64],
    call: (f) => mem_pool_init(keep(new MemoryPool()), 16, backingOf(f)),
    failure: false,
    act: (f) => new MemoryPool(16, backingOf(f)),
    code: "ERR_OUT_OF_MEMORY",
  },
  {
    name: "a larger array",
    told: [32],
    call: ({ pool }) => grow_pool_capacity(pool),
    failure: false,
    act: ({ pool }) => pool.grow(),
    code: "none",
  },
  {
    name: "adding a container to a full pool",
    told: [32],
    call: ({ pool, loose }) => mem_pool_add_container(pool, loose),
    failure: false,
    act: ({ pool, loose }) => pool.add(loose),
    code: "none",
  },
  {
    name: "a pointer",
    told: [48],
    call: (f) => mem_pointer_create("name", 0, backingOf(f)),
    failure: null,
    act: (f) => new MemoryPointer("name", 0, backingOf(f)),
    code: "ERR_OUT_OF_MEMORY",
  },
  {
    name: "a pointer with a long name",
    told: [128],
    call: (f) => mem_pointer_create("ü".repeat(50), 0, backingOf(f)),
    failure: null,
    act: (f) => new MemoryPointer("ü".repeat(50), 0, backingOf(f)),
    code: "ERR_OUT_OF_MEMORY",
  },
  {
    name: "a share",
    told: [48],
    call: ({ ptr }) => mem_pointer_share(ptr, "name"),
    failure: null,
    act: ({ ptr }) => ptr.share("name"),
    code: "ERR_OUT_OF_MEMORY",
  },
  {
    name: "a first container: its block, then the array",
    told: [104, 32],
    call: ({ empty, pool }) => mem_pointer_allocate(empty, 100, pool),
    failure: false,
    act: ({ empty, pool }) => empty.allocate(100, pool),
    code: "none",
  },
  {
    name: "a larger container",
    told: [5000, 32],
    call: ({ ptr, pool }) => mem_pointer_allocate(ptr, 5000, pool),
    failure: false,
    act: ({ ptr, pool }) => ptr.allocate(5000, pool),
    code: "none",
  },
  {
    name: "a copy of a shared container, smaller",
    told: [504, 32],
    call: ({ shared, pool }) => mem_pointer_allocate(shared, 500, pool),
    failure: false,
    act: ({ shared, pool }) => shared.allocate(500, pool),
    code: "none",
  },
  {
    name: "a copy before a write",
    told: [1000, 32],
    call: ({ shared, pool }) => mem_pointer_write(shared, pool),
    failure: false,
    act: ({ shared }) => shared.write(),
    code: "none",
  },
  {
    name: "a container by hand",
    told: [104],
    call: (f) => mem_container_create(1n, 100, backingOf(f)),
    failure: null,
    act: (f) => new MemoryContainer(1n, 100, backingOf(f)),
    code: "ERR_OUT_OF_MEMORY",
  },
  {
    name: "an arena: control block, then slab",
    told: [104, 104],
    call: (f) => mem_arena_create(100, backingOf(f)),
    failure: null,
    act: (f) => new MemoryArena(100, backingOf(f)),
    code: "ERR_OUT_OF_MEMORY",
  },
  {
    name: "another slab",
    told: [64],
    call: ({ arena }) => mem_arena_alloc(arena, 60),
    failure: 0,
    act: ({ arena }) => (arena.alloc(60) === 0 ? false : "served"),
    code: "none",
  },
];

describe.each([true, false])("debug: %s", (debug) => {
  describe.each(CASES)("$name", ({ told: wanted, call, failure, act, code }) => {
    test.each(wanted.map((bytes, i) => [i + 1, bytes]))("allocation %d fails: %d bytes", (nth, bytes) => {
      const f = fixture(debug);
      const { backing, pool } = f;
      const before = [contents(backing.heap), pool.stats(), f.arena.stats()];
      backing.calls = 0;
      backing.failAt = nth;
      expect([call(f), mem_errno()]).toEqual([failure, ENOMEM]);
      expect(told).toEqual([bytes]);
      expect([contents(backing.heap), pool.stats(), f.arena.stats()]).toEqual(before);
      backing.calls = 0;
      let result: unknown;
      expect(codeOf(() => (result = act(f)))).toBe(code);
      expect(result).toBe(code === "none" ? false : undefined);
      expect(told).toEqual([bytes, bytes]);
      expect([contents(backing.heap), pool.stats(), f.arena.stats()]).toEqual(before);
      // And it goes on as if nothing had been.
      backing.failAt = Infinity;
      const served = call(f);
      expect(served).not.toBe(failure);
      expect([mem_errno(), told.length]).toEqual([0, 2]);
      if (served instanceof MemoryPointer || served instanceof MemoryContainer || served instanceof MemoryArena) {
        served[Symbol.dispose]();
      }
    });
  });
});

describe("what is too large for any heap", () => {
  test.each([2 ** 31, 2 ** 32 - 8])("%d bytes: told once, and refused", (size) => {
    const f = fixture(false);
    const before = contents(f.backing.heap);
    expect(mem_pointer_allocate(f.empty, size, f.pool)).toBe(false);
    expect(mem_container_create(1n, size, backingOf(f))).toBeNull();
    expect(mem_arena_create(size, backingOf(f))).toBeNull();
    expect(mem_arena_alloc(f.arena, size)).toBe(0);
    expect(told).toEqual([size, size, size, size]);
    expect(contents(f.backing.heap)).toEqual(before);
  });

  test.each([2 ** 20, 2 ** 30, 2 ** 31, 2 ** 40])("a capacity of %d: told once, and refused", (capacity) => {
    const f = fixture(false);
    expect([mem_pool_init(new MemoryPool(), capacity, backingOf(f)), mem_errno()]).toEqual([false, ENOMEM]);
    expect(told).toEqual([capacity * 4]);
    expect(() => new MemoryPool(capacity, backingOf(f))).toThrow(
      `new MemoryPool: the backing has no ${capacity * 4} bytes; ask for less or free some`,
    );
    expect(told).toEqual([capacity * 4, capacity * 4]);
  });
});

test("orphans are given back before anybody is told", () => {
  const backing = new Failing(heapOf(1 << 17));
  const pool = keep(new MemoryPool(16, { backing, debug: false }));
  const ptrs = ["a", "b", "c"].map((name) => allocated(pool, name, 16_000));
  for (const ptr of ptrs) ptr.destroy();
  expect(pool.stats().orphans).toBe(3);
  expect(allocated(pool, "large", 90_000).container.size).toBe(90_000);
  expect([pool.count, told]).toEqual([1, []]);
});

test("a full heap serves again when something is freed", () => {
  const backing = heapOf(1 << 17);
  const pool = keep(new MemoryPool(16, { backing }));
  const ptrs: MemoryPointer[] = [];
  for (;;) {
    const ptr = keep(got(mem_pointer_create("p", 0, { backing })));
    if (!mem_pointer_allocate(ptr, 5000, pool)) break;
    ptrs.push(ptr);
  }
  expect(told).toEqual([5000]);
  pool.check();
  expect(ptrs.every((ptr) => ptr.container?.ref_count === 1)).toBe(true);
  ptrs.pop()?.destroy();
  expect(mem_pointer_allocate(keep(got(mem_pointer_create("q", 0, { backing }))), 5000, pool)).toBe(true);
  expect(told).toEqual([5000]);
});

describe("the handler", () => {
  test("may throw: that comes out of the call, on both faces, with all as it was", () => {
    const f = fixture(true);
    f.backing.failAt = 0;
    const before = contents(f.backing.heap);
    class Fatal extends Error {}
    mem_set_oom_handler(() => {
      throw new Fatal("give up");
    });
    for (const { call, act } of CASES) {
      expect(() => call(f)).toThrow(Fatal);
      expect(() => act(f)).toThrow(Fatal);
    }
    expect(contents(f.backing.heap)).toEqual(before);
  });

  test("may free something and try again itself", () => {
    const f = fixture(true);
    const spare = allocated(f.pool, "spare", 64);
    f.backing.failAt = 0;
    let isSecond = false;
    mem_set_oom_handler(() => {
      if (isSecond) return;
      isSecond = true;
      spare.destroy();
      f.backing.failAt = Infinity;
      expect(mem_pointer_allocate(f.empty, 64, f.pool)).toBe(true);
    });
    expect(mem_pointer_allocate(f.shared, 64, f.pool)).toBe(false);
    expect([f.empty.container?.size, f.shared.container?.ref_count]).toEqual([64, 2]);
  });

  test("may destroy all that the call was about", () => {
    for (const { name, call, failure } of CASES) {
      const f = fixture(false);
      f.backing.failAt = 0;
      mem_set_oom_handler(() => {
        for (const one of [f.pool, f.ptr, f.shared, f.empty, f.arena, f.loose]) one.destroy();
      });
      expect([name, call(f)]).toEqual([name, failure]);
      f.backing.heap.check();
    }
  });

  test("is the default again with null: a line to console.error, looked up at each call", () => {
    const f = fixture(true);
    f.backing.failAt = 0;
    mem_set_oom_handler(null);
    const report = vi.spyOn(console, "error").mockImplementation(() => {});
    expect(mem_pointer_allocate(f.empty, 99, f.pool)).toBe(false);
    expect(report).toHaveBeenCalledExactlyOnceWith("Memory allocation failed: requested 104 bytes");
    report.mockRestore();
  });

  test("is a function or null", () => {
    for (const value of [undefined, 1, "f", {}, Symbol("f")]) {
      expect(() => Reflect.apply(mem_set_oom_handler, undefined, [value])).toThrow(
        /^mem_set_oom_handler: the handler is .+; pass a function or null$/,
      );
    }
  });
});
