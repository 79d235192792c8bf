import { beforeEach, describe, expect, it } from "vitest";
import { HeapError } from "../src/errors.ts";
import { Heap } from "../src/heap.ts";
import { MAX_END_BYTES, PAGE_BYTES } from "../src/layout.ts";
import { asPtr, NULL, type Ptr } from "../src/ptr.ts";
import { seedFromEnv } from "../src/testing/env.ts";
import { replay } from "../src/testing/replay.ts";
import { operations, powerLaw } from "../src/testing/stream.ts";
import { allowLive } from "../src/testing/heap-watch.ts";
import { flush } from "../src/quick-lists.ts";
import { SharedHeap } from "../src/shared-heap.ts";
import { attachAnother } from "./agents.ts";
import { neighbours } from "./neighbours.ts";
import { refusalOf } from "./refusal.ts";

// Blocks stay live where nothing else is tested than the heap that they lie in.
beforeEach(() => allowLive());

/** Address space only: no page is touched but those of the range in use. */
const GIB = 2 ** 30;

/** A memory of nearly 4 GiB, once for all; undefined where the engine has none. */
const memory: WebAssembly.Memory | undefined = (() => {
  try {
    return new WebAssembly.Memory({ initial: MAX_END_BYTES / PAGE_BYTES, maximum: 65536 });
  } catch {
    console.error("large.test.ts: the engine has no WebAssembly.Memory of 4 GiB; tests above 2 GiB are skipped");
    return undefined;
  }
})();

const BYTES = 1 << 18;

const RANGES: [name: string, base: number, alignment: 8 | 16][] = [
  ["below 2 GiB", GIB, 8],
  ["that crosses 2 GiB", 2 * GIB - 100_008, 8],
  ["whose first block lies at 2 GiB", 2 * GIB - 4096, 16],
  ["above 2 GiB", 2 * GIB + 40_000, 8],
  ["near 3 GiB", 3 * GIB - 56, 8],
  ["that ends a page below 4 GiB", MAX_END_BYTES - BYTES, 16],
];

describe.skipIf(memory === undefined).each(RANGES)("a heap in a range %s", (_, base, alignment) => {
  const make = (): Heap =>
    Heap.adopt(memory ?? new WebAssembly.Memory({ initial: 0 }), { base, bytes: BYTES, alignment });

  it("serves random operations as any other, sound after each", () => {
    const heap = make();
    const stream = operations({ seed: seedFromEnv(), count: 4000, maxLive: 300, sizes: powerLaw(1, 3000) });
    let count = 0;
    replay(heap, stream, { alignment, everyOp: (index) => index % 4 === 0 && (heap.check(), (count += 1)) });
    expect(count).toBeGreaterThan(999);
    expect(heap.stats()).toMatchObject({ liveBlocks: 0, liveBytes: 0 });
    flush(heap);
    expect([...heap.blocks()].map(({ state }) => state)).toEqual(["free"]);
  });

  it("gives pointers that are whole numbers in its range", () => {
    const heap = make();
    const blocks: Ptr[] = [];
    for (let ptr = heap.malloc(900); ptr !== NULL; ptr = heap.malloc(900)) blocks.push(ptr);
    expect(blocks.length).toBeGreaterThan(260);
    expect(blocks.filter((ptr) => !(ptr > base && ptr + 900 <= base + BYTES && ptr % alignment === 0))).toEqual([]);
    heap.check();
    const { footprint } = heap.stats();
    expect(footprint).toBeGreaterThan(BYTES * 0.98);
    expect(footprint).toBeLessThanOrEqual(BYTES);
  });

  it("notices double, interior, misaligned and foreign frees", () => {
    const heap = make();
    const [a = NULL, b = NULL, c = NULL] = neighbours(heap, 5000, 9000, 5000);
    const codeOf = (address: number): string => refusalOf(() => heap.free(asPtr(address))).code;
    for (const distance of [1, 4, 8, 2048, 8992]) expect(codeOf(b + distance)).toBe("ERR_INVALID_POINTER");
    heap.free(b);
    for (const distance of [0, 1, 8, 2048, 8992]) expect(codeOf(b + distance)).toBe("ERR_DOUBLE_FREE");
    for (const address of [base, base + BYTES, base - 8, base + BYTES - 8, 8, b - 2 ** 32, b + 2 ** 32]) {
      expect(codeOf(address)).toBe("ERR_INVALID_POINTER");
    }
    expect(refusalOf(() => heap.free(asPtr(c + 8))).message).toBe(
      `free(0x${(c + 8).toString(16)}): 8 bytes inside the ${heap.usableSize(c)}-byte block at 0x${c.toString(16)}; ` +
        `pass 0x${c.toString(16)}`,
    );
    heap.free(a);
    heap.free(c);
    heap.check();
  });

  it("reallocates in place and by moving, and aligns", () => {
    const heap = make();
    const [a = NULL, b = NULL] = neighbours(heap, 3000, 3000, 24);
    heap.u8.fill(7, a, a + 3000);
    heap.free(b);
    expect(heap.realloc(a, 5000)).toBe(a);
    heap.check();
    const moved = heap.realloc(a, 20_000);
    expect(moved).not.toBe(a);
    expect(heap.u8.subarray(moved, moved + 3000).every((byte) => byte === 7)).toBe(true);
    heap.check();
    for (const to of [64, 4096, 65536]) {
      const ptr = heap.alignedAlloc(to, 100);
      expect([ptr % to, ptr > base]).toEqual([0, true]);
      heap.check();
    }
  });

  it("is the same heap when it is attached to, and keeps its roots", () => {
    const heap = make();
    const ptr = heap.calloc(4, 100);
    heap.setRoot("here", ptr);
    const other = Heap.attach(memory ?? heap.buffer, { base });
    expect(other.root("here")).toBe(ptr);
    expect([...other.blocks()]).toEqual([...heap.blocks()]);
    other.free(ptr);
    heap.check();
    expect(heap.stats().liveBlocks).toBe(0);
  });
});

describe("a shared heap above 2 GiB", () => {
  const BASE = 3 * GIB - 56;
  /** Undefined where the engine has no such memory. */
  const make = (): SharedHeap | undefined => {
    try {
      const pages = Math.ceil((BASE + BYTES) / PAGE_BYTES);
      const large = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
      const heap = Heap.adopt(large, { base: BASE, bytes: BYTES });
      return heap instanceof SharedHeap ? heap : undefined;
    } catch (error) {
      if (error instanceof RangeError) return undefined;
      throw error;
    }
  };

  it("serves two agents, its lock and its magazines too", ({ skip }) => {
    const heap = make();
    if (heap === undefined) return skip();
    const other = attachAnother(heap);
    let turn = 0;
    const agents = {
      get heap() {
        return (turn += 1) % 3 === 0 ? heap : other;
      },
      malloc: (size: number) => agents.heap.malloc(size),
      calloc: (count: number, size: number) => agents.heap.calloc(count, size),
      realloc: (ptr: Ptr, size: number) => agents.heap.realloc(ptr, size),
      alignedAlloc: (to: number, size: number) => agents.heap.alignedAlloc(to, size),
      free: (ptr: Ptr) => agents.heap.free(ptr),
      usableSize: (ptr: Ptr) => agents.heap.usableSize(ptr),
    };
    const stream = operations({ seed: seedFromEnv(), count: 4000, maxLive: 300, sizes: powerLaw(1, 3000) });
    replay(agents, stream, { everyOp: (index) => index % 16 === 0 && heap.check() });
    other.lock.acquire();
    heap.slots.bury(other.slot, heap.slots.generation(other.slot));
    expect(heap.lock.acquire()).toBe("owner-died");
    heap.reapDead();
    heap.lock.release();
    heap.check();
    const ptr = heap.malloc(100);
    expect(ptr).toBeGreaterThan(BASE);
    heap.setRoot("here", ptr);
    expect(attachAnother(heap).root("here")).toBe(ptr);
    expect(heap.stats().liveBlocks).toBe(1);
  });
});

describe("a heap that may grow to 4 GiB less a page", () => {
  /** NULL where the engine has no such memory. */
  const make = (): Heap | undefined => {
    try {
      return new Heap({ bytes: 1 << 20, maxBytes: MAX_END_BYTES });
    } catch (error) {
      if (error instanceof HeapError && error.code === "ERR_OUT_OF_MEMORY") return undefined;
      throw error;
    }
  };

  it("hands out single blocks above 2 GiB, and pieces beyond them", ({ skip }) => {
    const heap = make();
    if (heap === undefined) return skip("the engine has no memory of 4 GiB");
    const first = heap.malloc(100);
    const large = heap.malloc(2 ** 31 + 5000);
    if (large === NULL) return skip("the engine has no memory of 2 GiB");
    expect(heap.usableSize(large)).toBeGreaterThanOrEqual(2 ** 31 + 5000);
    const beyond = heap.malloc(1 << 21);
    expect(beyond).toBeGreaterThan(2 ** 31);
    heap.bytes(beyond, 1000).fill(9);
    expect(refusalOf(() => heap.free(asPtr(large + 2 ** 31))).message).toContain("bytes inside the");
    expect(refusalOf(() => heap.free(asPtr(beyond + 8))).code).toBe("ERR_INVALID_POINTER");
    heap.check();
    heap.free(large);
    expect(refusalOf(() => heap.free(large)).code).toBe("ERR_DOUBLE_FREE");
    expect(refusalOf(() => heap.free(asPtr(large + 2 ** 31))).code).toBe("ERR_DOUBLE_FREE");
    const half = heap.malloc(2 ** 30);
    expect(half).not.toBe(NULL);
    expect(heap.realloc(half, 2 ** 31)).not.toBe(NULL);
    heap.check();
    expect(heap.bytes(beyond, 1000).every((byte) => byte === 9)).toBe(true);
    heap.free(first);
    expect(heap.stats().maxBytes).toBe(MAX_END_BYTES);
  });

  it("ends at its maximum: the last byte can be used, and one block more is NULL", ({ skip }) => {
    const heap = make();
    if (heap === undefined || !heap.grow(4_100_000_000)) return skip("the engine has no memory of 4 GiB");
    while (heap.grow(50_000_000) && heap.malloc(50_000_000) !== NULL);
    let last = NULL;
    for (let size = 2 ** 25; size >= 8; size /= 2) {
      for (let ptr = heap.malloc(size); ptr !== NULL; ptr = heap.malloc(size)) {
        if (ptr > last) last = ptr;
      }
    }
    expect(heap.size).toBe(MAX_END_BYTES);
    const end = last + heap.usableSize(last);
    expect(end).toBe(MAX_END_BYTES - 8);
    heap.u8[end - 1] = 1;
    heap.check();
    heap.free(last);
    heap.check();
  });
});
