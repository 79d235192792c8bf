/**
 * A worker dies before any of its stores into an allocator that others use too; and whoever sees to that, before any of his.
 * Core's test of the same name says how.
 */
import { Heap, type HeapDescriptor, NULL, type Ptr, type SharedHeap } from "@heapwright/core";
import { allowLive, random, runs, seedFromEnv } from "@heapwright/core/testing";
import { beforeEach, describe, expect, it } from "vitest";

// @boundaries-ignore it knows nothing of core but the layout of a heap, and tests ship nowhere
import {
  type Looks,
  noCount,
  type Opener,
  type Operation,
  patternOf,
  type Stage,
  stopEverywhere,
} from "../../core/test/every-stop.ts";
import { ApfAllocator, type ApfOptions, classOf } from "../src/index.ts";
import { takenBlocks } from "../src/inspect.ts";
import { CONTROL, RECORD_WORDS, SUPERBLOCK } from "../src/layout.ts";
import { isMarked, superblockAt, superblocksOf } from "../src/page-map.ts";
import { SIZES } from "../src/size-classes.ts";

// An allocator keeps superblocks, which its heap takes for live.
beforeEach(() => allowLive());

type ApfStage = Stage<SharedHeap>;
type ApfOperation = Operation<SharedHeap, Props, Look>;
type Case = readonly [name: string, operation: ApfOperation];

/** One allocator, as the three agents see it, and blocks of it. */
interface Props {
  readonly main: ApfAllocator;
  readonly warden: ApfAllocator;
  readonly worker: ApfAllocator;
  readonly blocks: readonly Ptr[];
}

/** What is seen of it. */
interface Look {
  /** Live blocks and their bytes. */
  readonly live: ReadonlyMap<number, number>;
  readonly cached: number;
  readonly marked: number;
  readonly superblocks: number;
  readonly taken: number;
}

const opener: Opener<SharedHeap> = {
  adopt: (source, options) => Heap.adopt(source as SharedArrayBuffer, options),
  attach: (descriptor) => Heap.attach(descriptor as HeapDescriptor),
};

/** Most operations are on blocks of this size: a superblock has 12 of them, and 6 are fetched at a time. */
const BYTES = 320;
const FETCHED = 6;
/** Blocks that an agent may be given of a new superblock before all of the others: a fetch takes as many, and they go first. */
const SURPLUS = 60;
const BUFFER = { bytes: 1 << 17 };
/** Stops of the warden that are tried for each of the worker's. */
const STOPS = runs(1);
const seed = seedFromEnv();
const next = random(seed);
const count = noCount();

/** Returns how often the worker was stopped. */
async function crash(operation: ApfOperation): Promise<number> {
  const before = count.worker;
  try {
    await stopEverywhere(opener, operation, { next, stops: STOPS }, count);
  } catch (error) {
    throw new Error(`seed ${seed}, ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  return count.worker - before;
}

function lookAt({ main }: Props): Look {
  const { u32 } = main.heap;
  const blocks = [...main.blocks()];
  const live = blocks.filter(({ state }) => state === "live");
  const isOfSuperblock = (ptr: number): number => superblockAt(u32, main.control, ptr);
  const stats = main.stats();
  return {
    live: new Map(live.map(({ ptr, size }) => [ptr, size])),
    cached: stats.cachedBlocks,
    marked: blocks.filter(({ ptr }) => isOfSuperblock(ptr) !== 0 && isMarked(u32, isOfSuperblock(ptr), ptr)).length,
    superblocks: stats.superblocks,
    taken: takenBlocks(main).length,
  };
}

/** Blocks of a class that an agent can have without another superblock: those of its own and of nobody's. */
function availableTo(apf: ApfAllocator, sizeClass: number, live: ReadonlyMap<number, number>): Set<number> {
  const { control, common, records } = apf;
  const { u32 } = apf.heap;
  const available = new Set<number>();
  for (const descriptor of superblocksOf(u32, control)) {
    const at = (field: keyof typeof SUPERBLOCK.offsets): number => u32[(descriptor + SUPERBLOCK.offsets[field]) >>> 2]!;
    const isOwn = [common, records].some((first) => at("record") === first + sizeClass * RECORD_WORDS);
    if (!isOwn) continue;
    for (let i = 0; i < at("max"); i += 1) available.add(at("base") + i * SIZES[sizeClass]!);
  }
  for (const ptr of live.keys()) available.delete(ptr);
  return available;
}

/** Looks at an allocator when one of its users has died, and uses it up. Returns how many blocks it has lost. */
function judge(_: ApfStage, props: Props, living: readonly SharedHeap[], looks: Looks<Look>): number {
  const { main, warden } = props;
  const { before, after } = looks;
  for (const apf of living.length > 1 ? [main, warden] : [main]) apf.check();
  const now = lookAt(props);
  const expectContents = (where: string): void => {
    const { u32 } = main.heap;
    for (const [ptr, size] of before.live) {
      if (after.live.get(ptr) !== size) continue;
      if (now.live.get(ptr) !== size) throw new Error(`the allocator's block at ${ptr} is gone ${where}`);
      for (let word = ptr >>> 2; word < (ptr + size) >>> 2; word += 1) {
        if (u32[word] !== patternOf(word)) throw new Error(`the allocator's block at ${ptr} was written to ${where}`);
      }
    }
  };
  expectContents("at once");

  const available = availableTo(main, classOf(BYTES), now.live);
  const blocks = some(main, available.size + SURPLUS);
  for (const ptr of blocks) available.delete(ptr);
  if (available.size > 0) throw new Error(`${available.size} free blocks were not handed out`);
  for (const ptr of blocks) main.heap.u32.fill(0, ptr >>> 2, (ptr + BYTES) >>> 2);
  expectContents("in use");
  // No more, lest it give back to the heap what is to be found there.
  for (const ptr of blocks.slice(0, FETCHED)) main.free(ptr);
  main.check();
  const [gone, come] = [onlyIn(before, after), onlyIn(after, before)];
  const lost = onlyIn(now, before).concat(gone.filter((ptr) => now.live.has(ptr)));
  // Of two blocks in a move one is the program's.
  return Math.max(0, lost.length - (gone.length > 0 && come.length > 0 ? 1 : 0));
}

/** The blocks that are live at one time and not at another. */
function onlyIn(one: Look, other: Look): number[] {
  return [...one.live.keys()].filter((ptr) => !other.live.has(ptr));
}

/** Makes an allocator that all three have open. */
function open({ main: heap, warden, worker }: ApfStage, isLate: boolean, options: ApfOptions): Props {
  const main = new ApfAllocator({ ...options, backing: heap });
  const props = {
    main,
    warden: ApfAllocator.attach(warden, main.handle),
    worker: isLate ? main : ApfAllocator.attach(worker, main.handle),
    blocks: [],
  };
  // Who judges has slots for all that he will ever free.
  for (const ptr of some(main, 60)) main.free(ptr);
  main.flush();
  return props;
}

/** An operation on an allocator that is in use. */
function does(
  arrange: (props: Props, stage: ApfStage) => readonly Ptr[] | void,
  act: (props: Props, stage: ApfStage) => unknown,
  seen: (looks: Looks<Look>) => void,
  more: Partial<ApfOperation> & { readonly apf?: ApfOptions; readonly isLate?: boolean } = {},
): ApfOperation {
  const { apf = {}, isLate = false, ...others } = more;
  return {
    options: BUFFER,
    ...others,
    arrange: (stage) => {
      const props = open(stage, isLate, apf);
      const blocks = arrange(props, stage) ?? [];
      for (const { ptr, size, state } of props.main.blocks()) {
        if (state !== "live") continue;
        for (let word = ptr >>> 2; word < (ptr + size) >>> 2; word += 1) props.main.heap.u32[word] = patternOf(word);
      }
      return { ...props, blocks };
    },
    act: (stage, props) => act(props, stage),
    expect: (_, looks) => seen(looks),
    regions: ({ main }) => takenBlocks(main),
    look: (_, props) => lookAt(props),
    forget: ({ main }) => (main.heap.u32[main.control + (CONTROL.offsets.busy >>> 2)] = 0),
    judge,
  };
}

function expectSame(found: unknown, wanted: unknown): void {
  expect(found).toEqual(wanted);
}

/** Expects so many more live blocks, cached ones, marked ones, superblocks, and blocks taken from the heap. */
function changes(...wanted: [live: number, cached: number, marked: number, superblocks: number, taken: number]) {
  return ({ before, after }: Looks<Look>): void => {
    const found = [
      after.live.size - before.live.size,
      after.cached - before.cached,
      after.marked - before.marked,
      after.superblocks - before.superblocks,
      after.taken - before.taken,
    ];
    expect(found).toEqual(wanted);
  };
}

function some(apf: ApfAllocator, blocks: number, size: number = BYTES): Ptr[] {
  return Array.from({ length: blocks }, () => {
    const ptr = apf.malloc(size);
    if (ptr === NULL) throw new Error("no memory");
    return ptr;
  });
}

function oneOf(blocks: readonly Ptr[]): Ptr {
  return blocks[0] ?? NULL;
}

/** Someone allocates blocks, frees some of them, and is gone. The others are returned. */
function leave(stage: ApfStage, { main }: Props, blocks: number, freed: number): Ptr[] {
  const guest = stage.enterGuest(stage.main.share());
  const apf = ApfAllocator.attach(guest, main.handle);
  const taken = some(apf, blocks);
  for (const ptr of taken.splice(0, freed)) apf.free(ptr);
  guest.detach();
  return taken;
}

/** What a superblock takes from the heap: its pages, and what aligns them. */
const PAGED = { inHandBytes: 3 * 4096 };

const CASES: readonly Case[] = [
  [
    "malloc from a cache",
    does(
      ({ worker }) => some(worker, 3),
      ({ worker }) => worker.malloc(BYTES),
      changes(1, -1, 0, 0, 0),
    ),
  ],
  [
    "malloc that fills a cache",
    does(
      ({ worker }) => some(worker, FETCHED),
      ({ worker }) => worker.malloc(BYTES),
      changes(1, 5, 0, 0, 1),
    ),
  ],
  [
    "malloc that takes a first superblock, and slots for it",
    does(
      () => {},
      ({ worker }) => worker.malloc(BYTES),
      changes(1, 5, 0, 1, 3),
      PAGED,
    ),
  ],
  [
    "malloc that takes another superblock",
    does(
      ({ worker }) => some(worker, 12),
      ({ worker }) => worker.malloc(BYTES),
      changes(1, 5, 0, 1, 2),
      {
        ...PAGED,
        apf: { tuning: false },
      },
    ),
  ],
  [
    "malloc that takes a superblock which is of no class",
    does(
      ({ main, worker }) => {
        some(worker, 1);
        const blocks = some(main, 2, 600);
        for (const ptr of blocks) main.free(ptr);
        main.flush();
        for (const ptr of some(main, 2, 600)) main.free(ptr);
        main.free(oneOf(some(main, 1, 40)));
      },
      ({ worker }) => worker.malloc(1000),
      ({ before, after }) => expectSame(after.live.size - before.live.size, 1),
      { inHandBytes: 5 * 4096 },
    ),
  ],
  [
    "malloc that takes back what others have freed",
    does(
      ({ main, worker }) => {
        const blocks = some(worker, 12);
        for (const ptr of blocks.splice(0, 7)) main.free(ptr);
        return blocks;
      },
      ({ worker }) => worker.malloc(BYTES),
      changes(1, -2, -7, 0, 0),
      { apf: { tuning: false } },
    ),
  ],
  [
    "malloc that gives all of a superblock back which others have freed",
    does(
      ({ main, worker }) => {
        for (const ptr of some(worker, 12)) main.free(ptr);
      },
      ({ worker }) => worker.malloc(BYTES),
      ({ after }) => expectSame([after.live.size, after.marked], [1, 0]),
      { apf: { tuning: false } },
    ),
  ],
  [
    "malloc that adopts what an agent has left, and takes a superblock of it",
    does(
      (props, stage) => leave(stage, props, 8, 2),
      ({ worker }) => worker.malloc(BYTES),
      ({ before, after }) =>
        expectSame([after.live.size - before.live.size, after.superblocks - before.superblocks], [1, 0]),
    ),
  ],
  [
    "malloc that takes what was freed of a superblock that was left",
    does(
      (props, stage) => {
        const blocks = leave(stage, props, 12, 0);
        props.main.check();
        for (const ptr of blocks.splice(0, 7)) props.main.free(ptr);
        return blocks;
      },
      ({ worker }) => worker.malloc(BYTES),
      ({ before, after }) => expectSame([after.live.size - before.live.size, after.superblocks], [1, 1]),
    ),
  ],
  [
    "free to a cache",
    does(
      ({ worker }) => some(worker, 3),
      ({ worker, blocks }) => worker.free(oneOf(blocks)),
      changes(-1, 1, 0, 0, 0),
    ),
  ],
  [
    "free of another agent's block, the first of its superblock",
    does(
      ({ main }) => some(main, 3),
      ({ worker, blocks }) => worker.free(oneOf(blocks)),
      changes(-1, 1, 1, 0, 0),
    ),
  ],
  [
    "free of another agent's block, the second of its superblock",
    does(
      ({ main, warden }) => {
        const blocks = some(main, 3);
        warden.free(blocks.pop() ?? NULL);
        return blocks;
      },
      ({ worker, blocks }) => worker.free(oneOf(blocks)),
      changes(-1, 1, 1, 0, 0),
    ),
  ],
  [
    "free of a block that was left",
    does(
      (props, stage) => leave(stage, props, 3, 0),
      ({ worker, blocks }) => worker.free(oneOf(blocks)),
      ({ before, after }) => expectSame(after.live.size - before.live.size, -1),
    ),
  ],
  [
    "free to a full cache, of which some goes back",
    does(
      ({ worker }) => {
        const blocks = some(worker, 60);
        for (const ptr of blocks.splice(0, 51)) worker.free(ptr);
        return blocks;
      },
      ({ worker, blocks }) => worker.free(oneOf(blocks)),
      ({ before, after }) => expectSame([after.live.size - before.live.size, after.cached < before.cached], [-1, true]),
      PAGED,
    ),
  ],
  [
    "flush",
    does(
      ({ main, worker }) => {
        const blocks = some(worker, 9);
        for (const ptr of blocks.splice(0, 2)) main.free(ptr);
        for (const ptr of blocks.splice(0, 5)) worker.free(ptr);
        return blocks;
      },
      ({ worker }) => worker.flush(),
      ({ after }) => expectSame([after.cached, after.marked], [0, 0]),
      PAGED,
    ),
  ],
  [
    "malloc of a large block",
    does(
      ({ worker }) => some(worker, 1),
      ({ worker }) => worker.malloc(5000),
      changes(1, 0, 0, 0, 1),
      PAGED,
    ),
  ],
  [
    "malloc of a large block for which the map has to reach farther",
    does(
      ({ main, worker }) => {
        some(worker, 1);
        main.heap.malloc(110_000);
      },
      ({ worker }) => worker.malloc(50_000),
      changes(1, 0, 0, 0, 2),
      { options: { bytes: 1 << 18 }, inHandBytes: 52_000 },
    ),
  ],
  [
    "free of a large block that another agent has allocated",
    does(
      ({ main }) => some(main, 1, 5000),
      ({ worker, blocks }) => worker.free(oneOf(blocks)),
      changes(-1, 0, 0, 0, -1),
    ),
  ],
  [
    "realloc that moves",
    does(
      ({ main, worker }) => {
        some(worker, 1, 1000);
        return some(main, 2);
      },
      ({ worker, blocks }) => worker.realloc(oneOf(blocks), 1000),
      changes(0, 0, 1, 0, 0),
    ),
  ],
  [
    "a worker that attaches",
    does(
      () => {},
      ({ main }, { worker }) => ApfAllocator.attach(worker, main.handle),
      changes(0, 0, 0, 0, 1),
      { isLate: true, inHandBytes: 3000 },
    ),
  ],
  [
    "check",
    does(
      ({ worker }) => some(worker, 5),
      ({ worker }) => worker.check(),
      changes(0, 0, 0, 0, 0),
    ),
  ],
  [
    "detach from the heap",
    does(
      ({ worker }) => some(worker, 3),
      (_, { worker }) => worker.detach(),
      ({ before, after }) => expectSame(after.live.size, before.live.size),
    ),
  ],
];

/** One operation after many of all agents. */
function wandering(start: number): ApfOperation {
  const step = (apf: ApfAllocator, live: Ptr[], draw: () => number): void => {
    const [ptr] = draw() < 0.5 ? [] : live.splice(Math.floor(draw() * live.length), 1);
    if (ptr !== undefined) return apf.free(ptr);
    // Few classes, so that superblocks that become empty are all kept for another class: of those that are given back to
    // the heap the stage would not know why.
    const fresh = apf.malloc(draw() < 0.7 ? BYTES : draw() < 0.8 ? 100 : 5000);
    if (fresh !== NULL) live.push(fresh);
  };
  return does(
    ({ main, warden, worker }) => {
      const draw = random(start);
      const live = some(worker, 4);
      const agents = [main, warden, worker];
      for (let i = Math.floor(draw() * 100); i >= 0; i -= 1) step(agents[Math.floor(draw() * 3)] ?? main, live, draw);
      return live;
    },
    ({ worker, blocks }) => step(worker, [...blocks], random(start + 1)),
    ({ before, after }) => expectSame(Math.abs(after.live.size - before.live.size), 1),
    { options: { bytes: 1 << 18 }, inHandBytes: 5 * 4096, apf: { targetApf: 10, burstLength: 20 } },
  );
}

describe("a worker that dies before any of its stores leaves a sound allocator", () => {
  it.each(CASES)("%s", { timeout: 600_000 }, async (_, operation) => {
    expect(await crash(operation)).toBeGreaterThan(0);
  });

  it("wherever a random run has led", { timeout: 600_000 }, async () => {
    let stops = 0;
    for (let round = 0; round < runs(8); round += 1) stops += await crash(wandering(Math.floor(next() * 2 ** 31)));
    expect(stops).toBeGreaterThan(runs(8) * 3);
  });

  it("which it would not be without repair", () => {
    const { worker, warden, workerHolds, workerBreaks, wardenHolds, wardenBreaks } = count;
    console.error(`${worker} stops of the worker, ${warden} of the warden; without repair broken: ${workerBreaks} of \
${workerHolds} in the midst of stores, and ${wardenBreaks} of ${wardenHolds}`);
    expect(worker).toBeGreaterThan(2000);
    expect(warden).toBeGreaterThan(1500 * STOPS);
    // What is written where nobody looks is harmless at each store.
    expect(workerBreaks / workerHolds).toBeGreaterThan(0.2);
    expect(wardenBreaks / wardenHolds).toBeGreaterThan(0.2);
  });
});

// Sizes are those of the class, so that live blocks are as large as they are asked for.
it("the size that most cases are about is that of a class", () => {
  expect(SIZES[classOf(BYTES)]).toBe(BYTES);
});
