/**
 * A worker dies before any of its stores into a shared heap, plain ones and Atomics. Its supervisor, the warden, breaks its
 * lock, repairs and gives back; or dies in turn before any store of that, and the main thread does it for both.
 *
 * What worker and warden store is recorded on one stage; on another, those who live on find a prefix of it.
 *
 * @module
 */
import { type Store, storesOf, watched } from "./recorded-stores.ts";
import {
  type AgentHeap,
  BLOCK,
  type Chain,
  type ChainBlock,
  HEADER_BYTES,
  LOCK,
  type Opener,
  REPAIRED,
  SLOT,
  Stage,
  type StageOptions,
} from "./shared-stage.ts";

export type { Opener, StageOptions };
export { Stage };

/**
 * What the worker does. `T` is what it takes: blocks, or whatever else lies in the heap. Where that is an allocator of its
 * own, `L` is what is seen of it.
 */
export interface Operation<H extends AgentHeap, T, L = undefined> {
  readonly options?: StageOptions;
  /** Whether the worker attaches only in it. */
  readonly isEntry?: boolean;
  /** Whether for one of its stops all of the warden's are tried. */
  readonly isThorough?: boolean;
  /** Bytes that it may have in hand, besides blocks that were there before or are there afterwards. */
  readonly inHandBytes?: number;
  /** Blocks that it may have in hand at once. @defaultValue 1 */
  readonly inHandBlocks?: number;
  /** Makes the heap what the operation is about. Stages are arranged more than once, and alike. */
  arrange(stage: Stage<H>): T;
  act(stage: Stage<H>, props: T): unknown;
  /** Sees whether it took the way that it is to take. */
  expect?(facts: Facts, looks: Looks<L>): void;
  /** The blocks of the heap that such an allocator holds now. */
  regions?(props: T): Iterable<number>;
  /** Looks at such an allocator. */
  look?(stage: Stage<H>, props: T): L;
  /** Makes it believe that no one has died. */
  forget?(props: T, deaths: number): void;
  /** Judges it after a death, and works on with it; returns how many blocks of it are lost. */
  judge?(stage: Stage<H>, props: T, living: readonly H[], looks: Looks<L>): number;
}

/** What is seen before an operation and after it. */
export interface Looks<L> {
  readonly before: L;
  readonly after: L;
}

/** What is known of an operation that nobody stopped. */
export interface Facts {
  readonly stores: readonly Store[];
  /** The buffer before it. */
  readonly bytes: Uint8Array;
  readonly before: Chain;
  readonly after: Chain;
  /** The payloads of live blocks before it. */
  readonly contents: ReadonlyMap<number, Uint32Array>;
  /** What the magazines of main thread and warden hold, by slots. */
  readonly held: ReadonlyMap<number, readonly number[]>;
  readonly lockAt: number;
  readonly inHandBytes: number | undefined;
}

/** How many stops there were. */
export interface Count {
  /** Of the worker. */
  worker: number;
  /** Of the warden, after one of these. */
  warden: number;
  /** With the lock held in the midst of stores, by worker and by warden; and those of them that fail without repair. */
  workerHolds: number;
  workerBreaks: number;
  wardenHolds: number;
  wardenBreaks: number;
}

export interface Plan {
  /** Gives numbers from 0 to below 1. */
  readonly next: () => number;
  /** How many stops of the warden are tried for each of the worker's with the lock held. */
  readonly stops: number;
}

/** The largest span that magazines hold. */
const HELD_SPAN_BYTES = 1008;
/** In every so many cases someone new comes in. */
const GUEST_EVERY = 16;

const { LIVE, RESERVED } = BLOCK;

export function noCount(): Count {
  return { worker: 0, warden: 0, workerHolds: 0, workerBreaks: 0, wardenHolds: 0, wardenBreaks: 0 };
}

/** Stops an operation before each of its stores. Throws for the first case that is not clean. */
export async function stopEverywhere<H extends AgentHeap, T, L>(
  opener: Opener<H>,
  operation: Operation<H, T, L>,
  { next, stops }: Plan,
  count: Count,
): Promise<void> {
  const arrange = (): Arranged<H, T> => arranged(opener, operation);
  const observed = await observe(operation, () => watched(arrange));
  const { facts, repairedAt } = observed;
  const { stores, lockAt } = facts;
  const recorded = new Revue(facts.bytes, () => watched(arrange), observed.arranged);
  const found = new Revue(facts.bytes, () => Promise.resolve(arrange()));
  const looks = await lookTwice(operation, found, stores);
  operation.expect?.(facts, looks);
  const thorough = operation.isThorough === true ? Math.floor(next() * stores.length) : -1;
  let cases = 0;

  const expectSound = async (where: string, prefix: readonly Store[], isWardenDead: boolean): Promise<void> => {
    const survivors = await found.find(prefix);
    try {
      const living = await survive(operation, survivors, facts, looks, isWardenDead);
      workOn(survivors.stage, facts, living);
      cases += 1;
      if (cases % GUEST_EVERY === 0) receiveGuest(survivors.stage);
    } catch (error) {
      letGo(survivors.stage, lockAt);
      const message = error instanceof Error ? error.message : String(error);
      throw new Error(`${where}: ${message}`, { cause: error });
    }
  };
  const isBroken = async (prefix: readonly Store[], isWardenDead: boolean): Promise<boolean> => {
    const survivors = await found.find(prefix);
    survivors.stage.isRecovering = false;
    try {
      await survive(operation, survivors, facts, looks, isWardenDead);
      survivors.stage.isRecovering = true;
      return false;
    } catch {
      letGo(survivors.stage, lockAt);
      found.drop();
      return true;
    }
  };

  for (let k = 0; k <= stores.length; k += 1) {
    const prefix = stores.slice(0, k);
    const where = `the worker stops before store ${k} of ${stores.length}`;
    await expectSound(where, prefix, false);
    count.worker += 1;
    const isHeld = isInMidst(stores, k, lockAt);
    if (isHeld) {
      count.workerHolds += 1;
      if (await isBroken(prefix, false)) count.workerBreaks += 1;
    }

    const { stage } = await recorded.find(prefix);
    const repair = await storesOf(() => stage.workerThread.exit());
    const some = k === thorough ? repair.keys() : someStops(repair, repairedAt, isHeld ? stops : 1, next);
    for (const j of some) {
      const both = [...prefix, ...repair.slice(0, j)];
      await expectSound(`${where}, the warden before ${j} of ${repair.length}`, both, true);
      count.warden += 1;
      if (isInMidst(repair, j, lockAt)) {
        count.wardenHolds += 1;
        if (await isBroken(both, true)) count.wardenBreaks += 1;
      }
    }
  }
}

/** A stage with everything in its place. */
interface Arranged<H extends AgentHeap, T> {
  readonly stage: Stage<H>;
  readonly props: T;
}

function arranged<H extends AgentHeap, T, L>(opener: Opener<H>, operation: Operation<H, T, L>): Arranged<H, T> {
  const stage = new Stage(opener, operation.options ?? { bytes: 65_536 });
  if (operation.isEntry !== true) stage.worker.free(0);
  const props = operation.arrange(stage);
  const regions = new Set(operation.regions?.(props));
  const { words } = stage;
  for (const [ptr, { span, state }] of stage.chain()) {
    if (state !== LIVE || regions.has(ptr)) continue;
    for (let word = ptr >>> 2; word < (ptr + span - HEADER_BYTES) >>> 2; word += 1) {
      words[word] = patternOf(word);
    }
  }
  return { stage, props };
}

/** What a word of a payload is filled with. */
export function patternOf(word: number): number {
  return Math.imul(word + 1, 0x9e37_79b1) >>> 0;
}

/** Runs an operation and notes everything about it. */
async function observe<H extends AgentHeap, T, L>(
  operation: Operation<H, T, L>,
  arrange: () => Promise<Arranged<H, T>>,
): Promise<{ arranged: Arranged<H, T>; facts: Facts; repairedAt: number }> {
  const { stage, props } = await arrange();
  const bytes = stage.bytes.slice();
  const before = stage.chain();
  const u32 = new Uint32Array(bytes.buffer);
  const regions = new Set(operation.regions?.(props));
  const live = [...before].filter(([ptr, { state }]) => state === LIVE && !regions.has(ptr));
  const contents = new Map(
    live.map(([ptr, { span }]) => [ptr, u32.slice(ptr >>> 2, (ptr + span - HEADER_BYTES) >>> 2)]),
  );
  const held = new Map([stage.main, stage.warden].map((heap) => [heap.slot, stage.heldBy(heap)]));
  const stores = await storesOf(() => operation.act(stage, props));
  const lockAt = stage.addressOf(LOCK);
  const { inHandBytes } = operation;
  const facts = { stores, bytes, before, after: stage.chain(), contents, held, lockAt, inHandBytes };
  return { arranged: { stage, props }, facts, repairedAt: stage.addressOf(REPAIRED) };
}

/** Looks at what an operation is about, on a stage where nobody has died. */
async function lookTwice<H extends AgentHeap, T, L>(
  operation: Operation<H, T, L>,
  revue: Revue<H, T>,
  stores: readonly Store[],
): Promise<Looks<L>> {
  const look = async (prefix: readonly Store[]): Promise<L> => {
    const { stage, props } = await revue.find(prefix);
    return operation.look?.(stage, props) as L;
  };
  return { before: await look([]), after: await look(stores) };
}

/** Frees the lock of a heap that is past saving: who waits for it would wait for ever. */
function letGo<H extends AgentHeap>(stage: Stage<H>, lockAt: number): void {
  stage.words[lockAt >>> 2] = 0;
}

/** Finds prefixes of an operation's stores on one stage after another. */
class Revue<H extends AgentHeap, T> {
  readonly #bytes: Uint8Array;
  readonly #arrange: () => Promise<Arranged<H, T>>;
  #arranged: Arranged<H, T> | undefined;

  constructor(bytes: Uint8Array, arrange: () => Promise<Arranged<H, T>>, first?: Arranged<H, T>) {
    this.#bytes = bytes;
    this.#arrange = arrange;
    this.#arranged = first;
  }

  async find(stores: readonly Store[]): Promise<Arranged<H, T>> {
    if (this.#arranged?.stage.rewind(this.#bytes, stores) === true) return this.#arranged;
    this.#arranged = await this.#arrange();
    if (!this.#arranged.stage.rewind(this.#bytes, stores)) throw new Error("the stage has grown too soon");
    return this.#arranged;
  }

  /** Who still works on the stage may have it. */
  drop(): void {
    this.#arranged = undefined;
  }
}

/** Lets those who live on do their duty, and judges what they leave. */
async function survive<H extends AgentHeap, T, L>(
  operation: Operation<H, T, L>,
  { stage, props }: Arranged<H, T>,
  facts: Facts,
  looks: Looks<L>,
  isWardenDead: boolean,
): Promise<readonly H[]> {
  const { main, warden } = stage;
  const living = isWardenDead ? [main] : [main, warden];
  // The warden has one in hand when it gives back what the worker's magazines hold.
  const most = (operation.inHandBlocks ?? 1) + (isWardenDead ? 1 : 0);
  await (isWardenDead ? stage.wardenThread : stage.workerThread).exit();
  const [failure] = stage.failures.splice(0);
  if (failure !== undefined) throw new Error("a supervisor failed", { cause: failure });
  const { words } = stage;
  const holder = words[facts.lockAt >>> 2]!;
  if (holder !== 0) throw new Error(`slot ${holder & 0x7f} holds the lock for ever`);
  for (const [at, state] of stage.slotStates().entries()) {
    const isLiving = living.some(({ slot }) => slot === at + 1);
    if (state !== (isLiving ? SLOT.ALIVE : SLOT.FREE)) throw new Error(`slot ${at + 1} is in state ${state}`);
  }
  main.check();
  for (const heap of living) {
    const [held, was] = [stage.heldBy(heap), facts.held.get(heap.slot) ?? []];
    if (held.length !== was.length || held.some((ptr, at) => was[at] !== ptr))
      throw new Error(`the magazines of slot ${heap.slot}, which lives, are not what they were`);
  }
  if (!stage.isRecovering) operation.forget?.(props, stage.deaths);
  let lost = operation.judge?.(stage, props, living, looks) ?? 0;
  const now = stage.chain();
  expectContents(words, facts, now);
  lost += lostBlocks(facts, now, new Set(operation.regions?.(props)));
  if (lost > most) throw new Error(`${lost} blocks are lost`);
  return living;
}

/** What was live before and after an operation must be as it was, and what is moved in one of both places. */
function expectContents(u32: Uint32Array, facts: Facts, now: Chain): void {
  const { before, after, contents } = facts;
  const isKept = (payload: Uint32Array, ptr: number, words: number): boolean => {
    for (let at = 0; at < words; at += 1) if (u32[(ptr >>> 2) + at] !== payload[at]) return false;
    return true;
  };
  for (const [ptr, was] of before) {
    if (!isOccupied(was)) continue;
    const [will, is] = [after.get(ptr), now.get(ptr)];
    const payload = contents.get(ptr) ?? new Uint32Array();
    if (isOccupied(will)) {
      // Where the operation changes its size, as much as it has in the end.
      const least = Math.min(was.span, will.span);
      const isThere = was.span === will.span ? isSame(was, is) : is?.state === LIVE && is.span >= least;
      if (!isThere) throw new Error(`the block at ${ptr} has changed`);
      const words = Math.min(payload.length, (least - HEADER_BYTES) >>> 2);
      if (!isKept(payload, ptr, words)) throw new Error(`the block at ${ptr} was written to`);
    } else if (was.state === LIVE) {
      for (const [to, { span, state }] of after) {
        if (state !== LIVE || isOccupied(before.get(to))) continue;
        const words = Math.min(payload.length, (span - HEADER_BYTES) >>> 2);
        const holders = [ptr, to].filter((at) => now.get(at)?.state === LIVE && isKept(payload, at, words));
        if (holders.length === 0) throw new Error(`what is moved from ${ptr} to ${to} is nowhere`);
      }
    }
  }
}

/** Counts the blocks that cannot be handed out again, though the dead one's program never had them or had given them back. */
function lostBlocks({ before, after, inHandBytes }: Facts, now: Chain, regions: ReadonlySet<number>): number {
  const isMove = liveOnlyIn(before, after).length > 0 && liveOnlyIn(after, before).length > 0;
  let blocks = 0;
  let end = 0;
  for (const [ptr, block] of now) {
    const [was, will] = [before.get(ptr), after.get(ptr)];
    if (!isOccupied(block) || (isOccupied(was) && isOccupied(will)) || regions.has(ptr)) continue;
    // The heap's own, when it has grown.
    if (block.state === RESERVED && isSame(block, will) && !isIn(before, ptr)) continue;
    const bound = Math.max(inHandBytes ?? 0, HELD_SPAN_BYTES, was?.span ?? 0, will?.span ?? 0);
    if (block.span > bound) throw new Error(`${block.span} bytes at ${ptr} are lost`);
    // Parts of one block that is being cut are one.
    if (ptr !== end || inHandBytes === undefined) blocks += 1;
    end = ptr + block.span;
  }
  // Of two blocks in a move one is the program's.
  return Math.max(0, blocks - (isMove ? 1 : 0));
}

/** Those who live on allocate until nothing is left, and give it back. */
function workOn<H extends AgentHeap>(stage: Stage<H>, facts: Facts, living: readonly H[]): void {
  const { main } = stage;
  for (const heap of living) heap.free(heap.malloc(40));
  const before = stage.chain();
  const taken: number[] = [];
  for (const size of [8000, 1000, 200, 40, 8]) {
    for (let ptr = main.malloc(size); ptr !== 0; ptr = main.malloc(size)) {
      stage.words.fill(0, ptr >>> 2, (ptr + size) >>> 2);
      taken.push(ptr);
    }
  }
  const full = stage.chain();
  const others = living.slice(1).reduce((sum, heap) => sum + stage.heldBy(heap).length, 0);
  const occupied = occupiedIn(full);
  // The heap's own: growth reserves the end of what was there.
  const reserved = [...full].filter(([ptr, { state }]) => state === RESERVED && !before.has(ptr)).length;
  if (occupied !== occupiedIn(before) + taken.length + reserved) throw new Error("what was handed out was not free");
  if (full.size !== occupied + others) throw new Error("something is free and is not handed out");
  expectContents(stage.words, facts, full);
  for (const ptr of taken) main.free(ptr);
  main.check();
}

/** Someone comes who was never there, and goes. */
function receiveGuest<H extends AgentHeap>(stage: Stage<H>): void {
  const { main } = stage;
  const guest = stage.enterGuest(main.share());
  const ptr = guest.malloc(40);
  main.free(guest.malloc(40));
  guest.detach();
  main.free(ptr);
  main.check();
}

/**
 * Whether the lock is held at a stop, by who has stored something under it and is going to store more. Of what is filled or
 * copied word by word only the first word counts.
 */
function isInMidst(stores: readonly Store[], stop: number, lockAt: number): boolean {
  const at = (i: number): number => {
    const store = stores[i];
    return store !== undefined && "at" in store ? store.at : 0;
  };
  let taken = stop - 1;
  while (taken >= 0 && at(taken) !== lockAt) taken -= 1;
  const lock = stores[taken];
  const isHeld = lock !== undefined && "value" in lock && lock.value !== 0;
  const isRun = at(stop) === at(stop - 1) + 4 && at(stop - 1) === at(stop - 2) + 4;
  return isHeld && taken < stop - 1 && stop < stores.length && at(stop) !== lockAt && !isRun;
}

/** Some stops of the warden, as many in its repair as in what it gives back afterwards. */
function someStops(repair: readonly Store[], repairedAt: number, draws: number, next: () => number): number[] {
  const border = repair.findIndex((store) => "at" in store && store.at === repairedAt) + 1;
  const parts: [number, number][] =
    border === 0
      ? [[0, repair.length]]
      : [
          [0, border],
          [border, repair.length],
        ];
  const first = Math.floor(next() * parts.length);
  return Array.from({ length: draws }, (_, draw) => {
    const [from, to] = parts[(first + draw) % parts.length] ?? [0, 0];
    return from + Math.floor(next() * (to - from));
  });
}

/** The blocks that are live in one chain and not in the other. */
export function liveOnlyIn(one: Chain, other: Chain): number[] {
  return [...one].filter(([ptr, { state }]) => state === LIVE && other.get(ptr)?.state !== LIVE).map(([ptr]) => ptr);
}

function occupiedIn(chain: Chain): number {
  let occupied = 0;
  for (const block of chain.values()) if (isOccupied(block)) occupied += 1;
  return occupied;
}

function isOccupied(block: ChainBlock | undefined): block is ChainBlock {
  return block?.state === LIVE || block?.state === RESERVED;
}

function isSame(a: ChainBlock | undefined, b: ChainBlock | undefined): boolean {
  return a?.span === b?.span && a?.state === b?.state;
}

/** Whether an address lies in one of the blocks. */
function isIn(chain: Chain, ptr: number): boolean {
  const last = [...chain].at(-1);
  return last !== undefined && ptr < last[0] - HEADER_BYTES + last[1].span;
}
