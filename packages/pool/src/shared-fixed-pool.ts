/**
 * The fixed pool in a shared heap. Each agent allocates from and frees to a magazine of its own, without the lock; what that
 * cannot serve is done under it, by the private pool over the same control block, a batch at a time.
 *
 * @module
 */
import { asPtr, type Lock, NULL, type Ptr, type SharedHeap } from "@heapwright/core";
import { departuresOf, generationOf, isPresent } from "@heapwright/core/engine";

import { checkHeld } from "./check-fixed.ts";
import { FixedPool } from "./fixed-pool.ts";
import { blockBits, heldByte, isAtHand, recoverFixed } from "./fixed-regions.ts";
import { FIXED_CONTROL, MAGAZINE } from "./layout.ts";
import { batchOf, giveBackOfGone, magazineFor, magazinesOf, push, raiseLimit } from "./magazines.ts";
import { corrupt, isCount } from "./misuse.ts";
import { dropPending } from "./page-table.ts";
import { Opened, type PoolBlock, type PoolStats } from "./pool.ts";

const DEATHS = FIXED_CONTROL.offsets.deaths >>> 2;
const DEPARTURES = FIXED_CONTROL.offsets.departures >>> 2;
const MAGAZINES = FIXED_CONTROL.offsets.magazines >>> 2;
const EMPTY = FIXED_CONTROL.offsets.empty >>> 2;
const HEAD = MAGAZINE.offsets.head >>> 2;
/** Words from a magazine's head to its room. */
const ROOM = (MAGAZINE.offsets.room - MAGAZINE.offsets.head) >>> 2;
const BOTH = 0x1_0001;
// Local, because V8 folds a module's own constants into its code.
const PAGE_WORDS = 16;
const POOL_MAGIC = 0x4c4f4f50;

/** Hands out blocks of one size to several workers. */
export class SharedFixedPool extends FixedPool {
  /** @internal The pool without a lock, for what is done under it. */
  declare readonly inner: FixedPool;
  /** @internal */
  declare readonly lock: Lock;
  /** @internal */
  declare readonly shared: SharedHeap;
  /** @internal The heap's bytes as last seen. */
  declare u8: Uint8Array;
  /** @internal Word address of the head of this agent's magazine; of zeros as long as it has none. */
  declare head: number;

  /** @internal */
  constructor(inner: FixedPool, heap: SharedHeap) {
    super(new Opened(inner.backing, inner.handle, inner.report));
    this.inner = inner;
    this.lock = heap.lock;
    this.shared = heap;
    this.u8 = heap.u8;
    this.head = this.control + EMPTY;
  }

  override malloc(size: number = this.memberSize): Ptr {
    if (typeof size === "number" && size <= this.memberSize && size >= 0 && (size | 0) === size) {
      const { u32 } = this.heap;
      const { head } = this;
      const ptr = u32[head]!;
      const page = ((ptr >>> 12) - this.firstPage) >>> 0;
      if (page < this.pageCount && ptr !== 0 && u32[this.control] === POOL_MAGIC) {
        const word = (u32[(this.table + page) | 0]! + (ptr >>> 8)) | 0;
        const held = (((word - ((ptr >>> 8) & 15) + PAGE_WORDS) << 2) + ((ptr >>> 4) & 255)) >>> 0;
        const { u8 } = this;
        if (u8[held] === 1) {
          // Not held first: what a magazine holds is held at each instant.
          u8[held] = 0;
          u32[head] = u32[ptr >>> 2]!;
          u32[head + ROOM]! += 1;
          return asPtr(ptr);
        }
      }
    }
    return this.#refill(size);
  }

  override free(ptr: Ptr): void {
    if (typeof ptr === "number" && (ptr & 15) === 0 && ((ptr | 0) === ptr || ptr >>> 0 === ptr)) {
      const { u32 } = this.heap;
      const page = ((ptr >>> 12) - this.firstPage) >>> 0;
      if (page < this.pageCount && u32[this.control] === POOL_MAGIC) {
        const word = (u32[(this.table + page) | 0]! + (ptr >>> 8)) | 0;
        const held = (((word - ((ptr >>> 8) & 15) + PAGE_WORDS) << 2) + ((ptr >>> 4) & 255)) >>> 0;
        const { head, u8 } = this;
        const room = u32[head + ROOM]!;
        if (room !== 0 && ((u32[word]! >>> ((ptr >>> 4) & 15)) & BOTH) === BOTH && u8[held] === 0) {
          // Held after it is in the magazine, for the same reason.
          u32[ptr >>> 2] = u32[head]!;
          u32[head] = ptr;
          u8[held] = 1;
          u32[head + ROOM] = room - 1;
          return;
        }
      }
    }
    this.#freeSlowly(ptr);
  }

  override destroy(): void {
    this.#locked("destroy", () => {
      const { u32 } = this.heap;
      const magazines = [...magazinesOf(u32, this.control)];
      // Empty and without room, for cursors that remember them.
      for (const magazine of magazines) u32.fill(0, magazine >>> 2, (magazine + MAGAZINE.size) >>> 2);
      u32[this.control + MAGAZINES] = 0;
      this.inner.destroy();
      this.control = this.inner.control;
      this.head = this.control;
      for (const magazine of magazines) this.backing.free(magazine);
    });
  }

  override usableSize(ptr: Ptr): number {
    return this.#locked("usableSize", () => super.usableSize(ptr));
  }

  override isAssociated(ptr: Ptr): boolean {
    return this.#locked("isAssociated", () => super.isAssociated(ptr));
  }

  override stats(): PoolStats {
    return this.#locked("stats", () => super.stats());
  }

  override *blocks(): Generator<PoolBlock> {
    yield* this.#locked("blocks", () => [...super.blocks()]);
  }

  override dump(): string {
    return this.#locked("dump", () => super.dump());
  }

  override check(): void {
    this.#locked("check", () => {
      super.check();
      checkHeld(this.heap, this.control);
    });
  }

  /** @internal */
  override taken(): Ptr[] {
    return [...super.taken(), ...magazinesOf(this.heap.u32, this.control)];
  }

  /** @internal */
  override isLive(u32: Uint32Array, ptr: number): boolean {
    const { control } = this;
    return blockBits(u32, control, ptr) === BOTH && this.heap.u8[heldByte(u32, control, ptr)] === 0;
  }

  /** Serves what the magazine could not, and fills half of it. */
  #refill(size: number): Ptr {
    const outer = this.#enter("malloc");
    let thrown: unknown;
    try {
      const { inner } = this;
      if (!isCount(size) || size > this.memberSize || !this.#equip()) return inner.malloc(size);
      const { u32 } = this.heap;
      const first = u32[this.head]!;
      if (first !== 0) {
        // What malloc() would not take: it did not know the magazine or the page, or something wrote into the block.
        this.refresh();
        this.u8 = this.heap.u8;
        const isBlock = blockBits(u32, this.control, first) === BOTH;
        if (isBlock && this.u8[heldByte(u32, this.control, first)] === 1) return this.malloc(size);
        throw corrupt("malloc", first);
      }
      const magazine = this.head - HEAD;
      raiseLimit(u32, this.control, magazine);
      // The caller's block comes out last: had it two in hand, this agent's death would lose both.
      this.#fill(batchOf(u32, magazine) + 1);
      return u32[this.head] === 0 ? inner.malloc(size) : this.malloc(size);
    } catch (error) {
      throw (thrown = error);
    } finally {
      this.#leave(outer, thrown);
    }
  }

  /** Frees half of a full magazine, and refuses what is no live block. */
  #freeSlowly(ptr: Ptr): void {
    if (ptr === NULL && !this.isDestroyed) return;
    const outer = this.#enter("free");
    let thrown: unknown;
    try {
      const { inner } = this;
      const { u32, u8 } = this.heap;
      const isBlock = typeof ptr === "number" && blockBits(u32, this.control, ptr) === BOTH;
      if (!isBlock || u8[heldByte(u32, this.control, ptr)] !== 0) throw this.refusal("free", ptr);
      if (this.head === this.control + EMPTY) {
        // Before there is a magazine: had it this one and the other's memory in hand, this agent's death would lose both.
        inner.free(ptr);
        this.#equip();
        return;
      }
      const magazine = this.head - HEAD;
      raiseLimit(this.heap.u32, this.control, magazine);
      if (this.heap.u32[this.head + ROOM] !== 0) return push(inner, magazine, ptr);
      // This one first, for the same reason.
      inner.free(ptr);
      this.#drain(batchOf(this.heap.u32, magazine));
    } catch (error) {
      throw (thrown = error);
    } finally {
      this.#leave(outer, thrown);
    }
  }

  /** Fills an empty magazine, in order: each block is linked from the one before, and held then. */
  #fill(wanted: number): void {
    const { inner, control, head } = this;
    const { u32, u8 } = this.heap;
    let link = head;
    let left = wanted;
    // No buffer is taken for what nobody has asked for yet.
    for (; left > 0 && isAtHand(u32, control); left -= 1) {
      const ptr = inner.malloc();
      u32[ptr >>> 2] = 0;
      u32[link] = ptr;
      u8[this.#heldByte(u32, ptr)] = 1;
      link = ptr >>> 2;
    }
    u32[head + ROOM]! -= wanted - left;
  }

  /** Frees the first blocks of a full magazine: no longer held, out of it, then free. */
  #drain(count: number): void {
    const { inner, head } = this;
    const { u32, u8 } = this.heap;
    for (let left = count; left > 0; left -= 1) {
      const ptr = u32[head]!;
      const page = ((ptr >>> 12) - inner.firstPage) >>> 0;
      const held = page < inner.pageCount ? this.#heldByte(u32, ptr) : 0;
      if (ptr === 0 || u8[held] !== 1) throw corrupt("free", ptr);
      u8[held] = 0;
      u32[head] = u32[ptr >>> 2]!;
      u32[head + ROOM]! += 1;
      inner.free(asPtr(ptr));
    }
  }

  /** As {@link heldByte}, by the page table that the private pool has just looked at. */
  #heldByte(u32: Uint32Array, ptr: number): number {
    const page = ((ptr >>> 12) - this.inner.firstPage) >>> 0;
    const word = (u32[(this.inner.table + page) | 0]! + (ptr >>> 8)) | 0;
    return (((word - ((ptr >>> 8) & 15) + PAGE_WORDS) << 2) + ((ptr >>> 4) & 255)) >>> 0;
  }

  /** Finds this agent's magazine. False when there is no room for one. */
  #equip(): boolean {
    if (this.head !== this.control + EMPTY) return true;
    const { shared } = this;
    const { slot } = shared;
    const magazine = magazineFor(this.inner, slot, generationOf(shared, slot), (of, generation) =>
      isPresent(shared, of, generation),
    );
    if (magazine === NULL) return false;
    this.head = (magazine >>> 2) + HEAD;
    return true;
  }

  #locked<T>(call: string, act: () => T): T {
    const outer = this.#enter(call);
    let thrown: unknown;
    try {
      return act();
    } catch (error) {
      throw (thrown = error);
    } finally {
      this.#leave(outer, thrown);
    }
  }

  /** Takes the lock, repairs what a dead holder left, and takes back what agents held that are gone. */
  #enter(call: string): boolean {
    const outer = this.lock.enter(call);
    try {
      const u32 = this.expectAlive(call);
      const { control, inner, shared } = this;
      const { deaths } = this.lock;
      if (u32[control + DEATHS] !== deaths) {
        dropPending(this.backing, control);
        recoverFixed(u32, control);
        u32[control + DEATHS] = deaths;
      }
      inner.refresh();
      const departures = departuresOf(shared);
      if (u32[control + DEPARTURES] !== departures) {
        giveBackOfGone(inner, (of, generation) => isPresent(shared, of, generation));
        u32[control + DEPARTURES] = departures;
      }
    } catch (error) {
      this.lock.leave(outer, error);
      throw error;
    }
    return outer;
  }

  #leave(outer: boolean, thrown: unknown): void {
    try {
      this.refresh();
      this.u8 = this.heap.u8;
    } finally {
      this.lock.leave(outer, thrown);
    }
  }
}
