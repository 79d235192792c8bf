import { describe, expect, it } from "vitest";
import { seedFromEnv } from "../../src/testing/env.ts";
import {
  bimodal,
  describeOperation,
  type Distribution,
  OPERATION,
  operations,
  powerLaw,
  programSizes,
  random,
  type Stream,
  type StreamOptions,
  uniform,
} from "../../src/testing/stream.ts";

const seed = seedFromEnv();
const invalid = expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" });

function draw(distribution: Distribution, count: number): number[] {
  const next = random(seed);
  return Array.from({ length: count }, () => distribution(next));
}

function share(values: readonly number[], isHit: (value: number) => boolean): number {
  return values.filter(isHit).length / values.length;
}

describe("random", () => {
  it("is the same for the same seed and differs for the next one", () => {
    const sequence = (from: number): number[] => Array.from({ length: 50 }, random(from));
    expect(sequence(seed)).toEqual(sequence(seed));
    expect(sequence(seed)).not.toEqual(sequence(seed + 1));
    expect(sequence(seed)).not.toEqual(sequence(seed + 2 ** 32));
  });

  it("stays the same from version to version, so that a seed in a report can be used", () => {
    expect(Array.from({ length: 3 }, random(1))).toEqual([0.41439975961111486, 0.4718119385652244, 0.3868573661893606]);
  });

  it("fills every tenth of its range evenly", () => {
    const values = draw((next) => next(), 100_000);
    for (let tenth = 0; tenth < 10; tenth += 1) {
      const count = share(values, (value) => Math.floor(value * 10) === tenth);
      expect(count, `tenth ${tenth}`).toBeCloseTo(0.1, 1);
    }
    expect(values.every((value) => value >= 0 && value < 1)).toBe(true);
  });
});

describe("distributions", () => {
  it("uniform draws both ends, and all between as often", () => {
    const values = draw(uniform(3, 6), 40_000);
    expect(new Set(values)).toEqual(new Set([3, 4, 5, 6]));
    expect(share(values, (value) => value === 6)).toBeCloseTo(0.25, 1);
    expect(draw(uniform(0, 0), 3)).toEqual([0, 0, 0]);
  });

  it("powerLaw with exponent 1 makes every doubling as likely", () => {
    const values = draw(powerLaw(8, 8 * 2 ** 10 - 1), 100_000);
    for (let doubling = 0; doubling < 10; doubling += 1) {
      const low = 8 * 2 ** doubling;
      expect(share(values, (value) => value >= low && value < 2 * low)).toBeCloseTo(0.1, 1);
    }
  });

  it("powerLaw with exponent 2 halves with every doubling", () => {
    const values = draw(powerLaw(1, 1023, 2), 100_000);
    expect(share(values, (value) => value === 1)).toBeCloseTo(0.5, 1);
    expect(share(values, (value) => value >= 2 && value < 4)).toBeCloseTo(0.25, 1);
    expect(Math.max(...values)).toBeLessThanOrEqual(1023);
  });

  it("bimodal draws from both in the share given", () => {
    const values = draw(bimodal(uniform(1, 9), uniform(1000, 2000), 0.2), 20_000);
    expect(share(values, (value) => value >= 1000)).toBeCloseTo(0.2, 1);
    expect(share(values, (value) => value > 9 && value < 1000)).toBe(0);
  });

  it("programSizes are mostly small, seldom large, now and then 0", () => {
    const values = draw(programSizes, 100_000);
    expect(share(values, (value) => value <= 128)).toBeGreaterThan(0.85);
    expect(share(values, (value) => value > 4096)).toBeGreaterThan(0.005);
    expect(Math.max(...values)).toBeLessThanOrEqual(65_536);
    expect(Math.min(...values)).toBe(0);
  });

  it("refuse what is no range", () => {
    for (const [min, max] of [
      [5, 4],
      [-1, 4],
      [0.5, 4],
      [0, NaN],
      [0, 2 ** 32],
    ] as const) {
      expect(() => uniform(min, max)).toThrow(invalid);
      expect(() => powerLaw(min, max)).toThrow(invalid);
    }
    expect(() => powerLaw(0, 8)).toThrow(invalid);
    expect(() => powerLaw(1, 8, 0)).toThrow(invalid);
    expect(() => bimodal(programSizes, programSizes, 1.5)).toThrow(invalid);
  });
});

describe("operations", () => {
  const count = 50_000;
  const make = (options: Partial<StreamOptions> = {}): Stream => operations({ seed, count, maxLive: 100, ...options });

  it("are the same for the same seed and differ for the next one", () => {
    expect(make()).toEqual(make());
    expect(make().slots).not.toEqual(make({ seed: seed + 1 }).slots);
  });

  it("allocate to empty slots and change or free taken ones, and fill and empty them all", () => {
    // So many slots that chance alone, without the breathing, would not fill them.
    const stream = make({ maxLive: 2000 });
    const taken = new Set<number>();
    const levels: number[] = [];
    const wrong: string[] = [];
    stream.kinds.forEach((kind, i) => {
      const slot = stream.slots[i]!;
      const isAllocation = kind !== OPERATION.FREE && kind !== OPERATION.REALLOC;
      if (taken.has(slot) === isAllocation || slot >= 2000) wrong.push(describeOperation(stream, i));
      if (isAllocation) taken.add(slot);
      if (kind === OPERATION.FREE) taken.delete(slot);
      levels.push(taken.size);
    });
    expect(wrong).toEqual([]);
    const full = levels.indexOf(2000);
    expect(full).toBeGreaterThan(0);
    expect(levels.indexOf(0, full)).toBeGreaterThan(full);
  });

  it("come in the proportions of the mix", () => {
    const { kinds } = make({ mix: { malloc: 1, calloc: 2, alignedAlloc: 3, free: 6, realloc: 3 } });
    const of = (kind: number): number => share([...kinds], (value) => value === kind);
    expect(of(OPERATION.CALLOC) / of(OPERATION.MALLOC)).toBeCloseTo(2, 0);
    expect(of(OPERATION.ALIGNED_ALLOC) / of(OPERATION.MALLOC)).toBeCloseTo(3, 0);
    expect(of(OPERATION.REALLOC)).toBeGreaterThan(0.1);
    const without = make({ mix: { realloc: 0, calloc: 0, alignedAlloc: 0 } });
    expect(new Set(without.kinds)).toEqual(new Set([OPERATION.MALLOC, OPERATION.FREE]));
  });

  it("draw sizes, counts and alignments", () => {
    const stream = make({ sizes: uniform(100, 200) });
    const isRight = (kind: number, size: number, extra: number): boolean => {
      if (kind === OPERATION.CALLOC) return extra >= 1 && size * extra >= 100 && size * extra < 200 + extra;
      if (kind === OPERATION.FREE) return size === 0 && extra === 0;
      const isExtra = kind === OPERATION.ALIGNED_ALLOC ? Number.isInteger(Math.log2(extra)) : extra === 0;
      return isExtra && size >= 100 && size <= 200;
    };
    const wrong = [...stream.kinds.keys()].filter(
      (i) => !isRight(stream.kinds[i]!, stream.sizes[i]!, stream.extras[i]!),
    );
    expect(wrong.map((i) => describeOperation(stream, i))).toEqual([]);
  });

  it("are described in words", () => {
    const stream: Stream = {
      seed: 1,
      slotCount: 9,
      kinds: Uint8Array.of(0, 1, 2, 3, 4),
      slots: Uint32Array.of(1, 2, 3, 4, 5),
      sizes: Uint32Array.of(10, 0, 30, 40, 50),
      extras: Uint32Array.of(0, 0, 0, 2, 64),
    };
    expect(Array.from({ length: 6 }, (_, i) => describeOperation(stream, i))).toEqual([
      "operation 0, malloc(10) for slot 1",
      "operation 1, free of slot 2",
      "operation 2, realloc of slot 3 to 30 bytes",
      "operation 3, calloc(2, 40) for slot 4",
      "operation 4, alignedAlloc(64, 50) for slot 5",
      "operation 5, none",
    ]);
  });

  it.each([
    { seed: 0.5 },
    { count: -1 },
    { count: NaN },
    { maxLive: 0 },
    { mix: { malloc: 0, calloc: 0, alignedAlloc: 0 } },
    { mix: { free: -1 } },
    { mix: { realloc: Infinity } },
  ])("refuse %o", (options) => {
    expect(() => make(options)).toThrow(invalid);
  });
});
