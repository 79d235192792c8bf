import { asPtr, Heap, HeapError, type Ptr } from "@heapwright/core";
import { expect, test } from "vitest";

import { FixedMemPool, VariadicMemPool } from "../src/index.ts";
import { fixedPool, got, heapOf, variadicPool } from "./made.ts";

const code = (wanted: string): unknown => expect.objectContaining({ name: "HeapError", code: wanted });

test("two objects over one fixed pool are the same pool, whichever grows it", () => {
  const pool = fixedPool(48, 3);
  const twin = FixedMemPool.attach(pool.heap, pool.handle);
  const blocks: Ptr[] = [];
  for (let i = 0; i < 5000; i += 1) {
    const [one, other] = i % 2 === 0 ? [pool, twin] : [twin, pool];
    blocks.push(got(one.malloc()));
    if (i % 5 === 4) other.free(blocks.splice(i % blocks.length, 1)[0]!);
  }
  expect(new Set(blocks).size).toBe(blocks.length);
  expect(twin.stats()).toEqual(pool.stats());
  pool.check();
  for (const ptr of blocks) twin.free(ptr);
  expect(pool.stats().liveBlocks).toBe(0);
});

test("two objects over one variadic pool are the same pool, whichever grows it", () => {
  const pool = variadicPool(100, 20);
  const twin = VariadicMemPool.attach(pool.heap, pool.handle);
  const blocks: Ptr[] = [];
  for (let i = 0; i < 3000; i += 1) {
    const [one, other] = i % 2 === 0 ? [pool, twin] : [twin, pool];
    blocks.push(got(one.malloc(i % 300)));
    if (i % 3 === 2) other.free(blocks.splice(i % blocks.length, 1)[0]!);
  }
  expect(new Set(blocks).size).toBe(blocks.length);
  pool.check();
  for (const ptr of blocks) twin.free(ptr);
  expect(pool.stats()).toMatchObject({ liveBlocks: 0 });
});

test("an image holds the pools, found by name", () => {
  const heap = new Heap({ bytes: 1 << 18 });
  const fixed = new FixedMemPool(48, 10, { backing: heap });
  const variadic = new VariadicMemPool(1000, 20, { backing: heap });
  heap.setRoot("fixed", fixed.handle);
  heap.setRoot("variadic", variadic.handle);
  const [a, b, c] = [fixed.malloc(), fixed.malloc(), variadic.malloc(500)];
  fixed.free(a);
  heap.u32[c >>> 2] = 42;
  const copy = Heap.attach(heap.image());
  const [one, other] = [
    FixedMemPool.attach(copy, copy.root("fixed")),
    VariadicMemPool.attach(copy, copy.root("variadic")),
  ];
  expect(copy.u32[c >>> 2]).toBe(42);
  expect([one.malloc(), one.memberSize]).toEqual([a, 48]);
  one.free(b);
  other.free(c);
  one.check();
  other.check();
  // The original has not noticed.
  expect(fixed.stats().liveBlocks).toBe(1);
  expect(variadic.stats().liveBlocks).toBe(1);
  one.destroy();
  other.destroy();
  copy.check();
  expect(copy.stats().liveBlocks).toBe(0);
  for (const pool of [fixed, variadic]) pool.destroy();
});

test("a pool on another pool is attached with that, and with nothing else", () => {
  const outer = variadicPool(100_000, 20);
  const { heap } = outer;
  const another = variadicPool(1000, 20, { backing: heap });
  const inner = new FixedMemPool(48, 10, { backing: outer });
  const backing = VariadicMemPool.attach(heap, outer.handle);
  const twin = FixedMemPool.attach(heap, inner.handle, { backing });
  for (let i = 0; i < 100; i += 1) got(twin.malloc());
  expect(() => FixedMemPool.attach(heap, inner.handle)).toThrow(code("ERR_INVALID_ARGUMENT"));
  expect(() => FixedMemPool.attach(heap, inner.handle, { backing: another })).toThrow(code("ERR_INVALID_ARGUMENT"));
  expect(() => FixedMemPool.attach(heap, inner.handle, { backing: heapOf() })).toThrow(code("ERR_INVALID_ARGUMENT"));
  expect(() => VariadicMemPool.attach(heap, another.handle, { backing: outer })).toThrow(code("ERR_INVALID_ARGUMENT"));
  twin.destroy();
  expect(outer.stats().liveBlocks).toBe(0);
});

test("strangers are refused", () => {
  const heap = heapOf();
  const fixed = fixedPool(48, 10, { backing: heap });
  const variadic = variadicPool(1000, 20, { backing: heap });
  const block = got(variadic.malloc(5000));
  heap.u32.fill(0, block >>> 2, (block + 5000) >>> 2);
  for (const handle of [block, NaN, -8, 1.5, 12, 0, 2 ** 32, 2 ** 32 - 8, 1e300, variadic.handle, fixed.handle + 8]) {
    expect(() => FixedMemPool.attach(heap, asPtr(handle)), String(handle)).toThrow(code("ERR_NOT_A_HEAP"));
  }
  expect(() => VariadicMemPool.attach(heap, fixed.handle)).toThrow(code("ERR_NOT_A_HEAP"));
  for (const wrong of [undefined, null, "16", 16n, {}, Symbol("16")]) {
    expect(() => FixedMemPool.attach(heap, wrong as Ptr)).toThrow(code("ERR_INVALID_ARGUMENT"));
    expect(() => FixedMemPool.attach(wrong as unknown as Heap, fixed.handle)).toThrow(code("ERR_INVALID_ARGUMENT"));
  }
  const version = (fixed.handle >>> 2) + 1;
  heap.u32[version] = 2;
  expect(() => FixedMemPool.attach(heap, fixed.handle)).toThrow(code("ERR_LAYOUT_VERSION"));
  heap.u32[version] = 1;
  const { handle } = fixed;
  fixed.destroy();
  expect(() => FixedMemPool.attach(heap, handle)).toThrow(HeapError);
});
