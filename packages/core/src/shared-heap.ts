/**
 * A heap that several workers use at once. Small blocks come from and go to magazines of the worker's own, without the
 * lock; all else is done under it, by an ordinary heap over the same bytes.
 *
 * @module
 */
import { spanOf, STATE } from "./boundary-tag.ts";
import { checkHeap } from "./check.ts";
import { HeapError } from "./errors.ts";
import { GeneralHeap } from "./general-heap.ts";
import { imageOf } from "./image.ts";
import type { BlockInfo, HeapStats } from "./inspect.ts";
import { SUPERBLOCK } from "./layout.ts";
import { type Guarded, Lock } from "./lock.ts";
import { append, batchOf, emptyMagazine, MAGAZINES, pop, push, raiseLimit } from "./magazines.ts";
import { badCount, corrupt, isCount } from "./misuse.ts";
import { copyWords, zeroWords } from "./payload.ts";
import { asPtr, NULL, type Ptr } from "./ptr.ts";
import { equip, type HeapDescriptor, noSlot, SLOT_RECORD, SlotTable, vacate } from "./slots.ts";
import { spawn, supervise, type WorkerLike } from "./worker.ts";

const { LIVE, HELD } = STATE;
const STATE_BITS = 7;
const HEADER_BYTES = 8;
const MIN_SPAN_BYTES = 16;
/** Largest payload that comes from a magazine. */
const HELD_PAYLOAD_BYTES = 1000;
/** Span words from here on are of no magazine. */
const HELD_TAG_LIMIT = 1016;
/** Words from a magazine's head to its room, see slots. */
const ROOM = 127;
const MAX_PAYLOAD_BYTES = 0xffff_ff00;
/** In the lock word, see lock. */
const WAIT = 0x80;

/** What all copies of this package that a program may have know a shared heap by. */
const BRAND = Symbol.for("heapwright.SharedHeap");

/** A heap in shared memory, as one agent sees it. */
export class SharedHeap extends GeneralHeap<SharedArrayBuffer> implements Guarded {
  /** @internal The heap without a lock, for what is done under it. */
  declare readonly inner: GeneralHeap<SharedArrayBuffer>;
  /** @internal */
  declare readonly slots: SlotTable;
  /** @internal */
  declare readonly mutex: Lock;
  /** @internal */
  declare readonly mine: number;
  /** @internal Word addresses. */
  declare readonly deathsWord: number;
  /** @internal */
  declare readonly repairedWord: number;
  /** @internal Of the magazines' heads; 0 once this object is detached. */
  declare heads: number;

  /**
   * @internal
   * @param inner - a heap that has a slot table
   * @param call - for messages
   * @param invited - the slot that was kept for this agent, 0: any
   */
  constructor(inner: GeneralHeap<SharedArrayBuffer>, call: string, invited: number) {
    super(inner.memory ?? inner.buffer, inner.base);
    const { offsets } = SUPERBLOCK;
    this.inner = inner;
    this.deathsWord = (this.base + offsets.deaths) >>> 2;
    this.repairedWord = (this.base + offsets.repaired) >>> 2;
    this.slots = new SlotTable(inner);
    this.mine = this.slots.take(invited);
    if (this.mine === 0) throw noSlot(call, invited);
    const generation = this.slots.generation(this.mine);
    const lockWord = (this.base + offsets.lock) >>> 2;
    this.mutex = new Lock(this.i32, lockWord, this.slots.table, this.deathsWord, this.mine, generation, this);
    try {
      this.heads = this.#join(call);
    } catch (error) {
      if (!this.#hasJoined()) this.slots.giveBack(this.mine);
      throw error;
    }
  }

  /** @internal Of another copy too: taken for a private one, it would be used without its lock. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === "object" && value !== null && BRAND in value;
  }

  /** @internal */
  get [BRAND](): true {
    return true;
  }

  override get lock(): Lock {
    return this.mutex;
  }

  override get slot(): number {
    return this.mine;
  }

  // Views reach as far as the heap does now, whoever has grown it.
  override get u32(): Uint32Array<SharedArrayBuffer> {
    this.#look();
    return this.words;
  }
  override get u8(): Uint8Array<SharedArrayBuffer> {
    this.#look();
    return this.u8View;
  }
  override get i8(): Int8Array<SharedArrayBuffer> {
    this.#look();
    return this.i8View;
  }
  override get u16(): Uint16Array<SharedArrayBuffer> {
    this.#look();
    return this.u16View;
  }
  override get i16(): Int16Array<SharedArrayBuffer> {
    this.#look();
    return this.i16View;
  }
  override get i32(): Int32Array<SharedArrayBuffer> {
    this.#look();
    return this.i32View;
  }
  override get f32(): Float32Array<SharedArrayBuffer> {
    this.#look();
    return this.f32View;
  }
  override get f64(): Float64Array<SharedArrayBuffer> {
    this.#look();
    return this.f64View;
  }
  override get u64(): BigUint64Array<SharedArrayBuffer> {
    this.#look();
    return this.u64View;
  }
  override get i64(): BigInt64Array<SharedArrayBuffer> {
    this.#look();
    return this.i64View;
  }

  override malloc(size: number): Ptr {
    if (typeof size === "number" && size <= HELD_PAYLOAD_BYTES && size >>> 0 === size) {
      const span = size <= 8 ? MIN_SPAN_BYTES : (size + this.rounding) & this.mask;
      const u32 = this.words;
      const head = this.heads + (span >>> 3);
      const ptr = u32[head]!;
      const word = ptr >>> 2;
      if (ptr !== 0 && (u32[word - 1]! | 0) === (span | HELD)) {
        // LIVE first: what a magazine holds is HELD at each instant.
        u32[word - 1] = span | LIVE;
        u32[head] = u32[word]!;
        u32[head + ROOM]! += 1;
        return asPtr(ptr);
      }
      return this.#refill(size, head);
    }
    return this.#mallocLarge(size);
  }

  override free(ptr: Ptr): void {
    const u32 = this.words;
    if (
      typeof ptr === "number" &&
      (ptr & 7) === 0 &&
      ptr >>> 0 === ptr &&
      ptr >>> 0 >= this.lowest >>> 0 &&
      ptr >>> 0 < this.end >>> 0
    ) {
      const word = ptr >>> 2;
      const tag = u32[word - 1]!;
      const starts = u32[(u32[this.directory + (ptr >>> this.granule)]! + (ptr >>> 8)) | 0]!;
      if (((starts >>> (ptr >>> 3)) & 1) !== 0 && (tag & STATE_BITS) === LIVE && tag < HELD_TAG_LIMIT) {
        const head = this.heads + (tag >>> 3);
        const room = u32[head + ROOM]!;
        if (room !== 0) {
          // HELD after it is in the magazine, for the same reason.
          u32[word] = u32[head]!;
          u32[head] = ptr;
          u32[word - 1] = tag + (HELD - LIVE);
          u32[head + ROOM] = room - 1;
          return;
        }
      }
    }
    this.#freeSlowly(ptr);
  }

  override calloc(count: number, size: number): Ptr {
    if (!isCount(count) || !isCount(size)) throw badCount(`calloc(count, size)`, isCount(count) ? size : count);
    if (count * size > MAX_PAYLOAD_BYTES) return NULL;
    const ptr = this.malloc(count * size);
    if (ptr !== NULL) zeroWords(this.words, ptr, spanOf(this.words, ptr - HEADER_BYTES) - HEADER_BYTES);
    return ptr;
  }

  override realloc(ptr: Ptr, size: number): Ptr {
    if (ptr === NULL) return this.malloc(size);
    const outer = this.mutex.enter("realloc");
    try {
      const { inner } = this;
      if (inner.resize(ptr, size)) return ptr;
      const usable = inner.usableSize(ptr);
      // All under one lock: who could not get it for the last step would be left with both blocks.
      const moved = this.malloc(size);
      if (moved !== NULL) {
        copyWords(this.words, ptr, moved, usable);
        this.free(ptr);
      }
      return moved;
    } catch (error) {
      if ((error as Partial<Error> | null)?.name !== "HeapError") this.words[this.deathsWord]! += 1;
      throw error;
    } finally {
      this.#leave(outer);
    }
  }

  override alignedAlloc(alignment: number, size: number): Ptr {
    return this.#allocate("alignedAlloc", () => this.inner.alignedAlloc(alignment, size));
  }

  override usableSize(ptr: Ptr): number {
    return this.#locked("usableSize", () => this.inner.usableSize(ptr));
  }

  override get size(): number {
    this.#look();
    return this.end - this.base;
  }

  override grow(size: number): boolean {
    return this.#locked("grow", () => this.inner.grow(size));
  }

  override setRoot(name: string, handle: Ptr): void {
    // By this heap's own malloc and free: from what its magazines hold, where there is nothing else.
    this.#locked("setRoot", () => super.setRoot(name, handle));
  }

  override root(name: string): Ptr {
    return this.#locked("root", () => this.inner.root(name));
  }

  /** A copy of the heap as a private one: without lock and slots, and what workers hold in magazines free. */
  override image(): ArrayBuffer {
    return this.#locked("image", () => imageOf(this.inner, this.slots));
  }

  override stats(): HeapStats {
    return this.#locked("stats", () => this.inner.stats());
  }

  override *blocks(): Generator<BlockInfo> {
    yield* this.#locked("blocks", () => [...this.inner.blocks()]);
  }

  override dump(): string {
    return this.#locked("dump", () => this.inner.dump());
  }

  override check(): void {
    this.#locked("check", () => checkHeap(this.inner, this.mine));
  }

  override recover(): void {
    this.#locked("recover", () => this.inner.recover());
  }

  override share(): HeapDescriptor {
    this.#look();
    return { heapwright: this.memory ?? this.buffer, base: this.base, slot: 0 };
  }

  /**
   * Keeps a slot for a worker and takes note of its death: then its lock is broken, and what its magazines hold given back.
   *
   * @param worker - of `node:worker_threads`, or a page's
   * @returns what the worker attaches by, nobody else
   * @throws HeapError `ERR_NO_SLOT` when all slots are taken, `ERR_INVALID_ARGUMENT` for what is no worker
   * @example
   * ```ts
   * const worker = new Worker(new URL("./worker.js", import.meta.url));
   * worker.postMessage(heap.supervise(worker));
   * ```
   */
  supervise(worker: WorkerLike): HeapDescriptor {
    return supervise(this, worker);
  }

  /**
   * Starts a worker on this heap, supervised. In there, `await Heap.spawned()` gives the heap.
   *
   * @param worker - its module; or one that has been made already, where a bundler has to see `new Worker(new URL(...))`
   * @returns the worker
   * @throws HeapError as `supervise` does
   * @example
   * ```ts
   * const worker = heap.spawn(new URL("./worker.js", import.meta.url));
   * // worker.js: const heap = await Heap.spawned();
   * ```
   */
  spawn<W extends WorkerLike = WorkerLike>(worker: URL | string | W): W {
    return spawn(this, worker);
  }

  /**
   * Gives back what this agent's magazines hold and its slot, once every object that it has open on the heap is detached.
   * This one is of no use then. The slot of who supervises workers stays his: with his death they end.
   *
   * @throws HeapError `ERR_DESTROYED` the second time, `ERR_WOULD_BLOCK` while the agent holds the lock
   */
  detach(): void {
    const outer = this.mutex.enter("detach");
    try {
      const record = asPtr((this.heads * 4 - SLOT_RECORD.offsets.heads) >>> 0);
      const cursors = SLOT_RECORD.get.cursors(this.inner, record) - 1;
      // A lock that is held by a slot which is anyone's could never be taken over.
      if (cursors === 0 && !outer) throw this.mutex.busy("detach");
      SLOT_RECORD.set.cursors(this.inner, record, cursors);
      if (cursors === 0) this.#depart();
      this.heads = 0;
      this.end = 0;
      this.words = new Uint32Array(new SharedArrayBuffer(0));
    } catch (error) {
      if ((error as Partial<Error> | null)?.name !== "HeapError") this.words[this.deathsWord]! += 1;
      throw error;
    } finally {
      if (outer) this.mutex.leaveForGood();
    }
  }

  /** As `detach`, for `using`; harmless the second time. */
  [Symbol.dispose](): void {
    if (this.heads !== 0) this.detach();
  }

  /** @internal Gives back what dead agents left. The lock is held. */
  reapDead(): void {
    for (const slot of this.slots.dead()) {
      vacate(this.inner, this.slots, slot);
      this.slots.open(slot);
    }
  }

  /** @internal Has just taken the lock: sees what others have done, repairs what the dead left. */
  catchUp(): void {
    const { inner } = this;
    if (this.heads === 0) this.#see();
    if (inner.isStale() || inner.end !== this.end) this.#see();
    const deaths = this.words[this.deathsWord]!;
    if (deaths !== this.words[this.repairedWord]) {
      inner.recover();
      this.words[this.repairedWord] = deaths;
      this.#see();
    }
  }

  /** Sees how far the heap reaches now. */
  #look(): void {
    if (this.base + this.words[this.bytesWord]! !== this.end) this.#see();
  }

  #see(): void {
    if (this.heads === 0) throw new HeapError("ERR_DESTROYED", "this agent has detached from the heap; attach again");
    const end = this.base + this.words[this.bytesWord]!;
    if (end > this.words.length * 4) this.retake();
    this.end = end;
  }

  /** Takes or makes this agent's record. */
  #join(call: string): number {
    return this.#locked(call, () => {
      const record = equip(this.inner, this.slots, this.mine);
      if (record === NULL) {
        throw new HeapError("ERR_OUT_OF_MEMORY", `${call}: no room for a worker's record; give the heap more`);
      }
      SLOT_RECORD.set.cursors(this.inner, asPtr(record), SLOT_RECORD.get.cursors(this.inner, asPtr(record)) + 1);
      return (record + SLOT_RECORD.offsets.heads) >>> 2;
    });
  }

  /** Leaves nothing behind, but the slot by which the workers are known that end with this agent. */
  #depart(): void {
    if (this.slots.supervisedBy(this.mine).length > 0) {
      this.#emptyAll();
      return;
    }
    vacate(this.inner, this.slots, this.mine);
    this.slots.open(this.mine);
  }

  /** Whether this agent has the heap open already. */
  #hasJoined(): boolean {
    const record = this.slots.record(this.mine);
    return record !== NULL && SLOT_RECORD.get.cursors(this.inner, asPtr(record)) !== 0;
  }

  /**
   * Does something under the lock: what is not called often.
   *
   * As everywhere here, the `catch` does by itself what `lock.leave` does: after a stack overflow there is room for no
   * call that has not been made before, since it would be compiled first.
   */
  #locked<T>(call: string, act: () => T): T {
    const outer = this.mutex.enter(call);
    try {
      return act();
    } catch (error) {
      if ((error as Partial<Error> | null)?.name !== "HeapError") this.words[this.deathsWord]! += 1;
      throw error;
    } finally {
      this.#leave(outer);
    }
  }

  /** The lock first, and without a call, for the same reason. */
  #leave(outer: boolean): void {
    const { i32, word } = this.mutex;
    if (outer && (Atomics.exchange(i32, word, 0) & WAIT) !== 0) Atomics.notify(i32, word, 1);
    if (this.end !== this.inner.end) this.#see();
  }

  /** Allocates under the lock; where there is no room, from what this agent's magazines hold. */
  #allocate(call: string, act: () => Ptr): Ptr {
    return this.#locked(call, () => {
      const ptr = act();
      if (ptr !== NULL || !this.#emptyAll()) return ptr;
      return act();
    });
  }

  #mallocLarge(size: number): Ptr {
    const outer = this.mutex.enter("malloc");
    try {
      const ptr = this.inner.malloc(size);
      return ptr === NULL && this.#emptyAll() ? this.inner.malloc(size) : ptr;
    } catch (error) {
      if ((error as Partial<Error> | null)?.name !== "HeapError") this.words[this.deathsWord]! += 1;
      throw error;
    } finally {
      this.#leave(outer);
    }
  }

  /** Fills half of a magazine that is empty, and serves a small payload from there. */
  #refill(size: number, head: number): Ptr {
    const outer = this.mutex.enter("malloc");
    try {
      const { inner } = this;
      const list = head - this.heads;
      const first = inner.words[head]!;
      // What malloc() would not take: the views were too short, or something wrote into it.
      if (first !== 0) {
        if (inner.words[(first >>> 2) - 1] !== ((list * 8) | HELD)) throw corrupt("malloc", first);
        return pop(inner.words, head);
      }
      let tail = 0;
      raiseLimit(inner.words, head, list * 8);
      // The caller's block comes out last: had it two LIVE ones in hand, this agent's death would lose both.
      for (let wanted = batchOf(inner.words, head) + 1; wanted > 0; wanted -= 1) {
        const next = inner.malloc(size);
        if (next === NULL) break;
        const tag = inner.words[(next >>> 2) - 1]!;
        // One that is slightly larger than asked for belongs in another magazine.
        if (tag >>> 3 !== list || inner.words[head + ROOM] === 0) return next;
        append(inner.words, head, tail, next, tag);
        tail = next;
      }
      if (tail !== 0) return pop(inner.words, head);
      return this.#emptyAll() ? inner.malloc(size) : NULL;
    } catch (error) {
      if ((error as Partial<Error> | null)?.name !== "HeapError") this.words[this.deathsWord]! += 1;
      throw error;
    } finally {
      this.#leave(outer);
    }
  }

  /** Frees what fits no magazine, empties half of a full one, and refuses what is no live block. */
  #freeSlowly(ptr: Ptr): void {
    if (ptr === NULL) return;
    const outer = this.mutex.enter("free");
    try {
      const { inner } = this;
      const span = inner.liveSpan("free", ptr);
      if (span >= HELD_TAG_LIMIT) return inner.free(ptr);
      const head = this.heads + (span >>> 3);
      const u32 = inner.words;
      raiseLimit(u32, head, span);
      if (u32[head + ROOM] !== 0) return push(u32, head, ptr, span | LIVE);
      // This one first: had it two LIVE ones in hand, this agent's death would lose both.
      inner.free(ptr);
      for (let wanted = batchOf(u32, head); wanted > 0; wanted -= 1) inner.free(pop(u32, head));
    } catch (error) {
      if ((error as Partial<Error> | null)?.name !== "HeapError") this.words[this.deathsWord]! += 1;
      throw error;
    } finally {
      this.#leave(outer);
    }
  }

  /** Frees all that this agent's magazines hold. Whether that was anything. */
  #emptyAll(): boolean {
    const u32 = this.inner.words;
    let isAny = false;
    for (let head = this.heads; head < this.heads + MAGAZINES; head += 1) {
      if (u32[head] === 0) continue;
      isAny = true;
      emptyMagazine(this.inner, head);
    }
    return isAny;
  }
}
