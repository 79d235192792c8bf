import { describe, expect, it } from "vitest";
import { seedFromEnv } from "../src/testing/env.ts";
import { random } from "../src/testing/stream.ts";
import { clearStart, isStart, setStart, startAtOrBelow, startBias, startBitmapBytes } from "../src/start-bits.ts";

/** Ranges below and above 2 GiB, at word borders of the bitmap and not. The bitmap lies below or above what it speaks of. */
const RANGES = [
  [64, 4096, 128],
  [8, 65536, 512],
  [1000, 9992, 16],
  [2 ** 31 - 4096, 2 ** 31 + 4096, 64],
  [3 * 2 ** 30 + 8, 3 * 2 ** 30 + 10_000, 4096],
  [2 ** 32 - 65536 - 8192, 2 ** 32 - 65536, 1 << 14],
] as const;

describe.each(RANGES)("a bitmap for %d to %d, at %d", (from, to, at) => {
  const u32 = new Uint32Array((at + startBitmapBytes(from, to)) / 4);
  const bias = startBias(at, from);
  const seed = seedFromEnv();
  const next = random(seed);
  const starts = new Set<number>();

  it("keeps one bit for each 8 bytes, and touches no word but its own", () => {
    const outside = new Uint32Array(u32.length + 2);
    const inner = outside.subarray(1, -1);
    for (let ptr = from; ptr < to; ptr += 8) setStart(inner, bias, ptr);
    expect([outside[0], outside.at(-1)]).toEqual([0, 0]);
    expect(inner.subarray(0, at >>> 2).every((word) => word === 0)).toBe(true);
    for (let ptr = from; ptr < to; ptr += 8) {
      expect(isStart(inner, bias, ptr), `${ptr}`).toBe(true);
      clearStart(inner, bias, ptr);
      expect(isStart(inner, bias, ptr), `${ptr}`).toBe(false);
    }
    expect(inner.every((word) => word === 0)).toBe(true);
  });

  it("knows each start and nothing else, through sets and clears", () => {
    for (let i = 0; i < 300; i += 1) {
      const ptr = from + Math.floor((next() * (to - from)) / 8) * 8;
      if (next() < 0.7) {
        setStart(u32, bias, ptr);
        starts.add(ptr);
      } else {
        clearStart(u32, bias, ptr);
        starts.delete(ptr);
      }
    }
    for (let ptr = from; ptr < to; ptr += 8)
      expect(isStart(u32, bias, ptr), `${ptr}, seed ${seed}`).toBe(starts.has(ptr));
  });

  it("finds the nearest start at or below any address, as a scan of all would", () => {
    const sorted = [...starts].sort((a, b) => b - a);
    for (let i = 0; i < 2000; i += 1) {
      const lowest = from + Math.floor((next() ** 3 * (to - from)) / 8) * 8;
      const address = lowest + Math.floor(next() * (to - lowest));
      const expected = sorted.find((ptr) => ptr <= address && ptr >= lowest) ?? 0;
      expect(startAtOrBelow(u32, bias, address, lowest), `${address} from ${lowest}, seed ${seed}`).toBe(expected);
    }
  });
});

it("takes 1/64 of what it speaks of, in whole pairs of words", () => {
  expect(startBitmapBytes(0, 65536)).toBe(1024);
  expect(startBitmapBytes(0, 8)).toBe(8);
  expect(startBitmapBytes(248, 264)).toBe(8);
  expect(startBitmapBytes(0, 520)).toBe(16);
  expect(startBitmapBytes(2 ** 31 - 256, 2 ** 31 + 256)).toBe(8);
  expect(startBitmapBytes(0, 2 ** 32 - 65536)).toBe((2 ** 32 - 65536) / 64);
});
