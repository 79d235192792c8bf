/**
 * Elements in a row.
 *
 * @module
 */
import { asPtr, type Codec, type Heap, type HeapBuffer, type Ptr } from "@heapwright/core";

import { badArgument } from "../misuse.ts";
import {
  Collection,
  type CollectionOptions,
  CONTROL,
  elementAt,
  expectCodec,
  expectCount,
  expectIndex,
  findControl,
  KIND,
  makeControl,
  takeBlock,
} from "./collection.ts";
import { Scratch } from "./scratch.ts";

const FIRST_CAPACITY = 8;

/**
 * A growing array in the heap. Exported as `Array`.
 *
 * @example
 * ```ts
 * using primes = new Array(u32);
 * primes.push(2);
 * primes.push(3);
 * primes.get(1); // 3
 * ```
 */
export class HeapArray<T> extends Collection implements Iterable<T> {
  readonly #codec: Codec<T>;
  readonly #scratch: Scratch;

  /**
   * Makes an empty array.
   *
   * @param codec - of an element
   * @param options - where
   * @throws HeapError `ERR_INVALID_ARGUMENT`, `ERR_OUT_OF_MEMORY`
   */
  constructor(codec: Codec<T>, options?: CollectionOptions);
  /** @internal */
  constructor(codec: Codec<T>, options: undefined, found: ReturnType<typeof findControl>);
  constructor(codec: Codec<T>, options?: CollectionOptions, found?: ReturnType<typeof findControl>) {
    expectCodec("new Array", codec);
    super(...(found ?? makeControl("new Array", KIND.ARRAY, codec.size, options)));
    this.#codec = codec;
    this.#scratch = new Scratch(codec.size);
  }

  /** Opens an array that is in a heap already. @throws HeapError `ERR_NOT_A_HEAP`, `ERR_INVALID_ARGUMENT` */
  static attach<T>(codec: Codec<T>, heap: Heap<HeapBuffer>, handle: Ptr, options?: CollectionOptions): HeapArray<T> {
    expectCodec("Array.attach", codec);
    const found = findControl("Array.attach", KIND.ARRAY, codec.size, heap, handle, options);
    return new HeapArray(codec, undefined, found);
  }

  /** An array of so many elements, all bytes zero. @throws HeapError `ERR_INVALID_ARGUMENT`, `ERR_OUT_OF_MEMORY` */
  static of_size<T>(codec: Codec<T>, length: number, options?: CollectionOptions): HeapArray<T> {
    const made = HeapArray.with_capacity(codec, length, options);
    const { region } = CONTROL.read(made.heap, made.handle);
    made.heap.u8.fill(0, region, region + length * codec.size);
    CONTROL.set.length(made.heap, made.handle, length);
    return made;
  }

  /** An empty array with room for so many elements. @throws HeapError `ERR_INVALID_ARGUMENT`, `ERR_OUT_OF_MEMORY` */
  static with_capacity<T>(codec: Codec<T>, capacity: number, options?: CollectionOptions): HeapArray<T> {
    expectCount("Array.with_capacity", "capacity", capacity);
    const made = new HeapArray(codec, options);
    try {
      made.#reserve("Array.with_capacity", capacity);
      return made;
    } catch (error) {
      made.destroy();
      throw error;
    }
  }

  /** Elements that it has room for. */
  get capacity(): number {
    return CONTROL.get.capacity(this.heap, this.expectAlive("capacity"));
  }

  /**
   * Appends. Amortised O(1).
   *
   * @throws HeapError `ERR_OUT_OF_MEMORY`, `ERR_INVALID_ARGUMENT` for a value that does not fit; nothing has changed then
   */
  push(value: T): void {
    const { length } = this;
    this.#scratch.write(this.#codec, value);
    this.#reserve("push", length + 1);
    this.#scratch.copyTo(this.heap, this.#at(length));
    CONTROL.set.length(this.heap, this.handle, length + 1);
  }

  /** Removes the last element. @returns it; `undefined` when there is none */
  pop(): T | undefined {
    const { length } = this;
    if (length === 0) return undefined;
    const value = this.#codec.read(this.heap, this.#at(length - 1));
    CONTROL.set.length(this.heap, this.handle, length - 1);
    return value;
  }

  /** @returns an element; `undefined` beyond the end. @throws HeapError `ERR_INVALID_ARGUMENT` for what is no index */
  get(index: number): T | undefined {
    expectCount("get", "the index", index);
    return index < this.length ? this.#codec.read(this.heap, this.#at(index)) : undefined;
  }

  /** Writes an element that is there. @throws HeapError `ERR_INVALID_ARGUMENT` for other indices and values */
  set(index: number, value: T): void {
    expectIndex("set", index, this.length);
    this.#codec.write(this.heap, this.#at(index), value);
  }

  /** Exchanges two elements. @throws HeapError `ERR_INVALID_ARGUMENT` for indices of none */
  swap(one: number, other: number): void {
    expectIndex("swap", one, this.length);
    expectIndex("swap", other, this.length);
    const value = this.#codec.read(this.heap, this.#at(one));
    this.heap.u8.copyWithin(this.#at(one), this.#at(other), this.#at(other + 1));
    this.#codec.write(this.heap, this.#at(other), value);
  }

  /** Removes an element, and moves those behind it. O(length). @throws HeapError `ERR_INVALID_ARGUMENT` */
  remove(index: number): T {
    const { length } = this;
    expectIndex("remove", index, length);
    const value = this.#codec.read(this.heap, this.#at(index));
    this.heap.u8.copyWithin(this.#at(index), this.#at(index + 1), this.#at(length));
    CONTROL.set.length(this.heap, this.handle, length - 1);
    return value;
  }

  override clear(): void {
    CONTROL.set.length(this.heap, this.handle, 0);
  }

  /** @returns bit `index` of an array of bytes, counted from the lowest of the first. @throws HeapError */
  get_bit(index: number): boolean {
    return ((this.heap.u8[this.#byteOf("get_bit", index)]! >>> (index & 7)) & 1) === 1;
  }

  /** Writes bit `index` of an array of bytes. @throws HeapError `ERR_INVALID_ARGUMENT` for no array of bytes, no index */
  set_bit(index: number, isSet: boolean): void {
    const at = this.#byteOf("set_bit", index);
    const bit = 1 << (index & 7);
    const byte = this.heap.u8[at]!;
    this.heap.u8[at] = isSet ? byte | bit : byte & ~bit;
  }

  /** @returns byte `index` of an array of bytes. @throws HeapError `ERR_INVALID_ARGUMENT` as `get_bit` */
  get_byte(index: number): number {
    expectIndex("get_byte", index, this.length);
    return this.heap.u8[this.#byteOf("get_byte", index * 8)]!;
  }

  /** The elements in order. It must not change meanwhile. */
  *iter(): Generator<T> {
    for (let i = 0; i < this.length; i += 1) yield this.#codec.read(this.heap, this.#at(i));
  }

  [Symbol.iterator](): Generator<T> {
    return this.iter();
  }

  #byteOf(call: string, bit: number): number {
    if (this.#codec.size !== 1) throw badArgument(call, "the array", `of ${this.#codec.size} bytes each`, "one of u8");
    expectIndex(call, bit, this.length * 8);
    return this.#at(bit >>> 3);
  }

  #at(index: number): Ptr {
    return elementAt(this.#codec, CONTROL.get.region(this.heap, this.expectAlive("Array")), index);
  }

  /** Makes room for so many elements. */
  #reserve(call: string, count: number): void {
    const control = this.expectAlive(call);
    if (count <= CONTROL.get.capacity(this.heap, control)) return;
    const { capacity, region } = CONTROL.read(this.heap, control);
    const wanted = Math.max(count, 2 * capacity, FIRST_CAPACITY);
    const larger = takeBlock(call, this.backing, wanted * this.#codec.size);
    this.heap.u8.copyWithin(larger, region, region + this.length * this.#codec.size);
    CONTROL.set.region(this.heap, this.handle, larger);
    CONTROL.set.capacity(this.heap, this.handle, wanted);
    this.backing.free(asPtr(region));
  }
}
