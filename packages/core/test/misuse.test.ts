import { beforeEach, describe, expect, it } from "vitest";
import { Heap } from "../src/heap.ts";
import { asPtr, NULL, offsetPtr, type Ptr } from "../src/ptr.ts";
import { seedFromEnv } from "../src/testing/env.ts";
import { random } from "../src/testing/stream.ts";
import { allowLive, forget } from "../src/testing/heap-watch.ts";
import { flush } from "../src/quick-lists.ts";
import type { HeapBuffer } from "../src/views.ts";
import { neighbours } from "./neighbours.ts";
import { refusalIn } from "./refusal.ts";

// Blocks stay live where nothing else is tested than the heap that they lie in.
beforeEach(() => allowLive());

const hex = (address: number): string => `0x${address.toString(16)}`;

/** Rows of the catalogue of misuse that are noticed always, in every kind of heap. */
describe.each<[string, () => Heap<HeapBuffer>]>([
  ["a fixed heap", () => new Heap({ bytes: 65536 })],
  ["a heap that has grown", () => grown(new Heap({ bytes: 65536, maxBytes: 1 << 22 }))],
  ["a heap of 16-byte alignment", () => new Heap({ bytes: 65536, alignment: 16 })],
  ["a range of a buffer", () => Heap.adopt(new ArrayBuffer(80_000), { base: 8008, bytes: 65536 })],
  ["a shared heap", () => new Heap({ bytes: 65536, shared: true })],
  ["a shared heap that has grown", () => grown(new Heap({ bytes: 65536, maxBytes: 1 << 22, shared: true }))],
  ["a range of a SharedArrayBuffer", () => Heap.adopt(new SharedArrayBuffer(80_000), { base: 8008, bytes: 65536 })],
])("in %s", (_, make) => {
  let heap: Heap<HeapBuffer>;
  beforeEach(() => {
    heap = make();
    // Quick lists hold a share of the footprint; and nothing that is tested is the first block.
    heap.malloc(8);
    heap.malloc(20_000);
  });

  /** What free, realloc and usableSize say of a pointer: code and finding, one when they agree. */
  function answersTo(ptr: number): string[] {
    const calls = { free: heap.free, realloc: heap.realloc, usableSize: heap.usableSize };
    const answers = Object.entries(calls).map(([name, call]) => {
      const error = refusalIn(heap, () => call.call(heap, asPtr(ptr), 10));
      expect(error.ptr).toBe(ptr);
      return `${error.code} ${error.message.replace(`${name}(${hex(ptr)}): `, "")}`;
    });
    return [...new Set(answers)];
  }

  it.each([8, 40, 990, 1200, 9000])("a block of %d bytes freed twice at once is free already", (size) => {
    const ptr = heap.malloc(size);
    heap.malloc(8);
    heap.free(ptr);
    expect(answersTo(ptr)).toEqual(["ERR_DOUBLE_FREE the block is free already; free each block once"]);
    heap.check();
  });

  it.each([8, 40, 990])("a block of %d bytes freed, then another, then the first again, is free already", (size) => {
    const [a, b] = [heap.malloc(size), heap.malloc(size)];
    heap.malloc(8);
    heap.free(a);
    heap.free(b);
    expect(answersTo(a)).toEqual(["ERR_DOUBLE_FREE the block is free already; free each block once"]);
    expect(answersTo(b)).toEqual(["ERR_DOUBLE_FREE the block is free already; free each block once"]);
    expect(heap.malloc(size)).not.toBe(heap.malloc(size));
    heap.check();
  });

  it("a block freed twice is noticed when both its neighbours have been merged with it", () => {
    const [a = NULL, b = NULL, c = NULL] = neighbours(heap, 2000, 2000, 2000, 40);
    for (const ptr of [a, c, b]) heap.free(ptr);
    flush(heap);
    const finding = `in free memory, which begins at ${hex(a)}; free each block once`;
    expect(answersTo(a)).toEqual(["ERR_DOUBLE_FREE the block is free already; free each block once"]);
    expect(answersTo(b)).toEqual([`ERR_DOUBLE_FREE ${finding}`]);
    expect(answersTo(c)).toEqual([`ERR_DOUBLE_FREE ${finding}`]);
    expect(answersTo(c + 1999)).toEqual([`ERR_DOUBLE_FREE ${finding}`]);
    heap.check();
  });

  it("small blocks freed twice are noticed after they were merged", () => {
    const blocks = Array.from({ length: 100 }, () => heap.malloc(40));
    const wall = heap.malloc(8);
    blocks.forEach((ptr) => heap.free(ptr));
    flush(heap);
    for (const ptr of blocks) expect(refusalIn(heap, () => heap.free(ptr)).code).toBe("ERR_DOUBLE_FREE");
    heap.free(wall);
    heap.check();
  });

  it("a block of the wilderness is free", () => {
    const ptr = heap.malloc(3000);
    heap.free(ptr);
    flush(heap);
    expect(refusalIn(heap, () => heap.free(ptr)).code).toBe("ERR_DOUBLE_FREE");
    expect(refusalIn(heap, () => heap.free(offsetPtr(ptr, 4000))).code).toBe("ERR_DOUBLE_FREE");
  });

  it("every address inside a live block is an invalid pointer, and the message says which to pass", () => {
    for (const size of [40, 5000]) {
      const ptr = heap.malloc(size);
      const usable = heap.usableSize(ptr);
      const block = `the ${usable}-byte block at ${hex(ptr)}; pass ${hex(ptr)}`;
      for (const distance of [1, 2, 3, 4, 7, 8, 9, 12, 16, 24, usable - 8, usable - 1]) {
        expect(answersTo(ptr + distance)).toEqual([`ERR_INVALID_POINTER ${distance} bytes inside ${block}`]);
      }
      for (const distance of [1, 4, 8]) {
        expect(answersTo(ptr - distance)).toEqual([`ERR_INVALID_POINTER ${distance} bytes before ${block}`]);
      }
      heap.free(ptr);
    }
  });

  it("an address inside a block that spans many words of start bits is an invalid pointer", () => {
    const ptr = heap.malloc(20_000);
    const usable = heap.usableSize(ptr);
    for (let distance = 8; distance < usable; distance += 8) {
      const { code, message } = refusalOfFree(heap, offsetPtr(ptr, distance));
      expect(`${code} ${message}`).toBe(
        `ERR_INVALID_POINTER free(${hex(ptr + distance)}): ${distance} bytes inside the ` +
          `${usable}-byte block at ${hex(ptr)}; pass ${hex(ptr)}`,
      );
    }
  });

  it("addresses of the superblock and beyond the heap are outside, and so are those of another heap", () => {
    heap.malloc(100);
    const first = heap.lowest;
    const end = heap.base + heap.size;
    const range = `blocks lie from ${hex(first)} to ${hex(end - 8)}`;
    const finding = `outside this heap, whose ${range}; pass a pointer that it returned`;
    for (const ptr of [8, heap.base + 8, heap.base + 128, first - 8, end - 8, end, end + 8, 2 ** 31, 2 ** 32 - 8]) {
      expect(answersTo(ptr)).toEqual([`ERR_INVALID_POINTER ${finding}`]);
    }
    const other = new Heap({ bytes: 1 << 23 });
    other.malloc(heap.buffer.byteLength);
    const foreign = other.malloc(2000);
    expect(refusalIn(heap, () => heap.free(foreign)).code).toBe("ERR_INVALID_POINTER");
  });

  it("numbers that are no address are invalid pointers, and anything else an invalid argument", () => {
    const ptr = heap.malloc(100);
    for (const value of [NaN, -1, -ptr, ptr + 0.5, ptr + 2 ** 32, 2 ** 32, 1e300, Infinity, -Infinity]) {
      const error = refusalIn(heap, () => heap.free(asPtr(value)));
      expect(error.code).toBe("ERR_INVALID_POINTER");
      expect(error.message).toBe(`free(${value}): no address; pass a pointer that malloc returned`);
    }
    const others: [unknown, string][] = [
      ["64", '"64"'],
      [64n, "64n"],
      [undefined, "undefined"],
      [null, "null"],
    ];
    for (const [value, text] of others) {
      const error = refusalIn(heap, () => heap.free(value as Ptr));
      expect(error.code).toBe("ERR_INVALID_ARGUMENT");
      expect(error.message).toBe(`free(${text}): not a number; pass a pointer that malloc returned`);
    }
  });

  it("payloads that imitate headers of live blocks change nothing: what begins no block cannot be freed", () => {
    const walls = Array.from({ length: 3 }, () => heap.malloc(24));
    for (const span of [16, 24, 32, 48, 64, 512, 1024]) {
      const ptr = heap.malloc(600);
      const words = ptr >>> 2;
      const count = heap.usableSize(ptr) / 4;
      // {previous, span and state} over and over, for every state and both phases.
      for (const state of [0, 1, 2, 3]) {
        for (const phase of [0, 1]) {
          for (let at = 0; at < count; at += 1) heap.u32[words + at] = (at + phase) % 2 === 0 ? span : span | state;
          for (let distance = 8; distance < count * 4; distance += 8) {
            const error = refusalOfFree(heap, offsetPtr(ptr, distance));
            expect(error.code, error.message).toBe("ERR_INVALID_POINTER");
          }
        }
      }
      heap.check();
      heap.free(ptr);
    }
    walls.forEach((ptr) => heap.free(ptr));
    heap.check();
  });

  it("a freed payload that imitates a live header cannot be freed either", () => {
    const [a = NULL, b = NULL] = neighbours(heap, 3000, 3000, 40);
    heap.free(a);
    heap.free(b);
    flush(heap);
    // Beyond the links of the free block, where b's header was.
    heap.u32[(b >>> 2) - 2] = 3008;
    heap.u32[(b >>> 2) - 1] = 3008 | 1;
    const error = refusalIn(heap, () => heap.free(b));
    expect(error.code).toBe("ERR_DOUBLE_FREE");
    expect(error.message).toBe(`free(${hex(b)}): in free memory, which begins at ${hex(a)}; free each block once`);
    heap.check();
  });

  it("random addresses are taken for a block only when they are one", () => {
    const seed = seedFromEnv();
    const next = random(seed);
    const live = new Set<number>();
    for (let i = 0; i < 200; i += 1) {
      const ptr = heap.malloc(Math.floor(next() ** 2 * 300));
      heap.u8.fill(Math.floor(next() * 256), ptr, ptr + heap.usableSize(ptr));
      live.add(ptr);
    }
    for (const ptr of [...live].filter(() => next() < 0.4)) {
      live.delete(ptr);
      heap.free(asPtr(ptr));
    }
    const states = [...heap.blocks()];
    states.forEach((block) => block.state === "live" && live.add(block.ptr));
    for (let i = 0; i < 3000; i += 1) {
      const address = heap.base + Math.floor(next() * heap.size);
      const ptr = next() < 0.5 ? address - (address % 8) : address;
      if (live.has(ptr) || ptr === 0) continue;
      const inside = states.find((block) => ptr >= block.ptr - 8 && ptr < block.ptr + block.size);
      const isFree = inside !== undefined && inside.state !== "live";
      const error = refusalOfFree(heap, asPtr(ptr));
      expect(error.code, `seed ${seed}: ${error.message}`).toBe(isFree ? "ERR_DOUBLE_FREE" : "ERR_INVALID_POINTER");
    }
    heap.check();
  });
});

/** A heap of several increments, with pages between them that someone else has taken. */
function grown<H extends Heap<HeapBuffer>>(heap: H): H {
  const pad = heap.malloc(70_000);
  heap.memory?.grow(1);
  heap.free(pad);
  const more = heap.malloc(200_000);
  heap.free(more);
  return heap;
}

/** As `heap.free`, for loops in which copying the heap each time would take too long: it is checked at their end. */
function refusalOfFree(heap: Heap<HeapBuffer>, ptr: Ptr): { code: string; message: string } {
  try {
    heap.free(ptr);
  } catch (error) {
    return error as { code: string; message: string };
  }
  return { code: "accepted", message: `free(${hex(ptr)}) was accepted` };
}

describe("memory between increments", () => {
  it("belongs to nobody: start bits and others' pages cannot be freed", () => {
    const heap = grown(new Heap({ bytes: 65536, maxBytes: 1 << 22 }));
    const blocks = [...heap.blocks()];
    const gaps: [number, number][] = [];
    blocks.forEach((block, at) => {
      const end = block.ptr + block.size;
      const next = blocks[at + 1];
      if (next !== undefined && next.ptr - 8 > end) gaps.push([end, next.ptr - 8]);
    });
    expect(gaps.length).toBeGreaterThan(1);
    for (const [from, to] of gaps) {
      for (let address = from; address < to; address += Math.max(8, Math.floor((to - from) / 200 / 8) * 8)) {
        expect(refusalOfFree(heap, asPtr(address))).toMatchObject({
          code: "ERR_INVALID_POINTER",
          message: `free(${hex(address)}): memory that the heap itself uses; pass a pointer that it returned`,
        });
      }
    }
    heap.check();
  });
});

/** A heap that no one else watches. */
function toBeDamaged(): Heap {
  const heap = new Heap({ bytes: 1 << 17 });
  forget(heap);
  return heap;
}

describe("a write past the end of a block is noticed", () => {
  /** Six blocks of one size. */
  const side = (heap: Heap, size: number): Ptr[] => neighbours(heap, size, size, size, size, size, size);

  it("when the block is freed and merged: the neighbour's `previous` is gone", () => {
    const heap = toBeDamaged();
    const [a = NULL, b = NULL] = side(heap, 9000);
    heap.u32[(b >>> 2) - 2] = 0x4141_4141;
    const error = refusalIn(heap, () => heap.free(a));
    expect(error.code).toBe("ERR_CORRUPT");
    expect(error.message).toBe(
      `free: the block at ${hex(a)} is damaged: its header or a neighbour's was written over, ` +
        "by a write past the end of a block or into a freed one",
    );
    expect(() => heap.check()).toThrow("invariant 2");
  });

  it("when the block that was written over is freed: its left neighbour has another span", () => {
    const heap = toBeDamaged();
    const [, b = NULL] = side(heap, 9000);
    heap.u32[(b >>> 2) - 2] = 64;
    expect(refusalIn(heap, () => heap.free(b)).code).toBe("ERR_CORRUPT");
  });

  it("when the span of the block that was written over leads elsewhere", () => {
    const heap = toBeDamaged();
    const [, b = NULL] = side(heap, 9000);
    heap.u32[(b >>> 2) - 1] = 4096 | 1;
    expect(refusalIn(heap, () => heap.free(b)).code).toBe("ERR_CORRUPT");
  });

  it("when the span leads outside the buffer", () => {
    const heap = toBeDamaged();
    const [, b = NULL] = side(heap, 9000);
    for (const span of [0x7fff_fff8, 0xffff_fff0, 1 << 18]) {
      heap.u32[(b >>> 2) - 1] = span | 1;
      expect(refusalIn(heap, () => heap.free(b)).code).toBe("ERR_CORRUPT");
    }
  });

  it("when its state says that it is free: such a free is refused too", () => {
    const heap = toBeDamaged();
    const [, b = NULL] = side(heap, 9000);
    heap.u32[(b >>> 2) - 1] = 0;
    expect(refusalIn(heap, () => heap.free(b)).code).toMatch(/ERR_DOUBLE_FREE|ERR_CORRUPT/);
    expect(() => heap.check()).toThrow("invariant 2");
  });

  it("when a block shrinks or grows beside the damage", () => {
    const heap = toBeDamaged();
    const [a = NULL, b = NULL] = side(heap, 9000);
    heap.u32[(b >>> 2) - 2] = 0x4141_4141;
    expect(refusalIn(heap, () => heap.realloc(a, 100)).code).toBe("ERR_CORRUPT");
    const other = toBeDamaged();
    const [c = NULL, d = NULL] = side(other, 9000);
    other.free(d);
    other.u32[(d >>> 2) - 2] = 0x4141_4141;
    expect(refusalIn(other, () => other.realloc(c, 12_000)).code).toBe("ERR_CORRUPT");
  });

  it("when a block of a quick list is handed out", () => {
    const heap = toBeDamaged();
    side(heap, 9000);
    const ptr = heap.malloc(40);
    heap.malloc(40);
    heap.free(ptr);
    expect([...heap.blocks()].find((block) => block.ptr === ptr)?.state).toBe("cached");
    for (const tag of [0, 48, 48 | 1, 64 | 2, 0xffff_ffff]) {
      heap.u32[(ptr >>> 2) - 1] = tag;
      expect(refusalIn(heap, () => heap.malloc(40)).code).toBe("ERR_CORRUPT");
      expect(() => heap.check()).toThrow("invariant");
    }
    heap.u32[(ptr >>> 2) - 1] = 48 | 2;
    expect(heap.malloc(40)).toBe(ptr);
  });

  it("when a free block is handed out", () => {
    const heap = toBeDamaged();
    const [, b = NULL, c = NULL] = side(heap, 9000);
    heap.free(b);
    heap.u32[(c >>> 2) - 2] = 16;
    expect(refusalIn(heap, () => heap.malloc(8500)).code).toBe("ERR_CORRUPT");
  });
});

describe("a write into freed memory is noticed", () => {
  it("when it hit the links of a free block: nothing is taken or merged by them", () => {
    for (const poison of [0, 8, 64, 0x4141_4140, 0xffff_fff8, 65536]) {
      const heap = toBeDamaged();
      const blocks = neighbours(heap, 9000, 9000, 9000, 9000, 9000, 9000);
      const [a = NULL, b = NULL, , d = NULL] = blocks;
      heap.free(b);
      heap.free(d);
      for (const link of [0, 1]) {
        const kept = heap.u32[(d >>> 2) + link] ?? 0;
        heap.u32[(d >>> 2) + link] = poison;
        expect(refusalIn(heap, () => heap.malloc(9000)).code, `malloc, link ${link}`).toBe("ERR_CORRUPT");
        expect(refusalIn(heap, () => heap.free(blocks[4] ?? NULL)).code, `free, link ${link}`).toBe("ERR_CORRUPT");
        expect(refusalIn(heap, () => heap.free(blocks[2] ?? NULL)).code, `free, link ${link}`).toBe("ERR_CORRUPT");
        expect(() => heap.check()).toThrow("invariant 5");
        heap.u32[(d >>> 2) + link] = kept;
        heap.check();
      }
      expect(heap.usableSize(a)).toBe(9000);
    }
  });

  it("when it zeroed the first words of a free block", () => {
    const heap = toBeDamaged();
    const blocks = neighbours(heap, 9000, 9000, 9000, 9000, 9000, 9000);
    const [, b = NULL, , d = NULL] = blocks;
    heap.free(b);
    heap.free(d);
    for (const bytes of [8, 16, 9000]) {
      const copy = Heap.attach(heap.image());
      forget(copy);
      copy.u8.fill(0, d, d + bytes);
      expect(refusalIn(copy, () => copy.malloc(9000)).code).toBe("ERR_CORRUPT");
      expect(() => copy.check()).toThrow("invariant 5");
    }
  });

  it("when it made a link lead to a live block", () => {
    const heap = toBeDamaged();
    const [a = NULL, b = NULL] = neighbours(heap, 9000, 9000, 9000, 9000);
    heap.u8.fill(0, a, a + 9000);
    heap.free(b);
    heap.u32[b >>> 2] = a - 8;
    expect(refusalIn(heap, () => heap.malloc(9000)).code).toBe("ERR_CORRUPT");
  });

  it("when it made a quick list lead to what is not a cached block of its size", () => {
    const heap = toBeDamaged();
    heap.malloc(50_000);
    const [a, b, live] = [heap.malloc(40), heap.malloc(40), heap.malloc(40)];
    heap.free(a);
    heap.free(b);
    heap.u32[b >>> 2] = live;
    expect(heap.malloc(40)).toBe(b);
    expect(refusalIn(heap, () => heap.malloc(40)).code).toBe("ERR_CORRUPT");
    expect(() => heap.check()).toThrow("invariant 6");
  });
});
