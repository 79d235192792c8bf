/**
 * What each worker of a storm runs: random operations on its blocks, each of which may be its last.
 *
 * @module
 */
import { asPtr, HeapError, NULL, type Ptr, type SharedHeap } from "@heapwright/core";
import type { Random } from "@heapwright/core/testing";

import { draw, KINDS, openAll, type Stormed } from "./allocators.ts";
import { CELLS, type Holding, INTENT, type Ledger } from "./ledger.ts";
import { damageIn, fill } from "./pattern.ts";

/** How often a program has the whole heap rebuilt: death may come in the middle of that too. */
const RECOVER_SHARE = 0.01;
const CALLOC_SHARE = 0.15;
const ALIGNED_SHARE = 0.05;
const ALIGNMENT_SHIFTS = 11;

export class Program {
  readonly #heap: SharedHeap;
  readonly #ledger: Ledger;
  readonly #seat: number;
  readonly #random: Random;
  readonly #allocators: readonly Stormed[];

  constructor(heap: SharedHeap, ledger: Ledger, seat: number, random: Random) {
    this.#heap = heap;
    this.#ledger = ledger;
    this.#seat = seat;
    this.#random = random;
    this.#allocators = this.#patiently(() => openAll(heap));
  }

  /** Until it is told to stop. */
  run(): void {
    const ledger = this.#ledger;
    while (!ledger.isStopped) {
      // In this order: who has begun is waited for in a pause.
      ledger.countOperation(this.#seat);
      ledger.keepPause(this.#seat);
      this.#step(this.#below(ledger.appetite));
    }
  }

  #step(entry: number): void {
    const holding = this.#ledger.entry(this.#seat, entry);
    if (this.#random() < RECOVER_SHARE) this.#recover();
    const choice = this.#random();
    if (holding.ptr === NULL) {
      if (choice < 0.3) this.#take(entry);
      else this.#allocate(entry);
      return;
    }
    this.#verify(holding);
    if (choice < 0.4) this.#free(entry, holding);
    else if (choice < 0.65) this.#put(entry, holding);
    else if (choice < 0.9) this.#realloc(entry, holding);
  }

  #allocate(entry: number): void {
    const kind = draw(this.#random);
    const size = KINDS[kind]?.size(this.#random) ?? 0;
    const act = this.#random();
    this.#ledger.intend(this.#seat, INTENT.ALLOCATE, entry);
    const ptr = this.#patiently(() => {
      const allocator = this.#allocator(kind);
      if (act < CALLOC_SHARE && allocator.calloc !== undefined) return this.#zeroed(allocator.calloc(1, size), size);
      if (act < CALLOC_SHARE + ALIGNED_SHARE && allocator.alignedAlloc !== undefined) {
        return allocator.alignedAlloc(2 ** this.#below(ALIGNMENT_SHIFTS), size);
      }
      return allocator.malloc(size);
    });
    if (ptr === NULL) this.#ledger.countRefusal(this.#seat);
    else this.#own(entry, { ptr, size, key: this.#key(), allocator: kind });
    this.#ledger.settle(this.#seat);
  }

  #free(entry: number, { ptr, allocator }: Holding): void {
    this.#ledger.intend(this.#seat, INTENT.FREE, entry);
    this.#patiently(() => this.#allocator(allocator).free(asPtr(ptr)));
    this.#ledger.clearEntry(this.#seat, entry);
    this.#ledger.settle(this.#seat);
  }

  #realloc(entry: number, holding: Holding): void {
    const { ptr, allocator } = holding;
    const stormed = this.#allocator(allocator);
    if (stormed.realloc === undefined) return;
    const size = KINDS[allocator]?.size(this.#random) ?? 0;
    this.#ledger.intend(this.#seat, INTENT.REALLOC, entry);
    const moved = this.#patiently(() => stormed.realloc?.(asPtr(ptr), size) ?? NULL);
    if (moved === NULL) {
      this.#ledger.countRefusal(this.#seat);
    } else {
      this.#verify({ ...holding, ptr: moved }, size);
      this.#own(entry, { ptr: moved, size, key: this.#key(), allocator });
    }
    this.#ledger.settle(this.#seat);
  }

  /** Gives a block to whoever takes it. */
  #put(entry: number, holding: Holding): void {
    const cell = this.#below(CELLS);
    this.#ledger.intend(this.#seat, INTENT.PUT, entry, cell);
    if (this.#ledger.openToPut(this.#seat, cell)) {
      this.#ledger.setCell(cell, holding);
      this.#ledger.closeFull(cell);
      this.#ledger.clearEntry(this.#seat, entry);
    }
    this.#ledger.settle(this.#seat);
  }

  /** Takes a block that another program has given. */
  #take(entry: number): void {
    const cell = this.#below(CELLS);
    this.#ledger.intend(this.#seat, INTENT.TAKE, entry, cell);
    if (this.#ledger.openToTake(this.#seat, cell)) {
      const holding = this.#ledger.cell(cell);
      this.#ledger.setEntry(this.#seat, entry, holding);
      this.#ledger.closeEmpty(cell);
      this.#verify(holding);
    }
    this.#ledger.settle(this.#seat);
  }

  #recover(): void {
    this.#ledger.intend(this.#seat, INTENT.RECOVER, 0);
    this.#patiently(() => this.#heap.recover());
    this.#ledger.settle(this.#seat);
  }

  #own(entry: number, holding: Holding): void {
    fill(this.#heap.u32, holding);
    this.#ledger.setEntry(this.#seat, entry, holding);
  }

  #verify(holding: Holding, upTo: number = holding.size): void {
    const at = damageIn(this.#heap.u32, holding, upTo);
    if (at < 0) return;
    const { ptr, size, allocator } = holding;
    throw new Error(`byte ${at} of the ${size}-byte block at ${ptr} of the ${KINDS[allocator]?.name} has changed`);
  }

  #zeroed(ptr: Ptr, size: number): Ptr {
    const { u32 } = this.#heap;
    const words = ptr === NULL ? 0 : size >>> 2;
    for (let at = 0; at < words; at += 1) {
      if (u32[(ptr >>> 2) + at] !== 0) throw new Error(`calloc: byte ${at * 4} of the block at ${ptr} is not 0`);
    }
    return ptr;
  }

  /** Does something as often as the lock is not to be had: whether that is for ever, others notice. */
  #patiently<T>(act: () => T): T {
    for (;;) {
      try {
        return act();
      } catch (error) {
        if (!(error instanceof HeapError && error.code === "ERR_WOULD_BLOCK")) throw error;
        this.#ledger.countWait(this.#seat);
      }
    }
  }

  #allocator(kind: number): Stormed {
    const allocator = this.#allocators[kind];
    if (allocator === undefined) throw new Error(`a block of allocator ${kind}`);
    return allocator;
  }
  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
  #key(): number {
    return Math.floor(this.#random() * 2 ** 32);
  }
}
