/** One test for each statement of the document, its section named, in our own words. */
import { asPtr, defaultHeap, Heap, type HeapBuffer, NULL, type Ptr, SharedHeap } from "@heapwright/core";
import { afterEach, describe, expect, test, vi } from "vitest";

import {
  DEBUG_MEMORY_MANAGER,
  MEM_ALIGNMENT,
  mem_arena_alloc,
  mem_arena_create,
  mem_arena_destroy,
  mem_compute_hash,
  mem_pointer_allocate,
  mem_pointer_create,
  mem_pointer_destroy,
  mem_pointer_share,
  mem_pointer_write,
  MEM_POOL_DEFAULT_CAPACITY,
  mem_pool_destroy,
  mem_pool_dump,
  mem_pool_get_count,
  mem_pool_get_total_bytes,
  mem_pool_init,
  mem_pool_validate,
  mem_set_oom_handler,
  MEM_THREAD_SAFE,
  MemoryArena,
  MemoryPointer,
  MemoryPool,
  type PoolOptions,
  remove_container_from_pool,
} from "../src/index.ts";
import { Counting } from "./counting.ts";
import { allocated, bytesOf, Failing, got, heapOf, keep, poolOf } from "./made.ts";

afterEach(() => {
  mem_set_oom_handler(null);
  vi.restoreAllMocks();
});

/** Runs an example as it stands: on the default heap, which is to be as it was then. Gives what it has printed. */
function example(run: () => number): string[] {
  const printed: string[] = [];
  vi.spyOn(console, "log").mockImplementation((line: string) => printed.push(line));
  vi.spyOn(console, "error").mockImplementation((line: string) => printed.push(line));
  const { liveBlocks, liveBytes } = defaultHeap().stats();
  expect(run()).toBe(0);
  expect(defaultHeap().stats()).toMatchObject({ liveBlocks, liveBytes });
  return printed;
}

/** A pool with so many containers in use and so many orphans of 8 bytes and more, and a heap that counts. */
function crowd(live: number, orphans: number): { backing: Counting; pool: MemoryPool; ptrs: MemoryPointer[] } {
  const backing = new Counting(heapOf(1 << 23));
  const pool = keep(new MemoryPool(live + orphans + 8, { backing, maxOrphans: orphans + 8, debug: false }));
  const ptrs = Array.from({ length: live + orphans }, (_, i) => {
    const ptr = keep(new MemoryPointer("p", 0, { backing }));
    if (!ptr.allocate(i < live ? 64 : 8 * (1 + (i % 64)), pool)) throw new Error("no room");
    return ptr;
  });
  for (const ptr of ptrs.splice(live)) ptr.destroy();
  return { backing, pool, ptrs };
}

describe("Key Features: Reference-Counted Smart Pointers", () => {
  test("lifetimes end by themselves, with the last of the pointers", () => {
    const pool = poolOf(16, { orphans: "destroy" });
    const first = allocated(pool, "first", 64);
    const second = keep(got(mem_pointer_share(first, "second")));
    mem_pointer_destroy(first, pool);
    expect([mem_pool_get_count(pool), second.container?.ref_count]).toEqual([1, 1]);
    mem_pointer_destroy(second, pool);
    expect(mem_pool_get_count(pool)).toBe(0);
  });

  test("counts are atomic where several workers may count, and are not where nobody else can", () => {
    const add = vi.spyOn(Atomics, "add");
    const countsOf = (backing: Heap<HeapBuffer>, options: PoolOptions): number => {
      const pool = new MemoryPool(8, { backing, ...options });
      const ptr = new MemoryPointer("p", 0, { backing });
      expect(ptr.allocate(64, pool)).toBe(true);
      const { handle } = got(ptr.container);
      add.mockClear();
      const other = ptr.share("q");
      const counts = add.mock.calls.filter(([, index]) => index === (handle + 12) >>> 2).length;
      for (const one of [other, ptr, pool]) one[Symbol.dispose]();
      return counts;
    };
    const shared = new Heap({ bytes: 1 << 17, shared: true });
    expect(countsOf(shared, {})).toBe(1);
    expect(countsOf(shared, { threadSafe: false })).toBe(0);
    expect(countsOf(new Heap({ bytes: 1 << 17 }), {})).toBe(0);
  });

  test("copy-on-write: a container that others share is copied before one of them changes it", () => {
    const pool = poolOf(16);
    const ptr = allocated(pool, "ptr", 64);
    pool.heap.u8.fill(7, ptr.container.data, ptr.container.data + 64);
    const other = keep(got(mem_pointer_share(ptr, "other")));
    expect(other.container?.data).toBe(ptr.container.data);
    expect(mem_pointer_write(other, pool)).toBe(true);
    pool.heap.u8.fill(9, got(other.container).data, got(other.container).data + 64);
    expect(bytesOf(pool.heap, ptr.container.data, 64)).toEqual(Array(64).fill(7));
  });

  test("identity follows from the name alone, by FNV-1a: the same in any pool and run", () => {
    const addresses = [poolOf(16), poolOf(3)].map((pool) => allocated(pool, "data_buffer", 100).container.address);
    expect(addresses).toEqual([0x0a201975fc571218n, 0x0a201975fc571218n]);
    expect(mem_compute_hash("data_buffer")).toBe(0x0a201975fc571218n);
  });
});

describe("Key Features: Memory Pooling", () => {
  test("all allocations are tracked in one place", () => {
    const pool = poolOf(16);
    const containers = [100, 8, 5000].map((size, i) => allocated(pool, `p${i}`, size).container);
    expect(mem_pool_get_count(pool)).toBe(3);
    expect(mem_pool_get_total_bytes(pool)).toBe(104 + 8 + 5000);
    expect(pool.containers.map(({ data }) => data)).toEqual(containers.map(({ data }) => data));
  });

  test("removal swaps with the last, and touches as many words in a large pool as in a small one", () => {
    const touched = [10, 1000].map((live) => {
      const { backing, pool, ptrs } = crowd(live, 0);
      const containers = pool.containers;
      const last = containers.at(-1)!.data;
      const count = backing.touched(() => pool.remove(containers[3]!));
      expect([pool.containers[3]?.data, pool.count, ptrs.length]).toEqual([last, live - 1, live]);
      return count;
    });
    expect(touched[1]).toBe(touched[0]);
    expect(touched[0]).toBeLessThan(60);
  });

  test("the array grows when it is full, and shrinks when little of it is in use", () => {
    const pool = poolOf(16, { orphans: "destroy" });
    const ptrs = Array.from({ length: 17 }, (_, i) => allocated(pool, `p${i}`, 8));
    expect(pool.capacity).toBe(32);
    for (const ptr of ptrs.slice(7)) mem_pointer_destroy(ptr, pool);
    expect(pool.capacity).toBe(16);
  });

  test("orphans are used again, the best fitting one", () => {
    const pool = poolOf(16);
    const sizes = [256, 64, 128];
    const ptrs = sizes.map((size) => allocated(pool, "p", size));
    const data = ptrs.map((ptr) => ptr.container.data);
    for (const ptr of ptrs) mem_pointer_destroy(ptr, pool);
    expect(allocated(pool, "q", 100).container.data).toBe(data[2]);
  });
});

describe("Key Features: Arena Allocators", () => {
  test("allocation moves a mark: it touches a few words, always as many, whatever was allocated before", () => {
    const backing = new Counting(heapOf(1 << 22));
    const arena = keep(new MemoryArena(1 << 16, { backing }));
    const touched: number[] = [];
    for (let i = 0; i < 3000; i += 1) {
      const slabs = arena.stats().slabs;
      const count = backing.touched(() => arena.alloc(64));
      if (arena.stats().slabs === slabs) touched.push(count);
    }
    expect(new Set(touched).size).toBe(1);
    expect(touched[0]).toBeLessThanOrEqual(4);
    expect(arena.stats().slabs).toBe(2);
  });

  test("what is allocated in turn lies side by side", () => {
    const arena = keep(got(mem_arena_create(4096, { backing: heapOf() })));
    const ptrs = Array.from({ length: 64 }, () => got(mem_arena_alloc(arena, 64)));
    expect(ptrs).toEqual(Array.from({ length: 64 }, (_, i) => arena.memory + 64 * i));
  });

  test("one call frees all of it", () => {
    const backing = heapOf();
    const arena = got(mem_arena_create(64, { backing }));
    for (let i = 0; i < 1000; i += 1) got(mem_arena_alloc(arena, 100));
    mem_arena_destroy(arena);
    expect(backing.stats()).toMatchObject({ liveBlocks: 0, liveBytes: 0 });
  });

  test("slabs are chained as the load grows", () => {
    const arena = keep(got(mem_arena_create(4096, { backing: heapOf(1 << 22) })));
    for (let i = 0; i < 1000; i += 1) got(mem_arena_alloc(arena, 1000));
    const sizes = [...arena.blocks()].map(({ size }) => size);
    expect(sizes).toEqual([4096, 8192, 16_384, 32_768, 65_536, 131_072, 262_144, 524_288]);
    expect(arena.next?.size).toBe(8192);
  });
});

describe("Key Features: Thread Safety (Optional)", () => {
  test("it is configured: by a constant, and for each pool", () => {
    expect(MEM_THREAD_SAFE).toBe(1);
  });

  test("pool operations hold the heap's lock, each for a step, where the pool is thread-safe", () => {
    for (const [threadSafe, isLocked] of [
      [true, true],
      [undefined, true],
      [false, false],
    ] as const) {
      const backing = new Heap({ bytes: 1 << 17, shared: true });
      expect(backing).toBeInstanceOf(SharedHeap);
      const pool = new MemoryPool(8, { backing, ...(threadSafe === undefined ? {} : { threadSafe }) });
      const ptr = new MemoryPointer("p", 0, { backing });
      const enter = vi.spyOn(backing.lock, "enter");
      expect(ptr.allocate(64, pool)).toBe(true);
      const calls = enter.mock.calls.map(([call]) => String(call));
      expect(calls.includes("allocate")).toBe(isLocked);
      expect(backing.lock.isMine).toBe(false);
      enter.mockRestore();
      for (const one of [ptr, pool]) one.destroy();
    }
  });
});

describe("Key Features: Security-First Design", () => {
  test("freed memory is zero before it is released, and containers before they are destroyed", () => {
    for (const orphans of ["keep", "destroy"] as const) {
      const pool = poolOf(16, { orphans });
      const ptr = allocated(pool, "secret", 64);
      const { data } = ptr.container;
      pool.heap.u8.fill(0xa5, data, data + 64);
      mem_pointer_destroy(ptr, pool);
      // A free block's first 16 bytes may be the heap's.
      expect(bytesOf(pool.heap, asPtr(data + 16), 48)).toEqual(Array(48).fill(0));
    }
  });

  test("debug builds validate", () => {
    const pool = poolOf(16, { report: () => {} });
    const { container } = allocated(pool, "p", 64);
    expect(mem_pool_validate(pool)).toBe(true);
    pool.heap.i32[(container.handle + 12) >>> 2] = -1;
    expect(mem_pool_validate(pool)).toBe(false);
    pool.heap.i32[(container.handle + 12) >>> 2] = 1;
  });
});

describe("Key Features: Debug Infrastructure", () => {
  test("dumps show the pool and each container in detail", () => {
    const said: string[] = [];
    const pool = poolOf(16, { report: (message) => said.push(message) });
    const { container } = allocated(pool, "data_buffer", 64);
    mem_pool_dump(pool, true);
    mem_pool_dump(pool, false);
    expect(said[0]).toMatch(/Containers: 1\/16\nTotal bytes: 64\n.*\n +0 +0x0a201975fc571218 +64 +1 +0x/);
    expect(said[0]).toContain(`0x${container.data.toString(16)}  data_buffer`);
    expect(said[1]).not.toContain("data_buffer");
  });

  test("logs tell what goes on inside", () => {
    const said: string[] = [];
    const pool = poolOf(1, { log: (message) => said.push(message) });
    for (const name of ["a", "b"]) allocated(pool, name, 64).destroy();
    allocated(pool, "c", 64);
    allocated(pool, "d", 64);
    mem_pointer_allocate(null, 8, pool);
    expect(said.map((line) => /: (\w+): /.exec(line)?.[1])).toEqual(["reuse", "reuse", "grow", "refused"]);
  });
});

describe("Key Features: Custom OOM Handling", () => {
  test("a hook of the user's is told of all failed allocations, of pools, pointers and arenas alike", () => {
    const backing = new Failing(heapOf());
    const pool = poolOf(16, { backing });
    const ptr = keep(new MemoryPointer("p", 0, { backing }));
    const told: number[] = [];
    mem_set_oom_handler((requested) => told.push(requested));
    backing.failAt = 0;
    expect(mem_pointer_allocate(ptr, 100, pool)).toBe(false);
    expect(mem_arena_create(200, { backing })).toBeNull();
    expect(mem_pointer_create("q", 0, { backing })).toBeNull();
    expect(told).toEqual([104, 200, 48]);
  });
});

test("Quick Start: the example reads the same, compiles under strict, and prints what it should", () => {
  const printed = example(() => {
    const pool = new MemoryPool();
    if (!mem_pool_init(pool, 16)) {
      console.error("Failed to initialize memory pool.");
      return 1;
    }

    const buffer = mem_pointer_create("data_buffer", 1024);
    if (!mem_pointer_allocate(buffer, 1024, pool)) {
      console.error("Allocation failed.");
      return 1;
    }

    // Use allocated memory
    const data = defaultHeap().i32.subarray(buffer.container.data >>> 2);
    data[0] = 42;
    console.log(`Allocated ${buffer.container.size} bytes, stored: ${data[0]}.`);

    // Cleanup
    mem_pointer_destroy(buffer, pool);
    mem_pool_destroy(pool);
    return 0;
  });
  expect(printed).toEqual(["Allocated 1024 bytes, stored: 42."]);
});

describe("Core Components: MemoryPool", () => {
  test("it is the register of the containers that are in use, and of who owns them", () => {
    const pool = poolOf(16);
    const other = poolOf(16, { backing: pool.backing });
    const { container } = allocated(pool, "p", 64);
    expect(remove_container_from_pool(other, container, true)).toBe(false);
    expect(remove_container_from_pool(pool, container, true)).toBe(true);
    expect(mem_pool_get_count(pool)).toBe(0);
  });

  test("it cleans up: destroyed, it frees containers in use as well", () => {
    const pool = poolOf(16);
    const ptr = allocated(pool, "p", 5000);
    const { liveBlocks } = pool.heap.stats();
    const { heap } = pool;
    mem_pool_destroy(pool);
    expect(heap.stats().liveBlocks).toBe(liveBlocks - 3);
    expect(() => ptr.container).toThrow(/has been freed since/);
  });
});

describe("Core Components: MemoryPointer", () => {
  test("it refers to a container, and counts", () => {
    const pool = poolOf(16);
    const ptr = keep(got(mem_pointer_create("ptr", 64, { backing: pool.backing })));
    expect(ptr.container).toBeNull();
    expect(mem_pointer_allocate(ptr, 64, pool)).toBe(true);
    const { container } = ptr;
    expect(container?.ref_count).toBe(1);
    const other = keep(got(mem_pointer_share(ptr, "other")));
    expect(container?.ref_count).toBe(2);
    mem_pointer_destroy(other, pool);
    expect(container?.ref_count).toBe(1);
  });

  test("allocating through one of several copies on write", () => {
    const pool = poolOf(16);
    const ptr = allocated(pool, "ptr", 64);
    const other = keep(got(mem_pointer_share(ptr, "other")));
    expect(mem_pointer_allocate(other, 64, pool)).toBe(true);
    expect(other.container?.data).not.toBe(ptr.container.data);
    expect([other.container?.ref_count, ptr.container.ref_count]).toEqual([1, 1]);
  });

  test("variables have names that people read, in dumps, errors and leak reports", () => {
    const said: string[] = [];
    const pool = poolOf(16, { log: (message) => said.push(message) });
    const ptr = allocated(pool, "texture_atlas", 64);
    expect(ptr.variable_name).toBe("texture_atlas");
    expect(pool.dump()).toContain("texture_atlas");
    expect(() => ptr.allocate(-1, pool)).toThrow(/"texture_atlas"/);
    pool.destroy();
    expect(said.at(-1)).toMatch(/leak: 64 bytes at 0x[0-9a-f]+, 1 reference, "texture_atlas"$/);
  });
});

describe("Core Components: MemoryContainer", () => {
  test("it owns one contiguous block of the heap", () => {
    const pool = poolOf(16);
    const { data, size, heap } = allocated(pool, "p", 5000).container;
    const block = [...heap.blocks()].find(({ ptr, size: bytes }) => ptr <= data && data < ptr + bytes);
    expect(block).toMatchObject({ state: "live" });
    expect(got(block ?? null).ptr + got(block ?? null).size).toBeGreaterThanOrEqual(data + size);
  });

  test("it tracks size, count and deterministic address", () => {
    const { container } = allocated(poolOf(16), "a", 61);
    expect(container).toMatchObject({ size: 64, ref_count: 1, address: 0xaf63dc4c8601ec8cn });
  });

  test("it is destroyed when its count reaches zero, or kept as an orphan: as the pool was made", () => {
    const counts = (["destroy", "keep"] as const).map((orphans) => {
      const pool = poolOf(16, { orphans });
      mem_pointer_destroy(allocated(pool, "p", 64), pool);
      return [pool.stats().liveContainers, pool.stats().orphans];
    });
    expect(counts).toEqual([
      [0, 0],
      [0, 1],
    ]);
  });
});

describe("Core Components: MemoryArena", () => {
  test("nothing is kept of an allocation: a slab is used up by payloads alone", () => {
    const arena = keep(got(mem_arena_create(800, { backing: heapOf() })));
    for (let i = 0; i < 100; i += 1) got(mem_arena_alloc(arena, 8));
    expect([arena.used, arena.next]).toEqual([800, null]);
  });

  test("all of it is freed in one operation", () => {
    const backing = heapOf();
    const arena = got(mem_arena_create(64, { backing }));
    got(mem_arena_alloc(arena, 5000));
    mem_arena_destroy(arena);
    expect(backing.stats().liveBlocks).toBe(0);
  });
});

test("Configuration: the macros are constants with the document's values, and options of each pool", () => {
  expect([MEM_POOL_DEFAULT_CAPACITY, MEM_ALIGNMENT, MEM_THREAD_SAFE, DEBUG_MEMORY_MANAGER]).toEqual([32, 8, 1, 1]);
  const backing = heapOf();
  const pool = poolOf(0, { backing });
  expect([pool.capacity, pool.alignment]).toEqual([32, 8]);
  const other = poolOf(5, { backing, alignment: 64, threadSafe: false, debug: false });
  expect([other.capacity, other.alignment]).toEqual([5, 64]);
  allocated(other, "nameless", 8);
  expect(other.dump()).not.toContain("nameless");
});

describe("Advanced Usage", () => {
  test("Arena Allocation: the example", () => {
    const printed = example(() => {
      const arena = mem_arena_create(4096);
      const array = mem_arena_alloc(arena, 100 * Int32Array.BYTES_PER_ELEMENT);
      const ints = defaultHeap().i32.subarray(array >>> 2, (array >>> 2) + 100);
      ints.forEach((_, i) => (ints[i] = i));
      console.log(String(ints.reduce((sum, one) => sum + one)));
      // All allocations freed with single call:
      mem_arena_destroy(arena);
      return 0;
    });
    expect(printed).toEqual(["4950"]);
  });

  test("Debug Features: the example", () => {
    const printed = example(() => {
      const pool = new MemoryPool(16);
      if (DEBUG_MEMORY_MANAGER) {
        mem_pool_validate(pool); /* integrity check */
        mem_pool_dump(pool, true); /* detailed diagnostics */
      }
      mem_pool_destroy(pool);
      return 0;
    });
    expect(printed.join("\n").split("\n").slice(0, 3)).toEqual([
      "=== Memory Pool Dump ===",
      "Containers: 0/16",
      "Total bytes: 0",
    ]);
  });

  test("Custom Error Handling: the example", () => {
    const printed = example(() => {
      function my_oom_handler(requested: number): void {
        console.error(`CRITICAL: Failed to allocate ${requested} bytes.`);
        // Emergency cleanup or alerting
      }
      mem_set_oom_handler(my_oom_handler);
      return mem_arena_create(2 ** 31) === null ? 0 : 1;
    });
    expect(printed).toEqual(["CRITICAL: Failed to allocate 2147483648 bytes."]);
  });
});

describe("Performance Characteristics", () => {
  test("allocation with reuse touches as many words among many containers and orphans as among few", () => {
    const touched = [
      [10, 64],
      [800, 500],
    ].map(([live, orphans]) => {
      const { backing, pool } = crowd(live!, orphans!);
      const ptr = keep(new MemoryPointer("p", 0, { backing }));
      // The ring of its size is looked at first; the second time nothing is left to be put in order.
      return [200, 200].map((size) => {
        const count = backing.touched(() => ptr.allocate(size, pool));
        return count;
      });
    });
    expect(touched[1]).toEqual(touched[0]);
    expect(Math.max(...touched.flat())).toBeLessThan(150);
  });

  test("destroying a pointer touches as many words in a large pool as in a small one, apart from the data", () => {
    const touched = [10, 1000].map((live) => {
      const { backing, ptrs } = crowd(live, 0);
      return backing.touched(() => ptrs[5]!.destroy());
    });
    expect(touched[1]).toBe(touched[0]);
    expect(touched[0]).toBeLessThan(120);
  });

  test("destroying a pool goes over its containers", () => {
    const touched = [100, 1000].map((live) => {
      const { backing, pool } = crowd(live, 0);
      return backing.touched(() => pool.destroy());
    }) as [number, number];
    expect(touched[1] / touched[0]).toBeGreaterThan(4);
    expect(touched[1] / touched[0]).toBeLessThan(12);
  });

  test("a container takes 32 bytes besides its data, the heap's header included, and what alignment needs", () => {
    for (const [alignment, padding] of [
      [8, 0],
      [16, 32],
      [64, 128],
    ] as const) {
      const pool = poolOf(16, { alignment, debug: false });
      const ptrs = ["a", "b", "c"].map((name) => keep(new MemoryPointer(name, 0, { backing: pool.backing })));
      const data = ptrs.map((ptr) => {
        expect(ptr.allocate(64, pool)).toBe(true);
        return got(ptr.container).data;
      }) as [Ptr, Ptr, Ptr];
      const distances = [data[1] - data[0], data[2] - data[1]].map((distance) => Math.abs(distance) - 64);
      expect(Math.min(...distances)).toBeGreaterThanOrEqual(32);
      expect(Math.max(...distances)).toBeLessThanOrEqual(32 + padding);
    }
  });

  test("locks are held for a step: not while blocks are taken, zeroed or copied", () => {
    const heap = new Heap({ bytes: 1 << 18, shared: true });
    const { lock } = heap;
    const held: boolean[] = [];
    const backing = new Failing(heap);
    const pool = new MemoryPool(8, { backing });
    const ptr = new MemoryPointer("p", 0, { backing: heap });
    vi.spyOn(backing, "malloc").mockImplementation((size) => {
      held.push(lock.isMine);
      return heap.malloc(size);
    });
    vi.spyOn(heap.u8, "fill");
    expect(ptr.allocate(5000, pool)).toBe(true);
    expect(ptr.allocate(9000, pool)).toBe(true);
    expect(held).toEqual([false, false]);
    for (const one of [ptr, pool]) one.destroy();
  });
});

describe("Security Features", () => {
  test("use after free is detected: every handle of a container that is gone is refused, its successor's is not", () => {
    const pool = poolOf(16);
    const ptr = allocated(pool, "old", 64);
    const { container } = ptr;
    mem_pointer_destroy(ptr, pool);
    const next = allocated(pool, "new", 64);
    expect(next.container.handle).toBe(container.handle);
    expect(() => container.data).toThrow(/^data: the container at 0x[0-9a-f]+ has been freed since; /);
    expect(() => ptr.container).toThrow(/^container of "old": the pointer at 0x[0-9a-f]+ has been freed since; /);
    expect(() => mem_pointer_destroy(ptr, pool)).toThrow(/free already/);
    expect(next.container.ref_count).toBe(1);
  });

  test("containers are validated in debug mode, before an orphan is used again, too", () => {
    const pool = poolOf(16, { report: () => {} });
    const ptr = allocated(pool, "p", 64);
    const { data } = ptr.container;
    mem_pointer_destroy(ptr, pool);
    pool.heap.u8[data] = 1;
    expect(mem_pool_validate(pool)).toBe(false);
    const next = keep(new MemoryPointer("q", 0, { backing: pool.backing }));
    expect(mem_pointer_allocate(next, 64, pool)).toBe(false);
    pool.heap.u8[data] = 0;
  });
});

describe("Best Practices", () => {
  test("1: a pool made with the capacity it needs takes one array", () => {
    const pool = poolOf(100);
    const array = pool.heap.u32[(pool.handle + 16) >>> 2];
    for (let i = 0; i < 100; i += 1) allocated(pool, `p${i}`, 8);
    expect([pool.capacity, pool.heap.u32[(pool.handle + 16) >>> 2]]).toEqual([100, array]);
  });

  test("2: an arena serves frame after frame without taking anything more", () => {
    const backing = heapOf();
    const arena = keep(new MemoryArena(4096, { backing }));
    const frame = (): void => {
      for (let i = 0; i < 50; i += 1) got(arena.alloc(100));
      arena.reset();
    };
    frame();
    const before = backing.stats();
    for (let i = 0; i < 100; i += 1) frame();
    expect(backing.stats()).toEqual(before);
  });

  test("4: 16 for SIMD, 64 for cache lines", () => {
    for (const alignment of [16, 64]) {
      const { data } = allocated(poolOf(8, { alignment }), "vectors", 10).container;
      expect(data % alignment).toBe(0);
    }
  });

  test("5: a handler lets a program degrade: it frees what it can spare, and tries again", () => {
    const backing = heapOf(1 << 17);
    const pool = poolOf(8, { backing });
    const cache = allocated(pool, "cache", 90_000);
    let isFull = false;
    mem_set_oom_handler(() => {
      isFull = true;
    });
    const wanted = keep(got(mem_pointer_create("wanted", 0, { backing })));
    expect([mem_pointer_allocate(wanted, 60_000, pool), isFull, cache.container.size]).toEqual([false, true, 90_000]);
    mem_pointer_destroy(cache, pool);
    expect(mem_pointer_allocate(wanted, 60_000, pool)).toBe(true);
    expect(mem_arena_alloc(null, 8)).toBe(NULL);
  });
});
