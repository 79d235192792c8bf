/**
 * The lock of a shared heap: a mutex that knows its holder, so that the death of the holder is no deadlock.
 *
 * ```text
 *   lock word   0: free, else
 *               bits 0..6   the holder's slot
 *               bit  7      WAIT: someone may be asleep
 *               bits 8..23  the slot's generation: a tag, so that who found a dead holder and was held up himself does
 *                           not take the lock from the slot's next agent
 * ```
 *
 * - Who finds the lock held by a slot that is marked DEAD takes it over and repairs what the lock protects. A slot is
 *   marked by whoever supervises its worker (see worker).
 * - Asleep is only who has set WAIT and seen it. Who wakes up takes the lock with WAIT, since others may sleep still.
 * - `leave` frees the lock and learns of WAIT in one exchange: between a plain load and a store someone could go to sleep.
 * - The dead may have died between exchange and notify, or have swallowed a wake-up: the supervisor notifies everybody
 *   after it has marked them. The time-out of each sleep is a belt; nothing depends on it.
 * - Nobody waits for ever: a thread that owns workers carries the news of their death, and would wait for itself.
 *
 * @module
 */
import { HeapError } from "./errors.ts";

/** How a lock was come by: after `owner-died` what it protects has been repaired, but what its holder had in mind may be
 * half done. */
export type Acquired = "acquired" | "owner-died";

/** What a lock protects. */
export interface Guarded {
  /**
   * Sees, right after the lock was taken, what others have changed, and repairs what a dead holder left.
   *
   * @internal As in the classes that have it: the declarations of a build must agree.
   */
  catchUp(): void;
}

/** States of a slot. */
export const SLOT_STATE = {
  /** Anyone's. */
  FREE: 0,
  /** Of an agent that runs. */
  ALIVE: 1,
  /** Its agent is gone, and what it left behind has not been given back yet. */
  DEAD: 2,
  /** Kept for a worker that has been told of it and has not attached yet. */
  INVITED: 3,
} as const;

const { DEAD } = SLOT_STATE;
/** What an attempt gives: nothing, the lock, the lock of a dead holder. */
const BUSY = 0;
const TAKEN = 1;
const TAKEN_OVER = 2;
const WAIT = 0x80;
const SLOT_MASK = 0x7f;
const GENERATION_SHIFT_BITS = 8;
/** Words of an entry of the slot table, which begins with the state. */
const SLOT_ENTRY_WORDS = 8;
const SLOT_STATE_MASK = 0xff;
const SLOT_GENERATION_SHIFT_BITS = 16;
/** Looks at a held lock before a sleep, about as long as a batch takes; and looks of an agent that may not sleep. */
const SPINS = 1000;
const SPINS_AWAKE = 20_000;
/** A sleep, and all sleeps together. */
const SLEEP_MS = 30;
const PATIENCE_MS = 2000;

/** A robust mutex. One object for each agent; the state lies in the heap. */
export class Lock {
  /** @internal */
  declare readonly i32: Int32Array<SharedArrayBuffer>;
  /** @internal Word addresses of the lock, the slot table and the count of deaths. */
  declare readonly word: number;
  /** @internal */
  declare readonly table: number;
  /** @internal */
  declare readonly deathsWord: number;
  /** @internal The lock word while this agent holds it and nobody sleeps. */
  declare readonly me: number;
  /** @internal Whether this agent may sleep. */
  declare readonly maySleep: boolean;
  /** @internal */
  declare readonly guarded: Guarded;

  /** @internal */
  constructor(
    i32: Int32Array<SharedArrayBuffer>,
    word: number,
    table: number,
    deathsWord: number,
    slot: number,
    generation: number,
    guarded: Guarded,
  ) {
    this.i32 = i32;
    this.word = word;
    this.table = table;
    this.deathsWord = deathsWord;
    this.me = slot | (generation << GENERATION_SHIFT_BITS);
    this.maySleep = maySleep();
    this.guarded = guarded;
    // Compiled from now on: after a stack overflow there would be no room for that.
    this.leave(false);
  }

  /** How often a holder died or was thrown out in the middle of a call, up to 2^32. Read it while holding the lock. */
  get deaths(): number {
    return this.i32[this.deathsWord]! >>> 0;
  }

  /** The slot of the agent that holds the lock now, 0 when it is free. */
  get holder(): number {
    return Atomics.load(this.i32, this.word) & SLOT_MASK;
  }

  /** Whether this agent holds the lock. */
  get isMine(): boolean {
    return (Atomics.load(this.i32, this.word) & ~WAIT) === this.me;
  }

  /**
   * Takes the lock, waiting for it: at most two seconds, on a thread that may not sleep (a page's) some hundred
   * microseconds. About 10 ns when it is free. The allocator's own calls may be made while holding it.
   *
   * @throws HeapError `ERR_WOULD_BLOCK` when it is still held then, or by this agent itself; nothing is changed
   * @example
   * ```ts
   * heap.lock.acquire();
   * try {
   *   if (heap.root("jobs") === NULL) heap.setRoot("jobs", heap.calloc(1, 64));
   * } finally {
   *   heap.lock.release();
   * }
   * ```
   */
  acquire(): Acquired {
    const outcome = this.#enter(this.me, true);
    if (outcome === BUSY) throw this.busy("acquire");
    return outcome === TAKEN_OVER ? "owner-died" : "acquired";
  }

  /**
   * Takes the lock if it is free, or its holder dead.
   *
   * @returns `busy` when another agent holds it
   * @throws HeapError `ERR_WOULD_BLOCK` when this agent holds it itself
   */
  tryAcquire(): Acquired | "busy" {
    const outcome = this.#enter(this.me, false);
    if (outcome !== BUSY) return outcome === TAKEN_OVER ? "owner-died" : "acquired";
    if (this.isMine) throw this.busy("tryAcquire");
    return "busy";
  }

  /**
   * Takes the lock without blocking this thread: for a page, and for whoever supervises workers. It waits as long as it
   * takes, also for other code of this agent that holds the lock, so do not ask twice.
   */
  async acquireAsync(): Promise<Acquired> {
    for (;;) {
      const outcome = this.attempt();
      if (outcome !== "busy") return outcome;
      await this.change();
    }
  }

  /**
   * @internal As `tryAcquire`, but other code of this agent is as good a holder as any. The lock is taken with WAIT: who
   * calls has perhaps slept, and been woken in place of others.
   */
  attempt(): Acquired | "busy" {
    const outcome = this.#enter(this.me | WAIT, false);
    return outcome === BUSY ? "busy" : outcome === TAKEN_OVER ? "owner-died" : "acquired";
  }

  /** @internal Waits until the lock may be free. */
  async change(): Promise<void> {
    const found = Atomics.load(this.i32, this.word);
    if (found !== 0 && this.#announce(found)) await sleepAsync(this.i32, this.word, found | WAIT);
  }

  /**
   * Gives the lock back.
   *
   * @throws HeapError `ERR_INVALID_ARGUMENT` when this agent does not hold it
   */
  release(): void {
    const { i32, word, me } = this;
    const found = Atomics.compareExchange(i32, word, me, 0);
    if (found === me) return;
    if ((found & ~WAIT) !== me) {
      throw new HeapError("ERR_INVALID_ARGUMENT", "release: this agent does not hold the lock; acquire it first");
    }
    this.leave();
  }

  /**
   * For allocators: takes the lock as `acquire` does, unless this agent holds it already.
   *
   * @param call - names the caller in messages
   * @returns whether it was taken here, which `leave` wants to know
   * @throws HeapError `ERR_WOULD_BLOCK`
   * @example
   * ```ts
   * const outer = lock.enter("malloc");
   * let thrown: unknown;
   * try {
   *   return inner.malloc(size);
   * } catch (error) {
   *   throw (thrown = error);
   * } finally {
   *   lock.leave(outer, thrown);
   * }
   * ```
   */
  enter(call: string): boolean {
    if (this.#enter(this.me, true) !== BUSY) return true;
    if (!this.isMine) throw this.busy(call);
    // Taken through another object of this agent, perhaps, that has grown the heap since.
    this.guarded.catchUp();
    return false;
  }

  /**
   * Gives back what `enter` took, unasked.
   *
   * It is one function for both outcomes, and needs little stack: after a stack overflow there is no room to compile what is
   * not called every time.
   *
   * @param outer - what `enter` returned; `false` gives nothing back
   * @param thrown - what was thrown since, if anything was. Refusals change nothing; anything else (a stack overflow, whose
   * place nobody chooses) leaves the heap to be repaired by whoever takes the lock next
   */
  leave(outer: boolean = true, thrown?: unknown): void {
    const { i32, word } = this;
    // Not `instanceof`, which calls a function of HeapError's.
    if (thrown !== undefined && (thrown as Partial<Error> | null)?.name !== "HeapError") i32[this.deathsWord]! += 1;
    if (outer && (Atomics.exchange(i32, word, 0) & WAIT) !== 0) Atomics.notify(i32, word, 1);
  }

  /** @internal As `leave`, for who has given up his slot: from then on anyone may have taken the lock over. */
  leaveForGood(): void {
    const { i32, word, me } = this;
    let found = Atomics.load(i32, word);
    while ((found & ~WAIT) === me) {
      const before = found;
      found = Atomics.compareExchange(i32, word, before, 0);
      if (found !== before) continue;
      if ((found & WAIT) !== 0) Atomics.notify(i32, word, 1);
      return;
    }
  }

  /** @internal One attempt, with the word to take it with: the lock is taken when it is free or its holder dead. */
  tryTake(taken: number): number {
    const found = Atomics.compareExchange(this.i32, this.word, 0, taken);
    if (found === 0) return TAKEN;
    return this.#takeOver(found);
  }

  /** @internal Spins, then sleeps until the lock is free or its holder dead. `BUSY` when patience runs out. */
  take(): number {
    const { i32, word, me } = this;
    const spins = this.maySleep ? SPINS : SPINS_AWAKE;
    for (let spin = 0; spin < spins; spin += 1) {
      if (Atomics.load(i32, word) === 0 && Atomics.compareExchange(i32, word, 0, me) === 0) return TAKEN;
    }
    const until = this.maySleep ? Date.now() + PATIENCE_MS : 0;
    for (;;) {
      const found = Atomics.load(i32, word);
      if (found === 0) {
        if (Atomics.compareExchange(i32, word, 0, me | WAIT) === 0) return TAKEN;
        continue;
      }
      if (this.#takeOver(found) !== BUSY) return TAKEN_OVER;
      // WAIT before giving up, too: who gives up may have been woken in place of others, and they sleep still.
      if (!this.#announce(found)) continue;
      if (Date.now() >= until) return BUSY;
      Atomics.wait(i32, word, found | WAIT, SLEEP_MS);
    }
  }

  /** @internal Wakes everybody who sleeps: after slots have been marked DEAD. */
  wakeAll(): void {
    Atomics.notify(this.i32, this.word);
  }

  /** Sets WAIT in a lock word as found. False when it has changed meanwhile. */
  #announce(found: number): boolean {
    if ((found & WAIT) !== 0) return true;
    return Atomics.compareExchange(this.i32, this.word, found, found | WAIT) === found;
  }

  /** Takes the lock from a holder that is dead. The count makes whoever holds the lock repair, this agent or the next. */
  #takeOver(holder: number): number {
    const { i32, word, me } = this;
    // Again when the word has changed: someone has set WAIT, perhaps, and sleeps. Nobody is to sleep for the dead who knows
    // of them.
    for (let found = holder; this.#isGone(found);) {
      const before = found;
      found = Atomics.compareExchange(i32, word, before, me | WAIT);
      if (found !== before) continue;
      i32[this.deathsWord]! += 1;
      return TAKEN_OVER;
    }
    return BUSY;
  }

  /** Whether the holder in a lock word is dead, perhaps after it had given up its slot, which is anyone's then. */
  #isGone(found: number): boolean {
    const entry = Atomics.load(this.i32, this.table + (found & SLOT_MASK) * SLOT_ENTRY_WORDS);
    if (entry >>> SLOT_GENERATION_SHIFT_BITS !== found >>> GENERATION_SHIFT_BITS) return true;
    return (entry & SLOT_STATE_MASK) === DEAD;
  }

  /**
   * Takes the lock and sees what others have changed. What is thrown here leaves the lock free, a stack overflow too: so
   * between the taking and the `try` there is no call, nor one of ours in the `catch`.
   *
   * @param mine - the lock word to be
   * @param isPatient - whether to wait for another agent
   */
  #enter(mine: number, isPatient: boolean): number {
    let outcome = this.tryTake(mine);
    if (outcome === BUSY && isPatient && !this.isMine) outcome = this.take();
    if (outcome === BUSY) return BUSY;
    try {
      this.guarded.catchUp();
    } catch (error) {
      const { i32, word } = this;
      if ((Atomics.exchange(i32, word, 0) & WAIT) !== 0) Atomics.notify(i32, word, 1);
      throw error;
    }
    return outcome;
  }

  /** @internal Why the lock is not to be had. */
  busy(call: string): HeapError {
    const { holder } = this;
    if (this.isMine) {
      return new HeapError("ERR_WOULD_BLOCK", `${call}: this agent holds the heap's lock already; release it first`);
    }
    const finding = holder === 0 ? "the heap's lock was not to be had" : `slot ${holder} holds the heap's lock`;
    const remedy = "let this thread's events run (its workers' deaths come that way), or use lock.acquireAsync()";
    return new HeapError("ERR_WOULD_BLOCK", `${call}: ${finding}; ${remedy}`);
  }
}

/** A page's main thread may not. */
function maySleep(): boolean {
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1, 0);
    return true;
  } catch {
    return false;
  }
}

async function sleepAsync(i32: Int32Array<SharedArrayBuffer>, word: number, value: number): Promise<void> {
  // A timer beside it: waiting alone does not keep node alive.
  const hasAsync = typeof Atomics.waitAsync === "function";
  const later = new Promise((resolve) => setTimeout(resolve, hasAsync ? SLEEP_MS : 1));
  await (hasAsync ? Promise.race([Atomics.waitAsync(i32, word, value, SLEEP_MS).value, later]) : later);
}
