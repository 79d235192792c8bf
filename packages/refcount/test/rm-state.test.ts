import { asPtr, Heap, HeapError, NULL, type Ptr } from "@heapwright/core";
import { describe, expect, test, vi } from "vitest";

import { RM_MAX_REFERENCES, rm_retain, rm_scope, RmState } from "../src/index.ts";
import { RM_ENTRY, RM_STATE, RM_TABLE } from "../src/state.ts";
import { got, Spy, stateOf, unchanged } from "./made.ts";

const code = (wanted: string): unknown => expect.objectContaining({ name: "HeapError", code: wanted });

test("a deallocator frees what was attached with it, and may use the state", () => {
  const freed: Ptr[] = [];
  const state: RmState = stateOf(16, {
    deallocators: [
      (ptr) => {
        freed.push(ptr);
        // It is unknown already, and may be attached anew.
        expect(state.count(ptr)).toBe(0);
        if (freed.length === 1) state.attach(ptr, state.options.deallocators?.[0]);
      },
    ],
  });
  const [deallocator] = state.options.deallocators ?? [];
  expect(state.attach(asPtr(0x8000_0000), deallocator)).toBe(true);
  expect(state.release(asPtr(0x8000_0000))).toBe(0);
  expect([freed, state.count(asPtr(0x8000_0000))]).toEqual([[0x8000_0000], 1]);
  state.release(asPtr(0x8000_0000));
  expect([freed.length, state.count(asPtr(0x8000_0000))]).toEqual([2, 0]);
});

test("what a deallocator throws is thrown, and the pointer is tracked as before", () => {
  const deallocator = (): void => {
    throw new Error("no");
  };
  const state = stateOf(16, { deallocators: [deallocator] });
  state.attach(asPtr(8), deallocator);
  expect(() => state.release(asPtr(8))).toThrow("no");
  expect(state.count(asPtr(8))).toBe(1);
  expect([...state][0]?.deallocator).toBe(deallocator);
  state.detach(asPtr(8));
});

test("counts saturate: such a pointer is kept until it is detached, and that is said once", () => {
  const said: string[] = [];
  const state = stateOf(16, { report: (message) => said.push(message) });
  const ptr = got(state.malloc(16));
  const { first } = state;
  for (let slot = first; ; slot += RM_ENTRY.size / 4) {
    if (state.heap.u32[slot] === ptr) {
      state.heap.u32[slot + 1]! += RM_MAX_REFERENCES - 3;
      break;
    }
  }
  expect(state.count(ptr)).toBe(RM_MAX_REFERENCES - 2);
  expect([state.retain(ptr), state.retain(ptr), state.retain(ptr)]).toEqual([
    RM_MAX_REFERENCES - 1,
    RM_MAX_REFERENCES,
    RM_MAX_REFERENCES,
  ]);
  rm_retain(state, ptr);
  expect(said).toEqual([
    `retain(0x${ptr.toString(16)}): more references than can be counted; the pointer is kept until it is detached`,
  ]);
  for (let i = 0; i < 10; i += 1) expect(state.release(ptr)).toBe(RM_MAX_REFERENCES);
  expect(state.detach(ptr)).toBe(RM_MAX_REFERENCES);
  state.heap.free(ptr);
});

test("iteration shows what is tracked, and the state may change meanwhile", () => {
  const state = stateOf(1);
  const ptrs = Array.from({ length: 200 }, () => got(state.malloc(8)));
  for (const ptr of ptrs.slice(0, 50)) state.retain(ptr);
  const seen: Ptr[] = [];
  for (const { ptr, count, deallocator, stack } of state) {
    expect([count, deallocator, stack]).toEqual([ptrs.indexOf(ptr) < 50 ? 2 : 1, undefined, undefined]);
    seen.push(ptr);
    // More than fit, so that the table is replaced under the iteration.
    state.malloc(8);
  }
  expect(seen.filter((ptr) => ptrs.includes(ptr)).sort((a, b) => a - b)).toEqual([...ptrs].sort((a, b) => a - b));
  expect(state.stats()).toMatchObject({ pointers: 400, references: 450 });
  expect(state.stats().longestProbe).toBeLessThanOrEqual(64);
  expect(state.dump().split("\n")).toHaveLength(2 + 400);
  for (const { ptr, count } of state) for (let i = 0; i < count; i += 1) state.release(ptr);
});

test("hold gives a reference that `using` releases, or keeps", () => {
  const backing = new Spy();
  const state = stateOf(16, { backing });
  const ptr = got(state.malloc(16));
  {
    using reference = state.hold(ptr);
    expect(reference.ptr).toBe(ptr);
    expect(backing.freed).toEqual([]);
  }
  expect(backing.freed).toEqual([ptr]);
  const other = got(state.malloc(16));
  const kept = state.hold(other);
  expect(kept.keep()).toBe(other);
  kept[Symbol.dispose]();
  expect(state.count(other)).toBe(1);
  expect(() => kept.ptr).toThrow(code("ERR_USE_AFTER_FREE"));
  expect(() => kept.keep()).toThrow(code("ERR_USE_AFTER_FREE"));
  state.release(other);
  expect(() => state.hold(other)).toThrow(code("ERR_INVALID_POINTER"));
  expect(state.hold(NULL).ptr).toBe(NULL);
});

describe("rm_scope", () => {
  test("releases what was allocated and retained through it, the last first", () => {
    const backing = new Spy();
    const state = stateOf(16, { backing });
    const outside = got(state.malloc(16));
    const made: Ptr[] = [];
    const result = rm_scope(state, (scope) => {
      made.push(scope.malloc(16), scope.malloc(16), scope.keep(scope.malloc(16)));
      expect(scope.retain(outside)).toBe(outside);
      expect(state.count(outside)).toBe(2);
      return 42;
    });
    expect([result, state.count(outside)]).toEqual([42, 1]);
    expect(backing.freed).toEqual([made[1], made[0]]);
    expect(state.count(made[2] ?? NULL)).toBe(1);
    state.release(made[2] ?? NULL);
    state.release(outside);
  });

  test("releases however the function ends, a promise when it is settled", async () => {
    const state = stateOf();
    const thrown = new Error("out");
    expect(() =>
      rm_scope(state, (scope) => {
        scope.malloc(16);
        throw thrown;
      }),
    ).toThrow(thrown);
    expect(state.stats().pointers).toBe(0);
    const pending = rm_scope(state, async (scope) => {
      const ptr = scope.malloc(16);
      await Promise.resolve();
      return state.count(ptr);
    });
    expect(state.stats().pointers).toBe(1);
    expect(await pending).toBe(1);
    expect(state.stats().pointers).toBe(0);
  });

  test("a scope that has ended is of no use", () => {
    const state = stateOf();
    const scope = rm_scope(state, (one) => one);
    for (const act of [() => scope.malloc(8), () => scope.retain(asPtr(8)), () => scope.keep(asPtr(8))]) {
      expect(act).toThrow(code("ERR_USE_AFTER_FREE"));
    }
  });
});

describe("leaks", () => {
  test("are reported in debug, at destroy, with the stack of the allocation when that is tracked", () => {
    for (const stacks of [false, true]) {
      const said: string[] = [];
      const heap = new Heap({ bytes: 1 << 18 });
      const state = new RmState(16, { backing: heap, debug: true, stacks, report: (message) => said.push(message) });
      const [a, b] = [got(state.malloc(8)), got(state.malloc(8))];
      state.retain(b);
      state.release(got(state.malloc(8)));
      state.destroy();
      const [report = ""] = said;
      const lines = report.split("\n");
      expect(said).toHaveLength(1);
      expect(lines[0]).toBe(
        "rm_destroy_state: 2 pointers are still referenced; release each as often as it was retained, or detach it",
      );
      expect(report).toContain(`  0x${a.toString(16)}: 1 reference`);
      expect(report).toContain(`  0x${b.toString(16)}: 2 references`);
      expect(/rm-state\.test/.test(report)).toBe(stacks);
      expect(lines.length > 3).toBe(stacks);
      for (const ptr of [a, b]) heap.free(ptr);
    }
  });

  test("are not reported without debug, nor when there are none", () => {
    const error = vi.spyOn(console, "error").mockImplementation(() => {});
    const state = stateOf();
    const ptr = got(state.malloc(8));
    state.destroy();
    const other = new RmState(16, { backing: state.heap, debug: true });
    other.release(got(other.malloc(8)));
    other.destroy();
    expect(error).not.toHaveBeenCalled();
    error.mockRestore();
    state.heap.free(ptr);
  });
});

describe("attach", () => {
  test("two objects over one state are the same state, whichever replaces the table", () => {
    const heap = new Heap({ bytes: 1 << 20, maxBytes: 1 << 26 });
    const state = stateOf(1, { backing: heap });
    const twin = RmState.attach(heap, state.handle);
    const ptrs: Ptr[] = [];
    for (let i = 0; i < 3000; i += 1) {
      const [one, other] = i % 2 === 0 ? [state, twin] : [twin, state];
      const ptr = got(one.malloc(8));
      ptrs.push(ptr);
      expect(other.retain(ptr)).toBe(2);
    }
    for (const ptr of ptrs) expect([state.release(ptr), twin.release(ptr)]).toEqual([1, 0]);
    twin.destroy();
    for (const act of [() => state.malloc(8), () => state.count(asPtr(8)), () => state.retain(ptrs[0] ?? NULL)]) {
      expect(act).toThrow(code("ERR_DESTROYED"));
    }
  });

  test("a stranger, another version, another backing and another number of deallocators are refused", () => {
    const heap = new Heap({ bytes: 1 << 18 });
    const backing = new Spy(heap);
    const state = stateOf(16, { backing, deallocators: [() => {}] });
    const { handle } = state;
    const options = { backing, deallocators: [(): void => {}] };
    expect(RmState.attach(heap, handle, options).handle).toBe(handle);
    expect(() => RmState.attach(heap, asPtr(handle + 8), options)).toThrow(code("ERR_NOT_A_HEAP"));
    expect(() => RmState.attach(heap, NULL, options)).toThrow(code("ERR_NOT_A_HEAP"));
    expect(() => RmState.attach(heap, handle)).toThrow(code("ERR_INVALID_ARGUMENT"));
    expect(() => RmState.attach(heap, handle, { backing })).toThrow(code("ERR_INVALID_ARGUMENT"));
    RM_STATE.set.version(heap, handle, 99);
    expect(() => RmState.attach(heap, handle, options)).toThrow(code("ERR_LAYOUT_VERSION"));
    RM_STATE.set.version(heap, handle, 1);
  });
});

test("any allocator can back it, another pool's too; blocks go back to where they came from", () => {
  const backing = new Spy();
  const state = stateOf(4, { backing });
  const ptrs = Array.from({ length: 100 }, () => got(state.malloc(24)));
  for (const ptr of ptrs) state.release(ptr);
  expect(ptrs.every((ptr) => backing.freed.includes(ptr))).toBe(true);
  state.destroy();
  expect(backing.heap.stats().liveBlocks).toBe(0);
});

test("a pointer that the backing hands out while it is tracked was freed elsewhere: that is said", () => {
  const state = stateOf();
  const ptr = got(state.malloc(40));
  state.heap.free(ptr);
  expect(() => state.malloc(40)).toThrow(code("ERR_INVALID_POINTER"));
  expect(state.count(ptr)).toBe(1);
  state.detach(ptr);
});

test("the table costs at most 24 bytes for each pointer where it is as empty as it gets", () => {
  const state = stateOf(1);
  let worst = 0;
  for (let pointers = 1; pointers <= 20_000; pointers += 1) {
    state.attach(asPtr(pointers * 16));
    // Small tables have their 64 slots at the end for nothing.
    if (pointers % 97 === 0 && pointers > 4000) worst = Math.max(worst, state.stats().takenBytes / pointers);
  }
  expect(worst).toBeLessThanOrEqual(24);
  for (const { ptr } of state) state.detach(ptr);
});

test("check sees every invariant broken", () => {
  const state = stateOf(64);
  const ptrs = Array.from({ length: 20 }, () => got(state.malloc(8)));
  const { heap, handle } = state;
  const { u32 } = heap;
  const word = (field: keyof typeof RM_STATE.offsets): number => (handle + RM_STATE.offsets[field]) >>> 2;
  const table = RM_STATE.get.table(heap, handle);
  const taken = ((): number => {
    for (let slot = state.first; ; slot += 2) if (u32[slot] !== 0) return slot;
  })();
  const empty = ((): number => {
    for (let slot = state.first; ; slot += 2) if (u32[slot] === 0) return slot;
  })();
  const damages: [name: string, at: number, value: number][] = [
    ["1, version", word("version"), 99],
    ["1, table", word("table"), 8],
    ["1, factor", (table + RM_TABLE.offsets.factor) >>> 2, 99],
    ["1, shift", (table + RM_TABLE.offsets.shift) >>> 2, 1],
    ["4, an empty slot has a count", empty + 1, 1],
    ["5, an unknown deallocator", taken + 1, (5 << 26) | 1],
    ["6, used", word("used"), 3],
  ];
  for (const [name, at, value] of damages) {
    const kept = u32[at]!;
    u32[at] = value;
    expect(() => state.check(), name).toThrow(code("ERR_CORRUPT"));
    u32[at] = kept;
    state.check();
  }
  for (const ptr of ptrs) state.release(ptr);
});

test("use after destroy is noticed by every method, and changes nothing", () => {
  const state = stateOf();
  const { heap } = state;
  state.destroy();
  const acts: [string, () => unknown][] = [
    ["malloc", () => state.malloc(8)],
    ["attach", () => state.attach(asPtr(8))],
    ["retain", () => state.retain(asPtr(8))],
    ["release", () => state.release(asPtr(8))],
    ["detach", () => state.detach(asPtr(8))],
    ["count", () => state.count(asPtr(8))],
    ["hold", () => state.hold(NULL)],
    ["blocks", () => state.blocks()],
    ["stats", () => state.stats()],
    ["dump", () => state.dump()],
    ["check", () => state.check()],
    ["recover", () => state.recover()],
    ["handle", () => state.handle],
    ["destroy", () => state.destroy()],
    ["rm_scope", () => rm_scope(state, () => 1)],
  ];
  unchanged(heap, () => {
    for (const [name, act] of acts) {
      expect(act, name).toThrow(code("ERR_DESTROYED"));
      expect(act, name).toThrow(HeapError);
    }
  });
  state[Symbol.dispose]();
});

describe("a last release", () => {
  test("that the backing refuses changes no byte", () => {
    const state = stateOf(16);
    const ptr = got(state.malloc(40));
    state.heap.free(ptr);
    unchanged(state.heap, () => expect(() => state.release(ptr)).toThrow(code("ERR_DOUBLE_FREE")));
    state.attach(asPtr(ptr + 8));
    unchanged(state.heap, () => expect(() => state.release(asPtr(ptr + 8))).toThrow(code("ERR_DOUBLE_FREE")));
    state.detach(ptr);
    state.detach(asPtr(ptr + 8));
  });

  test("whose deallocator fills the table and throws leaves the pointer as it was", () => {
    const thrown = new Error("no");
    const deallocator = (ptr: Ptr): void => {
      for (let i = 1; i <= 1000; i += 1) state.attach(asPtr(ptr + i));
      throw thrown;
    };
    const state: RmState = stateOf(8, { deallocators: [deallocator] });
    state.attach(asPtr(4000), deallocator);
    expect(() => state.release(asPtr(4000))).toThrow(thrown);
    expect(state.stats()).toMatchObject({ pointers: 1001, references: 1001 });
    for (const { ptr } of state) state.detach(ptr);
  });

  test("whose deallocator attaches the pointer anew, and throws, leaves it at that", () => {
    const deallocator = (ptr: Ptr): void => {
      state.attach(ptr);
      state.retain(ptr);
      throw new Error("no");
    };
    const state: RmState = stateOf(8, { deallocators: [deallocator] });
    state.attach(asPtr(8), deallocator);
    expect(() => state.release(asPtr(8))).toThrow("no");
    expect([...state]).toEqual([{ ptr: 8, count: 2, deallocator: undefined, stack: undefined }]);
    state.detach(asPtr(8));
  });

  test("may destroy the state", () => {
    const deallocators = [
      (): void => state.destroy(),
      (): void => {
        state.destroy();
        throw new Error("and that");
      },
    ];
    let state = stateOf(8, { deallocators });
    state.attach(asPtr(8), deallocators[0]);
    expect(state.release(asPtr(8))).toBe(0);
    expect(state.isDestroyed).toBe(true);
    state = stateOf(8, { deallocators });
    state.attach(asPtr(8), deallocators[1]);
    expect(() => state.release(asPtr(8))).toThrow("and that");
    expect(state.isDestroyed).toBe(true);
  });
});

describe("iteration", () => {
  test("may release what it meets, and ends when the state does", () => {
    const state = stateOf(8);
    for (let i = 0; i < 50; i += 1) state.retain(got(state.malloc(i)));
    for (const { ptr, count } of state) for (let i = 0; i < count; i += 1) state.release(ptr);
    expect(state.stats().pointers).toBe(0);
    for (let i = 1; i <= 5; i += 1) state.attach(asPtr(i));
    let met = 0;
    for (const { ptr } of state) {
      met += 1;
      if (met === 1) for (const other of [1, 2, 3, 4, 5]) if (other !== ptr) state.detach(asPtr(other));
    }
    expect(met).toBe(1);
    for (const _ of state) state.destroy();
    expect(state.isDestroyed).toBe(true);
  });
});

describe("a scope that goes wrong", () => {
  test("releases the rest, and says what was first", () => {
    const state = stateOf();
    const ptrs: Ptr[] = [];
    const act = () =>
      rm_scope(state, (scope) => {
        for (let i = 0; i < 3; i += 1) ptrs.push(got(scope.malloc(8)));
        state.release(ptrs[1] ?? NULL);
      });
    expect(act).toThrow(/^release\(0x[0-9a-f]+\): not tracked/);
    expect(ptrs).toHaveLength(3);
    expect(state.stats().pointers).toBe(0);
    const thrown = new Error("mine");
    expect(() =>
      rm_scope(state, (scope) => {
        state.release(got(scope.malloc(8)));
        throw thrown;
      }),
    ).toThrow(thrown);
  });

  test("after a promise that is rejected, too", async () => {
    const state = stateOf();
    const pending = rm_scope(state, async (scope) => {
      got(scope.malloc(8));
      await Promise.resolve();
      throw new Error("later");
    });
    await expect(pending).rejects.toThrow("later");
    expect(state.stats().pointers).toBe(0);
  });

  test("keep gives back what the scope holds, and nothing else", () => {
    const state = stateOf();
    const outside = got(state.malloc(8));
    rm_scope(state, (scope) => {
      expect(() => scope.keep(outside)).toThrow(code("ERR_INVALID_POINTER"));
      scope.retain(outside);
      scope.retain(outside);
      scope.keep(outside);
    });
    expect(state.count(outside)).toBe(2);
    state.release(outside);
    state.release(outside);
  });
});

test("the report of leaks shows ten, and where the address was allocated last", () => {
  const said: string[] = [];
  const heap = new Heap({ bytes: 1 << 16 });
  const state = new RmState(16, { backing: heap, stacks: true, debug: true, report: (message) => said.push(message) });
  const before = function gone(): void {
    state.release(got(state.malloc(8)));
  };
  before();
  const ptrs = (function here(): Ptr[] {
    return Array.from({ length: 12 }, () => got(state.malloc(8)));
  })();
  expect([...state].every(({ stack }) => stack?.includes("here"))).toBe(true);
  state.destroy();
  expect(said[0]).toContain("here");
  expect(said[0]).not.toContain("gone");
  expect(said[0]?.match(/: 1 reference/g)).toHaveLength(10);
  expect(said[0]?.split("\n").at(-1)).toBe("  and 2 more");
  for (const ptr of ptrs) heap.free(ptr);
});

describe("memory", () => {
  test("above 2 GiB", () => {
    const memory = new WebAssembly.Memory({ initial: 33_000 });
    const heap = Heap.adopt(memory, { base: 32_900 * 65_536 });
    const state = new RmState(16, { backing: heap });
    const ptrs = Array.from({ length: 1000 }, (_, at) => got(state.malloc(at)));
    expect(Math.min(...ptrs)).toBeGreaterThan(2 ** 31);
    for (const ptr of ptrs) expect([state.retain(ptr), state.release(ptr), state.count(ptr)]).toEqual([2, 1, 1]);
    state.check();
    for (const ptr of ptrs) expect(state.release(ptr)).toBe(0);
    for (const ptr of ptrs) expect(() => state.release(ptr)).toThrow(code("ERR_INVALID_POINTER"));
    state.destroy();
    expect(heap.stats().liveBlocks).toBe(0);
  });

  test("that others grow in between", () => {
    const memory = new WebAssembly.Memory({ initial: 4, maximum: 400 });
    const heap = Heap.adopt(memory, { bytes: 4 * 65_536, maxBytes: 200 * 65_536 });
    const state = stateOf(8, { backing: heap });
    const ptrs: Ptr[] = [];
    for (let i = 0; i < 1000; i += 1) {
      if (i % 20 === 3) memory.grow(1);
      ptrs.push(got(state.malloc(i)));
      if (i % 20 === 8) memory.grow(1);
      expect(state.retain(ptrs.at(-1) ?? NULL)).toBe(2);
      if (i % 20 === 12) memory.grow(1);
      expect(state.release(ptrs.at(-1) ?? NULL)).toBe(1);
      if (i % 40 === 16) memory.grow(1);
      if (i % 3 === 0) state.release(ptrs.pop() ?? NULL);
    }
    expect(state.stats()).toMatchObject({ pointers: ptrs.length, references: ptrs.length });
    for (const ptr of ptrs) state.release(ptr);
    state.destroy();
    expect(heap.stats().liveBlocks).toBe(0);
  });

  test("that has been detached", () => {
    const buffer = new ArrayBuffer(1 << 16);
    const state = new RmState(16, { backing: Heap.adopt(buffer) });
    const ptr = got(state.malloc(8));
    structuredClone(buffer, { transfer: [buffer] });
    const acts = [
      () => state.malloc(8),
      () => state.attach(asPtr(8)),
      () => state.retain(ptr),
      () => state.release(ptr),
      () => state.detach(ptr),
      () => state.count(ptr),
      () => state.destroy(),
      () => state.check(),
      () => [...state],
    ];
    for (const act of acts) expect(act).toThrow(code("ERR_DESTROYED"));
  });
});

test("another object's destroy is noticed by every call, and nothing is changed", () => {
  const heap = new Heap({ bytes: 1 << 16 });
  const state = new RmState(16, { backing: heap });
  const ptr = got(state.malloc(8));
  const twin = RmState.attach(heap, state.handle);
  twin.retain(ptr);
  state.destroy();
  unchanged(heap, () => {
    const acts = [
      () => twin.malloc(8),
      () => twin.attach(asPtr(8)),
      () => twin.retain(ptr),
      () => twin.release(ptr),
      () => twin.detach(ptr),
      () => twin.count(ptr),
      () => twin.destroy(),
      () => twin.handle,
    ];
    for (const act of acts) expect(act).toThrow(code("ERR_DESTROYED"));
    twin[Symbol.dispose]();
  });
  heap.free(ptr);
});
