/** Every invariant, broken and seen by its number. */
import { HeapError, type Ptr } from "@heapwright/core";
import { forget } from "@heapwright/core/testing";
import { describe, expect, test } from "vitest";

import { classOf } from "../src/index.ts";
import { CONTROL, ENTRY_WORDS, RECORD, SUPERBLOCK } from "../src/layout.ts";
import { superblockAt } from "../src/page-map.ts";
import { apfOf, got, heapOf, recordOf } from "./made.ts";

/** An allocator with everything in it, and the words that damages are about. */
function busy() {
  const heap = heapOf(1 << 21);
  const apf = apfOf({ backing: heap, targetApf: 20, burstLength: 40 });
  const live = Array.from({ length: 300 }, () => got(apf.malloc(64)));
  for (const ptr of live.splice(0, 60)) apf.free(ptr);
  const other = Array.from({ length: 200 }, () => got(apf.malloc(500)));
  for (const ptr of other) apf.free(ptr);
  // Some superblocks of 500 bytes become retired, some of 64 partial.
  const large = got(apf.malloc(20_000));
  for (const ptr of live.splice(0, 100)) apf.free(ptr);
  const { u32 } = heap;
  const [record, control] = [recordOf(apf, classOf(64)), apf.control];
  const stack = u32[record + (RECORD.offsets.stack >>> 2)]! >>> 2;
  const word = (descriptor: number, field: keyof typeof SUPERBLOCK.offsets): number =>
    (descriptor + SUPERBLOCK.offsets[field]) >>> 2;
  const partial = u32[record + (RECORD.offsets.partial >>> 2)]!;
  const entry = (ptr: Ptr): number =>
    (u32[control + (CONTROL.offsets.table >>> 2)]! + (ptr >>> 12) * ENTRY_WORDS) >>> 0;
  return { heap, apf, live, large, u32, record, control, stack, word, partial, entry, at: live[0]! };
}

type Busy = ReturnType<typeof busy>;
type Damage = readonly [name: string, act: (busy: Busy) => void];

const field = (offsets: Record<string, number>, name: string): number => offsets[name]! >>> 2;

const damages: Record<number, Damage[]> = {
  1: [
    ["another layout", ({ u32, control }) => (u32[control + 1] = 7)],
    ["no target", ({ u32, control }) => (u32[control + field(CONTROL.offsets, "target")] = 0)],
    ["no burst", ({ u32, control }) => (u32[control + field(CONTROL.offsets, "burst")] = 0)],
  ],
  2: [
    ["a live bit of no page", ({ u32, control }) => (u32[control + field(CONTROL.offsets, "empty") + 3] = 1)],
    ["half a page", ({ u32, control }) => (u32[control + field(CONTROL.offsets, "lowest")]! += 8)],
    ["another record", ({ u32, entry, at }) => (u32[entry(at) + 1]! += 16)],
    ["other live bits", ({ u32, entry, at }) => (u32[entry(at)]! += 1)],
    ["a large block in a superblock", ({ u32, entry, at }) => (u32[entry(at) + 3] = 5)],
    ["no superblock", ({ u32, entry, at }) => (u32[entry(at) + 2] = 0)],
    ["a superblock where there is none", ({ u32, entry, large, partial }) => (u32[entry(large) + 2] = partial)],
  ],
  3: [
    ["an impossible class", ({ u32, word, partial }) => (u32[word(partial, "class")] = 40)],
    ["too many blocks", ({ u32, word, partial }) => (u32[word(partial, "max")]! += 1)],
    ["more handed out than there are", ({ u32, word, partial }) => (u32[word(partial, "carved")] = 5000)],
    [
      "a live bit inside a block",
      ({ u32, apf, at }) => {
        const descriptor = superblockAt(u32, apf.control, at);
        u32[(descriptor + SUPERBLOCK.size) / 4]! |= 1 << 3;
      },
    ],
  ],
  4: [
    ["a count too high", ({ u32, word, partial }) => (u32[word(partial, "anchor")]! += 4)],
    ["another state", ({ u32, word, partial }) => (u32[word(partial, "anchor")]! ^= 2)],
    ["a list that leads nowhere", ({ u32, word, partial }) => (u32[word(partial, "avail")] = 8)],
    ["a list that leads to a live block", ({ u32, word, at }) => (u32[word(blockOf(u32, at), "avail")] = at)],
    ["a list in a circle", ({ u32, word, partial }) => circle(u32, u32[word(partial, "avail")]!)],
  ],
  5: [
    ["a lost superblock", ({ u32, record }) => (u32[record + field(RECORD.offsets, "partial")] = 0)],
    ["a circle", ({ u32, word, partial }) => (u32[word(partial, "next")] = partial)],
    ["pages of a class", ({ u32, record }) => (u32[record + field(RECORD.offsets, "pages")]! += 1)],
    ["pages in all", ({ u32, control }) => (u32[control + field(CONTROL.offsets, "pages")]! += 1)],
    ["retired pages", ({ u32, control }) => (u32[control + field(CONTROL.offsets, "idlePages")]! += 1)],
    ["a retired superblock too many", ({ u32, control, partial }) => (u32[control + 16 + 2] = partial)],
  ],
  6: [
    ["a block twice", ({ u32, stack }) => (u32[stack + 1] = u32[stack + 2]! & ~1)],
    ["a live block", ({ u32, stack, at }) => (u32[stack + 1] = at)],
    ["a block of another class", ({ u32, stack, large }) => (u32[stack + 1] = large)],
    ["no zero below", ({ u32, stack }) => (u32[stack] = 8)],
    ["more room than slots", ({ u32, record }) => (u32[record + field(RECORD.offsets, "capacity")] = 1)],
    ["a mark above none", ({ u32, stack, record }) => (u32[stack + topOf(u32, record)]! |= 1)],
  ],
  7: [
    ["a block that nobody has", ({ u32, record }) => (u32[record]! += 1)],
    [
      "a live block that is not",
      ({ u32, apf, at }) => {
        const bias = liveWordOf(u32, apf.control, at);
        u32[bias]! &= ~(1 << (at >>> 3));
      },
    ],
  ],
  8: [
    ["a large block that is not counted", ({ u32, apf }) => (u32[recordOf(apf, 0) + 11]! += 1)],
    ["a large block that is forgotten", ({ u32, entry, large }) => (u32[entry(large) + 3] = 0)],
  ],
};

function blockOf(u32: Uint32Array, ptr: Ptr): number {
  return current.superblockOf(u32, ptr);
}

/** The allocator whose damage is being done. */
const current = { superblockOf: (_u32: Uint32Array, _ptr: Ptr): number => 0 };

function circle(u32: Uint32Array, ptr: number): void {
  u32[ptr >>> 2] = ptr;
}

function topOf(u32: Uint32Array, record: number): number {
  const stack = u32[record + (RECORD.offsets.stack >>> 2)]! >>> 2;
  return u32[record + (RECORD.offsets.end >>> 2)]! - (u32[record]! & 0x1fff) - stack - 1;
}

function liveWordOf(u32: Uint32Array, control: number, ptr: Ptr): number {
  const descriptor = superblockAt(u32, control, ptr);
  const base = u32[descriptor >>> 2]!;
  return ((descriptor + SUPERBLOCK.size) >>> 2) + ((ptr - base) >>> 8);
}

describe.each(Object.entries(damages))("invariant %s", (number, list) => {
  test.each(list)("%s", (_, damage) => {
    const it = busy();
    forget(it.heap);
    it.apf.check();
    current.superblockOf = (u32, ptr) => superblockAt(u32, it.apf.control, ptr);
    const image = new Uint8Array(it.heap.image());
    damage(it);
    let message = "";
    try {
      it.apf.check();
    } catch (error) {
      if (!(error instanceof HeapError) || error.code !== "ERR_CORRUPT") throw error;
      ({ message } = error);
    }
    expect(message).toContain(`check: invariant ${number} at`);
    // As it was: what comes after the test proves it.
    it.heap.u8.set(image, it.heap.base);
  });
});

test("a superblock's list that was written over is noticed when a block is fetched from it", () => {
  const { apf, u32, partial, word, heap } = busy();
  forget(heap);
  const image = new Uint8Array(heap.image());
  const first = u32[word(partial, "avail")]!;
  u32[first >>> 2] = 0xdead_beef;
  let corrupt = "";
  for (let i = 0; i < 500 && corrupt === ""; i += 1) {
    try {
      apf.malloc(64);
    } catch (error) {
      corrupt = (error as HeapError).code;
    }
  }
  expect(corrupt).toBe("ERR_CORRUPT");
  heap.u8.set(image, heap.base);
});

test("a live bit that was written over is noticed when the block is taken", () => {
  const { apf, u32, stack, record, heap } = busy();
  const image = new Uint8Array(heap.image());
  forget(heap);
  const top = (u32[stack + topOf(u32, record)]! & ~1) as Ptr;
  u32[liveWordOf(u32, apf.control, top)]! |= 1 << (top >>> 3);
  expect(() => apf.malloc(64)).toThrow(expect.objectContaining({ code: "ERR_CORRUPT" }));
  heap.u8.set(image, heap.base);
});
