import { describe, expect, it } from "vitest";
import { Heap } from "../src/heap.ts";

describe("the footprint", () => {
  const options = { bytes: 1 << 16, maxBytes: 1 << 20 };

  it("covers what is handed out from the old end of a heap that has been grown ahead of need", () => {
    const heap = new Heap(options);
    expect(heap.grow(200_000)).toBe(true);
    const ptr = heap.malloc(50_000);
    heap.check();
    expect(heap.stats().footprint).toBeGreaterThanOrEqual(ptr + 50_000 - heap.base);
    heap.free(ptr);
  });

  it("covers it, too, when the growth was cut short and repaired", () => {
    const heap = new Heap(options);
    const footprint = heap.stats().footprint;
    heap.grow(200_000);
    // The store that a death in between would have left out.
    heap.words[heap.footprintWord] = footprint;
    heap.recover();
    const ptr = heap.malloc(50_000);
    heap.check();
    expect(heap.stats().footprint).toBeGreaterThanOrEqual(ptr + 50_000 - heap.base);
    heap.free(ptr);
  });
});
