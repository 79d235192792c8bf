import { asPtr, Heap, type Ptr } from "@heapwright/core";
import { afterEach, beforeEach, expect, test } from "vitest";

import { copy, isZero, wipe } from "../src/wipe.ts";

const BYTES = 2048;

let heap: Heap;
let block: Ptr;
beforeEach(() => {
  heap = new Heap({ bytes: 1 << 16 });
  block = heap.malloc(BYTES);
  heap.u8.fill(255, block, block + BYTES);
});
afterEach(() => heap.free(block));

test("exactly the bytes between are zeroed, whatever their number", () => {
  for (let bytes = 0; bytes <= 1200; bytes += 8) {
    for (const from of [block, block + 8, block + 56]) {
      wipe(heap, from, from + bytes);
      const seen = heap.bytes(asPtr(block), BYTES);
      expect(seen.findIndex((byte) => byte === 0)).toBe(bytes === 0 ? -1 : from - block);
      expect(seen.lastIndexOf(0)).toBe(bytes === 0 ? -1 : from - block + bytes - 1);
      expect(seen.reduce((zeros, byte) => zeros + Number(byte === 0), 0)).toBe(bytes);
      seen.fill(255);
    }
  }
});

test("zeroing happens each time, also when it has been compiled and its result is never read", () => {
  for (const bytes of [64, 512, 520]) {
    for (let i = 0; i < 20_000; i += 1) wipe(heap, block, block + bytes);
    let missed = 0;
    for (let i = 0; i < 20_000; i += 1) {
      heap.u8[block + (i % bytes)] = 1;
      wipe(heap, block, block + bytes);
      missed += heap.u8[block + (i % bytes)]!;
    }
    expect(missed).toBe(0);
  }
});

test("copies are exact, whatever their number", () => {
  for (let bytes = 0; bytes <= 800; bytes += 8) {
    heap.u8.fill(0, block, block + BYTES);
    for (let i = 0; i < bytes; i += 1) heap.u8[block + i] = (i % 251) + 1;
    copy(heap, block, block + 1024, bytes);
    const seen = heap.bytes(asPtr(block + 1024), 1024);
    expect(seen.findIndex((byte, i) => byte !== (i < bytes ? (i % 251) + 1 : 0))).toBe(-1);
  }
});

test("one byte that is not 0 is seen", () => {
  wipe(heap, block, block + 72);
  expect(isZero(heap, block, block + 72)).toBe(true);
  expect(isZero(heap, block, block + 80)).toBe(false);
  for (let at = 0; at < 72; at += 1) {
    heap.u8[block + at] = 1;
    expect(isZero(heap, block, block + 72)).toBe(false);
    heap.u8[block + at] = 0;
  }
});
