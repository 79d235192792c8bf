import { beforeEach, describe, expect, it } from "vitest";
import {
  bestFit,
  clearIndex,
  FREE_INDEX_BYTES,
  goodFit,
  indexDamage,
  indexedBlocks,
  insertFree,
  isLinked,
  unlink,
} from "../src/free-index.ts";
import { runs, seedFromEnv } from "../src/testing/env.ts";
import { random } from "../src/testing/stream.ts";

const INDEX = 16;
const FIRST = 8192;

let u32: Uint32Array;
beforeEach(() => {
  u32 = new Uint32Array(1 << 20);
  clearIndex(u32, INDEX);
});

/** Makes a FREE block of a span and files it. */
function file(block: number, span: number): void {
  u32[(block >>> 2) + 1] = span;
  insertFree(u32, INDEX, block, span);
}

function spanAt(block: number): number {
  return u32[(block >>> 2) + 1] ?? 0;
}

describe("one block", () => {
  it("of every span from 16 bytes to 64 KiB is found for every request up to it", () => {
    for (let span = 16; span <= 65536; span += 8) {
      file(FIRST, span);
      const requests = [16, span - 512, span - 256, span - 128, span - 64, span - 24, span - 16, span - 8, span];
      for (const request of requests) {
        if (request < 16) continue;
        expect([goodFit(u32, INDEX, request), bestFit(u32, INDEX, request)], `${request} of ${span}`).toEqual([
          FIRST,
          FIRST,
        ]);
      }
      expect([goodFit(u32, INDEX, span + 8), bestFit(u32, INDEX, span + 8)], `more than ${span}`).toEqual([0, 0]);
      expect(unlink(u32, INDEX, FIRST, span)).toBe(true);
      expect(goodFit(u32, INDEX, 16)).toBe(0);
    }
  });

  it("of every power of two up to 4 GiB, a little less and a little more, is found", () => {
    for (let span = 16; span <= 2 ** 31; span *= 2) {
      for (const near of [span - 8, span, span + 8, span + span / 2]) {
        if (near < 16) continue;
        file(FIRST, near);
        expect([goodFit(u32, INDEX, near), bestFit(u32, INDEX, near)], `${near}`).toEqual([FIRST, FIRST]);
        expect([goodFit(u32, INDEX, near + 8), bestFit(u32, INDEX, near + 8)], `${near}`).toEqual([0, 0]);
        expect(indexDamage(u32, INDEX)).toBeUndefined();
        unlink(u32, INDEX, FIRST, near);
      }
    }
    const largest = 2 ** 32 - 65536 - 8192;
    file(FIRST, largest);
    expect(goodFit(u32, INDEX, largest)).toBe(FIRST);
    expect(goodFit(u32, INDEX, largest + 8)).toBe(0);
  });

  it("stays where it is when it is found", () => {
    file(FIRST, 64);
    expect(goodFit(u32, INDEX, 64)).toBe(FIRST);
    expect(bestFit(u32, INDEX, 64)).toBe(FIRST);
    expect([...indexedBlocks(u32, INDEX)]).toEqual([FIRST]);
  });
});

it("an empty index finds nothing, and is whole", () => {
  for (let span = 16; span < 2 ** 32; span *= 2) {
    expect([goodFit(u32, INDEX, span), bestFit(u32, INDEX, span)]).toEqual([0, 0]);
  }
  expect([...indexedBlocks(u32, INDEX)]).toEqual([]);
  expect(indexDamage(u32, INDEX)).toBeUndefined();
});

it("writes nothing beyond its own bytes but the blocks' links", () => {
  const before = u32.slice();
  file(FIRST, 40);
  file(FIRST + 40, 4000);
  unlink(u32, INDEX, FIRST, 40);
  const changed = [...u32.keys()].filter((word) => u32[word] !== before[word]);
  const isOwn = (word: number): boolean => word >= INDEX && word < INDEX + FREE_INDEX_BYTES / 4;
  const links = [FIRST, FIRST + 40].flatMap((block) => [1, 2, 3].map((word) => (block >>> 2) + word));
  expect(changed.filter((word) => !isOwn(word) && !links.includes(word))).toEqual([]);
});

it("gives the block filed last of those that fit equally well", () => {
  for (const [at, block] of [FIRST, FIRST + 64, FIRST + 128].entries()) {
    file(block, 64);
    expect([goodFit(u32, INDEX, 64), bestFit(u32, INDEX, 64)], `${at}`).toEqual([block, block]);
  }
});

describe("against a list of all blocks", () => {
  /** Spans as programs leave them: mostly small, and a fixed distance apart so that links never overlap. */
  function* blocks(next: () => number, count: number): Generator<[number, number]> {
    for (let i = 0; i < count; i += 1) {
      const span = 16 + Math.floor(next() ** 4 * 8192) * 8;
      yield [FIRST + i * 16, span];
    }
  }

  it("bestFit wastes least, and goodFit finds a block whenever the next bin has one", () => {
    const seed = seedFromEnv();
    for (let round = 0; round < runs(20); round += 1) {
      clearIndex(u32, INDEX);
      const next = random(seed + round);
      const all = new Map(blocks(next, 200));
      for (const [block, span] of all) file(block, span);
      while (all.size > 0) {
        const wanted = 16 + Math.floor(next() ** 4 * 8192) * 8;
        const what = `${wanted} bytes, seed ${seed}, round ${round}`;
        const fitting = [...all.values()].filter((span) => span >= wanted);
        const least = fitting.length === 0 ? 0 : Math.min(...fitting);
        const best = bestFit(u32, INDEX, wanted);
        expect(best === 0 ? 0 : spanAt(best), what).toBe(least);
        const good = goodFit(u32, INDEX, wanted);
        // It may pass over the rest of the request's own bin, which is 1/16 of a power of two wide at most.
        const isSure = fitting.some((span) => span >= wanted + 2 ** Math.floor(Math.log2(wanted)) / 16 + 8);
        expect(good !== 0 || !isSure, what).toBe(true);
        expect(good === 0 || spanAt(good) >= wanted, what).toBe(true);
        const [gone] = best === 0 ? [...all.keys()] : [best as number];
        if (gone === undefined) break;
        expect(unlink(u32, INDEX, gone, spanAt(gone))).toBe(true);
        all.delete(gone);
        expect(indexDamage(u32, INDEX), what).toBeUndefined();
      }
      expect([...indexedBlocks(u32, INDEX)]).toEqual([]);
    }
  });

  it("holds each block once, in whatever order they come and go", () => {
    const seed = seedFromEnv();
    const next = random(seed);
    const all = new Map<number, number>();
    let refused = 0;
    for (let i = 0; i < runs(3000); i += 1) {
      const block = FIRST + Math.floor(next() * 300) * 16;
      const span = all.get(block);
      if (span === undefined) {
        const fresh = 16 + Math.floor(next() ** 3 * 600) * 8;
        all.set(block, fresh);
        file(block, fresh);
      } else {
        if (isLinked(u32, block) && unlink(u32, INDEX, block, span)) all.delete(block);
        else refused += 1;
      }
      if (i % 50 !== 0) continue;
      const found = [...indexedBlocks(u32, INDEX)].sort((a, b) => a - b);
      expect(found, `seed ${seed}, step ${i}`).toEqual([...all.keys()].sort((a, b) => a - b));
      expect(indexDamage(u32, INDEX)).toBeUndefined();
    }
    expect(refused).toBe(0);
  });
});

describe("damage", () => {
  beforeEach(() => {
    for (let i = 0; i < 4; i += 1) file(FIRST + i * 64, 64);
  });

  it("a block whose links do not lead back to it is not taken out, and nothing is written", () => {
    const block = FIRST + 64;
    for (const link of [2, 3]) {
      const word = (block >>> 2) + link;
      const kept = u32[word] ?? 0;
      // 0 is what the last block of a list has for its next.
      for (const poison of [link === 2 ? 24 : 0, 8, block, FIRST + 192, 0x4141_4140, 0xffff_fff8]) {
        u32[word] = poison;
        const before = u32.slice();
        expect(isLinked(u32, block), `link ${link}: ${poison}`).toBe(false);
        expect(unlink(u32, INDEX, block, 64), `link ${link}: ${poison}`).toBe(false);
        expect(Buffer.compare(new Uint8Array(u32.buffer), new Uint8Array(before.buffer))).toBe(0);
      }
      u32[word] = kept;
      expect(isLinked(u32, block)).toBe(true);
    }
  });

  it("of the maps and the rings is told", () => {
    expect(indexDamage(u32, INDEX)).toBeUndefined();
    for (let word = INDEX; word < INDEX + FREE_INDEX_BYTES / 4 - 2; word += 1) {
      const kept = u32[word] ?? 0;
      u32[word] = kept ^ (word === INDEX || kept < FIRST ? 1 : 64);
      const damage = indexDamage(u32, INDEX);
      u32[word] = kept;
      expect(damage, `word ${word - INDEX}`).toMatch(/mark|ring|bin/);
    }
    u32[(FIRST + 3 * 64 + 4) >>> 2] = 4096;
    expect(indexDamage(u32, INDEX)).toContain("holds a block of another size");
  });
});
