import { beforeEach, describe, expect, it, vi } from "vitest";
import { HEADER_BYTES, setTag, spanOf, STATE, stateOf } from "../src/boundary-tag.ts";
import { Heap } from "../src/heap.ts";
import { append, batchOf, emptyMagazine, magazineBlocks, MAGAZINES, pop, push, raiseLimit } from "../src/magazines.ts";
import { asPtr, NULL, type Ptr } from "../src/ptr.ts";
import type { SharedHeap } from "../src/shared-heap.ts";
import { SLOT_RECORD } from "../src/slots.ts";
import { allowLive } from "../src/testing/heap-watch.ts";
import { attachAnother } from "./agents.ts";
import { refusalIn } from "./refusal.ts";

// Blocks stay live where nothing else is tested than the heap that they lie in.
beforeEach(() => allowLive());

const { HELD, LIVE } = STATE;

let heap: SharedHeap;
let other: SharedHeap;
beforeEach(() => {
  heap = new Heap({ bytes: 1 << 20, shared: true });
  other = attachAnother(heap);
});

/** Word address of an agent's magazine for a span. */
function headOf(agent: SharedHeap, span: number): number {
  return agent.heads + span / 8;
}

/** What an agent's magazine for a span holds, in the order in which it comes out. */
function heldBy(agent: SharedHeap, span: number): number[] {
  const record = agent.slots.record(agent.slot);
  return [...magazineBlocks(agent.inner, record)].filter(([list]) => list === span / 8).map(([, ptr]) => ptr);
}

function stateAt(ptr: number): number {
  return stateOf(heap.words, ptr - HEADER_BYTES);
}

describe("a magazine", () => {
  /** An empty one, with room for four, and blocks for it. */
  let head: number;
  let blocks: Ptr[];
  beforeEach(() => {
    head = headOf(heap, 48);
    blocks = Array.from({ length: 4 }, () => heap.inner.malloc(40));
    raiseLimit(heap.words, head, 48);
  });
  const room = (): number => heap.words[head + 127]!;

  it("gives what was put into it last", () => {
    for (const ptr of blocks) push(heap.words, head, ptr, 48 | LIVE);
    expect(heldBy(heap, 48)).toEqual([...blocks].reverse());
    expect(blocks.map(stateAt)).toEqual([HELD, HELD, HELD, HELD]);
    expect(room()).toBe(0);
    heap.check();
    expect(blocks.map(() => pop(heap.words, head))).toEqual([...blocks].reverse());
    expect(blocks.map(stateAt)).toEqual([LIVE, LIVE, LIVE, LIVE]);
    expect([room(), heap.words[head]]).toEqual([4, 0]);
  });

  it("is filled in the order in which it gives", () => {
    let tail = 0;
    for (const ptr of blocks) {
      append(heap.words, head, tail, ptr, 48 | LIVE);
      tail = ptr;
    }
    expect(heldBy(heap, 48)).toEqual(blocks);
    heap.check();
  });

  it.each([
    [16, [4, 8, 16, 32, 64, 128, 256, 256]],
    [64, [4, 8, 16, 32, 64, 128, 256, 256]],
    [128, [4, 8, 16, 32, 64, 128, 128]],
    [1008, [4, 8, 16, 16]],
  ])("of span %d may hold more each time that it was empty or full, up to 16 KiB or 8 blocks", (span, limits) => {
    const at = headOf(heap, span);
    const seen = limits.map(() => {
      raiseLimit(heap.words, at, span);
      return [heap.words[at + 254], heap.words[at + 127], batchOf(heap.words, at) * 2];
    });
    expect(seen).toEqual(limits.map((limit) => [limit, limit, limit]));
  });

  it("gives everything back when it is emptied", () => {
    for (const ptr of blocks) push(heap.words, head, ptr, 48 | LIVE);
    const { freeBytes } = heap.stats();
    emptyMagazine(heap.inner, head);
    expect([heap.words[head], room()]).toEqual([0, 4]);
    expect(blocks.map(stateAt)).not.toContain(HELD);
    expect(heap.stats().freeBytes).toBe(freeBytes);
    for (const ptr of blocks) expect(refusalIn(heap, () => heap.free(ptr)).code).toBe("ERR_DOUBLE_FREE");
    heap.check();
  });

  it("drops what was in flight when its agent died: that is LIVE, and nobody else's", () => {
    for (const ptr of blocks) push(heap.words, head, ptr, 48 | LIVE);
    const [flying = NULL, ...rest] = [...blocks].reverse();
    setTag(heap.words, flying - HEADER_BYTES, 48, LIVE);
    emptyMagazine(heap.inner, head);
    expect(stateAt(flying)).toBe(LIVE);
    expect(rest.map(stateAt)).not.toContain(HELD);
    heap.check();
    heap.free(flying);
  });

  it.each([
    ["leads out of the heap", 0xffff_fff8],
    ["leads below it", 8],
    ["leads into a block", 16],
    ["is no address", 3],
  ])("whose link %s is found out, and costs no other block", (_, link) => {
    for (const ptr of blocks) push(heap.words, head, ptr, 48 | LIVE);
    const last = blocks.at(-1)!;
    heap.words[last >>> 2] = link === 16 ? last + 16 : link;
    const wall = heap.inner.malloc(40);
    let thrown: unknown;
    try {
      emptyMagazine(heap.inner, head);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({
      code: "ERR_CORRUPT",
      message: "a magazine was written over; what it held is lost",
    });
    expect([heap.words[head], stateAt(wall)]).toEqual([0, LIVE]);
  });
});

describe("small blocks", () => {
  it("come and go without the lock, but for one time in many", () => {
    const locked = vi.spyOn(heap.lock, "enter");
    const blocks = Array.from({ length: 1000 }, () => heap.malloc(40));
    // Batches grow to half of what a magazine may hold.
    expect(locked.mock.calls.length).toBeLessThan(30);
    for (const ptr of blocks) heap.free(ptr);
    expect(locked.mock.calls.length).toBeLessThan(60);
    locked.mockClear();
    for (let i = 0; i < 1000; i += 1) heap.free(heap.malloc(40));
    expect(locked).not.toHaveBeenCalled();
    heap.check();
  });

  it("that were freed last come first, to the agent that has freed them", () => {
    const [a, b] = [heap.malloc(40), heap.malloc(40)];
    other.free(a);
    heap.free(b);
    expect(heap.malloc(40)).toBe(b);
    expect(other.malloc(40)).toBe(a);
  });

  it("are free while they are held: not live, not counted, refused when they are freed again, by anyone", () => {
    const before = heap.stats();
    const ptr = heap.malloc(40);
    heap.free(ptr);
    expect(stateAt(ptr)).toBe(HELD);
    const { liveBlocks, liveBytes } = heap.stats();
    expect([liveBlocks, liveBytes]).toEqual([before.liveBlocks, before.liveBytes]);
    expect([...heap.blocks()].find((block) => block.ptr === ptr)).toEqual({ ptr, size: 40, state: "cached" });
    for (const agent of [heap, other]) {
      for (const act of [() => agent.free(ptr), () => agent.usableSize(ptr), () => agent.realloc(ptr, 10)]) {
        const error = refusalIn(heap, act);
        expect(error.code).toBe("ERR_DOUBLE_FREE");
        expect(error.message).toMatch(/: the block is free already; free each block once$/);
      }
    }
    heap.check();
  });

  it("of up to 1,000 bytes are held, larger ones are not", () => {
    for (const size of [0, 8, 9, 100, 999, 1000]) {
      const ptr = heap.malloc(size);
      heap.free(ptr);
      expect(stateAt(ptr), `${size} bytes`).toBe(HELD);
    }
    for (const size of [1001, 1008, 1016, 5000]) {
      const ptr = heap.malloc(size);
      heap.free(ptr);
      expect(stateAt(ptr), `${size} bytes`).not.toBe(HELD);
    }
    heap.check();
  });

  it("are held by their span, whatever was asked for", () => {
    const ptr = heap.malloc(33);
    const span = spanOf(heap.words, ptr - HEADER_BYTES);
    heap.free(ptr);
    expect(heldBy(heap, span)[0]).toBe(ptr);
    for (let list = 0; list < MAGAZINES; list += 1) {
      for (const held of heldBy(heap, list * 8)) expect(spanOf(heap.words, held - HEADER_BYTES)).toBe(list * 8);
    }
  });

  it("are no more in one worker's hands than 16 KiB of each size, or 8 blocks", () => {
    for (const size of [8, 40, 120, 500, 992]) {
      const blocks = Array.from({ length: 2000 }, () => heap.malloc(size));
      const span = spanOf(heap.words, asPtr(blocks[0]!) - HEADER_BYTES);
      let most = 0;
      for (const ptr of blocks) {
        if (ptr !== NULL) heap.free(ptr);
        most = Math.max(most, heap.words[headOf(heap, span) + 254]! - heap.words[headOf(heap, span) + 127]!);
      }
      expect(heldBy(heap, span).length).toBeLessThanOrEqual(most);
      expect(most * span, `${size} bytes`).toBeLessThanOrEqual(Math.max(16_384, 8 * span));
      heap.check();
    }
  });

  it("that another agent's magazine holds are not to be had, and NULL it is", () => {
    const tiny = Heap.adopt(new SharedArrayBuffer(16_384));
    const second = attachAnother(tiny);
    const blocks: Ptr[] = [];
    for (let ptr = second.malloc(500); ptr !== NULL; ptr = second.malloc(500)) blocks.push(ptr);
    const last = blocks.at(-1)!;
    second.free(last);
    expect(tiny.malloc(500)).toBe(NULL);
    // Its own agent finds it, for another size too.
    expect(second.malloc(300)).not.toBe(NULL);
    tiny.check();
  });
});

it("the record of a slot is as large as its magazines are many", () => {
  expect(SLOT_RECORD.size).toBe(4 + 3 * 4 * MAGAZINES);
});
