import { beforeEach, describe, expect, it, vi } from "vitest";
import { STATE, stateOf } from "../src/boundary-tag.ts";
import { HeapError } from "../src/errors.ts";
import { Heap } from "../src/heap.ts";
import { NULL, type Ptr } from "../src/ptr.ts";
import { SharedHeap } from "../src/shared-heap.ts";
import { runs, seedFromEnv } from "../src/testing/env.ts";
import { allowLive } from "../src/testing/heap-watch.ts";
import { random } from "../src/testing/stream.ts";
import { attachAnother } from "./agents.ts";
import { copyOf, expectSame, refusalIn, refusalOf } from "./refusal.ts";

// Blocks stay live where nothing else is tested than the heap that they lie in.
beforeEach(() => allowLive());

const PAGE_BYTES = 65536;
const VIEWS = ["u8", "i8", "u16", "i16", "u32", "i32", "f32", "f64", "u64", "i64"] as const;

/** One heap, as two agents see it. */
let heap: SharedHeap;
let other: SharedHeap;
beforeEach(() => {
  heap = new Heap({ bytes: PAGE_BYTES, maxBytes: 64 * PAGE_BYTES, shared: true });
  other = attachAnother(heap);
});

/** Allocates until there is nothing left of a size. */
function fill(agent: SharedHeap, size: number): Ptr[] {
  const blocks: Ptr[] = [];
  for (let ptr = agent.malloc(size); ptr !== NULL; ptr = agent.malloc(size)) blocks.push(ptr);
  return blocks;
}

it("is a heap like any other, and says that it is shared", () => {
  expect(heap).toBeInstanceOf(SharedHeap);
  expect(heap).toBeInstanceOf(Heap);
  expect(heap.heap).toBe(heap);
  expect(heap.buffer).toBeInstanceOf(SharedArrayBuffer);
  expect([heap.slot, other.slot]).toEqual([1, 2]);
  expect([new Heap({ bytes: 8192 }).slot, new Heap({ bytes: 8192 }).lock]).toEqual([0, undefined]);
  expect(heap.share()).toEqual({ heapwright: heap.memory, base: 0, slot: 0 });
});

describe("what one agent allocates", () => {
  it.each([0, 8, 40, 1000, 1001, 30_000, 300_000])("the other sees and frees: %d bytes", (size) => {
    const ptr = heap.malloc(size);
    const usable = other.usableSize(ptr);
    expect(usable).toBeGreaterThanOrEqual(Math.max(size, 8));
    heap.u8.fill(7, ptr, ptr + usable);
    expect(other.u8.subarray(ptr, ptr + usable).every((byte) => byte === 7)).toBe(true);
    expect(other.stats()).toEqual(heap.stats());
    expect(heap.stats().liveBlocks).toBe(1);
    other.free(ptr);
    expect(heap.stats().liveBlocks).toBe(0);
    for (const agent of [heap, other]) expect(refusalOf(() => agent.free(ptr)).code).toBe("ERR_DOUBLE_FREE");
    other.check();
  });

  it("is apart from all that the other has, by whatever calls", () => {
    const taken = new Map<number, number>();
    const sizes = [0, 16, 100, 700, 1500, 9000];
    for (let round = 0; round < 60; round += 1) {
      const agent = round % 2 === 0 ? heap : other;
      for (const size of sizes) {
        const blocks = [agent.malloc(size), agent.calloc(1, size), agent.alignedAlloc(64, size)];
        const grown = agent.realloc(agent.malloc(size), size * 2);
        for (const ptr of [...blocks, grown]) taken.set(ptr, agent.usableSize(ptr));
        expect(blocks[2]! % 64).toBe(0);
      }
    }
    const ranges = [...taken].sort(([a], [b]) => a - b);
    const overlapping = ranges.filter(([ptr], at) => at > 0 && ranges[at - 1]![0] + ranges[at - 1]![1] > ptr);
    expect(overlapping).toEqual([]);
    expect(heap.stats().liveBlocks).toBe(taken.size);
    heap.check();
    for (const [ptr] of taken) (ptr % 3 === 0 ? heap : other).free(ptr as Ptr);
    expect(heap.stats()).toMatchObject({ liveBlocks: 0, liveBytes: 0 });
    other.check();
  });

  it("is found by the name that it was given", () => {
    const ptr = heap.malloc(40);
    heap.setRoot("frames", ptr);
    expect(other.root("frames")).toBe(ptr);
    other.setRoot("frames", NULL);
    expect(heap.root("frames")).toBe(NULL);
    heap.check();
  });

  it("is zero where that is asked for, whoever used the memory before", () => {
    const dirty = Array.from({ length: 50 }, (_, at) => other.malloc(at * 40));
    for (const ptr of dirty) other.u8.fill(0xff, ptr, ptr + other.usableSize(ptr));
    for (const ptr of dirty) other.free(ptr);
    for (const agent of [heap, other]) {
      for (let size = 0; size < 2000; size += 40) {
        const ptr = agent.calloc(size / 4, 4);
        expect(agent.u8.subarray(ptr, ptr + agent.usableSize(ptr)).some((byte) => byte !== 0)).toBe(false);
      }
    }
  });
});

describe("realloc", () => {
  it.each([
    [40, 200],
    [40, 5000],
    [5000, 100_000],
    [100_000, 40],
    [900, 40],
  ])("from %d to %d bytes keeps what both sizes hold", (from, to) => {
    const ptr = heap.malloc(from);
    heap.u8.fill(9, ptr, ptr + from);
    const moved = other.realloc(ptr, to);
    expect(other.usableSize(moved)).toBeGreaterThanOrEqual(to);
    const kept = Math.min(from, to);
    expect(heap.u8.subarray(moved, moved + kept).every((byte) => byte === 9)).toBe(true);
    expect(heap.stats().liveBlocks).toBe(1);
    expect(heap.lock.holder).toBe(0);
    heap.check();
  });

  it("that finds no room leaves the block as it was", () => {
    const small = new Heap({ bytes: PAGE_BYTES, shared: true });
    const ptr = small.malloc(100);
    fill(small, 500);
    small.u8.fill(5, ptr, ptr + 100);
    expect(small.realloc(ptr, 20_000)).toBe(NULL);
    expect(small.realloc(ptr, 1e300)).toBe(NULL);
    expect(small.u8.subarray(ptr, ptr + 100).every((byte) => byte === 5)).toBe(true);
    small.check();
  });

  it("moves a block under one lock: nobody can come between, and leave it with two", () => {
    const wall = (): Ptr => heap.malloc(3000);
    const ptr = heap.malloc(3000);
    wall();
    const malloc = vi.spyOn(heap, "malloc");
    malloc.mockImplementation((size) => {
      const moved = heap.inner.malloc(size);
      expect(other.lock.tryAcquire()).toBe("busy");
      return moved;
    });
    const moved = heap.realloc(ptr, 9000);
    malloc.mockRestore();
    expect(moved).not.toBe(ptr);
    expect(heap.stats().liveBlocks).toBe(2);
    heap.check();
  });
});

describe("growth", () => {
  it.each(VIEWS)("by one agent is seen by the other's %s", (name) => {
    const before = other[name].byteLength;
    const ptr = heap.malloc(20 * PAGE_BYTES);
    expect(other[name].byteLength).toBeGreaterThan(before);
    expect(other[name].buffer).toBe(heap.memory?.buffer);
    other[name].fill(
      other[name] instanceof BigInt64Array || other[name] instanceof BigUint64Array ? (1n as never) : (1 as never),
      (ptr >>> 3) << 3,
      ((ptr >>> 3) << 3) + 1,
    );
    expect(other.size).toBe(heap.size);
  });

  it("is seen by whatever an agent does first", () => {
    const looks: [name: string, look: (agent: SharedHeap, ptr: Ptr) => unknown][] = [
      ["free", (agent, ptr) => agent.free(ptr)],
      ["usableSize", (agent, ptr) => agent.usableSize(ptr)],
      ["realloc", (agent, ptr) => agent.realloc(ptr, 10)],
      ["bytes", (agent, ptr) => agent.bytes(ptr, 100_000)],
      ["buffer", (agent) => agent.buffer.byteLength],
      ["size", (agent) => agent.size],
      ["stats", (agent) => agent.stats()],
      ["blocks", (agent) => [...agent.blocks()]],
      ["check", (agent) => agent.check()],
      ["image", (agent) => agent.image()],
      ["dump", (agent) => agent.dump()],
      ["malloc", (agent) => agent.malloc(100_000)],
      ["grow", (agent) => agent.grow(100_000)],
      ["recover", (agent) => agent.recover()],
      ["setRoot", (agent, ptr) => agent.setRoot("name", ptr)],
      ["lock.acquire", (agent) => (agent.lock.acquire(), agent.lock.release())],
    ];
    for (const [name, look] of looks) {
      const fresh = new Heap({ bytes: PAGE_BYTES, maxBytes: 64 * PAGE_BYTES, shared: true });
      const second = attachAnother(fresh);
      const ptr = fresh.malloc(200_000);
      expect(() => look(second, ptr), name).not.toThrow();
      second.check();
      fresh.check();
    }
  });

  it("by both in turn leaves one heap", () => {
    const blocks: Ptr[] = [];
    for (let i = 0; i < 60; i += 1) blocks.push((i % 2 === 0 ? heap : other).malloc(40_000 + i));
    expect(blocks).not.toContain(NULL);
    expect([heap.size, heap.stats().bytes]).toEqual([other.size, other.stats().bytes]);
    blocks.forEach((ptr, at) => (at % 3 === 0 ? heap : other).free(ptr));
    heap.check();
    expect(other.stats().liveBlocks).toBe(0);
  });

  it("stops at the maximum, for both", () => {
    expect(heap.grow(64 * PAGE_BYTES)).toBe(false);
    expect(other.malloc(64 * PAGE_BYTES)).toBe(NULL);
    expect(heap.size).toBe(PAGE_BYTES);
    expect(other.grow(40 * PAGE_BYTES)).toBe(true);
    expect(heap.size).toBeGreaterThan(40 * PAGE_BYTES);
    heap.check();
  });
});

/** Gives a long name to something, if there is room for it. */
function named(agent: SharedHeap): Ptr {
  const name = "name".repeat(200);
  try {
    agent.setRoot(name, 8 as Ptr);
  } catch (error) {
    if (!(error instanceof HeapError) || error.code !== "ERR_OUT_OF_MEMORY") throw error;
  }
  return agent.root(name);
}

describe("exhaustion", () => {
  let small: SharedHeap;
  let second: SharedHeap;
  beforeEach(() => {
    small = new Heap({ bytes: PAGE_BYTES, shared: true });
    second = attachAnother(small);
  });

  it("comes after what the agent's own magazines hold has been given back, for any call and size", () => {
    const calls: [name: string, act: () => Ptr][] = [
      ["malloc of a small block", () => small.malloc(700)],
      ["malloc of a large block", () => small.malloc(1500)],
      ["calloc", () => small.calloc(15, 100)],
      ["alignedAlloc", () => small.alignedAlloc(64, 1200)],
      ["realloc", () => small.realloc([...small.blocks()].find(({ state }) => state === "live")!.ptr, 1300)],
      ["setRoot", () => named(small)],
    ];
    for (const [name, act] of calls) {
      small = new Heap({ bytes: PAGE_BYTES, shared: true });
      const blocks = fill(small, 40).sort((a, b) => a - b);
      expect(act(), name).toBe(NULL);
      // Side by side, and all in the magazine.
      for (const ptr of blocks.slice(-100)) small.free(ptr);
      const held = [...small.inner.blocks()].filter(({ ptr }) => stateOf(small.words, ptr - 8) === STATE.HELD);
      expect(held.length).toBeGreaterThanOrEqual(100);
      expect(act(), name).not.toBe(NULL);
      small.check();
    }
  });

  it("is told by NULL while another agent's magazines hold the rest, and nothing is changed", () => {
    const blocks = fill(second, 500);
    second.free(blocks.at(-1)!);
    const before = copyOf(small);
    expect(small.malloc(500)).toBe(NULL);
    expect(small.calloc(5, 100)).toBe(NULL);
    expect(small.alignedAlloc(32, 500)).toBe(NULL);
    expect(small.grow(500)).toBe(false);
    // But for how many blocks a magazine may hold.
    const heads = small.heads * 4;
    const [now, then] = [copyOf(small), before];
    now.fill(0, heads, heads + 1524);
    then.fill(0, heads, heads + 1524);
    expectSame({ buffer: now.buffer as ArrayBuffer }, then);
    second.detach();
    expect(small.malloc(500)).not.toBe(NULL);
    small.check();
  });

  it("again and again, by two agents in turn, loses nothing", () => {
    const seed = seedFromEnv();
    const next = random(seed);
    const third = attachAnother(small);
    third.recover();
    const before = third.stats();
    for (let round = 0; round < runs(20); round += 1) {
      const live: Ptr[] = [];
      for (let misses = 0; misses < 20;) {
        const ptr = (next() < 0.5 ? small : second).malloc(Math.floor(next() ** 4 * 4000));
        if (ptr === NULL) misses += 1;
        else live.push(ptr);
      }
      small.check();
      for (const ptr of live) (next() < 0.5 ? small : second).free(ptr);
      second.check();
      expect(small.stats().liveBlocks, `seed ${seed}, round ${round}`).toBe(0);
    }
    small.detach();
    second.detach();
    third.recover();
    // Nothing but what the footprint says.
    expect({ ...third.stats(), footprint: 0 }).toEqual({ ...before, footprint: 0 });
  });
});

describe("detach", () => {
  it("gives back what the agent's magazines hold", () => {
    const kept = other.malloc(40);
    for (let size = 0; size < 1000; size += 50) other.free(other.malloc(size));
    other.detach();
    heap.check();
    heap.recover();
    expect([...heap.blocks()].map(({ state }) => state).filter((state) => state !== "free")).toEqual(["live"]);
    heap.free(kept);
  });

  it("is refused while the agent holds the lock, and then it is as before", () => {
    other.lock.acquire();
    const error = refusalIn(heap, () => other.detach());
    expect(error.code).toBe("ERR_WOULD_BLOCK");
    expect(error.message).toBe("detach: this agent holds the heap's lock already; release it first");
    other.free(other.malloc(5000));
    other.lock.release();
    other.detach();
    heap.check();
  });

  it("of one object of several is no matter, with the lock or without", () => {
    const again = Heap.attach(heap.share());
    heap.lock.acquire();
    again.detach();
    expect(heap.lock.isMine).toBe(true);
    heap.lock.release();
    heap.free(heap.malloc(40));
    heap.check();
  });

  it("comes by itself at the end of a block, and harmlessly after another", () => {
    const symbol: typeof Symbol.dispose = Symbol.dispose;
    other[symbol]();
    expect(heap.slots.isFree(2)).toBe(true);
    other[symbol]();
    expect(refusalOf(() => other.detach()).code).toBe("ERR_DESTROYED");
    expect(attachAnother(heap).slot).toBe(2);
  });
});

describe("a stack that is too short", () => {
  const dive = <T>(frames: number, act: () => T): T => (frames === 0 ? act() : dive(frames - 1, act));

  it("leaves the lock free and the heap sound, wherever it ends", () => {
    const acts: (() => unknown)[] = [
      () => heap.free(heap.malloc(5000)),
      () => heap.malloc(10),
      () => heap.free(heap.realloc(heap.malloc(2000), 100)),
      () => heap.free(heap.calloc(1, 3000)),
      () => heap.alignedAlloc(64, 100),
      () => heap.setRoot("name", heap.malloc(8)),
      () => heap.stats(),
    ];
    let overflows = 0;
    for (const act of acts) {
      const attempt = (frames: number): boolean => {
        let fits = true;
        try {
          dive(frames, act);
        } catch (error) {
          if (!(error instanceof RangeError)) throw error;
          fits = false;
          overflows += 1;
        }
        if (heap.lock.holder !== 0) throw new Error(`the lock is held after ${frames} frames of ${String(act)}`);
        return fits;
      };
      let [fits, overflowing] = [0, 1 << 17];
      while (overflowing - fits > 1) {
        const middle = (fits + overflowing) >>> 1;
        if (attempt(middle)) fits = middle;
        else overflowing = middle;
      }
      for (let frames = fits - 40; frames < fits + 20; frames += 1) attempt(frames);
      expect(() => heap.check(), String(act)).not.toThrow();
    }
    expect(overflows).toBeGreaterThan(100);
    other.check();
  });
});
