/** Every public function, given what it cannot use: the documented result or a HeapError, and no byte of the heap changed. */
import { asPtr, Heap, HeapError, NULL, type Ptr } from "@heapwright/core";
import { describe, expect, test } from "vitest";

import * as api from "../src/index.ts";
import { RmState } from "../src/index.ts";
import { got, Spy, stateOf, unchanged } from "./made.ts";

const strangers: [name: string, value: unknown][] = [
  ["undefined", undefined],
  ["null", null],
  ["a string", "8"],
  ["a bigint", 8n],
  ["a symbol", Symbol("8")],
  ["an object", { valueOf: () => 8 }],
  ["an array", [8]],
  ["a function", () => 8],
  ["true", true],
];
const noSizes: [name: string, value: number][] = [
  ["NaN", NaN],
  ["-1", -1],
  ["1.5", 1.5],
  ["Infinity", Infinity],
];
const noAddresses: [name: string, value: number][] = [...noSizes, ["2^32", 2 ** 32], ["-2^31", -(2 ** 31)]];

/** Calls with what the compiler would refuse. */
const call = (fn: unknown, ...args: unknown[]): unknown => Reflect.apply(fn as () => unknown, undefined, args);
const codeOf = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    if (error instanceof HeapError) return error.code;
    throw error;
  }
  return "none";
};

function made(): { state: RmState; ptr: Ptr } {
  const state = stateOf(16, { deallocators: [() => {}] });
  return { state, ptr: got(state.malloc(40)) };
}

describe("pointers", () => {
  const { rm_attach, rm_detach, rm_release, rm_retain } = api;

  test.each(strangers)("%s is ERR_INVALID_ARGUMENT on both faces", (_, value) => {
    const { state, ptr } = made();
    unchanged(state.heap, () => {
      for (const fn of [rm_attach, rm_detach, rm_release, rm_retain]) {
        expect(codeOf(() => call(fn, state, value))).toBe("ERR_INVALID_ARGUMENT");
      }
      for (const name of ["attach", "retain", "release", "detach", "count", "hold"] as const) {
        expect(codeOf(() => call(state[name].bind(state), value))).toBe("ERR_INVALID_ARGUMENT");
      }
    });
    state.release(ptr);
  });

  test.each([...noAddresses, ["NULL", 0] as const])("%s is unknown", (_, value) => {
    const { state, ptr } = made();
    const address = asPtr(value);
    unchanged(state.heap, () => {
      expect([rm_attach(state, address), rm_detach(state, address)]).toEqual([-1, -1]);
      rm_retain(state, address);
      rm_release(state, address);
      for (const name of ["attach", "retain", "release", "detach"] as const) {
        expect(codeOf(() => call(state[name].bind(state), value))).toBe("ERR_INVALID_POINTER");
      }
      expect(state.count(address)).toBe(0);
    });
    state.release(ptr);
  });

  test("what was never tracked, or is no longer, is unknown; messages say so", () => {
    const { state, ptr } = made();
    unchanged(state.heap, () => {
      const inside = asPtr(ptr + 8);
      expect(() => state.retain(inside)).toThrow(
        `retain(0x${inside.toString(16)}): not tracked by this state, or no longer; pass a pointer that it allocated or that was attached to it`,
      );
      expect(() => state.attach(ptr)).toThrow(
        `attach(0x${ptr.toString(16)}): tracked already, with 1 reference; attach a pointer once, and retain it from there on`,
      );
      expect(() => state.attach(NULL)).toThrow("attach(0x0): NULL names no block; check what malloc returned");
    });
    state.release(ptr);
  });
});

describe("sizes", () => {
  test.each(strangers.filter(([name]) => name !== "undefined"))("%s", (_, value) => {
    const { state, ptr } = made();
    unchanged(state.heap, () => {
      expect(codeOf(() => call(api.rm_malloc, state, value))).toBe("ERR_INVALID_ARGUMENT");
      expect(codeOf(() => call(state.malloc.bind(state), value))).toBe("ERR_INVALID_ARGUMENT");
    });
    state.release(ptr);
  });

  test.each(noSizes)("%s is NULL to the document, and thrown by the class", (_, value) => {
    const { state, ptr } = made();
    unchanged(state.heap, () => {
      expect(api.rm_malloc(state, value)).toBe(NULL);
      expect(codeOf(() => state.malloc(value))).toBe("ERR_INVALID_ARGUMENT");
    });
    state.release(ptr);
  });

  test.each([2 ** 32, 2 ** 53, 1e300])("%d bytes are not to be had", (value) => {
    const { state, ptr } = made();
    expect([api.rm_malloc(state, value), state.malloc(value)]).toEqual([NULL, NULL]);
    expect(state.stats().pointers).toBe(1);
    state.release(ptr);
  });
});

describe("states", () => {
  test.each([...strangers, ["a number", 8], ["a heap", new Heap({ bytes: 1 << 16 })]])("%s is none", (_, value) => {
    const calls: [unknown, ...unknown[]][] = [
      [api.rm_destroy_state],
      [api.rm_malloc, 8],
      [api.rm_attach, 8],
      [api.rm_retain, 8],
      [api.rm_release, 8],
      [api.rm_detach, 8],
      [api.rm_scope, () => 1],
    ];
    for (const [fn, ...args] of calls) {
      expect(codeOf(() => call(fn, value, ...args))).toBe("ERR_INVALID_ARGUMENT");
    }
  });

  test("hash_size is a whole number from 1", () => {
    const backing = new Heap({ bytes: 1 << 18 });
    for (const [name, value] of [...strangers.filter(([, one]) => one !== undefined), ...noSizes, ["0", 0]] as const) {
      expect(
        codeOf(() => call(api.rm_create_state, value, { backing })),
        name,
      ).toBe("ERR_INVALID_ARGUMENT");
    }
    for (const value of [2 ** 31, 2 ** 53 - 1, 1e300]) {
      expect(codeOf(() => api.rm_create_state(value, { backing }))).toBe("ERR_OUT_OF_MEMORY");
    }
    expect(backing.stats().liveBlocks).toBe(0);
  });

  test("options of the wrong type are refused by both ways to a state", () => {
    const heap = new Heap({ bytes: 1 << 18 });
    const state = new RmState(16, { backing: heap });
    const bad: unknown[] = [
      null,
      8,
      { backing: {} },
      { backing: 8 },
      { deallocators: {} },
      { deallocators: [8] },
      { deallocators: [undefined] },
      { deallocators: Array.from({ length: 64 }, () => () => {}) },
      { debug: 1 },
      { stacks: "yes" },
      { report: "console" },
    ];
    unchanged(heap, () => {
      for (const options of bad) {
        expect(codeOf(() => call(api.rm_create_state, 16, options))).toBe("ERR_INVALID_ARGUMENT");
        expect(codeOf(() => call(RmState.attach, heap, state.handle, options))).toBe("ERR_INVALID_ARGUMENT");
      }
      for (const [, value] of strangers) {
        expect(codeOf(() => call(RmState.attach, value, state.handle))).toBe("ERR_INVALID_ARGUMENT");
        expect(codeOf(() => call(RmState.attach, heap, value))).toBe("ERR_INVALID_ARGUMENT");
      }
    });
    state.destroy();
  });

  test("a deallocator that was not registered is refused, and so is what is none", () => {
    const { state, ptr } = made();
    unchanged(state.heap, () => {
      for (const value of [() => {}, null, 8, "free"]) {
        expect(codeOf(() => call(api.rm_attach, state, asPtr(0x100), value))).toBe("ERR_INVALID_ARGUMENT");
        expect(codeOf(() => call(state.attach.bind(state), asPtr(0x100), value))).toBe("ERR_INVALID_ARGUMENT");
      }
    });
    state.release(ptr);
  });

  test("rm_scope wants a function", () => {
    const { state, ptr } = made();
    for (const value of [undefined, null, 8, {}]) {
      expect(codeOf(() => call(api.rm_scope, state, value))).toBe("ERR_INVALID_ARGUMENT");
    }
    state.release(ptr);
  });
});

test("what a function without a result could not do is reported, and what is tracked stays", () => {
  const said: string[] = [];
  const backing = new Spy();
  const state = stateOf(16, { backing, report: (message) => said.push(message) });
  const ptr = got(state.malloc(40));
  backing.heap.free(ptr);
  api.rm_release(state, ptr);
  expect(said).toEqual([expect.stringContaining("the block is free already")]);
  state.detach(ptr);
});

test("the n-th allocation fails: NULL or ERR_OUT_OF_MEMORY, nothing is lost, and the state works on", () => {
  for (let left = 0; left < 12; left += 1) {
    const backing = new Spy();
    backing.left = left;
    let state: RmState | undefined;
    const code = codeOf(() => (state = new RmState(1, { backing })));
    expect(code).toBe(left < 2 ? "ERR_OUT_OF_MEMORY" : "none");
    expect(backing.heap.stats().liveBlocks).toBe(left < 2 ? 0 : 2);
    if (state === undefined) continue;
    const ptrs: Ptr[] = [];
    for (let ptr = state.malloc(8); ptr !== NULL; ptr = state.malloc(8)) ptrs.push(ptr);
    state.check();
    expect(state.stats().pointers).toBe(ptrs.length);
    backing.left = Infinity;
    for (let i = 0; i < 500; i += 1) ptrs.push(got(state.malloc(8)));
    state.check();
    for (const ptr of ptrs) expect(state.release(ptr)).toBe(0);
    state.destroy();
    expect(backing.heap.stats().liveBlocks).toBe(0);
  }
});

test("a table that cannot grow leaves attach with -1, and the state as it was", () => {
  const backing = new Spy();
  const state = stateOf(1, { backing });
  backing.left = 0;
  let address = 8;
  while (api.rm_attach(state, asPtr(address)) === 0) address += 8;
  expect(address).toBeGreaterThan(8);
  unchanged(backing.heap, () => {
    expect(api.rm_attach(state, asPtr(address))).toBe(-1);
    expect(state.attach(asPtr(address))).toBe(false);
  });
  state.check();
  backing.left = Infinity;
  expect(api.rm_attach(state, asPtr(address))).toBe(0);
  for (const { ptr } of state) state.detach(ptr);
});
