/** The tests of the original and the cases derived from it; the letters are those of the README. */
import { asPtr, NULL } from "@heapwright/core";
import { afterEach, describe, expect, test, vi } from "vitest";

import {
  EFAULT,
  EINVAL,
  ENOENT,
  ENOMEM,
  EOVERFLOW,
  grow_pool_capacity,
  mem_arena_alloc,
  mem_arena_create,
  mem_arena_destroy,
  mem_compute_hash,
  mem_container_create,
  mem_container_destroy,
  mem_errno,
  mem_pointer_allocate,
  mem_pointer_create,
  mem_pointer_destroy,
  mem_pointer_share,
  mem_pointer_write,
  mem_pool_add_container,
  mem_pool_destroy,
  mem_pool_get_count,
  mem_pool_get_total_bytes,
  mem_pool_init,
  mem_pool_validate,
  mem_set_oom_handler,
  MemoryPointer,
  MemoryPool,
  remove_container_from_pool,
} from "../src/index.ts";
import { allocated, bytesOf, Failing, got, heapOf, keep, poolOf } from "./made.ts";

afterEach(() => mem_set_oom_handler(null));

describe("tests of the original", () => {
  test("a: a container of 100 bytes has 104", () => {
    const backing = heapOf();
    const pool = keep(new MemoryPool());
    expect(mem_pool_init(pool, 8, { backing })).toBe(true);
    const ptr = got(mem_pointer_create("test", 0, { backing }));
    expect(mem_pointer_allocate(ptr, 100, pool)).toBe(true);
    const container = got(ptr.container);
    expect(container.data).toBeGreaterThan(0);
    expect(container.size).toBe(104);
    mem_pointer_destroy(ptr, pool);
    mem_pool_destroy(pool);
  });

  test("b: an array of 100 ints in an arena of 4096 bytes", () => {
    const backing = heapOf();
    const arena = got(mem_arena_create(4096, { backing }));
    const array = got(mem_arena_alloc(arena, 400));
    for (let i = 0; i < 100; i += 1) backing.i32[(array >>> 2) + i] = i * i;
    expect([...backing.i32.subarray(array >>> 2, (array >>> 2) + 100)]).toEqual(
      Array.from({ length: 100 }, (_, i) => i * i),
    );
    mem_arena_destroy(arena);
  });

  test("c: the example stores 42 in 1024 bytes", () => {
    const backing = heapOf();
    const pool = keep(new MemoryPool());
    expect(mem_pool_init(pool, 16, { backing })).toBe(true);
    const buffer = got(mem_pointer_create("example_buffer", 1024, { backing }));
    if (!mem_pointer_allocate(buffer, 1024, pool)) throw new Error("no room");
    backing.i32[buffer.container.data >>> 2] = 42;
    expect(buffer.container.size).toBe(1024);
    expect(backing.i32[buffer.container.data >>> 2]).toBe(42);
    mem_pointer_destroy(buffer, pool);
    mem_pool_destroy(pool);
  });
});

/** A result with the number that says why. */
const errno = <T>(result: T): [T, number] => [result, mem_errno()];

describe("d: the table's error rows", () => {
  test("NULL", () => {
    const pool = poolOf(8);
    const { backing } = pool;
    const ptr = keep(new MemoryPointer("p", 0, { backing }));
    const container = keep(got(mem_container_create(1n, 8, { backing })));
    expect(errno(mem_pool_init(null, 8))).toEqual([false, EINVAL]);
    expect(errno(mem_pointer_create(null, 8))).toEqual([null, EINVAL]);
    expect(errno(mem_pointer_allocate(null, 8, pool))).toEqual([false, EINVAL]);
    expect(errno(mem_pointer_allocate(ptr, 8, null))).toEqual([false, EINVAL]);
    expect(errno(mem_pointer_share(null, "s"))).toEqual([null, EINVAL]);
    expect(errno(mem_pointer_share(ptr, null))).toEqual([null, EINVAL]);
    expect(errno(mem_pointer_write(null, pool))).toEqual([false, EINVAL]);
    expect(errno(mem_pointer_write(ptr, null))).toEqual([false, EINVAL]);
    expect(errno(mem_pool_add_container(null, container))).toEqual([false, EINVAL]);
    expect(errno(mem_pool_add_container(pool, null))).toEqual([false, EINVAL]);
    expect(errno(remove_container_from_pool(null, container, true))).toEqual([false, EINVAL]);
    expect(errno(remove_container_from_pool(pool, null, true))).toEqual([false, EINVAL]);
    expect(errno(grow_pool_capacity(null))).toEqual([false, EINVAL]);
    expect(errno(mem_arena_alloc(null, 8))).toEqual([NULL, EINVAL]);
    expect(mem_pool_get_count(null)).toBe(0);
    expect(mem_pool_get_total_bytes(null)).toBe(0);
    expect(mem_compute_hash(null)).toBe(0n);
    expect(mem_pool_validate(null)).toBe(false);
    for (const act of [mem_pool_destroy, mem_container_destroy, mem_arena_destroy]) expect(act(null)).toBeUndefined();
    expect(mem_pointer_destroy(null, pool)).toBeUndefined();
    expect(mem_errno()).toBe(0);
  });

  test("sizes that are none, or too large", () => {
    const pool = poolOf(8);
    const { backing } = pool;
    const ptr = keep(new MemoryPointer("p", 0, { backing }));
    const arena = keep(got(mem_arena_create(64, { backing })));
    mem_set_oom_handler(() => {});
    for (const size of [0, -1, 1.5, NaN, Infinity]) {
      expect(errno(mem_pointer_allocate(ptr, size, pool)), String(size)).toEqual([false, EINVAL]);
      expect(errno(mem_container_create(1n, size, { backing })), String(size)).toEqual([null, EINVAL]);
      expect(errno(mem_arena_create(size, { backing })), String(size)).toEqual([null, EINVAL]);
      expect(errno(mem_arena_alloc(arena, size)), String(size)).toEqual([NULL, EINVAL]);
    }
    for (const size of [2 ** 32 - 7, 2 ** 32, 2 ** 53, 1e300]) {
      expect(errno(mem_pointer_allocate(ptr, size, pool)), String(size)).toEqual([false, EOVERFLOW]);
      expect(errno(mem_container_create(1n, size, { backing })), String(size)).toEqual([null, EOVERFLOW]);
      expect(errno(mem_arena_alloc(arena, size)), String(size)).toEqual([NULL, ENOMEM]);
    }
    for (const size of [2 ** 31, 2 ** 32 - 8]) {
      expect(errno(mem_pointer_allocate(ptr, size, pool)), String(size)).toEqual([false, ENOMEM]);
      expect(errno(mem_container_create(1n, size, { backing })), String(size)).toEqual([null, ENOMEM]);
      expect(errno(mem_arena_create(size, { backing })), String(size)).toEqual([null, ENOMEM]);
    }
    expect(ptr.container).toBeNull();
    expect(errno(mem_pool_init(new MemoryPool(), 2 ** 40, { backing }))).toEqual([false, ENOMEM]);
    expect(errno(mem_pool_init(new MemoryPool(), -1, { backing }))).toEqual([false, EINVAL]);
  });

  test("a struct before init, and one that is initialised twice", () => {
    const backing = heapOf();
    const pool = keep(new MemoryPool());
    const ptr = keep(new MemoryPointer("p", 0, { backing }));
    const container = keep(got(mem_container_create(1n, 8, { backing })));
    expect(errno(mem_pointer_allocate(ptr, 8, pool))).toEqual([false, EINVAL]);
    expect(errno(mem_pointer_write(ptr, pool))).toEqual([false, EINVAL]);
    expect(errno(mem_pool_add_container(pool, container))).toEqual([false, EINVAL]);
    expect(errno(remove_container_from_pool(pool, container, false))).toEqual([false, EINVAL]);
    expect(errno(grow_pool_capacity(pool))).toEqual([false, EINVAL]);
    expect(errno(mem_pool_get_count(pool))).toEqual([0, EINVAL]);
    expect(errno(mem_pool_get_total_bytes(pool))).toEqual([0, EINVAL]);
    expect(errno(mem_pool_validate(pool))).toEqual([false, EINVAL]);
    mem_pool_destroy(pool);
    expect(mem_errno()).toBe(EINVAL);
    expect(mem_pool_init(pool, 8, { backing })).toBe(true);
    expect(errno(mem_pool_init(pool, 8, { backing }))).toEqual([false, EINVAL]);
    expect(pool.capacity).toBe(8);
    mem_pool_destroy(pool);
    expect(mem_pool_init(pool, 0, { backing })).toBe(true);
    expect(pool.capacity).toBe(32);
  });

  test("what is not found, and a count below 0", () => {
    const pool = poolOf(8);
    const other = poolOf(8, { backing: pool.backing });
    const ptr = allocated(pool, "p", 8);
    const { container, heap } = ptr;
    expect(errno(remove_container_from_pool(other, container, true))).toEqual([false, ENOENT]);
    heap.i32[(container.handle + 12) >>> 2] = -1;
    expect(container.ref_count).toBe(-1);
    const report = vi.spyOn(console, "error").mockImplementation(() => {});
    expect(errno(remove_container_from_pool(pool, container, true))).toEqual([false, EFAULT]);
    expect(report).toHaveBeenCalledOnce();
    report.mockRestore();
    heap.i32[(container.handle + 12) >>> 2] = 1;
    expect(pool.count).toBe(1);
  });

  test("a pool that has lost its array, and one that no heap could hold twice", () => {
    const said: string[] = [];
    const pool = poolOf(8, { report: (message) => said.push(message) });
    const [array, capacity] = [16, 20].map((offset) => (pool.handle + offset) >>> 2) as [number, number];
    const { u32 } = pool.heap;
    const kept = u32[array]!;
    u32[array] = 0;
    expect(errno(grow_pool_capacity(pool))).toEqual([false, EFAULT]);
    expect(said).toEqual([expect.stringContaining("grow: the pool has lost its array")]);
    u32[array] = kept;
    u32[capacity] = 2 ** 31;
    expect(errno(grow_pool_capacity(pool))).toEqual([false, EOVERFLOW]);
    u32[capacity] = 8;
  });

  test("errno is 0 after a call that did not fail", () => {
    const pool = poolOf(8);
    mem_pointer_allocate(null, 8, pool);
    expect(mem_errno()).toBe(EINVAL);
    mem_pool_get_count(pool);
    expect(mem_errno()).toBe(0);
  });
});

test("e: a request that fits leaves the container as it is", () => {
  const pool = poolOf(8);
  const ptr = allocated(pool, "p", 100);
  const { container, heap } = ptr;
  heap.u8.fill(7, container.data, container.data + 104);
  expect(mem_pointer_allocate(ptr, 50, pool)).toBe(true);
  expect(ptr.container).toBe(container);
  expect(container.size).toBe(104);
  expect(bytesOf(heap, container.data, 104)).toEqual(Array(104).fill(7));
});

test("f: a shared container is copied before it is given to one alone", () => {
  const pool = poolOf(8);
  const ptr = allocated(pool, "p", 100);
  const { container, heap } = ptr;
  for (let i = 0; i < 104; i += 1) heap.u8[container.data + i] = i;
  const other = keep(got(mem_pointer_share(ptr, "q")));
  expect(container.ref_count).toBe(2);
  expect(mem_pointer_allocate(other, 50, pool)).toBe(true);
  const own = got(other.container);
  expect([own.size, own.ref_count, container.ref_count, pool.count]).toEqual([56, 1, 1, 2]);
  expect(own.address).toBe(mem_compute_hash("q"));
  expect(bytesOf(heap, own.data, 56)).toEqual(Array.from({ length: 56 }, (_, i) => i));
  heap.u8.fill(255, own.data, own.data + 56);
  expect(bytesOf(heap, container.data, 104)).toEqual(Array.from({ length: 104 }, (_, i) => i));
});

test("f: a write makes the container exclusive first", () => {
  const pool = poolOf(8);
  const ptr = allocated(pool, "p", 32);
  const { container, heap } = ptr;
  heap.u32.fill(5, container.data >>> 2, (container.data + 32) >>> 2);
  expect(mem_pointer_write(ptr, pool)).toBe(true);
  expect(ptr.container).toBe(container);
  const other = keep(got(mem_pointer_share(ptr, "q")));
  expect(mem_pointer_write(ptr, pool)).toBe(true);
  const own = got(ptr.container);
  expect(own.data).not.toBe(container.data);
  expect([own.size, own.ref_count, container.ref_count]).toEqual([32, 1, 1]);
  heap.u32[own.data >>> 2] = 6;
  expect(heap.u32[got(other.container).data >>> 2]).toBe(5);
  expect([...heap.u32.subarray((own.data >>> 2) + 1, (own.data + 32) >>> 2)]).toEqual(Array(7).fill(5));
});

test("g: contents come along when a container is outgrown, and zeros follow", () => {
  const pool = poolOf(8);
  const ptr = allocated(pool, "p", 40);
  const { heap } = ptr;
  const old = ptr.container.data;
  heap.u8.fill(9, old, old + 40);
  expect(mem_pointer_allocate(ptr, 5000, pool)).toBe(true);
  const { data, size } = got(ptr.container);
  expect(size).toBe(5000);
  expect(bytesOf(heap, data, 5000)).toEqual([...Array<number>(40).fill(9), ...Array<number>(4960).fill(0)]);
});

describe("h: orphans", () => {
  test("best fit, exact before larger, new when none is large enough", () => {
    const pool = poolOf(8);
    const sizes = [64, 128, 256];
    const data = sizes.map((size) => {
      const ptr = allocated(pool, `p${size}`, size);
      const at = ptr.container.data;
      return [ptr, at] as const;
    });
    for (const [ptr] of data) mem_pointer_destroy(ptr, pool);
    expect([pool.count, pool.totalBytes]).toEqual([3, 448]);
    const wanted = [100, 128, 300].map((size) => allocated(pool, `w${size}`, size).container);
    expect(wanted.map(({ size }) => size)).toEqual([128, 256, 304]);
    expect(wanted[0]?.data).toBe(data[1]?.[1]);
    expect(wanted[1]?.data).toBe(data[2]?.[1]);
    expect(pool.count).toBe(4);
  });

  test("an exact fit, where there is one", () => {
    const pool = poolOf(8);
    const ptrs = [64, 136, 128, 256].map((size) => allocated(pool, "p", size));
    const exact = ptrs[2]?.container.data;
    for (const ptr of ptrs) mem_pointer_destroy(ptr, pool);
    expect(allocated(pool, "w", 128).container.data).toBe(exact);
  });

  for (const size of [64, 1000, 70_000]) {
    test(`of equal ones of ${size} bytes the first`, () => {
      const pool = poolOf(8);
      const ptrs = Array.from({ length: 3 }, () => allocated(pool, "p", size));
      const data = ptrs.map((ptr) => ptr.container.data);
      for (const ptr of ptrs) mem_pointer_destroy(ptr, pool);
      expect(Array.from({ length: 3 }, () => allocated(pool, "w", size - 7).container.data)).toEqual(data);
    });
  }

  test("identity is that of the new name", () => {
    const pool = poolOf(8);
    mem_pointer_destroy(allocated(pool, "first", 64), pool);
    expect(allocated(pool, "second", 64).container.address).toBe(mem_compute_hash("second"));
  });
});

test("i: the data of an orphan is 0 when it is used again", () => {
  const pool = poolOf(8);
  const ptr = allocated(pool, "p", 256);
  const { heap } = ptr;
  const { data } = ptr.container;
  heap.u8.fill(255, data, data + 256);
  mem_pointer_destroy(ptr, pool);
  const next = allocated(pool, "w", 200).container;
  expect([next.data, next.size]).toEqual([data, 256]);
  expect(bytesOf(heap, data, 256)).toEqual(Array(256).fill(0));
});

describe("j: capacity", () => {
  const fill = (pool: MemoryPool, count: number) =>
    Array.from({ length: count }, (_, i) => allocated(pool, `p${i}`, 8));

  test("doubles when it is full", () => {
    const pool = poolOf(16);
    const seen = new Set<number>();
    for (let i = 0; i < 40; i += 1) {
      allocated(pool, `p${i}`, 8);
      seen.add(pool.capacity);
    }
    expect([...seen]).toEqual([16, 32, 64]);
  });

  test("tiny ones grow to 8", () => {
    const pool = poolOf(1);
    fill(pool, 2);
    expect(pool.capacity).toBe(8);
    fill(pool, 7);
    expect(pool.capacity).toBe(16);
  });

  test("halves below a quarter, never under 16", () => {
    const pool = poolOf(64, { orphans: "destroy" });
    const ptrs = fill(pool, 20);
    const seen: [count: number, capacity: number][] = [];
    for (const ptr of ptrs) {
      mem_pointer_destroy(ptr, pool);
      seen.push([pool.count, pool.capacity]);
    }
    expect(seen.find(([, capacity]) => capacity < 64)).toEqual([15, 32]);
    expect(seen.find(([, capacity]) => capacity < 32)).toEqual([7, 16]);
    expect(seen.at(-1)).toEqual([0, 16]);
  });

  test("grow_pool_capacity doubles it by hand", () => {
    const pool = poolOf(3);
    const capacities = [0, 1, 2].map(() => [grow_pool_capacity(pool), pool.capacity]);
    expect(capacities).toEqual([
      [true, 8],
      [true, 16],
      [true, 32],
    ]);
  });
});

test("k: what is removed is replaced by the last", () => {
  const pool = poolOf(8);
  const [first, second, third] = [1, 2, 3].map((i) => allocated(pool, `p${i}`, 8).container) as [
    MemoryPool["containers"][number],
    MemoryPool["containers"][number],
    MemoryPool["containers"][number],
  ];
  expect(remove_container_from_pool(pool, first, false)).toBe(true);
  expect(pool.containers.map(({ data }) => data)).toEqual([third.data, second.data]);
});

test("l: a container is in a pool once", () => {
  const pool = poolOf(8);
  const other = poolOf(8, { backing: pool.backing });
  const container = got(mem_container_create(mem_compute_hash("c"), 50, { backing: pool.backing }));
  expect([container.size, container.ref_count, container.address]).toEqual([56, 1, mem_compute_hash("c")]);
  expect(mem_pool_add_container(pool, container)).toBe(true);
  expect(mem_pool_add_container(pool, container)).toBe(false);
  expect(mem_errno()).toBe(EINVAL);
  expect(mem_pool_add_container(other, container)).toBe(false);
  expect([pool.count, other.count]).toEqual([1, 0]);
});

test("m: FNV-1a", () => {
  const hashes = ["", "a", "foobar", "data_buffer"].map((name) => mem_compute_hash(name).toString(16));
  expect(hashes).toEqual(["cbf29ce484222325", "af63dc4c8601ec8c", "85944171f73967e8", "a201975fc571218"]);
});

test("n: the handler is given the bytes that were asked for, and NULL restores the default", () => {
  const backing = new Failing(heapOf());
  const pool = poolOf(8, { backing });
  const ptr = keep(new MemoryPointer("p", 0, { backing }));
  const seen: number[] = [];
  mem_set_oom_handler((requested) => seen.push(requested));
  backing.failAt = 0;
  expect(mem_pointer_allocate(ptr, 1001, pool)).toBe(false);
  expect([seen, mem_errno()]).toEqual([[1008], ENOMEM]);
  const report = vi.spyOn(console, "error").mockImplementation(() => {});
  mem_set_oom_handler(null);
  expect(mem_pointer_allocate(ptr, 1001, pool)).toBe(false);
  expect(report).toHaveBeenCalledExactlyOnceWith("Memory allocation failed: requested 1008 bytes");
  report.mockRestore();
  expect(seen).toEqual([1008]);
});

describe("o: arenas", () => {
  test("allocations follow one another, rounded up; what does not fit goes to the next slab, and so does what follows", () => {
    const arena = keep(got(mem_arena_create(100, { backing: heapOf() })));
    const [x, y, z] = [60, 60, 30].map((size) => got(mem_arena_alloc(arena, size)));
    expect(arena.size).toBe(104);
    expect(x).toBe(arena.memory);
    expect(y).toBe(arena.next?.memory);
    expect(z).toBe(Number(y) + 64);
  });

  test("two requests of 60 are 64 apart", () => {
    const arena = keep(got(mem_arena_create(200, { backing: heapOf() })));
    const [x, y] = [60, 60].map((size) => got(mem_arena_alloc(arena, size)));
    expect(Number(y) - Number(x)).toBe(64);
  });

  test("each slab is twice as large as the last, or as what is asked for", () => {
    const backing = heapOf();
    const arena = keep(got(mem_arena_create(100, { backing })));
    for (let i = 0; i < 5; i += 1) got(mem_arena_alloc(arena, 104));
    const sizes = () => [...arena.blocks()].map(({ size }) => size);
    expect(sizes()).toEqual([104, 208, 416]);
    const other = keep(got(mem_arena_create(100, { backing })));
    for (let i = 0; i < 2; i += 1) got(mem_arena_alloc(other, 104));
    got(mem_arena_alloc(other, 5000));
    expect([...other.blocks()].map(({ size }) => size)).toEqual([104, 208, 10_000]);
  });
});

test("p: what is destroyed is wiped, as a view on the bytes shows", () => {
  const pool = poolOf(8, { orphans: "destroy" });
  const { heap } = pool;
  const ptr = allocated(pool, "secret_name", 64);
  const { data, handle } = ptr.container;
  const { handle: block } = ptr;
  heap.u8.fill(255, data, data + 64);
  mem_pointer_destroy(ptr, pool);
  // The first 8 bytes of a free block are the heap's own.
  expect(bytesOf(heap, asPtr(handle + 8), 80)).toEqual(Array(80).fill(0));
  expect(bytesOf(heap, asPtr(block + 8), 40)).toEqual(Array(40).fill(0));
});

test("q: validation sees what the original's does, and orphans are no damage", () => {
  const said: string[] = [];
  const pool = poolOf(8, { report: (message) => said.push(message) });
  const { container } = allocated(pool, "p", 64);
  mem_pointer_destroy(allocated(pool, "q", 64), pool);
  expect(errno(mem_pool_validate(pool))).toEqual([true, 0]);
  const { u32 } = pool.heap;
  const field = (offset: number): number => (pool.handle + offset) >>> 2;
  const damages: [name: string, word: number, value: number][] = [
    ["an array that is NULL with a capacity", field(16), 0],
    ["a count above the capacity", field(24), 9],
    ["a slot that is NULL", u32[field(16)]! >>> 2, 0],
    ["a count of references below 0", (container.handle + 12) >>> 2, -1],
    ["data of size 0", (container.handle + 8) >>> 2, 0],
    ["a size without data", (container.handle + 8) >>> 2, 1 << 20],
  ];
  for (const [name, word, value] of damages) {
    const kept = u32[word]!;
    u32[word] = value;
    said.length = 0;
    expect([name, mem_pool_validate(pool), mem_errno(), said.length > 0]).toEqual([name, false, EFAULT, true]);
    u32[word] = kept;
  }
  expect(errno(mem_pool_validate(pool))).toEqual([true, 0]);
});

test("r: destroying a pool frees what pointers refer to", () => {
  const backing = heapOf();
  const pool = keep(new MemoryPool());
  mem_pool_init(pool, 4, { backing });
  const before = backing.stats().liveBlocks;
  const ptrs = Array.from({ length: 20 }, (_, i) => allocated(pool, `p${i}`, 100 * (i + 1)));
  keep(got(mem_pointer_share(ptrs[3]!, "shared")));
  mem_pool_destroy(pool);
  expect(backing.stats().liveBlocks).toBe(before - 2 + ptrs.length + 1);
  for (const ptr of ptrs) mem_pointer_destroy(ptr, null);
});
