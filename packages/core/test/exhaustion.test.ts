import { beforeEach, describe, expect, it } from "vitest";
import { Heap } from "../src/heap.ts";
import { NULL, type Ptr } from "../src/ptr.ts";
import { runs, seedFromEnv } from "../src/testing/env.ts";
import { random } from "../src/testing/stream.ts";
import { allowLive } from "../src/testing/heap-watch.ts";
import type { HeapBuffer } from "../src/views.ts";
import { refusalOf } from "./refusal.ts";

// Blocks stay live where nothing else is tested than the heap that they lie in.
beforeEach(() => allowLive());

const PAGE_BYTES = 65536;

/** Allocates until there is nothing left of a size. */
function fill(heap: Heap<HeapBuffer>, size: () => number): Ptr[] {
  const blocks: Ptr[] = [];
  for (let ptr = heap.malloc(size()); ptr !== NULL; ptr = heap.malloc(size())) blocks.push(ptr);
  return blocks;
}

describe.each<[string, () => Heap<HeapBuffer>]>([
  ["a fixed heap", () => new Heap({ bytes: PAGE_BYTES })],
  ["a heap that grows to its maximum", () => new Heap({ bytes: PAGE_BYTES, maxBytes: 8 * PAGE_BYTES })],
  ["a heap of 16-byte alignment", () => new Heap({ bytes: PAGE_BYTES, alignment: 16 })],
  ["a range of a buffer", () => Heap.adopt(new ArrayBuffer(PAGE_BYTES), { base: 4096, bytes: 50_000 })],
  ["a shared heap", () => new Heap({ bytes: PAGE_BYTES, shared: true })],
  ["a shared heap that grows", () => new Heap({ bytes: PAGE_BYTES, maxBytes: 8 * PAGE_BYTES, shared: true })],
  ["a shared heap of 16-byte alignment", () => new Heap({ bytes: PAGE_BYTES, alignment: 16, shared: true })],
])("%s", (_, make) => {
  it.each([0, 8, 100, 1000, 5000])(
    "is full when no block of %d bytes is left, and then holds what it did before",
    (size) => {
      const heap = make();
      const first = fill(heap, () => size);
      expect(heap.stats().liveBlocks).toBe(first.length);
      heap.check();
      first.forEach((ptr) => heap.free(ptr));
      expect(heap.stats()).toMatchObject({ liveBlocks: 0, liveBytes: 0 });
      heap.check();
      const again = fill(heap, () => size);
      expect(again.length).toBe(first.length);
      heap.check();
    },
  );

  it("can be had in one piece again after it was full of small blocks, but for what growth has cut it into", () => {
    const heap = make();
    const small = fill(heap, () => 24);
    const { bytes } = heap.stats();
    small.forEach((ptr) => heap.free(ptr));
    // The last increment is at least a third of the heap.
    expect(heap.malloc(Math.floor(bytes * 0.25))).not.toBe(NULL);
    heap.check();
  });

  it("uses nearly all of its bytes", () => {
    const heap = make();
    const { freeBytes } = heap.stats();
    fill(heap, () => 8);
    // What a block of 8 bytes takes, header included, is 16: all but crumbs is handed out.
    expect(heap.stats().liveBytes).toBeGreaterThan(freeBytes * 0.49);
    expect(heap.stats().freeBytes).toBeLessThan(256);
  });

  it("goes on serving what still fits when something larger did not", () => {
    const heap = make();
    fill(heap, () => 5000);
    const before = heap.stats().liveBlocks;
    expect(heap.malloc(5000)).toBe(NULL);
    expect(heap.calloc(50, 100)).toBe(NULL);
    expect(heap.alignedAlloc(64, 5000)).toBe(NULL);
    expect(heap.stats().liveBlocks).toBe(before);
    const small = heap.malloc(16);
    expect(small).not.toBe(NULL);
    expect(heap.realloc(small, 6000)).toBe(NULL);
    expect(heap.usableSize(small)).toBeGreaterThanOrEqual(16);
    heap.check();
  });

  it("survives being full again and again, with blocks of all sizes", () => {
    const seed = seedFromEnv();
    const heap = make();
    for (let round = 0; round < runs(20); round += 1) {
      const next = random(seed + round);
      const live = fill(heap, () => Math.floor(next() ** 4 * 6000));
      expect(live.length, `seed ${seed}, round ${round}`).toBeGreaterThan(0);
      heap.check();
      for (const ptr of live) {
        const moved = next() < 0.3 ? heap.realloc(ptr, Math.floor(next() * 3000)) : NULL;
        heap.free(moved === NULL ? ptr : moved);
      }
      heap.check();
      expect(heap.stats().liveBlocks).toBe(0);
    }
  });

  it("has no room for a root's name when it is full, and says so; a root that is there can still be changed", () => {
    const heap = make();
    const kept = heap.malloc(8);
    heap.setRoot("kept", kept);
    const live = fill(heap, () => 8);
    const stats = heap.stats();
    const error = refusalOf(() => heap.setRoot("one more", kept));
    expect([error.code, error.message]).toEqual(["ERR_OUT_OF_MEMORY", expect.stringMatching(/^setRoot: no room/)]);
    expect(heap.stats()).toEqual(stats);
    expect(heap.root("one more")).toBe(NULL);
    heap.setRoot("kept", live[0] ?? NULL);
    expect(heap.root("kept")).toBe(live[0]);
    heap.check();
    // Give back enough for it.
    live.forEach((ptr) => heap.free(ptr));
    heap.setRoot("one more", kept);
    expect(heap.root("one more")).toBe(kept);
    heap.check();
  });
});

describe("growth that is refused", () => {
  it("by a memory whose own maximum is smaller than the heap's: the heap takes what there is", () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 3 });
    const heap = Heap.adopt(memory, { maxBytes: 100 * PAGE_BYTES });
    const live = fill(heap, () => 1000);
    expect(memory.buffer.byteLength).toBe(3 * PAGE_BYTES);
    expect(heap.size).toBe(3 * PAGE_BYTES);
    expect(live.length * 1008).toBeGreaterThan(3 * PAGE_BYTES * 0.93);
    heap.check();
    expect(heap.grow(PAGE_BYTES)).toBe(false);
    live.forEach((ptr) => heap.free(ptr));
    expect(fill(heap, () => 1000).length).toBe(live.length);
    heap.check();
  });

  it("by a memory that others have used up", () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 4 });
    const heap = Heap.adopt(memory, { maxBytes: 4 * PAGE_BYTES });
    const ptr = heap.malloc(100);
    memory.grow(3);
    expect(heap.malloc(PAGE_BYTES)).toBe(NULL);
    expect(heap.usableSize(ptr)).toBe(104);
    expect(heap.stats().bytes).toBe(PAGE_BYTES);
    expect(fill(heap, () => 100).length).toBeGreaterThan(400);
    heap.check();
  });

  it("by an engine that has no such buffer", () => {
    const memory = new WebAssembly.Memory({ initial: 1 });
    const heap = Heap.adopt(memory, { maxBytes: 2 * PAGE_BYTES });
    const real = memory.grow.bind(memory);
    let asked = 0;
    memory.grow = () => {
      asked += 1;
      throw new RangeError("no more");
    };
    expect(heap.malloc(50_000)).not.toBe(NULL);
    const before = [...heap.blocks()];
    expect(heap.malloc(60_000)).toBe(NULL);
    expect(asked).toBeGreaterThan(0);
    expect([...heap.blocks()]).toEqual(before);
    heap.check();
    memory.grow = real;
    expect(heap.malloc(60_000)).not.toBe(NULL);
    heap.check();
  });

  it("for a size beyond the maximum leaves the heap as large as it was", () => {
    const heap = new Heap({ bytes: PAGE_BYTES, maxBytes: 4 * PAGE_BYTES });
    expect(heap.malloc(5 * PAGE_BYTES)).toBe(NULL);
    expect(heap.size).toBe(PAGE_BYTES);
    expect(heap.malloc(2 * PAGE_BYTES)).not.toBe(NULL);
    heap.check();
  });
});
