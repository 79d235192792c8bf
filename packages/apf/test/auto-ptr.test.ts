import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { array, f64, Heap, NULL, type Ptr, ptr as pointer, struct, u16, u32, u64, u8 } from "@heapwright/core";
import { describe, expect, test } from "vitest";

import { ApfAllocator, AutoPtr, defaultAllocator, do_free, do_malloc, type Held, owning } from "../src/index.ts";
import { apfOf, code, got, heapOf } from "./made.ts";

const Point = struct({ x: f64, y: f64 });

test("values of any codec", () => {
  using number = AutoPtr.new(u16, 65_535);
  using big = AutoPtr.new(u64, 2n ** 64n - 1n);
  using point = AutoPtr.new(Point, { x: 1, y: -0.5 });
  using list = AutoPtr.new(array(u8, 3), [1, 2, 3]);
  expect([number.value, big.value, point.value, list.value]).toEqual([
    65_535,
    2n ** 64n - 1n,
    { x: 1, y: -0.5 },
    [1, 2, 3],
  ]);
  expect([`${number}`, `${big}`, `${point}`, `${list}`]).toEqual([
    "65535",
    "18446744073709551615",
    '{"x":1,"y":-0.5}',
    "[1,2,3]",
  ]);
  using nested = AutoPtr.new(struct({ id: u64 }), { id: 5n });
  expect(`${nested}`).toBe('{"id":"5"}');
});

test("replace gives the old value, and keeps the block", () => {
  using p = AutoPtr.new(u32, 1);
  const { ptr } = p;
  expect(p.replace(2)).toBe(1);
  expect([p.value, p.ptr]).toEqual([2, ptr]);
});

test("dropped twice is dropped once", () => {
  const p = AutoPtr.new(u32, 1);
  const { ptr } = p;
  p[Symbol.dispose]();
  using other = AutoPtr.new(u32, 2);
  expect(other.ptr).toBe(ptr);
  p[Symbol.dispose]();
  expect(other.value).toBe(2);
  expect(() => p.value).toThrow("AutoPtr.value: the block has been dropped; make another AutoPtr");
  expect(() => (p.value = 3)).toThrow(code("ERR_USE_AFTER_FREE"));
  expect(() => p.replace(3)).toThrow(code("ERR_USE_AFTER_FREE"));
});

test("messages say what became of the block", () => {
  const taken = AutoPtr.new(u32, 1);
  taken.take();
  expect(() => taken.take()).toThrow("has been taken");
  const released = AutoPtr.new(u32, 1);
  do_free(released.into_ptr());
  expect(() => `${released}`).toThrow("has been released");
});

test("any allocator may serve it", () => {
  const heap = heapOf();
  const apf = apfOf({ backing: heap });
  for (const backing of [heap, apf, new ApfAllocator({ backing: apf })]) {
    const p = AutoPtr.new(Point, { x: 3, y: 4 }, { backing });
    expect(Point.read(heap, p.ptr)).toEqual({ x: 3, y: 4 });
    const q = p.clone();
    expect(backing.usableSize(q.ptr)).toBeGreaterThanOrEqual(16);
    p[Symbol.dispose]();
    q[Symbol.dispose]();
    expect(() => backing.usableSize(p.ptr)).toThrow(code("ERR_USE_AFTER_FREE"));
    if (backing !== heap && backing !== apf) (backing as ApfAllocator).destroy();
  }
});

test("from_ptr takes only blocks that are large enough and aligned", () => {
  const small = got(do_malloc(8));
  expect(() => AutoPtr.from_ptr(Point, small)).toThrow(code("ERR_INVALID_ARGUMENT"));
  do_free(small);
  expect(() => AutoPtr.from_ptr(u32, small)).toThrow(code("ERR_DOUBLE_FREE"));
});

describe("owning types", () => {
  interface Node {
    key: number;
    left: Ptr;
    right: Ptr;
  }
  const Tree: Held<Node> = owning(struct({ key: u32, left: pointer, right: pointer }), () => ({
    left: Tree,
    right: Tree,
  }));
  const node = (key: number, left: Ptr = NULL, right: Ptr = NULL): Ptr =>
    AutoPtr.new(Tree, { key, left, right }).into_ptr();
  const live = (): number => defaultAllocator().stats().liveBlocks;

  test("a clone has copies of all that the value owns", () => {
    const before = live();
    const tree = AutoPtr.from_ptr(Tree, node(1, node(2, node(4)), node(3)));
    const copy = tree.clone();
    expect(live()).toBe(before + 8);
    const { heap } = defaultAllocator();
    expect(copy.value.left).not.toBe(tree.value.left);
    expect(Tree.read(heap, Tree.read(heap, copy.value.left).left).key).toBe(4);
    tree[Symbol.dispose]();
    expect(live()).toBe(before + 4);
    expect(Tree.read(heap, copy.value.right).key).toBe(3);
    copy[Symbol.dispose]();
    expect(live()).toBe(before);
  });

  test("an assignment frees what only the old value owned", () => {
    const before = live();
    using tree = AutoPtr.from_ptr(Tree, node(1, node(2), node(3)));
    tree.value = { ...tree.value, key: 9 };
    expect(live()).toBe(before + 3);
    tree.value = { ...tree.value, left: NULL };
    expect(live()).toBe(before + 2);
    const { right } = tree.replace({ key: 0, left: NULL, right: NULL });
    expect(live()).toBe(before + 2);
    AutoPtr.from_ptr(Tree, right)[Symbol.dispose]();
    expect(live()).toBe(before + 1);
  });

  test("a refused assignment frees nothing", () => {
    const before = live();
    using tree = AutoPtr.from_ptr(Tree, node(1, node(2)));
    expect(() => (tree.value = { key: -1, left: NULL, right: NULL })).toThrow(code("ERR_INVALID_ARGUMENT"));
    expect(live()).toBe(before + 2);
  });

  test("a field that the struct does not have is noticed", () => {
    const wrong = owning(struct({ a: u32 }), () => ({ b: u32 }));
    const p = AutoPtr.new(wrong, { a: 1 });
    expect(() => p[Symbol.dispose]()).toThrow(code("ERR_INVALID_ARGUMENT"));
  });
});

test("one that is forgotten is freed after it was collected", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const heap = new Heap({ bytes: 1 << 16 });
  (() => {
    for (let i = 0; i < 100; i += 1) AutoPtr.new(u32, i, { backing: heap });
  })();
  expect(heap.stats().liveBlocks).toBeGreaterThan(0);
  for (let i = 0; i < 50 && heap.stats().liveBlocks > 0; i += 1) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  expect(heap.stats().liveBlocks).toBe(0);
});
