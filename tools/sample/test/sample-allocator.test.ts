import { Heap, type HeapBuffer, HeapError, type HeapErrorCode } from "@heapwright/core";
import { expect, test } from "vitest";

import { Sample } from "../src/index.ts";
import { CONTROL } from "../src/layout.ts";

function refused(code: HeapErrorCode, act: () => unknown): void {
  let thrown: unknown;
  try {
    act();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(HeapError);
  expect(thrown).toMatchObject({ code });
}

function bytesOf(heap: Heap<HeapBuffer>): Uint8Array {
  return new Uint8Array(heap.image());
}

test("another object over the same control block is the same allocator", () => {
  const heap = new Heap({ bytes: 65_536 });
  using allocator = new Sample({ backing: heap });
  const ptr = allocator.malloc(100);
  const other = Sample.attach(heap, allocator.handle);
  expect(other.stats()).toEqual({ liveBlocks: 1 });
  other.free(ptr);
  expect(allocator.stats()).toEqual({ liveBlocks: 0 });
});

test("a second free is refused, and changes nothing", () => {
  const heap = new Heap({ bytes: 65_536 });
  using allocator = new Sample({ backing: heap });
  const ptr = allocator.malloc(100);
  allocator.free(ptr);
  const before = bytesOf(heap);
  refused("ERR_DOUBLE_FREE", () => allocator.free(ptr));
  expect(bytesOf(heap)).toEqual(before);
});

test("strangers, other layouts, shared heaps and what is destroyed are refused", () => {
  const heap = new Heap({ bytes: 65_536 });
  const allocator = new Sample({ backing: heap });
  const { handle } = allocator;
  CONTROL.set.version(heap, handle, 2);
  refused("ERR_LAYOUT_VERSION", () => Sample.attach(heap, handle));
  refused("ERR_CORRUPT", () => allocator.check());
  allocator.destroy();
  refused("ERR_NOT_A_HEAP", () => Sample.attach(heap, handle));
  refused("ERR_DESTROYED", () => allocator.malloc(1));
  refused("ERR_DESTROYED", () => allocator.destroy());
  allocator[Symbol.dispose]();
  expect(heap.stats().liveBlocks).toBe(0);
  using shared = new Heap({ bytes: 1 << 17, shared: true });
  refused("ERR_UNSUPPORTED", () => new Sample({ backing: shared }));
});

test("check() names the invariant that does not hold", () => {
  const heap = new Heap({ bytes: 65_536 });
  using allocator = new Sample({ backing: heap });
  CONTROL.set.live(heap, allocator.handle, 7);
  expect(() => allocator.check()).toThrow("invariant 2 does not hold: 7 live blocks, 1 in the heap");
  CONTROL.set.live(heap, allocator.handle, 0);
  allocator.check();
});
