import { beforeEach, describe, expect, it } from "vitest";
import { HEADER_BYTES, release, setTag, spanOf, split, STATE, stateOf, writeHeader } from "../src/boundary-tag.ts";
import { clearIndex, indexDamage, indexedBlocks, insertFree } from "../src/free-index.ts";
import { isStart, setStart, startBias } from "../src/start-bits.ts";

const { FREE, LIVE, CACHED, RESERVED } = STATE;
const INDEX = 64;
const BITMAP = 8192;
const FIRST = 16_384;
const BYTES = 65536;
const BIAS = startBias(BITMAP, FIRST);

let u32: Uint32Array;
beforeEach(() => {
  u32 = new Uint32Array(BYTES / 4);
  clearIndex(u32, INDEX);
});

/** Lays blocks side by side, files the FREE ones, and ends the chain. */
function chain(...blocks: (readonly [span: number, state: number])[]): number[] {
  const addresses: number[] = [];
  let block = FIRST;
  let previous = 0;
  for (const [span, state] of [...blocks, [HEADER_BYTES, RESERVED] as const]) {
    writeHeader(u32, block, previous, span, state);
    if (span > HEADER_BYTES) setStart(u32, BIAS, block + HEADER_BYTES);
    if (state === FREE) insertFree(u32, INDEX, block, span);
    addresses.push(block);
    previous = span;
    block += span;
  }
  return addresses;
}

/** The chain as it is now; its `previous` words, its start bits and its index must agree with it. */
function seen(unfiled: number = 0): [span: number, state: number][] {
  const found: [number, number][] = [];
  const free: number[] = [];
  const starts = new Set<number>();
  let previous = 0;
  let block = FIRST;
  for (; spanOf(u32, block) > HEADER_BYTES; block += previous) {
    expect(u32[block >>> 2], `previous at ${block}`).toBe(previous);
    previous = spanOf(u32, block);
    found.push([previous, stateOf(u32, block)]);
    starts.add(block + HEADER_BYTES);
    if (stateOf(u32, block) === FREE && block !== unfiled) free.push(block);
  }
  expect([u32[block >>> 2], stateOf(u32, block)], "the end").toEqual([previous, RESERVED]);
  for (let ptr = FIRST; ptr < block; ptr += 8)
    expect(isStart(u32, BIAS, ptr), `start bit of ${ptr}`).toBe(starts.has(ptr));
  expect(
    [...indexedBlocks(u32, INDEX)].sort((a, b) => a - b),
    "the index",
  ).toEqual(free);
  expect(indexDamage(u32, INDEX)).toBeUndefined();
  return found;
}

describe("a header", () => {
  it("keeps span and state apart, for spans above 2 GiB too", () => {
    for (const span of [16, 24, 2 ** 31 - 8, 2 ** 31, 2 ** 32 - 65536]) {
      for (const state of [FREE, LIVE, CACHED, RESERVED]) {
        writeHeader(u32, FIRST, 48, span, state);
        expect([u32[FIRST >>> 2], spanOf(u32, FIRST), stateOf(u32, FIRST)]).toEqual([48, span, state]);
        setTag(u32, FIRST, 64, CACHED);
        expect([u32[FIRST >>> 2], spanOf(u32, FIRST), stateOf(u32, FIRST)]).toEqual([48, 64, CACHED]);
      }
    }
  });
});

describe("split", () => {
  it.each([16, 24, 100 - 4, 480, 496])(
    "cuts %d bytes off a block, and the rest is free and in no index yet",
    (span) => {
      const [, block = 0] = chain([64, LIVE], [512, LIVE], [32, LIVE]);
      const rest = split(u32, BIAS, block, 512, span, LIVE);
      expect(rest).toBe(block + span);
      expect(seen(rest)).toEqual([
        [64, LIVE],
        [span, LIVE],
        [512 - span, FREE],
        [32, LIVE],
      ]);
    },
  );

  it("gives the left part the state that it is told", () => {
    for (const state of [LIVE, CACHED, RESERVED]) {
      u32.fill(0);
      clearIndex(u32, INDEX);
      const [block = 0] = chain([512, LIVE]);
      split(u32, BIAS, block, 512, 128, state);
      expect(stateOf(u32, block)).toBe(state);
    }
  });
});

describe("release", () => {
  const cases: [string, number, number, [number, number][]][] = [
    [
      "no free neighbour",
      LIVE,
      LIVE,
      [
        [64, LIVE],
        [128, FREE],
        [256, LIVE],
      ],
    ],
    [
      "a free right neighbour",
      LIVE,
      FREE,
      [
        [64, LIVE],
        [384, FREE],
      ],
    ],
    [
      "a free left neighbour",
      FREE,
      LIVE,
      [
        [192, FREE],
        [256, LIVE],
      ],
    ],
    ["two free neighbours", FREE, FREE, [[448, FREE]]],
    [
      "cached neighbours, which stay",
      CACHED,
      CACHED,
      [
        [64, CACHED],
        [128, FREE],
        [256, CACHED],
      ],
    ],
    [
      "reserved neighbours, which stay",
      RESERVED,
      RESERVED,
      [
        [64, RESERVED],
        [128, FREE],
        [256, RESERVED],
      ],
    ],
  ];

  for (const state of [LIVE, CACHED, RESERVED]) {
    it.each(cases)(`of a block in state ${state} with %s`, (_, left, right, expected) => {
      const walls = [32, LIVE] as const;
      const [, first = 0, block = 0] = chain(walls, [64, left], [128, state], [256, right], walls);
      const merged = release(u32, INDEX, BIAS, block, 0);
      expect(merged).toBe(left === FREE ? first : block);
      expect(seen()).toEqual([walls, ...expected, walls]);
    });
  }

  it("of the first and the last of a chain leaves its ends alone", () => {
    const [first = 0] = chain([64, LIVE], [32, LIVE], [128, LIVE]);
    expect(release(u32, INDEX, BIAS, first, 0)).toBe(first);
    const last = FIRST + 96;
    expect(release(u32, INDEX, BIAS, last, 0)).toBe(last);
    expect(seen()).toEqual([
      [64, FREE],
      [32, LIVE],
      [128, FREE],
    ]);
    expect(release(u32, INDEX, BIAS, FIRST + 64, 0)).toBe(FIRST);
    expect(seen()).toEqual([[224, FREE]]);
  });

  it("leaves the wilderness as it is, and does not file what ends there", () => {
    const [, left = 0, block = 0, top = 0] = chain([32, LIVE], [64, FREE], [128, LIVE], [256, LIVE]);
    setTag(u32, top, 256, FREE);
    expect(release(u32, INDEX, BIAS, block, top)).toBe(left);
    expect([spanOf(u32, left), stateOf(u32, left)]).toEqual([192, FREE]);
    expect([u32[top >>> 2], spanOf(u32, top), stateOf(u32, top)]).toEqual([192, 256, FREE]);
    expect([...indexedBlocks(u32, INDEX)]).toEqual([]);
  });

  it("works for blocks of every size beside free ones of every size", () => {
    for (const size of [16, 24, 248, 256, 264, 1016, 5000]) {
      for (const neighbour of [16, 24, 248, 256, 1016, 5000]) {
        u32.fill(0);
        clearIndex(u32, INDEX);
        const [, block = 0] = chain([neighbour, FREE], [size, LIVE], [neighbour, FREE]);
        expect(release(u32, INDEX, BIAS, block, 0)).toBe(FIRST);
        expect(seen()).toEqual([[size + 2 * neighbour, FREE]]);
      }
    }
  });

  it.each<[string, (block: number) => void]>([
    ["the right neighbour's `previous`", (block) => (u32[(block + 128) >>> 2] = 120)],
    ["its own span", (block) => setTag(u32, block, 64, LIVE)],
    ["its own span, which leads outside", (block) => setTag(u32, block, 0xffff_fff0, LIVE)],
    ["its own `previous`", (block) => (u32[block >>> 2] = 56)],
    ["its own `previous`, which leads outside", (block) => (u32[block >>> 2] = 0x7fff_fff0)],
    ["the left neighbour's span", (block) => setTag(u32, block - 64, 56, FREE)],
    ["the right neighbour's first link", (block) => (u32[(block + 128 + 8) >>> 2] = 4096)],
    ["the right neighbour's second link", (block) => (u32[(block + 128 + 12) >>> 2] = 0)],
    ["the left neighbour's first link", (block) => (u32[(block - 64 + 8) >>> 2] = 0x4141_4141)],
    ["the left neighbour's second link", (block) => (u32[(block - 64 + 12) >>> 2] = 8)],
  ])("refuses, and changes nothing, when something wrote over %s", (_, damage) => {
    const [, , block = 0] = chain([32, LIVE], [64, FREE], [128, LIVE], [256, FREE], [32, LIVE]);
    damage(block);
    const before = u32.slice();
    expect(release(u32, INDEX, BIAS, block, 0)).toBe(0);
    expect(Buffer.compare(new Uint8Array(u32.buffer), new Uint8Array(before.buffer))).toBe(0);
  });
});
