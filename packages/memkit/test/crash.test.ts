/**
 * A worker dies before any of its stores into a pool that others use too; and whoever sees to that, before any of his.
 * Core's test of the same name says how.
 */
import { Heap, type HeapDescriptor, type Ptr, type SharedHeap } from "@heapwright/core";
import { allowLive, random, runs, seedFromEnv } from "@heapwright/core/testing";
import { beforeEach, describe, expect, it, vi } from "vitest";

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
// @boundaries-ignore as well
import { BLOCK } from "../../core/test/shared-stage.ts";
import { blockOf } from "../src/container-block.ts";
import { MemoryContainer, MemoryPointer, MemoryPool, type PoolOptions } from "../src/index.ts";
import { CONTAINER, POINTER, POOL } from "../src/layout.ts";
import { recoverPool } from "../src/recover-pool.ts";
import { LAST_STAMP } from "../src/stamps.ts";

/** One pool, as the three agents see it, and the worker's pointers to containers in it. */
interface Props {
  readonly stage: PoolStage;
  readonly main: MemoryPool;
  readonly warden: MemoryPool;
  readonly worker: MemoryPool;
  readonly handle: Ptr;
  readonly pointers: MemoryPointer[];
  /** By hand, in no pool. */
  readonly loose: MemoryContainer[];
}

/** What is seen of a pool. */
interface Look {
  /** Containers in use: sizes and counts, by their data. */
  readonly live: ReadonlyMap<number, readonly [size: number, refs: number]>;
  readonly orphans: number;
  readonly capacity: number;
  readonly isDestroyed: boolean;
  /** Live blocks of the heap that are not the pool's, and no pointers to containers of it. */
  readonly others: ReadonlySet<number>;
}

// What records stores knows of none of eight bytes.
vi.mock(import("../src/wipe.ts"), async (original) => ({
  ...(await original()),
  wipe: ({ u32 }, from, to) => void u32.fill(0, from >>> 2, to >>> 2),
}));

type PoolStage = Stage<SharedHeap>;
type PoolOperation = Operation<SharedHeap, Props, Look>;
type Case = readonly [name: string, operation: PoolOperation];

const opener: Opener<SharedHeap> = {
  adopt: (source, options) => Heap.adopt(source as SharedArrayBuffer, options),
  attach: (descriptor) => Heap.attach(descriptor as HeapDescriptor),
};

/** Stops of the warden that are tried for each of the worker's. */
const STOPS = runs(2);
const seed = seedFromEnv();
const next = random(seed);
const count = noCount();

/** Returns how often the worker was stopped. */
async function crash(operation: PoolOperation, into: Count = count): Promise<number> {
  const before = into.worker;
  try {
    await stopEverywhere(opener, operation, { next, stops: STOPS }, into);
  } catch (error) {
    throw new Error(`seed ${seed}, ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  return into.worker - before;
}

const isGone = ({ main, handle }: Props): boolean => main.heap.u32[handle >>> 2] !== 0x4c50_4b4d;

function lookAt(props: Props): Look {
  const isDestroyed = isGone(props);
  const blocks = isDestroyed ? [] : [...props.main.blocks()];
  const live = blocks.filter(({ state }) => state === "live");
  const known = new Set(regionsOf(props));
  const isOther = ([ptr, { state }]: readonly [number, { readonly state: number }]): boolean =>
    state === BLOCK.LIVE && !known.has(ptr);
  return {
    live: new Map(live.map(({ ptr, size, ref_count }) => [ptr, [size, ref_count]])),
    orphans: blocks.length - live.length,
    capacity: isDestroyed ? 0 : props.main.capacity,
    isDestroyed,
    others: new Set([...props.stage.chain()].filter(isOther).map(([ptr]) => ptr)),
  };
}

/** The pointers to containers of the pool, as they lie in the heap. */
function pointersIn({ stage, main, handle }: Props): number[] {
  const { u32 } = main.heap;
  const isPointer = (ptr: number): boolean =>
    (u32[ptr >>> 2]! & 1) === 1 && u32[(ptr + POINTER.offsets.pool) >>> 2] === handle;
  return [...stage.chain()].filter(([ptr, { state }]) => state === BLOCK.LIVE && isPointer(ptr)).map(([ptr]) => ptr);
}

/** How many containers have more references than there are pointers to them: nobody will ever give those up. */
function lostIn(props: Props): number {
  const { u32 } = props.main.heap;
  const references = new Map<number, number>();
  for (const pointer of pointersIn(props)) {
    const container = u32[(pointer + POINTER.offsets.container) >>> 2]!;
    references.set(container, (references.get(container) ?? 0) + 1);
  }
  // What was made by hand is its maker's.
  for (const { handle } of props.loose) references.set(handle, 1);
  const { containers } = props.main;
  return containers.filter(({ handle, ref_count }) => ref_count > (references.get(handle) ?? 0)).length;
}

/** The heap's blocks that the pool holds, and those of the worker's pointers that are there; read without the lock. */
function* regionsOf(props: Props): Generator<number> {
  const { u32 } = props.main.heap;
  for (const pointer of pointersIn(props)) {
    yield pointer;
    const container = u32[(pointer + POINTER.offsets.container) >>> 2]!;
    if (u32[(container + CONTAINER.offsets.stamp) >>> 2] !== 0) yield blockOf(u32, container);
  }
  for (const { word } of props.pointers) if (u32[word] !== 0) yield word * 4;
  for (const { handle } of props.loose) if (u32[(handle + CONTAINER.offsets.stamp) >>> 2] !== 0) yield handle;
  if (isGone(props)) return;
  yield props.handle;
  const array = u32[(props.handle + POOL.offsets.array) >>> 2]!;
  if (array !== 0) yield array;
  for (const container of props.main.expectState("regions").containers()) yield blockOf(u32, container);
}

/** Looks at a pool when one of its users has died, and works on with it. Returns how many containers it has lost. */
function judge(_: PoolStage, props: Props, living: readonly SharedHeap[], { before, after }: Looks<Look>): number {
  const { main, warden } = props;
  if (isGone(props)) return 0;
  for (const pool of living.length > 1 ? [main, warden] : [main]) pool.check();
  // Whoever destroys a pool may die in it: others do the rest.
  if (after.isDestroyed) {
    MemoryPool.attach(main.heap, props.handle).destroy();
    return 0;
  }
  const now = lookAt(props);
  const { u32 } = main.heap;
  const expectContents = (where: string): void => {
    for (const [ptr, [size, refs]] of before.live) {
      const then = after.live.get(ptr);
      if (then === undefined) continue;
      const found = now.live.get(ptr);
      if (found?.[0] !== size) throw new Error(`the container at ${ptr} is gone ${where}`);
      if (found[1] !== refs && found[1] !== then[1]) throw new Error(`${ptr} has ${found[1]} references ${where}`);
      for (let word = ptr >>> 2; word < (ptr + size) >>> 2; word += 1) {
        if (u32[word] !== patternOf(word)) throw new Error(`the container at ${ptr} was written to ${where}`);
      }
    }
  };
  expectContents("at once");
  // Who judges the heap takes an array that moves for a block of the program's, which it has twice for a while.
  const others = [...now.others].filter((ptr) => !(before.others.has(ptr) && after.others.has(ptr)));
  const lost = lostIn(props);
  if (lost + others.length > 3 - living.length) throw new Error(`${lost} containers and ${others.join()} are lost`);
  if (Math.abs(now.orphans - before.orphans) > 2 && now.orphans !== after.orphans) throw new Error("orphans are lost");

  workOn(main);
  expectContents("in use");
  return lost;
}

/** Allocates containers and gives them up again. The array stays: those who judge the heap know where it was. */
function workOn(pool: MemoryPool): void {
  const sizes = [8, 64, 64, 300, 64].slice(0, pool.capacity - pool.count);
  if (pool.capacity > 16 && pool.count * 4 < pool.capacity) return;
  const pointers = sizes.map((size, at) => {
    const pointer = new MemoryPointer(`later_${at}`, 0, { backing: pool.heap });
    if (!pointer.allocate(size, pool)) throw new Error("no room");
    return pointer;
  });
  pool.check();
  for (const pointer of pointers) pointer.destroy();
  pool.check();
}

/** The worker's pointers to containers of these sizes. */
function allocateAll({ worker }: Props, sizes: readonly number[]): MemoryPointer[] {
  return sizes.map((size, at) => {
    const pointer = new MemoryPointer(`variable_${at}`, 0, { backing: worker.heap });
    if (!pointer.allocate(size, worker)) throw new Error("no room");
    return pointer;
  });
}

interface Plan extends PoolOptions {
  readonly capacity?: number;
  readonly sizes?: readonly number[];
  /** Sizes of orphans. */
  readonly orphaned?: readonly number[];
}

/** Makes a pool that all three have open; the containers in use are filled with a pattern. */
function arrange(stage: PoolStage, plan: Plan, more?: (props: Props) => void): Props {
  // Stages are to be arranged alike.
  LAST_STAMP[0] = 12_345;
  const { capacity = 16, sizes = [64, 100, 40], orphaned = [], ...options } = plan;
  const main = new MemoryPool(capacity, { backing: stage.main, debug: false, ...options });
  const props: Props = {
    stage,
    main,
    warden: MemoryPool.attach(stage.warden, main.handle),
    worker: MemoryPool.attach(stage.worker, main.handle),
    handle: main.handle,
    pointers: [],
    loose: [],
  };
  const gone = allocateAll(props, orphaned);
  props.pointers.push(...allocateAll(props, sizes));
  for (const pointer of gone) pointer.destroy();
  more?.(props);
  const { u32 } = main.heap;
  for (const { ptr, size, state } of main.blocks()) {
    if (state !== "live") continue;
    for (let word = ptr >>> 2; word < (ptr + size) >>> 2; word += 1) u32[word] = patternOf(word);
  }
  return props;
}

/** An operation on a pool that is in use. */
function does(
  plan: Plan,
  act: (props: Props, stage: PoolStage) => unknown,
  seen: (looks: Looks<Look>) => void,
  more: Partial<PoolOperation> & { arranged?: (props: Props) => void } = {},
): PoolOperation {
  const { arranged, ...rest } = more;
  return {
    ...rest,
    arrange: (stage) => arrange(stage, plan, arranged),
    act: (stage, props) => act(props, stage),
    expect: (_, looks) => seen(looks),
    regions: (props) => [...regionsOf(props)],
    look: (_, props) => lookAt(props),
    forget: ({ main, handle }, deaths) => (main.heap.u32[(handle + POOL.offsets.deaths) >>> 2] = deaths),
    judge,
  };
}

/** Expects so many more containers in use and orphans, and the array so much larger. */
function changes(live: number, orphans: number, capacity: number = 0): (looks: Looks<Look>) => void {
  return ({ before, after }) => {
    const found = [
      after.live.size - before.live.size,
      after.orphans - before.orphans,
      after.capacity - before.capacity,
    ];
    expect(found).toEqual([live, orphans, capacity]);
  };
}

/** One more pointer, without a container. */
const withEmpty = (props: Props): void => {
  props.pointers.push(new MemoryPointer("empty", 0, { backing: props.worker.heap }));
};
const withShared = (props: Props): void => {
  props.pointers.push(props.pointers[0]!.share("shared"));
};
const withLoose = (props: Props): void => {
  props.loose.push(new MemoryContainer(5n, 64, { backing: props.worker.heap }));
};
const last = ({ pointers }: Props): MemoryPointer => pointers.at(-1)!;
const first = ({ pointers }: Props): MemoryPointer => pointers[0]!;

const EIGHT = [64, 64, 64, 64, 64, 64, 64, 64];
const SIXTEEN = [...EIGHT, ...EIGHT];

const CASES: readonly Case[] = [
  [
    "a pointer is created",
    does({}, ({ worker }) => new MemoryPointer("another", 0, { backing: worker.heap }), changes(0, 0)),
  ],
  [
    "a new container",
    does({}, (props) => last(props).allocate(64, props.worker), changes(1, 0), { arranged: withEmpty }),
  ],
  [
    "a new container that is large",
    does({}, (props) => last(props).allocate(3000, props.worker), changes(1, 0), {
      arranged: withEmpty,
      inHandBytes: 4096,
    }),
  ],
  [
    "an orphan that is used again",
    does({ orphaned: [64, 200] }, (props) => last(props).allocate(150, props.worker), changes(1, -1), {
      arranged: withEmpty,
    }),
  ],
  [
    "a new container for which the array grows",
    does({ sizes: SIXTEEN }, (props) => last(props).allocate(64, props.worker), changes(1, 0, 16), {
      arranged: withEmpty,
    }),
  ],
  ["a container that stays", does({}, (props) => first(props).allocate(64, props.worker), changes(0, 0))],
  ["a larger container, and an orphan", does({}, (props) => first(props).allocate(500, props.worker), changes(0, 1))],
  [
    "a larger container instead of one that is freed",
    does({ orphans: "destroy" }, (props) => first(props).allocate(500, props.worker), changes(0, 0)),
  ],
  ["a share", does({}, (props) => first(props).share("another"), changes(0, 0))],
  ["a copy on write", does({}, (props) => first(props).write(props.worker), changes(1, 0), { arranged: withShared })],
  [
    "a copy on write of a debug pool",
    does({ debug: true }, (props) => first(props).write(props.worker), changes(1, 0), { arranged: withShared }),
  ],
  [
    "a pointer that others share the container with is destroyed",
    does({}, (props) => first(props).destroy(), changes(0, 0), { arranged: withShared }),
  ],
  ["a container that becomes an orphan", does({}, (props) => first(props).destroy(), changes(-1, 1))],
  ["a container that is freed", does({ orphans: "destroy" }, (props) => first(props).destroy(), changes(-1, 0))],
  [
    "a container that is freed, the last of the array",
    does({ maxOrphans: 0 }, (props) => last(props).destroy(), changes(-1, 0)),
  ],
  [
    "a container in use that is removed, and the array shrinks",
    does({ capacity: 32, sizes: EIGHT }, (props) => props.worker.remove(first(props).container!), changes(-1, 0, -16)),
  ],
  [
    "a new container of a debug pool",
    does({ debug: true }, (props) => last(props).allocate(64, props.worker), changes(1, 0), { arranged: withEmpty }),
  ],
  [
    "a container of a debug pool that becomes an orphan",
    does({ debug: true }, ({ pointers }) => pointers[1]!.destroy(), changes(-1, 1)),
  ],
  ["orphans that are trimmed", does({ orphaned: [64, 200, 64] }, ({ worker }) => worker.trim(), changes(0, -3))],
  ["an array that grows", does({}, ({ worker }) => worker.grow(), changes(0, 0, 16))],
  [
    "a container that is added",
    does({}, ({ worker, loose }) => worker.add(loose[0]!), changes(1, 0), { arranged: withLoose }),
  ],
  [
    "a container that is added where the array grows",
    does({ sizes: SIXTEEN }, ({ worker, loose }) => worker.add(loose[0]!), changes(1, 0, 16), { arranged: withLoose }),
  ],
  [
    "a container in use that is removed",
    does({}, (props) => props.worker.remove(first(props).container!), changes(-1, 0)),
  ],
  [
    "an orphan that is removed and freed",
    does(
      { orphaned: [64, 200] },
      ({ worker }) =>
        worker.remove(
          worker.containers.find(({ ref_count }) => ref_count === 0)!,
          true,
        ),
      changes(0, -1),
    ),
  ],
  ["a look at it", does({ orphaned: [64] }, ({ worker }) => worker.stats(), changes(0, 0))],
  ["a pool that is destroyed", does({ orphaned: [64] }, ({ worker }) => worker.destroy(), changes(-3, -1, -16))],
];

/** The last of some random operations. */
function wandering(start: number): PoolOperation {
  const plan: Plan = { capacity: 8, sizes: EIGHT, orphaned: [40, 300], maxOrphans: 3, debug: start % 2 === 0 };
  const drawn: WeakMap<Props, () => unknown> = new WeakMap();
  const arranged = (props: Props): void => {
    const draw = random(start);
    const below = (limit: number): number => Math.floor(draw() * limit);
    const step = (): (() => unknown) => {
      const { worker } = props;
      const alive = props.pointers.filter((pointer) => pointer.isAlive);
      const pointer = alive[below(alive.length)]!;
      const size = 8 * (1 + below(40));
      const chosen = below(6);
      if (chosen === 0 && alive.length > 2) return () => pointer.destroy();
      if (chosen === 1) return () => props.pointers.push(pointer.share("shared"));
      if (chosen === 2) return () => pointer.write(worker);
      if (chosen === 3) return () => worker.trim();
      return () => pointer.allocate(size, worker);
    };
    for (let i = 4 + below(12); i > 0; i -= 1) step()();
    drawn.set(props, step());
  };
  return does(
    plan,
    (props) => drawn.get(props)?.(),
    () => {},
    { arranged },
  );
}

beforeEach(() => allowLive());

describe("a worker that dies before any of its stores leaves a sound pool:", () => {
  it.each(CASES)("%s", { timeout: 600_000 }, async (_, operation) => {
    expect(await crash(operation)).toBeGreaterThan(0);
  });

  it("wherever a random run has led", { timeout: 600_000 }, async () => {
    let stops = 0;
    for (let round = 0; round < runs(8); round += 1) stops += await crash(wandering(Math.floor(next() * 2 ** 31)));
    expect(stops).toBeGreaterThan(runs(8) * 8);
  });
});

it("there were many cases, and without repair many of those in the midst of stores fail", () => {
  const { worker, warden, workerHolds, workerBreaks } = count;
  console.error(
    `${worker} stops of the worker, ${warden} of the warden; without repair broken: ${workerBreaks} of ${workerHolds}`,
  );
  expect(worker).toBeGreaterThan(500);
  expect(warden).toBeGreaterThan(500);
  expect(workerBreaks / workerHolds).toBeGreaterThan(0.2);
});

it("recovery rebuilds all that is derived; cut short, it is done again", () => {
  const draw = random(seed + 1);
  const below = (limit: number): number => Math.floor(draw() * limit);
  for (let run = 0; run < runs(40); run += 1) {
    const heap = new Heap({ bytes: 1 << 16 });
    const pool = new MemoryPool(8, { backing: heap, debug: run % 2 === 0, maxOrphans: 20 });
    const pointers = Array.from({ length: 12 }, (_, at) => new MemoryPointer(`variable_${at}`, 0, { backing: heap }));
    for (const pointer of pointers) pointer.allocate(8 * (1 + below(100)), pool);
    for (const pointer of pointers.splice(0, 6)) pointer.destroy();
    const seen = [...pool.blocks()];
    const { u32 } = heap;
    const control = pool.handle >>> 2;
    // Slots, rings, marks and numbers, as no prefix of a step could leave them worse.
    const array = u32[control + (POOL.offsets.array >>> 2)]! >>> 2;
    const scramble = (): void => {
      u32[control + (POOL.offsets.orphans >>> 2)] = below(2 ** 32);
      for (let word = POOL.offsets.marks >>> 2; word < POOL.size >>> 2; word += 1) u32[control + word] = below(2 ** 32);
      for (let slot = 0; slot < pool.capacity; slot += 1) {
        if (slot >= seen.length) u32[array + slot] = below(2 ** 32);
        else u32[(u32[array + slot]! + CONTAINER.offsets.place) >>> 2] = (3 << 27) | below(2 ** 27);
      }
    };
    scramble();
    const broken = u32.slice();
    const stores = storesOf(heap, () => recoverPool(heap, control));
    pool.check();
    expect([...pool.blocks()]).toEqual(seen);
    for (const length of Array.from({ length: 10 }, () => below(stores.length))) {
      u32.set(broken);
      for (const [word, value] of stores.slice(0, length)) u32[word] = value;
      recoverPool(heap, control);
      pool.check();
      expect([...pool.blocks()]).toEqual(seen);
    }
    for (const pointer of pointers) pointer.destroy();
    pool.destroy();
    expect(heap.stats().liveBlocks).toBe(0);
  }
});

/** What an act stores through the heap's words, in order. */
function storesOf(heap: Heap, act: () => void): [word: number, value: number][] {
  const plain = heap.u32;
  const stores: [word: number, value: number][] = [];
  const watching = new Proxy(plain, {
    get(target, key) {
      if (key === "fill") return Array.prototype.fill;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
    set(target, key, value: number) {
      target[Number(key)] = value;
      stores.push([Number(key), target[Number(key)]!]);
      return true;
    },
  });
  Object.defineProperty(heap, "u32", { get: () => watching, configurable: true });
  try {
    act();
  } finally {
    Reflect.deleteProperty(heap, "u32");
  }
  return stores;
}

it("an image of a shared heap is a pool of its own, repaired where someone was in the middle of a step", () => {
  const heap = new Heap({ bytes: 1 << 17, shared: true });
  const pool = new MemoryPool(8, { backing: heap, debug: false });
  const pointers = [64, 100, 64].map((size, at) => {
    const pointer = new MemoryPointer(`variable_${at}`, 0, { backing: heap });
    pointer.allocate(size, pool);
    return pointer;
  });
  const handles = pointers.map(({ handle }) => handle);
  pointers[0]!.destroy();
  // What a holder of the lock may leave that dies in the middle, when nobody takes the lock afterwards.
  heap.u32.fill(0, (pool.handle + POOL.offsets.marks) >>> 2, (pool.handle + POOL.size) >>> 2);
  const copy = Heap.attach(heap.image());
  const other = MemoryPool.attach(copy, pool.handle);
  other.check();
  expect(other.stats()).toMatchObject({ liveContainers: 2, orphans: 1 });
  const pointer = MemoryPointer.attach(copy, handles[1]!);
  expect(pointer.variable_name).toBe("variable_1");
  pointer.destroy();
  other.check();
  MemoryPointer.attach(copy, handles[2]!).destroy();
  other.destroy();
  expect(copy.stats().liveBlocks).toBe(0);
});
