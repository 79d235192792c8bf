import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Allocator } from "../src/allocator.ts";
import { setGlobalAllocator } from "../src/global-allocator.ts";
import { Heap } from "../src/heap.ts";
import { aligned_alloc, calloc, free, malloc, realloc } from "../src/libc.ts";
import { asPtr, NULL } from "../src/ptr.ts";
import { allowLive } from "../src/testing/heap-watch.ts";
import { refusalIn } from "./refusal.ts";

// Blocks stay live where nothing else is tested than the heap that they lie in.
beforeEach(() => allowLive());

let heap: Heap;
beforeEach(() => {
  heap = new Heap({ bytes: 65536 });
});
afterEach(() => {
  setGlobalAllocator(undefined);
});

/** An allocator with the three methods that are required, and a list of what it was asked. */
function plain(asked: string[]): Allocator {
  return {
    heap,
    malloc: (size) => {
      asked.push(`malloc ${size}`);
      return heap.malloc(size);
    },
    free: (ptr) => {
      asked.push("free");
      heap.free(ptr);
    },
    usableSize: (ptr) => heap.usableSize(ptr),
  };
}

describe.each<[string, () => Allocator]>([
  ["a heap", () => heap],
  ["an allocator that has only what is required", () => plain([])],
])("libc's names, over %s", (_, make) => {
  beforeEach(() => {
    setGlobalAllocator(make());
  });

  it("serve blocks of its heap and take them back", () => {
    const blocks = [malloc(100), calloc(4, 25), realloc(NULL, 100), aligned_alloc(8, 100)];
    expect(heap.stats().liveBlocks).toBe(4);
    expect(blocks.map((ptr) => heap.usableSize(ptr))).toEqual([104, 104, 104, 104]);
    blocks.forEach((ptr) => free(ptr));
    expect(heap.stats().liveBlocks).toBe(0);
    heap.check();
  });

  it("calloc zeroes memory that was used before", () => {
    const used = malloc(200);
    heap.bytes(used, 200).fill(0xff);
    free(used);
    const ptr = calloc(2, 100);
    expect(heap.bytes(ptr, 200).every((byte) => byte === 0)).toBe(true);
  });

  it("realloc keeps the contents, up to the smaller of both sizes", () => {
    let ptr = malloc(100);
    malloc(8);
    heap.bytes(ptr, 100).fill(5);
    for (const size of [20, 100, 3000, 50, 20_000]) {
      ptr = realloc(ptr, size);
      expect(heap.usableSize(ptr)).toBeGreaterThanOrEqual(size);
      expect(heap.bytes(ptr, 20).every((byte) => byte === 5)).toBe(true);
    }
    expect(heap.stats().liveBlocks).toBe(2);
    expect(realloc(ptr, 100_000)).toBe(NULL);
    expect(heap.bytes(ptr, 20).every((byte) => byte === 5)).toBe(true);
    heap.check();
  });

  it("are NULL when there is no room, and free(NULL) does nothing", () => {
    expect([malloc(65536), calloc(256, 256), realloc(NULL, 65536), aligned_alloc(8, 65536)]).toEqual([
      NULL,
      NULL,
      NULL,
      NULL,
    ]);
    free(NULL);
    expect(heap.stats().liveBlocks).toBe(0);
  });

  it("refuse misuse as the allocator does, and change nothing", () => {
    const ptr = malloc(100);
    expect(refusalIn(heap, () => free(asPtr(ptr + 8))).code).toBe("ERR_INVALID_POINTER");
    expect(refusalIn(heap, () => realloc(asPtr(ptr + 8), 10)).code).toBe("ERR_INVALID_POINTER");
    free(ptr);
    expect(refusalIn(heap, () => free(ptr)).code).toBe("ERR_DOUBLE_FREE");
    expect(refusalIn(heap, () => realloc(ptr, 10)).code).toBe("ERR_DOUBLE_FREE");
    expect(refusalIn(heap, () => malloc(-1)).code).toBe("ERR_INVALID_ARGUMENT");
    expect(refusalIn(heap, () => calloc(-1, 1)).code).toBe("ERR_INVALID_ARGUMENT");
    expect(refusalIn(heap, () => aligned_alloc(3, 8)).code).toBe("ERR_INVALID_ARGUMENT");
  });
});

it("each call asks the allocator that is set then", () => {
  const asked: string[] = [];
  setGlobalAllocator(plain(asked));
  const ptr = malloc(10);
  free(realloc(ptr, 100));
  expect(asked).toEqual(["malloc 10", "malloc 100", "free", "free"]);
  const other = new Heap({ bytes: 65536 });
  setGlobalAllocator(other);
  free(calloc(1, 10));
  malloc(10);
  expect(asked.length).toBe(4);
  expect(other.stats().liveBlocks).toBe(1);
});

it("an allocator's own calloc, realloc and alignedAlloc are used where it has them", () => {
  const asked: string[] = [];
  const note = (name: string) => () => {
    asked.push(name);
    return NULL;
  };
  const own = { calloc: note("calloc"), realloc: note("realloc"), alignedAlloc: note("alignedAlloc") };
  setGlobalAllocator({ ...plain(asked), ...own });
  expect([calloc(1, 1), realloc(NULL, 1), aligned_alloc(64, 1)]).toEqual([NULL, NULL, NULL]);
  expect(asked).toEqual(["calloc", "realloc", "alignedAlloc"]);
});
