/** States that a test makes: checked and destroyed after it, and nothing of them may be left in their heap. */
import { type Allocator, Heap, NULL, type Ptr } from "@heapwright/core";
import { afterEach, expect } from "vitest";

import { type RmOptions, RmState } from "../src/index.ts";

const made: RmState[] = [];

afterEach(() => {
  for (const state of made.splice(0)) {
    if (state.isDestroyed) continue;
    state.check();
    state.destroy();
  }
});

export function stateOf(hashSize: number = 64, options: RmOptions = {}): RmState {
  const { backing = new Heap({ bytes: 1 << 20, maxBytes: 1 << 26 }) } = options;
  const state = new RmState(hashSize, { ...options, backing });
  made.push(state);
  return state;
}

/** A block, which must be there. */
export function got(ptr: Ptr): Ptr {
  expect(ptr).not.toBe(NULL);
  return ptr;
}

/** An allocator that notes what it is asked to free, and fails from a certain allocation on. */
export class Spy implements Allocator {
  readonly heap: Heap;
  readonly freed: Ptr[] = [];
  /** Allocations that succeed still. */
  left = Infinity;

  constructor(heap: Heap = new Heap({ bytes: 1 << 20, maxBytes: 1 << 26 })) {
    this.heap = heap;
  }
  malloc(size: number): Ptr {
    this.left -= 1;
    return this.left < 0 ? NULL : this.heap.malloc(size);
  }
  free(ptr: Ptr): void {
    this.heap.free(ptr);
    this.freed.push(ptr);
  }
  usableSize(ptr: Ptr): number {
    return this.heap.usableSize(ptr);
  }
}

/** The heap's bytes before and after an act are the same. */
export function unchanged(heap: Allocator["heap"], act: () => void): void {
  const before = new Uint8Array(heap.image());
  act();
  const after = new Uint8Array(heap.image());
  expect(after.findIndex((byte, at) => byte !== before[at])).toBe(-1);
  expect(after.length).toBe(before.length);
}
