/** All state lies in the heap: any object over the same bytes is the same pool, pointer, container, arena. */
import { asPtr, Heap, type HeapBuffer, type HeapErrorCode, NULL, type Ptr } from "@heapwright/core";
import { random, runs, seedFromEnv } from "@heapwright/core/testing";
import { describe, expect, test } from "vitest";

import { mem_compute_hash, MemoryArena, MemoryContainer, MemoryPointer, MemoryPool } from "../src/index.ts";
import { allocated, bytesOf, Failing, got, heapOf, keep, poolOf } from "./made.ts";

const code = (wanted: HeapErrorCode): unknown => expect.objectContaining({ name: "HeapError", code: wanted });

/** Another heap object over the same bytes. */
function twinOf(heap: Heap<HeapBuffer>): Heap<HeapBuffer> {
  return Heap.attach(heap.buffer);
}

describe.each([true, false])("debug: %s", (debug) => {
  test("two heap objects, two pools: one pool", () => {
    const pool = poolOf(2, { debug, maxOrphans: 7 });
    const heap = twinOf(pool.heap);
    const twin = MemoryPool.attach(heap, pool.handle);
    expect(twin).toMatchObject({ handle: pool.handle, capacity: 2, count: 0, maxOrphans: 7, alignment: 8 });
    const ptr = allocated(pool, "seen", 100);
    pool.heap.u32[ptr.container.data >>> 2] = 42;
    expect(twin.stats()).toEqual(pool.stats());
    const seen = MemoryPointer.attach(heap, ptr.handle);
    const { data, address, ref_count } = got(seen.container);
    expect([seen.variable_name, address, ref_count, heap.u32[data >>> 2]]).toEqual([
      "seen",
      mem_compute_hash("seen"),
      1,
      42,
    ]);
    const shared = seen.share("from the other side");
    expect(ptr.container.ref_count).toBe(2);
    expect(shared.write(twin)).toBe(true);
    heap.u32[got(shared.container).data >>> 2] = 43;
    expect(pool.heap.u32[ptr.container.data >>> 2]).toBe(42);
    expect([ptr.container.ref_count, pool.count]).toEqual([1, 2]);
    shared.destroy();
    expect([pool.stats().orphans, twin.stats().orphans]).toEqual([1, 1]);
    // The orphan that one side left serves the other.
    expect(allocated(pool, "next", 100).container.data).not.toBe(data);
    twin.check();
  });

  test("two objects take turns at random, whichever grows, shrinks or trims it", () => {
    const seed = seedFromEnv();
    const draw = random(seed);
    const one = poolOf(1, { debug, maxOrphans: 20, backing: heapOf(1 << 22) });
    const pools = [one, MemoryPool.attach(one.heap, one.handle)] as const;
    const held: { ptr: MemoryPointer; key: number; size: number }[] = [];
    for (let i = 0; i < runs(3000); i += 1) {
      const pool = pools[i & 1]!;
      const grows = draw() < (i % 600 < 300 ? 0.7 : 0.3);
      if (grows) {
        const ptr = new MemoryPointer(`p${i % 7}`, 0, { backing: one.backing });
        const size = 8 * (1 + Math.floor(draw() ** 2 * 40));
        if (!ptr.allocate(size, pool)) throw new Error("no room");
        const { data } = got(ptr.container);
        if (!bytesOf(one.heap, data, size).every((byte) => byte === 0)) throw new Error(`FC_SEED=${seed}: not 0`);
        one.heap.u8.fill(i & 255, data, data + size);
        held.push({ ptr, key: i & 255, size });
      } else if (held.length > 0) {
        const [{ ptr, key, size }] = held.splice(Math.floor(draw() * held.length), 1) as [(typeof held)[number]];
        const same = bytesOf(one.heap, got(ptr.container).data, size).every((byte) => byte === key);
        if (!same) throw new Error(`FC_SEED=${seed}: contents at step ${i}`);
        (draw() < 0.5 ? MemoryPointer.attach(one.heap, ptr.handle) : ptr).destroy();
      }
      if (i % 500 === 0) pool.trim();
      if (i % 50 === 0) pool.check();
    }
    expect(pools[0].stats()).toEqual(pools[1].stats());
    for (const { ptr } of held) ptr.destroy();
    expect(one.stats().liveContainers).toBe(0);
  });

  test("an image holds all of it, found by name, and goes its own way", () => {
    const pool = poolOf(4, { debug });
    const { heap } = pool;
    const ptr = allocated(pool, "kept", 64);
    const arena = keep(new MemoryArena(100, { backing: heap }));
    const item = got(arena.alloc(24));
    heap.u32[ptr.container.data >>> 2] = 42;
    heap.u32[item >>> 2] = 7;
    allocated(pool, "orphan", 32).destroy();
    for (const [name, one] of Object.entries({ pool, ptr, arena })) heap.setRoot(name, one.handle);
    const copy = Heap.attach(heap.image());
    const pools = MemoryPool.attach(copy, copy.root("pool"));
    const pointer = MemoryPointer.attach(copy, copy.root("ptr"));
    const arenas = MemoryArena.attach(copy, copy.root("arena"));
    expect([copy.u32[got(pointer.container).data >>> 2], copy.u32[item >>> 2]]).toEqual([42, 7]);
    expect([pools.stats(), arenas.stats()]).toEqual([pool.stats(), arena.stats()]);
    expect(arenas.alloc(8)).toBe(item + 24);
    pointer.destroy();
    pools.check();
    // The original has not noticed.
    expect([ptr.container.ref_count, pool.stats().orphans, arena.used]).toEqual([1, 1, 24]);
    for (const one of [arenas, pools]) one.destroy();
    copy.check();
    expect(copy.stats().liveBlocks).toBe(0);
  });
});

test("pools, pointers, containers and arenas on another allocator are attached with that, and with nothing else", () => {
  const heap = heapOf();
  const backing = new Failing(heap);
  const pool = poolOf(4, { backing });
  const arena = keep(new MemoryArena(100, { backing }));
  const plain = poolOf(4, { backing: heap });
  expect(MemoryPool.attach(heap, pool.handle, { backing }).handle).toBe(pool.handle);
  expect(MemoryArena.attach(heap, arena.handle, { backing }).handle).toBe(arena.handle);
  for (const act of [
    () => MemoryPool.attach(heap, pool.handle),
    () => MemoryArena.attach(heap, arena.handle),
    () => MemoryPool.attach(heap, pool.handle, { backing: heapOf() }),
    () => MemoryPool.attach(heap, plain.handle, { backing }),
  ]) {
    expect(act).toThrow(code("ERR_INVALID_ARGUMENT"));
  }
});

test("strangers are refused", () => {
  const pool = poolOf(4);
  const { heap } = pool;
  const arena = keep(new MemoryArena(100, { backing: heap }));
  const ptr = allocated(pool, "p", 64);
  const block = heap.malloc(5000);
  heap.u32.fill(0, block >>> 2, (block + 5000) >>> 2);
  const noAddresses = [NaN, -8, 1.5, 12, 0, 2 ** 32, 2 ** 32 - 8, 1e300, heap.size, block];
  for (const handle of [...noAddresses, arena.handle, ptr.handle, pool.handle + 8]) {
    expect(() => MemoryPool.attach(heap, asPtr(handle)), String(handle)).toThrow(code("ERR_NOT_A_HEAP"));
  }
  for (const handle of [...noAddresses, pool.handle, ptr.handle, arena.handle + 8]) {
    expect(() => MemoryArena.attach(heap, asPtr(handle)), String(handle)).toThrow(code("ERR_NOT_A_HEAP"));
  }
  for (const handle of noAddresses) {
    expect(() => MemoryPointer.attach(heap, asPtr(handle)), String(handle)).toThrow(code("ERR_INVALID_POINTER"));
    expect(() => MemoryContainer.attach(heap, asPtr(handle)), String(handle)).toThrow(code("ERR_INVALID_POINTER"));
  }
  for (const X of [MemoryPool, MemoryArena, MemoryPointer, MemoryContainer]) {
    const attach = (...args: unknown[]): unknown => Reflect.apply(X.attach, X, args);
    for (const wrong of [undefined, null, "16", 16n, {}, Symbol("16")]) {
      expect(() => attach(heap, wrong)).toThrow(code("ERR_INVALID_ARGUMENT"));
      expect(() => attach(wrong, pool.handle)).toThrow(code("ERR_INVALID_ARGUMENT"));
    }
    for (const options of [null, 8, { backing: {} }, { backing: 8 }]) {
      expect(() => attach(heap, pool.handle, options)).toThrow(code("ERR_INVALID_ARGUMENT"));
    }
  }
  heap.free(block);
});

test("another layout version is refused, and what has been destroyed", () => {
  const pool = poolOf(4);
  const { heap, handle } = pool;
  const arena = new MemoryArena(64, { backing: heap });
  for (const [X, at] of [
    [MemoryPool, handle],
    [MemoryArena, arena.handle],
  ] as const) {
    heap.u32[(at >>> 2) + 1] = 2;
    expect(() => X.attach(heap, at)).toThrow(/has layout version 2, this package 1; use the version that made it$/);
    heap.u32[(at >>> 2) + 1] = 1;
  }
  const slot: Ptr = arena.handle;
  arena.destroy();
  pool.destroy();
  expect(() => MemoryArena.attach(heap, slot)).toThrow(code("ERR_NOT_A_HEAP"));
  expect(() => MemoryPool.attach(heap, handle)).toThrow(code("ERR_NOT_A_HEAP"));
});

test("a pool that one object has destroyed is gone for all, at once", () => {
  for (const debug of [true, false]) {
    const pool = poolOf(4, { debug });
    const { heap } = pool;
    const twin = MemoryPool.attach(heap, pool.handle);
    const ptr = allocated(pool, "p", 64);
    allocated(pool, "q", 64).destroy();
    twin.destroy();
    const fresh = keep(new MemoryPointer("r", 0, { backing: heap }));
    const acts = [() => pool.handle, () => pool.count, () => pool.stats(), () => fresh.allocate(64, pool)];
    for (const act of acts) expect(act).toThrow(code("ERR_DESTROYED"));
    expect(() => pool.destroy()).toThrow(code("ERR_DESTROYED"));
    expect(() => ptr.container).toThrow(code("ERR_USE_AFTER_FREE"));
    ptr.destroy();
    expect(fresh.container).toBeNull();
  }
});

test("an arena of one object serves the other from where that left it", () => {
  const heap = heapOf();
  const arena = keep(new MemoryArena(100, { backing: heap }));
  const twin = MemoryArena.attach(heap, arena.handle);
  const first = got(arena.alloc(40));
  expect([twin.alloc(40), arena.mark()]).toEqual([first + 40, first + 80]);
  got(twin.alloc(1000));
  expect(arena.next?.size).toBe(2000);
  expect(arena.alloc(8)).not.toBe(NULL);
});
