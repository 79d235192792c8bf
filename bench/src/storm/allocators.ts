/**
 * The allocators that a storm goes over: the heap itself and what is made on it. One more is one more row here.
 *
 * @module
 */
import { ApfAllocator } from "@heapwright/apf";
import { asPtr, type Ptr, type SharedHeap } from "@heapwright/core";
import type { Random } from "@heapwright/core/testing";
import { FixedMemPool, VariadicMemPool } from "@heapwright/pool";

import { believeApf, believePool, takenBy } from "./insides.ts";

/** An allocator under the storm, as one agent sees it. */
export interface Stormed {
  readonly name: string;
  malloc(size: number): Ptr;
  free(ptr: Ptr): void;
  calloc?(count: number, size: number): Ptr;
  realloc?(ptr: Ptr, size: number): Ptr;
  alignedAlloc?(alignment: number, size: number): Ptr;
  blocks(): Iterable<{ readonly ptr: Ptr; readonly size: number; readonly state: string }>;
  check(): void;
  /** Blocks of the heap that are the allocator's own. */
  taken(): Iterable<Ptr>;
  /** Ends it. */
  destroy(): void;
}

/** A kind of allocator. */
export interface Kind {
  readonly name: string;
  /** How often it is chosen, relative to the others. */
  readonly weight: number;
  /** Draws a size. */
  size(random: Random): number;
  /** Invariants that say what agents hold without the lock: not to be judged while they run. */
  readonly unjudged: RegExp;
  /** Makes it in a heap that programs are to share. Its handle is what others open it by. */
  make(heap: SharedHeap): number;
  /** Has it believe, in a copy of a heap, that nobody has died. */
  believe(copy: SharedHeap, handle: number): void;
  open(heap: SharedHeap, handle: number): Stormed;
}

const FIXED_BYTES = 48;

const HEAP: Kind = {
  name: "heap",
  weight: 6,
  size(random) {
    const kind = random();
    if (kind < 0.3) return Math.floor(random() * 1001);
    if (kind < 0.97) return 1001 + Math.floor(random() ** 2 * 12_000);
    return 10_000 + Math.floor(random() * 90_000);
  },
  unjudged: /invariant 9\b/,
  make: () => 0,
  believe: () => {},
  open: (heap) => ({
    name: "heap",
    malloc: (size) => heap.malloc(size),
    free: (ptr) => heap.free(ptr),
    calloc: (count, size) => heap.calloc(count, size),
    realloc: (ptr, size) => heap.realloc(ptr, size),
    alignedAlloc: (alignment, size) => heap.alignedAlloc(alignment, size),
    blocks: () => heap.blocks(),
    check: () => heap.check(),
    taken: () => [],
    destroy: () => {},
  }),
};

const FIXED: Kind = {
  name: "fixed pool",
  weight: 1,
  size: (random) => Math.floor(random() * (FIXED_BYTES + 1)),
  unjudged: /invariant 7\b/,
  make: (heap) => new FixedMemPool(FIXED_BYTES, 40, { backing: heap }).handle,
  believe: believePool,
  open(heap, handle) {
    const pool = FixedMemPool.attach(heap, asPtr(handle));
    return {
      name: "fixed pool",
      malloc: (size) => pool.malloc(size),
      free: (ptr) => pool.free(ptr),
      blocks: () => pool.blocks(),
      check: () => pool.check(),
      taken: () => takenBy(pool),
      destroy: () => pool.destroy(),
    };
  },
};

const VARIADIC: Kind = {
  name: "variadic pool",
  weight: 3,
  size: (random) => Math.floor(random() ** 2 * 3000),
  unjudged: /(?!)/,
  make: (heap) => new VariadicMemPool(16_384, 20, { backing: heap }).handle,
  believe: believePool,
  open(heap, handle) {
    const pool = VariadicMemPool.attach(heap, asPtr(handle));
    return {
      name: "variadic pool",
      malloc: (size) => pool.malloc(size),
      free: (ptr) => pool.free(ptr),
      blocks: () => pool.blocks(),
      check: () => pool.check(),
      taken: () => takenBy(pool),
      destroy: () => pool.destroy(),
    };
  },
};

const APF: Kind = {
  name: "apf",
  weight: 3,
  size(random) {
    const kind = random();
    if (kind < 0.6) return Math.floor(random() ** 2 * 600);
    if (kind < 0.95) return Math.floor(random() ** 2 * 5000);
    return Math.floor(random() * 40_000);
  },
  unjudged: /invariant [679]\b/,
  // A tuner that changes its mind all the time, so that caches are filled and emptied more often.
  make: (heap) => new ApfAllocator({ backing: heap, targetApf: 12, burstLength: 30, hibernationPeriod: 50 }).handle,
  believe: believeApf,
  open(heap, handle) {
    const apf = ApfAllocator.attach(heap, asPtr(handle));
    return {
      name: "apf",
      malloc: (size) => apf.malloc(size),
      free: (ptr) => apf.free(ptr),
      calloc: (count, size) => apf.calloc(count, size),
      realloc: (ptr, size) => apf.realloc(ptr, size),
      alignedAlloc: (alignment, size) => apf.alignedAlloc(alignment, size),
      blocks: () => apf.blocks(),
      check: () => apf.check(),
      taken: () => takenBy(apf),
      destroy: () => apf.destroy(),
    };
  },
};

/** All of them; a block's `allocator` is its number here. */
export const KINDS: readonly Kind[] = [HEAP, FIXED, VARIADIC, APF];

/** The name under which a heap keeps an allocator's handle. */
export function rootOf(kind: Kind): string {
  return `storm ${kind.name}`;
}

/** Opens what another agent has made. */
export function openAll(heap: SharedHeap): Stormed[] {
  return KINDS.map((kind) => kind.open(heap, heap.root(rootOf(kind))));
}

/** Draws a kind by its weight. */
export function draw(random: Random): number {
  const sum = KINDS.reduce((total, { weight }) => total + weight, 0);
  let left = random() * sum;
  for (const [number, { weight }] of KINDS.entries()) {
    left -= weight;
    if (left < 0) return number;
  }
  return 0;
}
