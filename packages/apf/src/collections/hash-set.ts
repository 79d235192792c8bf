/**
 * Values, each once: a map whose values take a byte.
 *
 * @module
 */
import { type Codec, type Heap, type HeapBuffer, type Ptr, u8 } from "@heapwright/core";

import type { CollectionOptions } from "./collection.ts";
import { HashMap } from "./hash-map.ts";

/** A set in the heap; it grows. Values are equal when all their bytes are. */
export class HashSet<T> implements Iterable<T> {
  readonly #map: HashMap<T, number>;

  /**
   * Makes an empty set.
   *
   * @param codec - of a value
   * @param options - where
   * @throws HeapError `ERR_INVALID_ARGUMENT`, `ERR_OUT_OF_MEMORY`
   */
  constructor(codec: Codec<T>, options?: CollectionOptions);
  /** @internal */
  constructor(codec: Codec<T>, options: undefined, map: HashMap<T, number>);
  constructor(codec: Codec<T>, options?: CollectionOptions, map?: HashMap<T, number>) {
    this.#map = map ?? new HashMap(codec, u8, options);
  }

  /** Opens a set that is in a heap already. @throws HeapError `ERR_NOT_A_HEAP`, `ERR_INVALID_ARGUMENT` */
  static attach<T>(codec: Codec<T>, heap: Heap<HeapBuffer>, handle: Ptr, options?: CollectionOptions): HashSet<T> {
    return new HashSet(codec, undefined, HashMap.attach(codec, u8, heap, handle, options));
  }

  /** The control block: `attach` opens the same set by it. */
  get handle(): Ptr {
    return this.#map.handle;
  }

  /** Values. */
  get length(): number {
    return this.#map.length;
  }

  /** Adds a value. @returns whether it was not there. @throws HeapError `ERR_OUT_OF_MEMORY`, `ERR_INVALID_ARGUMENT` */
  insert(value: T): boolean {
    return this.#map.insert(value, 1) === undefined;
  }

  /** Whether a value is there. @throws HeapError `ERR_INVALID_ARGUMENT` */
  contains(value: T): boolean {
    return this.#map.contains(value);
  }

  /** Removes a value. @returns whether it was there. @throws HeapError `ERR_INVALID_ARGUMENT` */
  remove(value: T): boolean {
    return this.#map.remove(value) !== undefined;
  }

  /** Removes every value. */
  clear(): void {
    this.#map.clear();
  }

  /** The values, in no order. It must not change meanwhile. */
  *iter(): Generator<T> {
    for (const [value] of this.#map) yield value;
  }

  [Symbol.iterator](): Generator<T> {
    return this.iter();
  }

  /** Gives all memory back. @throws HeapError `ERR_DESTROYED` the second time */
  destroy(): void {
    this.#map.destroy();
  }

  /** As `destroy`, for `using`; harmless when the set is gone. */
  [Symbol.dispose](): void {
    this.#map[Symbol.dispose]();
  }
}
