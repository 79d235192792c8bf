import { describe, expect, it } from "vitest";
import { byteAt, findDamage, keyOf, writePattern } from "../../src/testing/pattern.ts";

const KEY = keyOf(1, 1);
const PTRS = [64, 65, 66, 67];

function memory(): { u8: Uint8Array; u32: Uint32Array } {
  const u8 = new Uint8Array(4096);
  return { u8, u32: new Uint32Array(u8.buffer) };
}

describe.each(PTRS)("at address %d", (ptr) => {
  it("writes exactly what it is asked to, in any number of pieces", () => {
    for (const [from, to] of [
      [0, 0],
      [0, 1],
      [3, 5],
      [1, 63],
      [4, 64],
      [5, 6],
    ] as const) {
      const views = memory();
      writePattern(views, ptr, from, to, KEY);
      const expected = new Uint8Array(4096);
      for (let at = from; at < to; at += 1) expected[ptr + at] = byteAt(at, KEY);
      expect(views.u8).toEqual(expected);
    }
  });

  it("finds the first byte that differs, and none where none does", () => {
    const views = memory();
    writePattern(views, ptr, 0, 70, KEY);
    expect(findDamage(views, ptr, 70, KEY)).toBe(-1);
    for (let at = 0; at < 70; at += 1) {
      views.u8[ptr + at]! ^= 0x80;
      expect([findDamage(views, ptr, 70, KEY), findDamage(views, ptr, at, KEY)]).toEqual([at, -1]);
      views.u8[ptr + at]! ^= 0x80;
    }
  });
});

it("does not take contents a few bytes off, or another block's, for its own", () => {
  const views = memory();
  writePattern(views, 1024, 0, 1024, KEY);
  for (let shift = -256; shift <= 256; shift += 1) {
    const damage = findDamage(views, 1280 + shift, 64, KEY);
    expect(damage >= 0 && damage < 8, `shift ${shift}`).toBe(shift !== -256);
  }
  for (let order = 2; order < 1000; order += 1) {
    const damage = findDamage(views, 1024, 64, keyOf(1, order));
    expect(damage >= 0 && damage < 8, `order ${order}`).toBe(true);
  }
});
