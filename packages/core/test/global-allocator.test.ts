import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Allocator } from "../src/allocator.ts";
import { defaultHeap, globalAllocator, setGlobalAllocator } from "../src/global-allocator.ts";
import { Heap } from "../src/heap.ts";
import { PAGE_BYTES } from "../src/layout.ts";
import { allowLive } from "../src/testing/heap-watch.ts";
import { refusalOf } from "./refusal.ts";

// Blocks stay live where nothing else is tested than the heap that they lie in.
beforeEach(() => allowLive());

const GLOBAL = Symbol.for("heapwright.global");
const holder = globalThis as { [GLOBAL]?: unknown };

let kept: unknown;
beforeEach(() => {
  kept = holder[GLOBAL];
  delete holder[GLOBAL];
});
afterEach(() => {
  holder[GLOBAL] = kept;
});

describe("the default heap", () => {
  it("is made at the first call, not before, and is the same ever after", () => {
    expect(holder[GLOBAL]).toBeUndefined();
    const heap = defaultHeap();
    expect(holder[GLOBAL]).toBeDefined();
    expect(defaultHeap()).toBe(heap);
    expect(globalAllocator()).toBe(heap);
  });

  it("has 1 MiB, grows to 1 GiB, and is private", () => {
    expect(defaultHeap().stats()).toMatchObject({
      bytes: 16 * PAGE_BYTES,
      maxBytes: 2 ** 30,
      liveBlocks: 0,
      liveBytes: 0,
    });
    expect(defaultHeap().buffer).toBeInstanceOf(ArrayBuffer);
  });

  it("is not made when another allocator is set", () => {
    const heap = new Heap({ bytes: 65536 });
    setGlobalAllocator(heap);
    expect(globalAllocator()).toBe(heap);
    expect(Object.values(holder[GLOBAL] ?? {})).toEqual([heap]);
  });
});

describe("the global allocator", () => {
  it("is what was set last, and the default heap when that is taken back", () => {
    const [one, two] = [new Heap({ bytes: 65536 }), new Heap({ bytes: 65536 })];
    setGlobalAllocator(one);
    expect(globalAllocator()).toBe(one);
    setGlobalAllocator(two);
    expect(globalAllocator()).toBe(two);
    setGlobalAllocator(undefined);
    expect(globalAllocator()).toBe(defaultHeap());
  });

  it("may be anything that serves blocks, and is never asked by a heap's own malloc", () => {
    const heap = new Heap({ bytes: 65536 });
    const fails: Allocator = {
      heap,
      malloc: () => {
        throw new Error("asked");
      },
      free: () => {
        throw new Error("asked");
      },
      usableSize: () => 0,
    };
    setGlobalAllocator(fails);
    expect(globalAllocator()).toBe(fails);
    const other = new Heap({ bytes: 65536 });
    other.free(other.malloc(100));
    other.free(other.calloc(4, 100));
    other.free(other.realloc(other.alignedAlloc(64, 10), 1000));
    expect(() => globalAllocator().malloc(1)).toThrow("asked");
  });

  it("stays as it was when what is set is no allocator", () => {
    const heap = new Heap({ bytes: 65536 });
    setGlobalAllocator(heap);
    const strangers: unknown[] = [null, {}, { malloc: () => 0 }, 1, "heap", () => heap];
    for (const value of strangers) {
      const error = refusalOf(() => setGlobalAllocator(value as Allocator));
      expect(error.code).toBe("ERR_INVALID_ARGUMENT");
      expect(error.message).toMatch(/^setGlobalAllocator\(.*\): pass an allocator$/);
      expect(globalAllocator()).toBe(heap);
    }
  });

  it("is one for two copies of this package in a program", async () => {
    const heap = new Heap({ bytes: 65536 });
    setGlobalAllocator(heap);
    vi.resetModules();
    const copy = await import("../src/global-allocator.ts");
    const copyOfHeap = await import("../src/heap.ts");
    expect(copy.globalAllocator).not.toBe(globalAllocator);
    expect(copyOfHeap.Heap).not.toBe(Heap);
    expect(copy.globalAllocator()).toBe(heap);
    copy.setGlobalAllocator(undefined);
    expect(copy.defaultHeap()).toBe(defaultHeap());
    expect(globalAllocator()).toBe(copy.globalAllocator());
  });
});
