import { beforeEach, describe, expect, it } from "vitest";
import { Heap } from "../src/heap.ts";
import { NULL } from "../src/ptr.ts";
import type { SharedHeap } from "../src/shared-heap.ts";
import { departuresOf, generationOf, isPresent, SLOT, SLOT_RECORD, SLOTS } from "../src/slots.ts";
import { allowLive } from "../src/testing/heap-watch.ts";
import { asAnother, attachAnother, FakeWorker, turn } from "./agents.ts";
import { refusalIn, refusalOf } from "./refusal.ts";

// Blocks stay live where nothing else is tested than the heap that they lie in.
beforeEach(() => allowLive());

let heap: SharedHeap;
beforeEach(() => {
  heap = new Heap({ bytes: 1 << 19, shared: true });
});

/** Attaches until every slot is taken. */
function crowd(): SharedHeap[] {
  return Array.from({ length: SLOTS - 2 }, () => attachAnother(heap));
}

/** All words that are not in use by a block: what is lost of them never comes back. */
function freeBytes(): number {
  heap.recover();
  return heap.stats().freeBytes;
}

it("the table's entries and the records are as large as their pictures say", () => {
  expect([SLOT.size, SLOT.offsets.agent, SLOT.offsets.record, SLOT.offsets.certified]).toEqual([32, 8, 16, 20]);
  expect([SLOT_RECORD.offsets.heads, SLOT_RECORD.offsets.rooms, SLOT_RECORD.offsets.limits]).toEqual([4, 512, 1020]);
});

describe("a slot", () => {
  it("is given to each agent that attaches, the lowest first", () => {
    expect(heap.slot).toBe(1);
    const others = [attachAnother(heap), attachAnother(heap), attachAnother(heap)];
    expect(others.map(({ slot }) => slot)).toEqual([2, 3, 4]);
    others[1]?.detach();
    expect(attachAnother(heap).slot).toBe(3);
  });

  it("is one for all objects that an agent has open, and its own until the last of them is detached", () => {
    const again = [Heap.attach(heap.share()), Heap.attach(heap.share())];
    expect(again.map(({ slot }) => slot)).toEqual([1, 1]);
    const ptr = again[0]!.malloc(40);
    again[0]!.detach();
    heap.free(ptr);
    // What it holds is the agent's, and serves its other objects.
    expect(again[1]!.malloc(40)).toBe(ptr);
    heap.detach();
    expect(again[1]!.slots.isFree(1)).toBe(false);
    again[1]!.check();
    again[1]!.detach();
    expect(again[1]!.slots.isFree(1)).toBe(true);
  });

  it("is another agent's after that, in another generation", () => {
    const first = attachAnother(heap);
    const generation = generationOf(heap, 2);
    expect(isPresent(heap, 2, generation)).toBe(true);
    expect(departuresOf(heap)).toBe(0);
    first.detach();
    expect([departuresOf(heap), isPresent(heap, 2, generation)]).toEqual([1, false]);
    const second = attachAnother(heap);
    expect([second.slot, generationOf(heap, 2)]).toEqual([2, generation + 1]);
    expect(second.lock.me).not.toBe(first.lock.me);
  });

  it("is had by 127 agents and no more, until one of them leaves", () => {
    const others = crowd();
    expect(others.at(-1)?.slot).toBe(127);
    const attempts: [call: string, act: () => unknown][] = [
      ["Heap.attach", () => attachAnother(heap)],
      ["supervise", () => heap.supervise(new FakeWorker())],
      ["spawn", () => heap.spawn(new FakeWorker())],
    ];
    for (const [call, act] of attempts) {
      const error = refusalIn(heap, act);
      expect(error.code).toBe("ERR_NO_SLOT");
      const remedy = "supervise workers, so that the slots of those that end are given back";
      expect(error.message).toBe(`${call}: all 127 slots of the heap are taken; ${remedy}`);
    }
    // Who has one has it for any number of objects.
    expect(Heap.attach(heap.share()).slot).toBe(1);
    others[70]?.detach();
    expect(attachAnother(heap).slot).toBe(72);
    heap.check();
  });

  it("costs a record once, whoever has it later", () => {
    attachAnother(heap).detach();
    const before = freeBytes();
    for (let i = 0; i < 50; i += 1) {
      const other = attachAnother(heap);
      other.free(other.malloc(i * 10));
      other.detach();
    }
    expect(freeBytes()).toBe(before);
    const [one, two] = [attachAnother(heap), attachAnother(heap)];
    expect(freeBytes()).toBeLessThan(before - 1500);
    one.detach();
    two.detach();
    heap.check();
  });
});

describe("a slot that is kept for a worker", () => {
  it("is nobody else's, and the worker's when it comes", () => {
    const descriptor = heap.supervise(new FakeWorker());
    expect([descriptor.heapwright === heap.memory, descriptor.base, descriptor.slot]).toEqual([true, 0, 2]);
    expect(attachAnother(heap).slot).toBe(3);
    expect(attachAnother(descriptor).slot).toBe(2);
  });

  it("is taken once, by one agent", () => {
    const descriptor = heap.supervise(new FakeWorker());
    const [one, again] = asAnother(() => [Heap.attach(descriptor), Heap.attach(descriptor)]);
    expect([one.slot, again.slot]).toEqual([2, 2]);
    const error = refusalIn(heap, () => attachAnother(descriptor));
    expect(error.code).toBe("ERR_NO_SLOT");
    expect(error.message).toBe("Heap.attach: slot 2 is no longer kept; share the heap with each worker anew");
  });

  it("is given back when the worker ends, whether it came or not", async () => {
    const [came, never] = [new FakeWorker(), new FakeWorker()];
    const descriptors = [heap.supervise(came), heap.supervise(never)];
    attachAnother(descriptors[0]!);
    came.exit();
    never.exit();
    await turn();
    expect([heap.slots.isFree(2), heap.slots.isFree(3)]).toEqual([true, true]);
    for (const descriptor of descriptors) {
      expect(refusalOf(() => attachAnother(descriptor)).code).toBe("ERR_NO_SLOT");
    }
    heap.check();
  });

  it("is kept still when there is no room for its record, and the worker's death concerns nobody else", async () => {
    const full: number[] = [];
    for (let size = 4096; size > 0; size = size > 8 ? size >>> 1 : 0) {
      for (let ptr = heap.malloc(size); ptr !== NULL; ptr = heap.malloc(size)) full.push(ptr);
    }
    const worker = new FakeWorker();
    const descriptor = heap.supervise(worker);
    const error = refusalOf(() => attachAnother(descriptor));
    expect(error.code).toBe("ERR_OUT_OF_MEMORY");
    expect(error.message).toBe("Heap.attach: no room for a worker's record; give the heap more");
    heap.check();
    const blocks = [...heap.blocks()].filter(({ size, state }) => state === "live" && size >= 2000);
    for (const { ptr } of blocks.slice(0, 20)) heap.free(ptr);
    const other = attachAnother(heap);
    expect(other.slot).toBe(3);
    const late = attachAnother(descriptor);
    expect(late.slot).toBe(2);
    late.free(late.malloc(40));
    worker.exit();
    await turn();
    expect([heap.slots.isFree(2), heap.slots.isFree(3)]).toEqual([true, false]);
    other.free(other.malloc(40));
    heap.check();
  });
});

it("a slot that nobody kept is anyone's again when there is no room for a record", () => {
  while (heap.malloc(1024) !== NULL) continue;
  while (heap.malloc(64) !== NULL) continue;
  for (let i = 0; i < 3; i += 1) {
    const error = refusalOf(() => attachAnother(heap));
    expect(error.code).toBe("ERR_OUT_OF_MEMORY");
    expect(heap.slots.isFree(2)).toBe(true);
  }
  heap.check();
});
