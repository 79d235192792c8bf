import { describe, expect, expectTypeOf, it } from "vitest";
import {
  array,
  type BitRange,
  bits,
  bool,
  type Codec,
  f32,
  f64,
  type Getter,
  i16,
  i32,
  i64,
  i8,
  ptr,
  type ScalarCodec,
  type Setter,
  struct,
  u16,
  u32,
  u64,
  u8,
  usize,
  type ValueOf,
  type Views,
} from "../src/codec.ts";
import { HeapError } from "../src/errors.ts";
import { Heap } from "../src/heap.ts";
import { asPtr, NULL, offsetPtr, type Ptr } from "../src/ptr.ts";
import { runs, seedFromEnv } from "../src/testing/env.ts";
import { random, type Random } from "../src/testing/stream.ts";

const seed = seedFromEnv();
const BYTES = 4096;
const HERE = asPtr(64);

/** A heap that is nothing but its views. */
function viewsOf(buffer: ArrayBuffer): Views {
  return {
    u8: new Uint8Array(buffer),
    i8: new Int8Array(buffer),
    u16: new Uint16Array(buffer),
    i16: new Int16Array(buffer),
    u32: new Uint32Array(buffer),
    i32: new Int32Array(buffer),
    f32: new Float32Array(buffer),
    f64: new Float64Array(buffer),
    u64: new BigUint64Array(buffer),
    i64: new BigInt64Array(buffer),
  };
}

const failure = (code: string, text = ""): unknown =>
  expect.objectContaining({ name: "HeapError", code, message: expect.stringContaining(text) });
const badPointer = failure("ERR_INVALID_POINTER");
const badArgument = failure("ERR_INVALID_ARGUMENT");

/** What an act throws, and whether it has changed a byte. */
function attempt(heap: Views, act: () => unknown): { thrown: unknown; changed: boolean } {
  const before = Buffer.from(heap.u8);
  let thrown: unknown;
  try {
    act();
  } catch (error) {
    thrown = error;
  }
  return { thrown, changed: !before.equals(heap.u8) };
}
const refused = (error: unknown): unknown => ({ thrown: error, changed: false });

// [name, codec, bytes, values that survive, values out of range, values of another type]
const SCALARS: [string, Codec, number, unknown[], unknown[], unknown[]][] = [
  ["u8", u8, 1, [0, 1, 255], [-1, 256, 0.5, NaN], ["1", 1n, true, undefined, null, {}]],
  ["i8", i8, 1, [0, -128, 127], [-129, 128, 0.5, Infinity], ["1", 1n]],
  ["u16", u16, 2, [0, 65_535], [-1, 65_536], ["1", 1n]],
  ["i16", i16, 2, [-32_768, 32_767], [-32_769, 32_768], ["1", 1n]],
  ["u32", u32, 4, [0, 2 ** 31, 2 ** 32 - 1], [-1, 2 ** 32, 1e300, NaN, 0.5], ["1", 1n, Symbol("1")]],
  ["i32", i32, 4, [-(2 ** 31), 2 ** 31 - 1], [-(2 ** 31) - 1, 2 ** 31], ["1", 1n]],
  ["f32", f32, 4, [0, -1.5, 2 ** 100, Infinity, -Infinity, NaN], [], ["1", 1n, undefined]],
  ["f64", f64, 8, [0, Math.PI, Number.MIN_VALUE, 1e300, NaN], [], ["1", 1n, undefined]],
  ["u64", u64, 8, [0n, 2n ** 63n, 2n ** 64n - 1n], [-1n, 2n ** 64n], [1, "1", undefined]],
  ["i64", i64, 8, [-(2n ** 63n), 2n ** 63n - 1n], [-(2n ** 63n) - 1n, 2n ** 63n], [1, "1"]],
  ["bool", bool, 1, [true, false], [], [1, 0, "true", undefined]],
  ["usize", usize, 4, [0, 2 ** 32 - 1], [-1, 2 ** 32], ["1", 1n]],
  ["ptr", ptr, 4, [NULL, 2 ** 32 - 8], [-1, 2 ** 32, 0.5], ["1", 1n]],
];

describe.each(SCALARS)("%s", (_, codec, bytes, kept, outside, wrong) => {
  const scalar = codec as ScalarCodec<unknown>;

  it("is as large and as aligned as in C", () => {
    expect([codec.size, codec.align]).toEqual([bytes, bytes]);
  });

  it("reads what was written, and touches no byte beside it", () => {
    for (const fill of [0x00, 0xa5]) {
      const heap = viewsOf(new ArrayBuffer(BYTES));
      heap.u8.fill(fill);
      for (const value of kept) {
        codec.write(heap, HERE, value);
        expect(codec.read(heap, HERE)).toBe(value);
        expect(scalar.get(heap, HERE)).toBe(value);
        expect(heap.u8.subarray(HERE + bytes).every((byte) => byte === fill)).toBe(true);
        expect(heap.u8.subarray(0, HERE).every((byte) => byte === fill)).toBe(true);
        scalar.set(heap, offsetPtr(HERE, bytes), value);
        expect(codec.read(heap, offsetPtr(HERE, bytes))).toBe(value);
        heap.u8.fill(fill);
      }
    }
  });

  it("write refuses values out of range and of another type", () => {
    const heap = viewsOf(new ArrayBuffer(BYTES));
    heap.u8.fill(0x5a);
    for (const value of [...outside, ...wrong])
      expect(attempt(heap, () => codec.write(heap, HERE, value))).toEqual(refused(badArgument));
  });

  it("lies at both ends of the buffer and not beyond", () => {
    const heap = viewsOf(new ArrayBuffer(BYTES));
    codec.write(heap, asPtr(bytes), kept[0]);
    codec.write(heap, asPtr(BYTES - bytes), kept[0]);
    expect(attempt(heap, () => codec.write(heap, asPtr(BYTES), kept[0]))).toEqual(refused(badPointer));
    expect(() => codec.read(heap, asPtr(BYTES))).toThrow(badPointer);
    expect(() => scalar.get(heap, asPtr(BYTES))).toThrow(badPointer);
  });
});

describe("scalars in memory", () => {
  it("have the host's byte order and two's complement", () => {
    const heap = viewsOf(new ArrayBuffer(BYTES));
    const oracle = new DataView(heap.u8.buffer);
    i16.write(heap, HERE, -2);
    expect(oracle.getInt16(HERE, true)).toBe(-2);
    u32.write(heap, HERE, 0xdead_beef);
    expect(oracle.getUint32(HERE, true)).toBe(0xdead_beef);
    i64.write(heap, HERE, -5n);
    expect(oracle.getBigInt64(HERE, true)).toBe(-5n);
    f64.write(heap, HERE, Math.E);
    expect(oracle.getFloat64(HERE, true)).toBe(Math.E);
  });

  it("f32 rounds", () => {
    const heap = viewsOf(new ArrayBuffer(BYTES));
    f32.write(heap, HERE, 0.1);
    expect(f32.read(heap, HERE)).toBe(Math.fround(0.1));
  });

  it("bool takes every byte but 0 for true", () => {
    const heap = viewsOf(new ArrayBuffer(BYTES));
    heap.u8[HERE] = 2;
    expect([bool.read(heap, HERE), bool.get(heap, HERE)]).toEqual([true, true]);
    bool.write(heap, HERE, true);
    expect(heap.u8[HERE]).toBe(1);
  });
});

describe("layout, as C would have it", () => {
  const Inner = struct({ a: u8, b: u16 });
  // Sizes and offsets from a C compiler for wasm32 (x86-64 says the same, with 32-bit pointers).
  it.each([
    ["no padding", struct({ a: u32, b: u32 }), { a: 0, b: 4 }, 8, 4],
    ["padding between", struct({ a: u8, b: u32, c: u8, d: u16 }), { a: 0, b: 4, c: 8, d: 10 }, 12, 4],
    ["padding at the end", struct({ a: f64, b: u8 }), { a: 0, b: 8 }, 16, 8],
    ["every scalar", struct({ a: bool, b: i64, c: i8, d: f32, e: ptr }), { a: 0, b: 8, c: 16, d: 20, e: 24 }, 32, 8],
    ["bytes only", struct({ a: u8, b: i8, c: bool }), { a: 0, b: 1, c: 2 }, 3, 1],
    ["a struct inside", struct({ a: u8, inner: Inner, c: u8 }), { a: 0, inner: 2, c: 6 }, 8, 2],
    ["an array inside", struct({ a: u8, list: array(u32, 3), c: u8 }), { a: 0, list: 4, c: 16 }, 20, 4],
    ["an array of structs", struct({ a: u8, list: array(Inner, 3), c: u64 }), { a: 0, list: 2, c: 16 }, 24, 8],
    ["bits", struct({ a: u8, word: bits({ b: 1 }), c: u8 }), { a: 0, word: 4, c: 8 }, 12, 4],
    ["an empty array at the end", struct({ count: u32, items: array(f64, 0) }), { count: 0, items: 8 }, 8, 8],
  ])("%s", (_, codec, offsets, size, align) => {
    expect({ offsets: codec.offsets, size: codec.size, align: codec.align }).toEqual({ offsets, size, align });
  });

  it("is the same for pairs", () => {
    const Pairs = struct([
      ["a", u8],
      ["b", u32],
    ]);
    expect(Pairs.offsets).toEqual(struct({ a: u8, b: u32 }).offsets);
    expectTypeOf<ValueOf<typeof Pairs>>().toEqualTypeOf<{ a: number; b: number }>();
  });

  it("of arrays puts elements at multiples of their size", () => {
    const List = array(Inner, 5);
    expect([List.size, List.align, List.count]).toEqual([20, 2, 5]);
    expect(Array.from({ length: 5 }, (__, i) => List.element(HERE, i))).toEqual([64, 68, 72, 76, 80]);
  });
});

const Point = struct({ x: i16, y: f64 });
const Tag = bits({ state: 3, isLast: [3, 1], span: [8, 24] });
const Slot = struct({ state: u8, owner: ptr });
const Record = struct({
  id: u64,
  tag: Tag,
  from: Point,
  path: array(Point, 2),
  grid: array(array(u8, 3), 2),
  slots: array(Slot, 2),
  live: bool,
});

function sample(): ValueOf<typeof Record> {
  return {
    id: 2n ** 63n,
    tag: { state: 5, isLast: 1, span: 0xabcdef },
    from: { x: -1, y: 0.5 },
    path: [
      { x: 1, y: 2 },
      { x: 3, y: -4e200 },
    ],
    grid: [
      [1, 2, 3],
      [4, 5, 6],
    ],
    slots: [
      { state: 1, owner: asPtr(8) },
      { state: 2, owner: NULL },
    ],
    live: true,
  };
}

describe("a nested value", () => {
  it("reads as it was written, and shares nothing with the heap", () => {
    const heap = viewsOf(new ArrayBuffer(BYTES));
    Record.write(heap, HERE, sample());
    const value = Record.read(heap, HERE);
    expect(value).toEqual(sample());
    heap.u8.fill(0);
    expect(value).toEqual(sample());
  });

  it("keeps padding as it was", () => {
    const heap = viewsOf(new ArrayBuffer(BYTES));
    heap.u8.fill(0xee);
    Point.write(heap, HERE, { x: 0, y: 0 });
    expect([...heap.u8.subarray(HERE, HERE + 16)]).toEqual([0, 0, ...Array(6).fill(0xee), ...Array(8).fill(0)]);
  });

  it("is typed from its declaration", () => {
    expectTypeOf<ValueOf<typeof Point>>().toEqualTypeOf<{ x: number; y: number }>();
    expectTypeOf<ValueOf<typeof Slot>>().toEqualTypeOf<{ state: number; owner: Ptr }>();
    expectTypeOf<ValueOf<typeof Tag>>().toEqualTypeOf<{ state: number; isLast: number; span: number }>();
    type Whole = ValueOf<typeof Record>;
    expectTypeOf<Whole["id"]>().toEqualTypeOf<bigint>();
    expectTypeOf<Whole["live"]>().toEqualTypeOf<boolean>();
    expectTypeOf<Whole["grid"]>().toEqualTypeOf<readonly (readonly number[])[]>();
    expectTypeOf(Record.get.id).toEqualTypeOf<Getter<bigint>>();
    expectTypeOf(Record.set.from.x).toEqualTypeOf<Setter<number>>();
    expectTypeOf(Record.get.tag.span).toEqualTypeOf<Getter<number>>();
    expectTypeOf<keyof typeof Record.get>().toEqualTypeOf<"id" | "tag" | "from" | "live">();
    expectTypeOf<keyof typeof Record.element>().toEqualTypeOf<"from" | "path" | "grid" | "slots">();
    expectTypeOf<Parameters<typeof Point.write>[2]>().toEqualTypeOf<{ x: number; y: number }>();
  });

  it("has accessors for every scalar, at its own place", () => {
    const heap = viewsOf(new ArrayBuffer(BYTES));
    Record.write(heap, HERE, sample());
    expect(Record.get.id(heap, HERE)).toBe(2n ** 63n);
    expect(Record.get.live(heap, HERE)).toBe(true);
    expect(Record.get.from.y(heap, HERE)).toBe(0.5);
    expect(Record.get.tag.span(heap, HERE)).toBe(0xabcdef);
    expect(Slot.get.owner(heap, Record.element.slots(HERE, 0))).toBe(8);
    expect(Point.get.y(heap, Record.element.path(HERE, 1))).toBe(-4e200);
    const row = Record.element.grid(HERE, 1);
    expect(u8.get(heap, offsetPtr(row, 2))).toBe(6);

    Record.set.id(heap, HERE, 7n);
    Record.set.live(heap, HERE, false);
    Record.set.from.y(heap, HERE, -0.25);
    Record.set.tag.span(heap, HERE, 1);
    Slot.set.owner(heap, Record.element.slots(HERE, 1), asPtr(16));
    Point.set.x(heap, Record.element.path(HERE, 0), -9);
    const expected = sample();
    expect(Record.read(heap, HERE)).toEqual({
      ...expected,
      id: 7n,
      live: false,
      from: { x: -1, y: -0.25 },
      tag: { ...expected.tag, span: 1 },
      slots: [expected.slots[0], { state: 2, owner: 16 }],
      path: [{ x: -9, y: 2 }, expected.path[1]],
    });
  });

  it("of every kind of scalar is reached at its offset", () => {
    const codecs = Object.fromEntries(SCALARS.map(([name, codec]) => [name, codec]));
    const All = struct({ pad: u64, ...codecs });
    const heap = viewsOf(new ArrayBuffer(BYTES));
    for (const way of [0, 1, 2]) {
      heap.u8.fill(0x99);
      const expected = {
        pad: 0n,
        ...Object.fromEntries(SCALARS.map(([name, , , kept]) => [name, kept[way % kept.length]])),
      };
      for (const [name, value] of Object.entries(expected))
        (All.set as Record<string, Setter<unknown>>)[name]!(heap, HERE, value);
      expect({ ...All.read(heap, HERE) }).toEqual(expected);
      for (const [name, value] of Object.entries(expected)) {
        expect((All.get as Record<string, Getter<unknown>>)[name]!(heap, HERE)).toBe(value);
      }
    }
  });

  it("ignores what it does not know", () => {
    const heap = viewsOf(new ArrayBuffer(BYTES));
    const value = { x: 1, y: 2, note: "three" };
    Point.write(heap, HERE, value);
    expect(Point.read(heap, HERE)).toEqual({ x: 1, y: 2 });
  });
});

describe("write checks the whole value before the first store", () => {
  const heap = viewsOf(new ArrayBuffer(BYTES));
  const broken = (change: Partial<{ [K in keyof ValueOf<typeof Record>]: unknown }>): ValueOf<typeof Record> =>
    ({ ...sample(), ...change }) as ValueOf<typeof Record>;

  it.each([
    ["a missing field", { live: undefined }, "the value.live is undefined; pass a boolean"],
    ["a null for a struct", { from: null }, "the value.from is null; pass an object with all fields"],
    ["a field of a struct in an array", { path: [{ x: 1, y: 2 }, { x: 3 }] }, "the value.path[1].y is undefined"],
    ["an element too few", { grid: [[1, 2, 3]] }, "the value.grid is an object; pass an array of 2"],
    ["an element too many", { grid: [[1], [2], [3]] }, "pass an array of 2"],
    ["an array-like", { grid: { 0: [1, 2, 3], 1: [4, 5, 6], length: 2 } }, "pass an array of 2"],
    [
      "a number too large, deep inside",
      {
        grid: [
          [1, 2, 3],
          [4, 5, 256],
        ],
      },
      "the value.grid[1][2] is 256",
    ],
    ["a bit field too large", { tag: { state: 8, isLast: 0, span: 0 } }, "the value.tag.state is 8"],
    ["a negative bit field", { tag: { state: -1, isLast: 0, span: 0 } }, "a whole number from 0 to 7"],
    ["a number for a BigInt", { id: 1 }, "the value.id is 1; pass a BigInt from 0 to 18446744073709551615"],
  ])("%s", (_, change, message) => {
    heap.u8.fill(0x33);
    const act = (): void => Record.write(heap, HERE, broken(change));
    expect(attempt(heap, act)).toEqual(refused(failure("ERR_INVALID_ARGUMENT", message)));
  });

  it.each([undefined, null, 1, "text", 1n])("%s for the whole", (value) => {
    expect(attempt(heap, () => Record.write(heap, HERE, value as never))).toEqual(refused(badArgument));
  });

  it("reads each part once, so that no getter can change its mind", () => {
    let reads = 0;
    const sly = {
      x: 1,
      get y(): number {
        reads += 1;
        return reads === 1 ? 2 : ("two" as never);
      },
    };
    Point.write(heap, HERE, sly);
    expect([reads, Point.read(heap, HERE)]).toEqual([1, { x: 1, y: 2 }]);
  });

  it("lets an error of a getter through, with nothing changed", () => {
    const throwing = {
      x: 1,
      get y(): number {
        throw new RangeError("not today");
      },
    };
    expect(attempt(heap, () => Point.write(heap, HERE, throwing))).toEqual(refused(expect.any(RangeError)));
  });
});

const BAD_POINTERS: [string, unknown][] = [
  ["NaN", NaN],
  ["negative", -8],
  ["fractional", 64.5],
  ["2^32", 2 ** 32],
  ["1e300", 1e300],
  ["infinite", Infinity],
  ["a BigInt", 64n],
  ["a string", "64"],
  ["undefined", undefined],
  ["null", null],
  ["a symbol", Symbol("64")],
  ["an object", { valueOf: () => 64 }],
];

describe.each(BAD_POINTERS)("a pointer that is %s", (_, value) => {
  const bad = value as Ptr;
  const heap = viewsOf(new ArrayBuffer(BYTES));
  heap.u8.fill(0x77);

  it("is refused by read and write of every codec", () => {
    for (const [, codec, , [kept]] of SCALARS) {
      expect(() => codec.read(heap, bad)).toThrow(badPointer);
      expect(attempt(heap, () => codec.write(heap, bad, kept))).toEqual(refused(badPointer));
    }
    expect(() => Record.read(heap, bad)).toThrow(badPointer);
    expect(attempt(heap, () => Record.write(heap, bad, sample()))).toEqual(refused(badPointer));
    expect(() => Record.read(heap, bad)).toThrow(badPointer);
    expect(attempt(heap, () => Tag.write(heap, bad, sample().tag))).toEqual(refused(badPointer));
    expect(attempt(heap, () => array(u8, 1).write(heap, bad, [1]))).toEqual(refused(badPointer));
  });

  it("is refused by set, for every kind of field", () => {
    for (const [, codec, , [kept]] of SCALARS) {
      expect(attempt(heap, () => (codec as ScalarCodec<unknown>).set(heap, bad, kept))).toEqual(refused(badPointer));
    }
    expect(attempt(heap, () => Tag.set.state(heap, bad, 1))).toEqual(refused(badPointer));
  });

  it("gives no raw error from get: a refusal, or for a number what lies where it points to modulo 2^32", () => {
    const getters = SCALARS.map(([, codec]) => (codec as ScalarCodec<unknown>).get);
    const outcomes = [...getters, Tag.get.state, Tag.get.span, Record.get.from.y].map((get) => {
      try {
        return typeof get(heap, bad);
      } catch (error) {
        return error instanceof HeapError ? error.code : error;
      }
    });
    const possible = typeof value === "number" ? ["number", "bigint", "boolean", "ERR_INVALID_POINTER"] : [];
    for (const outcome of outcomes) expect([...possible, "ERR_INVALID_POINTER"]).toContain(outcome);
  });

  it("is refused by element, when it is no number above 0", () => {
    const isAbove = typeof value === "number" && value > 0;
    const find = isAbove ? (): unknown => Record.element.slots(NULL, 0) : (): unknown => Record.element.slots(bad, 0);
    expect(find).toThrow(badPointer);
  });
});

describe("pointers that look like some", () => {
  const heap = viewsOf(new ArrayBuffer(BYTES));
  heap.u8.fill(0x77);

  it("NULL is refused by read and write, with a word of advice", () => {
    expect(() => Point.read(heap, NULL)).toThrow(failure("ERR_INVALID_POINTER", "NULL names no block"));
    expect(attempt(heap, () => Point.write(heap, NULL, { x: 1, y: 2 }))).toEqual(refused(badPointer));
  });

  it("misaligned ones are refused by read and write of all that is aligned", () => {
    for (const [, codec, bytes, [kept]] of SCALARS.filter(([, { align }]) => align > 1)) {
      const misaligned = asPtr(HERE + bytes / 2);
      expect(() => codec.read(heap, misaligned)).toThrow(failure("ERR_INVALID_POINTER", `not a multiple of ${bytes}`));
      expect(attempt(heap, () => codec.write(heap, misaligned, kept))).toEqual(refused(badPointer));
    }
  });

  it("a value that begins in the buffer and ends beyond it is refused", () => {
    const last = asPtr(BYTES - Record.size + Record.align);
    expect(() => Record.read(heap, last)).toThrow(failure("ERR_INVALID_POINTER", "do not lie in a buffer of 4096"));
    expect(attempt(heap, () => Record.write(heap, last, sample()))).toEqual(refused(badPointer));
  });

  it("set beyond the end writes nothing, and get refuses", () => {
    const before = heap.u8.slice();
    for (const far of [BYTES, 2 ** 31, 2 ** 32 - 8].map(asPtr)) {
      for (const [, codec, , [kept]] of SCALARS) {
        (codec as ScalarCodec<unknown>).set(heap, far, kept);
        expect(() => (codec as ScalarCodec<unknown>).get(heap, far)).toThrow(badPointer);
      }
      Tag.set.span(heap, far, 1);
      expect(() => Tag.get.span(heap, far)).toThrow(badPointer);
      expect(() => Tag.get.state(heap, far)).toThrow(badPointer);
    }
    expect(heap.u8).toEqual(before);
  });

  it("get and set round a misaligned one down to the field", () => {
    Point.set.y(heap, asPtr(HERE + 3), 1.5);
    expect([Point.get.y(heap, HERE), Point.get.y(heap, asPtr(HERE + 3))]).toEqual([1.5, 1.5]);
  });
});

describe("set", () => {
  const heap = viewsOf(new ArrayBuffer(BYTES));

  it("wraps as typed arrays do", () => {
    const wrapped = <T>(codec: ScalarCodec<T>, value: T): T => {
      codec.set(heap, HERE, value);
      return codec.get(heap, HERE);
    };
    expect(wrapped(u8, 257)).toBe(1);
    expect(wrapped(i8, 128)).toBe(-128);
    expect(wrapped(u16, -1)).toBe(65_535);
    expect(wrapped(i16, 32_768)).toBe(-32_768);
    expect(wrapped(u32, -1)).toBe(2 ** 32 - 1);
    expect(wrapped(i32, 2 ** 31)).toBe(-(2 ** 31));
    expect(wrapped(u32, 1.9)).toBe(1);
    expect(wrapped(u32, NaN)).toBe(0);
    expect(wrapped(u64, -1n)).toBe(2n ** 64n - 1n);
    expect(wrapped(i64, 2n ** 63n)).toBe(-(2n ** 63n));
    expect(wrapped(bool, "truthy" as never)).toBe(true);
    Tag.write(heap, HERE, { state: 0, isLast: 0, span: 0 });
    Tag.set.state(heap, HERE, 13);
    expect(Tag.read(heap, HERE)).toEqual({ state: 5, isLast: 0, span: 0 });
  });

  it("refuses a value of another type", () => {
    const wrong = [1n, "1", undefined, null, Symbol("1"), {}, true];
    for (const [, codec] of SCALARS.filter(([name]) => name !== "bool")) {
      const { set } = codec as ScalarCodec<unknown>;
      const isBig = codec === u64 || codec === i64;
      for (const value of isBig ? [1, ...wrong.slice(1)] : wrong) {
        expect(attempt(heap, () => set(heap, HERE, value))).toEqual(
          refused(failure("ERR_INVALID_ARGUMENT", "set(0x40): the value is")),
        );
      }
    }
    expect(attempt(heap, () => Tag.set.state(heap, HERE, 1n as never))).toEqual(refused(badArgument));
  });
});

describe("bits", () => {
  it("lie from the lowest bit upwards, or where they are told to", () => {
    expect(Tag.shifts).toEqual({ state: 0, isLast: 3, span: 8 });
    expect(Tag.masks).toEqual({ state: 0b111, isLast: 0b1000, span: 0xffff_ff00 });
    expect(bits({ high: [20, 4], next: 8, low: [0, 1] }).shifts).toEqual({ high: 20, next: 24, low: 0 });
    expect([Tag.size, Tag.align]).toEqual([4, 4]);
  });

  it("may be the whole word, and are never negative", () => {
    const Word = bits({ all: 32 });
    const Halves = bits({ low: 31, sign: 1 });
    const heap = viewsOf(new ArrayBuffer(BYTES));
    for (const value of [0, 1, 0x8000_0000, 0xffff_ffff]) {
      Word.write(heap, HERE, { all: value });
      expect([heap.u32[HERE >>> 2], Word.get.all(heap, HERE), Word.read(heap, HERE).all]).toEqual([
        value,
        value,
        value,
      ]);
      Word.set.all(heap, HERE, ~value);
      expect(Word.get.all(heap, HERE)).toBe(~value >>> 0);
      expect(Halves.read(heap, HERE)).toEqual({ low: (~value & 0x7fff_ffff) >>> 0, sign: ~value >>> 31 });
    }
    expect(Word.masks).toEqual({ all: 0xffff_ffff });
  });

  it("set leaves the other bits, write clears those without a name", () => {
    const heap = viewsOf(new ArrayBuffer(BYTES));
    heap.u32[HERE >>> 2] = 0xffff_ffff;
    Tag.set.state(heap, HERE, 2);
    expect(heap.u32[HERE >>> 2]).toBe(0xffff_fffa);
    Tag.set.span(heap, HERE, 0);
    expect(heap.u32[HERE >>> 2]).toBe(0xfa);
    Tag.write(heap, HERE, { state: 1, isLast: 0, span: 3 });
    expect(heap.u32[HERE >>> 2]).toBe(0x301);
  });

  it("agree with arithmetic, for random layouts and values", () => {
    const next = random(seed);
    const heap = viewsOf(new ArrayBuffer(BYTES));
    for (let run = 0; run < runs(300); run += 1) {
      const ranges: Record<string, BitRange> = {};
      const expected: Record<string, number> = {};
      let word = 0n;
      for (let bit = 0; bit < 32;) {
        const width = 1 + Math.floor(next() * (32 - bit));
        const value = Math.floor(next() * 2 ** width);
        ranges[`f${bit}`] = [bit, width];
        expected[`f${bit}`] = value;
        word |= BigInt(value) << BigInt(bit);
        bit += width;
      }
      const Word = bits(ranges);
      Word.write(heap, HERE, expected);
      expect(heap.u32[HERE >>> 2]).toBe(Number(word));
      expect(Word.read(heap, HERE)).toEqual(expected);
      heap.u32[HERE >>> 2] = ~Number(word);
      for (const [name, value] of Object.entries(expected)) Word.set[name]!(heap, HERE, value);
      expect(heap.u32[HERE >>> 2]).toBe(Number(word));
      for (const [name, value] of Object.entries(expected)) expect(Word.get[name]!(heap, HERE)).toBe(value);
    }
  });
});

describe("element", () => {
  const Ring = array(Slot, 4);

  it("counts from the array's start", () => {
    expect([0, 3].map((i) => Ring.element(HERE, i))).toEqual([64, 64 + 3 * Slot.size]);
  });

  it.each([4, -1, 1.5, NaN, 2 ** 32, 1n, "1", undefined, null])("refuses the index %s", (index) => {
    const error = failure("ERR_INVALID_ARGUMENT", "pass a whole number below 4");
    expect(() => Ring.element(HERE, index as number)).toThrow(error);
  });
});

describe("declared wrongly", () => {
  const proto = Object.defineProperty({}, "__proto__", { value: u8, enumerable: true }) as Record<string, Codec>;
  class Fields {
    x = u8;
  }

  it.each<[string, () => unknown]>([
    [
      "a name twice",
      () =>
        struct([
          ["x", u8],
          ["x", u8],
        ]),
    ],
    [
      "a bit field's name twice",
      () =>
        bits([
          ["x", 1],
          ["x", 2],
        ]),
    ],
    ["no field", () => struct({})],
    ["no pair", () => struct([])],
    ["no bit field", () => bits({})],
    ["a field that is no codec", () => struct({ x: 4 as never })],
    ["a field that looks like a codec", () => struct({ x: { size: 4, align: 4 } as never })],
    ["an undefined field", () => struct({ x: undefined as never })],
    ["a name like an index, which would come first", () => struct({ b: u8, 1: u8 })],
    ["an empty name", () => struct([["", u8]])],
    ["a name with a space", () => struct([["a b", u8]])],
    ["a name that is no string", () => struct([[1 as never, u8]])],
    ["a symbol for a name", () => struct({ x: u8, [Symbol("y")]: u8 } as never)],
    ["__proto__ in a literal, which sets the prototype", () => struct({ x: u8, __proto__: u8 } as never)],
    ["__proto__ as a key", () => struct(proto)],
    ["an object of a class", () => struct(new Fields() as never)],
    ["no object", () => struct(undefined as never)],
    ["a string", () => struct("x" as never)],
    ["a pair that is none", () => struct([["x"]] as never)],
    ["a pair of three", () => struct([["x", u8, 4]] as never)],
    ["an entry that is none", () => struct([u8] as never)],
    ["a struct of 4 GiB", () => struct({ a: array(f64, 2 ** 29 - 1), b: f64 })],
    ["an array of what is no codec", () => array("u8" as never, 1)],
    ["a count that is negative", () => array(u8, -1)],
    ["a count that is fractional", () => array(u8, 1.5)],
    ["a count that is NaN", () => array(u8, NaN)],
    ["a count that is a BigInt", () => array(u8, 1n as never)],
    ["a count that is missing", () => array(u8, undefined as never)],
    ["a count that makes 4 GiB", () => array(f64, 2 ** 29)],
    ["a width of 0", () => bits({ x: 0 })],
    ["a width of 33", () => bits({ x: 33 })],
    ["a width that is fractional", () => bits({ x: 1.5 })],
    ["a width that is no number", () => bits({ x: "3" as never })],
    ["widths of more than 32 in all", () => bits({ x: 30, y: 3 })],
    ["a range that ends beyond bit 31", () => bits({ x: [30, 3] })],
    ["a range that begins beyond bit 31", () => bits({ x: [32, 1] })],
    ["a negative range", () => bits({ x: [-1, 3] })],
    ["a range of three", () => bits({ x: [0, 1, 2] as never })],
    ["ranges that overlap in one bit", () => bits({ x: [0, 4], y: [3, 4] })],
    ["ranges that overlap in the last bit", () => bits({ x: [31, 1], y: [0, 32] })],
    ["a width that runs into an explicit range", () => bits({ x: [8, 8], y: [0, 4], z: 5 })],
  ])("%s", (_, declare) => {
    expect(declare).toThrow(badArgument);
  });

  it("says what and where", () => {
    expect(() => bits({ x: [0, 4], y: [3, 4] })).toThrow(
      'bits: the field "y" is bits 3 to 6; pass bits that no other has',
    );
    expect(() => bits({ x: 30, y: 3 })).toThrow('bits: the field "y" is 3 at bit 30; pass a range inside bits 0 to 31');
    expect(() => struct({ x: 4 as never })).toThrow('struct: the field "x" is 4; pass a codec');
    expect(() => array(u8, -1)).toThrow("array: the count is -1; pass a whole number from 0");
  });

  it("not: names of Object's own methods, and unusual identifiers", () => {
    const heap = viewsOf(new ArrayBuffer(BYTES));
    const Odd = struct({ constructor: u8, toString: u16, $größe_1: u8 });
    const value = { constructor: 1, toString: 2, $größe_1: 3 };
    Odd.write(heap, HERE, value as never);
    expect({ ...Odd.read(heap, HERE) }).toEqual(value);
    expect(Odd.get.constructor(heap, HERE)).toBe(1);
  });
});

describe("random structs", () => {
  const scalars = SCALARS.filter(([name]) => name !== "f32");

  function randomCodec(next: Random, depth: number): Codec {
    const kind = depth === 0 ? 0 : next();
    if (kind < 0.6) return scalars[Math.floor(next() * scalars.length)]![1];
    if (kind < 0.8) return array(randomCodec(next, depth - 1), Math.floor(next() * 4));
    const entries = Array.from({ length: 1 + Math.floor(next() * 5) }, (_, i) => [
      `f${i}`,
      randomCodec(next, depth - 1),
    ]);
    return struct(entries as [string, Codec][]);
  }

  it("read as written, each field on bytes of its own", () => {
    const next = random(seed);
    for (let run = 0; run < runs(300); run += 1) {
      const heap = viewsOf(new ArrayBuffer(1 << 16));
      const entries = Array.from({ length: 1 + Math.floor(next() * 6) }, (_, i): [string, Codec] => [
        `f${i}`,
        randomCodec(next, 3),
      ]);
      const codec = struct(entries);
      let end = 0;
      for (const [name, field] of entries) {
        const offset = codec.offsets[name]!;
        expect(offset % field.align).toBe(0);
        expect(offset >= end && offset - end < field.align).toBe(true);
        end = offset + field.size;
      }
      expect(codec.align).toBe(Math.max(...entries.map(([, field]) => field.align)));
      expect(codec.size % codec.align).toBe(0);
      expect(codec.size >= end && codec.size - end < codec.align).toBe(true);

      // Random bytes are a value of nearly every codec; whatever is read from them must survive a round trip.
      for (let at = 0; at < codec.size; at += 1) heap.u8[1024 + at] = Math.floor(next() * 256);
      const value = codec.read(heap, asPtr(1024));
      codec.write(heap, asPtr(32_768), value);
      expect(codec.read(heap, asPtr(32_768))).toEqual(value);
      expect(heap.u8.subarray(32_768 + codec.size).every((byte) => byte === 0)).toBe(true);
    }
  });
});

describe("heaps", () => {
  it("may be real ones, and may grow between two accesses", () => {
    const heap = new Heap({ bytes: 1 << 16, maxBytes: 1 << 20 });
    const block = heap.malloc(Record.size);
    Record.write(heap, block, sample());
    const old = heap.u8;
    heap.free(heap.malloc(1 << 18));
    expect(old.length).toBe(0);
    expect(Record.read(heap, block)).toEqual(sample());
    expect(Record.get.from.y(heap, block)).toBe(0.5);
    heap.free(block);
  });

  it("may lose their buffer: an error with a code, never the engine's own", () => {
    const real = new Heap({ bytes: 1 << 16 });
    const views = viewsOf(new ArrayBuffer(BYTES));
    for (const heap of [real, views]) {
      structuredClone(heap.u8.buffer, { transfer: [heap.u8.buffer as ArrayBuffer] });
      const coded = expect.objectContaining({
        name: "HeapError",
        code: expect.stringMatching(/DESTROYED|INVALID_POINTER/),
      });
      expect(() => Record.read(heap, HERE)).toThrow(coded);
      expect(() => Record.write(heap, HERE, sample())).toThrow(coded);
      expect(() => Record.get.id(heap, HERE)).toThrow(coded);
      expect(() => Record.get.tag.state(heap, HERE)).toThrow(coded);
    }
    expect(() => Record.set.id(real, HERE, 1n)).toThrow(failure("ERR_DESTROYED"));
    Record.set.id(views, HERE, 1n);
  });

  it("must be heaps", () => {
    for (const heap of [undefined, null, {}, 1, { u8: [] }, new ArrayBuffer(8)]) {
      expect(() => u8.read(heap as never, HERE)).toThrow(badArgument);
      expect(() => u8.write(heap as never, HERE, 1)).toThrow(badArgument);
    }
  });

  it("may be larger than 2 GiB, where 32-bit numbers turn negative", () => {
    const high = asPtr(2 ** 31 + 4096);
    const heap = viewsOf(new ArrayBuffer(2 ** 31 + 65_536));
    Record.write(heap, high, sample());
    expect(Record.read(heap, high)).toEqual(sample());
    expect(Record.get.id(heap, high)).toBe(2n ** 63n);
    expect(Slot.get.owner(heap, Record.element.slots(high, 0))).toBe(8);
    Record.set.from.x(heap, high, 77);
    Record.set.tag.span(heap, high, 88);
    Record.set.live(heap, high, false);
    const { from, tag, live } = Record.read(heap, high);
    expect([from.x, tag.span, live]).toEqual([77, 88, false]);
    expect(() => Record.read(heap, asPtr(2 ** 31 + 65_536))).toThrow(badPointer);
  });
});
