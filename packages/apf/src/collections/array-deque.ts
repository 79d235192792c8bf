/**
 * A queue with two ends.
 *
 * @module
 */
import { asPtr, type Codec, type Heap, type HeapBuffer, type Ptr } from "@heapwright/core";

import {
  Collection,
  type CollectionOptions,
  CONTROL,
  elementAt,
  expectCodec,
  expectCount,
  findControl,
  KIND,
  makeControl,
  takeBlock,
} from "./collection.ts";
import { Scratch } from "./scratch.ts";

const FIRST_CAPACITY = 8;

/** A ring of elements in the heap, which grows. */
export class ArrayDeque<T> extends Collection implements Iterable<T> {
  readonly #codec: Codec<T>;
  readonly #scratch: Scratch;

  /**
   * Makes an empty queue.
   *
   * @param codec - of an element
   * @param options - where
   * @throws HeapError `ERR_INVALID_ARGUMENT`, `ERR_OUT_OF_MEMORY`
   */
  constructor(codec: Codec<T>, options?: CollectionOptions);
  /** @internal */
  constructor(codec: Codec<T>, options: undefined, found: ReturnType<typeof findControl>);
  constructor(codec: Codec<T>, options?: CollectionOptions, found?: ReturnType<typeof findControl>) {
    expectCodec("new ArrayDeque", codec);
    super(...(found ?? makeControl("new ArrayDeque", KIND.DEQUE, codec.size, options)));
    this.#codec = codec;
    this.#scratch = new Scratch(codec.size);
  }

  /** Opens a queue that is in a heap already. @throws HeapError `ERR_NOT_A_HEAP`, `ERR_INVALID_ARGUMENT` */
  static attach<T>(codec: Codec<T>, heap: Heap<HeapBuffer>, handle: Ptr, options?: CollectionOptions): ArrayDeque<T> {
    expectCodec("ArrayDeque.attach", codec);
    const found = findControl("ArrayDeque.attach", KIND.DEQUE, codec.size, heap, handle, options);
    return new ArrayDeque(codec, undefined, found);
  }

  /** Appends. Amortised O(1). @throws HeapError `ERR_OUT_OF_MEMORY`, `ERR_INVALID_ARGUMENT`; nothing has changed then */
  push_back(value: T): void {
    const { length } = this;
    this.#scratch.write(this.#codec, value);
    this.#reserve("push_back", length + 1);
    this.#scratch.copyTo(this.heap, this.#at(length));
    CONTROL.set.length(this.heap, this.handle, length + 1);
  }

  /** Puts a value in front of the others. Amortised O(1). @throws HeapError as `push_back` */
  push_front(value: T): void {
    const { length } = this;
    this.#scratch.write(this.#codec, value);
    this.#reserve("push_front", length + 1);
    const capacity = CONTROL.get.capacity(this.heap, this.handle);
    this.#scratch.copyTo(this.heap, this.#at(capacity - 1));
    this.#advance(capacity - 1);
    CONTROL.set.length(this.heap, this.handle, length + 1);
  }

  /** Removes the last element. @returns it; `undefined` when there is none */
  pop_back(): T | undefined {
    const { length } = this;
    const value = this.get(length - 1 < 0 ? 0 : length - 1);
    if (length > 0) CONTROL.set.length(this.heap, this.handle, length - 1);
    return value;
  }

  /** Removes the first element. @returns it; `undefined` when there is none */
  pop_front(): T | undefined {
    const { length } = this;
    if (length === 0) return undefined;
    const value = this.get(0);
    this.#advance(1);
    CONTROL.set.length(this.heap, this.handle, length - 1);
    return value;
  }

  /** @returns an element, counted from the front; `undefined` beyond the end. @throws HeapError `ERR_INVALID_ARGUMENT` */
  get(index: number): T | undefined {
    expectCount("get", "the index", index);
    return index < this.length ? this.#codec.read(this.heap, this.#at(index)) : undefined;
  }

  override clear(): void {
    CONTROL.set.length(this.heap, this.handle, 0);
  }

  /** The elements from the front. It must not change meanwhile. */
  *iter(): Generator<T> {
    for (let i = 0; i < this.length; i += 1) yield this.#codec.read(this.heap, this.#at(i));
  }

  [Symbol.iterator](): Generator<T> {
    return this.iter();
  }

  /** Moves the beginning by so many places. */
  #advance(places: number): void {
    const { heap, handle } = this;
    CONTROL.set.first(heap, handle, (CONTROL.get.first(heap, handle) + places) % CONTROL.get.capacity(heap, handle));
  }

  #at(index: number): Ptr {
    const { heap } = this;
    const control = this.expectAlive("ArrayDeque");
    const place = (CONTROL.get.first(heap, control) + index) % CONTROL.get.capacity(heap, control);
    return elementAt(this.#codec, CONTROL.get.region(heap, control), place);
  }

  /** Makes room for so many elements: those of a ring that has become larger begin at its beginning. */
  #reserve(call: string, count: number): void {
    const control = this.expectAlive(call);
    if (count <= CONTROL.get.capacity(this.heap, control)) return;
    const { capacity, region, first, length } = CONTROL.read(this.heap, control);
    const wanted = Math.max(2 * capacity, FIRST_CAPACITY);
    const { size } = this.#codec;
    const larger = takeBlock(call, this.backing, wanted * size);
    const front = Math.min(length, capacity - first);
    this.heap.u8.copyWithin(larger, region + first * size, region + (first + front) * size);
    this.heap.u8.copyWithin(larger + front * size, region, region + (length - front) * size);
    CONTROL.set.region(this.heap, this.handle, larger);
    CONTROL.set.capacity(this.heap, this.handle, wanted);
    CONTROL.set.first(this.heap, this.handle, 0);
    this.backing.free(asPtr(region));
  }
}
