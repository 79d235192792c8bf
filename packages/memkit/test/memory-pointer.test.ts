import { Heap, type HeapErrorCode } from "@heapwright/core";
import { describe, expect, test } from "vitest";

import { MemoryContainer, MemoryPointer, MemoryPool } from "../src/index.ts";
import { allocated, bytesOf, got, heapOf, keep, poolOf } from "./made.ts";

const code = (wanted: HeapErrorCode): unknown => expect.objectContaining({ name: "HeapError", code: wanted });

describe.each([true, false])("in a pool with debug: %s", (debug) => {
  test("a share counts, and each destroy counts down; the data stays until the last", () => {
    const pool = poolOf(8, { debug });
    const { heap } = pool;
    const first = allocated(pool, "first", 64);
    const { container } = first;
    heap.u8.fill(7, container.data, container.data + 64);
    const others = ["a", "b", "c"].map((name) => keep(first.share(name)));
    expect(container.ref_count).toBe(4);
    expect(others.map((one) => [one.container?.data, one.variable_name])).toEqual([
      [container.data, "a"],
      [container.data, "b"],
      [container.data, "c"],
    ]);
    for (const [i, one] of [first, ...others].entries()) {
      expect([container.ref_count, pool.count]).toEqual([4 - i, 1]);
      expect(bytesOf(heap, container.data, 64)).toEqual(Array(64).fill(7));
      one.destroy();
    }
    expect(pool.stats()).toMatchObject({ liveContainers: 0, orphans: 1, orphanBytes: 64 });
    expect(() => container.data).toThrow(code("ERR_USE_AFTER_FREE"));
  });

  test("a write by one of three leaves the others theirs", () => {
    const pool = poolOf(8, { debug });
    const { heap } = pool;
    const first = allocated(pool, "first", 800);
    const { container } = first;
    heap.u8.fill(7, container.data, container.data + 800);
    const [second, third] = [keep(first.share("second")), keep(first.share("third"))];
    expect(second.write()).toBe(true);
    const own = got(second.container);
    heap.u8.fill(9, own.data, own.data + 800);
    expect([container.ref_count, own.ref_count]).toEqual([2, 1]);
    for (const one of [first, third]) expect(bytesOf(heap, got(one.container).data, 800)).toEqual(Array(800).fill(7));
    // Exclusive now: the next write copies nothing.
    expect(second.write()).toBe(true);
    expect(second.container?.data).toBe(own.data);
  });

  test("a container of one pool goes back to it, whichever pool the pointer is destroyed with or moves to", () => {
    const one = poolOf(8, { debug });
    const other = poolOf(8, { debug, backing: one.backing });
    const ptr = allocated(one, "p", 64);
    const { heap } = one;
    heap.u8.fill(3, ptr.container.data, ptr.container.data + 64);
    expect(ptr.allocate(100, other)).toBe(true);
    expect([one.stats().orphans, other.stats().liveContainers]).toEqual([1, 1]);
    expect(bytesOf(heap, ptr.container.data, 104)).toEqual([
      ...Array<number>(64).fill(3),
      ...Array<number>(40).fill(0),
    ]);
    ptr.destroy();
    expect([one.count, other.stats().orphans]).toEqual([1, 1]);
  });

  test("a container that is taken out of its pool lives on with its pointers", () => {
    const pool = poolOf(8, { debug });
    const ptr = allocated(pool, "p", 64);
    const other = keep(ptr.share("q"));
    const { container, heap } = ptr;
    heap.u32[container.data >>> 2] = 42;
    pool.remove(container, true);
    expect([pool.count, container.ref_count, heap.u32[container.data >>> 2]]).toEqual([0, 2, 42]);
    ptr.destroy();
    expect([container.ref_count, heap.u32[container.data >>> 2]]).toEqual([1, 42]);
    other.destroy();
    expect(() => container.ref_count).toThrow(code("ERR_USE_AFTER_FREE"));
    expect(pool.count).toBe(0);
  });

  test.each([true, false])(
    "a pointer outlives its pool, also where another one (debug: %s) takes its place",
    (second) => {
      const backing = heapOf();
      const pool = new MemoryPool(8, { backing, debug });
      const [a, b, c] = ["a", "b", "c"].map((name) => allocated(pool, name, 64));
      const removed = b!.container;
      pool.remove(removed);
      const { handle } = pool;
      pool.destroy();
      const next = poolOf(8, { backing, debug: second });
      expect(next.handle).toBe(handle);
      const kept = allocated(next, "kept", 64);
      // The one that was allocated last, and is the first of those that a debug pool lists.
      c!.destroy();
      expect(() => a!.container).toThrow(code("ERR_USE_AFTER_FREE"));
      expect(() => a!.share("d")).toThrow(code("ERR_USE_AFTER_FREE"));
      expect(() => a!.allocate(8, next)).toThrow(code("ERR_USE_AFTER_FREE"));
      a!.destroy();
      expect(b!.container?.data).toBe(removed.data);
      b!.destroy();
      expect(() => removed.size).toThrow(code("ERR_USE_AFTER_FREE"));
      next.check();
      expect([next.count, kept.container.ref_count]).toEqual([1, 1]);
    },
  );

  test("a destroyed pointer is refused by name, whatever has its block since", () => {
    const pool = poolOf(8, { debug });
    const ptr = allocated(pool, "gone", 64);
    const other = allocated(pool, "stays", 64);
    ptr.destroy();
    const next = allocated(pool, "next", 64);
    const acts: (() => unknown)[] = [
      () => ptr.container,
      () => ptr.handle,
      () => ptr.allocate(8, pool),
      () => ptr.write(),
      () => ptr.write(pool),
      () => ptr.share("s"),
    ];
    for (const act of acts) expect(act).toThrow(code("ERR_USE_AFTER_FREE"));
    expect(() => ptr.container).toThrow(/^container of "gone": the pointer at 0x[0-9a-f]+ has been freed since; .+/);
    expect(() => ptr.destroy()).toThrow(code("ERR_DOUBLE_FREE"));
    ptr[Symbol.dispose]();
    expect([next.container.ref_count, other.container.ref_count, pool.count]).toEqual([1, 1, 2]);
  });

  test("a pointer whose container was freed under it is refused, and can still be destroyed", () => {
    const pool = poolOf(8, { debug });
    const ptr = allocated(pool, "p", 64);
    const { container } = ptr;
    pool.remove(container);
    container.destroy();
    const next = allocated(pool, "q", 64);
    expect(() => ptr.container).toThrow(code("ERR_USE_AFTER_FREE"));
    expect(() => ptr.write(pool)).toThrow(code("ERR_USE_AFTER_FREE"));
    ptr.destroy();
    expect([next.container.ref_count, pool.count]).toEqual([1, 1]);
  });

  test("names of any length and kind are kept in the heap", () => {
    const pool = poolOf(8, { debug });
    const names = [
      "",
      "a",
      "sixteen_bytes_16",
      "seventeen_bytes17",
      "größe",
      "名前",
      "\u{1f600}",
      "a\0b",
      "x".repeat(5000),
    ];
    for (const name of names) {
      const ptr = allocated(pool, name, 8);
      expect(ptr.variable_name).toBe(name);
      expect(MemoryPointer.attach(pool.heap, ptr.handle).variable_name).toBe(name);
      expect(ptr.container.ref_count).toBe(1);
    }
  });
});

test("sharing needs a container, and a pool that is there", () => {
  const pool = poolOf(8);
  const empty = keep(new MemoryPointer("empty", 0, { backing: pool.backing }));
  expect(empty.container).toBeNull();
  expect(() => empty.share("s")).toThrow('share of "empty": it has no container yet; allocate one');
  expect(() => empty.write()).toThrow('write of "empty": it has no container; allocate one');
  expect(() => empty.write(pool)).toThrow(code("ERR_INVALID_ARGUMENT"));
});

test("a pointer and its pool are in one heap", () => {
  const pool = poolOf(8);
  const ptr = keep(new MemoryPointer("p", 0, { backing: heapOf() }));
  expect(() => ptr.allocate(8, pool)).toThrow(
    'allocate of "p": the pool is in another heap than the pointer; use one heap',
  );
  expect(pool.count).toBe(0);
});

test("size hints are only noted", () => {
  const backing = heapOf();
  const { liveBytes } = backing.stats();
  for (const hint of [0, 1 << 30, -5, 0.5, Number.NaN]) {
    const ptr = keep(new MemoryPointer("p", hint, { backing }));
    expect(ptr.container).toBeNull();
  }
  expect(backing.stats().liveBytes - liveBytes).toBe(5 * 48);
});

test("an attached pointer is the same one: through either, it is destroyed once", () => {
  const pool = poolOf(8);
  const { heap } = pool;
  const ptr = allocated(pool, "p", 64);
  const twin = MemoryPointer.attach(heap, ptr.handle);
  expect(twin.container).toMatchObject({ data: ptr.container.data, ref_count: 1 });
  twin.destroy();
  expect(() => ptr.destroy()).toThrow(code("ERR_DOUBLE_FREE"));
  expect(() => ptr.container).toThrow(code("ERR_USE_AFTER_FREE"));
  expect(pool.stats().orphans).toBe(1);
});

test("containers in other heaps are not taken for this one's", () => {
  const [one, other] = [poolOf(8), poolOf(8)];
  const [a, b] = [allocated(one, "p", 64), allocated(other, "p", 64)];
  expect(a.container.data).toBe(b.container.data);
  one.heap.u32[a.container.data >>> 2] = 1;
  expect(other.heap.u32[b.container.data >>> 2]).toBe(0);
  a.destroy();
  expect(b.container.ref_count).toBe(1);
});

test("using gives pointers, pools and containers back in turn", () => {
  const backing = new Heap({ bytes: 1 << 18 });
  {
    const pool = new MemoryPool(8, { backing });
    const ptr = new MemoryPointer("p", 0, { backing });
    const container = new MemoryContainer(1n, 8, { backing });
    expect(ptr.allocate(64, pool)).toBe(true);
    for (const thing of [container, ptr, pool, pool, ptr, container]) thing[Symbol.dispose]();
  }
  expect(backing.stats().liveBlocks).toBe(0);
});
