import { beforeEach, describe, expect, it } from "vitest";
import { Heap } from "../src/heap.ts";
import { FLAG_SHARED, SUPERBLOCK } from "../src/layout.ts";
import type { Ptr } from "../src/ptr.ts";
import type { SharedHeap } from "../src/shared-heap.ts";
import { allowLive } from "../src/testing/heap-watch.ts";
import { random } from "../src/testing/stream.ts";
import { attachAnother } from "./agents.ts";
import { copyOf, expectSame, refusalOf } from "./refusal.ts";

// Blocks stay live where nothing else is tested than the heap that they lie in.
beforeEach(() => allowLive());

describe.each<[string, () => SharedHeap]>([
  ["a shared heap", () => new Heap({ bytes: 1 << 18, shared: true })],
  ["a shared heap that has grown", () => grown(new Heap({ bytes: 65536, maxBytes: 1 << 22, shared: true }))],
  ["a shared heap of 16-byte alignment", () => new Heap({ bytes: 1 << 18, alignment: 16, shared: true })],
  ["a range of a SharedArrayBuffer", () => Heap.adopt(new SharedArrayBuffer(300_000), { base: 4008, bytes: 280_000 })],
])("the image of %s", (_, make) => {
  let heap: SharedHeap;
  let other: SharedHeap;
  /** What is live, with what is in it. */
  let live: Map<Ptr, number>;

  beforeEach(() => {
    heap = make();
    other = attachAnother(heap);
    live = new Map();
    const next = random(7);
    for (let i = 0; i < 200; i += 1) {
      const agent = next() < 0.5 ? heap : other;
      const ptr = agent.malloc(Math.floor(next() ** 3 * 3000));
      agent.u8.fill(i, ptr, ptr + agent.usableSize(ptr));
      if (next() < 0.5) agent.free(ptr);
      else live.set(ptr, i);
    }
    heap.setRoot("first", [...live.keys()][0]!);
  });

  /** The image as a heap, at the base where it was made. */
  function open(image: ArrayBuffer): Heap {
    const buffer = new ArrayBuffer(heap.base + image.byteLength);
    new Uint8Array(buffer).set(new Uint8Array(image), heap.base);
    return Heap.attach(buffer, { base: heap.base });
  }

  it("is a private heap with the same blocks, contents and names, and changes nothing in the shared one", () => {
    const before = copyOf(heap);
    const image = heap.image();
    expectSame(heap, before);
    expect(image.byteLength).toBe(heap.size);
    const copy = open(image);
    copy.check();
    expect([copy.slot, copy.lock, copy.alignment]).toEqual([0, undefined, heap.alignment]);
    expect(copy.root("first")).toBe([...live.keys()][0]);
    expect(copy.stats().liveBlocks).toBe(live.size);
    for (const [ptr, value] of live) {
      expect(copy.usableSize(ptr)).toBe(heap.usableSize(ptr));
      const bytes = copy.bytes(ptr, copy.usableSize(ptr));
      expect(bytes.every((byte) => byte === (value & 0xff))).toBe(true);
    }
  });

  it("has free what magazines hold, the slots and the records", () => {
    const copy = open(heap.image());
    for (const ptr of live.keys()) copy.free(ptr);
    copy.setRoot("first", 0 as Ptr);
    copy.recover();
    copy.check();
    // Reserved is what the increments' start bits take, and nothing else.
    const reserved = copy
      .dump()
      .split("\n")
      .filter((line) => line.endsWith("reserved"));
    expect(reserved.length).toBe(
      heap
        .dump()
        .split("\n")
        .filter((line) => line.endsWith("reserved")).length - 4,
    );
    const { offsets } = SUPERBLOCK;
    const at = (offset: number): number => copy.u32[(copy.base + offset) >>> 2]!;
    expect(at(offsets.flags) & FLAG_SHARED).toBe(0);
    for (let offset = offsets.id; offset < offsets.quickMap; offset += 4) expect(at(offset)).toBe(0);
  });

  it("may be made while its agent holds the lock", () => {
    heap.lock.acquire();
    const image = heap.image();
    heap.lock.release();
    expectSame({ buffer: heap.image() }, new Uint8Array(image));
    expect(open(image).stats().liveBlocks).toBe(live.size);
  });

  it("can be shared again by nobody: it has one owner", () => {
    const copy = open(heap.image());
    expect(refusalOf(() => copy.share()).code).toBe("ERR_UNSUPPORTED");
  });
});

/** A heap of several increments. */
function grown(heap: SharedHeap): SharedHeap {
  heap.free(heap.malloc(200_000));
  heap.free(heap.malloc(900_000));
  return heap;
}
