import { asPtr, Heap, type HeapBuffer, NULL, type Ptr } from "@heapwright/core";
import { expect, test } from "vitest";

import { Mempool } from "../src/index.ts";
import { got, heapOf, keep, poolOf, refused } from "./made.ts";

test("two objects over one pool are the same pool", () => {
  const pool = poolOf(64_000, 64);
  const twin = Mempool.attach(pool.heap, pool.handle);
  const blocks: Ptr[] = [];
  for (let i = 0; i < 3000; i += 1) {
    const [one, other] = i % 2 === 0 ? [pool, twin] : [twin, pool];
    const ptr = one.malloc((i * 13) % 200);
    if (ptr !== NULL) blocks.push(ptr);
    if (i % 3 !== 0) other.free(blocks.splice((i * 7) % blocks.length, 1)[0]!);
  }
  expect(new Set(blocks).size).toBe(blocks.length);
  expect(twin.stats()).toEqual(pool.stats());
  expect(twin.dump()).toBe(pool.dump());
  pool.check();
  for (const ptr of blocks) twin.free(ptr);
  expect(pool.stats().liveBlocks).toBe(0);
  expect([twin.blockSize, twin.handle]).toEqual([pool.blockSize, pool.handle]);
});

test("an image holds the pool, found by name", () => {
  const heap = heapOf(1 << 17);
  const pool = keep(new Mempool(10_000, 48, { backing: heap }));
  heap.setRoot("pool", pool.handle);
  const [a, b] = [got(pool.malloc(48)), got(pool.malloc(100))];
  heap.u32[b >>> 2] = 42;
  const copy = Heap.attach(heap.image());
  const other = Mempool.attach(copy, copy.root("pool"));
  other.check();
  expect(copy.u32[b >>> 2]).toBe(42);
  other.free(a);
  expect(other.malloc(48)).toBe(a);
  other.free(b);
  // The original has not noticed.
  expect(pool.stats().liveBlocks).toBe(2);
  other.destroy();
  copy.check();
  expect(copy.stats().liveBlocks).toBe(0);
  heap.setRoot("pool", NULL);
});

test("a pool on another pool is attached with that, and with nothing else", () => {
  const outer = poolOf(100_000, 64);
  const { heap } = outer;
  const another = poolOf(1000, 16, { backing: heap });
  const inner = new Mempool(2000, 48, { backing: outer });
  const backing = Mempool.attach(heap, outer.handle);
  const twin = Mempool.attach(heap, inner.handle, { backing });
  got(twin.malloc(48));
  const invalid = refused("ERR_INVALID_ARGUMENT");
  expect(() => Mempool.attach(heap, inner.handle)).toThrow(invalid);
  expect(() => Mempool.attach(heap, inner.handle, { backing: another })).toThrow(invalid);
  expect(() => Mempool.attach(heap, inner.handle, { backing: heapOf() })).toThrow(invalid);
  expect(() => Mempool.attach(heap, another.handle, { backing: outer })).toThrow(invalid);
  twin.destroy();
  expect(outer.stats().liveBlocks).toBe(0);
});

test("the reporter is the object's own", () => {
  const said: string[] = [];
  const pool = poolOf(1000, 16);
  const twin = Mempool.attach(pool.heap, pool.handle, { report: (message) => said.push(message) });
  twin.report?.("here");
  expect(said).toEqual(["here"]);
  expect(pool.report).toBe(undefined);
});

test("strangers are refused", () => {
  const heap = heapOf();
  const pool = keep(new Mempool(1000, 16, { backing: heap }));
  const block = heap.malloc(64);
  heap.u32.fill(0, block >>> 2, (block + 64) >>> 2);
  for (const handle of [block, NaN, -8, 1.5, 12, 0, 2 ** 32, 2 ** 32 - 8, 1e300, pool.handle + 8, pool.handle + 4]) {
    expect(() => Mempool.attach(heap, asPtr(handle)), String(handle)).toThrow(refused("ERR_NOT_A_HEAP"));
  }
  for (const wrong of [undefined, null, "16", 16n, {}, Symbol("16")]) {
    expect(() => Mempool.attach(heap, wrong as Ptr)).toThrow(refused("ERR_INVALID_ARGUMENT"));
    expect(() => Mempool.attach(wrong as unknown as Heap<HeapBuffer>, pool.handle)).toThrow(
      refused("ERR_INVALID_ARGUMENT"),
    );
  }
  const version = (pool.handle >>> 2) + 1;
  heap.u32[version] = 2;
  expect(() => Mempool.attach(heap, pool.handle)).toThrow(refused("ERR_LAYOUT_VERSION"));
  heap.u32[version] = 1;
  heap.free(block);
});
