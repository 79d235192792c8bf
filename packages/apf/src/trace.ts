/**
 * A record of who was allocated and freed when, and the free intervals in it. Slots are any numbers: addresses, indices.
 *
 * @module
 */
import { badArgument } from "./misuse.ts";

/** From when a slot was freed to when it was handed out again, both on the clock of allocations. */
export interface FreeInterval {
  /** Allocations before it was freed. */
  readonly start: number;
  /** Number of the allocation that took it, from 0. */
  readonly end: number;
}

/**
 * Allocations and frees in the order in which they happened.
 *
 * @example
 * ```ts
 * const trace = new Trace();
 * trace.allocate(1);
 * trace.free(1);
 * trace.allocate(1);
 * trace.intervals(); // [{ start: 1, end: 1 }]
 * ```
 */
export class Trace {
  /** Allocations so far. */
  allocations = 0;
  readonly #freed: Map<number, number> = new Map();
  readonly #live: Set<number> = new Set();
  readonly #intervals: FreeInterval[] = [];

  /**
   * Notes that a slot is handed out. A slot that is new to the trace ends no interval.
   *
   * @param slot - any number
   * @throws HeapError `ERR_INVALID_ARGUMENT` for a slot that is live
   */
  allocate(slot: number): void {
    if (this.#live.has(slot)) throw badArgument("Trace.allocate", "the slot", slot, "one that is not live");
    const start = this.#freed.get(slot);
    if (start !== undefined) this.#intervals.push({ start, end: this.allocations });
    this.#freed.delete(slot);
    this.#live.add(slot);
    this.allocations += 1;
  }

  /**
   * Notes that a slot is given back. It may have been handed out before the trace began.
   *
   * @param slot - any number
   * @throws HeapError `ERR_INVALID_ARGUMENT` for a slot that is free
   */
  free(slot: number): void {
    if (this.#freed.has(slot)) throw badArgument("Trace.free", "the slot", slot, "one that is not free");
    this.#live.delete(slot);
    this.#freed.set(slot, this.allocations);
  }

  /** The free intervals so far, by the allocations that ended them. */
  intervals(): readonly FreeInterval[] {
    return this.#intervals;
  }

  /** Whether every slot that is freed was handed out in the trace, and no slot twice. */
  static isValid(events: Iterable<readonly [kind: "allocate" | "free", slot: number]>): boolean {
    const live = new Set<number>();
    for (const [kind, slot] of events) {
      if (live.has(slot) === (kind === "allocate")) return false;
      if (kind === "allocate") live.add(slot);
      else live.delete(slot);
    }
    return true;
  }
}
