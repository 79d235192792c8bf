import { asPtr, Heap, HeapError, NULL, type Ptr, u32 } from "@heapwright/core";
import { expect, test } from "vitest";

import { Array as HeapArray, ArrayDeque, HashMap, HashSet } from "../src/collections/index.ts";
import { ApfAllocator, defaultAllocator, do_free, do_malloc } from "../src/index.ts";
import { apfOf, code, got, heapOf } from "./made.ts";

test("two objects over one allocator are the same allocator, whichever grows it", () => {
  const backing = heapOf(1 << 16, 1 << 26);
  const apf = apfOf({ backing, targetApf: 40 });
  const twin = ApfAllocator.attach(backing, apf.handle);
  const blocks: Ptr[] = [];
  for (let i = 0; i < 20_000; i += 1) {
    const [one, other] = i % 2 === 0 ? [apf, twin] : [twin, apf];
    blocks.push(got(one.malloc(i % 700 === 0 ? 30_000 : (i * 7) % 600)));
    if (i % 3 === 2) other.free(blocks.splice((i * 31) % blocks.length, 1)[0]!);
  }
  expect(new Set(blocks).size).toBe(blocks.length);
  expect(twin.stats()).toEqual(apf.stats());
  twin.check();
  for (const ptr of blocks) twin.free(ptr);
  expect(apf.stats().liveBlocks).toBe(0);
});

test("large blocks go to and come from a page map that another object has replaced meanwhile", () => {
  const backing = heapOf(1 << 25);
  const apf = apfOf({ backing });
  const twin = ApfAllocator.attach(backing, apf.handle);
  const sizes = [2049, 3000, 2500, 4000, 20_000];
  const early = Array.from({ length: 20 }, (_, i) => got(apf.malloc(sizes[i % 5]!)));
  for (const ptr of early.splice(0, 10)) twin.free(ptr);
  // The map speaks of the first pages only: this one replaces it.
  const far = got(twin.malloc(8_000_000));
  const late = Array.from({ length: 10 }, (_, i) => got(apf.malloc(sizes[i % 5]!)));
  expect(Math.min(...late)).toBeLessThan(Math.min(...early));
  apf.check();
  const further = Array.from({ length: 10 }, () => got(twin.malloc(900_000)));
  for (const ptr of [...early, ...late, far, ...further]) apf.free(ptr);
  for (const ptr of [...early, ...late]) expect(() => apf.free(ptr)).toThrow(code("ERR_DOUBLE_FREE"));
  expect(twin.stats().liveBlocks).toBe(0);
});

test("an image holds the allocator, found by name", () => {
  const heap = new Heap({ bytes: 1 << 18 });
  const apf = new ApfAllocator({ backing: heap });
  heap.setRoot("apf", apf.handle);
  const [a, b, c] = [got(apf.malloc(64)), got(apf.malloc(64)), got(apf.malloc(20_000))];
  apf.free(a);
  heap.u32[c >>> 2] = 42;
  const copy = Heap.attach(heap.image());
  const twin = ApfAllocator.attach(copy, copy.root("apf"));
  expect(copy.u32[c >>> 2]).toBe(42);
  expect(twin.malloc(64)).toBe(a);
  for (const ptr of [a, b, c]) twin.free(ptr);
  twin.check();
  // The original has not noticed.
  expect(apf.stats().liveBlocks).toBe(2);
  twin.destroy();
  copy.check();
  expect(copy.stats().liveBlocks).toBe(0);
  apf.destroy();
});

test("an allocator on another one is attached with that, and with nothing else", () => {
  const backing = heapOf();
  const outer = apfOf({ backing });
  const another = apfOf({ backing });
  const inner = apfOf({ backing: outer });
  const twin = ApfAllocator.attach(backing, inner.handle, { backing: ApfAllocator.attach(backing, outer.handle) });
  for (let i = 0; i < 100; i += 1) got(twin.malloc(i * 100));
  twin.check();
  outer.check();
  expect(() => ApfAllocator.attach(backing, inner.handle)).toThrow(code("ERR_INVALID_ARGUMENT"));
  expect(() => ApfAllocator.attach(backing, inner.handle, { backing: another })).toThrow(code("ERR_INVALID_ARGUMENT"));
  expect(() => ApfAllocator.attach(backing, inner.handle, { backing: heapOf() })).toThrow(code("ERR_INVALID_ARGUMENT"));
  expect(() => ApfAllocator.attach(backing, another.handle, { backing: outer })).toThrow(code("ERR_INVALID_ARGUMENT"));
  twin.destroy();
  expect(outer.stats().liveBlocks).toBe(0);
});

test("a view that a growing memory has detached is taken anew", () => {
  const backing = heapOf(1 << 16, 1 << 27);
  const apf = apfOf({ backing });
  const ptr = got(apf.malloc(64));
  backing.memory!.grow(16);
  apf.free(ptr);
  backing.memory!.grow(16);
  expect(apf.malloc(64)).toBe(ptr);
  backing.memory!.grow(16);
  expect(apf.calloc(2, 3)).not.toBe(NULL);
  backing.memory!.grow(16);
  expect(apf.usableSize(apf.realloc(ptr, 5000))).toBeGreaterThanOrEqual(5000);
});

test("strangers are refused", () => {
  const heap = heapOf();
  const apf = apfOf({ backing: heap });
  const block = got(apf.malloc(5000));
  heap.u32.fill(0, block >>> 2, (block + 5000) >>> 2);
  for (const handle of [block, NaN, -8, 1.5, 12, 0, 2 ** 32, 2 ** 32 - 8, 1e300, apf.handle + 8]) {
    expect(() => ApfAllocator.attach(heap, asPtr(handle)), String(handle)).toThrow(code("ERR_NOT_A_HEAP"));
  }
  for (const wrong of [undefined, null, "16", 16n, {}, Symbol("16")]) {
    expect(() => ApfAllocator.attach(heap, wrong as Ptr)).toThrow(code("ERR_INVALID_ARGUMENT"));
    expect(() => ApfAllocator.attach(wrong as unknown as Heap, apf.handle)).toThrow(code("ERR_INVALID_ARGUMENT"));
  }
  const version = (apf.handle >>> 2) + 1;
  heap.u32[version] = 2;
  expect(() => ApfAllocator.attach(heap, apf.handle)).toThrow(code("ERR_LAYOUT_VERSION"));
  heap.u32[version] = 1;
  const { handle } = apf;
  apf.destroy();
  expect(() => ApfAllocator.attach(heap, handle)).toThrow(HeapError);
});

test("the default allocator is found again by its heap, and made anew when it was destroyed", () => {
  const first = defaultAllocator();
  const twin = ApfAllocator.attach(first.heap, first.heap.root("@heapwright/apf"));
  const ptr = got(do_malloc(64));
  twin.free(ptr);
  expect(do_malloc(64)).toBe(ptr);
  twin.destroy();
  const other = got(do_malloc(64));
  expect(defaultAllocator()).not.toBe(first);
  do_free(other);
  expect(defaultAllocator().stats().liveBlocks).toBe(0);
});

test("collections are opened again by their handles", () => {
  const heap = heapOf();
  const [array, deque, map, set] = [
    new HeapArray(u32, { backing: heap }),
    new ArrayDeque(u32, { backing: heap }),
    new HashMap(u32, u32, { backing: heap }),
    new HashSet(u32, { backing: heap }),
  ];
  for (let i = 0; i < 100; i += 1) {
    array.push(i);
    deque.push_front(i);
    map.insert(i, i * i);
    set.insert(i);
  }
  expect(HeapArray.attach(u32, heap, array.handle).get(99)).toBe(99);
  expect(ArrayDeque.attach(u32, heap, deque.handle).get(0)).toBe(99);
  expect(HashMap.attach(u32, u32, heap, map.handle).get(9)).toBe(81);
  expect(HashSet.attach(u32, heap, set.handle).contains(9)).toBe(true);
  expect(() => HeapArray.attach(u32, heap, deque.handle)).toThrow(code("ERR_NOT_A_HEAP"));
  expect(() => HashMap.attach(u32, u32, heap, asPtr(8))).toThrow(code("ERR_NOT_A_HEAP"));
  expect(() => HashMap.attach(u32, u32, heap, "8" as unknown as Ptr)).toThrow(code("ERR_INVALID_ARGUMENT"));
  const twin = HeapArray.attach(u32, heap, array.handle);
  for (const each of [array, deque, map, set]) each.destroy();
  for (const each of [twin, array, deque, map, set]) {
    expect(() => each.length).toThrow(code("ERR_DESTROYED"));
    expect(() => each.destroy()).toThrow(code("ERR_DESTROYED"));
    each[Symbol.dispose]();
  }
});
