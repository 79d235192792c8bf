/** One test per statement of the document, in its order. */
import {
  defaultHeap,
  f64,
  globalAllocator,
  isAligned,
  NULL,
  type Ptr,
  ptr as pointer,
  setGlobalAllocator,
  struct,
  u16,
  u32,
  u8,
  usize,
} from "@heapwright/core";
import { afterEach, expect, test } from "vitest";

import { cachedCount } from "../src/caches.ts";
import { calloc, check_override, malloc } from "../src/c.ts";
import { Array as HeapArray, ArrayDeque, HashMap, HashSet } from "../src/collections/index.ts";
import {
  allocate_type,
  allocate_val,
  ApfAllocator,
  AutoPtr,
  classOf,
  defaultAllocator,
  do_aligned_alloc,
  do_free,
  do_malloc,
  do_realloc,
  get_allocation_size,
  owning,
} from "../src/index.ts";
import { apfOf, code, got, heapOf, recordOf, same } from "./made.ts";

const heap = defaultHeap();
const Point = struct({ x: f64, y: f64, name: u32 });

afterEach(() => {
  defaultAllocator().check();
  same(defaultAllocator().stats().liveBlocks, 0);
});

test("the first paragraph: tuning determines how many blocks are allocated into a cache", () => {
  const apf = apfOf({ backing: heapOf(1 << 24), targetApf: 500 });
  const sizeClass = classOf(64);
  for (let i = 0; i < 20_000; i += 1) got(apf.malloc(64));
  // Only allocations: 500 are fetched at a time, without tuning 32.
  const cached = (): number => cachedCount(apf.heap.u32, recordOf(apf, sizeClass));
  let before = cached();
  for (got(apf.malloc(64)); cached() < before; got(apf.malloc(64))) before = cached();
  expect(cached()).toBeGreaterThan(400);
});

test("two parts: the library, and C's functions with a global allocator, which can be left out", () => {
  expect(check_override()).toBe(0);
  expect(globalAllocator()).not.toBe(defaultAllocator());
  setGlobalAllocator(defaultAllocator());
  expect(check_override()).toBe(1);
  setGlobalAllocator(undefined);
  expect(check_override()).toBe(0);
  const ptr = got(malloc(10));
  expect(get_allocation_size(ptr)).toBe(16);
  do_free(ptr);
});

test("do_malloc allocates at minimum size bytes", () => {
  for (const size of [0, 1, 8, 9, 100, 2048, 2049, 14_336, 14_337, 1_000_000]) {
    const ptr = got(do_malloc(size));
    expect(get_allocation_size(ptr)).toBeGreaterThanOrEqual(size);
    heap.bytes(ptr, size).fill(0xee);
    do_free(ptr);
  }
});

test("do_aligned_alloc gives an integral multiple of align, whatever the size", () => {
  for (let align = 1; align <= 1 << 16; align *= 2) {
    for (const size of [0, 1, 24, 100, 3000, 20_001]) {
      const ptr = got(do_aligned_alloc(align, size));
      expect(isAligned(ptr, align), `${align}, ${size}`).toBe(true);
      expect(get_allocation_size(ptr)).toBeGreaterThanOrEqual(size);
      do_free(ptr);
    }
  }
});

test("do_realloc moves the data when the new size is greater, and the old pointer is void then", () => {
  const old = got(do_malloc(64));
  heap.bytes(old, 64).forEach((_, i, bytes) => (bytes[i] = i));
  const moved = got(do_realloc(old, 1000));
  expect(moved).not.toBe(old);
  expect(heap.bytes(moved, 64).every((byte, i) => byte === i)).toBe(true);
  expect(get_allocation_size(old)).toBeUndefined();
  expect(() => do_free(old)).toThrow(code("ERR_DOUBLE_FREE"));
  // Smaller: it stays.
  expect(do_realloc(moved, 900)).toBe(moved);
  do_free(moved);
});

test("do_free makes the memory usable by other allocations, and the pointer void", () => {
  const ptr = got(do_malloc(40));
  expect(do_free(ptr)).toBeUndefined();
  expect(get_allocation_size(ptr)).toBeUndefined();
  expect(do_malloc(40)).toBe(ptr);
  do_free(ptr);
});

test("allocate_type takes size and alignment from the type, and leaves the data uninitialised", () => {
  for (const codec of [u8, u16, usize, f64, Point]) {
    const dirty = got(do_malloc(codec.size));
    heap.bytes(dirty, codec.size).fill(0xdd);
    do_free(dirty);
    const ptr = got(allocate_type<unknown>(codec));
    expect(isAligned(ptr, codec.align)).toBe(true);
    expect(get_allocation_size(ptr)).toBeGreaterThanOrEqual(codec.size);
    expect(heap.u8[ptr]).toBe(0xdd);
    do_free(ptr);
  }
});

test("allocate_val initialises the pointer to the value", () => {
  const ptr = got(allocate_val(Point, { x: 1.5, y: -2, name: 7 }));
  expect(Point.read(heap, ptr)).toEqual({ x: 1.5, y: -2, name: 7 });
  do_free(ptr);
  // A value that does not fit leaves nothing behind.
  expect(() => allocate_val(u8, 256)).toThrow(code("ERR_INVALID_ARGUMENT"));
});

test("note 1: all functions but do_free give a null pointer if they fail", () => {
  expect(do_malloc(2 ** 32)).toBe(NULL);
  expect(do_malloc(2 ** 31)).toBe(NULL);
  expect(do_aligned_alloc(8, 2 ** 32)).toBe(NULL);
  expect(do_aligned_alloc(2 ** 31, 8)).toBe(NULL);
  expect(do_aligned_alloc(24, 8)).toBe(NULL);
  const ptr = got(do_malloc(64));
  heap.u32[ptr >>> 2] = 42;
  expect(do_realloc(ptr, 2 ** 31)).toBe(NULL);
  expect(heap.u32[ptr >>> 2]).toBe(42);
  expect(do_realloc((ptr + 8) as Ptr, 10)).toBe(NULL);
  do_free(ptr);
  expect(calloc(2 ** 31, 2 ** 31)).toBe(NULL);
});

test("note 2: a double free is an error; here it can be caught, and changes nothing", () => {
  const [a, b] = [got(do_malloc(64)), got(do_malloc(64))];
  do_free(a);
  do_free(b);
  expect(() => do_free(a)).toThrow(code("ERR_DOUBLE_FREE"));
  expect(() => do_free(b)).toThrow(code("ERR_DOUBLE_FREE"));
  expect(do_malloc(64)).toBe(b);
  expect(do_malloc(64)).toBe(a);
  do_free(a);
  do_free(b);
});

test("note 3: do_realloc of a null pointer is do_malloc", () => {
  const ptr = got(do_realloc(NULL, 100));
  expect(get_allocation_size(ptr)).toBe(112);
  do_free(ptr);
});

test("Memory Movement Overflow: a realloc that moves never writes past the new block", () => {
  const apf = apfOf();
  const words = (ptr: Ptr, size: number): Uint32Array => apf.heap.u32.subarray(ptr >>> 2, (ptr + size) >>> 2);
  const big = got(apf.malloc(512));
  words(big, 512).fill(0xffff_ffff);
  const small = Array.from({ length: 8 }, () => got(apf.malloc(32)));
  for (const ptr of small) words(ptr, 32).fill(0x1111_1111);
  apf.free(small[3]!);
  // It is moved between two blocks that others hold.
  expect(apf.realloc(big, 32)).toBe(small[3]);
  expect(words(small[3]!, 32).every((word) => word === 0xffff_ffff)).toBe(true);
  for (const i of [0, 1, 2, 4, 5, 6, 7]) {
    expect(words(small[i]!, 32).every((word) => word === 0x1111_1111)).toBe(true);
  }
});

test("AutoPtr: its block is from do_aligned_alloc, and its data can be accessed", () => {
  using p = AutoPtr.new(Point, { x: 1, y: 2, name: 3 });
  expect(isAligned(p.ptr, Point.align)).toBe(true);
  expect(get_allocation_size(p.ptr)).toBeGreaterThanOrEqual(Point.size);
  p.value = { ...p.value, y: 9 };
  expect(p.value).toEqual({ x: 1, y: 9, name: 3 });
});

test("AutoPtr: there is one owner at a time", () => {
  const p = AutoPtr.new(usize, 1);
  const ptr = p.into_ptr();
  for (const act of [() => p.value, () => p.take(), () => p.into_ptr(), () => p.clone(), () => p.ptr]) {
    expect(act).toThrow(code("ERR_USE_AFTER_FREE"));
  }
  using q = AutoPtr.from_ptr(usize, ptr);
  expect(q.value).toBe(1);
  // A copy has a block of its own.
  using r = q.clone();
  expect(r.ptr).not.toBe(q.ptr);
  r.value = 2;
  expect(q.value).toBe(1);
  const make = AutoPtr as unknown as new () => unknown;
  expect(() => new make()).toThrow(code("ERR_INVALID_ARGUMENT"));
});

test("AutoPtr: out of scope, it deallocates its space", () => {
  let ptr = NULL;
  {
    using p = AutoPtr.new(usize, 1);
    ptr = p.ptr;
  }
  expect(get_allocation_size(ptr)).toBeUndefined();
  {
    using nested = AutoPtr.new(
      owning(pointer, () => usize),
      AutoPtr.new(usize, 2).into_ptr(),
    );
    expect(defaultAllocator().stats().liveBlocks).toBe(2);
    expect(nested.value).not.toBe(NULL);
  }
  expect(defaultAllocator().stats().liveBlocks).toBe(0);
});

test("AutoPtr: the example prints 42 + 53 = 95", () => {
  const printed: string[] = [];
  {
    using p = AutoPtr.new(usize, 16);
    p.value = 42;
    printed.push(`${p} + 53 = ${p.value + 53}`);
  }
  expect(printed).toEqual(["42 + 53 = 95"]);
  expect(defaultAllocator().stats().liveBlocks).toBe(0);
});

test("Independent collections: what goes through do_malloc is tracked by the tuner, collections are not", () => {
  const apf = defaultAllocator();
  const clocks = (): number[] => Array.from({ length: 39 }, (_, i) => apf.tuner(i + 1).allocations);
  const before = clocks();
  do_free(got(do_malloc(64)));
  const ptr = got(do_malloc(64));
  const after = clocks();
  expect(after[classOf(64) - 1]).toBe(before[classOf(64) - 1]! + 2);

  setGlobalAllocator(apf);
  using array = new HeapArray(u32);
  using deque = new ArrayDeque(u32);
  using map = new HashMap(u32, u32);
  using set = new HashSet(u32);
  const blocks = apf.stats().liveBlocks;
  for (let i = 0; i < 5000; i += 1) {
    array.push(i);
    deque.push_front(i);
    map.insert(i, i);
    set.insert(i);
  }
  setGlobalAllocator(undefined);
  expect(clocks()).toEqual(after);
  expect(apf.stats().liveBlocks).toBe(blocks);
  do_free(ptr);
});

test("any number of allocators, each for itself", () => {
  const backing = heapOf();
  const [one, other] = [apfOf({ backing }), apfOf({ backing })];
  const ptr = got(one.malloc(64));
  expect(() => other.free(ptr)).toThrow(code("ERR_INVALID_POINTER"));
  one.free(ptr);
  expect(new ApfAllocator({ backing }).destroy()).toBeUndefined();
});
