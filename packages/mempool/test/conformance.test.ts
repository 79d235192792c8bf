/** What the original does, case by case, with its exact messages; the numbers are those of the README. */
import { asPtr, NULL, offsetPtr, type Ptr } from "@heapwright/core";
import { random } from "@heapwright/core/testing";
import { expect, test } from "vitest";

import {
  Mempool,
  mempool_alloc,
  mempool_calloc,
  mempool_destroy,
  mempool_free,
  mempool_init,
  mempool_realloc,
} from "../src/index.ts";
import { got, heapOf, initiated, keep, poolOf, unchanged } from "./made.ts";
import { NaivePool } from "./naive-pool.ts";

const BAD_SIZE = "MEMPOOL_ERROR: Invalid size for memory pool, memory pool will not be initialized";
const BAD_BLOCK_SIZE =
  "MEMPOOL_ERROR: Invalid default block size. Block size must be strictly less than overall size. Memory pool will not be initialized.";
const NO_MEMORY =
  "MEMPOOL_ERROR: No available memory. You either have a memory leak, or you gave the memory pool too small an amount of memory on creation";
const unable = (bytes: number): string =>
  `MEMPOOL_ERROR: Unable to allocated block of size ${bytes} bytes due to insufficient space.\nEither make the mempool larger, or free more space.`;
const ZERO_BYTES = "MEMPOOL_ERROR: Attempt to allocate 0 bytes";
const FREE_NULL = "MEMPOOL_ERROR: Attempt to free a null pointer";
const FREE_UNKNOWN = "MEMPOOL_ERROR: Attempt to free a nonexistent pointer. Potential double free detected";

/** As many blocks as there are. */
function exhaust(size: number): Ptr[] {
  const blocks: Ptr[] = [];
  for (let ptr = mempool_alloc(size); ptr !== NULL; ptr = mempool_alloc(size)) blocks.push(ptr);
  return blocks;
}

test("1: sizes that init refuses, with its messages", () => {
  const said: string[] = [];
  const backing = heapOf();
  const options = { backing, report: (message: string) => said.push(message) };
  unchanged(backing, () => {
    expect(mempool_init(0, 64, options)).toBe(-1);
    for (const blockSize of [0, 1024, 1025]) expect(mempool_init(1024, blockSize, options)).toBe(-1);
  });
  expect(said).toEqual([BAD_SIZE, BAD_BLOCK_SIZE, BAD_BLOCK_SIZE, BAD_BLOCK_SIZE]);
  // 20 bytes are not one block of 32.
  expect(mempool_init(20, 17, options)).toBe(-1);
  expect(said.splice(0).at(-1)).toBe(BAD_BLOCK_SIZE);
  expect(mempool_init(17, 16, options)).toBe(1);
  expect(said).toEqual([]);
});

test("2: 16 blocks of 64 in 1024 bytes, in order, and no 17th", () => {
  const { said } = initiated(1024, 64);
  const base = got(mempool_alloc(1));
  for (let i = 1; i < 16; i += 1) expect(mempool_alloc(1 + ((i * 21) % 64))).toBe(base + 64 * i);
  expect(said).toEqual([]);
  expect(mempool_alloc(1)).toBe(NULL);
  expect(said).toEqual([NO_MEMORY]);
  expect(mempool_alloc(65)).toBe(NULL);
  expect(said).toEqual([NO_MEMORY, NO_MEMORY]);
});

test("3: blocks are multiples of 16, and so is every pointer, on any heap", () => {
  for (const [blockSize, stride] of [
    [1, 16],
    [10, 16],
    [16, 16],
    [17, 32],
    [100, 112],
  ] as const) {
    for (const alignment of [8, 16] as const) {
      const backing = heapOf(1 << 16, { alignment });
      const shift = backing.malloc(alignment);
      const pool = keep(new Mempool(2000, blockSize, { backing }));
      backing.free(shift);
      const blocks = Array.from({ length: 2000 / stride - 1 }, () => got(pool.malloc(blockSize)));
      expect(blocks.every((ptr, i) => ptr % 16 === 0 && ptr === blocks[0]! + i * stride)).toBe(true);
      pool.destroy();
    }
  }
});

test("4: the lowest free block is handed out, not the one freed last", () => {
  initiated(1024, 64);
  const blocks = exhaust(64);
  for (const i of [3, 7, 5, 12]) mempool_free(blocks[i]!);
  expect([mempool_alloc(64), mempool_alloc(64)]).toEqual([blocks[3], blocks[5]]);
  mempool_free(blocks[0]!);
  expect([mempool_alloc(64), mempool_alloc(64), mempool_alloc(64)]).toEqual([blocks[0], blocks[7], blocks[12]]);
});

test("5: 130 bytes take 3 blocks of 64 side by side; a free splits them", () => {
  const { pool } = initiated(1024, 64);
  const run = got(mempool_alloc(130));
  expect(pool.stats().coalesced).toBe(1);
  expect(mempool_alloc(64)).toBe(run + 192);
  mempool_free(run);
  expect([mempool_alloc(64), mempool_alloc(64), mempool_alloc(64)]).toEqual([run, run + 64, run + 128]);
  expect(pool.stats().coalesced).toBe(1);
});

test("6: half of the pool is free, but no two blocks side by side", () => {
  const { said, pool } = initiated(1024, 64);
  const blocks = exhaust(64);
  said.length = 0;
  for (let i = 0; i < 16; i += 2) mempool_free(blocks[i]!);
  expect(mempool_alloc(65)).toBe(NULL);
  expect(mempool_alloc(128)).toBe(NULL);
  expect(said).toEqual([unable(65), unable(128)]);
  expect(pool.stats().coalesced).toBe(0);
  mempool_free(blocks[9]!);
  mempool_free(blocks[5]!);
  expect(mempool_alloc(128)).toBe(blocks[4]);
  expect(pool.stats().coalesced).toBe(1);
});

test("7: a run longer than the pool, also by more than 65,535 blocks", () => {
  const { said, heap } = initiated(1024, 64);
  for (const bytes of [1025, 65_536 * 64, 2 ** 32 - 1]) {
    unchanged(heap, () => expect(mempool_alloc(bytes)).toBe(NULL));
    expect(said.splice(0)).toEqual([unable(bytes)]);
  }
  const whole = got(mempool_alloc(1024));
  mempool_free(whole);
  const large = poolOf(16 * 70_000, 16);
  const run = got(large.malloc(16 * 66_000));
  expect(large.usableSize(run)).toBe(16 * 66_000);
  expect(large.malloc(16)).toBe(run + 16 * 66_000);
  expect(large.malloc(16 * 4000)).toBe(NULL);
});

test("8: calloc gives zeros in recycled memory", () => {
  const { said, heap } = initiated(4096, 64);
  for (const [count, size] of [
    [1, 1],
    [16, 4],
    [3, 100],
    [7, 64],
    [4096, 1],
  ] as const) {
    const all = got(mempool_alloc(4096));
    heap.u8.fill(0xaa, all, all + 4096);
    mempool_free(all);
    const ptr = got(mempool_calloc(count, size));
    const bytes = heap.bytes(ptr, count * size);
    expect(bytes.every((byte) => byte === 0)).toBe(true);
    mempool_free(ptr);
  }
  expect(said).toEqual([]);
});

test("8: calloc of nothing, of more than 2^32 bytes, and without room gives NULL", () => {
  const { said, heap } = initiated(1024, 64);
  unchanged(heap, () => {
    expect(mempool_calloc(0, 8)).toBe(NULL);
    expect(mempool_calloc(8, 0)).toBe(NULL);
  });
  expect(said.splice(0)).toEqual([ZERO_BYTES, ZERO_BYTES]);
  const overflow = 65_537 * 65_536;
  unchanged(heap, () => {
    expect(mempool_calloc(65_537, 65_536)).toBe(NULL);
    expect(mempool_calloc(2 ** 31, 2 ** 31)).toBe(NULL);
  });
  expect(said.splice(0)).toEqual([unable(overflow), unable(2 ** 62)]);
  exhaust(64);
  said.length = 0;
  expect(mempool_calloc(1, 8)).toBe(NULL);
  expect(mempool_calloc(10, 8)).toBe(NULL);
  expect(said).toEqual([NO_MEMORY, NO_MEMORY]);
});

test("9: realloc of nothing, of NULL, to nothing, and of what is no block", () => {
  const { said, heap } = initiated(1024, 64);
  expect(mempool_realloc(asPtr(64), 8)).toBe(NULL);
  expect(mempool_realloc(NULL, 8)).toBe(NULL);
  const nothing = "MEMPOOL_ERROR: Nothing from the mempool was allocated, realloc is impossible";
  expect(said.splice(0)).toEqual([nothing, nothing]);
  const ptr = got(mempool_alloc(64));
  unchanged(heap, () => {
    expect(mempool_realloc(NULL, 8)).toBe(NULL);
    expect(said.splice(0)).toEqual([
      "MEMPOOL_ERROR: Attempt to realloc a null pointer. Potential use after free detected.",
    ]);
    expect(mempool_realloc(ptr, 0)).toBe(ptr);
    expect(said.splice(0)).toEqual(["MEMPOOL_ERROR: Attempt to realloc with size of 0 bytes. Invalid input."]);
    for (const unknown of [offsetPtr(ptr, 16), offsetPtr(ptr, 64), asPtr(ptr - 64), asPtr(16)]) {
      expect(mempool_realloc(unknown, 8)).toBe(NULL);
      expect(said.splice(0)).toEqual([
        "MEMPOOL_ERROR: Attempt to realloc a nonexistent pointer. Potential use after free detected",
      ]);
    }
  });
});

test("9: realloc keeps the pointer where the block is large enough, else it moves the contents", () => {
  const { said, heap } = initiated(4096, 64);
  const small = got(mempool_alloc(1));
  heap.u8.set([1, 2, 3], small);
  unchanged(heap, () => expect(mempool_realloc(small, 64)).toBe(small));
  const run = got(mempool_alloc(130));
  unchanged(heap, () => expect(mempool_realloc(run, 192)).toBe(run));
  // Downsizing is not supported: the block stays what it is.
  unchanged(heap, () => expect(mempool_realloc(run, 1)).toBe(run));
  const contents = Array.from({ length: 192 }, (_, i) => i);
  heap.u8.set(contents, run);
  const moved = got(mempool_realloc(run, 193));
  expect(moved).toBe(run + 192);
  expect([...heap.bytes(moved, 192)]).toEqual(contents);
  expect(mempool_alloc(192)).toBe(run);
  expect(said).toEqual([]);
});

test("9: realloc without room leaves the old block as it is", () => {
  const { said, heap } = initiated(1024, 64);
  const ptr = got(mempool_alloc(512));
  heap.u8.fill(0x5a, ptr, ptr + 512);
  expect(mempool_realloc(ptr, 513)).toBe(NULL);
  expect(said.splice(0)).toEqual([unable(513)]);
  expect(heap.bytes(ptr, 512).every((byte) => byte === 0x5a)).toBe(true);
  got(mempool_alloc(512));
  expect(mempool_realloc(ptr, 513)).toBe(NULL);
  expect(said.splice(0)).toEqual([NO_MEMORY]);
  mempool_free(ptr);
  expect(said).toEqual([]);
});

test("10: NULL, unknown, interior and freed pointers: a message, and nothing has changed", () => {
  const { said, heap } = initiated(1024, 64);
  const [single, run, freed] = [64, 130, 64].map((size) => got(mempool_alloc(size))) as [Ptr, Ptr, Ptr];
  const foreign = heap.malloc(64);
  mempool_free(freed);
  unchanged(heap, () => {
    mempool_free(NULL);
    expect(said.splice(0)).toEqual([FREE_NULL]);
    const unknown = [single + 1, single + 16, run + 64, run + 128, freed, freed + 32, single - 64, single + 1024];
    for (const ptr of [...unknown, foreign, 16, 2 ** 32 - 16]) {
      mempool_free(asPtr(ptr));
      expect(said.splice(0), String(ptr - single)).toEqual([FREE_UNKNOWN]);
    }
  });
  heap.free(foreign);
  // The original dies here, because other blocks are live.
  mempool_free(single);
  mempool_free(single);
  expect(said).toEqual([FREE_UNKNOWN]);
});

test("11: a free when no block is free", () => {
  const { said } = initiated(1024, 64);
  const blocks = exhaust(64);
  said.length = 0;
  mempool_free(blocks[9]!);
  expect(mempool_alloc(64)).toBe(blocks[9]);
  for (const ptr of blocks) mempool_free(ptr);
  expect(mempool_alloc(1024)).toBe(blocks[0]);
  expect(said).toEqual([]);
});

test("12: destroy once is 1, and there is no pool then", () => {
  const { heap, said } = initiated(1024, 64);
  const ptr = got(mempool_alloc(64));
  expect(mempool_destroy()).toBe(1);
  expect(heap.stats().liveBlocks).toBe(0);
  const error = console.error;
  const printed: unknown[] = [];
  console.error = (message: unknown) => printed.push(message);
  try {
    expect(mempool_destroy()).toBe(-1);
    expect(mempool_alloc(64)).toBe(NULL);
    expect(mempool_calloc(1, 64)).toBe(NULL);
    expect(mempool_realloc(ptr, 65)).toBe(NULL);
    mempool_free(ptr);
  } finally {
    console.error = error;
  }
  expect(printed).toEqual(
    ["destroy", "alloc", "calloc", "realloc", "free"].map(
      (call) => `MEMPOOL_ERROR: No memory pool was ever initialized. Invalid call to ${call}.`,
    ),
  );
  expect(said).toEqual([]);
});

test("13: 0 bytes take a block", () => {
  const { pool } = initiated(1024, 64);
  const ptr = got(mempool_alloc(0));
  expect(pool.usableSize(ptr)).toBe(64);
  expect(mempool_alloc(64)).toBe(ptr + 64);
});

test("14: two pools do not know of each other", () => {
  const heap = heapOf();
  const [one, other] = [poolOf(1024, 64, { backing: heap }), poolOf(4096, 16, { backing: heap })];
  const blocks = Array.from({ length: 16 }, () => got(one.malloc(64)));
  const others = Array.from({ length: 256 }, () => got(other.malloc(16)));
  for (const ptr of blocks) heap.u8.fill(1, ptr, ptr + 64);
  for (const ptr of others) heap.u8.fill(2, ptr, ptr + 16);
  expect(blocks.every((ptr) => heap.bytes(ptr, 64).every((byte) => byte === 1))).toBe(true);
  expect([one.malloc(1), other.malloc(1)]).toEqual([NULL, NULL]);
  expect(() => one.free(others[0]!)).toThrow("not from this pool");
  expect(() => other.free(blocks[0]!)).toThrow("not from this pool");
  one.destroy();
  for (const ptr of others) other.free(ptr);
  expect(other.stats()).toMatchObject({ liveBlocks: 0, freeBytes: 4096 });
});

test("15: the same addresses as the list of the original, on the document's face", () => {
  const draw = random(15);
  const { pool, said } = initiated(50 * 48, 48);
  const first = [...pool.blocks()][0]!.ptr;
  const naive = new NaivePool(first, 48, 50);
  for (let i = 0; i < 5000; i += 1) {
    const isFree = draw() < 0.45;
    const size = Math.floor(draw() ** 3 * 300);
    const ptr = asPtr(first + Math.floor(draw() * 60) * 48);
    said.length = 0;
    if (isFree) mempool_free(ptr);
    const expected = isFree ? naive.free(ptr) : naive.alloc(size) !== NULL;
    const found = isFree ? said.length === 0 : mempool_alloc(size) !== NULL;
    expect(found, `operation ${i}`).toBe(expected);
  }
  const live = [...pool.blocks()].filter(({ state }) => state === "live").map(({ ptr }) => ptr);
  expect(live).toEqual(naive.live.sort((a, b) => a - b));
  expect(pool.stats().coalesced).toBe(naive.coalesced);
});

test("16: a hundred thousand blocks of one size, as a search makes and forgets them", () => {
  const { heap, said } = initiated(1_600_000, 16);
  const blocks: Ptr[] = [];
  for (let i = 0; i < 100_000; i += 1) {
    const ptr = mempool_alloc(16);
    if (ptr === NULL) throw new Error(`no block at ${i}`);
    heap.u32[ptr >>> 2] = i;
    blocks.push(ptr);
    if (i % 3 === 2) mempool_free(blocks.splice((i * 7919) % blocks.length, 1)[0]!);
  }
  expect(new Set(blocks.map((ptr) => heap.u32[ptr >>> 2])).size).toBe(blocks.length);
  for (const ptr of blocks) mempool_free(ptr);
  expect(said).toEqual([]);
});
