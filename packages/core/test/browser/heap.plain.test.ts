/** A page like most, which is not cross-origin isolated. */
import { expect, test } from "vitest";

import { Heap } from "../../src/heap.ts";
import { NULL } from "../../src/ptr.ts";

test("shared heaps are refused in words that say what the page lacks", () => {
  expect(crossOriginIsolated).toBe(false);
  const headers = "Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp";
  expect(() => new Heap({ bytes: 65_536, shared: true })).toThrow(
    expect.objectContaining({
      code: "ERR_NOT_ISOLATED",
      message: `new Heap: this page has no shared memory; serve it with ${headers}`,
    }),
  );
});

test("private heaps work all the same: made, adopted, grown, attached from an image", () => {
  const heap = new Heap({ bytes: 65_536, maxBytes: 1 << 22 });
  const ptr = heap.malloc(300_000);
  expect(ptr).not.toBe(NULL);
  heap.u32[ptr >>> 2] = 42;
  heap.setRoot("answer", ptr);
  heap.check();
  const copy = Heap.attach(heap.image());
  expect(copy.u32[copy.root("answer") >>> 2]).toBe(42);
  const adopted = Heap.adopt(new ArrayBuffer(65_536), { base: 4096 });
  adopted.free(adopted.malloc(100));
  adopted.check();
  expect(() => heap.share()).toThrow(expect.objectContaining({ code: "ERR_UNSUPPORTED" }));
  expect(() => heap.free(adopted.malloc(100))).toThrow(expect.objectContaining({ name: "HeapError" }));
});
