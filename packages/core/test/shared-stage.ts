/**
 * A shared heap with three agents in one process: `main` has made it and supervises `warden`, which supervises `worker`.
 * What lies in it is read as a stranger would who knows only the layout, so that any copy of the package can be looked at.
 *
 * @module
 */
import { growthIn, type Store, storeAgain } from "./recorded-stores.ts";

/** What is used of a heap. */
export interface AgentHeap {
  readonly base: number;
  readonly slot: number;
  readonly memory: WebAssembly.Memory | undefined;
  readonly buffer: SharedArrayBuffer;
  malloc(size: number): number;
  free(ptr: number): void;
  check(): void;
  detach(): void;
  share(): unknown;
  supervise(worker: Thread): unknown;
}

/** A heap in a buffer, or in a memory. */
export interface StageOptions {
  readonly bytes: number;
  readonly alignment?: 8 | 16;
  /** That it is in a memory, and what it may grow to. */
  readonly maxBytes?: number;
  /** What the memory may grow to, where that is less. */
  readonly maxMemoryBytes?: number;
}

/** Makes and opens heaps. */
export interface Opener<H> {
  adopt(source: SharedArrayBuffer | WebAssembly.Memory, options: Omit<StageOptions, "maxMemoryBytes">): H;
  attach(descriptor: unknown): H;
}

/** A block of the chain. */
export interface ChainBlock {
  readonly span: number;
  readonly state: number;
}

/** Blocks by their payloads' addresses, in ascending order. */
export type Chain = ReadonlyMap<number, ChainBlock>;

/** The numbers under which agents attach. */
export const AGENT = { main: 1, warden: 2, worker: 3, guest: 4 } as const;

/** States of blocks. */
export const BLOCK = { FREE: 0, LIVE: 1, CACHED: 2, RESERVED: 3, HELD: 4 } as const;
/** States of slots. */
export const SLOT = { FREE: 0, ALIVE: 1 } as const;

export const HEADER_BYTES = 8;
const PAGE_BYTES = 65_536;
/** Fields of the superblock. */
const BYTES = 16;
const FIRST = 32;
export const LOCK = 64;
const SLOTS = 68;
const DEATHS = 72;
export const REPAIRED = 76;
/** A slot's entry: its state first, the payload of its record further on; there the heads of magazines. */
const SLOT_COUNT = 128;
const ENTRY_BYTES = 32;
const RECORD = 16;
const HEADS = 4;
const MAGAZINES = 127;
/** Microtasks within which a supervisor that need not wait for the lock has done its duty: a few more than it takes. */
const DUTY_MICROTASKS = 8;

/** Does something as one of several agents: an entry of the global object says which one attaches. */
export function as<T>(agent: number, act: () => T): T {
  const place = globalThis as { [key: symbol]: unknown };
  const key = Symbol.for("heapwright.agent");
  const kept = place[key];
  place[key] = [agent, agent];
  try {
    return act();
  } finally {
    place[key] = kept;
  }
}

/** A thread as its supervisor sees it. */
export class Thread {
  #exit = (): void => {};

  postMessage(): void {}
  once(_event: "exit", listener: () => void): void {
    this.#exit = listener;
  }
  /** Ends; its supervisor does its duty. */
  async exit(): Promise<void> {
    this.#exit();
    for (let i = 0; i < DUTY_MICROTASKS; i += 1) await Promise.resolve();
  }
}

export class Stage<H extends AgentHeap> {
  readonly main: H;
  readonly warden: H;
  readonly wardenThread: Thread = new Thread();
  readonly workerThread: Thread = new Thread();
  /** What was thrown while a supervisor did its duty: in a program nobody would catch it. */
  readonly failures: unknown[] = [];
  /** Whether who takes the lock repairs what a dead holder left. */
  isRecovering = true;
  readonly #opener: Opener<H>;
  readonly #invitation: unknown;
  #worker: H | undefined;

  constructor(opener: Opener<H>, options: StageOptions) {
    this.#opener = opener;
    this.main = as(AGENT.main, () => adopt(opener, options));
    const descriptor = this.main.supervise(this.wardenThread);
    this.warden = as(AGENT.warden, () => opener.attach(descriptor));
    this.#invitation = this.warden.supervise(this.workerThread);
    for (const heap of [this.main, this.warden]) this.#watchOver(heap);
  }

  /** The worker, which attaches when it is first asked for. */
  get worker(): H {
    return (this.#worker ??= this.enterWorker());
  }

  /** Attaches the worker, once more if it has. */
  enterWorker(): H {
    return as(AGENT.worker, () => this.#opener.attach(this.#invitation));
  }

  /** Attaches someone else. */
  enterGuest(descriptor: unknown): H {
    return as(AGENT.guest, () => this.#opener.attach(descriptor));
  }

  /** All bytes of the buffer as it is now. */
  get bytes(): Uint8Array {
    return new Uint8Array(this.main.memory?.buffer ?? this.main.buffer);
  }

  get words(): Uint32Array {
    const { buffer, length } = this.bytes;
    return new Uint32Array(buffer, 0, length >>> 2);
  }

  /**
   * Makes the bytes what they were, with the first of the stores that were recorded then.
   *
   * @returns false when the memory has grown beyond what it was: another stage is to be used
   */
  rewind(bytes: Uint8Array, stores: readonly Store[]): boolean {
    const size = bytes.length + growthIn(stores);
    const { memory } = this.main;
    if (this.bytes.length < size) memory?.grow((size - this.bytes.length) / PAGE_BYTES);
    const now = this.bytes;
    if (now.length !== size) return false;
    now.set(bytes);
    now.fill(0, bytes.length);
    storeAgain(now.buffer, stores);
    return true;
  }

  /** The address of a field of the superblock. */
  addressOf(field: number): number {
    return this.main.base + field;
  }

  /** How often a holder of the lock has died. */
  get deaths(): number {
    return this.words[this.addressOf(DEATHS) >>> 2]!;
  }

  /** The state of a slot, for all slots from 1 on. */
  slotStates(): number[] {
    const { words } = this;
    const table = words[this.addressOf(SLOTS) >>> 2]!;
    return Array.from({ length: SLOT_COUNT - 1 }, (_, at) => words[(table + (at + 1) * ENTRY_BYTES) >>> 2]! & 0xff);
  }

  /** The blocks in the magazines of an agent. */
  heldBy({ slot }: H): number[] {
    const { words } = this;
    const table = words[this.addressOf(SLOTS) >>> 2]!;
    const record = words[(table + slot * ENTRY_BYTES + RECORD) >>> 2]!;
    const held: number[] = [];
    for (let list = 0; list < MAGAZINES; list += 1) {
      for (let ptr = words[((record + HEADS) >>> 2) + list]!; ptr !== 0; ptr = words[ptr >>> 2]!) held.push(ptr);
    }
    return held;
  }

  /** The chain up to where the superblock says that it ends. */
  chain(): Map<number, ChainBlock> {
    const { words } = this;
    const last = this.main.base + words[this.addressOf(BYTES) >>> 2]! - HEADER_BYTES;
    const blocks = new Map<number, ChainBlock>();
    for (let block = words[this.addressOf(FIRST) >>> 2]!; block < last;) {
      const tag = words[(block + 4) >>> 2]!;
      const [span, state] = [(tag & ~7) >>> 0, tag & 7];
      if (span < HEADER_BYTES) throw new Error(`the block at ${block} has a span of ${span}`);
      blocks.set(block + HEADER_BYTES, { span, state });
      block += span;
    }
    return blocks;
  }

  /** Notes what a supervisor throws, and does without recovery where that is wanted. */
  #watchOver(heap: H): void {
    for (const name of ["reapDead", "catchUp"]) {
      const original = Reflect.get(heap, name) as (this: H) => void;
      Reflect.set(heap, name, () => {
        try {
          if (!this.isRecovering) this.#forgetDeaths();
          original.call(heap);
        } catch (error) {
          this.failures.push(error);
        }
      });
    }
  }

  #forgetDeaths(): void {
    this.words[this.addressOf(REPAIRED) >>> 2] = this.deaths;
  }
}

function adopt<H extends AgentHeap>(opener: Opener<H>, options: StageOptions): H {
  const { bytes, maxBytes, maxMemoryBytes = maxBytes, ...others } = options;
  if (maxBytes === undefined || maxMemoryBytes === undefined) {
    return opener.adopt(new SharedArrayBuffer(bytes), { bytes, ...others });
  }
  const pages = { initial: bytes / PAGE_BYTES, maximum: maxMemoryBytes / PAGE_BYTES };
  return opener.adopt(new WebAssembly.Memory({ ...pages, shared: true }), { bytes, maxBytes, ...others });
}
