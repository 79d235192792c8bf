/** One test for each statement of the document, its section named, in our own words. */
import { asPtr, defaultHeap, free, Heap, malloc, NULL } from "@heapwright/core";
import { describe, expect, test } from "vitest";

import {
  RM_DEFAULT_HASH_SIZE,
  rm_attach,
  rm_create_state,
  rm_destroy_state,
  rm_detach,
  rm_malloc,
  rm_release,
  rm_retain,
  RmState,
} from "../src/index.ts";
import * as definition from "../src/state.ts";
import { got, Spy, stateOf } from "./made.ts";

/** Runs an example as it stands: on the default heap, which is to be as it was then. */
function example(run: () => void): void {
  const { liveBlocks, liveBytes } = defaultHeap().stats();
  run();
  expect(defaultHeap().stats()).toMatchObject({ liveBlocks, liveBytes });
}

describe("rm_malloc", () => {
  test("it adds counting to what malloc allocates", () => {
    const state = stateOf();
    const ptr = got(rm_malloc(state, 100));
    expect(state.heap.usableSize(ptr)).toBeGreaterThanOrEqual(100);
    expect(state.count(ptr)).toBe(1);
    rm_release(state, ptr);
  });

  test("it counts any memory that was there before", () => {
    const state = stateOf();
    expect(rm_attach(state, asPtr(0x1234))).toBe(0);
    expect(state.count(asPtr(0x1234))).toBe(1);
    expect(rm_detach(state, asPtr(0x1234))).toBe(0);
  });

  test("all counters are in a hash table: the blocks have none of their own", () => {
    const state = stateOf(1);
    const ptr = got(rm_malloc(state, 64));
    const block = new Uint8Array(state.heap.bytes(ptr, state.heap.usableSize(ptr))).slice();
    rm_retain(state, ptr);
    expect(new Uint8Array(state.heap.bytes(ptr, block.length))).toEqual(block);
    rm_detach(state, ptr);
    state.heap.free(ptr);
  });
});

describe("API: Initialization", () => {
  test("the example makes a state of the default size and destroys it", () => {
    expect(RM_DEFAULT_HASH_SIZE).toBe(4096);
    example(() => {
      const state = rm_create_state(RM_DEFAULT_HASH_SIZE);
      rm_destroy_state(state);
    });
  });

  test("counters are in the state that functions are given: two states know nothing of each other", () => {
    const [one, other] = [stateOf(), stateOf()];
    const ptr = got(rm_malloc(one, 10));
    expect(other.count(ptr)).toBe(0);
    expect(rm_attach(other, ptr)).toBe(0);
    rm_retain(other, ptr);
    expect([one.count(ptr), other.count(ptr)]).toEqual([1, 2]);
    expect(rm_detach(other, ptr)).toBe(1);
    rm_release(one, ptr);
  });

  test("the library has no state of its own: all of it lies in the heap that the state was made in", () => {
    const heap = new Heap({ bytes: 1 << 18 });
    const state = stateOf(16, { backing: heap });
    const ptr = got(rm_malloc(state, 10));
    rm_retain(state, ptr);
    const copy = Heap.attach(heap.image());
    copy.setRoot("state", state.handle);
    const twin = RmState.attach(copy, copy.root("state"));
    expect(twin.count(ptr)).toBe(2);
    rm_release(twin, ptr);
    expect([state.count(ptr), twin.count(ptr)]).toEqual([2, 1]);
    rm_detach(state, ptr);
    heap.free(ptr);
  });

  test("any size of the table works", () => {
    for (const size of [1, 2, 3, 1000, RM_DEFAULT_HASH_SIZE]) {
      const state = stateOf(size);
      const ptrs = Array.from({ length: 300 }, () => got(rm_malloc(state, 16)));
      for (const ptr of ptrs) rm_retain(state, ptr);
      expect(ptrs.every((ptr) => state.count(ptr) === 2)).toBe(true);
      state.check();
      for (const ptr of [...ptrs, ...ptrs]) rm_release(state, ptr);
      expect(state.stats().pointers).toBe(0);
    }
  });

  test("the state is opaque, and its definition can be had", () => {
    const state = stateOf();
    expect(definition.RM_STATE.get.table(state.heap, state.handle)).toBeGreaterThan(0);
    expect(definition.RM_ENTRY.size).toBe(8);
  });
});

describe("API: Allocation and deallocation", () => {
  test("the example of malloc and release is that of malloc and free", () => {
    example(() => {
      const state = rm_create_state(RM_DEFAULT_HASH_SIZE);
      const buffer = got(rm_malloc(state, 2048));
      expect(defaultHeap().usableSize(buffer)).toBeGreaterThanOrEqual(2048);
      rm_release(state, buffer);
      rm_destroy_state(state);
    });
  });

  test("rm_malloc sets the counter to 1", () => {
    const state = stateOf();
    const ptr = got(rm_malloc(state, 2048));
    expect(state.count(ptr)).toBe(1);
    rm_release(state, ptr);
  });

  test("rm_release counts down and frees at 0, once", () => {
    const backing = new Spy();
    const state = stateOf(16, { backing });
    const ptr = got(rm_malloc(state, 2048));
    rm_retain(state, ptr);
    rm_release(state, ptr);
    expect([state.count(ptr), backing.freed]).toEqual([1, []]);
    rm_release(state, ptr);
    expect([state.count(ptr), backing.freed]).toEqual([0, [ptr]]);
  });

  test("the example of retain: three references, freed by the third release", () => {
    const backing = new Spy();
    const state = rm_create_state(RM_DEFAULT_HASH_SIZE, { backing });
    const buffer = got(rm_malloc(state, 2048));
    const counts = [state.count(buffer)];
    for (const act of [rm_retain, rm_retain, rm_release, rm_release, rm_release]) {
      act(state, buffer);
      counts.push(state.count(buffer));
    }
    expect(counts).toEqual([1, 2, 3, 2, 1, 0]);
    expect(backing.freed).toEqual([buffer]);
    rm_destroy_state(state);
    expect(backing.heap.stats().liveBlocks).toBe(0);
  });

  test("the example of attach: memory of malloc's is freed by release", () => {
    example(() => {
      const state = rm_create_state(RM_DEFAULT_HASH_SIZE);
      const buffer = got(malloc(2048));
      expect(rm_attach(state, buffer)).toBe(0);
      rm_release(state, buffer);
      rm_destroy_state(state);
    });
  });

  test("the example of detach: the references that remain are returned, and the memory stays", () => {
    example(() => {
      const state = rm_create_state(RM_DEFAULT_HASH_SIZE);
      const buffer = got(rm_malloc(state, 2048));
      rm_retain(state, buffer);
      expect(rm_detach(state, buffer)).toBe(1);
      defaultHeap().u8.fill(7, buffer, buffer + 2048);
      rm_destroy_state(state);
      free(buffer);
    });
  });

  test("detach is from the entire state: the pointer is unknown then", () => {
    const state = stateOf();
    const ptr = got(rm_malloc(state, 10));
    for (let i = 0; i < 5; i += 1) rm_retain(state, ptr);
    expect(rm_detach(state, ptr)).toBe(5);
    expect([state.count(ptr), rm_detach(state, ptr), state.stats().pointers]).toEqual([0, -1, 0]);
    rm_release(state, ptr);
    state.heap.free(ptr);
  });

  test("a size of 0 is a block as any other", () => {
    const state = stateOf();
    const [a, b] = [rm_malloc(state, 0), rm_malloc(state, 0)];
    expect(new Set([a, b, NULL]).size).toBe(3);
    for (const ptr of [a, b]) rm_release(state, ptr);
  });
});
