/**
 * A storm: programs on one heap, of which one or two die at a time, wherever they are. After each death the others make a
 * pause, everything is checked, and new programs take the place of the dead.
 *
 * @module
 */
import { Worker } from "node:worker_threads";

import { Heap, NULL, type SharedHeap } from "@heapwright/core";
import { type Random, random } from "@heapwright/core/testing";

import { KINDS, openAll, rootOf } from "./allocators.ts";
import { BrokenInvariant, freeAll, type Scene, takeCensus } from "./census.ts";
import { copyOf, deadSlots, type Fault, plant, slotsInUse, takeovers } from "./insides.ts";
import { describeIntent, INTENT, Ledger, ledgerBytes } from "./ledger.ts";
import type { Order } from "./worker.ts";

export interface StormOptions {
  /** Deaths. */
  readonly kills: number;
  readonly seed: number;
  /** Programs at once. */
  readonly seats: number;
  /** What is broken on purpose, in all agents. */
  readonly fault: Fault | undefined;
}

/** What came of a storm. */
export interface StormResult {
  /** Deaths, those that came in pairs, and those of workers that had not begun yet. */
  kills: number;
  paired: number;
  early: number;
  /** Deaths of the lock's holder, and how many of them left something that `check` finds broken. */
  lockHeld: number;
  broken: number;
  /** Of those, the ones that died while they rebuilt the whole heap. */
  rebuilding: number;
  /** What was broken, by name. */
  readonly brokenBy: Map<string, number>;
  /** Blocks that were in a dead program's hands and in nobody's books: one a death may be. */
  inFlight: number;
  /** And those beyond. */
  lost: number;
  deadlocks: number;
  brokenInvariants: number;
  heaps: number;
  operations: number;
  /** Allocations for which there was no room. */
  refusals: number;
  /** Calls that found the lock held for longer than they wait. */
  waits: number;
  /** What went wrong, in words. */
  failure: string | undefined;
}

/** Nobody got on for so long. */
class Deadlock extends Error {
  override readonly name = "Deadlock";
}

/** A worker and its place. */
interface Seat {
  readonly number: number;
  readonly worker: Worker;
  readonly slot: number;
  readonly exited: Promise<void>;
  readonly autopsy: { isHolder: boolean };
}

const WORKER = new URL("./worker.js", import.meta.url);
export const DEATHS_PER_HEAP = 40;
const PAIR_SHARE = 0.15;
/** How often whoever holds the lock is the victim; else it is anyone. */
const AIM_SHARE = 0.7;
const AIM_LOOKS = 20_000;
/** How often a death comes before the new workers have begun. */
const EARLY_SHARE = 0.1;
/** Lives are short mostly, and some are so long that V8 has optimised what the programs run. */
const LONGEST_LIFE_MS = 120;
const SHORTNESS = 6;
const FIRST_APPETITE = 12;
const APPETITE_STEP = 5;
const SPARES = 4;
const DEADLOCK_MS = 60_000;

/** Heaps in turn: two that grow, one that is soon full, one in a buffer that starts with someone else's bytes. */
const HEAPS: readonly (() => SharedHeap)[] = [
  () => new Heap({ bytes: 1 << 16, maxBytes: 1 << 26, shared: true }),
  () => new Heap({ bytes: 1 << 20, shared: true }),
  () => new Heap({ bytes: 1 << 17, maxBytes: 1 << 26, alignment: 16, shared: true }),
  () => Heap.adopt(new SharedArrayBuffer(5 << 20), { base: 1 << 16 }),
];

export class Storm {
  readonly #options: StormOptions;
  readonly #random: Random;
  readonly #onHeap: (result: StormResult) => void;
  readonly result: StormResult = {
    kills: 0,
    paired: 0,
    early: 0,
    lockHeld: 0,
    broken: 0,
    rebuilding: 0,
    brokenBy: new Map(),
    inFlight: 0,
    lost: 0,
    deadlocks: 0,
    brokenInvariants: 0,
    heaps: 0,
    operations: 0,
    refusals: 0,
    waits: 0,
    failure: undefined,
  };
  /** Set anew for each heap. */
  #scene!: Scene;
  /** Handles of the allocators in the heap, 0: of the heap itself. */
  #handles: readonly number[] = [];
  #seats: Seat[] = [];
  /** Workers without a heap yet: to start one takes longer than to let it die. */
  readonly #spares: Worker[] = [];
  #workers = 0;
  #pauses = 0;
  /** What a worker has thrown, or nobody has caught. */
  #thrown: unknown;

  constructor(options: StormOptions, onHeap: (result: StormResult) => void = () => {}) {
    this.#options = options;
    this.#random = random(options.seed);
    this.#onHeap = onHeap;
  }

  /** Runs it to its end or to the first failure. */
  async run(): Promise<StormResult> {
    const { result } = this;
    const note = (reason: unknown): void => {
      this.#thrown ??= reason;
    };
    process.on("unhandledRejection", note);
    try {
      while (result.kills < this.#options.kills) await this.#useHeap();
    } catch (error) {
      if (error instanceof Deadlock) result.deadlocks += 1;
      else result.brokenInvariants += 1;
      result.failure = error instanceof Error ? (error.stack ?? error.message) : String(error);
    } finally {
      const workers = [...this.#spares, ...this.#seats.map(({ worker }) => worker)];
      await Promise.all(workers.map((worker) => worker.terminate()));
      process.off("unhandledRejection", note);
    }
    return result;
  }

  async #useHeap(): Promise<void> {
    const { result } = this;
    const last = Math.min(this.#options.kills, result.kills + DEATHS_PER_HEAP);
    const heap = this.#makeScene();
    const { ledger } = this.#scene;
    const heldBefore = result.lockHeld;
    await this.#pause();
    for (let number = 0; number < this.#options.seats; number += 1) this.#seats.push(this.#start(number));
    await this.#resume();
    while (result.kills < last) {
      await this.#killSome(Math.min(last - result.kills, this.#random() < PAIR_SHARE ? 2 : 1));
      ledger.appetite += APPETITE_STEP;
    }
    // Before programs end: the lock of one that leaves may be taken over too.
    const [counted, seen] = [takeovers(heap), result.lockHeld - heldBefore];
    if (counted !== seen) throw new BrokenInvariant(`${seen} holders of the lock died, ${counted} were replaced`);
    await this.#end();
    this.#onHeap(result);
    heap.detach();
  }

  #makeScene(): SharedHeap {
    const { seats, fault } = this.#options;
    const make = HEAPS[this.result.heaps % HEAPS.length];
    if (make === undefined) throw new Error("no heap");
    const heap = make();
    this.result.heaps += 1;
    if (fault !== undefined) plant(heap, fault);
    const ptr = heap.calloc(1, ledgerBytes(seats));
    if (ptr === NULL) throw new Error("no room for the ledger");
    this.#handles = KINDS.map((kind) => {
      const handle = kind.make(heap);
      heap.setRoot(rootOf(kind), handle as typeof ptr);
      return handle;
    });
    const ledger = new Ledger(heap.i32, ptr, seats);
    ledger.appetite = FIRST_APPETITE;
    this.#scene = { heap, ledger, seats, allocators: openAll(heap), own: [ptr] };
    return heap;
  }

  #start(number: number): Seat {
    const { heap, ledger, own } = this.#scene;
    const { seats, seed, fault } = this.#options;
    ledger.vacate(number);
    this.#workers += 1;
    const order: Order = { seat: number, seats, seed: seed + this.#workers, ledger: own[0] ?? 0, fault };
    const worker = this.#hire();
    const autopsy = { isHolder: false };
    let slot = 0;
    // First of all listeners, while nobody knows of the death yet: the lock is as the dead has left it.
    worker.once("exit", () => {
      autopsy.isHolder = slot !== 0 && heap.lock.holder === slot;
      try {
        if (autopsy.isHolder) this.#dissect(number);
      } catch (error) {
        this.#thrown ??= error;
      }
    });
    const exited = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
    const descriptor = heap.supervise(worker);
    ({ slot } = descriptor);
    worker.postMessage(descriptor);
    worker.postMessage(order);
    return { number, worker, slot, exited, autopsy };
  }

  /** A worker that has been started while there was time, mostly. */
  #hire(): Worker {
    while (this.#spares.length <= SPARES) {
      const worker = new Worker(WORKER);
      worker.on("error", (error) => {
        this.#thrown ??= error;
      });
      this.#spares.push(worker);
    }
    return this.#spares.shift() ?? this.#hire();
  }

  /** Whether a heap whose lock a dead program holds has to be repaired: in a copy, since others wait for it. */
  #dissect(number: number): void {
    const { heap, ledger } = this.#scene;
    const copy = copyOf(heap);
    for (const [kind, handle] of this.#handles.entries()) KINDS[kind]?.believe(copy, handle);
    const broken = openAll(copy).flatMap(({ name, check }, kind) => {
      try {
        check();
        return [];
      } catch (error) {
        return KINDS[kind]?.unjudged.test(String(error)) === true ? [] : [name];
      }
    });
    if (broken.length === 0) return;
    this.result.broken += 1;
    if (ledger.intent(number).kind === INTENT.RECOVER) this.result.rebuilding += 1;
    for (const name of broken) this.result.brokenBy.set(name, (this.result.brokenBy.get(name) ?? 0) + 1);
  }

  async #killSome(count: number): Promise<void> {
    const { result } = this;
    const { heap, ledger } = this.#scene;
    await new Promise((resolve) => setTimeout(resolve, this.#random() ** SHORTNESS * LONGEST_LIFE_MS));
    this.#expectNoFailure();
    const victims: Seat[] = [];
    while (victims.length < count) {
      const victim = this.#chooseVictim(victims);
      victims.push(victim);
      void victim.worker.terminate();
    }
    await Promise.all(victims.map(({ exited }) => exited));
    const numbers = victims.map(({ number }) => number);
    result.kills += count;
    if (count > 1) result.paired += count;
    result.early += numbers.filter((number) => ledger.operations(number) === 0).length;
    result.lockHeld += victims.filter(({ autopsy }) => autopsy.isHolder).length;
    this.#seats = this.#seats.filter((seat) => !victims.includes(seat));

    await this.#until("the dead are reaped", () => deadSlots(heap).length === 0);
    await this.#pause();
    // The last reaper may hold the lock still.
    await heap.lock.acquireAsync();
    heap.lock.release();
    for (const number of numbers) this.#count(number);
    const inUse = slotsInUse(heap);
    if (inUse !== this.#seats.length + 1) {
      throw new BrokenInvariant(`${inUse} slots are in use, of ${this.#seats.length + 1} agents`);
    }
    const intents = numbers.map((number) => describeIntent(ledger.intent(number)));
    const unowned = takeCensus(this.#scene, numbers);
    result.inFlight += Math.min(unowned.length, count);
    result.lost += Math.max(0, unowned.length - count);
    if (unowned.length > count) {
      const deaths = `${count} died, about to ${intents.join(" and to ")}`;
      throw new BrokenInvariant(`${unowned.length} blocks are nobody's when ${deaths}: ${unowned.join(", ")}`);
    }
    for (const number of numbers) this.#seats.push(this.#start(number));
    await this.#resume();
  }

  /** Whoever holds the lock, or anyone. */
  #chooseVictim(chosen: readonly Seat[]): Seat {
    const { heap } = this.#scene;
    const others = this.#seats.filter((seat) => !chosen.includes(seat));
    for (let look = this.#random() < AIM_SHARE ? AIM_LOOKS : 0; look > 0; look -= 1) {
      const { holder } = heap.lock;
      const victim = holder === 0 ? undefined : others.find(({ slot }) => slot === holder);
      if (victim !== undefined) return victim;
    }
    const victim = others[Math.floor(this.#random() * others.length)];
    if (victim === undefined) throw new Error("nobody is left");
    return victim;
  }

  /** Has all make a pause. Who has not begun yet makes it before it does. */
  async #pause(): Promise<void> {
    const { ledger } = this.#scene;
    this.#pauses += 1;
    ledger.pause = this.#pauses;
    const isQuiet = ({ number }: Seat): boolean => ledger.isPaused(number) || ledger.operations(number) === 0;
    await this.#until("all make a pause", () => this.#seats.every(isQuiet));
  }

  /** All go on when the new ones are there; now and then before, so that the next death comes while those attach. */
  async #resume(): Promise<void> {
    const { ledger } = this.#scene;
    if (this.#random() >= EARLY_SHARE) {
      await this.#until("all are there", () => this.#seats.every(({ number }) => ledger.isPaused(number)));
    }
    ledger.pause = 0;
  }

  /** The end of a heap: all programs end by themselves, and nothing is left. */
  async #end(): Promise<void> {
    const { heap, ledger, allocators, own } = this.#scene;
    ledger.stop();
    const { length } = this.#seats;
    const exits = Promise.all(this.#seats.map(({ exited }) => exited));
    let isOver = false;
    void exits.then(() => (isOver = true));
    await this.#until("all have ended", () => isOver);
    this.#seats = [];
    this.#expectNoFailure();
    for (let number = 0; number < length; number += 1) this.#count(number);
    await this.#until("the last are reaped", () => slotsInUse(heap) === 1);
    takeCensus(this.#scene, []);
    freeAll(this.#scene);
    for (const allocator of allocators.slice().reverse()) allocator.destroy();
    for (const ptr of own) heap.free(ptr as typeof NULL);
    heap.check();
    const { liveBlocks } = heap.stats();
    if (liveBlocks !== 0) throw new BrokenInvariant(`${liveBlocks} blocks are left when everything is freed`);
  }

  #count(number: number): void {
    const { ledger } = this.#scene;
    this.result.operations += ledger.operations(number);
    this.result.refusals += ledger.refusals(number);
    this.result.waits += ledger.waits(number);
  }

  async #until(what: string, isSo: () => boolean): Promise<void> {
    const limit = Date.now() + DEADLOCK_MS;
    while (!isSo()) {
      this.#expectNoFailure();
      if (Date.now() > limit) {
        const { heap } = this.#scene;
        throw new Deadlock(`not in ${DEADLOCK_MS} ms: ${what}; slot ${heap.lock.holder} holds the lock`);
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  #expectNoFailure(): void {
    if (this.#thrown !== undefined) throw this.#thrown;
  }
}
