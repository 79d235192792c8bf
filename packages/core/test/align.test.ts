import { describe, expect, it } from "vitest";
import { alignDown, alignUp, isAligned, isPowerOfTwo } from "../src/align.ts";

const LIMIT = 2 ** 32;
const ALIGNMENTS = Array.from({ length: 33 }, (_, exponent) => 2 ** exponent);

/** Every address within 9 bytes of a multiple of a power of two, where an error of rounding or of sign would show. */
function* addresses(): Iterable<number> {
  const edges = [0, ...ALIGNMENTS, LIMIT - 65536, LIMIT / 2 + 65536, 3 * 2 ** 30];
  for (const edge of edges) {
    for (let address = edge - 9; address <= edge + 9; address += 1) {
      if (address >= 0 && address <= LIMIT) yield address;
    }
  }
}

describe("against exact integer arithmetic", () => {
  it("rounds every edge address to every alignment", () => {
    const wrong: string[] = [];
    for (const address of addresses()) {
      for (const alignment of ALIGNMENTS) {
        const unit = BigInt(alignment);
        const down = Number((BigInt(address) / unit) * unit);
        const up = Number(((BigInt(address) + unit - 1n) / unit) * unit);
        if (alignDown(address, alignment) !== down) wrong.push(`alignDown(${address}, ${alignment})`);
        if (alignUp(address, alignment) !== up) wrong.push(`alignUp(${address}, ${alignment})`);
        if (isAligned(address, alignment) !== (up === address)) wrong.push(`isAligned(${address}, ${alignment})`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it("knows the 33 powers of two among the edge values", () => {
    const powers = new Set(ALIGNMENTS);
    expect(Array.from(addresses()).filter((value) => isPowerOfTwo(value) !== powers.has(value))).toEqual([]);
  });
});

it("stays unsigned above 2 GiB, where `(n + 7) & ~7` turns negative", () => {
  expect(alignUp(2 ** 31 + 1, 8)).toBe(2 ** 31 + 8);
  expect(alignDown(LIMIT - 1, 8)).toBe(LIMIT - 8);
  expect(alignUp(LIMIT - 1, 65536)).toBe(LIMIT);
  expect(alignUp(1, LIMIT)).toBe(LIMIT);
});

describe("wrong arguments", () => {
  const wrong: [string, unknown][] = [
    ["NaN", NaN],
    ["negative", -8],
    ["fractional", 8.5],
    ["above 2^32", LIMIT + 1],
    ["huge", 1e300],
    ["infinite", Infinity],
    ["a BigInt", 8n],
    ["a string", "8"],
    ["undefined", undefined],
    ["null", null],
    ["a symbol", Symbol("8")],
    ["an object", { valueOf: () => 8 }],
    ["a boolean", true],
  ];
  const invalid = expect.objectContaining({ name: "HeapError", code: "ERR_INVALID_ARGUMENT" });

  it.each(wrong)("%s is refused in every place", (_, value) => {
    const argument = value as number;
    expect(() => isPowerOfTwo(argument)).toThrow(invalid);
    for (const call of [alignUp, alignDown, isAligned]) {
      expect(() => call(argument, 8)).toThrow(invalid);
      expect(() => call(8, argument)).toThrow(invalid);
    }
  });

  it.each([0, 3, 24, LIMIT - 1, LIMIT - 8])("an alignment of %d is refused", (alignment) => {
    for (const call of [alignUp, alignDown, isAligned]) expect(() => call(8, alignment)).toThrow(invalid);
  });

  it("says what to pass", () => {
    expect(() => alignUp(8, 24)).toThrow("alignUp: the alignment is 0x18; pass a power of two from 1 to 2^32");
    expect(() => alignUp(-1, 8)).toThrow("alignUp: the address is -1; pass a whole number from 0 to 2^32");
  });
});
