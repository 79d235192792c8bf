/**
 * Shared memory, the agents on it, and what they do to it one access at a time: what rewritten functions (see rewrite) are
 * given as `rt`.
 *
 * An access is done at once where nobody else can notice when it is done. It stops the agent, so that the scheduler may
 * have others go on, where the word is contended: two agents that are alive have touched it in one schedule, one of them has
 * written, and one of them did not hold the lock. Who only reads stops only for others that write. Which words are is learnt while schedules are run; whoever explores
 * starts anew when there is another one. Besides, an agent that may yet be killed stops before each store.
 *
 * Atomics.wait never times out: who sleeps is woken by notify, or by the scheduler's choice.
 *
 * @module
 */
import type { Site } from "./rewrite.ts";

/** What a function that steps returns in the end. */
export type Steps<T> = Generator<undefined, T, unknown>;
type Words = Uint32Array | Int32Array;

/** What an agent is about to do. */
export const KIND = {
  NONE: 0,
  LOAD: 1,
  STORE: 2,
  ATOMIC: 3,
  FILL: 4,
  COPY_WITHIN: 5,
  /** Goes on after it was woken. */
  WAKE: 6,
  WAIT_ASYNC: 7,
  /** An event loop that looks for something to do. */
  TURN: 8,
  BUFFER: 9,
  GROW: 10,
  NOW: 11,
} as const;

const { NONE, LOAD, STORE, ATOMIC, FILL, COPY_WITHIN, WAKE, WAIT_ASYNC, TURN, BUFFER, GROW, NOW } = KIND;

/** How an agent fares. */
export type Status = "ready" | "asleep" | "done" | "dead";

const WAIT_BIT = 0x80;
const PAGE_BYTES = 65536;

/** One thread of the model. */
export class Agent {
  readonly name: string;
  /** A bit of its own. */
  readonly bit: number;
  readonly script: () => Steps<unknown>;
  /** Whether the scheduler may kill it. */
  readonly isMortal: boolean;
  /** What the thread has of its own under `globalThis`. */
  readonly globals: Record<PropertyKey, unknown> = {};

  /** Whose end is its own. */
  parent: Agent | undefined;
  steps: Steps<unknown> = idle();
  status: Status = "ready";
  kind: number = NONE;
  isQuiet = false;
  operation = "";
  view: Words = new Uint32Array();
  index = 0;
  a: unknown = 0;
  b: unknown = 0;
  site = 0;
  /** What goes on when it wakes up: a fiber of its event loop, or the thread itself. */
  fiber: Steps<unknown> | undefined;
  readonly events: Steps<unknown>[] = [];
  /** The lock's word as it took it last. */
  me = 0;
  /** It has changed something since the scheduler could have killed it. */
  hasWritten = false;
  /** Bytes that memory.buffer has had for it. */
  seenBytes = 0;
  /** Everything that it has read. */
  history1 = 0;
  history2 = 0;

  constructor(name: string, bit: number, script: () => Steps<unknown>, isMortal: boolean) {
    this.name = name;
    this.bit = bit;
    this.script = script;
    this.isMortal = isMortal;
  }

  /** Makes it one that has not begun. */
  reset(bytes: number): void {
    this.steps = this.script();
    this.status = "ready";
    this.kind = NONE;
    this.isQuiet = false;
    this.fiber = undefined;
    this.events.length = 0;
    this.hasWritten = this.isMortal;
    this.seenBytes = bytes;
    this.history1 = 0;
    this.history2 = 0;
  }

  /** Nothing that it has read so far matters any more to what it will do, but for how far it has come. */
  forgets(position: number): void {
    this.history1 = position;
    this.history2 = position;
  }

  /** Takes note of something read. */
  learns(value: number): void {
    this.history1 = Math.imul(this.history1 ^ value, 0x9e37_79b1) ^ (this.history1 >>> 15);
    this.history2 = (Math.imul(this.history2 ^ value, 0x85eb_ca6b) + 0x27d4_eb2f) | 0;
  }
}

function* idle(): Steps<void> {}

/** Who sleeps on a word, first in, first out. */
interface Sleeper {
  readonly agent: Agent;
  readonly index: number;
  readonly fiber: Steps<unknown> | undefined;
}

/** A memory that grows: what rewritten sources find as `WebAssembly.Memory`. */
export class ModelMemory {
  readonly words: Uint32Array<SharedArrayBuffer>;
  readonly initial: number;
  bytes: number;

  constructor(bytes: number, maxBytes: number) {
    this.words = new Uint32Array(new SharedArrayBuffer(maxBytes));
    this.initial = bytes;
    this.bytes = bytes;
  }
}

/** A buffer of it, as long as it was at the time. */
class ModelBuffer {
  readonly memory: ModelMemory;
  readonly byteLength: number;

  constructor(memory: ModelMemory, byteLength: number) {
    this.memory = memory;
    this.byteLength = byteLength;
  }
}

/** What has been done, in words, while a schedule is shown. */
export type Trace = (agent: Agent, site: Site | undefined, what: string) => void;

interface TypedArrayMaker {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: SharedArrayBuffer, offset?: number, length?: number): Words;
}

/** The memory, and what is known of its words. */
export class Machine {
  /** What an access gave that was done at once. */
  value: unknown = 0;
  /** Which agent runs. */
  agent: Agent = new Agent("nobody", 0, idle, false);
  agents: readonly Agent[] = [];
  sleepers: Sleeper[] = [];
  /** Whether agents that may be killed stop before each store. */
  hasKills = false;
  /** Whether Date.now() is for the scheduler to choose. */
  hasClock = false;
  /** For each word the agents that stop before they read it, and before they write; and how much that is in all. */
  readStops = new Uint8Array(0);
  writeStops = new Uint8Array(0);
  stops = 0;
  sites: readonly Site[] = [];
  trace: Trace | undefined;
  /** What words are called there. */
  readonly names = new Map<number, string>();
  /** Of all words, and changed with each of them. */
  hash1 = 0;
  hash2 = 0;
  memory: ModelMemory | undefined;

  /** Everything is done at once while it is above 0. */
  #direct = 1;
  #words: Uint32Array = new Uint32Array(0);
  #image: Uint32Array = new Uint32Array(0);
  #lockWord = 0;
  #deadBits = 0;
  /** For each word which agents have touched it in this schedule: all, those who wrote, those without the lock. */
  #touched = new Uint8Array(0);
  #written = new Uint8Array(0);
  #unlocked = new Uint8Array(0);
  #noted: number[] = [];
  #buffers = new Map<number, ModelBuffer>();

  /** Begins to work on a memory. */
  adopt(words: Uint32Array, memory?: ModelMemory): void {
    this.#words = words;
    this.memory = memory;
    // One more, for the length of the memory.
    const size = words.length + 1;
    this.readStops = new Uint8Array(size);
    this.writeStops = new Uint8Array(size);
    this.#touched = new Uint8Array(size);
    this.#written = new Uint8Array(size);
    this.#unlocked = new Uint8Array(size);
  }

  /** Where the lock lies. */
  guardBy(lockWord: number): void {
    this.#lockWord = lockWord;
  }

  /** What is in the memory now is what each schedule begins with. */
  seal(): void {
    this.#image = this.#words.slice();
  }

  /** What is left of the last schedule is undone and forgotten. */
  begin(agents: readonly Agent[]): void {
    this.agents = agents;
    this.#direct = 0;
    this.sleepers = [];
    for (const agent of agents) agent.reset(this.memory?.bytes ?? 0);
    this.hash1 = 0;
    this.hash2 = 0;
    this.#deadBits = 0;
    for (const index of this.#noted) {
      this.#touched[index] = this.#written[index] = this.#unlocked[index] = 0;
      if (index < this.#image.length) this.#words[index] = this.#image[index]!;
    }
    this.#noted.length = 0;
  }

  /** The end of a schedule: what comes now is no agent's. */
  end(): void {
    this.#direct = 1;
  }

  /** The global object of whatever agent runs. */
  readonly globals: object = new Proxy(globalThis, {
    get: (_, key) => this.agent.globals[key] ?? (Reflect.get(globalThis, key) as unknown),
    set: (_, key, value) => {
      this.agent.globals[key] = value;
      return true;
    },
  });

  // What rewritten functions ask for: false and the result in `value`, or true and the scheduler does it later.

  load(view: Words, index: number, site: number): boolean {
    if (this.#direct === 0 && this.#stops(LOAD, view, index, site, false, false)) return true;
    this.value = view[index];
    if (this.#direct === 0) this.agent.learns((this.value as number | undefined) ?? -1);
    return false;
  }

  store(view: Words, index: number, value: number, site: number): boolean {
    if (this.#direct === 0 && this.#stops(STORE, view, index, site, true, (view[index]! | 0) !== (value | 0))) {
      this.agent.a = value;
      return true;
    }
    this.#write(view, index, value);
    this.value = value;
    return false;
  }

  atomic(operation: string, site: number, view: Words, index: number, a?: number, b?: number): boolean {
    if (view.buffer !== this.#words.buffer) {
      // How an agent finds out whether it may sleep.
      this.value = "not-equal";
      return false;
    }
    if (this.#direct === 0) {
      const isLoad = operation === "load" || operation === "notify" || operation === "wait";
      const value = isLoad ? undefined : newValue(operation, view[index]! | 0, a ?? 0, b ?? 0);
      const changes = value !== undefined && (value | 0) !== (view[index]! | 0);
      const stops = this.#stops(ATOMIC, view, index, site, !isLoad, changes);
      const { agent } = this;
      agent.operation = operation;
      agent.view = view;
      agent.index = index;
      agent.site = site;
      agent.a = a;
      agent.b = b;
      if (stops || operation === "wait") {
        agent.kind = ATOMIC;
        agent.isQuiet &&= operation !== "wait";
        return true;
      }
    }
    this.value = this.#atomic(this.agent, operation, view, index, a, b);
    return false;
  }

  fill(site: number, view: Words, value: number, from: number, to: number): boolean {
    return this.#range(FILL, site, view, from, to, value);
  }

  copyWithin(site: number, view: Words, target: number, from: number, to: number): boolean {
    if (this.#direct === 0) for (let index = from; index < to; index += 1) this.#note(index, false);
    return this.#range(COPY_WITHIN, site, view, target, target + to - from, from);
  }

  buffer(source: unknown, site: number): boolean {
    if (!(source instanceof ModelMemory)) {
      this.value = (source as { buffer: unknown }).buffer;
      return false;
    }
    if (this.#direct === 0 && this.#stops(BUFFER, this.#words, this.#words.length, site, false, false)) return true;
    this.value = this.#bufferOf(source, source.bytes);
    return false;
  }

  grow(memory: ModelMemory, pages: number, site: number): boolean {
    if (this.#direct === 0 && this.#stops(GROW, this.#words, this.#words.length, site, true, pages !== 0)) {
      this.agent.a = pages;
      return true;
    }
    this.value = this.#grow(memory, pages);
    return false;
  }

  now(site: number): boolean {
    if (this.#direct !== 0 || !this.hasClock) {
      this.value = 0;
      return false;
    }
    this.agent.kind = NOW;
    this.agent.isQuiet = true;
    this.agent.site = site;
    return true;
  }

  /** In place of waiting for a promise. */
  waitAsync(view: Words, index: number, value: number): void {
    const { agent } = this;
    agent.kind = WAIT_ASYNC;
    agent.isQuiet = false;
    agent.view = view;
    agent.index = index;
    agent.a = value;
  }

  /** A view of the model's memory, or of something else. */
  view(make: TypedArrayMaker, buffer: unknown, offset?: number, length?: number): Words {
    if (!(buffer instanceof ModelBuffer)) return new make(buffer as SharedArrayBuffer, offset, length);
    const whole = buffer.byteLength / make.BYTES_PER_ELEMENT;
    return new make(buffer.memory.words.buffer, offset ?? 0, length ?? whole);
  }

  *make<T>(type: new () => T & { $init(...args: unknown[]): Steps<unknown> }, ...args: unknown[]): Steps<T> {
    const made = new type();
    yield* made.$init(...args);
    return made;
  }

  /** What a function gave of which it is not known whether it steps. */
  *run(value: unknown): Steps<unknown> {
    return isSteps(value) ? yield* value : value;
  }

  *filter(list: readonly unknown[], isWanted: (one: unknown, at: number) => Steps<boolean>): Steps<unknown[]> {
    const found: unknown[] = [];
    for (const [at, one] of list.entries()) if (yield* isWanted(one, at)) found.push(one);
    return found;
  }

  /** Has something done at once, all of it. */
  direct<T>(steps: Steps<T>): T {
    this.#direct += 1;
    try {
      const { done, value } = steps.next();
      if (done !== true) throw new Error("a step was not done at once");
      return value;
    } finally {
      this.#direct -= 1;
    }
  }

  /** What a thread does that has events: exits of workers, and what it has waited for. */
  *eventLoop(agent: Agent): Steps<never> {
    for (;;) {
      agent.kind = TURN;
      agent.isQuiet = true;
      yield;
      const fiber = agent.events.shift()!;
      agent.fiber = fiber;
      let step = fiber.next();
      while (step.done !== true) {
        const isWaiting = (agent.kind as number) === WAIT_ASYNC;
        const result: unknown = yield;
        if (isWaiting) break;
        step = fiber.next(result);
      }
      agent.fiber = undefined;
    }
  }

  // What the scheduler does.

  /** Does what an agent has asked for. Undefined when it has fallen asleep. */
  perform(agent: Agent): { readonly value: unknown } | undefined {
    const { kind, view, index } = agent;
    const before = this.trace === undefined ? undefined : this.#words[index];
    const result = this.#perform(agent);
    if (this.trace !== undefined) this.#tell(agent, kind, view, index, before, result);
    return result;
  }

  #perform(agent: Agent): { readonly value: unknown } | undefined {
    const { kind, view, index, a, b } = agent;
    this.agent = agent;
    agent.kind = NONE;
    // How far it has come, though it may learn nothing and change nothing.
    agent.learns(agent.site);
    switch (kind) {
      case LOAD: {
        const value = view[index];
        agent.learns(value ?? -1);
        return { value };
      }
      case STORE:
        this.#write(view, index, a as number);
        return { value: a };
      case ATOMIC: {
        if (agent.operation === "wait") {
          const found = Atomics.load(view, index);
          agent.learns(found);
          if (found !== a) return { value: "not-equal" };
          this.#sleep(agent, index, undefined);
          return undefined;
        }
        return { value: this.#atomic(agent, agent.operation, view, index, a as number, b as number) };
      }
      case FILL:
        for (let at = index; at < (b as number); at += 1) this.#write(view, at, a as number);
        return { value: undefined };
      case COPY_WITHIN:
        this.#copyWithin(view, index, a as number, b as number);
        return { value: undefined };
      case WAIT_ASYNC: {
        const found = Atomics.load(view, index);
        agent.learns(found);
        if (found === a) this.sleepers.push({ agent, index, fiber: agent.fiber });
        else agent.events.push(agent.fiber!);
        return { value: undefined };
      }
      case BUFFER: {
        const bytes = this.memory!.bytes;
        agent.learns(bytes);
        agent.seenBytes = bytes;
        return { value: this.#bufferOf(this.memory!, bytes) };
      }
      case GROW:
        return { value: this.#grow(this.memory!, a as number) };
      case NOW:
        agent.learns(0);
        return { value: 0 };
      case WAKE:
        agent.learns(1);
        return { value: "ok" };
      default:
        return { value: undefined };
    }
  }

  /** Gives an agent the buffer as it was when it saw it last: V8 tells others of a growth a little later. */
  performStale(agent: Agent): { readonly value: unknown } {
    this.agent = agent;
    agent.kind = NONE;
    agent.learns(agent.seenBytes);
    this.trace?.(agent, this.sites[agent.site], `still the old buffer, ${agent.seenBytes} bytes`);
    return { value: this.#bufferOf(this.memory!, agent.seenBytes) };
  }

  /** Whether an agent could be given an old buffer. */
  mayLag(agent: Agent): boolean {
    return agent.kind === BUFFER && agent.seenBytes !== this.memory!.bytes;
  }

  /** Lets its patience be out. */
  performLate(agent: Agent): { readonly value: unknown } {
    this.agent = agent;
    agent.kind = NONE;
    agent.learns(1);
    this.trace?.(agent, this.sites[agent.site], "it is late");
    return { value: Number.MAX_SAFE_INTEGER };
  }

  /** Whether an agent has anything to do. */
  isReady(agent: Agent): boolean {
    return agent.status === "ready" && (agent.kind !== TURN || agent.events.length > 0);
  }

  /** Ends an agent where it stands. */
  kill(agent: Agent): void {
    const isIdle = agent.kind === NONE || agent.kind === TURN || agent.kind === WAKE || agent.status === "asleep";
    this.trace?.(agent, isIdle ? undefined : this.sites[agent.site], isIdle ? "is killed" : "is killed before it");
    agent.status = "dead";
    this.#deadBits |= agent.bit;
    this.sleepers = this.sleepers.filter((sleeper) => sleeper.agent !== agent);
  }

  /** Wakes a sleeper whom nobody has notified. */
  wakeUnasked(agent: Agent): void {
    const at = this.sleepers.findIndex((sleeper) => sleeper.agent === agent);
    this.trace?.(agent, undefined, "wakes up by itself");
    this.#wake(this.sleepers.splice(at, 1)[0]!);
  }

  /** What a program writes into a block of its own, which nobody else looks at. */
  poke(index: number, value: number): void {
    if (this.#touched[index] === 0) this.#noted.push(index);
    this.#write(this.#words, index, value);
  }

  // Inside.

  /**
   * Takes note of an access. Whether the agent has to stop before it.
   *
   * @param changes - whether it would change anything now: to store what is there already is no news to anybody
   */
  #stops(kind: number, view: Words, index: number, site: number, isWrite: boolean, changes: boolean): boolean {
    const { agent } = this;
    const isThere = index < view.length || kind === BUFFER || kind === GROW;
    if (isThere) this.#note(index, changes);
    const isQuiet = !isThere || ((isWrite ? this.writeStops : this.readStops)[index]! & agent.bit) === 0;
    if (isQuiet && !(changes && this.hasKills && agent.isMortal && agent.hasWritten)) return false;
    agent.kind = kind;
    agent.isQuiet = isQuiet;
    agent.view = view;
    agent.index = index;
    agent.site = site;
    return true;
  }

  #note(index: number, isWrite: boolean): void {
    const { bit, me } = this.agent;
    const isLocked = me !== 0 && ((this.#words[this.#lockWord]! & ~WAIT_BIT) | 0) === me;
    const before = this.#touched[index]!;
    if (before === 0) this.#noted.push(index);
    // The dead are no rivals of those who come after them.
    const touched = (before | bit) & ~this.#deadBits;
    this.#touched[index] = touched;
    if (isWrite) this.#written[index]! |= bit;
    if (!isLocked) this.#unlocked[index]! |= bit;
    if ((touched & (touched - 1)) !== 0) this.#compare(index, touched);
  }

  /** Has agents stop at a word that others touch, too, without there being a lock that both hold. */
  #compare(index: number, touched: number): void {
    const written = this.#written[index]!;
    const unlocked = this.#unlocked[index]!;
    let [reads, writes] = [this.readStops[index]!, this.writeStops[index]!];
    for (const { bit } of this.agents) {
      if ((touched & bit) === 0) continue;
      const rivals = (unlocked & bit) === 0 ? touched & ~bit & unlocked : touched & ~bit;
      if ((rivals & written) !== 0) reads |= bit;
      if (rivals !== 0 && written !== 0) writes |= bit;
    }
    if (reads === this.readStops[index] && writes === this.writeStops[index]) return;
    this.readStops[index] = reads;
    this.writeStops[index] = writes;
    this.stops += 1;
  }

  #write(view: Words, index: number, value: number): void {
    if (index >= view.length) return;
    const old = view[index]! | 0;
    this.agent.hasWritten = true;
    if (old === (value | 0)) return;
    view[index] = value;
    this.#changed(index, old, value | 0);
  }

  #changed(index: number, old: number, value: number): void {
    this.hash1 ^= mix1(index, old) ^ mix1(index, value);
    this.hash2 ^= mix2(index, old) ^ mix2(index, value);
  }

  #range(kind: number, site: number, view: Words, from: number, to: number, a: number): boolean {
    if (this.#direct === 0) {
      const { agent } = this;
      let isContended = false;
      for (let index = from; index < to; index += 1) {
        this.#note(index, (view[index]! | 0) !== ((kind === FILL ? a : -1) | 0));
        isContended ||= (this.writeStops[index]! & agent.bit) !== 0;
      }
      agent.view = view;
      agent.index = from;
      agent.site = site;
      agent.a = a;
      agent.b = to;
      if (isContended || (this.hasKills && agent.isMortal && agent.hasWritten)) {
        agent.kind = kind;
        agent.isQuiet = !isContended;
        return true;
      }
    }
    if (kind === COPY_WITHIN) this.#copyWithin(view, from, a, to);
    else for (let index = from; index < to; index += 1) this.#write(view, index, a);
    this.value = undefined;
    return false;
  }

  #copyWithin(view: Words, target: number, from: number, end: number): void {
    const values = view.slice(from, from + end - target);
    for (const [at, value] of values.entries()) this.#write(view, target + at, value);
  }

  #atomic(agent: Agent, operation: string, view: Words, index: number, a?: number, b?: number): unknown {
    if (operation === "notify") {
      this.#notify(index, a ?? Infinity);
      return 0;
    }
    if (operation === "wait") throw new Error("nobody sleeps here");
    const old = Atomics.load(view, index);
    agent.learns(old);
    const value = newValue(operation, old, a ?? 0, b ?? 0);
    if (value !== undefined) {
      this.#write(view, index, value);
      const isTaken = index === this.#lockWord && value !== 0 && ((value ^ old) & ~WAIT_BIT) !== 0;
      if (isTaken) agent.me = value & ~WAIT_BIT;
    }
    return old;
  }

  #sleep(agent: Agent, index: number, fiber: Steps<unknown> | undefined): void {
    agent.status = "asleep";
    this.sleepers.push({ agent, index, fiber });
    // Who is killed in its sleep wakes nobody: that is for the scheduler to try.
    agent.hasWritten = true;
  }

  #notify(index: number, count: number): void {
    let left = count;
    this.sleepers = this.sleepers.filter((sleeper) => {
      if (sleeper.index !== index || left <= 0) return true;
      left -= 1;
      this.#wake(sleeper);
      return false;
    });
    this.agent.hasWritten = true;
  }

  #wake({ agent, fiber }: Sleeper): void {
    if (fiber !== undefined) {
      agent.events.push(fiber);
      return;
    }
    agent.status = "ready";
    agent.kind = WAKE;
    agent.isQuiet = false;
    // It may be killed with the news.
    agent.hasWritten = true;
  }

  #bufferOf(memory: ModelMemory, bytes: number): ModelBuffer {
    let found = this.#buffers.get(bytes);
    if (found === undefined || found.memory !== memory) {
      found = new ModelBuffer(memory, bytes);
      this.#buffers.set(bytes, found);
    }
    return found;
  }

  #grow(memory: ModelMemory, pages: number): number {
    const old = memory.bytes;
    this.agent.learns(old);
    if (old + pages * PAGE_BYTES > memory.words.length * 4) throw new RangeError("memory.grow: beyond the maximum");
    memory.bytes += pages * PAGE_BYTES;
    this.agent.seenBytes = memory.bytes;
    if (pages !== 0) this.#changed(this.#words.length, old, memory.bytes);
    return old / PAGE_BYTES;
  }

  #tell(agent: Agent, kind: number, view: Words, index: number, before: number | undefined, result: unknown): void {
    if (kind === NONE || kind === TURN || kind === NOW || agent.isQuiet) return;
    const after = this.#words[index];
    const isMemory = kind === BUFFER || kind === GROW;
    const name = isMemory ? "the memory" : (this.names.get(index) ?? `0x${(index * 4).toString(16)}`);
    const change = isMemory
      ? `${this.memory!.bytes} bytes`
      : before === after
        ? hex(after)
        : `${hex(before)} -> ${hex(after)}`;
    // What agents read is seen by what they do, but for what they are not to find there.
    if (kind === LOAD && index < view.length) return;
    const reach = index >= view.length && !isMemory ? ", beyond its views" : "";
    const asleep = result === undefined || kind === WAIT_ASYNC ? ", sleeps" : "";
    const site = kind === WAKE || kind === WAIT_ASYNC ? undefined : this.sites[agent.site];
    this.trace?.(agent, site, kind === WAKE ? "goes on" : `${name}: ${change}${reach}${asleep}`);
  }
}

/** What an operation makes of a word; undefined when it leaves it alone. */
function newValue(operation: string, old: number, a: number, b: number): number | undefined {
  switch (operation) {
    case "load":
      return undefined;
    case "store":
    case "exchange":
      return a;
    case "compareExchange":
      return old === a ? b : undefined;
    case "add":
      return old + a;
    case "sub":
      return old - a;
    case "or":
      return old | a;
    case "and":
      return old & a;
    default:
      throw new Error(`Atomics.${operation} is not in the model`);
  }
}

function isSteps(value: unknown): value is Steps<unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    (value as { [Symbol.toStringTag]?: string })[Symbol.toStringTag] === "Generator"
  );
}

function hex(value: number | undefined): string {
  return value === undefined ? "nothing" : value < 10 ? String(value) : `0x${value.toString(16)}`;
}

function mix1(index: number, value: number): number {
  const x = Math.imul(value ^ Math.imul(index, 0x9e37_79b1), 0x85eb_ca6b);
  return Math.imul(x ^ (x >>> 15), 0xc2b2_ae35);
}

function mix2(index: number, value: number): number {
  const x = Math.imul(value + Math.imul(index, 0x27d4_eb2f), 0x1656_67b1);
  return Math.imul(x ^ (x >>> 13), 0x9e37_79b1);
}
