/**
 * A shared heap in a model, its agents and who supervises them.
 *
 * @module
 */
import { STATE } from "../../src/boundary-tag.ts";
import type { GeneralHeap } from "../../src/general-heap.ts";
import type { Ptr } from "../../src/ptr.ts";
import type { SharedHeap } from "../../src/shared-heap.ts";
import { Agent, Machine, ModelMemory, type Steps } from "./machine.ts";
import { type Change, constant, load, type Sources } from "./sources.ts";
import type { Budget, Scenario } from "./explore.ts";

/** A heap whose functions step, as far as scripts use it. */
export interface SteppedHeap {
  readonly inner: SteppedHeap;
  readonly slot: number;
  readonly heads: number;
  readonly mutex: SteppedLock;
  readonly deathsWord: number;
  readonly repairedWord: number;
  readonly bytesWord: number;
  readonly words: Uint32Array;
  readonly end: number;
  malloc(size: number): Steps<Ptr>;
  calloc(count: number, size: number): Steps<Ptr>;
  realloc(ptr: Ptr, size: number): Steps<Ptr>;
  free(ptr: Ptr): Steps<void>;
  grow(size: number): Steps<boolean>;
  detach(): Steps<void>;
  get$u32(): Steps<Uint32Array>;
}

export interface SteppedLock {
  readonly me: number;
  readonly word: number;
  readonly table: number;
  enter(call: string): Steps<boolean>;
  leave(): Steps<void>;
  acquire(): Steps<string>;
  tryAcquire(): Steps<string>;
  release(): Steps<void>;
  get$deaths(): Steps<number>;
}

type Maker<T> = new () => T & { $init(...args: unknown[]): Steps<unknown> };

/** A thread of a stage. */
export class Actor {
  readonly agent: Agent;
  /** The heap as it has it open. */
  open: SteppedHeap | undefined;
  /** Blocks that its program has, with the words that it has written into them. */
  readonly owned = new Map<Ptr, number>();
  /** The block that it is about to get or to give back, and has no answer yet. */
  inFlight: Ptr | "any" | undefined;
  /** How often it has done what it does again and again. */
  rounds = 0;

  constructor(agent: Agent) {
    this.agent = agent;
  }

  get heap(): SteppedHeap {
    if (this.open === undefined) throw new Error(`${this.agent.name} has not opened the heap`);
    return this.open;
  }
}

/** What a thread does. */
export type Script = (actor: Actor) => Steps<unknown>;

export interface StageOptions {
  readonly bytes?: number;
  readonly maxBytes?: number;
  readonly changes?: readonly Change[];
}

const { HELD } = STATE;
const SLOTS = 6;
const SLOT_ENTRY_WORDS = 8;
const SLOT_STATE_MASK = 0xff;
/** Spans below 120 bytes have a magazine; rooms and limits lie as many words behind the heads. */
export const MAGAZINES = 15;
/** Fewer of what is all the same, so that there is less to do: looks at a held lock, slots, spans with a magazine. */
const SMALLER: readonly Change[] = [
  constant("lock.ts", "SPINS", 1),
  constant("slots.ts", "SLOTS", SLOTS),
  constant("magazines.ts", "MAGAZINES", MAGAZINES),
  constant("magazines.ts", "ROOM", MAGAZINES),
  constant("magazines.ts", "LIMIT", 2 * MAGAZINES),
  constant("magazines.ts", "MOST_LIMIT_BLOCKS", 8),
  constant("shared-heap.ts", "ROOM", MAGAZINES),
  constant("shared-heap.ts", "HELD_PAYLOAD_BYTES", 8 * MAGAZINES - 16),
  constant("shared-heap.ts", "HELD_TAG_LIMIT", 8 * MAGAZINES),
];

const AGENT_KEY = Symbol.for("heapwright.agent");

/** The heap, before any agent has begun. */
export class Stage {
  readonly machine: Machine;
  readonly sources: Sources;
  readonly memory: ModelMemory;
  readonly actors: Actor[] = [];
  readonly #watches = new Map<Agent, { readonly supervisor: Agent; listener: () => Steps<unknown> }>();
  readonly #objects: { readonly object: SteppedHeap; readonly fields: SteppedHeap }[] = [];

  static async make(options: StageOptions = {}): Promise<Stage> {
    const machine = new Machine();
    const given = { rt: machine, globalThis: machine.globals, WebAssembly: { Memory: ModelMemory } };
    return new Stage(machine, await load([...SMALLER, ...(options.changes ?? [])], given), options);
  }

  private constructor(machine: Machine, sources: Sources, { bytes = 1 << 14, maxBytes = bytes }: StageOptions) {
    this.machine = machine;
    this.sources = sources;
    machine.sites = sources.sites;
    this.memory = new ModelMemory(bytes, maxBytes);
    machine.adopt(this.memory.words, this.memory);
    this.do("growth.ts", "format", this.memory.words, 0, bytes, maxBytes, 8);
    this.do("slots.ts", "makeShared", machine.direct(this.#inner()));
  }

  /** Has a function of the source run to its end. */
  do(file: string, name: string, ...args: unknown[]): unknown {
    return this.machine.direct(this.start(file, name, ...args));
  }

  /** Begins a function of the source. */
  start(file: string, name: string, ...args: unknown[]): Steps<unknown> {
    return this.#export<(...args: unknown[]) => Steps<unknown>>(file, name)(...args);
  }

  /** Opens the heap, as `Heap.attach` does. */
  *attach(slot: number): Steps<SteppedHeap> {
    const inner = yield* this.#inner();
    return yield* this.machine.make(
      this.#export<Maker<SteppedHeap>>("shared-heap.ts", "SharedHeap"),
      inner,
      "attach",
      slot,
    );
  }

  #inner(): Steps<SteppedHeap> {
    return this.machine.make(this.#export<Maker<SteppedHeap>>("general-heap.ts", "GeneralHeap"), this.memory, 0);
  }

  #export<T>(file: string, name: string): T {
    const found = this.sources.stepped.get(file)?.[name];
    if (found === undefined) throw new Error(`${file} exports no ${name}`);
    return found as T;
  }

  /** A thread that has the heap open and runs a script; killed where the scheduler wants it. */
  worker(name: string, script: Script, parent: Actor): Actor {
    const worker = this.#actor(name, script, true, this.#invited(parent));
    this.#watch(worker, parent);
    return worker;
  }

  /** A worker that runs a script, and then what the exits of its own workers bring. These die with it. */
  foreman(name: string, script: Script, parent: Actor): Actor {
    const { machine } = this;
    return this.worker(
      name,
      function* (actor) {
        yield* script(actor);
        yield* machine.eventLoop(actor.agent);
      },
      parent,
    );
  }

  /** A thread that runs what the exits of its workers bring, and is never killed. */
  supervisor(name: string): Actor {
    return this.#actor(name, (actor) => this.machine.eventLoop(actor.agent), false, 0);
  }

  /** A thread that has the heap open, and is never killed. */
  bystander(name: string, script: Script): Actor {
    return this.#actor(name, script, false, 0);
  }

  /** A thread that has not opened the heap, and is never killed: its script opens it. */
  stranger(name: string, script: Script): Actor {
    return this.#actor(name, script, false, undefined);
  }

  /** As a stranger, but it begins when a worker has ended and its supervisor has done what is to be done then. */
  successor(name: string, script: Script, worker: Actor): Actor {
    const successor = this.#actor(name, (actor) => this.machine.eventLoop(actor.agent), false, undefined);
    const watch = this.#watches.get(worker.agent)!;
    const { listener } = watch;
    watch.listener = function* () {
      yield* listener();
      successor.agent.events.push(script(successor));
    };
    return successor;
  }

  #pending: { slot: number; listener: () => Steps<unknown> } | undefined;

  #invited(parent: Actor): number {
    let listener: () => Steps<unknown> = function* () {};
    const worker = {
      postMessage: () => {},
      once: (_: string, given: () => Steps<unknown>) => (listener = given),
    };
    this.machine.agent = parent.agent;
    const { slot } = this.do("worker.ts", "supervise", parent.heap, worker) as { slot: number };
    this.#pending = { slot, listener };
    return slot;
  }

  #watch(worker: Actor, parent: Actor): void {
    this.#watches.set(worker.agent, { supervisor: parent.agent, listener: this.#pending!.listener });
    worker.agent.parent = parent.agent;
  }

  #actor(name: string, script: Script, isMortal: boolean, slot: number | undefined): Actor {
    const bit = 1 << this.actors.length;
    const agent = new Agent(name, bit, () => script(actor), isMortal);
    agent.globals[AGENT_KEY] = [bit, bit];
    this.machine.agent = agent;
    const actor = new Actor(agent);
    if (slot !== undefined) actor.open = this.machine.direct(this.attach(slot));
    this.actors.push(actor);
    return actor;
  }

  /** Has a thread do something before all begins. */
  before<T>(actor: Actor, act: () => Steps<T>): T {
    this.machine.agent = actor.agent;
    return this.machine.direct(act());
  }

  /** What is to be explored: the heap as it is now is its beginning. */
  scenario(name: string, budget: Budget, check: () => void): Scenario {
    const { machine, actors, memory } = this;
    machine.guardBy(actors[0]!.heap.mutex.word);
    machine.seal();
    this.#nameWords();
    const { bytes } = memory;
    const agents = actors.map(({ agent }) => agent);
    const before = actors.map(({ open, owned }) => ({ open, owned: new Map(owned), me: open?.mutex.me ?? 0 }));
    for (const { open } of actors) {
      if (open === undefined) continue;
      for (const object of [open, open.inner]) this.#objects.push({ object, fields: { ...object } });
    }
    return {
      name,
      machine,
      budget,
      check,
      died: (agent) => this.#died(agent),
      digest: (add) => {
        for (const { owned, inFlight, rounds } of actors) {
          add(rounds);
          for (const [ptr, word] of owned) add(Math.imul(ptr, 31) + word);
          add(inFlight === "any" ? -1 : (inFlight ?? 0));
        }
      },
      begin: () => {
        memory.bytes = bytes;
        for (const { object, fields } of this.#objects) {
          const isChanged = object.words !== fields.words || object.end !== fields.end;
          if (isChanged) Object.assign(object, fields);
        }
        for (const [at, actor] of actors.entries()) {
          const { open, owned, me } = before[at]!;
          actor.open = open;
          actor.agent.me = me;
          actor.inFlight = undefined;
          actor.rounds = 0;
          actor.owned.clear();
          for (const [ptr, word] of owned) actor.owned.set(ptr, word);
        }
        return agents;
      },
    };
  }

  /** For schedules that are shown. */
  #nameWords(): void {
    const { names } = this.machine;
    const { mutex, deathsWord, repairedWord, bytesWord } = this.actors[0]!.heap;
    for (const [index, name] of [
      [mutex.word, "the lock"],
      [deathsWord, "deaths"],
      [repairedWord, "repaired"],
      [bytesWord, "bytes"],
    ] as const) {
      names.set(index, name);
    }
    for (let slot = 1; slot < SLOTS; slot += 1) names.set(mutex.table + slot * SLOT_ENTRY_WORDS, `slot ${slot}`);
  }

  /** Workers of a worker end before it does; then its supervisor hears of it. */
  #died(agent: Agent): void {
    for (const { agent: child } of this.actors) {
      if (child.parent === agent && child.status !== "dead") this.machine.kill(child);
    }
    const watch = this.#watches.get(agent);
    watch?.supervisor.events.push(watch.listener());
  }

  // What scripts do.

  *read(index: number): Steps<number> {
    return (this.machine.load(this.memory.words, index, -1) ? yield : this.machine.value) as number;
  }

  *write(index: number, value: number): Steps<void> {
    if (this.machine.store(this.memory.words, index, value, -1)) yield;
  }

  *add(index: number, value: number): Steps<number> {
    const { machine } = this;
    return (machine.atomic("add", -1, this.memory.words, index, value) ? yield : machine.value) as number;
  }

  *wait(index: number, value: number): Steps<string> {
    const { machine } = this;
    return (machine.atomic("wait", -1, this.memory.words, index, value) ? yield : machine.value) as string;
  }

  *notify(index: number): Steps<void> {
    if (this.machine.atomic("notify", -1, this.memory.words, index)) yield;
  }

  *exchange(index: number, value: number): Steps<number> {
    const { machine } = this;
    return (machine.atomic("exchange", -1, this.memory.words, index, value) ? yield : machine.value) as number;
  }

  /** Allocates, and signs the block's first and last words. */
  *malloc(actor: Actor, size: number): Steps<Ptr> {
    actor.inFlight = "any";
    const ptr = yield* actor.heap.malloc(size);
    this.takes(actor, ptr);
    return ptr;
  }

  /** Gives back a block that nobody has written over. */
  *free(actor: Actor, ptr: Ptr): Steps<void> {
    this.leaves(actor, ptr);
    yield* actor.heap.free(ptr);
    actor.inFlight = undefined;
  }

  /** A block is an actor's now. */
  takes(actor: Actor, ptr: Ptr): void {
    actor.inFlight = undefined;
    if (ptr === 0) return;
    const owner = this.actors.find(({ owned }) => owned.has(ptr));
    if (owner !== undefined) throw new Error(`${actor.agent.name} was given ${ptr}, which ${owner.agent.name} has`);
    const mark = Math.imul(ptr, 0x9e37_79b1) ^ actor.agent.bit;
    for (const index of this.#ends(ptr)) this.machine.poke(index, mark);
    actor.owned.set(ptr, mark);
  }

  /** A block is no longer an actor's. */
  leaves(actor: Actor, ptr: Ptr): void {
    this.#expectUntouched(actor, ptr, actor.owned.get(ptr)!);
    actor.owned.delete(ptr);
    actor.inFlight = ptr;
  }

  /** The first and the last word of a payload. */
  #ends(ptr: Ptr): readonly number[] {
    const span = this.memory.words[(ptr >>> 2) - 1]! & ~7;
    return [ptr >>> 2, ((ptr + span) >>> 2) - 3];
  }

  #expectUntouched(actor: Actor, ptr: Ptr, mark: number): void {
    if (this.#ends(ptr).every((index) => this.memory.words[index] === mark >>> 0)) return;
    throw new Error(`the block at ${ptr}, which ${actor.agent.name} has, was written to`);
  }

  /** The heap as the source itself sees it, unstepped, when all is over. */
  plainHeap(buffer: SharedArrayBuffer = this.memory.words.buffer): GeneralHeap<SharedArrayBuffer> {
    const { GeneralHeap: Type } = this.sources.plain.get("general-heap.ts") as {
      GeneralHeap: new (buffer: SharedArrayBuffer, base: number) => GeneralHeap<SharedArrayBuffer>;
    };
    return new Type(buffer, 0);
  }

  /** A copy of the heap in the hands of the source itself, as one agent has it open. */
  plainShared(actor: Actor, buffer: SharedArrayBuffer): SharedHeap {
    const { SharedHeap: Type } = this.sources.plain.get("shared-heap.ts") as {
      SharedHeap: new (inner: GeneralHeap<SharedArrayBuffer>, call: string, invited: number) => SharedHeap;
    };
    const place = globalThis as { [AGENT_KEY]?: unknown };
    const before = place[AGENT_KEY];
    place[AGENT_KEY] = actor.agent.globals[AGENT_KEY];
    try {
      return new Type(this.plainHeap(buffer), "attach", 0);
    } finally {
      place[AGENT_KEY] = before;
    }
  }

  /**
   * Proves that the heap is whole, the lock free, and live just what programs have; the dead have lost a block each at most,
   * the one that they were about to get or to give back.
   *
   * @param kept - blocks that are on their way from one program to another
   */
  expectWhole(kept: readonly Ptr[] = []): void {
    const heap = this.plainHeap();
    heap.check();
    this.#expectHeld();
    const { mutex } = this.actors[0]!.heap;
    if (this.memory.words[mutex.word] !== 0) throw new Error("the lock is held still");
    const live = new Set<Ptr>();
    for (const { ptr, state } of heap.blocks()) if (state === "live") live.add(ptr);
    const had = new Set(kept);
    let mayBeLost = 0;
    for (const actor of this.actors) {
      const { agent, owned, inFlight } = actor;
      if (agent.status === "dead" && inFlight !== undefined) mayBeLost += 1;
      for (const [ptr, mark] of owned) {
        had.add(ptr);
        this.#expectUntouched(actor, ptr, mark);
      }
    }
    this.#expectSlots(mutex.table);
    for (const ptr of had) if (!live.has(ptr)) throw new Error(`the block at ${ptr} is not live, but a program has it`);
    const lost = [...live].filter((ptr) => !had.has(ptr));
    if (lost.length > mayBeLost)
      throw new Error(`${lost.length} blocks are lost (${lost.join(", ")}), ${mayBeLost} may be`);
  }

  /** What is in a magazine is HELD: check() makes allowance for agents that go on meanwhile. */
  #expectHeld(): void {
    const { words } = this.memory;
    for (const { agent, open } of this.actors) {
      if (open === undefined || open.heads === 0 || agent.status === "dead") continue;
      for (let list = 0; list < MAGAZINES; list += 1) {
        for (let ptr = words[open.heads + list]!; ptr !== 0; ptr = words[ptr >>> 2]!) {
          const tag = words[(ptr >>> 2) - 1]!;
          if (tag !== ((list * 8) | HELD))
            throw new Error(`${agent.name} has ${ptr} in magazine ${list}, its tag is ${tag}`);
        }
      }
    }
  }

  /** Every slot is nobody's, or of an agent that lives. */
  #expectSlots(table: number): void {
    const living = this.actors.filter(({ agent }) => agent.status !== "dead").map(({ open }) => open?.slot);
    for (let slot = 1; slot < SLOTS; slot += 1) {
      const state = this.memory.words[table + slot * SLOT_ENTRY_WORDS]! & SLOT_STATE_MASK;
      if (state !== 0 && !living.includes(slot))
        throw new Error(`slot ${slot} is in state ${state}, and nobody has it`);
    }
  }
}
