/**
 * The allocator in a shared heap. Each agent allocates from caches of its own, and frees its own blocks to them, without the
 * lock; it frees those of others by a mark (see marks). What that cannot serve is done under the lock, by the private
 * allocator over the same control block and this agent's worker.
 *
 * @module
 */
import { HeapError, type Lock, NULL, type Ptr, type SharedHeap } from "@heapwright/core";
import { departuresOf, generationOf, isPresent } from "@heapwright/core/engine";

import { Opened } from "./cursor.ts";
import { cachedCount } from "./caches.ts";
import type { ApfBlock, ApfStats } from "./inspect.ts";
import { CLASS_COUNT, CONTROL, RECORD, RECORD_WORDS, SUPERBLOCK, WORKER } from "./layout.ts";
import { countFreed, hintOwner } from "./marks.ts";
import { doubleFree } from "./misuse.ts";
import { hasLiveBit, isMarked, superblockAt } from "./page-map.ts";
import { PrivateAllocator } from "./private-allocator.ts";
import { adoptLeft, rebuildWorker, repairCommon } from "./recover.ts";
import { SharedSupply } from "./shared-supply.ts";
import { RECORD_OF } from "./size-classes.ts";
import { tick } from "./tuner.ts";
import { isBroken, recordsOf, setBroken, workerFor, workersOf } from "./workers.ts";

// Local, because V8 folds a module's own constants into its code and reads imported ones at every use.
const RECORD_OF_SIZE = RECORD_OF;
const ALL_RECORDS_WORDS = CLASS_COUNT * RECORD_WORDS;
const TABLE = CONTROL.offsets.table >>> 2;
const BUSY = CONTROL.offsets.busy >>> 2;
const DEPARTURES = CONTROL.offsets.departures >>> 2;
const BROKEN = WORKER.offsets.broken >>> 2;
const FIRST_WORKER = CONTROL.offsets.worker >>> 2;
const END = RECORD.offsets.end >>> 2;
const OWNER = SUPERBLOCK.offsets.record >>> 2;
const FREED = SUPERBLOCK.offsets.freed >>> 2;
const MARKS = SUPERBLOCK.offsets.marks >>> 2;
const SHIFT = SUPERBLOCK.offsets.shift >>> 2;
const ROOM_MASK = 0x1fff;
const LEFT_MASK = 0x1ff_e000;
const ALLOCATION = 0x1fff;
const UNMARKED = -2;
const CLASSED_BYTES = 14_336;
/** In `busy`: whose worker it is was thrown out, and is not inside any more. */
const THROWN = 1;
/** How far a call is in: within another one of this agent, under a lock that the program holds, under its own. */
const NESTED = 0;
const GUEST = 1;
const HOLDER = 2;

/** Hands out blocks to several workers. */
export class SharedAllocator extends PrivateAllocator {
  /** @internal The allocator without a lock, for what is done under it. */
  declare readonly inner: PrivateAllocator;
  /** @internal */
  declare readonly lock: Lock;
  /** @internal */
  declare readonly shared: SharedHeap;
  /** @internal The heap's bytes, and its words for Atomics, as last seen. */
  declare u8: Uint8Array;
  /** @internal */
  declare i32: Int32Array;
  /** @internal This agent's, `NULL` before it has one. */
  declare worker: Ptr;

  /** @internal */
  constructor(inner: PrivateAllocator, heap: SharedHeap) {
    super(new Opened(inner.backing, inner.handle));
    this.inner = inner;
    this.lock = heap.lock;
    this.shared = heap;
    this.u8 = heap.u8;
    this.i32 = heap.i32;
    this.worker = NULL;
    this.#locked("ApfAllocator.attach", () => this.#equip());
    inner.supply = new SharedSupply(inner);
    this.supply = inner.supply;
  }

  override malloc(size: number): Ptr {
    if (typeof size === "number" && size <= CLASSED_BYTES && size >>> 0 === size) {
      const { u32 } = this.shared;
      const record = (this.records + RECORD_OF_SIZE[(size + 7) >>> 3]!) | 0;
      const tally = u32[record]! | 0;
      const ptr = u32[(u32[(record + END) | 0]! - (tally & ROOM_MASK) - 1) | 0]! & UNMARKED;
      // The map may have been replaced, through another object of this agent too.
      if (ptr !== 0 && (tally & LEFT_MASK) !== 0 && (u32[(this.control + TABLE) | 0]! | 0) === this.map) {
        const word = (u32[(this.map + (ptr >>> 12) * 4) | 0]! + (ptr >>> 8)) | 0;
        const bits = u32[word]!;
        const bit = 1 << (ptr >>> 3);
        if ((bits & bit) === 0 && bits >= 0) {
          // Out of the cache first: what is not live is free when this agent does not come back.
          u32[record] = (tally - ALLOCATION) | 0;
          u32[word] = bits | bit;
          return (ptr >>> 0) as Ptr;
        }
      }
    }
    return (this.#mallocSlowly(size) >>> 0) as Ptr;
  }

  override free(ptr: Ptr): void {
    if (typeof ptr === "number" && (ptr & 7) === 0 && ((ptr | 0) === ptr || ptr >>> 0 === ptr)) {
      const { u32 } = this.shared;
      const page = ptr >>> 12;
      if ((page - this.firstPage) >>> 0 < this.pageCount >>> 0 && (u32[(this.control + TABLE) | 0]! | 0) === this.map) {
        const entry = (this.map + page * 4) | 0;
        const word = (u32[entry]! + (ptr >>> 8)) | 0;
        const bits = u32[word]!;
        const bit = 1 << (ptr >>> 3);
        if ((bits & bit) !== 0) {
          const { u8 } = this;
          const descriptor = u32[(entry + 2) | 0]! >>> 2;
          const mark = (u32[(descriptor + MARKS) | 0]! + (ptr >>> u32[(descriptor + SHIFT) | 0]!)) >>> 0;
          if (u8[mark] === 0) {
            const record = u32[(entry + 1) | 0]! | 0;
            if ((record - this.records) >>> 0 < ALL_RECORDS_WORDS) {
              const tally = u32[record]! | 0;
              if ((tally & ROOM_MASK) !== 0) {
                u32[word] = bits ^ bit;
                u32[(u32[(record + END) | 0]! - (tally & ROOM_MASK)) | 0] = ptr;
                u32[record] = (tally - 1) | 0;
                return;
              }
            } else {
              if (Atomics.add(this.i32, u32[(descriptor + FREED) | 0]!, 1) === 0) {
                hintOwner(this.shared.i32, descriptor * 4);
              }
              // Nothing after it: the superblock may be gone. Nor before it, where another one has been faster.
              if (Atomics.compareExchange(u8, mark, 0, 1) === 0) return;
            }
          }
        }
      }
    }
    this.#freeSlowly(ptr);
  }

  override realloc(ptr: Ptr, size: number): Ptr {
    // All under one lock: who could not get it for the last step would be left with both blocks.
    return ptr === NULL ? this.malloc(size) : this.#locked("realloc", () => super.realloc(ptr, size));
  }

  override alignedAlloc(alignment: number, size: number): Ptr {
    return this.#locked("alignedAlloc", () => super.alignedAlloc(alignment, size));
  }

  override usableSize(ptr: Ptr): number {
    return this.#locked("usableSize", () => this.inner.usableSize(ptr));
  }

  override flush(): void {
    this.#locked("flush", () => this.inner.flush());
  }

  override stats(): ApfStats {
    return this.#locked("stats", () => this.inner.stats());
  }

  override *blocks(): Generator<ApfBlock> {
    yield* this.#locked("blocks", () => [...this.inner.blocks()]);
  }

  /** @internal */
  override taken(): Ptr[] {
    return this.#locked("taken", () => this.inner.taken());
  }

  override dump(): string {
    return this.#locked("dump", () => this.inner.dump());
  }

  override check(): void {
    this.#locked("check", () => this.inner.check());
  }

  override destroy(): void {
    this.#locked("destroy", () => {
      this.inner.destroy();
      this.worker = NULL;
      this.close();
    });
  }

  /** Serves what the cache could not. */
  #mallocSlowly(size: number): Ptr {
    if (this.#tickAlone(size)) return this.malloc(size);
    const level = this.#enter("malloc");
    let thrown: unknown;
    try {
      return this.inner.malloc(size);
    } catch (error) {
      throw (thrown = error);
    } finally {
      this.#leave(level, thrown);
    }
  }

  /** Has the tuner of a class look at its cache, where that is all that is due: it is this agent's alone. */
  #tickAlone(size: number): boolean {
    if (typeof size !== "number" || size >>> 0 !== size || size > CLASSED_BYTES) return false;
    const { u32 } = this.shared;
    const record = this.records + RECORD_OF_SIZE[(size + 7) >>> 3]!;
    if ((u32[this.control + TABLE]! | 0) !== this.map || isBroken(u32, this.worker)) return false;
    if ((u32[record]! & LEFT_MASK) !== 0 || cachedCount(u32, record) === 0) return false;
    try {
      tick(this.inner, record, (record - this.records) / RECORD_WORDS);
      return true;
    } catch (error) {
      this.#distrust();
      throw error;
    }
  }

  /** Frees what neither cache nor mark takes at once, and refuses what is no live block. */
  #freeSlowly(ptr: Ptr): void {
    if (ptr === NULL && !this.isDestroyed) return;
    const level = this.#enter("free");
    let thrown: unknown;
    try {
      if (!this.#mark(ptr)) this.inner.free(ptr);
    } catch (error) {
      throw (thrown = error);
    } finally {
      this.#leave(level, thrown);
    }
  }

  /** Marks a block of another agent. False, with nothing changed, for any other pointer. */
  #mark(ptr: Ptr): boolean {
    if (typeof ptr !== "number" || ptr >>> 0 !== ptr) return false;
    const { u32, u8, i32 } = this.shared;
    const descriptor = superblockAt(u32, this.control, ptr);
    if (descriptor === 0 || !hasLiveBit(u32, descriptor, ptr)) return false;
    if (isMarked(u32, descriptor, ptr)) throw doubleFree("free", ptr, ptr);
    const word = descriptor >>> 2;
    if ((u32[word + OWNER]! - this.records) >>> 0 < ALL_RECORDS_WORDS) return false;
    countFreed(i32, descriptor);
    Atomics.store(u8, (u32[word + MARKS]! + (ptr >>> u32[word + SHIFT]!)) >>> 0, 1);
    return true;
  }

  /** Finds this agent's worker. */
  #equip(): void {
    const { shared, control } = this;
    const { slot } = shared;
    const worker = workerFor(this.backing, control, slot, generationOf(shared, slot));
    if (worker === NULL) {
      const finding = "the backing has no room for a worker's caches; give it more or free some";
      throw new HeapError("ERR_OUT_OF_MEMORY", `ApfAllocator.attach: ${finding}`);
    }
    this.worker = worker;
    this.records = recordsOf(worker);
    this.inner.records = this.records;
  }

  #locked<T>(call: string, act: () => T): T {
    const level = this.#enter(call);
    let thrown: unknown;
    try {
      this.refresh();
      return act();
    } catch (error) {
      throw (thrown = error);
    } finally {
      this.#leave(level, thrown);
    }
  }

  /**
   * Takes the lock, unless this call is made within another one; repairs what one that was interrupted left behind; takes
   * care of what agents held that are gone.
   */
  #enter(call: string): number {
    const isHolder = this.lock.enter(call);
    try {
      const u32 = this.expectAlive(call);
      const { control, inner, shared, worker } = this;
      const busy = u32[control + BUSY]!;
      if (!isHolder && busy !== 0 && busy === worker) return NESTED;
      if (busy !== 0) {
        repairCommon(inner);
        this.#break(u32, busy & ~THROWN);
      }
      u32[control + BUSY] = worker === NULL ? u32[control + FIRST_WORKER]! : worker;
      const departures = departuresOf(shared);
      if (u32[control + DEPARTURES] !== departures) {
        adoptLeft(inner, (slot, generation) => isPresent(shared, slot, generation));
        this.shared.u32[control + DEPARTURES] = departures;
      }
      if (worker !== NULL && isBroken(u32, worker)) rebuildWorker(inner, worker);
      inner.refresh();
    } catch (error) {
      this.lock.leave(isHolder, error);
      throw error;
    }
    return isHolder ? HOLDER : GUEST;
  }

  /** Takes note that an agent was interrupted in the midst of changing its worker. */
  #break(u32: Uint32Array, busy: number): void {
    for (const worker of workersOf(u32, this.control)) {
      if (worker === busy && worker !== u32[this.control + FIRST_WORKER]) setBroken(u32, worker, true);
    }
  }

  /** This agent's caches are not to be believed until it takes the lock once more. */
  #distrust(): void {
    const { u32 } = this.shared;
    // Without a call: there may be no stack left for one.
    u32[(this.worker >>> 2) + BROKEN] = 1;
    for (let at = 0; at < ALL_RECORDS_WORDS; at += RECORD_WORDS) u32[this.records + at] = 0;
  }

  /**
   * A refusal has changed nothing; anything else leaves the allocator to be repaired by whoever comes next, which `busy`
   * tells. Whatever finds no stack left here, the lock is given back.
   */
  #leave(level: number, thrown: unknown): void {
    if (level === NESTED) return;
    try {
      const { u32, u8, i32 } = this.shared;
      if (thrown !== undefined && (thrown as Partial<Error> | null)?.name !== "HeapError") {
        u32[this.control + BUSY]! |= THROWN;
        this.#distrust();
      }
      if ((u32[this.control + BUSY]! & THROWN) === 0) u32[this.control + BUSY] = 0;
      this.u8 = u8;
      this.i32 = i32;
      this.refresh();
    } finally {
      this.lock.leave(level === HOLDER, thrown);
    }
  }
}
