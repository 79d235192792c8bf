/**
 * Codecs: one way to describe an allocator's header and a user's struct. A codec knows size, alignment and the offsets
 * that C would give its fields, and reaches a value in two ways:
 *
 * - `get` and `set`: a function for each field, as cheap as a hand-written `heap.u32[(ptr + OFFSET) >>> 2]`. They check
 *   only what costs nothing, see {@link Getter} and {@link Setter}.
 * - `read` and `write`: the whole value at once. They check the pointer and every part of the value before the first
 *   store, in time proportional to the number of scalars.
 *
 * Numbers lie in the byte order of the host's typed arrays: little-endian wherever WebAssembly runs.
 *
 * Why a field costs no more than an index: V8 takes `Point.get.x` of a `const` for a constant and inlines the function
 * with its offset. For that, each kind of scalar has one closure literal, which sees one kind of view only, and as little
 * bytecode in it as can be. Two limits remain:
 *
 * - In a loop V8 may not see in time that `Point` is constant, and then looks `get` and `x` up again, 0.3 to 0.8 ns. Hot
 *   code takes the functions out: `const { x, y } = Point.get;` beside the struct, then `x(heap, ptr)`.
 * - A caller inlines 920 bytes of bytecode, some 13 accessors; further ones stay calls of 3 to 4 ns. A hot function with
 *   more does better with a view and `offsets`.
 *
 * @module
 */
import { alignUp, isAligned } from "./align.ts";
import { HeapError, show } from "./errors.ts";
import type { Block, Ptr } from "./ptr.ts";

/** What a codec needs of a heap. Every `Heap` has it; so has any object with these views of one buffer. */
export interface Views {
  readonly u8: Uint8Array;
  readonly i8: Int8Array;
  readonly u16: Uint16Array;
  readonly i16: Int16Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly f32: Float32Array;
  readonly f64: Float64Array;
  readonly u64: BigUint64Array;
  readonly i64: BigInt64Array;
}

/** Where a value lies: a payload or a place in one, or for an allocator one of its headers. */
export type Address = Ptr | Block;

/**
 * Reads one field; costs as much as a hand-written index.
 *
 * Throws a `HeapError` `ERR_INVALID_POINTER` for a pointer that is not a number and for a field beyond the end of the
 * buffer. It does not notice `NULL`, a block that is free or of another kind, nor a pointer that is negative, fractional
 * or misaligned, which it may take modulo 2^32 and round down to a multiple of the field's size. It does not check `heap`.
 */
export type Getter<T> = (heap: Views, ptr: Address) => T;

/**
 * Writes one field; costs as much as a hand-written index. Values wrap as in a typed array: integers modulo their width,
 * fractions cut off; a `bool` becomes true for everything truthy.
 *
 * Throws a `HeapError`, with nothing changed: `ERR_INVALID_POINTER` for a pointer that is no whole number from 0 to
 * 2^32 - 1, `ERR_INVALID_ARGUMENT` for a value of the wrong type. Beyond the end of the buffer it writes nothing. It does
 * not notice `NULL`, a block that is free or of another kind, nor a misaligned pointer, which it rounds down to a
 * multiple of the field's size. It does not check `heap`.
 */
export type Setter<T> = (heap: Views, ptr: Address, value: T) => void;

/**
 * Finds an element of an array that lies at a pointer; O(1), and nothing is read.
 *
 * Throws a `HeapError`: `ERR_INVALID_POINTER` for a pointer that is no number above 0, so for `NULL` too,
 * `ERR_INVALID_ARGUMENT` for an index that is no whole number below the array's count.
 */
export type Locator = (ptr: Address, index: number) => Ptr;

/** Fields of a struct by name, in the order in which they lie. */
export type Fields = Readonly<Record<string, Codec>>;

/** Fields as pairs, for names that a program makes. */
export type FieldEntries = readonly (readonly [name: string, codec: Codec])[];

/** The fields that a list of pairs stands for. */
export type FieldsOf<E extends FieldEntries> = { readonly [P in E[number] as P[0]]: P[1] };

/** A bit field's width, when it begins where the one before it ends; or its lowest bit and its width. */
export type BitRange = number | readonly [lowest: number, width: number];

/** Bit fields as pairs, for names that a program makes. */
export type BitEntries = readonly (readonly [name: string, range: BitRange])[];

/** The value that a codec reads and writes: `ValueOf<typeof Point>`. */
export type ValueOf<C> = C extends Codec<infer T> ? T : never;

/** The functions that reach the parts of a value: a tree as deep as the value, without the branches that have none. */
type Tree<F, Kind extends "get" | "set" | "element"> = {
  readonly [K in keyof F as F[K] extends Readonly<Record<Kind, unknown>> ? K : never]: F[K] extends Readonly<
    Record<Kind, infer A>
  >
    ? A
    : never;
};

/** The functions of a part, made for the offset at which it lies in the whole. */
interface Accessors {
  readonly get?: unknown;
  readonly set?: unknown;
  readonly element?: unknown;
}

/** A scalar on its way into the heap. */
type Leaf = number | bigint | boolean;

/** What `write` accepts as a scalar; whole numbers when there are limits. */
interface Range {
  readonly type: "number" | "bigint" | "boolean";
  readonly min?: Leaf;
  readonly max?: Leaf;
}

const ADDRESS_LIMIT_BYTES = 2 ** 32;
const WORD_BYTES = 4;
const WORD_BITS = 32;

/** What every codec can do. */
export abstract class Codec<T = unknown> {
  /** Bytes from one value to the next in an array, padding included. */
  readonly size: number;
  /** What a value's address is a multiple of: a power of two, in bytes. */
  readonly align: number;

  protected constructor(size: number, align: number) {
    this.size = size;
    this.align = align;
  }

  /**
   * Reads a value. O(number of its scalars).
   *
   * @param heap - where it lies
   * @param ptr - its first byte, a multiple of `align`
   * @returns a new value that shares nothing with the heap
   * @throws HeapError `ERR_INVALID_POINTER` for `NULL`, a misaligned pointer and a value that is not wholly in the buffer
   * @example
   * ```ts
   * Point.read(heap, ptr); // { x: 1, y: 2 }
   * ```
   */
  read(heap: Views, ptr: Address): T {
    checkPlace("read", this, heap, ptr);
    return this.load(heap, ptr);
  }

  /**
   * Writes a value. O(number of its scalars). Padding keeps its bytes.
   *
   * @param heap - where it is to lie
   * @param ptr - its first byte, a multiple of `align`
   * @param value - with every field, each of its type and in its range; other properties are ignored
   * @throws HeapError `ERR_INVALID_POINTER` as in `read`, `ERR_INVALID_ARGUMENT` for a part that does not fit; nothing has
   *   been written then
   * @example
   * ```ts
   * Point.write(heap, ptr, { x: 1, y: 2 });
   * ```
   */
  write(heap: Views, ptr: Address, value: T): void {
    // Each part of the value is read once, so that no getter in it can answer the check and the store differently.
    const leaves: Leaf[] = [];
    this.flatten(value, "the value", leaves);
    checkPlace("write", this, heap, ptr);
    this.store(heap, ptr, leaves, 0);
  }

  /** @internal Reads without a check. */
  abstract load(heap: Views, address: number): T;
  /** @internal Appends the scalars of a value, or throws. */
  abstract flatten(value: unknown, path: string, leaves: Leaf[]): void;
  /** @internal Writes the scalars from `next` on without a check, and returns where the next value's begin. */
  abstract store(heap: Views, address: number, leaves: readonly Leaf[], next: number): number;
  /** @internal */
  abstract accessorsAt(offset: number): Accessors;
}

/** One number, BigInt, boolean or pointer. */
export class ScalarCodec<T> extends Codec<T> {
  // Declared, so that the constructor's store is the only one: V8 takes no field for constant that was undefined first.
  /** Reads the scalar at a pointer. */
  declare readonly get: Getter<T>;
  /** Writes the scalar at a pointer. */
  declare readonly set: Setter<T>;
  readonly #range: Range;
  readonly #getAt: (at: number) => Getter<T>;
  readonly #setAt: (at: number) => Setter<T>;

  /** @internal */
  constructor(size: number, range: Range, getAt: (at: number) => Getter<T>, setAt: (at: number) => Setter<T>) {
    super(size, size);
    this.#range = range;
    this.#getAt = getAt;
    this.#setAt = setAt;
    this.get = getAt(0);
    this.set = setAt(0);
  }

  /** @internal */
  override load(heap: Views, address: number): T {
    return this.get(heap, address as Ptr);
  }

  /** @internal */
  override flatten(value: unknown, path: string, leaves: Leaf[]): void {
    leaves.push(checkLeaf(this.#range, value, path));
  }

  /** @internal */
  override store(heap: Views, address: number, leaves: readonly Leaf[], next: number): number {
    this.set(heap, address as Ptr, leaves[next] as T);
    return next + 1;
  }

  /** @internal */
  override accessorsAt(offset: number): Accessors {
    return { get: this.#getAt(offset), set: this.#setAt(offset) };
  }
}

/** Named bits of a 32-bit word. */
export class BitsCodec<N extends string> extends Codec<{ [K in N]: number }> {
  /** For each field its lowest bit, 0 to 31. */
  declare readonly shifts: { readonly [K in N]: number };
  /** For each field the bits of the word that it takes, as an unsigned number. */
  declare readonly masks: { readonly [K in N]: number };
  /** Reads one field of the word at a pointer. */
  declare readonly get: { readonly [K in N]: Getter<number> };
  /** Writes one field of the word at a pointer; the other bits keep their values. */
  declare readonly set: { readonly [K in N]: Setter<number> };
  readonly #fields: readonly BitField[];

  /** @internal */
  constructor(fields: readonly BitField[]) {
    super(WORD_BYTES, WORD_BYTES);
    this.#fields = fields;
    const { get, set } = bitAccessors(fields, 0);
    this.get = get as { [K in N]: Getter<number> };
    this.set = set as { [K in N]: Setter<number> };
    this.shifts = table(fields, (field) => field.shift) as { [K in N]: number };
    this.masks = table(fields, (field) => (field.mask << field.shift) >>> 0) as { [K in N]: number };
  }

  /** @internal */
  override load(heap: Views, address: number): { [K in N]: number } {
    const word = u32.load(heap, address);
    return table(this.#fields, ({ shift, mask }) => ((word >>> shift) & mask) >>> 0) as { [K in N]: number };
  }

  /** @internal Bits without a name become 0. */
  override flatten(value: unknown, path: string, leaves: Leaf[]): void {
    const parts = checkObject(value, path);
    let word = 0;
    for (const { name, shift, mask } of this.#fields) {
      const part = checkLeaf({ type: "number", min: 0, max: mask }, parts[name], `${path}.${name}`);
      word |= Number(part) << shift;
    }
    leaves.push(word);
  }

  /** @internal */
  override store(heap: Views, address: number, leaves: readonly Leaf[], next: number): number {
    return u32.store(heap, address, leaves, next);
  }

  /** @internal */
  override accessorsAt(offset: number): Accessors {
    return bitAccessors(this.#fields, offset);
  }
}

/** Fields one after another, as C lays them out. */
export class StructCodec<F extends Fields> extends Codec<{ -readonly [K in keyof F]: ValueOf<F[K]> }> {
  /** For each field its distance from the struct's first byte, in bytes. */
  declare readonly offsets: { readonly [K in keyof F]: number };
  /** For each field a function that reads it, given the struct's pointer; a nested struct's are under its name. */
  declare readonly get: Tree<F, "get">;
  /** For each field a function that writes it, given the struct's pointer; a nested struct's are under its name. */
  declare readonly set: Tree<F, "set">;
  /** For each array a function that finds an element, given the struct's pointer; a nested struct's are under its name. */
  declare readonly element: Tree<F, "element">;
  readonly #fields: readonly Field[];

  /** @internal */
  constructor(size: number, align: number, fields: readonly Field[]) {
    super(size, align);
    this.#fields = fields;
    this.offsets = table(fields, (field) => field.offset) as { [K in keyof F]: number };
    const { get, set, element } = this.accessorsAt(0);
    this.get = get as Tree<F, "get">;
    this.set = set as Tree<F, "set">;
    this.element = element as Tree<F, "element">;
  }

  /** @internal */
  override load(heap: Views, address: number): { -readonly [K in keyof F]: ValueOf<F[K]> } {
    const value = table(this.#fields, ({ codec, offset }) => codec.load(heap, address + offset));
    return value as { -readonly [K in keyof F]: ValueOf<F[K]> };
  }

  /** @internal */
  override flatten(value: unknown, path: string, leaves: Leaf[]): void {
    const parts = checkObject(value, path);
    for (const { name, codec } of this.#fields) codec.flatten(parts[name], `${path}.${name}`, leaves);
  }

  /** @internal */
  override store(heap: Views, address: number, leaves: readonly Leaf[], next: number): number {
    for (const { codec, offset } of this.#fields) next = codec.store(heap, address + offset, leaves, next);
    return next;
  }

  /** @internal */
  override accessorsAt(offset: number): Accessors {
    const get: Record<string, unknown> = {};
    const set: Record<string, unknown> = {};
    const element: Record<string, unknown> = {};
    for (const field of this.#fields) {
      const accessors = field.codec.accessorsAt(offset + field.offset);
      if (accessors.get !== undefined) get[field.name] = accessors.get;
      if (accessors.set !== undefined) set[field.name] = accessors.set;
      if (accessors.element !== undefined) element[field.name] = accessors.element;
    }
    return { get, set, element };
  }
}

/** A fixed number of values of one codec, one after another. */
export class ArrayCodec<C extends Codec> extends Codec<readonly ValueOf<C>[]> {
  /** What it is an array of. */
  readonly of: C;
  /** How many. */
  readonly count: number;
  /** Finds an element, given the array's pointer. */
  declare readonly element: Locator;

  /** @internal */
  constructor(of: C, count: number) {
    super(of.size * count, of.align);
    this.of = of;
    this.count = count;
    this.element = locator(0, of.size, count);
  }

  /** @internal */
  override load(heap: Views, address: number): readonly ValueOf<C>[] {
    const values: unknown[] = [];
    for (let i = 0; i < this.count; i += 1) values.push(this.of.load(heap, address + i * this.of.size));
    return values as ValueOf<C>[];
  }

  /** @internal */
  override flatten(value: unknown, path: string, leaves: Leaf[]): void {
    if (!Array.isArray(value) || value.length !== this.count) refuse(path, shown(value), `an array of ${this.count}`);
    for (let i = 0; i < this.count; i += 1) this.of.flatten(value[i], `${path}[${i}]`, leaves);
  }

  /** @internal */
  override store(heap: Views, address: number, leaves: readonly Leaf[], next: number): number {
    for (let i = 0; i < this.count; i += 1) next = this.of.store(heap, address + i * this.of.size, leaves, next);
    return next;
  }

  /** @internal */
  override accessorsAt(offset: number): Accessors {
    return { element: locator(offset, this.of.size, this.count) };
  }
}

/** 0 to 255. */
export const u8: ScalarCodec<number> = /* @__PURE__ */ new ScalarCodec(
  1,
  { type: "number", min: 0, max: 0xff },
  (at) => (heap, ptr) => {
    if (typeof ptr === "number") {
      const value = heap.u8[ptr + at];
      if (value !== undefined) return value;
    }
    throw lost(ptr);
  },
  (at) => (heap, ptr, value) => {
    if (typeof ptr === "number" && ptr >>> 0 === ptr && typeof value === "number") heap.u8[ptr + at] = value;
    else throw unfit(ptr, value);
  },
);

/** -128 to 127. */
export const i8: ScalarCodec<number> = /* @__PURE__ */ new ScalarCodec(
  1,
  { type: "number", min: -0x80, max: 0x7f },
  (at) => (heap, ptr) => {
    if (typeof ptr === "number") {
      const value = heap.i8[ptr + at];
      if (value !== undefined) return value;
    }
    throw lost(ptr);
  },
  (at) => (heap, ptr, value) => {
    if (typeof ptr === "number" && ptr >>> 0 === ptr && typeof value === "number") heap.i8[ptr + at] = value;
    else throw unfit(ptr, value);
  },
);

/** 0 to 65,535. */
export const u16: ScalarCodec<number> = /* @__PURE__ */ new ScalarCodec(
  2,
  { type: "number", min: 0, max: 0xffff },
  (at) => (heap, ptr) => {
    if (typeof ptr === "number") {
      const value = heap.u16[(ptr + at) >>> 1];
      if (value !== undefined) return value;
    }
    throw lost(ptr);
  },
  (at) => (heap, ptr, value) => {
    if (typeof ptr === "number" && ptr >>> 0 === ptr && typeof value === "number") heap.u16[(ptr + at) >>> 1] = value;
    else throw unfit(ptr, value);
  },
);

/** -32,768 to 32,767. */
export const i16: ScalarCodec<number> = /* @__PURE__ */ new ScalarCodec(
  2,
  { type: "number", min: -0x8000, max: 0x7fff },
  (at) => (heap, ptr) => {
    if (typeof ptr === "number") {
      const value = heap.i16[(ptr + at) >>> 1];
      if (value !== undefined) return value;
    }
    throw lost(ptr);
  },
  (at) => (heap, ptr, value) => {
    if (typeof ptr === "number" && ptr >>> 0 === ptr && typeof value === "number") heap.i16[(ptr + at) >>> 1] = value;
    else throw unfit(ptr, value);
  },
);

/** 0 to 2^32 - 1. */
export const u32: ScalarCodec<number> = /* @__PURE__ */ unsignedWord();

/** -2^31 to 2^31 - 1. */
export const i32: ScalarCodec<number> = /* @__PURE__ */ new ScalarCodec(
  4,
  { type: "number", min: -0x8000_0000, max: 0x7fff_ffff },
  (at) => (heap, ptr) => {
    if (typeof ptr === "number") {
      const value = heap.i32[(ptr + at) >>> 2];
      if (value !== undefined) return value;
    }
    throw lost(ptr);
  },
  (at) => (heap, ptr, value) => {
    if (typeof ptr === "number" && ptr >>> 0 === ptr && typeof value === "number") heap.i32[(ptr + at) >>> 2] = value;
    else throw unfit(ptr, value);
  },
);

/** Any number, rounded to single precision. */
export const f32: ScalarCodec<number> = /* @__PURE__ */ new ScalarCodec(
  4,
  { type: "number" },
  (at) => (heap, ptr) => {
    if (typeof ptr === "number") {
      const value = heap.f32[(ptr + at) >>> 2];
      if (value !== undefined) return value;
    }
    throw lost(ptr);
  },
  (at) => (heap, ptr, value) => {
    if (typeof ptr === "number" && ptr >>> 0 === ptr && typeof value === "number") heap.f32[(ptr + at) >>> 2] = value;
    else throw unfit(ptr, value);
  },
);

/** Any number. */
export const f64: ScalarCodec<number> = /* @__PURE__ */ new ScalarCodec(
  8,
  { type: "number" },
  (at) => (heap, ptr) => {
    if (typeof ptr === "number") {
      const value = heap.f64[(ptr + at) >>> 3];
      if (value !== undefined) return value;
    }
    throw lost(ptr);
  },
  (at) => (heap, ptr, value) => {
    if (typeof ptr === "number" && ptr >>> 0 === ptr && typeof value === "number") heap.f64[(ptr + at) >>> 3] = value;
    else throw unfit(ptr, value);
  },
);

/** A BigInt from 0 to 2^64 - 1. */
export const u64: ScalarCodec<bigint> = /* @__PURE__ */ new ScalarCodec(
  8,
  { type: "bigint", min: 0n, max: 0xffff_ffff_ffff_ffffn },
  (at) => (heap, ptr) => {
    if (typeof ptr === "number") {
      const value = heap.u64[(ptr + at) >>> 3];
      if (value !== undefined) return value;
    }
    throw lost(ptr);
  },
  (at) => (heap, ptr, value) => {
    if (typeof ptr === "number" && ptr >>> 0 === ptr && typeof value === "bigint") heap.u64[(ptr + at) >>> 3] = value;
    else throw unfit(ptr, value);
  },
);

/** A BigInt from -2^63 to 2^63 - 1. */
export const i64: ScalarCodec<bigint> = /* @__PURE__ */ new ScalarCodec(
  8,
  { type: "bigint", min: -0x8000_0000_0000_0000n, max: 0x7fff_ffff_ffff_ffffn },
  (at) => (heap, ptr) => {
    if (typeof ptr === "number") {
      const value = heap.i64[(ptr + at) >>> 3];
      if (value !== undefined) return value;
    }
    throw lost(ptr);
  },
  (at) => (heap, ptr, value) => {
    if (typeof ptr === "number" && ptr >>> 0 === ptr && typeof value === "bigint") heap.i64[(ptr + at) >>> 3] = value;
    else throw unfit(ptr, value);
  },
);

/** A byte: 0 is false, all else true; true is written as 1. */
export const bool: ScalarCodec<boolean> = /* @__PURE__ */ new ScalarCodec(
  1,
  { type: "boolean" },
  (at) => (heap, ptr) => {
    if (typeof ptr === "number") {
      const value = heap.u8[ptr + at];
      if (value !== undefined) return value !== 0;
    }
    throw lost(ptr);
  },
  (at) => (heap, ptr, value) => {
    if (typeof ptr === "number" && ptr >>> 0 === ptr) heap.u8[ptr + at] = value ? 1 : 0;
    else throw unfit(ptr, value);
  },
);

/** A size in bytes, 0 to 2^32 - 1: 4 bytes, as on wasm32. */
export const usize: ScalarCodec<number> = /* @__PURE__ */ unsignedWord();

// Named otherwise in here, where nearly every parameter is called ptr.
/** A pointer, `NULL` included: 4 bytes. */
const pointer: ScalarCodec<Ptr> = /* @__PURE__ */ unsignedWord<Ptr>();

export { pointer as ptr };

/**
 * Declares a struct. Fields lie in the order given, each at the next multiple of its alignment; the whole is as aligned
 * as its strictest field and padded at its end to a multiple of that.
 *
 * @param fields - codecs by name; or pairs of both, for names that a program makes
 * @returns its codec
 * @throws HeapError `ERR_INVALID_ARGUMENT` for no field at all, a name that is repeated, no identifier or `__proto__`, a
 *   field that is no codec, and a struct of 4 GiB or more
 * @example
 * ```ts
 * const Point = struct({ x: f64, y: f64 });
 * Point.set.x(heap, ptr, Point.get.y(heap, ptr));
 * ```
 */
export function struct<const E extends FieldEntries>(fields: E): StructCodec<FieldsOf<E>>;
export function struct<F extends Fields>(fields: F): StructCodec<F>;
export function struct(given: Fields | FieldEntries): StructCodec<Fields> {
  const fields: Field[] = [];
  let end = 0;
  let align = 1;
  for (const [name, codec] of pairsOf("struct", given)) {
    const path = `struct: the field ${show(name)}`;
    if (!(codec instanceof Codec)) refuse(path, shown(codec), "a codec");
    const offset = alignUp(end, codec.align);
    end = offset + codec.size;
    if (end >= ADDRESS_LIMIT_BYTES)
      refuse(path, `at byte ${offset}, ${codec.size} bytes long`, "less than 4 GiB in all");
    align = Math.max(align, codec.align);
    fields.push({ name, codec, offset });
  }
  return new StructCodec(alignUp(end, align), align, fields);
}

/**
 * Declares an array of a fixed count.
 *
 * @param codec - of one element
 * @param count - how many, a whole number from 0; less than 4 GiB in all
 * @returns its codec
 * @throws HeapError `ERR_INVALID_ARGUMENT` when one of them is anything else
 * @example
 * ```ts
 * const Ring = struct({ head: u32, slots: array(Slot, 64) });
 * Slot.get.state(heap, Ring.element.slots(ring, 7));
 * ```
 */
export function array<C extends Codec>(codec: C, count: number): ArrayCodec<C> {
  if (!(codec instanceof Codec)) refuse("array: the first argument", shown(codec), "a codec");
  if (typeof count !== "number" || count >>> 0 !== count)
    refuse("array: the count", shown(count), "a whole number from 0");
  if (codec.size * count >= ADDRESS_LIMIT_BYTES) refuse("array: the count", shown(count), "less than 4 GiB in all");
  return new ArrayCodec(codec, count);
}

/**
 * Declares bit fields in a 32-bit word. A width alone puts a field where the one before it ends, from bit 0, the lowest,
 * upwards; gaps are allowed, and `write` fills them with zeros.
 *
 * @param ranges - widths, or lowest bits and widths, by name; or pairs of names and these
 * @returns its codec; the value of each field is a number from 0 to 2^width - 1
 * @throws HeapError `ERR_INVALID_ARGUMENT` for no field at all, a name that is repeated, no identifier or `__proto__`, a
 *   range that is not inside bits 0 to 31, and fields that overlap
 * @example
 * ```ts
 * const Tag = bits({ state: 3, span: [3, 29] });
 * Tag.get.span(heap, ptr);
 * ```
 */
export function bits<const E extends BitEntries>(ranges: E): BitsCodec<E[number][0]>;
export function bits<R extends Readonly<Record<string, BitRange>>>(ranges: R): BitsCodec<keyof R & string>;
export function bits(given: Readonly<Record<string, BitRange>> | BitEntries): BitsCodec<string> {
  const fields: BitField[] = [];
  let used = 0;
  let end = 0;
  for (const [name, range] of pairsOf("bits", given)) {
    const path = `bits: the field ${show(name)}`;
    const isPair = Array.isArray(range) && range.length === 2;
    const [shift, width]: unknown[] = isPair ? range : [end, range];
    if (!isWithin(shift, 0, WORD_BITS - 1) || !isWithin(width, 1, WORD_BITS - shift)) {
      const found = Array.isArray(range) ? `[${range.map(shown).join(", ")}]` : `${shown(range)} at bit ${end}`;
      refuse(path, found, "a range inside bits 0 to 31");
    }
    const mask = (2 ** width - 1) >>> 0;
    if ((used & (mask << shift)) !== 0) refuse(path, `bits ${shift} to ${shift + width - 1}`, "bits that no other has");
    used |= mask << shift;
    end = shift + width;
    fields.push({ name, shift, mask });
  }
  return new BitsCodec(fields);
}

interface Field {
  readonly name: string;
  readonly codec: Codec;
  readonly offset: number;
}

interface BitField {
  readonly name: string;
  readonly shift: number;
  /** As many low bits as the field is wide. */
  readonly mask: number;
}

/** A scalar in an unsigned word, under the name that its value has. */
function unsignedWord<T extends number>(): ScalarCodec<T> {
  return new ScalarCodec<T>(
    WORD_BYTES,
    { type: "number", min: 0, max: 0xffff_ffff },
    (at) => (heap, ptr) => {
      if (typeof ptr === "number") {
        const value = heap.u32[(ptr + at) >>> 2];
        if (value !== undefined) return value as T;
      }
      throw lost(ptr);
    },
    (at) => (heap, ptr, value) => {
      if (typeof ptr === "number" && ptr >>> 0 === ptr && typeof value === "number") heap.u32[(ptr + at) >>> 2] = value;
      else throw unfit(ptr, value);
    },
  );
}

function locator(at: number, size: number, count: number): Locator {
  return (ptr, index) => {
    if (typeof ptr === "number" && ptr > 0 && typeof index === "number" && index >>> 0 === index && index < count) {
      return (ptr + at + index * size) as Ptr;
    }
    if (typeof ptr !== "number" || !(ptr > 0)) throw lost(ptr);
    return refuse("element: the index", shown(index), `a whole number below ${count}`);
  };
}

function bitAccessors(fields: readonly BitField[], at: number): Accessors {
  return {
    get: table(fields, ({ shift, mask }) => bitGetter(at, shift, mask)),
    set: table(fields, ({ shift, mask }) => bitSetter(at, shift, mask)),
  };
}

function bitGetter(at: number, shift: number, mask: number): Getter<number> {
  // The topmost field needs no mask, and would be negative with one of 32 bits.
  if (mask === 0xffff_ffff >>> shift) {
    return (heap, ptr) => {
      if (typeof ptr === "number") {
        const word = heap.u32[(ptr + at) >>> 2];
        if (word !== undefined) return word >>> shift;
      }
      throw lost(ptr);
    };
  }
  return (heap, ptr) => {
    if (typeof ptr === "number") {
      const word = heap.u32[(ptr + at) >>> 2];
      if (word !== undefined) return (word >>> shift) & mask;
    }
    throw lost(ptr);
  };
}

function bitSetter(at: number, shift: number, mask: number): Setter<number> {
  const others = ~(mask << shift);
  return (heap, ptr, value) => {
    if (typeof ptr === "number" && ptr >>> 0 === ptr && typeof value === "number") {
      const words = heap.u32;
      const index = (ptr + at) >>> 2;
      words[index] = ((words[index] ?? 0) & others) | ((value & mask) << shift);
    } else throw unfit(ptr, value);
  };
}

/** An object with a property for each field. Plain stores in one order: V8 takes what it finds there for constants. */
function table<F extends { readonly name: string }, V>(
  fields: readonly F[],
  valueOf: (field: F) => V,
): Record<string, V> {
  const values: Record<string, V> = {};
  for (const field of fields) values[field.name] = valueOf(field);
  return values;
}

/** The pairs of a declaration. An object's integer-like keys would come first, whatever the order in the source. */
function pairsOf(call: string, given: unknown): [name: string, value: unknown][] {
  const pairs = Array.isArray(given) ? given : Object.entries(checkPlain(call, given));
  const names = new Set<string>();
  for (const pair of pairs) {
    if (!Array.isArray(pair) || pair.length !== 2)
      refuse(`${call}: an entry`, shown(pair), "a pair of name and codec or range");
    const name: unknown = pair[0];
    if (typeof name !== "string" || !/^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(name) || name === "__proto__") {
      refuse(`${call}: a field's name`, shown(name), "an identifier other than __proto__");
    }
    if (names.has(name)) refuse(`${call}: a field's name`, `${shown(name)} again`, "each name once");
    names.add(name);
  }
  if (names.size === 0) refuse(call, "without fields", "at least one");
  return pairs;
}

/** Refuses what would hide fields: symbols, and prototypes, which a literal's `__proto__: codec` sets. */
function checkPlain(call: string, given: unknown): object {
  if (typeof given !== "object" || given === null) return refuse(call, shown(given), "an object or a list of pairs");
  const prototype: unknown = Object.getPrototypeOf(given);
  if ((prototype !== null && prototype !== Object.prototype) || Object.getOwnPropertySymbols(given).length > 0) {
    return refuse(call, shown(given), "a plain object whose keys are names, without __proto__ and symbols");
  }
  return given;
}

function checkObject(value: unknown, path: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null) return refuse(path, shown(value), "an object with all fields");
  return value as Record<string, unknown>;
}

function checkLeaf(range: Range, value: unknown, path: string): Leaf {
  const { type, min, max } = range;
  if (typeof value === type) {
    const leaf = value as Leaf;
    if (min === undefined || max === undefined) return leaf;
    const isWhole = typeof leaf === "bigint" || Number.isInteger(leaf);
    if (isWhole && leaf >= min && leaf <= max) return leaf;
  }
  const kind = { number: min === undefined ? "a number" : "a whole number", bigint: "a BigInt", boolean: "a boolean" };
  return refuse(path, shown(value), min === undefined ? kind[type] : `${kind[type]} from ${min} to ${max}`);
}

function checkPlace(call: string, codec: Codec, heap: Views, ptr: Address): void {
  if (!ArrayBuffer.isView(heap?.u8)) refuse(`${call}: the first argument`, shown(heap), "a heap");
  const { length } = heap.u8;
  let finding: string;
  if (typeof ptr !== "number" || ptr >>> 0 !== ptr) finding = "no address; pass a payload";
  else if (ptr === 0) finding = "NULL names no block; check what malloc returned";
  else if (!isAligned(ptr, codec.align)) finding = `not a multiple of ${codec.align}; pass an address that is`;
  else if (ptr + codec.size > length) {
    finding = `the ${codec.size} bytes from there do not lie in a buffer of ${length}; pass a live payload`;
  } else return;
  throw new HeapError("ERR_INVALID_POINTER", `${call}(${show(ptr)}): ${finding}`, ptr as Ptr);
}

function isWithin(value: unknown, min: number, max: number): value is number {
  return typeof value === "number" && value >>> 0 === value && value >= min && value <= max;
}

/** What a getter or a locator throws. */
function lost(ptr: Address): HeapError {
  let finding = "the field lies outside the buffer";
  if (typeof ptr !== "number" || ptr >>> 0 !== ptr) finding = "no address";
  else if (ptr === 0) finding = "NULL names no block";
  return new HeapError("ERR_INVALID_POINTER", `${show(ptr)}: ${finding}; pass a live payload`, ptr as Ptr);
}

/** What a setter throws. */
function unfit(ptr: Address, value: unknown): HeapError {
  if (typeof ptr !== "number" || ptr >>> 0 !== ptr) return lost(ptr);
  const finding = `the value is ${shown(value)}; pass one of the field's type`;
  return new HeapError("ERR_INVALID_ARGUMENT", `set(${show(ptr)}): ${finding}`, ptr as Ptr);
}

function refuse(what: string, found: string, wanted: string): never {
  throw new HeapError("ERR_INVALID_ARGUMENT", `${what} is ${found}; pass ${wanted}`);
}

/** As `show`, but with numbers in decimal: they are values here, not addresses. */
function shown(value: unknown): string {
  return typeof value === "number" ? String(value) : show(value);
}
