import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

import { asPtr, Heap, HeapError, NULL, type Ptr, setGlobalAllocator } from "@heapwright/core";
import { expect, test, vi } from "vitest";

import {
  rm_attach,
  rm_create_state,
  rm_destroy_state,
  rm_malloc,
  rm_release,
  rm_retain,
  RmState,
} from "../src/index.ts";
import { got, Spy, stateOf } from "./made.ts";

test("the backing is the global allocator, read once when the state is made", () => {
  const [first, second] = [new Spy(), new Spy()];
  try {
    setGlobalAllocator(first);
    const state = rm_create_state(8);
    setGlobalAllocator(second);
    const ptrs = Array.from({ length: 50 }, () => got(rm_malloc(state, 16)));
    expect(state.backing).toBe(first);
    for (const ptr of ptrs) rm_release(state, ptr);
    rm_destroy_state(state);
    expect([first.heap.stats().liveBlocks, second.heap.stats().footprint]).toEqual([
      0,
      new Spy().heap.stats().footprint,
    ]);
  } finally {
    setGlobalAllocator(undefined);
  }
});

test("pointers that are unknown are ignored without a word", () => {
  const error = vi.spyOn(console, "error");
  const state = stateOf();
  const ptr = got(rm_malloc(state, 8));
  rm_release(state, ptr);
  rm_release(state, ptr);
  rm_retain(state, ptr);
  expect([rm_attach(state, NULL), rm_malloc(state, -1)]).toEqual([-1, NULL]);
  expect(error).not.toHaveBeenCalled();
  error.mockRestore();
});

test("what the backing does not take back is reported, by default with console.error as it is at the call", () => {
  const state = stateOf();
  const ptr = got(rm_malloc(state, 40));
  state.heap.free(ptr);
  const error = vi.spyOn(console, "error").mockImplementation(() => {});
  rm_release(state, ptr);
  expect(error).toHaveBeenCalledExactlyOnceWith(
    `free(0x${ptr.toString(16)}): the block is free already; free each block once`,
  );
  expect(state.count(ptr)).toBe(1);
  // The heap hands it out again: it is tracked still.
  expect(rm_malloc(state, 40)).toBe(NULL);
  expect(error.mock.lastCall?.[0]).toContain("it was freed elsewhere; detach a pointer before you free it yourself");
  error.mockRestore();
  expect(state.detach(ptr)).toBe(0);
  rm_release(state, got(rm_malloc(state, 40)));
});

test("what a deallocator throws passes, unless it is the misuse that a backing would report", () => {
  const said: string[] = [];
  let thrown: Error = new Error("mine");
  const deallocator = (): void => {
    throw thrown;
  };
  const state = stateOf(8, { deallocators: [deallocator], report: (message) => said.push(message) });
  expect(rm_attach(state, asPtr(8), deallocator)).toBe(0);
  expect(() => rm_release(state, asPtr(8))).toThrow(thrown);
  thrown = new HeapError("ERR_DOUBLE_FREE", "free(0x8): elsewhere");
  rm_release(state, asPtr(8));
  expect([said, state.count(asPtr(8))]).toEqual([["free(0x8): elsewhere"], 1]);
  state.detach(asPtr(8));
});

test("memory of elsewhere: other heaps, and resources that are no memory", () => {
  const other = new Heap({ bytes: 1 << 16 });
  const closed: Ptr[] = [];
  const give = (ptr: Ptr): void => other.free(ptr);
  const close = (id: Ptr): void => void closed.push(id);
  const state = stateOf(8, { deallocators: [give, close] });
  const block = other.malloc(100);
  expect([rm_attach(state, block, give), rm_attach(state, asPtr(7), close)]).toEqual([0, 0]);
  rm_retain(state, block);
  expect([...state].map(({ ptr, count, deallocator }) => [ptr, count, deallocator])).toEqual(
    expect.arrayContaining([
      [block, 2, give],
      [7, 1, close],
    ]),
  );
  expect(state.dump()).toContain("2  give");
  for (const ptr of [block, block, asPtr(7)]) rm_release(state, ptr);
  expect([other.stats().liveBlocks, closed]).toEqual([0, [7]]);
});

test("the package has no state of its own", () => {
  const folder = new URL("../src/", import.meta.url);
  for (const file of readdirSync(folder)) {
    const text = readFileSync(new URL(file, folder), "utf8");
    // What stands at the beginning of a line is the module's.
    expect(text.match(/^(export )?(let|var) .*/gm), file).toBeNull();
    expect(text.match(/^(export )?const .*= (new (?!.*PURE)|\[|\{(?! \w)).*/gm), file).toBeNull();
    expect(text.match(/^\s*static (?!attach)\w+ ?[=:;].*/gm), file).toBeNull();
  }
});

test("loading the package makes nothing: no heap, no table", () => {
  const script = `
    const before = new Set(Reflect.ownKeys(globalThis));
    await import("@heapwright/refcount");
    await import("@heapwright/refcount/state");
    const added = Reflect.ownKeys(globalThis).filter((key) => !before.has(key));
    console.log(JSON.stringify(added.map(String)));
  `;
  const cwd = new URL("..", import.meta.url);
  const printed = execFileSync(process.execPath, ["--input-type=module", "-e", script], { cwd, encoding: "utf8" });
  expect(JSON.parse(printed)).toEqual([]);
});

test("two copies of the package work on the same state", async () => {
  vi.resetModules();
  const copy = await import("../src/index.ts");
  expect(copy.RmState).not.toBe(RmState);
  const state = stateOf(8);
  const twin = copy.RmState.attach(state.heap, state.handle);
  const ptr = got(copy.rm_malloc(twin, 16));
  rm_retain(state, ptr);
  copy.rm_release(twin, ptr);
  expect([state.count(ptr), twin.count(ptr)]).toEqual([1, 1]);
  rm_release(state, ptr);
});
