/** Every public function, given what it cannot use: the documented result or a HeapError, and no byte of the heap changed. */
import { asPtr, Heap, type HeapBuffer, HeapError, type Ptr } from "@heapwright/core";
import { describe, expect, test } from "vitest";

import * as api from "../src/index.ts";
import { FixedMemPool, VariadicMemPool } from "../src/index.ts";
import { fixedPool, got, heapOf, unchanged, variadicPool } from "./made.ts";

const numbers: [name: string, value: number][] = [
  ["NaN", NaN],
  ["-1", -1],
  ["-16", -16],
  ["1.5", 1.5],
  ["2^32", 2 ** 32],
  ["2^32 + 64", 2 ** 32 + 64],
  ["1e300", 1e300],
  ["Infinity", Infinity],
  ["0xfffffff0", 0xffff_fff0],
];
const others: [name: string, value: unknown][] = [
  ["a BigInt", 16n],
  ["a string", "16"],
  ["undefined", undefined],
  ["null", null],
  ["an object", {}],
  ["an array", [16]],
  ["a symbol", Symbol("16")],
  ["a function", () => 16],
  ["true", true],
];

/** Types are what these tests get wrong on purpose. */
type Loose = (...args: unknown[]) => unknown;
const loose = (name: keyof typeof api): Loose => Reflect.get(api, name) as Loose;

/** The code of the HeapError that an act ends with; undefined when it ends well. Any other error is thrown again. */
function refusal(act: () => unknown): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    if (error instanceof HeapError && /[:;] .+/.test(error.message)) return error.code;
    throw error;
  }
}

function pools(): { heap: Heap<HeapBuffer>; fixed: FixedMemPool; variadic: VariadicMemPool; a: Ptr; b: Ptr } {
  const heap = heapOf();
  const fixed = fixedPool(48, 4, { backing: heap });
  const variadic = variadicPool(4096, 20, { backing: heap });
  return { heap, fixed, variadic, a: got(fixed.malloc()), b: got(variadic.malloc(100)) };
}

describe("pointers", () => {
  for (const [name, value] of numbers) {
    test(`${name}`, () => {
      const { heap, fixed, variadic } = pools();
      unchanged(heap, () => {
        expect(loose("pool_fixed_free")(fixed, value)).toBe(-1);
        expect(loose("pool_fixed_free")(variadic, value)).toBe(-1);
        expect(loose("pool_variadic_free")(variadic, value)).toBe(-1);
        expect(loose("pool_fixed_is_associated")(fixed, value)).toBe(false);
        expect(loose("pool_variadic_is_associated")(variadic, value)).toBe(false);
        for (const pool of [fixed, variadic]) {
          expect(refusal(() => pool.free(asPtr(value)))).toBe("ERR_INVALID_POINTER");
          expect(refusal(() => pool.usableSize(asPtr(value)))).toBe("ERR_INVALID_POINTER");
        }
      });
    });
  }
  for (const [name, value] of others) {
    test(`${name}`, () => {
      const { heap, fixed, variadic } = pools();
      unchanged(heap, () => {
        const acts: (() => unknown)[] = [
          () => loose("pool_fixed_free")(fixed, value),
          () => loose("pool_fixed_free")(variadic, value),
          () => loose("pool_variadic_free")(variadic, value),
          () => loose("pool_fixed_is_associated")(fixed, value),
          () => loose("pool_variadic_is_associated")(variadic, value),
          ...[fixed, variadic].flatMap((pool) => [
            () => pool.free(value as Ptr),
            () => pool.usableSize(value as Ptr),
            () => pool.isAssociated(value as Ptr),
          ]),
        ];
        for (const act of acts) expect(refusal(act)).toBe("ERR_INVALID_ARGUMENT");
      });
    });
  }

  test("of another pool, another heap, the pool's own words, and free space", () => {
    const { heap, fixed, variadic, a, b } = pools();
    const other = pools();
    const own = heap.malloc(64);
    const [spare, merged] = [got(fixed.malloc()), got(variadic.malloc(100))];
    fixed.free(spare);
    variadic.free(merged);
    const foreign = [other.heap.malloc(8), own, fixed.handle, variadic.handle, asPtr(16), asPtr(heap.size - 16)];
    unchanged(heap, () => {
      for (const ptr of [...foreign, b]) expect(refusal(() => fixed.free(ptr))).toBe("ERR_INVALID_POINTER");
      for (const ptr of [...foreign, a]) expect(refusal(() => variadic.free(ptr))).toBe("ERR_INVALID_POINTER");
      for (const ptr of foreign) expect(api.pool_fixed_free(fixed, ptr)).toBe(-1);
      expect(refusal(() => fixed.free(spare))).toBe("ERR_DOUBLE_FREE");
      expect(refusal(() => fixed.free(asPtr(spare + 16)))).toBe("ERR_DOUBLE_FREE");
      expect(refusal(() => variadic.free(merged))).toBe("ERR_DOUBLE_FREE");
      expect(refusal(() => variadic.free(asPtr(merged + 32)))).toBe("ERR_DOUBLE_FREE");
      expect(refusal(() => fixed.free(asPtr(a + 16)))).toBe("ERR_INVALID_POINTER");
      expect(refusal(() => variadic.free(asPtr(b + 16)))).toBe("ERR_INVALID_POINTER");
    });
    heap.free(own);
    other.heap.free(foreign[0]!);
  });

  test("messages name call, pointer, finding and remedy", () => {
    const { fixed, variadic, a, b } = pools();
    const hex = (ptr: number): string => `0x${ptr.toString(16)}`;
    const inside = (ptr: number, size: number) =>
      `free(${hex(ptr + 16)}): 16 bytes inside the ${size}-byte block at ${hex(ptr)}; pass ${hex(ptr)}`;
    expect(() => fixed.free(asPtr(a + 16))).toThrow(inside(a, 48));
    expect(() => variadic.free(asPtr(b + 16))).toThrow(inside(b, 104));
    fixed.free(a);
    expect(() => fixed.free(a)).toThrow(`free(${hex(a)}): the block is free already; free each block once`);
  });
});

describe("sizes and counts", () => {
  const huge = new Set(["2^32", "2^32 + 64", "1e300", "0xfffffff0"]);
  for (const [name, value] of numbers) {
    test(`${name}`, () => {
      const { heap, fixed, variadic } = pools();
      const code = huge.has(name) ? undefined : "ERR_INVALID_ARGUMENT";
      const made = huge.has(name) ? "ERR_OUT_OF_MEMORY" : "ERR_INVALID_ARGUMENT";
      unchanged(heap, () => {
        expect(loose("pool_variadic_alloc")(variadic, value)).toBe(0);
        for (const pool of [fixed, variadic]) {
          expect(refusal(() => expect(pool.malloc(value)).toBe(0))).toBe(code);
        }
        const backing = heap;
        expect(refusal(() => new FixedMemPool(value, 1, { backing }))).toBe(made);
        expect(refusal(() => new FixedMemPool(1, value, { backing }))).toBe(made);
        expect(refusal(() => new VariadicMemPool(value, 0, { backing }))).toBe(made);
        expect(refusal(() => loose("pool_fixed_init")(value, 1, { backing }))).toBe(made);
        expect(refusal(() => loose("pool_variadic_init")(value, 1, { backing }))).toBe(made);
        expect(refusal(() => loose("mem_align")(value))).toBe(code);
      });
      // A tolerance may be anything above 101.
      expect(refusal(() => new VariadicMemPool(100, value, { backing: heap }).destroy())).toBe(code);
    });
  }
  for (const [name, value] of others) {
    test(`${name}`, () => {
      const { heap, fixed, variadic } = pools();
      unchanged(heap, () => {
        const backing = heap;
        const size = value as number;
        const acts: (() => unknown)[] = [
          () => loose("pool_variadic_alloc")(variadic, value),
          () => variadic.malloc(size),
          () => new FixedMemPool(size, 1, { backing }),
          () => new VariadicMemPool(size, 1, { backing }),
          () => loose("pool_fixed_init")(value, 1, { backing }),
          () => loose("pool_variadic_init")(value, 1, { backing }),
          () => loose("pool_fixed_init")(1, value, { backing }),
          () => loose("pool_variadic_init")(1, value, { backing }),
          () => loose("mem_align")(value),
        ];
        // Left out, the size is that of a block.
        if (value !== undefined) acts.push(() => fixed.malloc(size));
        for (const act of acts) expect(refusal(act)).toBe("ERR_INVALID_ARGUMENT");
      });
    });
  }
});

test("pools that are none", () => {
  const { fixed, variadic } = pools();
  const fixedOnly = [
    "pool_fixed_alloc",
    "pool_fixed_is_associated",
    "pool_fixed_foreach",
    "pool_fixed_destroy",
  ] as const;
  const variadicOnly = [
    "pool_variadic_alloc",
    "pool_variadic_is_associated",
    "pool_variadic_free",
    "pool_variadic_destroy",
  ] as const;
  for (const [, value] of [...numbers, ...others]) {
    for (const name of [...fixedOnly, ...variadicOnly, "pool_fixed_free"] as const) {
      expect(refusal(() => loose(name)(value, 16))).toBe("ERR_INVALID_ARGUMENT");
    }
  }
  for (const name of fixedOnly) expect(refusal(() => loose(name)(variadic, 16))).toBe("ERR_INVALID_ARGUMENT");
  for (const name of variadicOnly) expect(refusal(() => loose(name)(fixed, 16))).toBe("ERR_INVALID_ARGUMENT");
});

test("callbacks and options that are none", () => {
  const { heap, fixed } = pools();
  unchanged(heap, () => {
    for (const [name, value] of [...numbers, ...others]) {
      if (name === "a function") continue;
      expect(refusal(() => loose("pool_fixed_foreach")(fixed, value))).toBe("ERR_INVALID_ARGUMENT");
      if (value === undefined) continue;
      const backing = heap;
      expect(refusal(() => loose("pool_fixed_init")(16, 0, value))).toBe("ERR_INVALID_ARGUMENT");
      expect(refusal(() => loose("pool_variadic_init")(16, -1, value))).toBe("ERR_INVALID_ARGUMENT");
      expect(refusal(() => loose("pool_fixed_init")(16, 1, { backing: value }))).toBe("ERR_INVALID_ARGUMENT");
      expect(refusal(() => loose("pool_variadic_init")(16, 1, { backing: value }))).toBe("ERR_INVALID_ARGUMENT");
      expect(refusal(() => loose("pool_variadic_init")(16, 1, { backing, report: value }))).toBe(
        "ERR_INVALID_ARGUMENT",
      );
    }
  });
});

test("pools that have been destroyed refuse every call, through whatever object", () => {
  const { heap, fixed, variadic, a, b } = pools();
  const twins = [FixedMemPool.attach(heap, fixed.handle), VariadicMemPool.attach(heap, variadic.handle)] as const;
  twins[0].free(twins[0].malloc());
  twins[1].free(twins[1].malloc(100));
  fixed.destroy();
  variadic.destroy();
  unchanged(heap, () => {
    for (const pool of [fixed, twins[0]]) {
      const acts: (() => unknown)[] = [
        () => pool.malloc(),
        () => pool.foreach(() => 1),
        () => api.pool_fixed_alloc(pool),
        () => api.pool_fixed_is_associated(pool, a),
        () => api.pool_fixed_foreach(pool, () => 1),
        () => api.pool_fixed_free(pool, a),
        () => api.pool_fixed_free(pool, asPtr(0)),
        () => api.pool_fixed_destroy(pool),
      ];
      for (const act of acts) expect(refusal(act)).toBe("ERR_DESTROYED");
    }
    for (const pool of [variadic, twins[1]]) {
      const acts: (() => unknown)[] = [
        () => pool.malloc(100),
        () => pool.malloc(5000),
        () => api.pool_variadic_alloc(pool, 100),
        () => api.pool_variadic_alloc(pool, -1),
        () => api.pool_variadic_is_associated(pool, b),
        () => api.pool_variadic_free(pool, b),
        () => api.pool_variadic_destroy(pool),
      ];
      for (const act of acts) expect(refusal(act)).toBe("ERR_DESTROYED");
    }
    for (const pool of [fixed, variadic, ...twins]) {
      const ptr = pool instanceof FixedMemPool ? a : b;
      const acts: (() => unknown)[] = [
        () => pool.free(ptr),
        () => pool.free(asPtr(0)),
        () => pool.usableSize(ptr),
        () => pool.isAssociated(ptr),
        () => pool.stats(),
        () => [...pool.blocks()],
        () => pool.dump(),
        () => pool.check(),
        () => pool.handle,
        () => pool.destroy(),
      ];
      for (const act of acts) expect(refusal(act)).toBe("ERR_DESTROYED");
      pool[Symbol.dispose]();
    }
  });
});

test("a heap whose buffer has been detached", () => {
  const buffer = new ArrayBuffer(1 << 16);
  const heap = Heap.adopt(buffer);
  const fixed = new FixedMemPool(16, 4, { backing: heap });
  const variadic = new VariadicMemPool(100, 4, { backing: heap });
  const [a, b] = [fixed.malloc(), variadic.malloc(16)];
  structuredClone(buffer, { transfer: [buffer] });
  const acts: (() => unknown)[] = [
    () => fixed.malloc(),
    () => variadic.malloc(16),
    () => fixed.free(a),
    () => variadic.free(b),
    () => fixed.destroy(),
    () => variadic.destroy(),
    () => fixed.check(),
    () => fixed.isAssociated(a),
    () => fixed.foreach(() => 1),
    () => new FixedMemPool(16, 4, { backing: heap }),
    () => new VariadicMemPool(16, 4, { backing: heap }),
  ];
  for (const act of acts) expect(refusal(act)).toBe("ERR_DESTROYED");
});
