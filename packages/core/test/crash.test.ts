import { beforeEach, describe, expect, it } from "vitest";
import { spanOf, STATE, stateOf } from "../src/boundary-tag.ts";
import { Heap } from "../src/heap.ts";
import { NULL, type Ptr } from "../src/ptr.ts";
import { runs, seedFromEnv } from "../src/testing/env.ts";
import { random } from "../src/testing/stream.ts";
import { allowLive, forget } from "../src/testing/heap-watch.ts";
import { flush } from "../src/quick-lists.ts";
import { neighbours } from "./neighbours.ts";
import { refusalIn } from "./refusal.ts";

// Blocks stay live where nothing else is tested than the heap that they lie in.
beforeEach(() => allowLive());

/**
 * Every prefix of an operation's stores must leave a valid heap in its authoritative words: the chain of spans, and each
 * block's state. So the stores are recorded, done again one by one on a copy, and looked at after each.
 */

const { FREE, LIVE, RESERVED } = STATE;
const HEADER_BYTES = 8;

interface Store {
  readonly word: number;
  readonly value: number;
}

/** Runs an operation on a heap and records its stores, those of `fill` and `copyWithin` word by word. */
function record(heap: Heap, act: () => void): Store[] {
  const stores: Store[] = [];
  const { words } = heap;
  heap.words = new Proxy(words, {
    get(target, key) {
      if (key === "fill") return Array.prototype.fill;
      if (key === "copyWithin") return Array.prototype.copyWithin;
      // Typed arrays know themselves by their own `this`, which the proxy is not.
      return Reflect.get(target, key, target) as unknown;
    },
    set(target, key, value: number) {
      const word = Number(key);
      stores.push({ word, value: value >>> 0 });
      target[word] = value;
      return true;
    },
    // What is not there is read as such: deleting words is none of copyWithin's business here.
    deleteProperty: () => false,
  });
  try {
    act();
  } finally {
    heap.words = words;
  }
  return stores;
}

/** The chain as a stranger sees it who knows only spans and states. */
function chainOf(u32: Uint32Array, first: number, last: number): Map<number, { span: number; state: number }> {
  const blocks = new Map<number, { span: number; state: number }>();
  let block = first;
  while (block < last) {
    const [span, state] = [spanOf(u32, block), stateOf(u32, block)];
    if (span < HEADER_BYTES || span % 8 !== 0) throw new Error(`the block at ${block} has a span of ${span}`);
    if (state > RESERVED) throw new Error(`the block at ${block} has state ${state}`);
    blocks.set(block + HEADER_BYTES, { span, state });
    block += span;
  }
  if (block !== last) throw new Error(`the chain leads to ${block}, not to ${last}`);
  if (stateOf(u32, last) !== RESERVED) throw new Error("the end of the chain is gone");
  return blocks;
}

/** Rebuilds a copy: it must be sound then, with the same live blocks and contents. */
function expectRecovery(u32: Uint32Array<ArrayBuffer>, blocks: ReturnType<typeof chainOf>, where: string): void {
  const heap = Heap.attach(u32.buffer.slice(0));
  try {
    heap.recover();
    heap.check();
  } catch (error) {
    throw new Error(`${where}: not recovered`, { cause: error });
  }
  const after = chainOf(heap.u32, heap.lowest - HEADER_BYTES, heap.end - HEADER_BYTES);
  const live = [...blocks].filter(([, { state }]) => state === LIVE);
  for (const [ptr, { span }] of live) {
    const [from, to] = [ptr >>> 2, (ptr + span - HEADER_BYTES) >>> 2];
    const same = after.get(ptr)?.span === span && after.get(ptr)?.state === LIVE;
    if (!same || heap.u32.subarray(from, to).some((word, at) => word !== u32[from + at])) {
      throw new Error(`${where}: recover() changed the live block at ${ptr}`);
    }
  }
  if ([...after.values()].filter(({ state }) => state === LIVE).length !== live.length) {
    throw new Error(`${where}: recover() made a block live`);
  }
}

/** Fills every live block with its own words. */
function fillLive(heap: Heap): Map<Ptr, Uint32Array> {
  const contents = new Map<Ptr, Uint32Array>();
  for (const { ptr, size, state } of heap.blocks()) {
    if (state !== "live") continue;
    const payload = heap.u32.subarray(ptr >>> 2, (ptr + size) >>> 2);
    payload.forEach((_, at) => (payload[at] = Math.imul(ptr + at, 0x9e37_79b1)));
    contents.set(ptr, payload.slice());
  }
  return contents;
}

/**
 * Stops an operation before each of its stores.
 *
 * @param heap - the operation is run on it in the end
 * @param act - the operation
 * @param own - the live block it is about, if any: it may be anything, but in a move its contents must not be lost
 * @returns how many stores there were
 */
function crashEverywhere(heap: Heap, act: (heap: Heap) => Ptr | undefined, own: Ptr = NULL): number {
  const contents = fillLive(heap);
  const first = heap.lowest - HEADER_BYTES;
  const last = heap.end - HEADER_BYTES;
  const u32 = new Uint32Array(heap.image());
  let result: Ptr | undefined;
  const stores = record(heap, () => (result = act(heap)));
  // What the operation took: from where it begins to where its block ends.
  const taken = result === undefined || result === NULL ? 0 : result;
  const isMove = own !== NULL && taken !== 0;
  // Of what is reallocated, as much as there is room for in the end.
  const kept = isMove ? (contents.get(own)?.subarray(0, heap.usableSize(taken as Ptr) >>> 2) ?? []) : [];

  for (let k = 0; k <= stores.length; k += 1) {
    const where = `before store ${k} of ${stores.length}`;
    const blocks = chainOf(u32, first, last);
    for (const [ptr, payload] of contents) {
      if (ptr === own) continue;
      const block = blocks.get(ptr);
      if (block?.state !== LIVE) throw new Error(`${where}: the live block at ${ptr} is in state ${block?.state}`);
      const usable = (block.span - HEADER_BYTES) >>> 2;
      if (usable !== payload.length) throw new Error(`${where}: the live block at ${ptr} has ${block.span} bytes`);
      if (payload.some((word, at) => u32[(ptr >>> 2) + at] !== word))
        throw new Error(`${where}: ${ptr} was written to`);
    }
    const strangers = [...blocks].filter(([ptr, { state }]) => state === LIVE && !contents.has(ptr as Ptr));
    // The block in flight; where alignedAlloc has cut it, the part in front too.
    for (const [ptr, { span }] of strangers) {
      const isInFlight = ptr <= taken && ptr + span >= taken;
      if (!isInFlight) throw new Error(`${where}: a live block of ${span} bytes at ${ptr}, which nobody asked for`);
    }
    if (strangers.length > 2) throw new Error(`${where}: ${strangers.length} blocks in flight`);
    if (isMove) {
      const holders = [own, taken].filter(
        (ptr) => blocks.get(ptr)?.state === LIVE && kept.every((word, at) => u32[(ptr >>> 2) + at] === word),
      );
      if (holders.length === 0) throw new Error(`${where}: the contents that are being moved are nowhere`);
    }
    expectRecovery(u32, blocks, where);
    const store = stores[k];
    if (store !== undefined) u32[store.word] = store.value;
  }
  // The copy has seen every store: it is the heap.
  expect(Buffer.compare(new Uint8Array(u32.buffer), heap.u8)).toBe(0);
  heap.check();
  return stores.length;
}

/** Neighbours, after a large block that gives quick lists room. */
function blocksOf(heap: Heap, ...sizes: number[]): Ptr[] {
  heap.malloc(60_000);
  return neighbours(heap, ...sizes);
}

function stateAt(heap: Heap, ptr: Ptr): string | undefined {
  return [...heap.blocks()].find((block) => block.ptr === ptr)?.state;
}

describe.each([8, 16] as const)(
  "with %d-byte alignment, an operation that stops before any of its stores is whole:",
  (alignment) => {
    const make = (): Heap => new Heap({ bytes: 1 << 17, alignment });

    it("malloc from a quick list", () => {
      const heap = make();
      const [a = NULL, b = NULL] = blocksOf(heap, 40, 40, 40);
      heap.free(a);
      heap.free(b);
      expect(stateAt(heap, b)).toBe("cached");
      expect(crashEverywhere(heap, () => heap.malloc(40))).toBeGreaterThan(1);
      expect(stateAt(heap, b)).toBe("live");
    });

    it("malloc of a free block, whole", () => {
      const heap = make();
      const [, b = NULL] = blocksOf(heap, 40, 9000, 40);
      heap.free(b);
      expect(stateAt(heap, b)).toBe("free");
      expect(crashEverywhere(heap, () => heap.malloc(9000))).toBeGreaterThan(2);
      expect(stateAt(heap, b)).toBe("live");
    });

    it("malloc of a free block that is cut, with the rest in the same bin and in another", () => {
      for (const size of [100, 8900, 7000]) {
        const heap = make();
        const [, b = NULL] = blocksOf(heap, 40, 9000, 40);
        heap.free(b);
        const { footprint } = heap.stats();
        expect(crashEverywhere(heap, () => heap.malloc(size))).toBeGreaterThan(4);
        expect(heap.stats().footprint).toBe(footprint);
      }
    });

    it("malloc from the wilderness, and of all of it", () => {
      const heap = make();
      blocksOf(heap, 40);
      expect(crashEverywhere(heap, () => heap.malloc(500))).toBeGreaterThan(4);
      const rest = [...heap.blocks()].at(-1)?.size ?? 0;
      expect(crashEverywhere(heap, () => heap.malloc(rest))).toBeGreaterThan(1);
      expect([...heap.blocks()].at(-1)?.state).toBe("live");
    });

    it("calloc", () => {
      for (const size of [40, 3000]) {
        const heap = make();
        const [a = NULL] = blocksOf(heap, size, 40);
        heap.u8.fill(0xff, a, a + size);
        heap.free(a);
        expect(crashEverywhere(heap, () => heap.calloc(1, size))).toBeGreaterThan(size / 4);
      }
    });

    it("free to a quick list", () => {
      const heap = make();
      const [a = NULL, b = NULL] = blocksOf(heap, 40, 40, 40);
      const free = (ptr: Ptr): number => crashEverywhere(heap, () => void heap.free(ptr), ptr);
      expect(free(a)).toBeGreaterThan(2);
      expect(free(b)).toBeGreaterThan(2);
      expect([stateAt(heap, a), stateAt(heap, b)]).toEqual(["cached", "cached"]);
    });

    it("free to a quick list of large blocks, and malloc from there", () => {
      const heap = new Heap({ bytes: 1 << 18, alignment });
      heap.malloc(200_000);
      const [, a = NULL] = neighbours(heap, 40, 1200, 40);
      expect(crashEverywhere(heap, () => void heap.free(a), a)).toBeGreaterThan(2);
      expect(stateAt(heap, a)).toBe("cached");
      // Whatever else is done while it is there is recovered too.
      expect(crashEverywhere(heap, () => heap.malloc(60))).toBeGreaterThan(2);
      expect(stateAt(heap, a)).toBe("cached");
      expect(crashEverywhere(heap, () => heap.malloc(1200))).toBeGreaterThan(1);
      expect(stateAt(heap, a)).toBe("live");
    });

    it.each([
      ["no free neighbour", []],
      ["a free neighbour to the left", [0]],
      ["a free neighbour to the right", [2]],
      ["free neighbours on both sides", [0, 2]],
    ] as const)("free beside %s", (_, others) => {
      const heap = make();
      const blocks = blocksOf(heap, 9000, 7000, 9000, 40);
      for (const at of others) heap.free(blocks[at] ?? NULL);
      const [, middle = NULL] = blocks;
      expect(crashEverywhere(heap, () => void heap.free(middle), middle)).toBeGreaterThan(3);
      expect(stateAt(heap, middle)).not.toBe("live");
    });

    it("free beside the wilderness, with a free neighbour to the left and without, and when it is used up", () => {
      for (const isLeftFree of [false, true]) {
        for (const isFull of [false, true]) {
          const heap = make();
          const [, left = NULL, last = NULL] = blocksOf(heap, 40, 9000, 9000);
          if (isFull) heap.realloc(last, heap.end - HEADER_BYTES - last);
          if (isLeftFree) heap.free(left);
          expect(crashEverywhere(heap, () => void heap.free(last), last)).toBeGreaterThan(2);
        }
      }
    });

    it("realloc in place: shrinking, into a free block, into the wilderness", () => {
      const cases: [number, boolean][] = [
        [4000, true],
        [12_000, true],
        [9000 + 7000, true],
        [12_000, false],
      ];
      for (const [size, hasWall] of cases) {
        const heap = make();
        const [, a = NULL, b = NULL] = blocksOf(heap, 40, 9000, 7000, ...(hasWall ? [40] : []));
        heap.free(b);
        expect(crashEverywhere(heap, () => void expect(heap.realloc(a, size)).toBe(a), a)).toBeGreaterThan(2);
      }
    });

    it("realloc that moves: small, large, into a gap, into the wilderness", () => {
      for (const [from, to, gap] of [
        [40, 60, 24],
        [40, 600, 24],
        [3000, 8000, 9000],
        [3000, 20_000, 24],
      ] as const) {
        const heap = make();
        const [, free = NULL, , a = NULL] = blocksOf(heap, 40, gap, 40, from, 40);
        heap.free(free);
        expect(crashEverywhere(heap, () => heap.realloc(a, to), a)).toBeGreaterThan(from / 4);
        expect(stateAt(heap, a)).not.toBe("live");
      }
    });

    it("alignedAlloc from the wilderness, and from a gap", () => {
      for (const gap of [24, 20_000]) {
        for (const to of [32, 256, 4096]) {
          const heap = make();
          const [, free = NULL] = blocksOf(heap, 40, gap, 40);
          heap.free(free);
          expect(crashEverywhere(heap, () => heap.alignedAlloc(to, 500))).toBeGreaterThan(4);
        }
      }
    });

    it("flush, of blocks side by side and apart", () => {
      const heap = make();
      const blocks = blocksOf(heap, ...Array.from({ length: 40 }, (_, at) => 16 + (at % 5) * 24));
      blocks.forEach((ptr, at) => at % 7 !== 0 && heap.free(ptr));
      expect([...heap.blocks()].filter(({ state }) => state === "cached").length).toBeGreaterThan(10);
      expect(crashEverywhere(heap, () => void flush(heap))).toBeGreaterThan(100);
      expect([...heap.blocks()].filter(({ state }) => state === "cached")).toEqual([]);
    });
  },
);

it("any operation of a random run is whole before each of its stores", () => {
  const seed = seedFromEnv();
  let stores = 0;
  for (let round = 0; round < runs(4); round += 1) {
    const next = random(seed + round);
    const heap = new Heap({ bytes: 16_384, alignment: round % 2 === 0 ? 8 : 16 });
    const live: Ptr[] = [];
    for (let i = 0; i < 300; i += 1) {
      const size = Math.floor(next() ** 3 * 1500);
      const at = Math.floor(next() * live.length);
      const ptr = live[at] ?? NULL;
      const draw = next();
      try {
        if (draw < 0.45 || ptr === NULL) {
          let fresh = NULL;
          stores += crashEverywhere(heap, () => (fresh = draw < 0.4 ? heap.malloc(size) : heap.alignedAlloc(64, size)));
          if (fresh !== NULL) live.push(fresh);
        } else if (draw < 0.8) {
          stores += crashEverywhere(heap, () => void heap.free(ptr), ptr);
          live.splice(at, 1);
        } else {
          let moved = NULL;
          stores += crashEverywhere(heap, () => (moved = heap.realloc(ptr, size)), ptr);
          if (moved !== NULL) live[at] = moved;
        }
      } catch (error) {
        throw new Error(`seed ${seed}, round ${round}, operation ${i}`, { cause: error });
      }
    }
  }
  expect(stores).toBeGreaterThan(2000);
});

it("recover() that stops before any of its own stores is healed by doing it again", () => {
  const heap = new Heap({ bytes: 16_384 });
  const sizes = Array.from({ length: 40 }, (_, at) => 16 + (at % 5) * 24);
  neighbours(heap, ...sizes).forEach((ptr, at) => at % 3 !== 0 && heap.free(ptr));
  fillLive(heap);
  // A block in flight: its header says so, and no list knows.
  const [wilderness = heap.lowest] = [...heap.blocks()].filter(({ state }) => state === "free").map(({ ptr }) => ptr);
  heap.u32[(wilderness >>> 2) - 1] = (heap.u32[(wilderness >>> 2) - 1] ?? 0) | LIVE;
  const u32 = new Uint32Array(heap.image());
  const stores = record(heap, () => heap.recover());
  expect(stores.length).toBeGreaterThan(200);
  const [first, last] = [heap.lowest - HEADER_BYTES, heap.end - HEADER_BYTES];
  for (const [k, store] of stores.entries()) {
    expectRecovery(u32, chainOf(u32, first, last), `before store ${k} of ${stores.length}`);
    u32[store.word] = store.value;
  }
  expect(Buffer.compare(new Uint8Array(u32.buffer), heap.u8)).toBe(0);
  heap.check();
  const before = heap.image();
  heap.recover();
  expect(Buffer.compare(new Uint8Array(before), heap.u8), "twice is as once").toBe(0);
});

it("recover() refuses a chain that breaks off, and changes nothing", () => {
  const heap = new Heap({ bytes: 65536 });
  forget(heap);
  const [, b = NULL] = neighbours(heap, 100, 200, 300);
  for (const tag of [0, 8 | LIVE, 1 << 20, 0xffff_fff8 | LIVE, (208 + 4) | LIVE, 208 | 7]) {
    heap.u32[(b >>> 2) - 1] = tag;
    const error = refusalIn(heap, () => heap.recover());
    expect([error.code, error.message]).toEqual([
      "ERR_CORRUPT",
      expect.stringMatching(/^recover: the chain of blocks/),
    ]);
  }
});

it("a chain that is cut, a live block that is lost, and one too many are seen by this test itself", () => {
  const heap = new Heap({ bytes: 1 << 17 });
  forget(heap);
  const [, a = NULL, b = NULL] = blocksOf(heap, 40, 9000, 40);
  const tag = (ptr: Ptr): number => (ptr >>> 2) - 1;
  const spoil =
    (ptr: Ptr, value: number): (() => void) =>
    () =>
      void (heap.words[tag(ptr)] = value);
  const kept = heap.u32[tag(a)] ?? 0;
  expect(() => crashEverywhere(heap, () => void spoil(a, 0)())).toThrow("has a span of 0");
  heap.u32[tag(a)] = kept;
  expect(() => crashEverywhere(heap, () => void spoil(a, kept - LIVE + FREE)())).toThrow(/before store 1 .* state 0/);
  heap.u32[tag(a)] = kept;
  heap.free(a);
  expect(() => crashEverywhere(heap, () => void spoil(a, kept)())).toThrow("which nobody asked for");
  expect(stateAt(heap, b)).toBe("live");
});
