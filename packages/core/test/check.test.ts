import { beforeEach, describe, expect, it } from "vitest";
import { STATE } from "../src/boundary-tag.ts";
import { HeapError } from "../src/errors.ts";
import { insertFree, unlink } from "../src/free-index.ts";
import { Heap } from "../src/heap.ts";
import { SUPERBLOCK } from "../src/layout.ts";
import { SLOT_STATE } from "../src/lock.ts";
import { emptyMagazine } from "../src/magazines.ts";
import { NULL, type Ptr } from "../src/ptr.ts";
import type { SharedHeap } from "../src/shared-heap.ts";
import { SLOT } from "../src/slots.ts";
import { allowLive, forget } from "../src/testing/heap-watch.ts";
import { neighbours } from "./neighbours.ts";
import { refusalIn } from "./refusal.ts";

// Blocks stay live where nothing else is tested than the heap that they lie in.
beforeEach(() => allowLive());

const { FREE, LIVE, CACHED, RESERVED, HELD } = STATE;

let heap: Heap;
/** Live, free and cached blocks side by side, in the order of their names. */
let low: Ptr;
let gap: Ptr;
let middle: Ptr;
let cached: Ptr;
let wall: Ptr;
let other: Ptr;
let high: Ptr;

beforeEach(() => {
  heap = new Heap({ bytes: 1 << 17 });
  heap.malloc(40_000);
  [low, gap, middle, cached, wall, other, high] = neighbours(heap, 2000, 9000, 2000, 40, 40, 40, 2000) as [
    Ptr,
    Ptr,
    Ptr,
    Ptr,
    Ptr,
    Ptr,
    Ptr,
  ];
  forget(heap);
  heap.free(gap);
  heap.free(cached);
  heap.free(other);
});

it("a heap with live, free and cached blocks is sound as it is", () => {
  const states = new Map([...heap.blocks()].map(({ ptr, state }) => [ptr, state]));
  const names = [low, gap, middle, cached, wall, other, high].map((ptr) => states.get(ptr));
  expect(names).toEqual(["live", "free", "live", "cached", "live", "cached", "live"]);
  heap.check();
});

function superblock(field: keyof typeof SUPERBLOCK.offsets): number {
  return (heap.base + SUPERBLOCK.offsets[field]) >>> 2;
}

/** The word with a payload's span and state. */
function tagOf(ptr: number): number {
  return (ptr >>> 2) - 1;
}

function poke(word: number, value: number): void {
  heap.u32[word] = value;
}

/** Changes a word by some bits. */
function flip(word: number, bits: number): void {
  poke(word, (heap.u32[word] ?? 0) ^ bits);
}

function get(word: number): number {
  return heap.u32[word] ?? 0;
}

/** What check() says; it must throw, and change nothing. */
function finding(): string {
  const error = refusalIn(heap, () => heap.check());
  expect(error.code).toBe("ERR_CORRUPT");
  expect(error.ptr).toBeTypeOf("number");
  return error.message;
}

/** One way to break a heap: its name, and what does it. */
type Damage = [name: string, act: () => void];

const damages: Record<number, Damage[]> = {
  1: [
    ["the magic is gone", () => poke(superblock("magic"), 0)],
    ["the version is another", () => poke(superblock("version"), 2)],
    ["the base is another", () => poke(superblock("base"), 64)],
    ["the size is more than the maximum", () => poke(superblock("maxBytes"), (1 << 17) - 8)],
    [
      "the heap is larger than its memory",
      () => (poke(superblock("bytes"), 1 << 18), poke(superblock("maxBytes"), 1 << 18)),
    ],
  ],
  2: [
    ["a span leads into the next block", () => flip(tagOf(middle), 1024)],
    ["a span leads beyond the end", () => poke(tagOf(high), (1 << 20) | LIVE)],
    ["a span is 0", () => poke(tagOf(low), LIVE)],
    ["a span is no multiple of the alignment", () => misalign()],
    ["a `previous` is wrong", () => flip((middle >>> 2) - 2, 8)],
    ["a state is none", () => flip(tagOf(low), 4)],
    ["the end's `previous` is wrong", () => flip((heap.end - 8) >>> 2, 8)],
    ["the end is not reserved", () => poke((heap.end - 4) >>> 2, 8 | LIVE)],
  ],
  3: [
    ["two neighbours are free", () => fileAsFree(low)],
    ["a free block lies before the end, and is not the wilderness", () => disownWilderness()],
  ],
  4: [
    ["a start bit is missing", () => flip(startWordOf(middle), 1 << (middle >>> 3))],
    ["a start bit is too many", () => flip(startWordOf(low + 80), 1 << ((low + 80) >>> 3))],
    ["a start bit lies in the free space", () => flip(startWordOf(gap + 4096), 1 << ((gap + 4096) >>> 3))],
    ["a start bit lies in the wilderness", () => flip(startWordOf(high + 8192), 1 << ((high + 8192) >>> 3))],
  ],
  5: [
    ["a free block is not in the index", () => unlinkGap()],
    ["a live block is said to be free", () => poke(tagOf(wall), 48 | FREE)],
    ["a free block's first link leads elsewhere", () => poke(gap >>> 2, low - 8)],
    ["a free block's second link leads elsewhere", () => poke((gap >>> 2) + 1, low - 8)],
    ["a mark of the index is missing", () => poke(superblock("index"), 0)],
    ["a mark of the index is too many", () => flip(superblock("index") + 1, 1)],
  ],
  6: [
    ["a cached block is in no quick list", () => poke(quickListOf(48), get(cached >>> 2) === 0 ? 0 : cached)],
    ["a live block is said to be cached", () => poke(tagOf(wall), 48 | CACHED)],
    ["a cached block in its list is said to be live", () => poke(tagOf(cached), 48 | LIVE)],
    ["a quick list goes round in circles", () => poke(cached >>> 2, other)],
    [
      "a cached block stands in another span's list",
      () => (poke(quickListOf(56), get(quickListOf(48))), poke(quickListOf(48), 0)),
    ],
    ["a list that holds something is not marked", () => poke(superblock("quickMap"), 0)],
    ["quick lists hold more than 1/8 of the footprint", () => cacheTooMuch()],
  ],
  8: [
    ["a live block ends above the footprint", () => poke(superblock("footprint"), high - 8)],
    ["the wilderness is another block", () => poke(superblock("top"), low - 8)],
    ["the wilderness lies beyond the end", () => (useUp(), poke(superblock("top"), heap.end + 8))],
  ],
  9: [["a block of a private heap is in some worker's magazine", () => poke(tagOf(wall), 48 | HELD)]],
};

function startWordOf(ptr: number): number {
  return get(heap.directory + (ptr >>> heap.granule)) + (ptr >>> 8);
}

function quickListOf(span: number): number {
  return superblock("quickLists") + span / 8;
}

/** Takes the free block out of the index, marks and all, so that only the chain can tell. */
function unlinkGap(): void {
  if (!unlink(heap.u32, heap.index, gap - 8, get(tagOf(gap)))) throw new Error("not in the index");
}

/** Makes a live block FREE and files it, but does not merge it. */
function fileAsFree(ptr: Ptr): void {
  const span = heap.usableSize(ptr) + 8;
  poke(tagOf(ptr), span | FREE);
  insertFree(heap.u32, heap.index, ptr - 8, span);
}

/** Files the wilderness as if it were any free block. */
function disownWilderness(): void {
  const top = get(superblock("top"));
  insertFree(heap.u32, heap.index, top, get(tagOf(top + 8)));
  poke(superblock("top"), heap.end - 8);
}

/** Puts a block on its quick list as a free would, without the look at the limit. */
function cacheTooMuch(): void {
  heap = new Heap({ bytes: 1 << 17 });
  forget(heap);
  const large = heap.malloc(992);
  heap.malloc(8);
  poke(tagOf(large), 1000 | CACHED);
  poke(large >>> 2, 0);
  poke((large >>> 2) + 1, 1000);
  poke(quickListOf(1000), large);
  flip(superblock("quickMap") + (125 >>> 5), 1 << (125 & 31));
}

/** Gives a block of a heap with 16-byte alignment a span that is a multiple of 8 only. */
function misalign(): void {
  heap = new Heap({ bytes: 1 << 17, alignment: 16 });
  forget(heap);
  flip(tagOf(heap.malloc(2000)), 8);
}

function useUp(): void {
  const [wilderness] = [...heap.blocks()].slice(-1);
  if (wilderness === undefined || heap.malloc(wilderness.size) === NULL) throw new Error("no wilderness");
}

describe.each(Object.keys(damages).map(Number))("invariant %d is seen broken", (invariant) => {
  it.each(damages[invariant] ?? [])("when %s", (_, act) => {
    act();
    expect(finding()).toMatch(new RegExp(`^check: invariant ${invariant} at 0x[0-9a-f]+: `));
  });
});

describe("invariant 9 is seen broken in a shared heap", () => {
  let shared: SharedHeap;
  /** Two blocks in one magazine of this agent, and one that is handed out, all of span 48. */
  let first: Ptr;
  let second: Ptr;
  let live: Ptr;
  const head = (span: number): number => shared.heads + span / 8;
  const set = (word: number, value: number): void => {
    shared.u32[word] = value;
  };

  beforeEach(() => {
    shared = new Heap({ bytes: 1 << 17, shared: true });
    forget(shared);
    [live, second, first] = [shared.malloc(40), shared.malloc(40), shared.malloc(40)] as [Ptr, Ptr, Ptr];
    // What a refill has put there goes, so that these two are all there is.
    shared.lock.acquire();
    emptyMagazine(shared.inner, head(48));
    shared.lock.release();
    shared.free(second);
    shared.free(first);
  });

  it("when nothing is broken, nothing is seen", () => {
    expect([shared.u32[head(48)], shared.u32[first >>> 2], shared.u32[second >>> 2]]).toEqual([first, second, 0]);
    shared.check();
  });

  it.each<Damage>([
    ["a held block is in no magazine", () => set(first >>> 2, 0)],
    ["a live block is in one", () => set(tagOf(first), 48 | LIVE)],
    ["a block that is handed out is held", () => set(tagOf(live), 48 | HELD)],
    ["a block is in the magazine of another span", () => (set(head(56), first), set(head(48), 0))],
    ["a block is in two magazines", () => set(head(56), second)],
    ["a magazine goes round in circles", () => set(second >>> 2, first)],
    ["a magazine leads out of the heap", () => set(head(48), 0xffff_fff8)],
    ["a magazine leads into a block", () => set(head(48), first + 16)],
    ["a slot with a magazine is nobody's", () => set(shared.slots.entry(shared.slot), SLOT_STATE.FREE)],
    ["a slot's record is another's", () => set(shared.slots.entry(shared.slot) + SLOT.offsets.record / 4, 0)],
  ])("when %s", (_, act) => {
    act();
    const error = refusalIn(shared, () => shared.check());
    expect(error.code).toBe("ERR_CORRUPT");
    expect(error.message).toMatch(/^check: invariant 9 at 0x[0-9a-f]+: /);
  });
});

it("invariant 7 follows from the chain: a span that changes is seen before spans are added up", () => {
  for (const { ptr } of heap.blocks()) {
    for (const bits of [8, 16, 64]) {
      flip(tagOf(ptr), bits);
      expect(finding()).toMatch(/^check: invariant [248] /);
      flip(tagOf(ptr), bits);
    }
  }
  heap.check();
});

describe("a single bit that is flipped", () => {
  /** Whether check() sees it, in a copy. */
  function isSeen(word: number, bit: number): boolean {
    const copy = Heap.attach(heap.image());
    copy.u32[word] = (copy.u32[word] ?? 0) ^ (1 << bit);
    try {
      copy.check();
      return false;
    } catch (error) {
      if (error instanceof HeapError && error.code === "ERR_CORRUPT") return true;
      throw error;
    }
  }
  const bits = Array.from({ length: 32 }, (_, bit) => bit);

  it.each(["magic", "version", "base", "bytes", "top", "largeHeld"] as const)(
    "in the superblock's `%s` is seen",
    (field) => {
      expect(bits.filter((bit) => !isSeen(superblock(field), bit))).toEqual([]);
    },
  );

  it("in any header is seen, but for the one between live and reserved", () => {
    const unseen = new Set<string>();
    for (const { ptr, state } of heap.blocks()) {
      for (const word of [0, 1]) {
        const missed = bits.filter((bit) => !isSeen((ptr >>> 2) - 2 + word, bit));
        for (const bit of missed) unseen.add(`${state}, word ${word}, bit ${bit}`);
      }
    }
    // Both are owned, and in no list: nothing else tells them apart.
    expect(LIVE ^ RESERVED).toBe(1 << 1);
    expect([...unseen]).toEqual(["live, word 1, bit 1"]);
  });

  it("in any start bit is seen", () => {
    const first = startWordOf(heap.lowest);
    const last = startWordOf(heap.end - 8);
    const words = Array.from({ length: last - first + 1 }, (_, at) => first + at);
    const missed = words.filter((word) => !isSeen(word, (word * 7) & 31));
    expect(missed).toEqual([]);
  });
});
