import { afterEach, describe, expect, it } from "vitest";
import { Heap } from "../src/heap.ts";
import type { SharedHeap } from "../src/shared-heap.ts";

const heaps: SharedHeap[] = [];
afterEach(() => {
  for (const heap of heaps.splice(0)) heap.detach();
});

/** Keeps a heap until its test ends. */
function kept(heap: SharedHeap): SharedHeap {
  heaps.push(heap);
  return heap;
}

/** A memory as V8 shows it to other agents: with the buffer of before its growth until this agent grows it, too. */
function lagging(memory: WebAssembly.Memory): WebAssembly.Memory {
  let { buffer } = memory;
  const other = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  Object.defineProperty(other, "buffer", { get: () => buffer });
  other.grow = (pages) => {
    const before = memory.grow(pages);
    ({ buffer } = memory);
    return before;
  };
  return other;
}

describe("the views of a shared heap", () => {
  it("reach as far as another agent has grown it, though the engine shows the old buffer still", () => {
    const heap = kept(new Heap({ bytes: 1 << 16, maxBytes: 1 << 22, shared: true }));
    const other = kept(Heap.attach({ heapwright: lagging(heap.memory as WebAssembly.Memory), base: 0, slot: 0 }));
    const ptr = heap.malloc(500_000);
    heap.u32[(ptr >>> 2) + 100_000] = 42;
    expect(other.u32[(ptr >>> 2) + 100_000]).toBe(42);
    other.free(ptr);
    expect(heap.stats().liveBlocks).toBe(0);
    heap.check();
  });

  it("reach what a growth that was cut short has left, when it is repaired", () => {
    const heap = kept(new Heap({ bytes: 1 << 16, maxBytes: 1 << 22, shared: true }));
    const other = kept(Heap.attach({ heapwright: lagging(heap.memory as WebAssembly.Memory), base: 0, slot: 0 }));
    const bytes = heap.words[heap.bytesWord]!;
    expect(heap.grow(500_000)).toBe(true);
    // The chain goes on into the new memory, and the one word is not written yet that says so; the holder died.
    heap.words[heap.bytesWord] = bytes;
    heap.words[heap.deathsWord]! += 1;
    other.check();
    expect(other.size).toBeGreaterThan(bytes);
  });

  it("stay as they are in a buffer that cannot grow, after a repair too", () => {
    const heap = kept(Heap.adopt(new SharedArrayBuffer(1 << 16)));
    const ptr = heap.malloc(2000);
    heap.words[heap.deathsWord]! += 1;
    heap.free(ptr);
    expect(heap.stats().liveBlocks).toBe(0);
    heap.check();
  });
});
