/**
 * A worker dies before any of its stores into a pool that others use too; and whoever sees to that, before any of his.
 * Core's test of the same name says how.
 */
import { Heap, type HeapDescriptor, NULL, type Ptr, type SharedHeap } from "@heapwright/core";
import { random, runs, seedFromEnv } from "@heapwright/core/testing";
import { describe, expect, it } from "vitest";

// @boundaries-ignore it knows nothing of core but the layout of a heap, and tests ship nowhere
import {
  type Count,
  type Looks,
  noCount,
  type Opener,
  type Operation,
  patternOf,
  type Stage,
  stopEverywhere,
} from "../../core/test/every-stop.ts";
import { FixedMemPool, VariadicMemPool } from "../src/index.ts";
import { CONTROL, MAGAZINE } from "../src/layout.ts";
import { magazineBlocks, magazinesOf } from "../src/magazines.ts";

type AnyPool = FixedMemPool | VariadicMemPool;
type PoolStage = Stage<SharedHeap>;

/** One pool, as the three agents see it, and blocks of it. */
interface Props<P extends AnyPool> {
  readonly main: P;
  readonly warden: P;
  readonly worker: P;
  readonly blocks: readonly Ptr[];
}

/** What is seen of a pool. */
interface Look {
  /** Live blocks and their bytes. */
  readonly live: ReadonlyMap<number, number>;
  /** What magazines hold, by the slots of their agents. */
  readonly held: ReadonlyMap<number, readonly number[]>;
  readonly buffers: number;
  readonly taken: number;
}

type PoolOperation<P extends AnyPool> = Operation<SharedHeap, Props<P>, Look>;
type Case<P extends AnyPool> = readonly [name: string, operation: PoolOperation<P>];

const opener: Opener<SharedHeap> = {
  adopt: (source, options) => Heap.adopt(source as SharedArrayBuffer, options),
  attach: (descriptor) => Heap.attach(descriptor as HeapDescriptor),
};

/** Stops of the warden that are tried for each of the worker's. */
const STOPS = runs(2);
const seed = seedFromEnv();
const next = random(seed);
const counts = { fixed: noCount(), variadic: noCount() };

/** Returns how often the worker was stopped. */
async function crash<P extends AnyPool>(operation: PoolOperation<P>, count: Count): Promise<number> {
  const before = count.worker;
  try {
    await stopEverywhere(opener, operation, { next, stops: STOPS }, count);
  } catch (error) {
    throw new Error(`seed ${seed}, ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  return count.worker - before;
}

/** What the agents' magazines hold. */
function heldIn({ control, heap: { u32 } }: FixedMemPool): Map<number, number[]> {
  const held = new Map<number, number[]>();
  for (const magazine of magazinesOf(u32, control)) {
    const slot = u32[(magazine + MAGAZINE.offsets.slot) >>> 2]!;
    held.set(slot, [...(held.get(slot) ?? []), ...magazineBlocks(u32, magazine)]);
  }
  return held;
}

function lookAt({ main }: Props<AnyPool>): Look {
  const blocks = main.isDestroyed ? [] : [...main.blocks()].filter(({ state }) => state === "live");
  return {
    live: new Map(blocks.map(({ ptr, size }) => [ptr, size])),
    held: main instanceof FixedMemPool && !main.isDestroyed ? heldIn(main) : new Map(),
    buffers: main.isDestroyed ? 0 : main.stats().buffers,
    taken: main.isDestroyed ? 0 : main.taken().length,
  };
}

/** Looks at a pool when one of its users has died, and uses it up. Returns how many blocks it has lost. */
function judge(_: PoolStage, props: Props<AnyPool>, living: readonly SharedHeap[], looks: Looks<Look>): number {
  const { main, warden } = props;
  const { before, after } = looks;
  if (main.isDestroyed) return 0;
  // Whoever destroys a pool may die in it: others do the rest.
  if (after.buffers === 0) {
    main.destroy();
    return 0;
  }
  for (const pool of living.length > 1 ? [main, warden] : [main]) pool.check();
  const now = lookAt(props);
  const expectContents = (where: string): void => {
    const { u32 } = main.heap;
    for (const [ptr, size] of before.live) {
      if (after.live.get(ptr) !== size) continue;
      if (now.live.get(ptr) !== size) throw new Error(`the pool's block at ${ptr} is gone ${where}`);
      for (let word = ptr >>> 2; word < (ptr + size) >>> 2; word += 1) {
        if (u32[word] !== patternOf(word)) throw new Error(`the pool's block at ${ptr} was written to ${where}`);
      }
    }
  };
  expectContents("at once");
  const slots = living.map(({ slot }) => slot);
  for (const [slot, blocks] of now.held) {
    const was = slots.includes(slot) ? (before.held.get(slot) ?? []) : [];
    if (was.join() !== blocks.join()) throw new Error(`slot ${slot} holds ${blocks.join()}, not ${was.join()}`);
  }

  const others = [...now.held].filter(([slot]) => slot !== living[0]?.slot).flatMap(([, blocks]) => blocks);
  const { buffers, takenBytes } = main.stats();
  const free = [...main.blocks()].filter(({ ptr, state }) => state === "free" && !others.includes(ptr));
  const sizes = main instanceof FixedMemPool ? fixedSizes(main, others.length) : free.map(({ size }) => size);
  const blocks = sizes.sort((a, b) => b - a).map((size) => main.malloc(size));
  if (blocks.includes(NULL)) throw new Error("a block that is free in the pool is not handed out");
  const full = main.stats();
  const isFull = full.buffers === buffers && full.takenBytes === takenBytes;
  if (!isFull || full.freeBytes !== others.length * (main instanceof FixedMemPool ? main.memberSize : 0))
    throw new Error("the pool was not used up");
  for (const ptr of blocks) main.heap.u32.fill(0, ptr >>> 2, (ptr + 16) >>> 2);
  expectContents("in use");
  for (const ptr of blocks) main.free(ptr);
  main.check();

  return [...now.live.keys()].filter((ptr) => !(before.live.has(ptr) && after.live.has(ptr))).length;
}

/** As many blocks as there are that no other agent holds. */
function fixedSizes(pool: FixedMemPool, held: number): number[] {
  const { freeBytes } = pool.stats();
  return Array.from({ length: freeBytes / pool.memberSize - held }, () => pool.memberSize);
}

/** Makes a pool that all three have open. The worker has used it, or not. */
function openFixed(
  isUsed: boolean,
  bytes: number = 40,
  blocks: number = 48,
): (stage: PoolStage) => Props<FixedMemPool> {
  return ({ main: heap, warden, worker }) => {
    const main = new FixedMemPool(bytes, blocks, { backing: heap });
    const pools = [main, FixedMemPool.attach(warden, main.handle), FixedMemPool.attach(worker, main.handle)] as const;
    const users = isUsed ? pools : pools.slice(0, 2);
    return {
      main,
      warden: pools[1],
      worker: pools[2],
      blocks: Array.from({ length: 9 }, (_, at) => (users[at % users.length] ?? main).malloc()),
    };
  };
}

function openVariadic(bytes: number, tolerance: number = 10): (stage: PoolStage) => Props<VariadicMemPool> {
  return ({ main: heap, warden, worker }) => {
    const main = new VariadicMemPool(bytes, tolerance, { backing: heap });
    return {
      main,
      warden: VariadicMemPool.attach(warden, main.handle),
      worker: VariadicMemPool.attach(worker, main.handle),
      blocks: [],
    };
  };
}

function fillLive({ main }: Props<AnyPool>): void {
  const { u32 } = main.heap;
  for (const { ptr, size, state } of main.blocks()) {
    if (state !== "live") continue;
    for (let word = ptr >>> 2; word < (ptr + size) >>> 2; word += 1) u32[word] = patternOf(word);
  }
}

/** An operation on a pool that is in use. */
function does<P extends AnyPool>(
  openPool: (stage: PoolStage) => Props<P>,
  arrange: ((props: Props<P>, stage: PoolStage) => readonly Ptr[] | void) | undefined,
  act: (props: Props<P>, stage: PoolStage) => unknown,
  seen: (looks: Looks<Look>) => void,
  more: Partial<PoolOperation<P>> = {},
): PoolOperation<P> {
  return {
    ...more,
    arrange: (stage) => {
      const props = openPool(stage);
      const blocks = arrange?.(props, stage);
      const all = { ...props, blocks: blocks ?? props.blocks };
      fillLive(all);
      return all;
    },
    act: (stage, props) => act(props, stage),
    expect: (_, looks) => seen(looks),
    regions: ({ main }) => (main.isDestroyed ? [] : main.taken()),
    look: (_, props) => lookAt(props),
    forget: ({ main }, deaths) => (main.heap.u32[main.control + (CONTROL.offsets.deaths >>> 2)] = deaths),
    judge,
  };
}

function expectSame(found: unknown, wanted: unknown): void {
  expect(found).toEqual(wanted);
}

/** Expects so many more live blocks, blocks held by the worker, buffers, and blocks taken from the heap. */
function changes(live: number, held: number, buffers: number, taken: number): (looks: Looks<Look>) => void {
  return ({ before, after }) => {
    const worker = (look: Look): number => look.held.get(3)?.length ?? 0;
    expectSame(
      [
        after.live.size - before.live.size,
        worker(after) - worker(before),
        after.buffers - before.buffers,
        after.taken - before.taken,
      ],
      [live, held, buffers, taken],
    );
  };
}

/** Hands out what a pool has, but for what the worker and the warden hold. */
function useUp({ main }: Props<AnyPool>): void {
  if (main instanceof FixedMemPool) {
    const { held } = lookAt({ main } as Props<FixedMemPool>);
    const others = [2, 3].flatMap((slot) => held.get(slot) ?? []).length;
    for (const size of fixedSizes(main, others)) main.malloc(size);
    return;
  }
  const free = [...main.blocks()].filter(({ state }) => state === "free");
  for (const { size } of free.sort((a, b) => b.size - a.size)) main.malloc(size);
}

/** Someone allocates blocks, frees them, and is gone. */
function leave(stage: PoolStage, { handle }: FixedMemPool, blocks: number): void {
  const guest = stage.enterGuest(stage.main.share());
  const pool = FixedMemPool.attach(guest, handle);
  const taken = Array.from({ length: blocks }, () => pool.malloc());
  for (const ptr of taken) pool.free(ptr);
  guest.detach();
}

const FIXED: readonly Case<FixedMemPool>[] = [
  ["malloc from a magazine", does(openFixed(true), undefined, ({ worker }) => worker.malloc(), changes(1, -1, 0, 0))],
  [
    "malloc that makes a magazine and fills it",
    does(openFixed(false), undefined, ({ worker }) => worker.malloc(), changes(1, 4, 0, 1)),
  ],
  [
    "malloc that fills a magazine once more",
    does(
      openFixed(true),
      ({ worker }) => {
        for (let i = 0; i < 2; i += 1) worker.malloc();
      },
      ({ worker }) => worker.malloc(),
      changes(1, 8, 0, 0),
    ),
  ],
  [
    "malloc that fills a magazine with what others have given back",
    does(
      openFixed(false),
      ({ main }, stage) => {
        leave(stage, main, 24);
        main.check();
      },
      ({ worker }) => worker.malloc(),
      changes(1, 4, 0, 0),
    ),
  ],
  ["malloc that takes a buffer", does(openFixed(false), useUp, ({ worker }) => worker.malloc(), changes(1, 0, 1, 2))],
  [
    "malloc that gives back what a worker held that is gone, and takes its magazine",
    does(
      openFixed(false),
      ({ main }, stage) => leave(stage, main, 2),
      ({ worker }) => worker.malloc(),
      changes(1, 4, 0, 0),
    ),
  ],
  [
    "free to a magazine",
    does(openFixed(true), undefined, ({ worker, blocks }) => worker.free(blocks[0] ?? NULL), changes(-1, 1, 0, 0)),
  ],
  [
    "free to a magazine that is made for it",
    does(openFixed(false), undefined, ({ worker, blocks }) => worker.free(blocks[0] ?? NULL), changes(-1, 0, 0, 1)),
  ],
  [
    "free to a full magazine",
    does(
      openFixed(true, 2048, 14),
      ({ main, worker, blocks }) => {
        const more = [...blocks.slice(1), main.malloc(), main.malloc()];
        while (heldIn(main).get(3)?.length !== 8) worker.free(more.pop() ?? NULL);
      },
      ({ worker, blocks }) => worker.free(blocks[0] ?? NULL),
      changes(-1, -4, 0, 0),
    ),
  ],
  ["check", does(openFixed(true), undefined, ({ worker }) => worker.check(), changes(0, 0, 0, 0))],
  ["detach from the heap", does(openFixed(true), undefined, (_, { worker }) => worker.detach(), changes(0, -2, 0, 0))],
];

/** Blocks of these sizes side by side, of which some are given back. */
function row(sizes: readonly number[], ...freed: number[]): (props: Props<VariadicMemPool>) => readonly Ptr[] {
  return ({ main }) => {
    const blocks = sizes.map((size) => main.malloc(size));
    for (const at of freed) main.free(blocks[at] ?? NULL);
    return blocks;
  };
}

/** A region begins at a page: what it is cut from is as large, and a page more. */
const PAGED = { inHandBytes: 3 * 4096 };
const ROW = [100, 300, 100, 1500, 100] as const;

const VARIADIC: readonly Case<VariadicMemPool>[] = [
  ...(
    [
      ["of a small free block, whole", 300],
      ["of a small free block that is cut", 120],
      ["of a large free block, whole", 1500],
      ["of a large free block that is cut", 600],
      ["from the end of the last buffer", 2000],
    ] as const
  ).map(([what, size]): Case<VariadicMemPool> => [
    `malloc ${what}`,
    does(openVariadic(8000), row(ROW, 1, 3), ({ worker }) => worker.malloc(size), changes(1, 0, 0, 0)),
  ]),
  [
    "malloc of all that is left of the last buffer",
    does(
      openVariadic(4096),
      row([100, 3000]),
      ({ worker }) => worker.malloc([...worker.blocks()].at(-1)?.size ?? 0),
      changes(1, 0, 0, 0),
    ),
  ],
  [
    "malloc that makes a buffer in a page that is taken",
    does(openVariadic(512), row([400]), ({ worker }) => worker.malloc(200), changes(1, 0, 1, 0)),
  ],
  [
    "malloc that takes a page for a buffer",
    does(openVariadic(4096), row([3000]), ({ worker }) => worker.malloc(2000), changes(1, 0, 1, 1), PAGED),
  ],
  ...(
    [
      ["alone", [0]],
      ["with a free block to the left", [0, 1]],
      ["with a free block to the right", [0, 3]],
      ["with free blocks on both sides", [0, 1, 3]],
    ] as const
  ).map(([what, freed]): Case<VariadicMemPool> => [
    `free of a block ${what}`,
    does(
      openVariadic(8000),
      row(ROW, ...freed),
      ({ worker, blocks }) => worker.free(blocks[2] ?? NULL),
      changes(-1, 0, 0, 0),
    ),
  ]),
  ...([false, true] as const).map((isLeftFree): Case<VariadicMemPool> => [
    `free of the last block of the last buffer${isLeftFree ? " with a free block to the left" : ""}`,
    does(
      openVariadic(8000),
      row(ROW, ...(isLeftFree ? [3] : [])),
      ({ worker, blocks }) => worker.free(blocks[4] ?? NULL),
      changes(-1, 0, 0, 0),
    ),
  ]),
  ["check", does(openVariadic(4096), row(ROW, 1), ({ worker }) => worker.check(), changes(0, 0, 0, 0))],
];

/** One operation after many of all agents. */
function wandering<P extends AnyPool>(openPool: (stage: PoolStage) => Props<P>, start: number): PoolOperation<P> {
  const step = (pool: P, live: Ptr[], draw: () => number): void => {
    const size = pool instanceof FixedMemPool ? pool.memberSize : Math.floor(draw() ** 3 * 1500);
    const [ptr] = draw() < 0.5 ? [] : live.splice(Math.floor(draw() * live.length), 1);
    if (ptr !== undefined) return pool.free(ptr);
    const fresh = pool.malloc(size);
    if (fresh !== NULL) live.push(fresh);
  };
  return does(
    openPool,
    ({ main, warden, worker, blocks }) => {
      const draw = random(start);
      const live = [...blocks];
      const pools = [main, warden, worker];
      for (let i = Math.floor(draw() * 150); i >= 0; i -= 1) step(pools[Math.floor(draw() * 3)] ?? main, live, draw);
      return live;
    },
    ({ worker, blocks }) => step(worker, [...blocks], random(start + 1)),
    ({ before, after }) => expectSame(Math.abs(after.live.size - before.live.size), 1),
    PAGED,
  );
}

/** Pools that are made and destroyed. As long as that is under way, all of such a pool is in hand. */
const WHOLE: readonly Case<AnyPool>[] = [
  [
    "a fixed pool that is made",
    does(
      openFixed(true),
      undefined,
      (_, { worker }) => new FixedMemPool(16, 20, { backing: worker }),
      changes(0, 0, 0, 0),
      { inHandBlocks: 3 },
    ),
  ],
  [
    "a variadic pool that is made",
    does(
      openFixed(true),
      undefined,
      (_, { worker }) => new VariadicMemPool(1000, 10, { backing: worker }),
      changes(0, 0, 0, 0),
      { inHandBlocks: 3, ...PAGED },
    ),
  ],
  [
    "a fixed pool that is destroyed",
    does(
      openFixed(true),
      useUp,
      ({ worker }) => worker.destroy(),
      ({ after }) => expectSame(after.taken, 0),
      {
        inHandBlocks: 6,
      },
    ),
  ],
  [
    "a variadic pool that is destroyed",
    does(
      openVariadic(4096),
      row([3000, 3000]),
      ({ worker }) => worker.destroy(),
      ({ after }) => expectSame(after.taken, 0),
      {
        inHandBlocks: 4,
      },
    ),
  ],
];

describe("a worker that dies before any of its stores leaves a sound", () => {
  it.each(FIXED)("fixed pool: %s", async (_, operation) => {
    expect(await crash(operation, counts.fixed)).toBeGreaterThan(1);
  });
  it.each(VARIADIC)("variadic pool: %s", async (_, operation) => {
    expect(await crash(operation, counts.variadic)).toBeGreaterThan(1);
  });

  it("pool, wherever a random run has led", async () => {
    let stops = 0;
    for (let round = 0; round < runs(8); round += 1) {
      stops += await crash(wandering(openFixed(true), Math.floor(next() * 2 ** 31)), counts.fixed);
      stops += await crash(wandering(openVariadic(1000), Math.floor(next() * 2 ** 31)), counts.variadic);
    }
    expect(stops).toBeGreaterThan(runs(8) * 8);
  });

  it.each(WHOLE)("heap: %s", async (_, operation) => {
    expect(await crash(operation, noCount())).toBeGreaterThan(10);
  });
});

// It has two blocks in hand there, the buffer and the larger table, and loses one.
describe("a worker that dies where the page table grows", () => {
  it("leaves a fixed pool that has lost one block", async () => {
    const operation = does(
      openFixed(false),
      (props, { main }) => {
        useUp(props);
        main.malloc(32_000);
      },
      ({ worker }) => worker.malloc(),
      changes(1, 0, 1, 3),
    );
    expect(await crash(operation, counts.fixed)).toBeGreaterThan(100);
  });
  it("leaves a variadic pool that has lost one block", async () => {
    const operation = does(
      openVariadic(4096),
      (props, { main }) => {
        main.malloc(36_000);
        return row([3000])(props);
      },
      ({ worker }) => worker.malloc(2000),
      changes(1, 0, 1, 2),
      PAGED,
    );
    expect(await crash(operation, counts.variadic)).toBeGreaterThan(100);
  });
});

it("there were many cases, and without repair many of those in the midst of stores fail", () => {
  const share = (part: number, whole: number): string => `${part} of ${whole} (${Math.round((100 * part) / whole)} %)`;
  for (const [kind, { worker, warden, workerHolds, workerBreaks }] of Object.entries(counts)) {
    console.error(
      `${kind}: ${worker} stops of the worker, ${warden} of the warden; without repair broken: ${share(workerBreaks, workerHolds)}`,
    );
  }
  const { fixed, variadic } = counts;
  expect(fixed.worker + variadic.worker).toBeGreaterThan(1000);
  expect(fixed.warden + variadic.warden).toBeGreaterThan(1000 * STOPS);
  expect(variadic.workerBreaks / variadic.workerHolds).toBeGreaterThan(0.5);
  // What magazines hold needs no repair: whole batches of stores are harmless at each one.
  expect(fixed.workerBreaks / fixed.workerHolds).toBeGreaterThan(0.15);
});
