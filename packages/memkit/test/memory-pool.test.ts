import { Heap, type HeapErrorCode } from "@heapwright/core";
import { expect, test } from "vitest";

import { mem_errno, mem_pool_destroy, mem_pool_init, MemoryContainer, MemoryPool } from "../src/index.ts";
import { allocated, bytesOf, Failing, heapOf, keep, poolOf } from "./made.ts";

const code = (wanted: HeapErrorCode): unknown => expect.objectContaining({ name: "HeapError", code: wanted });

test("the empty struct is a pool that has not been initialised", () => {
  const pool = keep(new MemoryPool());
  expect([pool.capacity, pool.count, pool.containers, [...pool.blocks()], pool.totalBytes]).toEqual([0, 0, [], [], 0]);
  for (const act of [() => pool.handle, () => pool.heap, () => pool.check(), () => pool.grow(), () => pool.destroy()]) {
    expect(act).toThrow(/the pool has not been initialised; call mem_pool_init$/);
  }
  pool[Symbol.dispose]();
});

test("fields of the struct", () => {
  const backing = heapOf();
  const pool = poolOf(5, { backing, alignment: 16, maxOrphans: 3 });
  const containers = [100, 20].map((size, i) => allocated(pool, `p${i}`, size).container);
  expect(pool).toMatchObject({ capacity: 5, count: 2, alignment: 16, maxOrphans: 3, totalBytes: 112 + 32, next: null });
  expect(pool.heap).toBe(backing);
  expect(pool.backing).toBe(backing);
  expect(pool.containers.map(({ data, size, ref_count }) => [data, size, ref_count])).toEqual(
    containers.map(({ data, size }) => [data, size, 1]),
  );
});

test("stats and blocks tell live containers from orphans", () => {
  for (const debug of [true, false]) {
    const pool = poolOf(8, { debug });
    const [a, b, c] = [64, 128, 256].map((size, i) => allocated(pool, `p${i}`, size));
    const twin = keep(c!.share("twin"));
    const { data } = b!.container;
    b!.destroy();
    const stats = { liveContainers: 2, liveBytes: 320, orphans: 1, orphanBytes: 128, capacity: 8 };
    expect(pool.stats()).toEqual(stats);
    expect([...pool.blocks()]).toEqual([
      { ptr: a!.container.data, size: 64, state: "live", ref_count: 1 },
      { ptr: data, size: 128, state: "orphan", ref_count: 0 },
      { ptr: twin.container?.data, size: 256, state: "live", ref_count: 2 },
    ]);
    expect(pool.containers[1]).toMatchObject({ address: 0n, size: 128, ref_count: 0, data });
  }
});

test("a pool can be initialised again after it was destroyed, and not before", () => {
  const pool = poolOf(8);
  const { backing } = pool;
  expect(mem_pool_init(pool, 4, { backing })).toBe(false);
  mem_pool_destroy(pool);
  for (const act of [() => pool.count, () => pool.capacity, () => pool.containers, () => pool.stats()]) {
    expect(act).toThrow(code("ERR_DESTROYED"));
  }
  expect(() => pool.check()).toThrow(code("ERR_DESTROYED"));
  expect(() => pool.destroy()).toThrow(code("ERR_DESTROYED"));
  expect(mem_pool_init(pool, 4, { backing })).toBe(true);
  expect([pool.capacity, pool.count]).toEqual([4, 0]);
});

test("a container that is refused stays as it is, data and all", () => {
  const pool = poolOf(8);
  const { backing, heap } = pool;
  const full = poolOf(8, { backing, orphans: "destroy" });
  const aligned = poolOf(8, { backing, alignment: 4096 });
  allocated(pool, "p", 64).destroy();
  const [orphan] = pool.containers as [MemoryContainer];
  pool.remove(orphan);
  heap.u8.fill(9, orphan.data, orphan.data + 64);
  expect(() => full.add(orphan)).toThrow("add: it has no references, and the pool keeps no more orphans");
  expect(() => aligned.add(orphan)).toThrow(
    "add: its data is not aligned as the pool's are; make it with { alignment: 4096 }",
  );
  expect(() => poolOf(8).add(orphan)).toThrow("add: the container is from another backing; make it on the pool's");
  expect(bytesOf(heap, orphan.data, 64)).toEqual(Array(64).fill(9));
  // Where it is taken in, it becomes an orphan, and those are 0.
  expect(pool.add(orphan)).toBe(true);
  expect(bytesOf(heap, orphan.data, 64)).toEqual(Array(64).fill(0));
  expect(allocated(pool, "q", 60).container.data).toBe(orphan.handle + 24);
});

test("a container is added to a pool of its own backing only, whichever object that is", () => {
  const heap = heapOf();
  const other = new Failing(heap);
  const [plain, through] = [poolOf(8, { backing: heap }), poolOf(8, { backing: other })];
  const [ofHeap, ofOther] = [heap, other].map((backing) => keep(new MemoryContainer(1n, 8, { backing })));
  expect(() => plain.add(ofOther!)).toThrow("add: the container is from another backing; make it on the pool's");
  expect(() => through.add(ofHeap!)).toThrow("add: the container is from another backing; make it on the pool's");
  expect([through.add(ofOther!), through.count, plain.count]).toEqual([true, 1, 0]);
  const twin = MemoryContainer.attach(Heap.attach(heap.buffer), ofHeap!.handle);
  expect([plain.add(twin), plain.containers[0]?.handle]).toEqual([true, ofHeap!.handle]);
});

test("remove leaves an orphan by itself, or frees it", () => {
  const pool = poolOf(8);
  const { liveBlocks } = pool.heap.stats();
  const orphans = ["p", "q"].map((name) => allocated(pool, name, 64));
  for (const ptr of orphans) ptr.destroy();
  const [left, freed] = pool.containers as [MemoryContainer, MemoryContainer];
  pool.remove(left);
  expect(pool.stats()).toMatchObject({ liveContainers: 0, orphans: 1 });
  expect([left.ref_count, left.address, left.size]).toEqual([0, 0n, 64]);
  // Nothing is left of the ring it was in.
  expect(pool.heap.u64[left.handle >>> 3]).toBe(0n);
  left.destroy();
  pool.remove(freed, true);
  expect(() => freed.size).toThrow(code("ERR_USE_AFTER_FREE"));
  expect([pool.count, pool.heap.stats().liveBlocks]).toEqual([0, liveBlocks]);
});

test("a container in a pool is not destroyed behind its back", () => {
  const pool = poolOf(8);
  const { container } = allocated(pool, "p", 64);
  expect(() => container.destroy()).toThrow("destroy: the container is in a pool; remove it there first");
  container[Symbol.dispose]();
  expect([pool.count, container.ref_count]).toEqual([1, 1]);
});

test("trim frees all orphans and no other container", () => {
  const pool = poolOf(64, { debug: false });
  const ptrs = Array.from({ length: 40 }, (_, i) => allocated(pool, `p${i}`, 8 * (i + 1)));
  const { liveBlocks } = pool.heap.stats();
  ptrs.forEach((ptr, i) => i % 2 === 0 && ptr.destroy());
  expect(pool.stats().orphans).toBe(20);
  expect(pool.trim()).toBe(20);
  expect(pool.trim()).toBe(0);
  expect(pool.stats()).toMatchObject({ liveContainers: 20, orphans: 0 });
  // Containers and pointers; one block of a pointer may be kept.
  expect(pool.heap.stats().liveBlocks).toBeLessThanOrEqual(liveBlocks - 40 + 1);
  const left = ptrs.filter((_, i) => i % 2 === 1).map((ptr) => ptr.container.size);
  expect(left).toEqual(Array.from({ length: 20 }, (_, i) => 16 * (i + 1)));
});

test("a chain of pools is destroyed with its first, also where it leads back", () => {
  const backing = heapOf();
  const pools = [1, 2, 3].map((capacity) => poolOf(capacity, { backing }));
  const [first, second, third] = pools as [MemoryPool, MemoryPool, MemoryPool];
  first.next = second;
  second.next = third;
  third.next = first;
  expect(first.next?.handle).toBe(second.handle);
  for (const [i, pool] of pools.entries()) allocated(pool, `p${i}`, 64);
  expect(backing.stats().liveBlocks).toBe(12);
  first.destroy();
  // The pointers themselves.
  expect(backing.stats().liveBlocks).toBe(3);
  for (const pool of pools) expect(() => pool.handle).toThrow(code("ERR_DESTROYED"));
});

test("next takes a pool of the same heap, or null", () => {
  const [pool, stranger] = [poolOf(8), poolOf(8)];
  const next = poolOf(8, { backing: pool.backing });
  expect(() => {
    pool.next = stranger;
  }).toThrow("next: it is in another heap");
  pool.next = next;
  pool.next = null;
  expect(pool.next).toBeNull();
  pool.destroy();
  expect(next.capacity).toBe(8);
});

test("errors of classes carry C's number, too", () => {
  const numberOf = (act: () => unknown): unknown => {
    try {
      return act();
    } catch (error) {
      return (error as { errno?: number }).errno;
    }
  };
  const backing = heapOf();
  const pool = poolOf(8, { backing });
  const loose = keep(new MemoryContainer(1n, 8, { backing }));
  expect(numberOf(() => new MemoryPool(-1, { backing }))).toBe(22);
  expect(numberOf(() => new MemoryContainer(1n, 2 ** 32 - 1, { backing }))).toBe(75);
  const before = mem_errno();
  expect(numberOf(() => pool.remove(loose))).toBe(2);
  // The classes leave mem_errno alone.
  expect(mem_errno()).toBe(before);
});
