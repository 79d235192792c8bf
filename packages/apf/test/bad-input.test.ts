/** Every public function, given what it cannot use: the documented result or a HeapError, and no byte of the heap changed. */
import { asPtr, defaultHeap, Heap, HeapError, NULL, type Ptr, u32, usize } from "@heapwright/core";
import { describe, expect, test } from "vitest";

import * as c from "../src/c.ts";
import * as collections from "../src/collections/index.ts";
import * as api from "../src/index.ts";
import { ApfAllocator, AutoPtr, defaultAllocator, owning } from "../src/index.ts";
import { apfOf, got, heapOf, unchanged } from "./made.ts";

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
/** Numbers that are sizes, but of nothing that a heap could hold. */
const huge = new Set(["2^32", "2^32 + 64", "1e300", "0xfffffff0"]);

/** Types are what these tests get wrong on purpose. */
type Loose = (...args: unknown[]) => unknown;
const loose = (module: object, name: string): Loose => Reflect.get(module, name) as Loose;

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

function allocator(): { heap: Heap; apf: ApfAllocator; small: Ptr; large: Ptr } {
  const heap = heapOf();
  const apf = apfOf({ backing: heap });
  return { heap, apf, small: got(apf.malloc(64)), large: got(apf.malloc(20_000)) };
}

describe("pointers", () => {
  for (const [name, value] of numbers) {
    test(`${name}`, () => {
      const { heap, apf } = allocator();
      unchanged(heap, () => {
        expect(refusal(() => apf.free(asPtr(value)))).toBe("ERR_INVALID_POINTER");
        expect(refusal(() => apf.usableSize(asPtr(value)))).toBe("ERR_INVALID_POINTER");
        expect(refusal(() => apf.realloc(asPtr(value), 100))).toBe("ERR_INVALID_POINTER");
      });
      const ptr = got(api.do_malloc(64));
      unchanged(defaultHeap(), () => {
        expect(refusal(() => api.do_free(asPtr(value)))).toBe("ERR_INVALID_POINTER");
        expect(refusal(() => c.free(asPtr(value)))).toBe("ERR_INVALID_POINTER");
        expect(api.do_realloc(asPtr(value), 100)).toBe(NULL);
        expect(c.realloc(asPtr(value), 100)).toBe(NULL);
        expect(api.get_allocation_size(asPtr(value))).toBeUndefined();
        expect(refusal(() => AutoPtr.from_ptr(usize, asPtr(value)))).toBe("ERR_INVALID_POINTER");
        expect(refusal(() => c.posix_memalign(asPtr(value), 8, 8))).toBe("ERR_INVALID_POINTER");
      });
      api.do_free(ptr);
    });
  }
  for (const [name, value] of others) {
    test(`${name}`, () => {
      const { heap, apf } = allocator();
      unchanged(heap, () => {
        const acts: (() => unknown)[] = [
          () => apf.free(value as Ptr),
          () => apf.usableSize(value as Ptr),
          () => apf.realloc(value as Ptr, 100),
        ];
        for (const act of acts) expect(refusal(act)).toBe("ERR_INVALID_ARGUMENT");
      });
      const ptr = got(api.do_malloc(64));
      unchanged(defaultHeap(), () => {
        const acts: (() => unknown)[] = [
          () => loose(api, "do_free")(value),
          () => loose(api, "do_realloc")(value, 100),
          () => loose(api, "get_allocation_size")(value),
          () => loose(c, "free")(value),
          () => loose(c, "realloc")(value, 100),
          () => loose(c, "posix_memalign")(value, 8, 8),
          () => AutoPtr.from_ptr(usize, value as Ptr),
        ];
        for (const act of acts) expect(refusal(act)).toBe("ERR_INVALID_ARGUMENT");
      });
      api.do_free(ptr);
    });
  }

  test("of another allocator, of the heap, the allocator's own words, into blocks, and of free ones", () => {
    const { heap, apf, small, large } = allocator();
    const other = apfOf({ backing: heap });
    const [its, itsLarge] = [got(other.malloc(64)), got(other.malloc(20_000))];
    const own = heap.malloc(64);
    const [freed, freedLarge] = [got(apf.malloc(64)), got(apf.malloc(30_000))];
    apf.free(freed);
    apf.free(freedLarge);
    const foreign = [its, itsLarge, own, apf.handle, asPtr(apf.records * 4), asPtr(16), 8];
    unchanged(heap, () => {
      for (const ptr of foreign)
        expect(
          refusal(() => apf.free(asPtr(ptr))),
          `${ptr}`,
        ).toBe("ERR_INVALID_POINTER");
      for (let distance = 1; distance < 64; distance += 1) {
        expect(refusal(() => apf.free(asPtr(small + distance)))).toBe("ERR_INVALID_POINTER");
        expect(refusal(() => apf.free(asPtr(freed + distance)))).toBe("ERR_DOUBLE_FREE");
        expect(refusal(() => apf.free(asPtr(large + distance)))).toBe("ERR_INVALID_POINTER");
      }
      expect(refusal(() => apf.free(freed))).toBe("ERR_DOUBLE_FREE");
      expect(refusal(() => apf.free(freedLarge))).toBe("ERR_DOUBLE_FREE");
      expect(refusal(() => apf.usableSize(freed))).toBe("ERR_DOUBLE_FREE");
      expect(refusal(() => apf.usableSize(NULL))).toBe("ERR_INVALID_POINTER");
      expect(refusal(() => apf.realloc(freed, 10))).toBe("ERR_DOUBLE_FREE");
    });
    heap.free(own);
  });

  test("payloads that imitate the allocator's words make no difference", () => {
    const { heap, apf } = allocator();
    const ptr = got(apf.malloc(2048));
    const { u32: words } = heap;
    // Every word a pointer to a live block, then every bit set.
    for (const fill of [ptr, 0xffff_ffff]) {
      words.fill(fill, ptr >>> 2, (ptr + 2048) >>> 2);
      for (let at = 8; at < 2048; at += 8) expect(refusal(() => apf.free(asPtr(ptr + at)))).toBe("ERR_INVALID_POINTER");
    }
    apf.free(ptr);
  });

  test("messages name call, pointer, finding and remedy", () => {
    const { apf, small, large } = allocator();
    const hex = (ptr: number): string => `0x${ptr.toString(16)}`;
    const finding = (act: () => unknown): string => {
      try {
        act();
        return "";
      } catch (error) {
        return (error as HeapError).message;
      }
    };
    expect(finding(() => apf.free(asPtr(small + 8)))).toBe(
      `free(${hex(small + 8)}): 8 bytes inside the 64-byte block at ${hex(small)}; pass ${hex(small)}`,
    );
    expect(finding(() => apf.free(asPtr(large + 400)))).toBe(
      `free(${hex(large + 400)}): 400 bytes inside the ${apf.usableSize(large)}-byte block at ${hex(large)}; pass ${hex(large)}`,
    );
    expect(finding(() => apf.usableSize(asPtr(24)))).toBe(
      "usableSize(0x18): not from this allocator; pass a pointer that it returned",
    );
    apf.free(small);
    expect(finding(() => apf.free(small))).toBe(`free(${hex(small)}): the block is free already; free each block once`);
    expect(finding(() => apf.malloc(-1))).toBe("malloc: size is -1; pass a whole number of bytes from 0");
  });
});

describe("sizes, counts and alignments", () => {
  for (const [name, value] of numbers) {
    test(`${name}`, () => {
      const { heap, apf, small } = allocator();
      const code = huge.has(name) ? undefined : "ERR_INVALID_ARGUMENT";
      expect(refusal(() => expect(apf.malloc(value)).toBe(NULL))).toBe(code);
      expect(refusal(() => expect(apf.calloc(value, 8)).toBe(NULL))).toBe(code);
      expect(refusal(() => expect(apf.calloc(8, value)).toBe(NULL))).toBe(code);
      expect(refusal(() => expect(apf.realloc(small, value)).toBe(NULL))).toBe(code);
      expect(refusal(() => expect(apf.alignedAlloc(8, value)).toBe(NULL))).toBe(code);
      expect(refusal(() => expect(apf.alignedAlloc(64, value)).toBe(NULL))).toBe(code);
      unchanged(heap, () => expect(refusal(() => apf.alignedAlloc(value, 8))).toBe("ERR_INVALID_ARGUMENT"));
      for (const option of ["targetApf", "burstLength", "hibernationPeriod"]) {
        const act = (): unknown => new ApfAllocator({ backing: heap, [option]: value });
        unchanged(heap, () => expect(refusal(act), option).toBe("ERR_INVALID_ARGUMENT"));
      }
      for (const call of ["do_malloc", "do_realloc", "do_aligned_alloc"] as const) {
        const first = call === "do_realloc" ? NULL : 8;
        expect(call === "do_malloc" ? loose(api, call)(value) : loose(api, call)(first, value)).toBe(NULL);
      }
      expect(api.do_aligned_alloc(value, 8)).toBe(NULL);
      expect(c.malloc(value)).toBe(NULL);
      expect(c.calloc(value, 3)).toBe(NULL);
      expect(c.calloc(3, value)).toBe(NULL);
      expect(c.aligned_alloc(value, 8)).toBe(NULL);
      expect(c.aligned_alloc(8, value)).toBe(NULL);
      const out = got(api.do_malloc(8));
      unchanged(defaultHeap(), () => expect(c.posix_memalign(out, value, 8)).toBe(22));
      expect(c.posix_memalign(out, 8, value)).toBe(12);
      expect(c.posix_memalign(NULL, 8, 8)).toBe(12);
      api.do_free(out);
    });
  }
  for (const [name, value] of others) {
    test(`${name}`, () => {
      const { heap, apf, small } = allocator();
      const size = value as number;
      unchanged(heap, () => {
        const acts: (() => unknown)[] = [
          () => apf.malloc(size),
          () => apf.calloc(size, 8),
          () => apf.calloc(8, size),
          () => apf.realloc(small, size),
          () => apf.realloc(NULL, size),
          () => apf.alignedAlloc(8, size),
          () => apf.alignedAlloc(64, size),
          () => apf.alignedAlloc(size, 8),
        ];
        for (const act of acts) expect(refusal(act)).toBe("ERR_INVALID_ARGUMENT");
        if (value === undefined) return;
        for (const option of ["targetApf", "burstLength", "hibernationPeriod"]) {
          expect(refusal(() => new ApfAllocator({ backing: heap, [option]: value }))).toBe("ERR_INVALID_ARGUMENT");
        }
      });
      const ptr = got(api.do_malloc(64));
      unchanged(defaultHeap(), () => {
        const acts: (() => unknown)[] = [
          () => loose(api, "do_malloc")(value),
          () => loose(api, "do_aligned_alloc")(8, value),
          () => loose(api, "do_aligned_alloc")(value, 8),
          () => loose(api, "do_realloc")(ptr, value),
          () => loose(c, "malloc")(value),
          () => loose(c, "calloc")(value, 8),
          () => loose(c, "calloc")(8, value),
          () => loose(c, "aligned_alloc")(value, 8),
          () => loose(c, "aligned_alloc")(8, value),
          () => loose(c, "posix_memalign")(ptr, value, 8),
          () => loose(c, "posix_memalign")(ptr, 8, value),
        ];
        for (const act of acts) expect(refusal(act)).toBe("ERR_INVALID_ARGUMENT");
      });
      api.do_free(ptr);
    });
  }
});

test("codecs, types, functions and options that are none", () => {
  const heap = heapOf();
  for (const [name, value] of [...numbers, ...others]) {
    unchanged(heap, () => {
      const acts: (() => unknown)[] = [
        () => loose(api, "allocate_type")(value),
        () => loose(api, "allocate_val")(value, 1),
        () => AutoPtr.new(value as typeof usize, 1),
        () => AutoPtr.from_ptr(value as typeof usize, NULL),
        () => owning(value as typeof usize, () => usize),
        () => new collections.Array(value as typeof u32, { backing: heap }),
        () => new collections.ArrayDeque(value as typeof u32, { backing: heap }),
        () => new collections.HashSet(value as typeof u32, { backing: heap }),
        () => new collections.HashMap(value as typeof u32, u32, { backing: heap }),
        () => new collections.HashMap(u32, value as typeof u32, { backing: heap }),
      ];
      if (name !== "a function") {
        acts.push(
          () => loose(api, "no_tuning")(value),
          () => owning(usize, value as () => typeof usize),
        );
      }
      if (value !== undefined) {
        if (name !== "an object" && name !== "an array" && name !== "a function") {
          acts.push(() => new ApfAllocator(value as object));
          acts.push(() => AutoPtr.new(usize, 1, value as object));
          acts.push(() => new collections.Array(u32, value as object));
        }
        acts.push(
          () => new ApfAllocator({ backing: value as Heap }),
          () => AutoPtr.new(usize, 1, { backing: value as Heap }),
          () => new collections.Array(u32, { backing: value as Heap }),
        );
        if (name !== "true") acts.push(() => new ApfAllocator({ backing: heap, tuning: value as boolean }));
      }
      for (const act of acts) expect(refusal(act), `${name}: ${act}`).toBe("ERR_INVALID_ARGUMENT");
    });
  }
});

test("values that do not fit leave no block behind", () => {
  const before = defaultAllocator().stats().liveBlocks;
  for (const [, value] of [...numbers, ...others]) {
    if (value === 0xffff_fff0) continue;
    expect(refusal(() => AutoPtr.new(u32, value as number))).toBe("ERR_INVALID_ARGUMENT");
    expect(refusal(() => api.allocate_val(u32, value as number))).toBe("ERR_INVALID_ARGUMENT");
    using p = AutoPtr.new(u32, 5);
    expect(refusal(() => (p.value = value as number))).toBe("ERR_INVALID_ARGUMENT");
    expect(refusal(() => p.replace(value as number))).toBe("ERR_INVALID_ARGUMENT");
    expect(p.value).toBe(5);
  }
  expect(defaultAllocator().stats().liveBlocks).toBe(before);
});

test("an allocator that has been destroyed refuses every call, through whatever object", () => {
  const { heap, apf, small } = allocator();
  const twin = ApfAllocator.attach(heap, apf.handle);
  twin.free(got(twin.malloc(100)));
  apf.destroy();
  unchanged(heap, () => {
    for (const gone of [apf, twin]) {
      const acts: (() => unknown)[] = [
        () => gone.malloc(64),
        () => gone.malloc(50_000),
        () => gone.malloc(-1),
        () => gone.calloc(8, 8),
        () => gone.realloc(small, 100),
        () => gone.alignedAlloc(64, 64),
        () => gone.free(small),
        () => gone.free(NULL),
        () => gone.usableSize(small),
        () => gone.noTuning(() => 1),
        () => gone.flush(),
        () => gone.tuner(8),
        () => gone.stats(),
        () => [...gone.blocks()],
        () => gone.dump(),
        () => gone.check(),
        () => gone.handle,
        () => gone.destroy(),
      ];
      for (const act of acts) expect(refusal(act), `${act}`).toBe("ERR_DESTROYED");
      gone[Symbol.dispose]();
    }
  });
});

test("a heap whose buffer has been detached", () => {
  const buffer = new ArrayBuffer(1 << 18);
  const heap = Heap.adopt(buffer);
  const apf = new ApfAllocator({ backing: heap });
  const ptr = apf.malloc(64);
  structuredClone(buffer, { transfer: [buffer] });
  const acts: (() => unknown)[] = [
    () => apf.malloc(64),
    () => apf.free(ptr),
    () => apf.check(),
    () => apf.destroy(),
    () => new ApfAllocator({ backing: heap }),
  ];
  for (const act of acts) expect(refusal(act)).toBe("ERR_DESTROYED");
});
