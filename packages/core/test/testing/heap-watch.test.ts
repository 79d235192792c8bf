import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Heap } from "../../src/heap.ts";
import { asPtr, NULL } from "../../src/ptr.ts";
import { seedFromEnv } from "../../src/testing/env.ts";
import { allowLive, forget, HeapWatch } from "../../src/testing/heap-watch.ts";
import { replay } from "../../src/testing/replay.ts";
import { operations } from "../../src/testing/stream.ts";

const leak = (text: string): unknown =>
  expect.objectContaining({ name: "ShadowError", message: expect.stringContaining(text) });

let watch: HeapWatch;

beforeEach(() => {
  // Whoever watches this test itself must bear what it does.
  allowLive();
  watch = new HeapWatch();
  watch.install();
  watch.begin();
});
afterEach(() => watch.uninstall());

describe("a test", () => {
  it("that frees all it allocates passes, whatever it calls", () => {
    const heap = new Heap({ bytes: 1 << 20 });
    const blocks = [heap.malloc(10), heap.calloc(3, 5), heap.alignedAlloc(256, 9), heap.realloc(NULL, 70)];
    blocks[0] = heap.realloc(blocks[0]!, 5000);
    heap.setRoot("kept", blocks[1]!);
    expect(heap.stats().liveBlocks).toBe(4);
    for (const ptr of blocks) heap.free(ptr);
    heap.free(NULL);
    expect(() => watch.end()).not.toThrow();
  });

  it("that leaves a block fails, and the next one does not", () => {
    const heap = new Heap({ bytes: 1 << 16 });
    const kept = heap.malloc(10);
    heap.free(heap.malloc(30));
    expect(() => watch.end()).toThrow(leak(`1 blocks with 10 bytes are still live; free each:\n  block 1, 10 bytes`));
    watch.begin();
    heap.free(heap.malloc(10));
    expect(() => watch.end()).not.toThrow();
    watch.begin();
    heap.free(kept);
    heap.malloc(20);
    expect(() => watch.end()).toThrow(leak("1 blocks with 20 bytes"));
  });

  it("may say that it leaves blocks, for itself alone", () => {
    const heap = new Heap({ bytes: 1 << 16 });
    heap.malloc(10);
    allowLive();
    expect(() => watch.end()).not.toThrow();
    watch.begin();
    heap.malloc(10);
    expect(() => watch.end()).toThrow(leak("1 blocks"));
  });

  it("may use shared heaps, whose blocks other workers free: they go unwatched, with all that they reserve", () => {
    const heap = new Heap({ bytes: 1 << 16, shared: true });
    heap.malloc(10);
    heap.free(heap.malloc(5000));
    expect(heap.stats().liveBlocks).toBe(1);
    expect(() => watch.end()).not.toThrow();
    // One that is made where a private one was has nothing to do with it.
    const adopted = Heap.adopt(new SharedArrayBuffer(65536));
    adopted.malloc(2000);
    expect(() => watch.end()).not.toThrow();
  });

  it("that damages a heap fails, unless it says so", () => {
    const heap = new Heap({ bytes: 1 << 16 });
    const other = new Heap({ bytes: 1 << 16 });
    for (const damaged of [heap, other]) {
      const ptr = damaged.malloc(8);
      const header = damaged.u32[(ptr - 4) >>> 2]!;
      damaged.free(ptr);
      damaged.u32[(ptr - 4) >>> 2] = header + 800;
    }
    forget(other);
    expect(() => watch.end()).toThrow(expect.objectContaining({ code: "ERR_CORRUPT" }));
    forget(heap);
    watch.begin();
    expect(() => heap.malloc(8)).toThrow(expect.objectContaining({ code: "ERR_CORRUPT" }));
    expect(() => watch.end()).not.toThrow();
  });

  it("may lose a heap's buffer, and the blocks with it", () => {
    const heap = new Heap({ bytes: 1 << 16 });
    heap.malloc(10);
    structuredClone(heap.buffer, { transfer: [heap.buffer] });
    expect(() => heap.malloc(1)).toThrow(expect.objectContaining({ code: "ERR_DESTROYED" }));
    heap.free(NULL);
    expect(() => watch.end()).not.toThrow();
  });

  it("is told where, when asked", () => {
    watch.uninstall();
    watch = new HeapWatch({ stacks: true });
    watch.install();
    new Heap({ bytes: 1 << 16 }).malloc(10);
    expect(() => watch.end()).toThrow(leak("heap-watch.test"));
  });
});

describe("one heap", () => {
  it("may have several instances", () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 100 });
    const one = Heap.adopt(memory, { maxBytes: 50 * 65_536 });
    const other = Heap.attach(memory);
    const ptr = one.malloc(10);
    other.free(ptr);
    one.free(other.malloc(1 << 20));
    expect(() => watch.end()).not.toThrow();
    watch.begin();
    one.malloc(5);
    other.malloc(6);
    expect(() => watch.end()).toThrow(leak("2 blocks with 11 bytes"));
  });

  it("is called through the instance that the caller has", () => {
    watch.uninstall();
    const proto: Heap = Heap.prototype;
    const before = Object.getOwnPropertyDescriptor(proto, "malloc");
    const { malloc } = proto;
    const called: Heap[] = [];
    proto.malloc = function (size) {
      called.push(this);
      return malloc.call(this, size);
    };
    watch.install();
    const one = new Heap({ bytes: 1 << 16 });
    const other = Heap.attach(one.buffer);
    one.free(one.malloc(1));
    one.free(other.malloc(1));
    watch.uninstall();
    Reflect.deleteProperty(proto, "malloc");
    if (before !== undefined) Object.defineProperty(proto, "malloc", before);
    expect(called.map((heap) => heap === other)).toEqual([false, true]);
  });

  it("may have its bytes put back, when it is forgotten", () => {
    const heap = new Heap({ bytes: 1 << 16 });
    const image = new Uint8Array(heap.image());
    const ptr = heap.malloc(8);
    heap.u8.set(image);
    expect(() => heap.malloc(8)).toThrow(leak("overlap"));
    heap.u8.set(image);
    forget(heap);
    expect(heap.malloc(8)).toBe(ptr);
    expect(() => watch.end()).not.toThrow();
  });

  it("may share its buffer with another", () => {
    const buffer = new ArrayBuffer(1 << 17);
    const low = Heap.adopt(buffer, { bytes: 1 << 16 });
    const high = Heap.adopt(buffer, { base: 1 << 16 });
    low.free(low.malloc(10));
    high.malloc(7);
    forget(low);
    expect(() => watch.end()).toThrow(leak("1 blocks with 7 bytes"));
  });

  it("may be an image, with blocks from before", () => {
    const source = new Heap({ bytes: 1 << 16 });
    const [a, b] = [source.malloc(10), source.malloc(20)];
    const copy = Heap.attach(source.image());
    copy.free(a);
    source.free(a);
    source.free(b);
    expect(() => watch.end()).not.toThrow();
    expect(copy.usableSize(b)).toBeGreaterThanOrEqual(20);
    expect(() => copy.free(a)).toThrow(expect.objectContaining({ code: "ERR_DOUBLE_FREE" }));
  });

  it("may be formatted anew, and what was live is gone", () => {
    const buffer = new ArrayBuffer(1 << 16);
    Heap.adopt(buffer).malloc(100);
    const heap = Heap.adopt(buffer);
    const ptr = heap.malloc(200);
    heap.free(ptr);
    expect(() => watch.end()).not.toThrow();
  });

  it("is not gone when a heap beside it is formatted", () => {
    const buffer = new ArrayBuffer(1 << 17);
    const low = Heap.adopt(buffer, { bytes: 1 << 16 });
    low.malloc(10);
    Heap.adopt(buffer, { base: 1 << 16 });
    expect(() => watch.end()).toThrow(leak("1 blocks with 10 bytes"));
  });

  it("may be under a shadow heap as well", () => {
    replay(new Heap({ bytes: 1 << 20 }), operations({ seed: seedFromEnv(), count: 1000, maxLive: 50 }));
    expect(() => watch.end()).not.toThrow();
  });
});

describe("a faulty heap is noticed at the call", () => {
  const proto: Heap = Heap.prototype;
  let before: Record<string, PropertyDescriptor | undefined>;

  beforeEach(() => {
    watch.uninstall();
    before = Object.fromEntries(["malloc", "free"].map((name) => [name, Object.getOwnPropertyDescriptor(proto, name)]));
  });
  afterEach(() => {
    watch.uninstall();
    for (const [name, descriptor] of Object.entries(before)) {
      Reflect.deleteProperty(proto, name);
      if (descriptor !== undefined) Object.defineProperty(proto, name, descriptor);
    }
  });

  it("when it hands out a live block", () => {
    const { malloc } = proto;
    let first = NULL;
    proto.malloc = function (size) {
      if (first === NULL) first = malloc.call(this, size);
      return first;
    };
    watch.install();
    const heap = new Heap({ bytes: 1 << 16 });
    heap.malloc(8);
    expect(() => heap.malloc(8)).toThrow(leak("overlap block 1, 8 bytes"));
  });

  it("when it takes back what is no block", () => {
    proto.free = () => {};
    watch.install();
    expect(() => new Heap({ bytes: 1 << 16 }).free(asPtr(8192))).toThrow(leak("was accepted"));
  });
});

describe("install and uninstall", () => {
  const names = ["malloc", "calloc", "realloc", "alignedAlloc", "free", "setRoot"] as const;

  it("leave Heap as it was", () => {
    watch.uninstall();
    const before = names.map((name) => Object.getOwnPropertyDescriptor(Heap.prototype, name));
    const { adopt } = Heap;
    watch.install();
    watch.install();
    expect(Heap.adopt).not.toBe(adopt);
    watch.uninstall();
    watch.uninstall();
    expect(names.map((name) => Object.getOwnPropertyDescriptor(Heap.prototype, name))).toEqual(before);
    expect(Heap.adopt).toBe(adopt);
  });

  it("may be stacked", () => {
    const inner = new HeapWatch();
    inner.install();
    inner.begin();
    const heap = new Heap({ bytes: 1 << 16 });
    heap.free(heap.realloc(heap.malloc(10), 5000));
    heap.malloc(3);
    expect(() => inner.end()).toThrow(leak("1 blocks with 3 bytes"));
    inner.uninstall();
    expect(() => watch.end()).toThrow(leak("1 blocks with 3 bytes"));
  });
});

it("allowLive and forget do nothing when no one watches", () => {
  watch.uninstall();
  allowLive();
  forget(new Heap({ bytes: 1 << 16 }));
  watch.install();
  new Heap({ bytes: 1 << 16 }).malloc(10);
  expect(() => watch.end()).toThrow(leak("1 blocks"));
});
