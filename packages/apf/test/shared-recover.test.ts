/** Several agents in one process, each with its turn: what they refuse, what is left of them, what an image is. */
import { Heap, NULL, type Ptr, type SharedHeap } from "@heapwright/core";
import { allowLive } from "@heapwright/core/testing";
import { beforeEach, expect, test } from "vitest";

// @boundaries-ignore it knows nothing of core but how agents are told apart, and tests ship nowhere
import { as, AGENT } from "../../core/test/shared-stage.ts";
import { ApfAllocator } from "../src/index.ts";
import { agentsOf } from "../src/workers.ts";
import { code, got } from "./made.ts";

beforeEach(() => allowLive());

interface Pair {
  readonly heap: SharedHeap;
  readonly apf: ApfAllocator;
  readonly other: SharedHeap;
  readonly twin: ApfAllocator;
}

function made(bytes: number = 1 << 20): Pair {
  const heap = new Heap({ bytes, shared: true });
  const apf = new ApfAllocator({ backing: heap });
  const other = as(AGENT.guest, () => Heap.attach(heap.share()));
  return { heap, apf, other, twin: ApfAllocator.attach(other, apf.handle) };
}

function some(apf: ApfAllocator, count: number, size: number): Ptr[] {
  return Array.from({ length: count }, () => got(apf.malloc(size)));
}

test("a block is freed once, whichever agent frees it, and how often others look", () => {
  const { apf, twin } = made();
  const [first, second, third, large] = [...some(apf, 3, 100), got(apf.malloc(30_000))] as [Ptr, Ptr, Ptr, Ptr];
  twin.free(first);
  for (const agent of [apf, twin]) {
    expect(() => agent.free(first)).toThrow(code("ERR_DOUBLE_FREE"));
    expect(() => agent.usableSize(first)).toThrow(code("ERR_DOUBLE_FREE"));
    expect(() => agent.free((second + 8) as Ptr)).toThrow(code("ERR_INVALID_POINTER"));
  }
  apf.free(second);
  expect(() => twin.free(second)).toThrow(code("ERR_DOUBLE_FREE"));
  twin.free(large);
  expect(() => apf.free(large)).toThrow(code("ERR_DOUBLE_FREE"));
  expect(twin.stats()).toMatchObject({ liveBlocks: 1, largeBlocks: 0 });
  twin.free(third);
  expect(apf.stats().liveBlocks).toBe(0);
  apf.flush();
  twin.flush();
  expect(apf.stats()).toMatchObject({ cachedBlocks: 0, superblocks: 0 });
});

test("a realloc moves what another agent has allocated", () => {
  const { heap, apf, twin } = made();
  const ptr = got(apf.malloc(100));
  for (let at = 0; at < 25; at += 1) heap.u32[(ptr >>> 2) + at] = at * 7;
  const moved = got(twin.realloc(ptr, 700));
  for (let at = 0; at < 25; at += 1) expect(heap.u32[(moved >>> 2) + at]).toBe(at * 7);
  const grown = got(apf.realloc(moved, 40_000));
  expect(heap.u32[(grown >>> 2) + 24]).toBe(168);
  expect(apf.stats().liveBlocks).toBe(1);
  apf.check();
});

test("blocks of agents that are gone are freed by others, and their memory is handed out again", () => {
  const { heap, apf } = made();
  const taken: number[] = [];
  for (let round = 0; round < 6; round += 1) {
    const guest = as(AGENT.worker, () => Heap.attach(heap.share()));
    const theirs = ApfAllocator.attach(guest, apf.handle);
    const blocks = some(theirs, 500, 200);
    for (const ptr of blocks.splice(0, 200)) theirs.free(ptr);
    guest.detach();
    expect(() => theirs.malloc(200)).toThrow(code("ERR_DESTROYED"));
    expect(() => theirs.free(blocks[0]!)).toThrow(code("ERR_DESTROYED"));
    for (const ptr of blocks) apf.free(ptr);
    apf.check();
    expect(apf.stats().liveBlocks).toBe(0);
    taken.push(apf.stats().takenBytes);
  }
  // One guest's worker, caches and superblocks serve the next one.
  expect(taken.at(-1)).toBe(taken[1]);
  expect([...agentsOf(heap.u32, apf.control)]).toHaveLength(3);
});

test("an image of it is a private allocator, with all that agents held free", () => {
  const { heap, apf, twin } = made();
  const ours = some(apf, 60, 100);
  const theirs = some(twin, 60, 100);
  for (const ptr of theirs.splice(0, 20)) apf.free(ptr);
  for (const ptr of theirs.splice(0, 20)) twin.free(ptr);
  const large = got(apf.malloc(20_000));
  heap.setRoot("apf", apf.handle);
  const copy = Heap.attach(heap.image());
  const alone = ApfAllocator.attach(copy, copy.root("apf"));
  alone.check();
  expect(alone.stats()).toMatchObject({ liveBlocks: 81, largeBlocks: 1, cachedBlocks: 0 });
  for (const ptr of [...ours, ...theirs, large]) alone.free(ptr);
  some(alone, 300, 100);
  alone.check();
  alone.destroy();
  copy.check();
  expect(copy.stats().liveBlocks).toBe(0);
  // The original has not noticed.
  expect(apf.stats().liveBlocks).toBe(81);
  twin.check();
});

test("what an error in the midst of a call leaves is repaired by the next one", () => {
  const { heap, apf, twin } = made();
  const blocks = some(apf, 40, 300);
  const theirs = some(twin, 40, 300);
  let thrown = 0;
  // As a stack overflow would come: anywhere in what is called under the lock.
  for (let stop = 0; stop < 6; stop += 1) {
    for (const call of ["malloc", "alignedAlloc", "free"] as const) {
      const original = heap[call];
      let left = stop;
      Object.defineProperty(heap, call, {
        configurable: true,
        value: (...args: [number, number]) => {
          if (left === 0) {
            left = -1;
            thrown += 1;
            throw new RangeError("Maximum call stack size exceeded");
          }
          left -= 1;
          return (original as (...given: [number, number]) => Ptr).apply(heap, args);
        },
      });
      try {
        for (let i = 0; i < 30; i += 1) blocks.push(got(apf.malloc(400 + stop * 100)));
        apf.flush();
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
      } finally {
        Reflect.deleteProperty(heap, call);
      }
      (stop % 2 === 0 ? apf : twin).check();
      for (const ptr of blocks.splice(-10)) apf.free(ptr);
      apf.check();
      twin.check();
    }
  }
  expect(thrown).toBeGreaterThan(5);
  for (const ptr of [...blocks, ...theirs]) twin.free(ptr);
  apf.flush();
  twin.flush();
  // A block that was being handed out when the error came is its program's, that never heard of it.
  expect(apf.stats().liveBlocks).toBe(0);
  heap.check();
});

test("no room is a result for each agent, and what others have freed is found before", () => {
  const { apf, twin, other } = made(1 << 18);
  const blocks: Ptr[] = [];
  for (let ptr = apf.malloc(600); ptr !== NULL; ptr = apf.malloc(600)) blocks.push(ptr);
  expect(twin.malloc(5000)).toBe(NULL);
  for (const ptr of blocks.splice(0, blocks.length / 2)) twin.free(ptr);
  expect(apf.malloc(600)).not.toBe(NULL);
  expect(apf.malloc(6000)).not.toBe(NULL);
  apf.check();
  other.check();
});

test("who destroys it destroys it for all", () => {
  const { heap, apf, twin } = made();
  const [ptr] = some(apf, 1, 100);
  some(twin, 10, 100);
  twin.destroy();
  expect(() => apf.malloc(100)).toThrow(code("ERR_DESTROYED"));
  expect(() => apf.free(ptr!)).toThrow(code("ERR_DESTROYED"));
  heap.check();
  expect(heap.stats().liveBlocks).toBe(0);
});
