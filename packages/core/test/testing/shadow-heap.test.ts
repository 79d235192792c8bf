import { beforeEach, describe, expect, it } from "vitest";
import { HeapError } from "../../src/errors.ts";
import { asPtr, NULL, type Ptr } from "../../src/ptr.ts";
import { ShadowError, ShadowHeap, type Watchable } from "../../src/testing/shadow-heap.ts";

interface Memory {
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
}

const BYTES = 1 << 16;

/** A correct allocator, as plain as can be: it never reuses memory. Tests break it in one place each. */
class Plain implements Watchable<Memory> {
  readonly heap: Memory;
  readonly sizes = new Map<Ptr, number>();
  next = 64;

  constructor() {
    const buffer = new ArrayBuffer(BYTES);
    this.heap = { u8: new Uint8Array(buffer), u32: new Uint32Array(buffer) };
  }
  malloc(size: number): Ptr {
    return this.place(this.next, size);
  }
  free(ptr: Ptr): void {
    if (ptr === NULL || this.sizes.delete(ptr)) return;
    throw new HeapError("ERR_DOUBLE_FREE", `free(${ptr})`, ptr);
  }
  usableSize(ptr: Ptr): number {
    return this.sizes.get(ptr) ?? 0;
  }
  realloc(ptr: Ptr, size: number): Ptr {
    const old = this.sizes.get(ptr);
    if (old === undefined) throw new HeapError("ERR_INVALID_POINTER", `realloc(${ptr})`, ptr);
    const moved = this.malloc(size);
    if (moved === NULL) return NULL;
    this.heap.u8.copyWithin(moved, ptr, ptr + Math.min(old, size));
    this.free(ptr);
    return moved;
  }
  calloc(count: number, size: number): Ptr {
    const ptr = this.malloc(count * size);
    if (ptr !== NULL) this.heap.u8.fill(0, ptr, ptr + count * size);
    return ptr;
  }
  alignedAlloc(alignment: number, size: number): Ptr {
    return this.place(Math.ceil(this.next / alignment) * alignment, size);
  }
  place(address: number, size: number): Ptr {
    const usable = Math.max(8, Math.ceil(size / 8) * 8);
    if (address + usable > BYTES) return NULL;
    this.next = address + usable;
    this.sizes.set(asPtr(address), usable);
    return asPtr(address);
  }
}

let plain: Plain;
let shadow: ShadowHeap<Memory>;

beforeEach(() => {
  plain = new Plain();
  shadow = new ShadowHeap(plain);
});

const finding = (text: string): unknown =>
  expect.objectContaining({ name: "ShadowError", message: expect.stringContaining(text) });

describe("a correct allocator", () => {
  it("passes, and is called with what the caller passed", () => {
    const a = shadow.malloc(100);
    const b = shadow.calloc(3, 7);
    const c = shadow.alignedAlloc(256, 9);
    const d = shadow.realloc(a, 300);
    expect(c % 256).toBe(0);
    expect(shadow.usableSize(d)).toBe(304);
    expect([shadow.liveBlocks, shadow.liveBytes, shadow.peakLiveBytes]).toEqual([3, 330, 330]);
    shadow.verify();
    for (const ptr of [b, c, d]) shadow.free(ptr);
    shadow.close();
    expect([shadow.liveBlocks, shadow.liveBytes, shadow.peakLiveBytes]).toEqual([0, 0, 330]);
  });

  it("may run out of memory, and the old block stays", () => {
    const ptr = shadow.malloc(1000);
    expect(shadow.malloc(BYTES)).toBe(NULL);
    expect(shadow.calloc(BYTES, 2)).toBe(NULL);
    expect(shadow.alignedAlloc(64, BYTES)).toBe(NULL);
    expect(shadow.realloc(ptr, BYTES)).toBe(NULL);
    expect(shadow.liveBytes).toBe(1000);
    shadow.free(ptr);
    shadow.close();
  });

  it("hands out distinct blocks of size 0", () => {
    expect(shadow.malloc(0)).not.toBe(shadow.malloc(0));
  });

  it("takes NULL as C does", () => {
    shadow.free(NULL);
    expect(shadow.realloc(NULL, 8)).not.toBe(NULL);
  });

  it("may have only malloc and free", () => {
    const { heap } = plain;
    const bare: Watchable<Memory> = { heap, malloc: (size) => plain.malloc(size), free: (ptr) => plain.free(ptr) };
    const watched = new ShadowHeap(bare);
    const a = watched.realloc(watched.malloc(10), 20);
    const b = watched.calloc(2, 6);
    expect([watched.usableSize(a), watched.usableSize(b)]).toEqual([20, 12]);
    expect(() => watched.alignedAlloc(64, 8)).toThrow(expect.objectContaining({ code: "ERR_UNSUPPORTED" }));
    watched.free(a);
    watched.free(b);
    watched.close();
  });

  it("may grow its heap", () => {
    const grown = new Uint8Array(4 * BYTES);
    const growing = {
      heap: plain.heap,
      malloc: (size: number): Ptr => {
        growing.heap = { u8: grown, u32: new Uint32Array(grown.buffer) };
        return asPtr(grown.length - size);
      },
      free: (): void => {},
    };
    const watched = new ShadowHeap(growing);
    const ptr = watched.malloc(64);
    expect(grown.subarray(ptr, ptr + 64).some((byte) => byte !== 0)).toBe(true);
    watched.free(ptr);
    watched.close();
  });
});

describe("a block that cannot be", () => {
  const placedAt = (address: number): void => {
    plain.malloc = () => asPtr(address);
  };

  it.each([
    ["misaligned", 100, "not a multiple of 8"],
    ["partly outside", BYTES - 8, "do not lie in the buffer"],
    ["negative", -8, "no address"],
    ["fractional", 8.5, "no address"],
    ["NaN", NaN, "no address"],
  ])("%s", (_, address, text) => {
    placedAt(address);
    plain.usableSize = () => 16;
    expect(() => shadow.malloc(16)).toThrow(finding(text));
  });

  it("smaller than asked for", () => {
    plain.usableSize = () => 15;
    expect(() => shadow.malloc(16)).toThrow(finding("usableSize is 15"));
  });

  it("less aligned than asked for", () => {
    plain.alignedAlloc = (_, size) => plain.malloc(size);
    shadow.malloc(8);
    expect(() => shadow.alignedAlloc(64, 8)).toThrow(finding("not a multiple of 64"));
  });

  it.each([
    ["the same", 0],
    ["its last granule", 96],
    ["a granule before it, and reaching into it", -8],
    ["inside it", 40],
  ])("over a live one: %s", (_, distance) => {
    const ptr = shadow.malloc(100);
    placedAt(ptr + distance);
    plain.usableSize = () => 16;
    expect(() => shadow.malloc(16)).toThrow(finding("overlap block 1, 100 bytes"));
  });

  it("around a live one", () => {
    const ptr = shadow.malloc(8);
    placedAt(ptr - 40);
    plain.usableSize = () => 1000;
    expect(() => shadow.malloc(1000)).toThrow(finding("overlap block 1"));
  });

  it("of size 0 twice", () => {
    plain.usableSize = () => 0;
    const ptr = shadow.malloc(0);
    placedAt(ptr);
    expect(() => shadow.malloc(0)).toThrow(finding("overlap"));
  });

  it("over a block that has been freed is fine", () => {
    const ptr = shadow.malloc(100);
    shadow.free(ptr);
    plain.malloc = (size) => plain.place(ptr, size);
    expect(shadow.malloc(100)).toBe(ptr);
  });

  it("is told from its neighbours at any alignment", () => {
    const bytewise = new ShadowHeap(plain, { alignment: 1 });
    plain.usableSize = () => 3;
    placedAt(101);
    bytewise.malloc(3);
    placedAt(104);
    bytewise.malloc(3);
    placedAt(99);
    expect(() => bytewise.malloc(3)).toThrow(finding("overlap block 1"));
  });
});

describe("contents", () => {
  it.each([0, 1, 57, 99, 103])("a write to byte %d is noticed by free, realloc, verify and close", (at) => {
    const calls: ((ptr: Ptr) => unknown)[] = [
      (ptr) => shadow.free(ptr),
      (ptr) => shadow.realloc(ptr, 200),
      () => shadow.verify(),
      () => shadow.close(),
    ];
    for (const call of calls) {
      shadow = new ShadowHeap(plain);
      const ptr = shadow.malloc(100);
      plain.heap.u8[ptr + at]! ^= 1;
      expect(() => call(ptr)).toThrow(finding(`in block 1, 100 bytes at 0x${ptr.toString(16)} byte ${at} is`));
    }
  });

  it("a realloc that loses the tail, or copies a few bytes off, is noticed", () => {
    for (const [length, shift] of [
      [60, 0],
      [64, 4],
      [64, 1],
    ] as const) {
      plain = new Plain();
      shadow = new ShadowHeap(plain);
      plain.realloc = (ptr, size) => {
        const moved = plain.malloc(size);
        plain.heap.u8.copyWithin(moved, ptr + shift, ptr + shift + length);
        plain.free(ptr);
        return moved;
      };
      const ptr = shadow.malloc(64);
      expect(() => shadow.realloc(ptr, 128)).toThrow(finding("and there in block 1, 128 bytes"));
    }
  });

  it("a realloc may lose what lies beyond the smaller size", () => {
    const ptr = shadow.realloc(shadow.malloc(100), 12);
    expect(plain.usableSize(ptr)).toBe(16);
    shadow.free(ptr);
    shadow.close();
  });

  it("a realloc that fails and spoils the old block is noticed", () => {
    plain.realloc = (ptr) => {
      plain.heap.u8[ptr + 5]! ^= 1;
      return NULL;
    };
    const ptr = shadow.malloc(64);
    expect(() => shadow.realloc(ptr, 128)).toThrow(finding("found no room, and afterwards in block 1"));
  });

  it("a calloc that leaves a byte is noticed", () => {
    plain.heap.u8.fill(1);
    plain.calloc = (count, size) => {
      const ptr = plain.malloc(count * size);
      plain.heap.u8.fill(0, ptr, ptr + count * size - 1);
      return ptr;
    };
    expect(() => shadow.calloc(5, 5)).toThrow(finding("calloc(5, 5) gave 0x40, but byte 24 is not 0"));
  });

  it("of two blocks are never the same, nor those of two seeds", () => {
    const bytesOf = (seed: number): string[] => {
      const memory = new Plain();
      const watched = new ShadowHeap(memory, { seed });
      return [watched.malloc(16), watched.malloc(16)].map((ptr) => String(memory.heap.u8.slice(ptr, ptr + 16)));
    };
    expect(new Set([...bytesOf(1), ...bytesOf(2)]).size).toBe(4);
    expect(bytesOf(1)).toEqual(bytesOf(1));
  });

  it("are left alone when asked", () => {
    shadow = new ShadowHeap(plain, { contents: false });
    plain.heap.u8.fill(7);
    const ptr = shadow.malloc(100);
    expect(plain.heap.u8.every((byte) => byte === 7)).toBe(true);
    plain.heap.u8.fill(8);
    shadow.free(shadow.realloc(ptr, 50));
    shadow.close();
  });
});

describe("pointers that are no live block", () => {
  it("must be refused, and the refusal is passed on", () => {
    const ptr = shadow.malloc(8);
    shadow.free(ptr);
    expect(() => shadow.free(ptr)).toThrow(expect.objectContaining({ code: "ERR_DOUBLE_FREE" }));
    expect(() => shadow.realloc(ptr, 8)).toThrow(expect.objectContaining({ code: "ERR_INVALID_POINTER" }));
  });

  it("are findings when they pass", () => {
    plain.free = () => {};
    plain.realloc = (ptr) => ptr;
    expect(() => shadow.free(asPtr(64))).toThrow(finding("free(0x40) was accepted"));
    expect(() => shadow.realloc(asPtr(64), 8)).toThrow(finding("realloc(0x40, 8) was accepted"));
  });

  it("leave the block live when it is the allocator that refuses", () => {
    const ptr = shadow.malloc(8);
    plain.free = () => {
      throw new HeapError("ERR_CORRUPT", "a neighbour's header", ptr);
    };
    expect(() => shadow.free(ptr)).toThrow(expect.objectContaining({ code: "ERR_CORRUPT" }));
    expect(shadow.liveBlocks).toBe(1);
  });
});

describe("blocks from before anyone watched", () => {
  it("are known once they are included, and neither filled nor leaks", () => {
    const a = plain.malloc(100);
    const b = plain.malloc(10);
    plain.heap.u8.fill(9);
    shadow.include(a, 100);
    shadow.include(b, 10);
    expect(plain.heap.u8.every((byte) => byte === 9)).toBe(true);
    expect([shadow.liveBlocks, shadow.allocations, shadow.leaks()]).toEqual([2, 0, []]);
    plain.heap.u8.fill(8);
    const moved = shadow.realloc(a, 200);
    expect(plain.heap.u8[moved + 150]).toBe(8);
    shadow.close();
    shadow.free(moved);
    plain.malloc = () => b;
    expect(() => shadow.malloc(8)).toThrow(finding("overlap block 0, 10 bytes"));
  });

  it("must be blocks", () => {
    expect(() => shadow.include(asPtr(8), 8)).toThrow(finding("usableSize"));
  });
});

describe("leaks", () => {
  it("are listed in the order of their allocation, which realloc keeps", () => {
    const a = shadow.malloc(1);
    const b = shadow.malloc(2);
    const c = shadow.malloc(3);
    shadow.free(b);
    const moved = shadow.realloc(a, 11);
    expect(shadow.leaks().map(({ ptr, size, order }) => [ptr, size, order])).toEqual([
      [moved, 11, 1],
      [c, 3, 3],
    ]);
    const hex = (ptr: Ptr): string => `0x${ptr.toString(16)}`;
    expect(() => shadow.close()).toThrow(
      finding(
        "2 blocks with 14 bytes are still live; free each:\n" +
          `  block 1, 11 bytes at ${hex(moved)}\n  block 3, 3 bytes at ${hex(c)}`,
      ),
    );
  });

  it("may be asked for from some allocation on", () => {
    shadow.malloc(1);
    const before = shadow.allocations;
    shadow.assertEmpty(before);
    shadow.malloc(2);
    expect(shadow.leaks(before).map(({ size }) => size)).toEqual([2]);
    expect(() => shadow.assertEmpty(before)).toThrow(finding("1 blocks with 2 bytes"));
  });

  it("are counted when they are many", () => {
    for (let i = 0; i < 13; i += 1) shadow.malloc(8);
    expect(() => shadow.assertEmpty()).toThrow(finding("and 3 more"));
  });

  it("say where they come from when asked", () => {
    shadow = new ShadowHeap(plain, { stacks: true });
    shadow.malloc(8);
    expect(shadow.leaks()[0]?.stack).toContain("shadow-heap.test");
    expect(() => shadow.close()).toThrow(finding("shadow-heap.test"));
  });
});

it("refuses an alignment that is no power of two", () => {
  for (const alignment of [0, 3, NaN, -8]) {
    expect(() => new ShadowHeap(plain, { alignment })).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }),
    );
  }
});

it("never lets a raw engine error out for wrong arguments", () => {
  for (const value of [1n, Symbol("s"), "8", undefined, null, {}]) {
    const argument = value as number;
    const calls = [
      () => shadow.malloc(argument),
      () => shadow.calloc(argument, 1),
      () => shadow.alignedAlloc(argument, 1),
      () => shadow.realloc(argument as Ptr, 1),
      () => shadow.free(argument as Ptr),
    ];
    const refuse = (): never => {
      throw new HeapError("ERR_INVALID_ARGUMENT", "no number");
    };
    Object.assign(plain, { malloc: refuse, calloc: refuse, alignedAlloc: refuse, realloc: refuse, free: refuse });
    for (const call of calls) expect(call).toThrow(expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }));
  }
  expect(new ShadowError("text").ptr).toBe(undefined);
});
