/** Every invariant, broken and seen. */
import { Heap, type Ptr } from "@heapwright/core";
import { allowLive } from "@heapwright/core/testing";
import { beforeEach, describe, expect, test } from "vitest";

import { Mempool } from "../src/index.ts";
import { CLASS_BLOCKS, CONTROL, HELD, MAGAZINE, MARKS_WORD } from "../src/layout.ts";
import { got, hex } from "./made.ts";

const COUNT = 1100;

let pool: Mempool;
let u32: Uint32Array;
let single: Ptr;
let run: Ptr;

beforeEach(() => {
  allowLive();
  const heap = new Heap({ bytes: 1 << 18, shared: true });
  pool = new Mempool(COUNT * 64, 64, { backing: heap, magazine: 8 });
  u32 = heap.u32;
  const blocks = Array.from({ length: 200 }, () => got(pool.malloc(64)));
  [single, run] = [blocks[100]!, got(pool.malloc(64 * 70))];
  for (let i = 0; i < 200; i += 3) if (i !== 100) pool.free(blocks[i]!);
  // Nothing is 9 blocks long before the run, which is learned by searching for it.
  pool.free(got(pool.malloc(64 * 9)));
});

function field(name: keyof typeof CONTROL.offsets): number {
  return (pool.handle + CONTROL.offsets[name]) >>> 2;
}
function at(name: keyof typeof CONTROL.offsets): number {
  return u32[field(name)]!;
}
function blockOf(ptr: Ptr): number {
  return (ptr - at("first")) / 64;
}
function runWord(ptr: Ptr): number {
  return at("runs") + blockOf(ptr);
}
function bitmapWord(block: number): number {
  return at("bitmap") + (block >>> 5);
}
function treeOf(kind: number): number {
  return field("magic") + MARKS_WORD + kind * at("treeWords");
}
function magazineWord(name: keyof typeof MAGAZINE.offsets): number {
  return (at("magazines") + MAGAZINE.offsets[name]) >>> 2;
}
function entries(): number {
  return (at("magazines") + MAGAZINE.size) >>> 2;
}
function poke(word: number, value: number): () => void {
  return () => {
    u32[word] = value;
  };
}
function flip(word: number, bits: number): () => void {
  return poke(word, u32[word]! ^ bits);
}

const damages: Record<number, Record<string, () => () => void>> = {
  1: {
    version: () => poke(field("version"), 9),
    "an alignment that is none": () => poke(field("alignment"), 24),
    "no block size": () => poke(field("blockBytes"), 0),
    "a block size that is not aligned": () => poke(field("blockBytes"), 65),
    "a first block that is not aligned": () => poke(field("first"), at("first") + 8),
    "a first block in the tables": () => poke(field("first"), at("first") - 1024),
    "the bitmap elsewhere": () => poke(field("bitmap"), at("bitmap") + 1),
    "the run lengths elsewhere": () => poke(field("runs"), at("runs") + 1),
    "another shape of trees": () => poke(field("leaf"), 1),
    "trees of another size": () => poke(field("treeWords"), at("treeWords") + 1),
    "another count": () => poke(field("count"), COUNT * 2),
  },
  2: {
    "a run that ends behind the pool": () => poke(runWord(run), COUNT),
    "a run in another": () => poke(runWord(run) + 5, 1),
  },
  3: {
    "a block that is neither free nor in a run": () => flip(bitmapWord(COUNT - 1), 1 << ((COUNT - 1) & 31)),
    "a block of a run that is free": () => flip(bitmapWord(blockOf(run) + 40), 1 << ((blockOf(run) + 40) & 31)),
    "a run that is too long by one": () => poke(runWord(run), 71),
    "a live block without a run length": () => poke(runWord(single), 0),
    "bits behind the last block": () => flip(bitmapWord(COUNT), 1 << (COUNT & 31)),
    "bits in the word behind the bitmap": () => poke(at("bitmap") + Math.ceil(COUNT / 32), 1),
  },
  4: {
    "a mark of single blocks that is missing": () => flip(treeOf(0) + 1, 1),
    "a mark of long runs that is missing": () =>
      flip(treeOf(CLASS_BLOCKS.length - 1) + 1 + ((COUNT >>> 5) >>> 5), 1 << ((COUNT >>> 5) & 31)),
    "a node without its child": () => poke(treeOf(3) + 1, 0),
    "a child without its node": () => poke(treeOf(3), 0),
    "a mark behind the last word": () => flip(treeOf(2) + 2, 1 << 20),
  },
  5: {
    "a free block before `low`": () => () => {
      u32[field("low")] = 20;
      u32[field("watch")] = Math.max(20, at("cleared"));
    },
    "`low` behind the bitmap": () => () => {
      u32[field("low")] = 1000;
      u32[field("watch")] = 1000;
    },
    "`watch` that is too low": () => poke(field("watch"), at("watch") - 1),
  },
  7: {
    "a held block without a magazine": () => poke(runWord(single), (HELD | pool.heap.slot) >>> 0),
    "a block held by another": () => poke(at("runs") + u32[entries()]!, (HELD | 99) >>> 0),
    "a live block in a magazine": () => poke(entries(), blockOf(single)),
    "a block twice in a magazine": () => poke(entries(), u32[entries() + 1]!),
    "an entry that is no block": () => poke(entries(), COUNT),
    "more than a magazine holds": () => poke(magazineWord("count"), 9),
  },
};

test("a pool with live, held and free blocks is sound as it is", () => {
  pool.check();
  expect(u32[magazineWord("count")]).toBeGreaterThan(1);
  expect(at("cleared")).toBeGreaterThan(2);
  expect(pool.stats()).toMatchObject({ liveBlocks: 134, coalesced: 2 });
});

for (const [invariant, ways] of Object.entries(damages)) {
  describe(`invariant ${invariant}`, () => {
    for (const [name, damage] of Object.entries(ways)) {
      test(`${name}`, () => {
        damage()();
        const before = u32.slice();
        expect(() => pool.check()).toThrow(
          expect.objectContaining({
            code: "ERR_CORRUPT",
            message: expect.stringContaining(`check: invariant ${invariant} at 0x`) as string,
          }),
        );
        expect(u32.findIndex((word, i) => word !== before[i])).toBe(-1);
      });
    }
  });
}

test("a mark that is needed no more is no damage", () => {
  const [tree, first] = [treeOf(5), bitmapWord(blockOf(run)) - at("bitmap")];
  u32[tree + 1 + (first >>> 5)]! |= 1 << (first & 31);
  u32[tree]! |= 1 << (first >>> 5);
  expect(() => pool.check()).not.toThrow();
});

test("conservation is what the others add up to", () => {
  // No single word breaks it alone: what is neither in a run nor free is told of as invariant 3.
  expect(() => {
    u32[runWord(single)] = 0;
    pool.check();
  }).toThrow(`invariant 3 at ${hex(single)}`);
});
