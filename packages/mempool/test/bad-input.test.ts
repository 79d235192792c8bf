/** Every public function, given what it cannot use: the documented result or a HeapError, and no byte of the heap changed. */
import { asPtr, Heap, HeapError, NULL, type Ptr } from "@heapwright/core";
import { describe, expect, test } from "vitest";

import * as api from "../src/index.ts";
import { Mempool, mempool_use } from "../src/index.ts";
import { got, heapOf, initiated, poolOf, unchanged } from "./made.ts";

const numbers: [name: string, value: number][] = [
  ["NaN", NaN],
  ["-1", -1],
  ["-16", -16],
  ["1.5", 1.5],
  ["2^32", 2 ** 32],
  ["2^32 + 64", 2 ** 32 + 64],
  ["2^53", 2 ** 53],
  ["1e300", 1e300],
  ["Infinity", Infinity],
  ["-Infinity", -Infinity],
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
/** Numbers that are sizes, though of more than any pool has. */
const huge = new Set(["2^32", "2^32 + 64", "2^53", "1e300", "0xfffffff0"]);

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

describe("pointers", () => {
  for (const [name, value] of numbers) {
    test(`${name}`, () => {
      const { said, heap, pool } = initiated(1024, 64);
      got(pool.malloc(64));
      unchanged(heap, () => {
        expect(loose("mempool_free")(value)).toBe(undefined);
        expect(said).toHaveLength(1);
        expect(loose("mempool_realloc")(value, 16)).toBe(NULL);
        expect(said).toHaveLength(2);
        for (const call of ["free", "usableSize", "realloc"] as const) {
          expect(
            refusal(() => pool[call](asPtr(value), 16)),
            call,
          ).toBe("ERR_INVALID_POINTER");
        }
      });
    });
  }
  for (const [name, value] of others) {
    test(`${name}`, () => {
      const { said, heap, pool } = initiated(1024, 64);
      got(pool.malloc(64));
      unchanged(heap, () => {
        const acts: (() => unknown)[] = [
          () => loose("mempool_free")(value),
          () => loose("mempool_realloc")(value, 16),
          () => pool.free(value as Ptr),
          () => pool.usableSize(value as Ptr),
          () => pool.realloc(value as Ptr, 16),
        ];
        for (const act of acts) expect(refusal(act), String(act)).toBe("ERR_INVALID_ARGUMENT");
        expect(said).toEqual([]);
      });
    });
  }

  test("of another pool, of the heap, the pool's own words, and free space", () => {
    const { heap, pool } = initiated(1024, 64);
    const other = poolOf(1024, 64, { backing: heap });
    const own = heap.malloc(64);
    const [a, run] = [got(pool.malloc(64)), got(pool.malloc(200))];
    pool.free(a);
    const foreign = [
      other.malloc(8),
      own,
      pool.handle,
      asPtr(16),
      asPtr(heap.size - 16),
      asPtr(a - 16),
      asPtr(a + 1024),
    ];
    unchanged(heap, () => {
      for (const ptr of foreign) expect(refusal(() => pool.free(ptr))).toBe("ERR_INVALID_POINTER");
      for (const at of [0, 1, 16, 63]) expect(refusal(() => pool.free(asPtr(a + at)))).toBe("ERR_DOUBLE_FREE");
      for (const at of [1, 16, 64, 255]) expect(refusal(() => pool.free(asPtr(run + at)))).toBe("ERR_INVALID_POINTER");
      expect(refusal(() => pool.free(asPtr(run + 256)))).toBe("ERR_DOUBLE_FREE");
    });
    heap.free(own);
  });
});

describe("sizes", () => {
  for (const [name, value] of numbers) {
    test(`${name}`, () => {
      const { said, heap, pool } = initiated(1024, 64);
      const ptr = got(pool.malloc(64));
      // Searches take stale marks back, and do so once.
      pool.malloc(2048);
      const code = huge.has(name) ? undefined : "ERR_INVALID_ARGUMENT";
      unchanged(heap, () => {
        for (const act of [
          () => loose("mempool_alloc")(value),
          () => loose("mempool_calloc")(value, 64),
          () => loose("mempool_calloc")(64, value),
          () => loose("mempool_realloc")(ptr, value),
        ]) {
          said.length = 0;
          expect(act(), String(act)).toBe(NULL);
          expect(said, String(act)).toHaveLength(1);
        }
        expect(refusal(() => expect(pool.malloc(value)).toBe(NULL))).toBe(code);
        expect(refusal(() => expect(pool.calloc(value, 64)).toBe(NULL))).toBe(code);
        expect(refusal(() => expect(pool.calloc(64, value)).toBe(NULL))).toBe(code);
        expect(refusal(() => expect(pool.realloc(ptr, value)).toBe(NULL))).toBe(code);
        expect(refusal(() => expect(pool.realloc(NULL, value)).toBe(NULL))).toBe(code);
        expect(refusal(() => pool.alignedAlloc(value, 16))).toMatch(/ERR_INVALID_ARGUMENT|ERR_UNSUPPORTED/);
        expect(refusal(() => pool.alignedAlloc(16, value))).toBe(code);
      });
    });
    test(`${name} for init`, () => {
      const heap = heapOf();
      const said: string[] = [];
      const options = { backing: heap, report: (message: string) => said.push(message) };
      unchanged(heap, () => {
        expect(loose("mempool_init")(value, 16, options)).toBe(-1);
        expect(loose("mempool_init")(1024, value, options)).toBe(-1);
        expect(said).toHaveLength(2);
        const made = huge.has(name) ? "ERR_OUT_OF_MEMORY" : "ERR_INVALID_ARGUMENT";
        expect(refusal(() => new Mempool(value, 16, options))).toBe(made);
        expect(refusal(() => new Mempool(1024, value, options))).toBe("ERR_INVALID_ARGUMENT");
        for (const alignment of [0, 3, value]) {
          expect(refusal(() => new Mempool(1024, 16, { ...options, alignment }))).toBe("ERR_INVALID_ARGUMENT");
        }
        const ranges = [
          { base: value, bytes: 1024 },
          { base: 16, bytes: value },
        ].filter(
          // The one that is a range.
          ({ base, bytes }) => base !== 16 || bytes !== 0xffff_fff0,
        );
        for (const external of ranges) {
          const code = refusal(() => new Mempool(1024, 16, { ...options, external }));
          expect(code, JSON.stringify(external)).toBe("ERR_INVALID_ARGUMENT");
        }
        expect(refusal(() => new Mempool(1024, 16, { ...options, magazine: value }))).toBe("ERR_INVALID_ARGUMENT");
      });
    });
  }
  for (const [name, value] of others) {
    test(`${name}`, () => {
      const { said, heap, pool } = initiated(1024, 64);
      const ptr = got(pool.malloc(64));
      const options = { backing: heap };
      unchanged(heap, () => {
        const size = value as number;
        const acts: (() => unknown)[] = [
          () => loose("mempool_alloc")(value),
          () => loose("mempool_calloc")(value, 64),
          () => loose("mempool_calloc")(64, value),
          () => loose("mempool_calloc")(0, value),
          () => loose("mempool_calloc")(value, 0),
          () => loose("mempool_realloc")(ptr, value),
          () => loose("mempool_init")(value, 16, options),
          () => loose("mempool_init")(1024, value, options),
          () => pool.malloc(size),
          () => pool.calloc(size, 64),
          () => pool.calloc(64, size),
          () => pool.realloc(ptr, size),
          () => pool.realloc(NULL, size),
          () => pool.alignedAlloc(size, 16),
          () => pool.alignedAlloc(16, size),
          () => new Mempool(size, 16, options),
          () => new Mempool(1024, size, options),
        ];
        for (const act of acts) expect(refusal(act), String(act)).toBe("ERR_INVALID_ARGUMENT");
        expect(said).toEqual([]);
      });
    });
  }
});

test("options that are none", () => {
  const backing = heapOf();
  unchanged(backing, () => {
    for (const [name, value] of [...numbers, ...others]) {
      if (value === undefined) continue;
      const wrong: unknown[] = [{ backing: value }, { backing, external: value }];
      if (name !== "an object" && name !== "an array" && name !== "a function") wrong.push(value);
      if (name !== "a function") wrong.push({ backing, report: value });
      wrong.push({ backing, alignment: value }, { backing, magazine: value });
      for (const options of wrong) {
        expect(refusal(() => loose("mempool_init")(1024, 16, options))).toBe("ERR_INVALID_ARGUMENT");
        expect(refusal(() => Reflect.construct(Mempool, [1024, 16, options]))).toBe("ERR_INVALID_ARGUMENT");
      }
    }
  });
});

test("pools that have been destroyed refuse every call, through whatever object", () => {
  const heap = heapOf();
  const pool = new Mempool(1024, 64, { backing: heap });
  const twin = Mempool.attach(heap, pool.handle);
  const ptr = got(twin.malloc(64));
  got(twin.malloc(200));
  pool.destroy();
  unchanged(heap, () => {
    for (const one of [pool, twin]) {
      const acts: (() => unknown)[] = [
        () => one.malloc(64),
        () => one.malloc(640),
        () => one.calloc(1, 64),
        () => one.realloc(ptr, 100),
        () => one.realloc(NULL, 100),
        () => one.alignedAlloc(16, 100),
        () => one.free(ptr),
        () => one.free(NULL),
        () => one.usableSize(ptr),
        () => one.stats(),
        () => [...one.blocks()],
        () => one.dump(),
        () => one.check(),
        () => one.handle,
        () => one.isExternal,
        () => one.destroy(),
        () => mempool_use(one),
      ];
      for (const act of acts) expect(refusal(act), String(act)).toBe("ERR_DESTROYED");
      one[Symbol.dispose]();
    }
  });
});

test("a heap whose buffer has been detached", () => {
  const buffer = new ArrayBuffer(1 << 16);
  const heap = Heap.adopt(buffer);
  const pool = new Mempool(1024, 64, { backing: heap });
  const ptr = pool.malloc(64);
  structuredClone(buffer, { transfer: [buffer] });
  const acts: (() => unknown)[] = [
    () => pool.malloc(64),
    () => pool.malloc(640),
    () => pool.calloc(1, 64),
    () => pool.free(ptr),
    () => pool.free(NULL),
    () => pool.realloc(ptr, 100),
    () => pool.usableSize(ptr),
    () => pool.stats(),
    () => pool.check(),
    () => pool.destroy(),
    () => new Mempool(1024, 64, { backing: heap }),
  ];
  for (const act of acts) expect(refusal(act), String(act)).toBe("ERR_DESTROYED");
});
