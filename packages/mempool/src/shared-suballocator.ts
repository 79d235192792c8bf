/**
 * The pool in a shared heap: the private one over the same control block, used under the heap's lock. With magazines each
 * agent serves single blocks from one of its own, without the lock, and goes to the pool for half a magazine at a time.
 *
 * @module
 */
import { type Lock, NULL, type Ptr, type SharedHeap } from "@heapwright/core";
import { departuresOf, generationOf, isPresent } from "@heapwright/core/engine";

import { checkHeld } from "./check.ts";
import { Opened, unmakePool } from "./control.ts";
import { blocksOf, dumpOf, type MempoolBlock, type MempoolStats, statsOf } from "./inspect.ts";
import { CONTROL, HELD, MAGAZINE } from "./layout.ts";
import { discardMagazines, giveBack, giveBackOfGone, magazineFor, magazinesOf, pop, push } from "./magazines.ts";
import { NONE } from "./marks.ts";
import { isCount } from "./misuse.ts";
import { recoverPool } from "./recover.ts";
import { Suballocator } from "./suballocator.ts";

const DEATHS = CONTROL.offsets.deaths >>> 2;
const DEPARTURES = CONTROL.offsets.departures >>> 2;
const DEPTH = CONTROL.offsets.depth >>> 2;
const COUNT = MAGAZINE.offsets.count >>> 2;
const ENTRIES = MAGAZINE.size >>> 2;

/** Hands out blocks of one size to several workers. */
export class SharedSuballocator extends Suballocator {
  /** @internal The pool without a lock, for what is done under it. */
  declare readonly inner: Suballocator;
  /** @internal */
  declare readonly lock: Lock;
  /** @internal */
  declare readonly shared: SharedHeap;
  /** @internal Blocks of a magazine, 0: there are none. */
  declare readonly depth: number;
  /** @internal Word address of this agent's magazine, 0: it has none yet. */
  declare magazine: number;
  /** @internal The run length of what is in it. */
  declare readonly held: number;

  /** @internal */
  constructor(inner: Suballocator, heap: SharedHeap) {
    super(new Opened(inner.backing, inner.handle, inner.report));
    this.inner = inner;
    this.lock = heap.lock;
    this.shared = heap;
    this.depth = this.words[this.control + DEPTH]!;
    this.magazine = 0;
    this.held = (HELD | heap.slot) >>> 0;
  }

  override malloc(size: number): Ptr {
    if (typeof size === "number" && size <= this.blockSize && size >>> 0 === size && this.magazine !== 0) {
      const { u32 } = this.shared;
      const { magazine } = this;
      const count = u32[magazine + COUNT]!;
      if (count > 0) {
        const block = u32[(magazine + ENTRIES + count - 1) | 0]!;
        const run = (this.runs + block) | 0;
        if (block < this.count && u32[run] === this.held) {
          // Not held first: what is held is in the magazine at each instant.
          u32[run] = 1;
          u32[magazine + COUNT] = count - 1;
          return ((this.origin + Math.imul(block, this.blockSize)) >>> 0) as Ptr;
        }
      }
    }
    return this.#take(size);
  }

  override free(ptr: Ptr): void {
    if (typeof ptr === "number" && ptr >>> 0 === ptr && this.magazine !== 0) {
      const product = Math.imul((ptr - this.origin) | 0, this.inverse);
      const block = ((product >>> this.shift) | (product << (32 - this.shift))) >>> 0;
      const { u32 } = this.shared;
      const { magazine } = this;
      const count = u32[magazine + COUNT]!;
      if (block < this.count && count < this.depth) {
        const run = (this.runs + block) | 0;
        if (u32[run] === 1) {
          u32[(magazine + ENTRIES + count) | 0] = block;
          u32[magazine + COUNT] = count + 1;
          // Held last, for the same reason.
          u32[run] = this.held;
          return;
        }
      }
    }
    this.#give(ptr);
  }

  override realloc(ptr: Ptr, size: number): Ptr {
    // All under one lock: who could not get it for the last step would be left with both blocks.
    return this.#locked("realloc", () => super.realloc(ptr, size));
  }

  override destroy(): void {
    this.#locked("destroy", () => {
      const { handle } = this;
      discardMagazines(this.backing, this.control);
      this.inner.forget();
      this.forget();
      this.magazine = 0;
      unmakePool(this.backing, handle);
    });
  }

  override stats(): MempoolStats {
    return this.#locked("stats", (u32) => {
      const { control, backing, handle } = this;
      return statsOf(u32, control, backing, [handle, ...magazinesOf(u32, control)]);
    });
  }

  override *blocks(): Generator<MempoolBlock> {
    yield* this.#locked("blocks", (u32) => [...blocksOf(u32, this.control)]);
  }

  override dump(): string {
    return this.#locked("dump", (u32) => dumpOf(this.stats(), blocksOf(u32, this.control)));
  }

  override check(): void {
    this.#locked("check", (u32) => {
      this.inner.check();
      checkHeld(u32, this.control, this.shared.slot);
    });
  }

  /** @internal */
  override get hasFree(): boolean {
    return this.#locked("malloc", () => this.inner.hasFree);
  }

  /** @internal */
  override get isEmpty(): boolean {
    return this.#locked("realloc", () => this.inner.isEmpty);
  }

  /** Serves what the magazine could not, and fills half of it. */
  #take(size: number): Ptr {
    const outer = this.#enter("malloc");
    let thrown: unknown;
    try {
      const { inner, control, depth } = this;
      // A size that is none is refused before there is a magazine.
      if (depth === 0 || !isCount(size) || !this.#equip()) return inner.malloc(size);
      const { magazine } = this;
      const { u32 } = this.shared;
      if (size <= this.blockSize) {
        // The caller's block comes out last: had it two in hand, this agent's death would lose both.
        for (let room = (depth >>> 1) + 1 - u32[magazine + COUNT]!; room > 0; room -= 1) {
          const next = inner.malloc(0);
          if (next === NULL) break;
          push(u32, control, magazine, inner.find(u32, next));
        }
        const block = pop(u32, control, magazine);
        return block === NONE ? NULL : this.addressOf(block);
      }
      const ptr = inner.malloc(size);
      if (ptr !== NULL || u32[magazine + COUNT] === 0) return ptr;
      // What this agent holds itself may be what is wanted.
      giveBack(u32, control, magazine, depth);
      return inner.malloc(size);
    } catch (error) {
      throw (thrown = error);
    } finally {
      this.lock.leave(outer, thrown);
    }
  }

  /** Frees half of a full magazine, and what does not go into one; refuses what is no live block. */
  #give(ptr: Ptr): void {
    const outer = this.#enter("free");
    let thrown: unknown;
    try {
      const { inner, control, depth, magazine } = this;
      const block = inner.find(inner.words, ptr);
      const isSingle = block !== NONE && inner.words[this.runs + block] === 1;
      if (depth === 0 || !isSingle || magazine === 0) {
        // Before there is a magazine: had it this one and the other's memory in hand, this agent's death would lose both.
        inner.free(ptr);
        if (depth !== 0 && isSingle) this.#equip();
        return;
      }
      const { u32 } = this.shared;
      if (u32[magazine + COUNT]! >= depth) giveBack(u32, control, magazine, (depth + 1) >>> 1);
      push(u32, control, magazine, block);
    } catch (error) {
      throw (thrown = error);
    } finally {
      this.lock.leave(outer, thrown);
    }
  }

  /** Finds this agent's magazine. False when there is no room for one. */
  #equip(): boolean {
    if (this.magazine !== 0) return true;
    const { shared, control, backing } = this;
    const { slot } = shared;
    const found = magazineFor(backing, control, slot, generationOf(shared, slot), (of, generation) =>
      isPresent(shared, of, generation),
    );
    this.magazine = found >>> 2;
    return found !== NULL;
  }

  #locked<T>(call: string, act: (u32: Uint32Array) => T): T {
    const outer = this.#enter(call);
    let thrown: unknown;
    try {
      return act(this.inner.words);
    } catch (error) {
      throw (thrown = error);
    } finally {
      this.lock.leave(outer, thrown);
    }
  }

  /** Takes the lock, repairs what a dead holder left, and takes back what agents held that are gone. */
  #enter(call: string): boolean {
    const outer = this.lock.enter(call);
    try {
      const u32 = this.inner.expectAlive(call);
      const { control, shared } = this;
      const { deaths } = this.lock;
      if (u32[control + DEATHS] !== deaths) {
        recoverPool(u32, control);
        u32[control + DEATHS] = deaths;
      }
      const departures = departuresOf(shared);
      if (u32[control + DEPARTURES] !== departures) {
        giveBackOfGone(u32, control, (of, generation) => isPresent(shared, of, generation));
        u32[control + DEPARTURES] = departures;
      }
    } catch (error) {
      this.lock.leave(outer, error);
      throw error;
    }
    return outer;
  }
}
