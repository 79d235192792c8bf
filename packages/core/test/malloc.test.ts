import { beforeEach, describe, expect, it } from "vitest";
import { HEADER_BYTES } from "../src/boundary-tag.ts";
import { Heap } from "../src/heap.ts";
import { asPtr, NULL, type Ptr } from "../src/ptr.ts";
import { runs, seedFromEnv } from "../src/testing/env.ts";
import { random } from "../src/testing/stream.ts";
import { allowLive } from "../src/testing/heap-watch.ts";
import { flush } from "../src/quick-lists.ts";
import { neighbours } from "./neighbours.ts";
import { copyOf, expectSame } from "./refusal.ts";

// Blocks stay live where nothing else is tested than the heap that they lie in.
beforeEach(() => allowLive());

function fill(heap: Heap, ptr: Ptr, size: number, key: number): void {
  const bytes = heap.bytes(ptr, size);
  for (let at = 0; at < size; at += 1) bytes[at] = (key + at * 7) & 255;
}

/** The first byte that is not what `fill` wrote, -1 when all are. */
function damageOf(heap: Heap, ptr: Ptr, size: number, key: number): number {
  return heap.bytes(ptr, size).findIndex((byte, at) => byte !== ((key + at * 7) & 255));
}

/** The block at a payload, as blocks() sees it. */
function blockAt(heap: Heap, ptr: number): { size: number; state: string } | undefined {
  return [...heap.blocks()].find((block) => block.ptr === ptr);
}

describe("malloc", () => {
  it.each([8, 16] as const)(
    "gives payloads at multiples of %d bytes, apart from each other, for sizes 0 to 5000",
    (alignment) => {
      const heap = new Heap({ bytes: 16 << 20, alignment });
      const blocks = Array.from({ length: 5001 }, (_, size) => heap.malloc(size));
      blocks.forEach((ptr, size) => fill(heap, ptr, size, size));
      expect(blocks.filter((ptr) => ptr === NULL || ptr % alignment !== 0)).toEqual([]);
      expect(new Set(blocks).size).toBe(5001);
      expect(blocks.filter((ptr, size) => damageOf(heap, ptr, size, size) >= 0)).toEqual([]);
      expect(blocks.filter((ptr, size) => heap.usableSize(ptr) < size)).toEqual([]);
      heap.check();
    },
  );

  it("wastes less than the alignment beyond a header, and 8 bytes at least can be written", () => {
    for (const alignment of [8, 16] as const) {
      const heap = new Heap({ bytes: 1 << 20, alignment });
      for (let size = 0; size < 600; size += 1) {
        const expected = Math.max(8, Math.ceil((size + HEADER_BYTES) / alignment) * alignment - HEADER_BYTES);
        expect(heap.usableSize(heap.malloc(size)), `${size} bytes`).toBe(expected);
      }
    }
  });

  it("gives distinct blocks for size 0, which are freed as any other", () => {
    const heap = new Heap({ bytes: 65536 });
    const blocks = Array.from({ length: 100 }, () => heap.malloc(0));
    expect(new Set(blocks).size).toBe(100);
    expect(blocks).not.toContain(NULL);
    expect(heap.stats()).toMatchObject({ liveBlocks: 100, liveBytes: 800 });
    blocks.forEach((ptr) => heap.free(ptr));
    expect(heap.stats()).toMatchObject({ liveBlocks: 0, liveBytes: 0 });
    heap.check();
  });

  it("gives what was freed last of a small size, before memory that was never used", () => {
    const heap = new Heap({ bytes: 1 << 20 });
    const blocks = Array.from({ length: 200 }, () => heap.malloc(64));
    const { footprint } = heap.stats();
    const some = blocks.slice(20, 40);
    some.forEach((ptr) => heap.free(ptr));
    expect(some.map(() => heap.malloc(64)).sort()).toEqual([...some].sort());
    expect(heap.stats().footprint).toBe(footprint);
  });

  it("is NULL for sizes that no heap could hold, and every block is as it was", () => {
    const heap = new Heap({ bytes: 65536, maxBytes: 1 << 20 });
    heap.malloc(100);
    const before = [...heap.blocks()];
    const sizes = [65536 * 16, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 65536, 2 ** 32 - 1, 2 ** 32, 2 ** 53, 1e300];
    expect(sizes.map((size) => heap.malloc(size))).toEqual(sizes.map(() => NULL));
    expect([...heap.blocks()]).toEqual(before);
    heap.check();
  });
});

describe("calloc", () => {
  it("zeroes memory that was used before, to the end of the block", () => {
    const heap = new Heap({ bytes: 1 << 20 });
    for (let size = 1; size < 3000; size += 37) {
      const used = heap.malloc(size);
      heap.bytes(used, heap.usableSize(used)).fill(0xff);
      heap.free(used);
      const ptr = heap.calloc(size, 1);
      expect(
        heap.bytes(ptr, heap.usableSize(ptr)).findIndex((byte) => byte !== 0),
        `${size} bytes`,
      ).toBe(-1);
      heap.free(ptr);
    }
  });

  it("multiplies, and knows when the product is more than there can be", () => {
    const heap = new Heap({ bytes: 65536 });
    expect(heap.usableSize(heap.calloc(3, 40))).toBe(120);
    expect(heap.usableSize(heap.calloc(0, 40))).toBe(8);
    const before = [...heap.blocks()];
    expect(heap.calloc(65536, 65537)).toBe(NULL);
    expect(heap.calloc(2 ** 31, 2)).toBe(NULL);
    expect(heap.calloc(2 ** 32, 2 ** 32)).toBe(NULL);
    expect(heap.calloc(1e200, 1e200)).toBe(NULL);
    expect([...heap.blocks()]).toEqual(before);
    heap.check();
  });
});

describe("realloc", () => {
  it("of NULL allocates", () => {
    const heap = new Heap({ bytes: 65536 });
    const ptr = heap.realloc(NULL, 100);
    expect(heap.usableSize(ptr)).toBe(104);
    expect(heap.stats().liveBlocks).toBe(1);
  });

  it("to 0 leaves a block of the smallest size", () => {
    const heap = new Heap({ bytes: 65536 });
    const ptr = heap.malloc(100);
    const small = heap.realloc(ptr, 0);
    expect(heap.usableSize(small)).toBe(8);
    expect(heap.stats()).toMatchObject({ liveBlocks: 1, liveBytes: 8 });
    heap.free(small);
    heap.check();
  });

  it("grows in place into a free block to its right", () => {
    for (const give of [40, 2000]) {
      const heap = new Heap({ bytes: 65536 });
      const [ptr = NULL, right = NULL, wall = NULL] = neighbours(heap, 1000, give, 24);
      fill(heap, ptr, 1000, 3);
      heap.free(right);
      expect(heap.realloc(ptr, 1000 + give)).toBe(ptr);
      expect(heap.usableSize(ptr)).toBeGreaterThanOrEqual(1000 + give);
      expect(damageOf(heap, ptr, 1000, 3)).toBe(-1);
      heap.check();
      // One byte more than there is before the wall.
      const moved = heap.realloc(ptr, wall - HEADER_BYTES - ptr + 1);
      expect(moved).not.toBe(ptr);
      expect(damageOf(heap, moved, 1000, 3)).toBe(-1);
      heap.check();
    }
  });

  it("leaves what it does not need of the free block to its right free", () => {
    const heap = new Heap({ bytes: 65536 });
    const [ptr = NULL, right = NULL] = neighbours(heap, 1000, 2000, 24);
    heap.free(right);
    expect(heap.realloc(ptr, 1200)).toBe(ptr);
    expect(blockAt(heap, ptr)).toMatchObject({ size: 1200, state: "live" });
    expect(blockAt(heap, ptr + 1208)).toMatchObject({ size: 1800, state: "free" });
    heap.check();
  });

  it("grows in place at the wilderness, up to the end of the heap", () => {
    const heap = new Heap({ bytes: 65536 });
    heap.malloc(100);
    const ptr = heap.malloc(100);
    fill(heap, ptr, 100, 5);
    for (let size = 200; size < 40_000; size += 1111) {
      expect(heap.realloc(ptr, size)).toBe(ptr);
      heap.check();
    }
    expect(heap.stats()).toMatchObject({ liveBlocks: 2 });
    expect(heap.realloc(ptr, 65536 - HEADER_BYTES - ptr)).toBe(ptr);
    expect(heap.stats().freeBytes).toBe(0);
    expect(heap.realloc(ptr, 65536 - HEADER_BYTES - ptr + 1)).toBe(NULL);
    expect(damageOf(heap, ptr, 100, 5)).toBe(-1);
    heap.check();
  });

  it("gives back what it shrinks by, when that is worth a block", () => {
    const heap = new Heap({ bytes: 65536 });
    const [ptr = NULL] = neighbours(heap, 1000, 24);
    fill(heap, ptr, 1000, 9);
    expect(heap.realloc(ptr, 996)).toBe(ptr);
    expect(heap.usableSize(ptr)).toBe(1000);
    expect(heap.realloc(ptr, 500)).toBe(ptr);
    expect(heap.usableSize(ptr)).toBe(504);
    expect(blockAt(heap, ptr + 512)).toMatchObject({ size: 488, state: "free" });
    expect(damageOf(heap, ptr, 500, 9)).toBe(-1);
    heap.check();
    // A shrunk rest joins what is free to its right.
    expect(heap.realloc(ptr, 100)).toBe(ptr);
    expect(blockAt(heap, ptr + 112)).toMatchObject({ size: 888, state: "free" });
    heap.check();
  });

  it("moves with the contents when there is no room in place, and frees the old block", () => {
    for (const [from, to] of [
      [24, 100],
      [100, 5000],
      [2000, 30_000],
    ] as const) {
      const heap = new Heap({ bytes: 65536 });
      const [ptr = NULL, wall = NULL] = neighbours(heap, from, 24);
      const { liveBlocks } = heap.stats();
      fill(heap, ptr, from, 1);
      fill(heap, wall, 24, 2);
      const moved = heap.realloc(ptr, to);
      expect(moved).not.toBe(ptr);
      expect(damageOf(heap, moved, from, 1)).toBe(-1);
      expect(damageOf(heap, wall, 24, 2)).toBe(-1);
      expect(heap.stats().liveBlocks).toBe(liveBlocks);
      expect(blockAt(heap, ptr)?.state).not.toBe("live");
      heap.check();
    }
  });

  it("leaves the old block as it was when there is no room", () => {
    const heap = new Heap({ bytes: 65536 });
    const ptr = heap.malloc(1000);
    heap.malloc(1000);
    fill(heap, ptr, 1000, 77);
    const before = heap.stats();
    for (const size of [65536, 2 ** 32 - 1, 2 ** 32, 1e300]) expect(heap.realloc(ptr, size)).toBe(NULL);
    expect(heap.stats()).toEqual(before);
    expect(damageOf(heap, ptr, 1000, 77)).toBe(-1);
    heap.check();
    heap.free(ptr);
    heap.check();
  });
});

describe("alignedAlloc", () => {
  it.each([8, 16] as const)("serves every power of two up to 1 MiB in a heap of %d-byte alignment", (own) => {
    const heap = new Heap({ bytes: 1 << 24, alignment: own });
    const next = random(own);
    const live: [Ptr, number][] = [];
    for (let alignment = 1; alignment <= 1 << 20; alignment *= 2) {
      for (const size of [0, 1, 24, 100, 5000]) {
        const ptr = heap.alignedAlloc(alignment, size);
        expect(ptr % Math.max(alignment, own), `${size} bytes at ${alignment}`).toBe(0);
        expect(heap.usableSize(ptr)).toBeGreaterThanOrEqual(size);
        fill(heap, ptr, size, alignment);
        live.push([ptr, size]);
        heap.check();
        if (next() < 0.5) heap.malloc(Math.floor(next() * 200));
      }
    }
    live.forEach(([ptr, size], at) => expect(damageOf(heap, ptr, size, 2 ** Math.floor(at / 5))).toBe(-1));
    for (const [ptr] of live) {
      heap.free(ptr);
      heap.check();
    }
  });

  it("keeps no more than it was asked for: what lies before and behind is free", () => {
    const heap = new Heap({ bytes: 1 << 20 });
    const pad = heap.malloc(8);
    const ptr = heap.alignedAlloc(4096, 100);
    expect(heap.usableSize(ptr)).toBe(104);
    expect(heap.stats().liveBytes).toBe(112);
    expect(heap.stats().footprint).toBe(ptr + 104);
    const blocks = [...heap.blocks()].map(({ ptr: at, state }) => [at, state]);
    expect(blocks).toEqual([
      [pad, "live"],
      [pad + 16, "free"],
      [ptr, "live"],
      [ptr + 112, "free"],
    ]);
  });

  it("is NULL when there is no room for it, and every block is as it was", () => {
    const heap = new Heap({ bytes: 65536 });
    const before = [...heap.blocks()];
    for (const alignment of [65536, 2 ** 20, 2 ** 31]) expect(heap.alignedAlloc(alignment, 8)).toBe(NULL);
    for (const size of [65536, 2 ** 32 - 8, 2 ** 32, 1e300]) expect(heap.alignedAlloc(64, size)).toBe(NULL);
    expect([...heap.blocks()]).toEqual(before);
    heap.check();
  });
});

describe("usableSize", () => {
  it("may be written to the last byte of each block", () => {
    const heap = new Heap({ bytes: 1 << 20 });
    const live = Array.from({ length: 500 }, (_, i) => heap.malloc((i * 31) % 700));
    live.forEach((ptr, i) => heap.bytes(ptr, heap.usableSize(ptr)).fill(i));
    heap.check();
    const damaged = live.filter((ptr, i) => heap.bytes(ptr, heap.usableSize(ptr)).some((byte) => byte !== (i & 255)));
    expect(damaged).toEqual([]);
    live.forEach((ptr) => heap.free(ptr));
    heap.check();
  });
});

describe("free memory", () => {
  it("is one block for each increment when all is freed and merged", () => {
    const heap = new Heap({ bytes: 65536, maxBytes: 1 << 22 });
    const { freeBytes } = heap.stats();
    const next = random(5);
    const live = Array.from({ length: 4000 }, () => heap.malloc(Math.floor(next() * 600)));
    expect(live).not.toContain(NULL);
    while (live.length > 0) {
      const [ptr] = live.splice(Math.floor(next() * live.length), 1);
      heap.free(ptr ?? NULL);
    }
    flush(heap);
    heap.check();
    const blocks = [...heap.blocks()];
    expect(blocks.every(({ state }) => state === "free")).toBe(true);
    expect(blocks[0]?.size).toBeGreaterThanOrEqual(freeBytes);
    // Between two blocks lies what the heap itself uses, or they would be one.
    const lines = heap.dump().split("\n").slice(2);
    const names = lines.map((line) => line.trim().split(/\s+/)[2]);
    expect(blocks.length).toBeGreaterThan(1);
    expect(names).toEqual(
      blocks.flatMap((_, at) => (at === blocks.length - 1 ? ["wilderness"] : ["free", "reserved"])),
    );
  });

  it("of a heap that does not grow is one block again, in whatever order blocks are freed", () => {
    const seed = seedFromEnv();
    for (let round = 0; round < runs(30); round += 1) {
      const next = random(seed + round);
      const heap = new Heap({ bytes: 65536, alignment: round % 2 === 0 ? 8 : 16 });
      const [whole] = heap.blocks();
      const live: Ptr[] = [];
      for (let ptr = heap.malloc(100); ptr !== NULL; ptr = heap.malloc(Math.floor(next() ** 3 * 3000))) live.push(ptr);
      while (live.length > 0) {
        const [ptr] = live.splice(Math.floor(next() * live.length), 1);
        heap.free(ptr ?? NULL);
      }
      flush(heap);
      expect([...heap.blocks()], `seed ${seed}, round ${round}`).toEqual([whole]);
      heap.check();
    }
  });

  it("in quick lists is at most 1/8 of the footprint, all through a random run", () => {
    const seed = seedFromEnv();
    const next = random(seed);
    const heap = new Heap({ bytes: 1 << 20 });
    const live: Ptr[] = [];
    let most = 0;
    for (let i = 0; i < runs(20_000); i += 1) {
      const isFilling = Math.floor(i / 1500) % 2 === 0;
      if (next() < (isFilling ? 0.7 : 0.3)) {
        const ptr = heap.malloc(Math.floor(next() ** 2 * 1500));
        if (ptr !== NULL) live.push(ptr);
      } else if (live.length > 0) {
        const at = Math.floor(next() * live.length);
        heap.free(live[at] ?? NULL);
        live[at] = live[live.length - 1] ?? NULL;
        live.pop();
      }
      if (i % 20 !== 0) continue;
      let cached = 0;
      for (const { size, state } of heap.blocks()) if (state === "cached") cached += size + HEADER_BYTES;
      most = Math.max(most, cached / heap.stats().footprint);
    }
    expect(most, `seed ${seed}`).toBeLessThanOrEqual(1 / 8);
    // Otherwise nothing was proved.
    expect(most, `seed ${seed}`).toBeGreaterThan(1 / 64);
    heap.check();
  });
});

describe("the footprint", () => {
  it("is the highest end of a block ever handed out, and never falls", () => {
    const heap = new Heap({ bytes: 1 << 20 });
    const next = random(3);
    const live: Ptr[] = [];
    let highest = heap.stats().footprint;
    for (let i = 0; i < 5000; i += 1) {
      if (next() < 0.52) {
        const ptr =
          next() < 0.9 ? heap.malloc(Math.floor(next() * 300)) : heap.alignedAlloc(64, Math.floor(next() * 300));
        highest = Math.max(highest, ptr + heap.usableSize(ptr));
        live.push(ptr);
      } else if (live.length > 0) {
        heap.free(live.splice(Math.floor(next() * live.length), 1)[0] ?? NULL);
      }
      expect(heap.stats().footprint).toBe(highest);
    }
  });

  it("stays where it is while a full heap's blocks are exchanged one by one", () => {
    const heap = new Heap({ bytes: 1 << 20 });
    const next = random(31);
    const live = Array.from({ length: 1000 }, () => heap.malloc(500));
    const { footprint } = heap.stats();
    for (let i = 0; i < 20_000; i += 1) {
      const at = Math.floor(next() * live.length);
      heap.free(live[at] ?? NULL);
      live[at] = heap.malloc(500);
    }
    expect(heap.stats().footprint).toBe(footprint);
  });

  /** One block that grows step by step while small ones come and go beside it; returns peak payload over footprint. */
  function growBeside(heap: Heap, first: number, step: number, small: number): number {
    const rounds = 4799;
    let large = heap.malloc(first);
    let previous = heap.malloc(small);
    for (let round = 1; round <= rounds; round += 1) {
      const grown = heap.realloc(large, first + step * round);
      if (grown === NULL) return 0;
      large = grown;
      const ptr = heap.malloc(small);
      if (ptr === NULL) return 0;
      heap.free(previous);
      previous = ptr;
    }
    heap.check();
    return (first + step * rounds + 2 * small) / heap.stats().footprint;
  }

  it("of a block that grows by 128 bytes 4,799 times beside others of 128 is at most 1/0.95 of the peak", () => {
    expect(growBeside(new Heap({ bytes: 1 << 20 }), 512, 128, 128)).toBeGreaterThanOrEqual(0.95);
  });

  it("of a block that grows by 5 bytes 4,799 times beside others of 16 is at most 1/0.86 of the peak", () => {
    expect(growBeside(new Heap({ bytes: 65536 }), 4092, 5, 16)).toBeGreaterThanOrEqual(0.86);
  });
});

describe("free", () => {
  it("of NULL does nothing", () => {
    const heap = new Heap({ bytes: 65536 });
    heap.free(heap.malloc(10));
    const before = copyOf(heap);
    heap.free(NULL);
    heap.free(asPtr(-0));
    expectSame(heap, before);
    expect(heap.stats().liveBlocks).toBe(0);
  });
});
