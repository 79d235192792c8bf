/**
 * What the collections have in common: a control block, and regions, all of them blocks of the backing itself. No collection
 * ever calls malloc of an apf allocator, so no tuner sees it.
 *
 * ```text
 *   handle ->
 *   +0    magic     "APFC"
 *   +4    kind      1: array, 2: deque, 3: map
 *   +8    bytes     of an element, or of a node of a map
 *   +12   length    elements
 *   +16   capacity  elements that the region has room for
 *   +20   region    the elements, 0: none yet
 *   +24   first     deque: index of the first element; map: the first free node + 1, 0: none
 *   +28   carved    map: nodes that were ever used
 *   +32   buckets   map: block of the heads of chains, 0: none yet
 *   +36   bucketCount
 * ```
 *
 * @module
 */
import {
  type Allocator,
  asPtr,
  type Codec,
  defaultHeap,
  type Heap,
  type HeapBuffer,
  HeapError,
  NULL,
  type Ptr,
  type ScalarCodec,
  struct,
  type StructCodec,
  u32,
} from "@heapwright/core";

import { badArgument, destroyed, isCount, show } from "../misuse.ts";
import { isHeld } from "../owning.ts";

type Word = ScalarCodec<number>;

/** The control block. */
export const CONTROL: StructCodec<{
  magic: Word;
  kind: Word;
  bytes: Word;
  length: Word;
  capacity: Word;
  region: Word;
  first: Word;
  carved: Word;
  buckets: Word;
  bucketCount: Word;
}> = /* @__PURE__ */ struct({
  magic: u32,
  kind: u32,
  bytes: u32,
  length: u32,
  capacity: u32,
  region: u32,
  first: u32,
  carved: u32,
  buckets: u32,
  bucketCount: u32,
});

const MAGIC = 0x43465041;
export const KIND = { ARRAY: 1, DEQUE: 2, MAP: 3 } as const;

/** Where a collection lies. */
export interface CollectionOptions {
  /** Serves its regions. @defaultValue the default heap, whichever allocator is the global one */
  readonly backing?: Allocator;
}

/** A cursor over a control block: all that a collection knows lies in the heap. */
export abstract class Collection {
  /** The heap whose bytes the pointers are offsets of. */
  readonly heap: Heap<HeapBuffer>;
  /** Serves the regions. */
  readonly backing: Allocator;
  #control: Ptr;

  /** @internal */
  constructor(backing: Allocator, control: Ptr) {
    this.heap = backing.heap;
    this.backing = backing;
    this.#control = control;
  }

  /** The control block: `attach` opens the same collection by it. */
  get handle(): Ptr {
    return this.expectAlive("handle");
  }

  /** Elements. */
  get length(): number {
    return CONTROL.get.length(this.heap, this.expectAlive("length"));
  }

  /** Removes every element. The regions stay, for others. */
  abstract clear(): void;

  /**
   * Gives all memory back to the backing.
   *
   * @throws HeapError `ERR_DESTROYED` the second time
   */
  destroy(): void {
    const control = this.expectAlive("destroy");
    const { region, buckets } = CONTROL.read(this.heap, control);
    this.heap.bytes(control, CONTROL.size).fill(0);
    this.#control = NULL;
    for (const block of [region, buckets, control]) this.backing.free(asPtr(block));
  }

  /** As `destroy`, for `using`; harmless when the collection is gone. */
  [Symbol.dispose](): void {
    if (this.#control !== NULL && CONTROL.get.magic(this.heap, this.#control) === MAGIC) this.destroy();
  }

  /** @internal The control block, after a look at the magic. */
  expectAlive(call: string): Ptr {
    if (this.#control === NULL || CONTROL.get.magic(this.heap, this.#control) !== MAGIC) throw destroyed(call);
    return this.#control;
  }
}

/** @internal Makes a control block for elements of so many bytes. */
export function makeControl(
  call: string,
  kind: number,
  bytes: number,
  options: CollectionOptions | undefined,
): [backing: Allocator, control: Ptr] {
  const backing = backingOf(call, options);
  const control = takeBlock(call, backing, CONTROL.size);
  CONTROL.write(backing.heap, control, {
    magic: MAGIC,
    kind,
    bytes,
    length: 0,
    capacity: 0,
    region: 0,
    first: 0,
    carved: 0,
    buckets: 0,
    bucketCount: 0,
  });
  return [backing, control];
}

/** @internal Finds a control block that is in a heap already. */
export function findControl(
  call: string,
  kind: number,
  bytes: number,
  heap: Heap<HeapBuffer>,
  handle: Ptr,
  options: CollectionOptions | undefined,
): [backing: Allocator, control: Ptr] {
  const backing = backingOf(call, { backing: heap, ...options });
  if (typeof handle !== "number") throw badArgument(call, "the handle", handle, "a collection's handle");
  const isPossible = handle >>> 0 === handle && handle % 8 === 0 && handle !== 0;
  const isThere = isPossible && handle + CONTROL.size <= heap.buffer.byteLength;
  if (!isThere || CONTROL.get.magic(heap, handle) !== MAGIC || CONTROL.get.kind(heap, handle) !== kind) {
    const finding = "no such collection there; pass what `handle` of one gave";
    throw new HeapError("ERR_NOT_A_HEAP", `${call}(${show(handle)}): ${finding}`, handle);
  }
  const found = CONTROL.get.bytes(heap, handle);
  if (found !== bytes) throw badArgument(call, "the codec", `${bytes} bytes`, `one of ${found} bytes`);
  return [backing, handle];
}

/** @internal A block of the backing, or the error that there is none. */
export function takeBlock(call: string, backing: Allocator, bytes: number): Ptr {
  const block = bytes > 0xffff_ffff ? NULL : backing.malloc(bytes);
  if (block !== NULL) return block;
  throw new HeapError("ERR_OUT_OF_MEMORY", `${call}: the backing has no ${bytes} bytes; free some`);
}

/** @internal Refuses what is no codec. */
export function expectCodec(call: string, codec: unknown): void {
  if (!isHeld(codec)) throw badArgument(call, "the codec", codec, "one of core's");
}

/** @internal Refuses what is no index of an element. */
export function expectIndex(call: string, index: unknown, length: number): void {
  if (isCount(index) && index < length) return;
  throw badArgument(call, "the index", index, length === 0 ? "none: it is empty" : `0 to ${length - 1}`);
}

/** @internal Refuses what is no number of elements. */
export function expectCount(call: string, name: string, value: unknown): void {
  if (!isCount(value)) throw badArgument(call, name, value, "a whole number from 0");
}

/** @internal Where element `index` of a region lies. */
export function elementAt(codec: Codec, region: number, index: number): Ptr {
  return asPtr(region + index * codec.size);
}

function backingOf(call: string, options: unknown): Allocator {
  if (options !== undefined && (typeof options !== "object" || options === null)) {
    throw badArgument(call, "options", options, "{ backing }");
  }
  const { backing } = (options ?? {}) as Partial<Record<keyof CollectionOptions, unknown>>;
  if (backing === undefined) return defaultHeap();
  const { malloc, free, heap } = Object(backing) as Partial<Record<keyof Allocator, unknown>>;
  if (typeof malloc === "function" && typeof free === "function" && typeof heap === "object") {
    return backing as Allocator;
  }
  throw badArgument(call, "backing", backing, "an allocator");
}
