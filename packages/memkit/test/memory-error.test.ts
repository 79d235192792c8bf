import { asPtr, HeapError, type HeapErrorCode } from "@heapwright/core";
import { describe, expect, test } from "vitest";

import {
  EAGAIN,
  EFAULT,
  EINVAL,
  ENOENT,
  ENOMEM,
  ENOTSUP,
  EOVERFLOW,
  mem_errno,
  mem_pointer_allocate,
  mem_pointer_create,
  MemoryError,
  MemoryPointer,
} from "../src/index.ts";
import { errnoOf } from "../src/memory-error.ts";
import { Failing, heapOf, keep, poolOf } from "./made.ts";

const numbers: Record<HeapErrorCode, number> = {
  ERR_OUT_OF_MEMORY: ENOMEM,
  ERR_INVALID_ARGUMENT: EINVAL,
  ERR_INVALID_POINTER: ENOENT,
  ERR_DOUBLE_FREE: EFAULT,
  ERR_USE_AFTER_FREE: EFAULT,
  ERR_DESTROYED: EINVAL,
  ERR_CORRUPT: EFAULT,
  ERR_NOT_A_HEAP: EINVAL,
  ERR_LAYOUT_VERSION: EINVAL,
  ERR_WOULD_BLOCK: EAGAIN,
  ERR_NO_SLOT: EAGAIN,
  ERR_UNSUPPORTED: ENOTSUP,
  ERR_NOT_ISOLATED: ENOTSUP,
};

test("the numbers are Linux's", () => {
  expect([ENOENT, EAGAIN, ENOMEM, EFAULT, EINVAL, EOVERFLOW, ENOTSUP]).toEqual([2, 11, 12, 14, 22, 75, 95]);
});

test.each(Object.entries(numbers) as [HeapErrorCode, number][])("%s is %d, of core's errors as well", (code, errno) => {
  const error = new MemoryError(code, "call: finding", 8);
  expect(error).toBeInstanceOf(HeapError);
  expect(error).toMatchObject({ name: "HeapError", code, errno, ptr: asPtr(8), message: "call: finding" });
  expect([errnoOf(error), errnoOf(new HeapError(code, "call: finding"))]).toEqual([errno, errno]);
});

test("a code may have another number, and other errors have none", () => {
  expect(errnoOf(new MemoryError("ERR_INVALID_ARGUMENT", "call: finding", undefined, EOVERFLOW))).toBe(EOVERFLOW);
  const others = [
    new TypeError("x"),
    Object.assign(new Error("x"), { code: "ENOENT", errno: -2 }),
    null,
    "x",
    undefined,
  ];
  expect(others.map((other) => errnoOf(other))).toEqual(others.map(() => undefined));
});

describe("a backing that throws", () => {
  class Throwing extends Failing {
    error: Error | undefined;
    override malloc(size: number): ReturnType<Failing["malloc"]> {
      if (this.error !== undefined) throw this.error;
      return super.malloc(size);
    }
  }

  test.each([
    ["a lock that is taken", new HeapError("ERR_WOULD_BLOCK", "malloc: the lock is taken; try again"), EAGAIN],
    ["what is not there", new HeapError("ERR_UNSUPPORTED", "malloc: not here; elsewhere"), ENOTSUP],
    ["any other error", new TypeError("a bug"), undefined],
  ])("%s comes out of the call, with all as it was", (_, error, errno) => {
    const backing = new Throwing(heapOf());
    const pool = poolOf(1, { backing });
    const ptr = keep(new MemoryPointer("p", 0, { backing }));
    expect(ptr.allocate(64, pool)).toBe(true);
    const other = keep(ptr.share("q"));
    const { liveBlocks, liveBytes } = backing.heap.stats();
    const before = [pool.stats(), pool.dump()];
    mem_pointer_allocate(null, 8, pool);
    const old = mem_errno();
    backing.error = error;
    for (const act of [
      () => mem_pointer_create("r", 0, { backing }),
      () => mem_pointer_allocate(other, 64, pool),
      () => mem_pointer_allocate(ptr, 5000, pool),
      () => pool.grow(),
      () => ptr.share("r"),
    ]) {
      expect(act).toThrow(error);
    }
    mem_pointer_allocate(null, 8, pool);
    expect(() => mem_pointer_create("r", 0, { backing })).toThrow(error);
    expect(mem_errno()).toBe(errno ?? old);
    backing.error = undefined;
    expect([pool.stats(), pool.dump()]).toEqual(before);
    expect(backing.heap.stats()).toMatchObject({ liveBlocks, liveBytes });
    pool.check();
  });

  test("while the array grows for a new container: that is freed", () => {
    const backing = new Throwing(heapOf());
    const pool = poolOf(1, { backing });
    const [ptr, next] = ["p", "q"].map((name) => keep(new MemoryPointer(name, 0, { backing }))) as [
      MemoryPointer,
      MemoryPointer,
    ];
    expect(ptr.allocate(64, pool)).toBe(true);
    const { liveBlocks } = backing.heap.stats();
    const malloc = backing.malloc.bind(backing);
    let calls = 0;
    backing.malloc = (size) => {
      calls += 1;
      if (calls === 2) throw new TypeError("a bug");
      return malloc(size);
    };
    expect(() => next.allocate(64, pool)).toThrow("a bug");
    expect([calls, next.container, pool.count, pool.capacity]).toEqual([2, null, 1, 1]);
    expect(backing.heap.stats().liveBlocks).toBe(liveBlocks);
    pool.check();
    expect(next.allocate(64, pool)).toBe(true);
  });
});
