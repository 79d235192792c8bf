/** What a test makes: pools are checked and everything is destroyed after it, and nothing may be left in the heaps. */
import { type Allocator, Heap, type HeapBuffer, NULL, type Ptr } from "@heapwright/core";
import { afterEach, expect } from "vitest";

import {
  type AllocatedPointer,
  type BackingOptions,
  mem_pointer_allocate,
  MemoryArena,
  type MemoryContainer,
  MemoryPointer,
  MemoryPool,
  type PoolOptions,
} from "../src/index.ts";

const made: (MemoryPool | MemoryPointer | MemoryContainer | MemoryArena)[] = [];
const heaps = new Set<Heap<HeapBuffer>>();
let isShared = false;

afterEach(() => {
  const things = made.splice(0);
  for (const thing of things) {
    if (thing instanceof MemoryPool && thing.state !== undefined && !thing.state.isDestroyed) thing.check();
    if (thing instanceof MemoryArena && thing.control < 2 ** 30) thing.check();
  }
  for (const thing of things.reverse()) thing[Symbol.dispose]();
  const opened = [...heaps];
  heaps.clear();
  for (const heap of opened) {
    heap.check();
    const { liveBlocks } = heap.stats();
    if (liveBlocks !== 0) throw new Error(`${liveBlocks} blocks were left in the heap`);
  }
});

/** Makes the heaps of this test file shared ones. */
export function inSharedHeaps(): void {
  isShared = true;
}

export function heapOf(bytes: number = 1 << 20, maxBytes: number = bytes): Heap<HeapBuffer> {
  const heap: Heap<HeapBuffer> = isShared
    ? new Heap({ bytes: Math.max(1 << 17, bytes), maxBytes: Math.max(1 << 17, maxBytes), shared: true })
    : new Heap(maxBytes === bytes ? { bytes } : { bytes, maxBytes });
  heaps.add(heap);
  return heap;
}

/** Destroys something after the test, before what was made before it. */
export function keep<T extends MemoryPool | MemoryPointer | MemoryContainer | MemoryArena>(thing: T): T {
  made.push(thing);
  return thing;
}

export function poolOf(capacity: number, options: PoolOptions = {}): MemoryPool {
  return keep(new MemoryPool(capacity, { backing: heapOf(), ...options }));
}

/** A pointer with a container of `size` bytes. */
export function allocated(
  pool: MemoryPool,
  name: string,
  size: number,
  options: BackingOptions = {},
): AllocatedPointer {
  const pointer = keep(new MemoryPointer(name, size, { backing: pool.backing, ...options }));
  if (!mem_pointer_allocate(pointer, size, pool)) throw new Error(`no room for ${size} bytes`);
  return pointer;
}

/** What must be there. */
export function got<T>(value: T | null): T {
  expect(value).not.toBeNull();
  expect(value).not.toBe(NULL);
  return value as T;
}

/** The bytes of a container's data, or of a block. */
export function bytesOf(heap: Heap<HeapBuffer>, ptr: Ptr, size: number): number[] {
  return [...heap.bytes(ptr, size)];
}

/** A heap's bytes before and after an act are the same. */
export function unchanged(heap: Heap<HeapBuffer>, act: () => void): void {
  const before = new Uint8Array(heap.image());
  act();
  const after = new Uint8Array(heap.image());
  expect(after.length).toBe(before.length);
  expect(after.findIndex((byte, at) => byte !== before[at])).toBe(-1);
}

/** A heap as a backing that fails at its n-th allocation, or at all from there on. */
export class Failing implements Allocator {
  readonly heap: Heap<HeapBuffer>;
  failAt: number;
  isLasting: boolean;
  calls = 0;
  /** Bytes that were refused last. */
  refused = 0;

  constructor(heap: Heap<HeapBuffer>, failAt: number = Infinity, isLasting: boolean = true) {
    this.heap = heap;
    this.failAt = failAt;
    this.isLasting = isLasting;
  }

  malloc(size: number): Ptr {
    return this.#fails(size) ? NULL : this.heap.malloc(size);
  }
  alignedAlloc(alignment: number, size: number): Ptr {
    return this.#fails(size) ? NULL : this.heap.alignedAlloc(alignment, size);
  }
  free(ptr: Ptr): void {
    this.heap.free(ptr);
  }
  usableSize(ptr: Ptr): number {
    return this.heap.usableSize(ptr);
  }

  #fails(size: number): boolean {
    this.calls += 1;
    const fails = this.isLasting ? this.calls >= this.failAt : this.calls === this.failAt;
    if (fails) this.refused = size;
    return fails;
  }
}
