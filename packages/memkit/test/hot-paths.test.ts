/**
 * The short way does what the long way does. A debug pool never takes it, so the same calls on one pool with debug and one
 * without must give the same: which container serves, counts, contents, capacity, identity.
 */
import { asPtr, Heap, type HeapBuffer, NULL, type Ptr } from "@heapwright/core";
import { random, runs, seedFromEnv } from "@heapwright/core/testing";
import { describe, expect, test } from "vitest";

import {
  type AllocatedPointer,
  mem_compute_hash,
  mem_pointer_allocate,
  mem_pointer_create,
  mem_pointer_destroy,
  mem_pointer_share,
  mem_pointer_write,
  type MemoryContainer,
  MemoryPointer,
  MemoryPool,
  type PoolOptions,
  remove_container_from_pool,
} from "../src/index.ts";
import { bytesOf, got, heapOf, keep, poolOf } from "./made.ts";

/** Short, long, empty, not ASCII, and with a NUL. */
const NAMES = ["data_buffer", "b", "", "a name of more than sixteen bytes", "größe", "a\0b"];
const SIZES = [1, 8, 60, 64, 64, 64, 200, 511, 512, 513, 3000];

/** Pools of one heap, and the pointers that were made for them. */
class Side {
  readonly heap = new Heap({ bytes: 1 << 22 });
  readonly pools: readonly MemoryPool[];
  readonly pointers: MemoryPointer[] = [];

  constructor(debug: boolean, options: PoolOptions) {
    this.pools = [3, 16].map((capacity) => new MemoryPool(capacity, { backing: this.heap, debug, ...options }));
  }

  create(name: string): void {
    const pointer = mem_pointer_create(name, 0, { backing: this.heap });
    if (pointer === null) throw new Error("no room");
    this.pointers.push(pointer);
  }

  allocate(at: number, size: number, pool: number): boolean {
    const isServed = mem_pointer_allocate(this.pointers[at]!, size, this.pools[pool]!);
    const container = isServed ? this.pointers[at]!.container : null;
    if (container !== null) this.heap.u8.fill(at & 255, container.data, container.data + size);
    return isServed;
  }

  share(at: number, name: string): void {
    const other = mem_pointer_share(this.pointers[at]!, name);
    if (other !== null) this.pointers.push(other);
  }

  /** By the object it was made as, or by another one. */
  destroy(at: number, isByTwin: boolean, pool: number): void {
    const [pointer] = this.pointers.splice(at, 1) as [MemoryPointer];
    const { handle } = pointer;
    const one = isByTwin ? MemoryPointer.attach(this.heap, handle) : pointer;
    mem_pointer_destroy(one, this.pools[pool]!);
    // Whoever has the block next, neither object is taken for it.
    const next = mem_pointer_create("data_buffer", 0, { backing: this.heap });
    for (const gone of [one, pointer]) {
      if (isRefused(() => gone.container) && isRefused(() => mem_pointer_destroy(gone, null))) continue;
      throw new Error("a destroyed pointer is taken for the next one");
    }
    mem_pointer_destroy(next, this.pools[pool]!);
  }

  remove(at: number, pool: number): boolean {
    const container = this.pointers[at]!.container;
    return container !== null && remove_container_from_pool(this.pools[pool]!, container, true);
  }

  /** All that a user can see, without addresses. */
  describe(): unknown {
    const places = new Map<number, string>();
    const pools = this.pools.map((pool, i) => {
      const blocks = [...pool.blocks()];
      blocks.forEach(({ ptr }, slot) => places.set(ptr, `${i}:${slot}`));
      return [
        pool.capacity,
        blocks.map(({ ptr, ...seen }) => [seen, Buffer.from(this.heap.bytes(ptr, seen.size)).toString("base64")]),
      ];
    });
    const pointers = this.pointers.map((pointer) => {
      const { container, variable_name } = pointer;
      if (container === null) return variable_name;
      return [variable_name, places.get(container.data), container.address, container.ref_count, container.size];
    });
    return { pools, pointers };
  }

  end(): void {
    for (const one of [...this.pointers, ...this.pools]) one.destroy();
  }
}

function isRefused(act: () => unknown): boolean {
  try {
    act();
    return false;
  } catch {
    return true;
  }
}

describe.each([{}, { maxOrphans: 1 }, { orphans: "destroy" }, { alignment: 16 }] as const)("%o", (options) => {
  test("random calls, each on both", () => {
    const seed = seedFromEnv();
    const draw = random(seed);
    const below = (limit: number): number => Math.floor(draw() * limit);
    const sides = [new Side(true, options), new Side(false, options)] as const;
    for (let i = 0; i < runs(800); i += 1) {
      const count = sides[0].pointers.length;
      const [kind, at, pool, name, size] = [
        draw(),
        below(count),
        below(4) === 0 ? 1 : 0,
        NAMES[below(6)]!,
        SIZES[below(11)]!,
      ];
      const isByTwin = draw() < 0.2;
      const both = sides.map((side) => {
        if (count === 0 || (kind < 0.3 && count < 30)) return side.create(name);
        if (kind < 0.6) return side.allocate(at, size, pool);
        if (kind < 0.65 && count < 30) return side.share(at, name);
        if (kind < 0.68) return mem_pointer_write(side.pointers[at]!, side.pools[pool]!);
        if (kind < 0.7) return side.remove(at, pool);
        if (kind < 0.71) return side.pools[pool]!.trim();
        return side.destroy(at, isByTwin, pool);
      });
      const [one, other] = sides.map((side) => side.describe());
      expect(other, `FC_SEED=${seed}, step ${i}`).toEqual(one);
      expect(both[1], `FC_SEED=${seed}, step ${i}`).toEqual(both[0]);
      if (i % 20 === 0) for (const side of sides) for (const each of side.pools) each.check();
    }
    for (const side of sides) side.end();
  });
});

test("create, allocate, destroy in turn: one container and one block serve them all", () => {
  const pool = poolOf(8, { debug: false });
  const options = { backing: pool.backing };
  const seen = new Set<string>();
  const handles = new Set<MemoryContainer>();
  for (let i = 0; i < 1000; i += 1) {
    const ptr = got(mem_pointer_create("data_buffer", 64, options));
    if (!mem_pointer_allocate(ptr, 64, pool)) throw new Error("no room");
    const { container } = ptr;
    if (!bytesOf(pool.heap, container.data, 64).every((byte) => byte === 0)) throw new Error("not 0");
    pool.heap.u8.fill(255, container.data, container.data + 64);
    seen.add(`${ptr.handle} ${container.handle} ${container.address} ${container.ref_count}`);
    handles.add(container);
    mem_pointer_destroy(ptr, pool);
  }
  // The first may lie elsewhere.
  expect(seen.size).toBeLessThanOrEqual(2);
  expect([pool.count, pool.stats().orphans]).toEqual([1, 1]);
  expect([...handles].filter((container) => !isRefused(() => container.data))).toEqual([]);
  pool.check();
});

test("a block at hand is not taken for another heap, another backing, another alignment or a longer name", () => {
  const pool = poolOf(8, { debug: false });
  const spare = (): number => pool.heap.u32[(pool.handle + 40) >>> 2]!;
  const options = { backing: pool.backing };
  const cycle = (): void => {
    const ptr = got(mem_pointer_create("name", 0, options));
    if (!mem_pointer_allocate(ptr, 64, pool)) throw new Error("no room");
    mem_pointer_destroy(ptr, pool);
  };
  cycle();
  cycle();
  const block = spare();
  expect(block).toBeGreaterThan(1);
  const others = [
    { name: "name", options: { backing: heapOf() } },
    { name: "name", options: { ...options, alignment: 64 } },
    { name: "a name of more than sixteen bytes", options },
  ];
  for (const { name, options: wanted } of others) {
    const ptr = keep(got(mem_pointer_create(name, 0, wanted)));
    expect([ptr.backing, ptr.variable_name, spare()]).toEqual([wanted.backing, name, block]);
  }
  mem_compute_hash("another");
  expect(keep(got(mem_pointer_create("name", 0, options))).variable_name).toBe("name");
});

/** A pool that has an orphan of 64 bytes and a block at hand, and what makes pointers of that name for it. */
function ready(
  name: string,
  backing: Heap<HeapBuffer> = heapOf(),
): { pool: MemoryPool; create: () => MemoryPointer; cycle: () => void } {
  const pool = poolOf(8, { debug: false, backing });
  const create = (): MemoryPointer => keep(got(mem_pointer_create(name, 0, { backing })));
  const cycle = (): void => {
    const ptr = create();
    if (!mem_pointer_allocate(ptr, 64, pool)) throw new Error("no room");
    mem_pointer_destroy(ptr, pool);
  };
  for (let i = 0; i < 3; i += 1) cycle();
  return { pool, create, cycle };
}

test("each pointer in one block is another one, to every object", () => {
  const { pool, create } = ready("name");
  const first = create();
  const twin = MemoryPointer.attach(pool.heap, first.handle);
  if (!mem_pointer_allocate(first, 64, pool)) throw new Error("no room");
  mem_pointer_destroy(twin, pool);
  const second = create();
  expect(mem_pointer_allocate(second, 64, pool)).toBe(true);
  expect([isRefused(() => first.container), isRefused(() => twin.container)]).toEqual([true, true]);
  expect(second.container?.ref_count).toBe(1);
});

test("the identity is that of the pointer's name, whichever was used since", () => {
  const { pool, create } = ready("name");
  const ptr = create();
  mem_compute_hash("another");
  expect(mem_pointer_allocate(ptr, 64, pool)).toBe(true);
  expect(ptr.container?.address).toBe(mem_compute_hash("name"));
});

test("a pointer whose container was freed under it does not end the next one's life", () => {
  const { pool, create, cycle } = ready("name");
  const stale = create();
  if (!mem_pointer_allocate(stale, 64, pool)) throw new Error("no room");
  const { container } = stale;
  expect(remove_container_from_pool(pool, container, false)).toBe(true);
  container.destroy();
  const next = create();
  if (!mem_pointer_allocate(next, 64, pool)) throw new Error("no room");
  expect(next.container.handle).toBe(container.handle);
  mem_pointer_destroy(stale, pool);
  expect([next.container.ref_count, pool.stats().orphans]).toEqual([1, 0]);
  cycle();
});

test("the block at hand is 0, the last byte of the longest short name included", () => {
  const { pool } = ready("sixteen_bytes_16");
  const block = pool.heap.u32[(pool.handle + 40) >>> 2]!;
  expect(block).toBeGreaterThan(1);
  // It is the only one at hand, and says so.
  expect(bytesOf(pool.heap, asPtr(block), 48)).toEqual(Array.from({ length: 48 }, (_, at) => (at === 8 ? 1 : 0)));
});

test("a pool that is gone has nothing at hand, whatever lies in its place", () => {
  const { pool, create } = ready("name", heapOf(1 << 16));
  const { heap, handle } = pool;
  const victim = heap.malloc(48);
  heap.u8.fill(7, victim, victim + 48);
  // By another object: this one has not been told.
  MemoryPool.attach(heap, handle).destroy();
  // Whoever gets that place writes what looks like a block at hand.
  const blocks: Ptr[] = [];
  for (let block = heap.malloc(64); block !== NULL; block = heap.malloc(64)) blocks.push(block);
  for (const block of blocks) heap.u32.fill(victim, block >>> 2, (block + 64) >>> 2);
  expect(heap.u32[(handle + 40) >>> 2]).toBe(victim);
  for (const block of blocks.splice(-5)) heap.free(block);
  expect(create().handle).not.toBe(victim);
  expect(bytesOf(heap, victim, 48)).toEqual(Array(48).fill(7));
  for (const ptr of [victim, ...blocks]) heap.free(ptr);
});

test("what a pool has at hand goes with it", () => {
  const backing = heapOf();
  for (let round = 0; round < 3; round += 1) {
    const pool = new MemoryPool(8, { backing, debug: false });
    for (let i = 0; i < 3; i += 1) {
      const ptr = got(mem_pointer_create("name", 0, { backing }));
      if (!mem_pointer_allocate(ptr, 64, pool)) throw new Error("no room");
      mem_pointer_destroy(ptr, pool);
    }
    pool.destroy();
    expect(backing.stats().liveBlocks).toBe(0);
    // No block of the pool that is gone.
    const ptr = got(mem_pointer_create("name", 0, { backing }));
    expect(backing.stats().liveBlocks).toBe(1);
    mem_pointer_destroy(ptr, null);
  }
});

test("a heap whose memory has grown since is seen anew", () => {
  const pool = poolOf(8, { debug: false, backing: heapOf(1 << 16, 1 << 22) });
  const options = { backing: pool.backing };
  for (let i = 0; i < 40; i += 1) {
    const ptr = got(mem_pointer_create("name", 0, options));
    if (!mem_pointer_allocate(ptr, 64, pool)) throw new Error("no room");
    pool.heap.u32[ptr.container.data >>> 2] = i;
    // Grows, and detaches all views.
    const large: AllocatedPointer | MemoryPointer = keep(got(mem_pointer_create("large", 0, options)));
    if (!mem_pointer_allocate(large, 50_000, pool)) throw new Error("no room");
    expect(pool.heap.u32[ptr.container.data >>> 2]).toBe(i);
    mem_pointer_destroy(ptr, pool);
  }
  expect(pool.heap.size).toBeGreaterThan(1 << 20);
  pool.check();
});
