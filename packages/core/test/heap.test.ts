import { beforeEach, describe, expect, it } from "vitest";
import { MAX_END_BYTES, PAGE_BYTES, SUPERBLOCK } from "../src/layout.ts";
import { HeapError } from "../src/errors.ts";
import { Heap } from "../src/heap.ts";
import { asPtr, NULL, type Ptr } from "../src/ptr.ts";
import { SharedHeap } from "../src/shared-heap.ts";
import { random } from "../src/testing/stream.ts";
import { allowLive, forget } from "../src/testing/heap-watch.ts";
import { flush } from "../src/quick-lists.ts";
import type { HeapBuffer } from "../src/views.ts";
import { neighbours } from "./neighbours.ts";
import { copyOf, expectSame, refusalIn, refusalOf } from "./refusal.ts";

// Blocks stay live where nothing else is tested than the heap that they lie in.
beforeEach(() => allowLive());

/** Allocates and frees until nothing is as it was; returns what stays live, each block filled with its own byte. */
function churn(heap: Heap, seed: number, count: number = 2000, maxSize: number = 400): Map<Ptr, number> {
  const next = random(seed);
  const live = new Map<Ptr, number>();
  for (let i = 0; i < count; i += 1) {
    if (next() < 0.55) {
      const size = Math.floor(next() * maxSize);
      const ptr = heap.malloc(size);
      if (ptr === NULL) continue;
      heap.bytes(ptr, size).fill(ptr >>> 3);
      live.set(ptr, size);
    } else {
      const [ptr] = live.keys();
      if (ptr === undefined) continue;
      live.delete(ptr);
      heap.free(ptr);
    }
  }
  return live;
}

function expectContents(heap: Heap, live: Map<Ptr, number>): void {
  for (const [ptr, size] of live) {
    const expected = new Uint8Array(size).fill(ptr >>> 3);
    expect(Buffer.compare(heap.bytes(ptr, size), expected), `block ${ptr} of ${size} bytes`).toBe(0);
  }
}

function liveOf(heap: Heap): { ptr: Ptr; size: number }[] {
  return [...heap.blocks()].filter(({ state }) => state === "live").map(({ ptr, size }) => ({ ptr, size }));
}

describe("making a heap", () => {
  it("lies in an ArrayBuffer of just its size when it is not to grow", () => {
    const heap = new Heap({ bytes: 100_000 });
    expect(heap.buffer).toBeInstanceOf(ArrayBuffer);
    expect(heap.buffer.byteLength).toBe(100_000);
    expect(heap.memory).toBeUndefined();
    expect([heap.base, heap.size, heap.alignment]).toEqual([0, 100_000, 8]);
    expect(heap.stats()).toMatchObject({ bytes: 100_000, maxBytes: 100_000 });
  });

  it("lies in an unshared WebAssembly.Memory of whole pages when it may grow", () => {
    const heap = new Heap({ bytes: 100_000, maxBytes: 300_000 });
    expect(heap.memory).toBeInstanceOf(WebAssembly.Memory);
    expect(heap.buffer).toBe(heap.memory?.buffer);
    expect(heap.stats()).toMatchObject({ bytes: 2 * PAGE_BYTES, maxBytes: 5 * PAGE_BYTES });
  });

  it("holds no live block, and all of what is free can be had in one piece", () => {
    for (const heap of [new Heap({ bytes: 65536 }), new Heap({ bytes: 65536, maxBytes: 1 << 20 })]) {
      const { liveBlocks, liveBytes, freeBytes, footprint } = heap.stats();
      expect([liveBlocks, liveBytes]).toEqual([0, 0]);
      // All up to the first header.
      expect(footprint).toBe(heap.size - freeBytes - 16);
      expect(heap.malloc(freeBytes)).not.toBe(NULL);
      expect(heap.stats()).toMatchObject({ liveBlocks: 1, liveBytes: freeBytes, freeBytes: 0, bytes: 65536 });
      heap.check();
    }
  });

  it("rounds its size up to the alignment", () => {
    expect(new Heap({ bytes: 65531 }).size).toBe(65536);
    expect(new Heap({ bytes: 65537, alignment: 16 }).size).toBe(65552);
  });

  it("refuses sizes that are too small, and accepts the first that is not", () => {
    const codeOf = (bytes: number): string | undefined => {
      try {
        new Heap({ bytes });
      } catch (error) {
        return error instanceof HeapError ? error.code : String(error);
      }
      return undefined;
    };
    let bytes = 0;
    for (let code = codeOf(0); code !== undefined; code = codeOf(bytes)) {
      expect(code).toBe("ERR_INVALID_ARGUMENT");
      bytes += 8;
    }
    const heap = new Heap({ bytes });
    heap.check();
    const ptr = heap.malloc(8);
    expect(ptr).not.toBe(NULL);
    expect(heap.malloc(0)).toBe(NULL);
    heap.free(ptr);
    heap.check();
  });

  it("refuses a maximum below its size or above 4 GiB less a page", () => {
    const codeOf = (bytes: number, maxBytes: number): string => refusalOf(() => new Heap({ bytes, maxBytes })).code;
    expect(codeOf(1 << 20, (1 << 20) - 1)).toBe("ERR_INVALID_ARGUMENT");
    expect(codeOf(1 << 20, MAX_END_BYTES + 1)).toBe("ERR_INVALID_ARGUMENT");
    expect(refusalOf(() => new Heap({ bytes: MAX_END_BYTES + 1 })).code).toBe("ERR_INVALID_ARGUMENT");
  });

  it("says that it is the heap that an allocator has", () => {
    const heap = new Heap({ bytes: 65536 });
    expect(heap.heap).toBe(heap);
  });
});

describe("adopting", () => {
  it("takes a whole ArrayBuffer", () => {
    const buffer = new ArrayBuffer(65536);
    const heap = Heap.adopt(buffer);
    expect(heap.buffer).toBe(buffer);
    expect(heap.stats()).toMatchObject({ bytes: 65536, maxBytes: 65536, liveBlocks: 0, liveBytes: 0 });
  });

  it("takes a whole WebAssembly.Memory, which does not grow unless a maximum says so", () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 4 });
    const fixed = Heap.adopt(memory);
    expect(fixed.memory).toBe(memory);
    expect(fixed.malloc(65536)).toBe(NULL);
    expect(memory.buffer.byteLength).toBe(65536);
    const growing = Heap.adopt(memory, { maxBytes: 4 * 65536 });
    expect(growing.malloc(65536)).not.toBe(NULL);
    expect(memory.buffer.byteLength).toBeGreaterThan(65536);
  });

  it.each([
    [8, 8192, 8],
    [24, 20_000, 8],
    [48, 20_000, 16],
    [40_008, 20_000, 8],
  ] as const)(
    "leaves the bytes outside a range at base %d alone, whatever is done inside",
    (base, bytes, alignment) => {
      for (const source of [new ArrayBuffer(65536), new WebAssembly.Memory({ initial: 1 })]) {
        const whole = new Uint8Array(source instanceof ArrayBuffer ? source : source.buffer);
        const next = random(base);
        for (let i = 0; i < whole.length; i += 1) whole[i] = Math.floor(next() * 256);
        const before = whole.slice();
        const heap = Heap.adopt(source, { base, bytes, alignment });
        expect([heap.base, heap.size]).toEqual([base, bytes]);
        const live = churn(heap, 7);
        expectContents(heap, live);
        heap.setRoot("root", [...live.keys()][0] ?? NULL);
        heap.check();
        for (const ptr of live.keys()) {
          expect(ptr).toBeGreaterThan(base);
          expect(ptr).toBeLessThan(base + bytes);
          heap.free(ptr);
        }
        flush(heap);
        heap.check();
        expect(Buffer.compare(whole.subarray(0, base), before.subarray(0, base))).toBe(0);
        expect(Buffer.compare(whole.subarray(base + bytes), before.subarray(base + bytes))).toBe(0);
      }
    },
  );

  it("takes all from the base to the end when no size is given", () => {
    const heap = Heap.adopt(new ArrayBuffer(10_004), { base: 16 });
    expect(heap.stats().bytes).toBe(9984);
    heap.check();
  });

  it("refuses a range that is not inside, a base that is not aligned, and a buffer that shall grow", () => {
    const buffer = new ArrayBuffer(65536);
    new Uint8Array(buffer).fill(0xa5);
    const adopt =
      (options: object): (() => unknown) =>
      () =>
        Heap.adopt(buffer, options);
    expect(refusalIn({ buffer }, adopt({ bytes: 65544 })).code).toBe("ERR_INVALID_ARGUMENT");
    expect(refusalIn({ buffer }, adopt({ base: 8, bytes: 65536 })).code).toBe("ERR_INVALID_ARGUMENT");
    expect(refusalIn({ buffer }, adopt({ base: 65536 })).code).toBe("ERR_INVALID_ARGUMENT");
    expect(refusalIn({ buffer }, adopt({ base: 131_072 })).code).toBe("ERR_INVALID_ARGUMENT");
    expect(refusalIn({ buffer }, adopt({ base: 4 })).code).toBe("ERR_INVALID_ARGUMENT");
    expect(refusalIn({ buffer }, adopt({ base: 8, alignment: 16 })).code).toBe("ERR_INVALID_ARGUMENT");
    expect(refusalIn({ buffer }, adopt({ bytes: 512 })).code).toBe("ERR_INVALID_ARGUMENT");
    expect(refusalIn({ buffer }, adopt({ maxBytes: 65535 })).code).toBe("ERR_INVALID_ARGUMENT");
    expect(refusalIn({ buffer }, adopt({ maxBytes: 131_072 })).code).toBe("ERR_UNSUPPORTED");
  });

  it.each([
    ["ArrayBuffer is resizable", new ArrayBuffer(65536, { maxByteLength: 131_072 })],
    ["SharedArrayBuffer is growable", new SharedArrayBuffer(65536, { maxByteLength: 131_072 })],
  ])("refuses a buffer that can be resized: the %s", (finding, source) => {
    const remedy = "a heap there would be slow, and so would others in the process; pass one of fixed length";
    for (const call of ["adopt", "attach"] as const) {
      const error = refusalOf(() => Heap[call](source as ArrayBuffer));
      expect(error).toMatchObject({ code: "ERR_UNSUPPORTED", message: `Heap.${call}: the ${finding}; ${remedy}` });
    }
  });

  it("makes a shared heap of shared memory", () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 2, shared: true });
    for (const source of [new SharedArrayBuffer(65536), memory]) {
      const heap: Heap<HeapBuffer> = Heap.adopt(source as SharedArrayBuffer);
      expect(heap).toBeInstanceOf(SharedHeap);
      expect(heap).toBeInstanceOf(Heap);
      expect(heap.slot).toBe(1);
      heap.check();
    }
  });
});

describe("attaching", () => {
  it("to the same buffer twice gives the same heap: what one allocates the other frees", () => {
    const one = new Heap({ bytes: 65536, alignment: 16 });
    const other = Heap.attach(one.buffer);
    expect(other.alignment).toBe(16);
    for (let i = 0; i < 500; i += 1) {
      const [taker, giver] = i % 2 === 0 ? [one, other] : [other, one];
      const kept = taker.malloc(i);
      const ptr = giver.malloc(i);
      expect(ptr).not.toBe(kept);
      taker.free(ptr);
      if (i % 3 !== 0) giver.free(kept);
      expect(other.stats()).toEqual(one.stats());
    }
    one.check();
    other.check();
  });

  it("to the same memory twice survives that either grows it", () => {
    const one = new Heap({ bytes: 65536, maxBytes: 1 << 22 });
    const other = Heap.attach(one.memory ?? one.buffer);
    for (let i = 0; i < 40; i += 1) {
      const [taker, giver] = i % 2 === 0 ? [one, other] : [other, one];
      const ptr = taker.malloc(20_000 + i);
      expect(giver.usableSize(ptr)).toBeGreaterThanOrEqual(20_000 + i);
      if (i % 4 === 3) giver.free(ptr);
    }
    expect(one.size).toBeGreaterThan(65536);
    expect(other.size).toBe(one.size);
    expect(other.stats()).toEqual(one.stats());
    one.check();
    other.check();
  });

  it("to an image gives the same blocks with the same contents, and the image is a copy", () => {
    const heap = new Heap({ bytes: 1 << 20, maxBytes: 1 << 22 });
    const live = churn(heap, 11);
    heap.setRoot("first", [...live.keys()][0] ?? NULL);
    const image = heap.image();
    expect(image.byteLength).toBe(heap.size);
    const copy = Heap.attach(image);
    expect([...copy.blocks()]).toEqual([...heap.blocks()]);
    expect(copy.stats()).toEqual({ ...heap.stats(), maxBytes: image.byteLength });
    expect(copy.root("first")).toBe(heap.root("first"));
    expectContents(copy, live);
    copy.check();

    const before = copyOf(heap);
    for (const ptr of live.keys()) copy.free(ptr);
    expect(copy.stats()).toMatchObject({ liveBlocks: 0, liveBytes: 0 });
    churn(copy, 12);
    copy.check();
    expectSame(heap, before);
  });

  it("to an image at the base it was made at", () => {
    const heap = Heap.adopt(new ArrayBuffer(100_000), { base: 30_008, bytes: 40_000 });
    const live = churn(heap, 13);
    const elsewhere = new Uint8Array(90_000);
    elsewhere.set(new Uint8Array(heap.image()), 30_008);
    const copy = Heap.attach(elsewhere.buffer, { base: 30_008 });
    expect([...copy.blocks()]).toEqual([...heap.blocks()]);
    expectContents(copy, live);
    copy.check();
    expect(refusalOf(() => Heap.attach(heap.image())).code).toBe("ERR_INVALID_ARGUMENT");
  });

  it("is refused for strangers, other versions, other bases and cut images", () => {
    const image = new Heap({ bytes: 65536 }).image();
    const changed = (field: keyof typeof SUPERBLOCK.offsets, value: number): ArrayBuffer => {
      const copy = image.slice(0);
      new Uint32Array(copy)[SUPERBLOCK.offsets[field] >>> 2] = value;
      return copy;
    };
    const codeOf = (buffer: ArrayBuffer, base: number = 0): string => {
      const before = copyOf({ buffer });
      const { code } = refusalOf(() => Heap.attach(buffer, { base }));
      expectSame({ buffer }, before);
      return code;
    };
    expect(codeOf(new ArrayBuffer(0))).toBe("ERR_NOT_A_HEAP");
    expect(codeOf(new ArrayBuffer(65536))).toBe("ERR_NOT_A_HEAP");
    expect(codeOf(changed("magic", 0x52575047))).toBe("ERR_NOT_A_HEAP");
    expect(codeOf(image, 8)).toBe("ERR_NOT_A_HEAP");
    expect(codeOf(image, 4)).toBe("ERR_NOT_A_HEAP");
    expect(codeOf(image, 65536)).toBe("ERR_NOT_A_HEAP");
    expect(codeOf(changed("version", 2))).toBe("ERR_LAYOUT_VERSION");
    expect(codeOf(changed("base", 64))).toBe("ERR_INVALID_ARGUMENT");
    expect(codeOf(changed("flags", 1 + (3 << 8)))).toBe("ERR_NOT_A_HEAP");
    expect(codeOf(image.slice(0, 65528))).toBe("ERR_NOT_A_HEAP");
    expect(codeOf(image.slice(0, 100))).toBe("ERR_NOT_A_HEAP");
    expect(codeOf(changed("bytes", 65544))).toBe("ERR_NOT_A_HEAP");
  });
});

describe("growing", () => {
  it("keeps contents and blocks while it grows from one page to hundreds", () => {
    const heap = new Heap({ bytes: 65536, maxBytes: 1 << 25 });
    const live = new Map<Ptr, number>();
    for (let i = 0; i < 3000; i += 1) {
      const size = (i * 37) % 9000;
      const ptr = heap.malloc(size);
      expect(ptr).not.toBe(NULL);
      heap.bytes(ptr, size).fill(ptr >>> 3);
      live.set(ptr, size);
    }
    expect(heap.size).toBeGreaterThan(13_000_000);
    expectContents(heap, live);
    heap.check();
    for (const ptr of live.keys()) heap.free(ptr);
    expect(heap.stats()).toMatchObject({ liveBlocks: 0, liveBytes: 0 });
    heap.check();
  });

  it("takes its views anew: those of before are detached, `heap.u32` is not", () => {
    const heap = new Heap({ bytes: 65536, maxBytes: 1 << 22 });
    const ptr = heap.calloc(1, 64);
    const old = [heap.u8, heap.i8, heap.u16, heap.i16, heap.u32, heap.i32, heap.f32, heap.f64, heap.u64, heap.i64];
    heap.u32[ptr >>> 2] = 0x3ff0_0001;
    expect(heap.malloc(1 << 20)).not.toBe(NULL);
    expect(old.map((view) => view.length)).toEqual(Array.from({ length: 10 }, () => 0));
    expect(heap.u32[ptr >>> 2]).toBe(0x3ff0_0001);
    expect(heap.u8.length).toBe(heap.buffer.byteLength);
  });

  it("never passes its maximum", () => {
    const heap = new Heap({ bytes: 65536, maxBytes: 5 * 65536 });
    const blocks: Ptr[] = [];
    for (let ptr = heap.malloc(1000); ptr !== NULL; ptr = heap.malloc(1000)) blocks.push(ptr);
    expect(heap.buffer.byteLength).toBe(5 * 65536);
    expect(heap.stats()).toMatchObject({ bytes: 5 * 65536, maxBytes: 5 * 65536 });
    expect(blocks.length * 1008).toBeGreaterThan(5 * 65536 * 0.94);
    heap.check();
  });

  it("makes room ahead of need, and says whether there is any", () => {
    const heap = new Heap({ bytes: 65536, maxBytes: 1 << 20 });
    expect(heap.grow(500_000)).toBe(true);
    const { size } = heap;
    expect(size).toBeGreaterThan(500_000);
    expect(heap.malloc(500_000)).not.toBe(NULL);
    expect(heap.size).toBe(size);
    expect(heap.grow(800_000)).toBe(false);
    expect(heap.size).toBe(size);
    heap.check();
  });

  it("need not grow for a piece that is there", () => {
    const fixed = new Heap({ bytes: 65536 });
    expect(fixed.grow(1000)).toBe(true);
    expect(fixed.grow(65536)).toBe(false);
    const growing = new Heap({ bytes: 65536, maxBytes: 1 << 20 });
    expect(growing.grow(1000)).toBe(true);
    expect(growing.size).toBe(65536);
  });

  it("keeps a range's base when it lies in someone's memory, and its maximum counts from there", () => {
    const memory = new WebAssembly.Memory({ initial: 2, maximum: 16 });
    new Uint8Array(memory.buffer, 0, 65536).fill(0x5a);
    const heap = Heap.adopt(memory, { base: 65536, bytes: 65536, maxBytes: 4 * 65536 });
    while (heap.malloc(5000) !== NULL);
    expect(memory.buffer.byteLength).toBe(5 * 65536);
    expect(new Uint8Array(memory.buffer, 0, 65536).every((byte) => byte === 0x5a)).toBe(true);
    heap.check();
  });
});

describe("a memory that someone else grows", () => {
  const grown = (): { heap: Heap; memory: WebAssembly.Memory; ptr: Ptr; high: Ptr } => {
    const heap = new Heap({ bytes: 65536, maxBytes: 1 << 22 });
    const ptr = heap.calloc(1, 100);
    // Room below the highest block, so that what is handed out next need not raise the footprint.
    const gap = heap.malloc(4000);
    const high = heap.malloc(1000);
    heap.free(gap);
    const { memory } = heap;
    if (memory === undefined) throw new Error("no memory");
    memory.grow(2);
    return { heap, memory, ptr, high };
  };

  it.each<[string, (heap: Heap, ptr: Ptr) => unknown]>([
    ["malloc", (heap) => heap.malloc(10)],
    ["malloc of much", (heap) => heap.malloc(100_000)],
    ["calloc", (heap) => heap.calloc(10, 10)],
    ["realloc", (heap, ptr) => heap.realloc(ptr, 5000)],
    ["alignedAlloc", (heap) => heap.alignedAlloc(64, 100)],
    ["free", (heap, ptr) => heap.free(ptr)],
    ["usableSize", (heap, ptr) => heap.usableSize(ptr)],
    ["bytes", (heap, ptr) => heap.bytes(ptr, 100)],
    ["setRoot", (heap, ptr) => heap.setRoot("root", ptr)],
    ["root", (heap) => heap.root("root")],
    ["image", (heap) => heap.image()],
    ["stats", (heap) => heap.stats()],
    ["blocks", (heap) => [...heap.blocks()]],
    ["dump", (heap) => heap.dump()],
    ["grow", (heap) => heap.grow(100_000)],
  ])("%s works as the first call afterwards", (_, call) => {
    const { heap, ptr, high } = grown();
    const { footprint } = Heap.attach(heap.image()).stats();
    const fresh = grown();
    call(fresh.heap, fresh.ptr);
    fresh.heap.check();
    expect(fresh.heap.stats().footprint).toBeGreaterThanOrEqual(footprint);
    expect(fresh.heap.usableSize(fresh.high)).toBe(heap.usableSize(high));
    expect(fresh.ptr).toBe(ptr);
  });

  it("has its pages stepped over, and they stay as they are", () => {
    const { heap, memory, ptr } = grown();
    const foreign = (): Uint8Array => new Uint8Array(memory.buffer, 65536, 2 * 65536);
    foreign().fill(0xc3);
    const live = churn(heap, 17, 1000, 5000);
    heap.check();
    expect(heap.size).toBeGreaterThan(4 * 65536);
    expect(foreign().every((byte) => byte === 0xc3)).toBe(true);
    for (const block of live.keys()) {
      expect(block + (live.get(block) ?? 0) <= 65536 || block >= 3 * 65536, `block ${block}`).toBe(true);
    }
    expectContents(heap, live);
    // Someone takes more, between two of our increments.
    const from = memory.grow(1) * 65536;
    new Uint8Array(memory.buffer, from, 65536).fill(0x3c);
    const more = churn(heap, 19, 1000, 5000);
    expect(heap.malloc(1_000_000)).not.toBe(NULL);
    heap.check();
    expect(foreign().every((byte) => byte === 0xc3)).toBe(true);
    expect(new Uint8Array(memory.buffer, from, 65536).every((byte) => byte === 0x3c)).toBe(true);
    expectContents(heap, live);
    for (const block of [...live.keys(), ...more.keys(), ptr]) heap.free(block);
    heap.check();
    const error = refusalIn(heap, () => heap.free(asPtr(65536 + 4096)));
    expect(error.message).toContain("memory that the heap itself uses");
  });
});

describe("roots", () => {
  it("are set, found, replaced and forgotten by name", () => {
    const heap = new Heap({ bytes: 65536 });
    const [one, two] = [heap.malloc(8), heap.malloc(8)];
    expect(heap.root("frames")).toBe(NULL);
    heap.setRoot("frames", one);
    heap.setRoot("frame", two);
    expect([heap.root("frames"), heap.root("frame")]).toEqual([one, two]);
    heap.setRoot("frames", two);
    expect(heap.root("frames")).toBe(two);
    heap.setRoot("frames", NULL);
    expect([heap.root("frames"), heap.root("frame")]).toEqual([NULL, two]);
    heap.setRoot("frames", NULL);
    heap.setRoot("frame", NULL);
    expect(heap.root("frame")).toBe(NULL);
    heap.check();
  });

  it("do not count as anyone's blocks, and are given back whole", () => {
    const heap = new Heap({ bytes: 65536 });
    const empty = heap.stats();
    for (let i = 0; i < 50; i += 1) heap.setRoot(`root ${i}`, asPtr(i + 1));
    expect(heap.stats()).toMatchObject({ liveBlocks: 0, liveBytes: 0 });
    expect([...heap.blocks()].every(({ state }) => state === "free")).toBe(true);
    heap.check();
    for (let i = 0; i < 50; i += 1) heap.setRoot(`root ${i}`, NULL);
    flush(heap);
    heap.check();
    expect(heap.stats().freeBytes).toBe(empty.freeBytes);
  });

  it("that lead in a circle are refused, not followed for ever", () => {
    const heap = new Heap({ bytes: 65536 });
    heap.setRoot("one", asPtr(8));
    heap.setRoot("two", asPtr(16));
    const record = heap.u32[SUPERBLOCK.offsets.roots >>> 2] ?? 0;
    heap.u32[record >>> 2] = record;
    forget(heap);
    expect(heap.root("two")).toBe(16);
    expect(() => heap.root("one")).toThrow(expect.objectContaining({ code: "ERR_CORRUPT" }));
  });

  it("take any string up to 1,000 bytes, and tell apart names that only begin alike", () => {
    const heap = new Heap({ bytes: 1 << 20 });
    const names = ["", "a", "ab", "\0", "a\0", "ключ", "鍵", "🗝️", "é", "e\u0301", "x".repeat(1000), "é".repeat(500)];
    names.forEach((name, at) => heap.setRoot(name, asPtr(at + 1)));
    expect(names.map((name) => heap.root(name))).toEqual(names.map((_, at) => at + 1));
    const copy = Heap.attach(heap.image());
    expect(names.map((name) => copy.root(name))).toEqual(names.map((_, at) => at + 1));
    heap.check();
    for (const name of ["x".repeat(1001), "é".repeat(501)]) {
      expect(refusalIn(heap, () => heap.setRoot(name, asPtr(1))).code).toBe("ERR_INVALID_ARGUMENT");
      expect(refusalIn(heap, () => heap.root(name)).code).toBe("ERR_INVALID_ARGUMENT");
    }
  });

  it("cannot be freed as a block", () => {
    const heap = new Heap({ bytes: 65536 });
    const before = new Set([...heap.blocks()].map(({ ptr }) => ptr));
    heap.setRoot("root", asPtr(64));
    const [record] = before;
    if (record === undefined) throw new Error("no block");
    const error = refusalIn(heap, () => heap.free(record));
    expect(error.message).toContain("memory that the heap itself uses");
  });
});

describe("looking in", () => {
  it("blocks() gives every block in order of address, with its state", () => {
    const heap = new Heap({ bytes: 65536 });
    const [pad = NULL, a = NULL, b = NULL, c = NULL] = neighbours(heap, 4000, 40, 100, 5000);
    heap.free(b);
    const seen = [...heap.blocks()].filter(({ ptr }) => ptr >= pad);
    const rest = c + 5008;
    expect(seen).toEqual([
      { ptr: pad, size: 4000, state: "live" },
      { ptr: a, size: 40, state: "live" },
      { ptr: b, size: 104, state: "cached" },
      { ptr: c, size: 5000, state: "live" },
      { ptr: rest, size: 65536 - 8 - rest, state: "free" },
    ]);
    heap.free(c);
    flush(heap);
    expect([...heap.blocks()].filter(({ ptr }) => ptr >= pad).map(({ ptr, state }) => [ptr, state])).toEqual([
      [pad, "live"],
      [a, "live"],
      [b, "free"],
    ]);
  });

  it("stats() adds up: live and free payloads, headers, and what the heap itself uses", () => {
    const heap = new Heap({ bytes: 65536 });
    const overhead = heap.size - heap.stats().freeBytes - 8;
    const live = churn(heap, 23);
    const { liveBlocks, liveBytes, freeBytes, footprint, bytes } = heap.stats();
    const blocks = [...heap.blocks()];
    expect(liveBlocks).toBe(live.size);
    expect(liveBytes).toBe(liveOf(heap).reduce((sum, { size }) => sum + size, 0));
    expect(overhead + liveBytes + freeBytes + 8 * blocks.length).toBe(bytes);
    const highest = Math.max(...liveOf(heap).map(({ ptr, size }) => ptr + size));
    expect(footprint).toBeGreaterThanOrEqual(highest);
    expect(footprint).toBeLessThanOrEqual(bytes);
  });

  it("dump() has a line for each block, the heap's own too", () => {
    const heap = Heap.adopt(new ArrayBuffer(65536), { base: 64 });
    const a = heap.malloc(24);
    const b = heap.malloc(600);
    heap.setRoot("root", a);
    heap.free(b);
    const lines = heap.dump().split("\n");
    expect(lines[0]).toBe("heap at 0x40, 65472 of 65472 bytes, 8-byte alignment, footprint " + heap.stats().footprint);
    expect(lines[1]).toBe(`1 live blocks with 24 bytes, ${heap.stats().freeBytes} bytes free`);
    expect(lines.slice(2).map((line) => line.trim().split(/\s+/))).toEqual([
      [`0x${a.toString(16)}`, "32", "live"],
      [`0x${b.toString(16)}`, "608", expect.stringMatching(/cached|free/)],
      [`0x${(b + 608).toString(16)}`, "24", "reserved"],
      [`0x${(b + 632).toString(16)}`, String(65536 - b - 632), "wilderness"],
    ]);
  });

  it("changes nothing by looking", () => {
    const heap = new Heap({ bytes: 65536 });
    churn(heap, 29);
    const before = copyOf(heap);
    heap.stats();
    heap.dump();
    heap.image();
    heap.check();
    expect([...heap.blocks()].length).toBeGreaterThan(1);
    expectSame(heap, before);
  });
});

describe("views", () => {
  it("are of ten kinds over the same bytes", () => {
    for (const heap of [new Heap({ bytes: 65540 }), new Heap({ bytes: 65536, maxBytes: 1 << 20 })]) {
      const ptr = heap.malloc(8);
      heap.u32[ptr >>> 2] = 0xffff_fffe;
      heap.u32[(ptr >>> 2) + 1] = 0xbff0_0000;
      expect([heap.u8[ptr], heap.i8[ptr]]).toEqual([0xfe, -2]);
      expect([heap.u16[ptr >>> 1], heap.i16[ptr >>> 1]]).toEqual([0xfffe, -2]);
      expect(heap.i32[ptr >>> 2]).toBe(-2);
      expect(heap.f32[(ptr >>> 2) + 1]).toBe(-1.875);
      expect(heap.u64[ptr >>> 3]).toBe(0xbff0_0000_ffff_fffen);
      expect(heap.i64[ptr >>> 3]).toBe(BigInt.asIntN(64, 0xbff0_0000_ffff_fffen));
      expect(heap.f64[ptr >>> 3]).toBe(-1.000000953674316);
      const { u8, i8, u16, i16, u32, i32, f32, f64, u64, i64, buffer } = heap;
      for (const view of [u8, i8, u16, i16, u32, i32, f32, f64, u64, i64]) {
        expect(view.buffer).toBe(buffer);
        expect(view.byteOffset).toBe(0);
        expect(view.byteLength).toBe(Math.floor(buffer.byteLength / view.BYTES_PER_ELEMENT) * view.BYTES_PER_ELEMENT);
      }
      expect(heap.u8).toBe(u8);
      expect(heap.f64).toBe(f64);
    }
  });

  it("bytes() is a window on the payload, not a copy", () => {
    const heap = new Heap({ bytes: 65536 });
    const ptr = heap.malloc(5);
    const window = heap.bytes(ptr, 5);
    window.set([1, 2, 3, 4, 5]);
    expect([...heap.u8.subarray(ptr, ptr + 5)]).toEqual([1, 2, 3, 4, 5]);
    expect([window.length, window.byteOffset, window.buffer]).toEqual([5, ptr, heap.buffer]);
    expect(heap.bytes(ptr, 0).length).toBe(0);
    expect(heap.bytes(asPtr(65536 - 4), 4).length).toBe(4);
  });

  it("bytes() refuses a range that is not inside the buffer", () => {
    const heap = new Heap({ bytes: 65536 });
    const ptr = heap.malloc(5);
    expect(refusalIn(heap, () => heap.bytes(ptr, 65536)).code).toBe("ERR_INVALID_ARGUMENT");
    expect(refusalIn(heap, () => heap.bytes(asPtr(65536 - 4), 5)).code).toBe("ERR_INVALID_ARGUMENT");
    expect(refusalIn(heap, () => heap.bytes(NULL, 4)).code).toBe("ERR_INVALID_POINTER");
    expect(refusalIn(heap, () => heap.bytes(asPtr(65537), 0)).code).toBe("ERR_INVALID_POINTER");
  });
});
