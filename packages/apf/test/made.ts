/** Allocators that a test makes: checked and destroyed after it, and nothing of them may be left in their heap. */
import { Heap, NULL, type Ptr } from "@heapwright/core";
import { allowLive } from "@heapwright/core/testing";
import { afterEach, beforeEach, expect } from "vitest";

import { ApfAllocator, type ApfOptions } from "../src/index.ts";
import { RECORD_WORDS } from "../src/layout.ts";

// An allocator keeps superblocks, which its heap takes for live.
beforeEach(() => allowLive());

const SHARED = { shared: true } as const;
const made: ApfAllocator[] = [];
const heaps = new Set<Heap>();

afterEach(() => {
  for (const apf of made.splice(0)) {
    if (apf.isDestroyed) continue;
    apf.check();
    apf.destroy();
  }
  const opened = [...heaps];
  heaps.clear();
  for (const heap of opened) {
    heap.check();
    const { liveBlocks } = heap.stats();
    if (liveBlocks !== 0) throw new Error(`an allocator left ${liveBlocks} blocks in its heap`);
  }
});

let areShared = false;

/** From here on all heaps of these tests are shared ones. */
export function inSharedHeaps(): void {
  areShared = true;
}

export function heapOf(bytes: number = 1 << 20, maxBytes?: number): Heap {
  const heap = new Heap({ bytes, ...(maxBytes === undefined ? {} : { maxBytes }), ...(areShared ? SHARED : {}) });
  heaps.add(heap);
  return heap;
}

export function apfOf(options: ApfOptions = {}): ApfAllocator {
  const apf = new ApfAllocator({ backing: heapOf(), ...options });
  made.push(apf);
  return apf;
}

/** Ends a test. For what is asserted a million times, or under a condition. */
export function fail(finding: string): never {
  throw new Error(finding);
}

/** As `expect(found).toBe(wanted)`, for the same. */
export function same(found: unknown, wanted: unknown): void {
  if (!Object.is(found, wanted)) fail(`${String(found)}, not ${String(wanted)}`);
}

/** A block, which must be there. */
export function got(ptr: Ptr): Ptr {
  if (ptr === NULL) fail("no memory");
  return ptr;
}

/** Word address of the record of a class. */
export function recordOf(apf: ApfAllocator, sizeClass: number): number {
  return apf.records + sizeClass * RECORD_WORDS;
}

/** The heap's bytes before and after an act are the same. */
export function unchanged(heap: Heap, act: () => void): void {
  const before = new Uint8Array(heap.image());
  act();
  const after = new Uint8Array(heap.image());
  expect(after.length).toBe(before.length);
  expect(after.findIndex((byte, at) => byte !== before[at])).toBe(-1);
}

/** What a HeapError of a code looks like. */
export function code(wanted: string): unknown {
  return expect.objectContaining({ name: "HeapError", code: wanted });
}
