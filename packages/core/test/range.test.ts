import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Heap } from "../src/heap.ts";
import { MAX_END_BYTES, SUPERBLOCK } from "../src/layout.ts";
import { SharedHeap } from "../src/shared-heap.ts";
import { allowLive } from "../src/testing/heap-watch.ts";
import type { HeapBuffer } from "../src/views.ts";
import { asAnother, attachAnother } from "./agents.ts";
import { copyOf, expectSame, refusalIn, refusalOf } from "./refusal.ts";

/** Where shared heaps lie; private ones are in heap.test.ts. */

// Blocks stay live where nothing else is tested than the heap that they lie in.
beforeEach(() => allowLive());
afterEach(() => {
  vi.unstubAllGlobals();
});

const PAGE_BYTES = 65536;

/** Word of a superblock's field. */
function wordOf(field: keyof typeof SUPERBLOCK.offsets, base: number = 0): number {
  return (base + SUPERBLOCK.offsets[field]) >>> 2;
}

describe("a shared heap of its own", () => {
  it("lies in a shared memory that is as large as it may become", () => {
    const heap = new Heap({ bytes: 100_000, maxBytes: 1_000_000, shared: true });
    expect(heap).toBeInstanceOf(SharedHeap);
    expect([heap.base, heap.size]).toEqual([0, 2 * PAGE_BYTES]);
    expect(heap.stats().maxBytes).toBe(16 * PAGE_BYTES);
    expect(heap.buffer).toBe(heap.memory?.buffer);
    expect(heap.grow(900_000)).toBe(true);
    expect(heap.size).toBeGreaterThan(900_000);
    heap.check();
  });

  it("without a maximum stays as it is", () => {
    const heap = new Heap({ bytes: 1, shared: true });
    expect([heap.size, heap.stats().maxBytes]).toEqual([PAGE_BYTES, PAGE_BYTES]);
    expect(heap.grow(PAGE_BYTES)).toBe(false);
    heap.check();
  });

  it("has the alignment that is asked for", () => {
    const heap = new Heap({ bytes: PAGE_BYTES, alignment: 16, shared: true });
    for (const size of [1, 20, 500, 2000]) expect(heap.malloc(size) % 16).toBe(0);
    heap.check();
  });

  it("is refused in sizes that no heap has, and where the engine has no such memory", () => {
    const make = (bytes: number, maxBytes?: number) => () =>
      new Heap({ bytes, ...(maxBytes !== undefined && { maxBytes }), shared: true });
    expect(refusalOf(make(MAX_END_BYTES + 1)).message).toBe(
      `new Heap: bytes ${MAX_END_BYTES + 1}; a heap has at most ${MAX_END_BYTES}`,
    );
    expect(refusalOf(make(PAGE_BYTES, PAGE_BYTES - 1)).code).toBe("ERR_INVALID_ARGUMENT");
    expect(refusalOf(make(PAGE_BYTES, 2 ** 32)).code).toBe("ERR_INVALID_ARGUMENT");
    const none = (): never => {
      throw new RangeError("no more");
    };
    vi.stubGlobal("WebAssembly", Object.assign(Object.create(WebAssembly), { Memory: none }));
    const error = refusalOf(make(PAGE_BYTES));
    expect([error.code, error.message]).toEqual([
      "ERR_OUT_OF_MEMORY",
      "new Heap: the engine has no buffer of 65536 bytes; ask for less",
    ]);
  });

  it.each([
    ["is not cross-origin isolated", () => vi.stubGlobal("crossOriginIsolated", false)],
    ["has no shared memory at all", () => vi.stubGlobal("SharedArrayBuffer", undefined)],
  ])("is refused in a page that %s; a private one is not", (_, stub) => {
    stub();
    const error = refusalOf(() => new Heap({ bytes: PAGE_BYTES, shared: true }));
    expect(error.code).toBe("ERR_NOT_ISOLATED");
    const headers = "Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp";
    expect(error.message).toBe(`new Heap: this page has no shared memory; serve it with ${headers}`);
    const heap = new Heap({ bytes: PAGE_BYTES, maxBytes: 2 * PAGE_BYTES });
    expect(Heap.attach(heap.image()).slot).toBe(0);
  });
});

describe("adopting shared memory", () => {
  it("takes the range that is given, and leaves the rest alone", () => {
    const buffer = new SharedArrayBuffer(100_000);
    const bytes = new Uint8Array(buffer).fill(0x77);
    const heap = Heap.adopt(buffer, { base: 8008, bytes: 80_000 });
    const other = asAnother(() => Heap.attach(buffer, { base: 8008 }));
    for (let size = 0; size < 5000; size += 50) (size % 100 === 0 ? heap : other).malloc(size);
    expect(other.slot).toBe(2);
    expect([heap.base, heap.size, heap.memory]).toEqual([8008, 80_000, undefined]);
    expect(bytes.subarray(0, 8008).every((byte) => byte === 0x77)).toBe(true);
    expect(bytes.subarray(88_008).every((byte) => byte === 0x77)).toBe(true);
    expect(heap.share()).toEqual({ heapwright: buffer, base: 8008, slot: 0 });
    heap.check();
  });

  it("takes a part of a memory, and grows behind what others have appended", () => {
    const memory = new WebAssembly.Memory({ initial: 3, maximum: 20, shared: true });
    const adopt = { base: PAGE_BYTES, bytes: PAGE_BYTES, maxBytes: 15 * PAGE_BYTES };
    const heap = Heap.adopt(memory, adopt);
    if (!(heap instanceof SharedHeap)) throw new Error("not shared");
    const other = attachAnother(heap);
    memory.grow(2);
    new Uint8Array(memory.buffer).fill(0x55, 3 * PAGE_BYTES);
    const ptr = other.malloc(4 * PAGE_BYTES);
    expect(ptr).toBeGreaterThanOrEqual(5 * PAGE_BYTES);
    heap.u8.fill(1, ptr, ptr + 4 * PAGE_BYTES);
    expect(new Uint8Array(memory.buffer, 3 * PAGE_BYTES, 2 * PAGE_BYTES).every((byte) => byte === 0x55)).toBe(true);
    heap.free(ptr);
    heap.check();
  });

  it("is refused for more than a buffer can do", () => {
    const buffer = new SharedArrayBuffer(PAGE_BYTES);
    const error = refusalIn({ buffer }, () => Heap.adopt(buffer, { maxBytes: 2 * PAGE_BYTES }));
    expect(error.code).toBe("ERR_UNSUPPORTED");
    const remedy = "only a WebAssembly.Memory can; leave maxBytes out";
    expect(error.message).toBe(`Heap.adopt: maxBytes 131072: a buffer cannot grow; ${remedy}`);
  });
});

describe("attaching to shared memory", () => {
  it("finds the heap by its memory, its buffer or what share gave", () => {
    const heap = new Heap({ bytes: PAGE_BYTES, shared: true });
    const ptr = heap.malloc(100);
    const sources = [heap.memory, heap.buffer, heap.share()];
    const slots = sources.map((source) => {
      const other: Heap<HeapBuffer> = asAnother(() => Heap.attach(source as SharedArrayBuffer));
      expect(other).toBeInstanceOf(SharedHeap);
      expect(other.usableSize(ptr)).toBe(104);
      return other.slot;
    });
    expect(slots).toEqual([2, 3, 4]);
    heap.check();
  });

  it("finds all of a memory that another agent grows just then", () => {
    const heap = new Heap({ bytes: PAGE_BYTES, maxBytes: 4 * PAGE_BYTES, shared: true });
    const { memory } = heap as SharedHeap;
    const old = memory!.buffer;
    heap.grow(PAGE_BYTES);
    // Who has taken the buffer, and not looked at the superblock yet.
    let reads = 0;
    Object.defineProperty(memory, "buffer", {
      configurable: true,
      get(this: WebAssembly.Memory) {
        reads += 1;
        return reads <= 2 ? old : Reflect.get(WebAssembly.Memory.prototype, "buffer", this);
      },
    });
    const other = attachAnother(heap);
    Reflect.deleteProperty(memory!, "buffer");
    expect(other.size).toBe(heap.size);
    other.free(heap.malloc(70_000));
    other.check();
  });

  it("finds all of a memory that another agent has grown, though the engine shows the old buffer still", () => {
    const heap = new Heap({ bytes: PAGE_BYTES, maxBytes: 16 * PAGE_BYTES, shared: true });
    const { memory } = heap as { memory: WebAssembly.Memory };
    const lagging = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    let { buffer } = memory;
    Object.defineProperty(lagging, "buffer", { get: () => buffer });
    lagging.grow = (pages) => {
      const before = memory.grow(pages);
      ({ buffer } = memory);
      return before;
    };
    const ptr = heap.malloc(10 * PAGE_BYTES);
    const other = asAnother(() => Heap.attach({ heapwright: lagging, base: 0, slot: 0 }));
    expect(other.usableSize(ptr)).toBe(10 * PAGE_BYTES);
    other.free(ptr);
    other.check();
  });

  it("is refused where there is none, with nothing changed", () => {
    const buffer = new SharedArrayBuffer(PAGE_BYTES);
    const nothing = refusalIn({ buffer }, () => Heap.attach(buffer));
    expect(nothing.code).toBe("ERR_NOT_A_HEAP");
    expect(nothing.message).toBe(
      "Heap.attach: no heap at base 0x0; pass a buffer that a heap was made in, and its base",
    );
    for (const base of [8, 4, PAGE_BYTES - 8, PAGE_BYTES, 1e9]) {
      expect(refusalIn({ buffer }, () => Heap.attach(buffer, { base })).code).toBe("ERR_NOT_A_HEAP");
    }
    expect(refusalOf(() => Heap.attach(new SharedArrayBuffer(0))).code).toBe("ERR_NOT_A_HEAP");
  });

  it("is refused for another layout version", () => {
    const heap = new Heap({ bytes: PAGE_BYTES, shared: true });
    heap.u32[wordOf("version")] = 2;
    const error = refusalIn(heap, () => attachAnother(heap));
    expect(error.code).toBe("ERR_LAYOUT_VERSION");
    expect(error.message).toBe(
      "Heap.attach: the heap has layout version 2, this package 1; use the version that made it",
    );
  });

  it("is refused at another base than it was made at", () => {
    const heap = new Heap({ bytes: PAGE_BYTES, shared: true });
    const buffer = new SharedArrayBuffer(2 * PAGE_BYTES);
    new Uint8Array(buffer).set(copyOf(heap), 8000);
    const error = refusalIn({ buffer }, () => Heap.attach(buffer, { base: 8000 }));
    expect(error.code).toBe("ERR_INVALID_ARGUMENT");
    expect(error.message).toBe("Heap.attach: made at base 0x0; attach it there, not at 0x1f40");
  });

  it("is refused for a private heap in shared memory, and for a shared one in private memory", () => {
    const heap = new Heap({ bytes: PAGE_BYTES });
    const buffer = new SharedArrayBuffer(PAGE_BYTES);
    new Uint8Array(buffer).set(copyOf(heap));
    const moved = refusalIn({ buffer }, () => Heap.attach(buffer));
    expect(moved.code).toBe("ERR_NOT_A_HEAP");
    const remedy = "pass a buffer that a heap was made in, and its base";
    expect(moved.message).toBe(`Heap.attach: the heap was made in private memory; ${remedy}`);
    const shared = new Heap({ bytes: PAGE_BYTES, shared: true });
    const copy = refusalOf(() => Heap.attach(copyOf(shared).buffer as ArrayBuffer));
    expect(copy.code).toBe("ERR_NOT_A_HEAP");
    expect(copy.message).toBe(`Heap.attach: the copy of a shared heap, made without \`image\`; ${remedy}`);
  });

  it.each([0, 4, 2616, 61_448, PAGE_BYTES, 0xffff_fff8])("is refused for a table of slots at %d", (slots) => {
    const heap = new Heap({ bytes: PAGE_BYTES, shared: true });
    heap.u32[wordOf("slots")] = slots;
    const error = refusalIn(heap, () => attachAnother(heap));
    expect(error.code).toBe("ERR_NOT_A_HEAP");
    const remedy = "pass what share() or supervise() gave";
    expect(error.message).toBe(`Heap.attach: a shared heap at base 0x0 without a table of slots; ${remedy}`);
  });

  it("is refused for the buffer of a memory that may grow: growth would not be seen there", () => {
    const heap = new Heap({ bytes: PAGE_BYTES, maxBytes: 2 * PAGE_BYTES, shared: true });
    const error = refusalIn(heap, () => Heap.attach(heap.buffer));
    expect(error.code).toBe("ERR_UNSUPPORTED");
    const finding = "the heap can grow, and a buffer does not show that";
    expect(error.message).toBe(`Heap.attach: ${finding}; pass its memory, or what share() gave`);
    expect(heap.grow(60_000)).toBe(true);
    expect(heap.size).toBe(2 * PAGE_BYTES);
    expect(asAnother(() => Heap.attach(heap.buffer)).slot).toBe(2);
  });

  it("is refused for a heap that is larger than its memory", () => {
    const heap = new Heap({ bytes: 2 * PAGE_BYTES, shared: true });
    const buffer = new SharedArrayBuffer(PAGE_BYTES);
    new Uint8Array(buffer).set(copyOf(heap).subarray(0, PAGE_BYTES));
    const error = refusalIn({ buffer }, () => Heap.attach(buffer));
    expect(error.code).toBe("ERR_NOT_A_HEAP");
    expect(error.message).toMatch(/^Heap\.attach: the heap has 131072 bytes, the buffer 65536 from there; /);
  });

  it("is refused while another agent holds the lock; the slot is not lost by that", () => {
    const heap = new Heap({ bytes: PAGE_BYTES, shared: true });
    let now = 0;
    const clock = vi.spyOn(Date, "now").mockImplementation(() => (now += 3000));
    heap.lock.acquire();
    const before = copyOf(heap);
    for (let i = 0; i < 3; i += 1) {
      expect(refusalOf(() => attachAnother(heap)).code).toBe("ERR_WOULD_BLOCK");
      // But for the mark of who would have slept.
      Atomics.store(heap.i32, heap.lock.word, heap.lock.me);
      expectSame(heap, before);
    }
    heap.lock.release();
    clock.mockRestore();
    expect(attachAnother(heap).slot).toBe(2);
    heap.check();
  });
});
