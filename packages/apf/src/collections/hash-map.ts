/**
 * Values by key.
 *
 * ```text
 *   buckets   a node + 1 for each, 0: none; the node's `next` leads on
 *   node      hash, next (a node + 1), key, value
 * ```
 *
 * A key is what its codec makes of it: keys are equal when all their bytes are, so 0 and -0 are two.
 *
 * @module
 */
import {
  asPtr,
  type Codec,
  type Heap,
  type HeapBuffer,
  NULL,
  type Ptr,
  struct,
  type StructCodec,
  u32,
} from "@heapwright/core";

import {
  Collection,
  type CollectionOptions,
  CONTROL,
  expectCodec,
  findControl,
  KIND,
  makeControl,
  takeBlock,
} from "./collection.ts";
import { Scratch } from "./scratch.ts";

const FIRST_BUCKETS = 31;

/** A node without its types. */
type Node = StructCodec<{ hash: typeof u32; next: typeof u32; key: Codec; value: Codec }>;

/** A place in a map, taken or not. */
export interface HashMapEntry<V> {
  /** The value; `undefined` when the key is not there. */
  get(): V | undefined;
  /** Writes a value unless the key is there. @returns the value that is there then */
  or_insert(value: V): V;
}

/** A hash map with chains, in the heap; it grows. */
export class HashMap<K, V> extends Collection implements Iterable<[K, V]> {
  readonly #key: Codec<K>;
  readonly #value: Codec<V>;
  readonly #node: Node;
  readonly #scratch: Scratch;
  readonly #written: Scratch;

  /**
   * Makes an empty map.
   *
   * @param key - codec of the keys
   * @param value - of the values
   * @param options - where
   * @throws HeapError `ERR_INVALID_ARGUMENT`, `ERR_OUT_OF_MEMORY`
   */
  constructor(key: Codec<K>, value: Codec<V>, options?: CollectionOptions);
  /** @internal */
  constructor(key: Codec<K>, value: Codec<V>, options: undefined, found: ReturnType<typeof findControl>);
  constructor(key: Codec<K>, value: Codec<V>, options?: CollectionOptions, found?: ReturnType<typeof findControl>) {
    expectCodec("new HashMap", key);
    expectCodec("new HashMap", value);
    const node = nodeOf(key, value);
    super(...(found ?? makeControl("new HashMap", KIND.MAP, node.size, options)));
    this.#key = key;
    this.#value = value;
    this.#node = node;
    this.#scratch = new Scratch(key.size);
    this.#written = new Scratch(value.size);
  }

  /** Opens a map that is in a heap already. @throws HeapError `ERR_NOT_A_HEAP`, `ERR_INVALID_ARGUMENT` */
  static attach<K, V>(
    key: Codec<K>,
    value: Codec<V>,
    heap: Heap<HeapBuffer>,
    handle: Ptr,
    options?: CollectionOptions,
  ): HashMap<K, V> {
    expectCodec("HashMap.attach", key);
    expectCodec("HashMap.attach", value);
    const found = findControl("HashMap.attach", KIND.MAP, nodeOf(key, value).size, heap, handle, options);
    return new HashMap(key, value, undefined, found);
  }

  /** @returns the value of a key; `undefined` when it is not there. @throws HeapError `ERR_INVALID_ARGUMENT` */
  get(key: K): V | undefined {
    const node = this.#find(key);
    return node === NULL ? undefined : this.#valueOf(node);
  }

  /** Whether a key is there. @throws HeapError `ERR_INVALID_ARGUMENT` */
  contains(key: K): boolean {
    return this.#find(key) !== NULL;
  }

  /**
   * Writes a value under a key, whether it is there or not. Amortised O(1).
   *
   * @returns the old value; `undefined` when there was none
   * @throws HeapError `ERR_OUT_OF_MEMORY`, `ERR_INVALID_ARGUMENT`; nothing has changed then
   */
  insert(key: K, value: V): V | undefined {
    const node = this.#find(key);
    if (node === NULL) {
      this.#add(value);
      return undefined;
    }
    return this.#overwrite(node, value);
  }

  /**
   * Writes a value under a key that is there.
   *
   * @returns the old value; `undefined` when the key is not there, and then nothing has changed
   * @throws HeapError `ERR_INVALID_ARGUMENT`
   */
  replace(key: K, value: V): V | undefined {
    const node = this.#find(key);
    return node === NULL ? undefined : this.#overwrite(node, value);
  }

  /** Removes a key. @returns its value; `undefined` when it was not there. @throws HeapError `ERR_INVALID_ARGUMENT` */
  remove(key: K): V | undefined {
    const node = this.#find(key);
    if (node === NULL) return undefined;
    const value = this.#valueOf(node);
    const { heap, handle } = this;
    const { hash, next } = this.#linksOf(node);
    const index = (node - this.#region) / this.#node.size + 1;
    let link = this.#bucketOf(hash);
    while (heap.u32[link >>> 2] !== index) link = this.#nextOf(heap.u32[link >>> 2]!);
    heap.u32[link >>> 2] = next;
    heap.u32[(node + this.#node.offsets.next) >>> 2] = CONTROL.get.first(heap, handle);
    CONTROL.set.first(heap, handle, index);
    CONTROL.set.length(heap, handle, this.length - 1);
    return value;
  }

  /** What is, or may be put, under a key. */
  entry(key: K): HashMapEntry<V> {
    return {
      get: () => this.get(key),
      or_insert: (value) => {
        const node = this.#find(key);
        if (node !== NULL) return this.#valueOf(node);
        return this.#valueOf(this.#add(value));
      },
    };
  }

  override clear(): void {
    const { buckets, bucketCount } = CONTROL.read(this.heap, this.expectAlive("clear"));
    this.heap.u32.fill(0, buckets >>> 2, (buckets >>> 2) + bucketCount);
    for (const field of ["length", "first", "carved"] as const) CONTROL.set[field](this.heap, this.handle, 0);
  }

  /** Keys and values, in no order. It must not change meanwhile. */
  *iter(): Generator<[K, V]> {
    const { buckets, bucketCount } = CONTROL.read(this.heap, this.expectAlive("iter"));
    for (let bucket = 0; bucket < bucketCount; bucket += 1) {
      let index = this.heap.u32[(buckets >>> 2) + bucket]!;
      while (index !== 0) {
        const node = this.#nodeAt(index);
        yield [this.#key.read(this.heap, asPtr(node + this.#node.offsets.key)), this.#valueOf(node)];
        index = this.#linksOf(node).next;
      }
    }
  }

  [Symbol.iterator](): Generator<[K, V]> {
    return this.iter();
  }

  /** The node of a key, which is in the scratch then; `NULL` when there is none. */
  #find(key: K): Ptr {
    const { heap } = this;
    this.expectAlive("HashMap");
    this.#scratch.write(this.#key, key);
    const hash = this.#scratch.hash();
    if (CONTROL.get.bucketCount(heap, this.handle) === 0) return NULL;
    let index = heap.u32[this.#bucketOf(hash) >>> 2]!;
    while (index !== 0) {
      const node = this.#nodeAt(index);
      const links = this.#linksOf(node);
      if (links.hash === hash && this.#scratch.isAt(heap, node + this.#node.offsets.key)) return node;
      index = links.next;
    }
    return NULL;
  }

  /** Makes a node of the key in the scratch. */
  #add(value: V): Ptr {
    const { heap, handle } = this;
    this.#written.write(this.#value, value);
    this.#reserve();
    const { length } = this;
    const first = CONTROL.get.first(heap, handle);
    const index = first === 0 ? CONTROL.get.carved(heap, handle) + 1 : first;
    const node = this.#nodeAt(index);
    this.#written.copyTo(heap, node + this.#node.offsets.value);
    if (first === 0) CONTROL.set.carved(heap, handle, index);
    else CONTROL.set.first(heap, handle, this.#linksOf(node).next);
    const hash = this.#scratch.hash();
    const bucket = this.#bucketOf(hash) >>> 2;
    heap.u32[(node + this.#node.offsets.hash) >>> 2] = hash;
    heap.u32[(node + this.#node.offsets.next) >>> 2] = heap.u32[bucket]!;
    this.#scratch.copyTo(heap, node + this.#node.offsets.key);
    heap.u32[bucket] = index;
    CONTROL.set.length(heap, handle, length + 1);
    return node;
  }

  #overwrite(node: Ptr, value: V): V {
    const old = this.#valueOf(node);
    this.#value.write(this.heap, asPtr(node + this.#node.offsets.value), value);
    return old;
  }

  /** Makes room for one more: twice as many buckets and nodes, and 1, when every node is used. */
  #reserve(): void {
    const { heap, handle, backing } = this;
    if (this.length < CONTROL.get.capacity(heap, handle)) return;
    const { capacity, region, buckets, carved } = CONTROL.read(heap, handle);
    const wanted = capacity === 0 ? FIRST_BUCKETS : 2 * capacity + 1;
    const nodes = takeBlock("insert", backing, wanted * this.#node.size);
    const heads = backing.malloc(wanted * 4);
    if (heads === NULL) {
      backing.free(nodes);
      takeBlock("insert", backing, wanted * 4);
    }
    heap.u8.copyWithin(nodes, region, region + carved * this.#node.size);
    heap.u32.fill(0, heads >>> 2, (heads >>> 2) + wanted);
    CONTROL.set.region(heap, handle, nodes);
    CONTROL.set.capacity(heap, handle, wanted);
    CONTROL.set.buckets(heap, handle, heads);
    CONTROL.set.bucketCount(heap, handle, wanted);
    for (let index = 1; index <= carved; index += 1) {
      const node = this.#nodeAt(index);
      const bucket = this.#bucketOf(this.#linksOf(node).hash) >>> 2;
      heap.u32[(node + this.#node.offsets.next) >>> 2] = heap.u32[bucket]!;
      heap.u32[bucket] = index;
    }
    backing.free(asPtr(region));
    backing.free(asPtr(buckets));
  }

  get #region(): number {
    return CONTROL.get.region(this.heap, this.handle);
  }

  #nodeAt(index: number): Ptr {
    return asPtr(this.#region + (index - 1) * this.#node.size);
  }

  #linksOf(node: Ptr): { hash: number; next: number } {
    const { u32: words } = this.heap;
    return {
      hash: words[(node + this.#node.offsets.hash) >>> 2]!,
      next: words[(node + this.#node.offsets.next) >>> 2]!,
    };
  }

  /** Address of the word that leads on from a node. */
  #nextOf(index: number): number {
    return this.#nodeAt(index) + this.#node.offsets.next;
  }

  /** Address of the word that leads to the nodes of a hash. */
  #bucketOf(hash: number): number {
    const { heap, handle } = this;
    return CONTROL.get.buckets(heap, handle) + (hash % CONTROL.get.bucketCount(heap, handle)) * 4;
  }

  #valueOf(node: Ptr): V {
    return this.#value.read(this.heap, asPtr(node + this.#node.offsets.value));
  }
}

function nodeOf(key: Codec, value: Codec): Node {
  return struct({ hash: u32, next: u32, key, value });
}
