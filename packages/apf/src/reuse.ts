/**
 * The reuse timescale function: how many free intervals lie, on average, inside a window of k consecutive allocations
 * (Li, Luo and Ding, "Timescale functions for parallel memory allocation", ISMM 2019). A block that comes back within the
 * window need not be fetched for it: what must come from elsewhere, the demand, is k - reuse(k).
 *
 * Of the `n - k + 1` windows of k allocations among n, `min(n - k, s) - max(0, e - k + 1) + 1` contain the free interval
 * [s, e], if its length `L = e - s + 1` is at most k. As a function of k that is linear but for three changes of slope: by 1
 * at L, by -1 at e + 2 and by -1 at n - s + 1. So the sum over all intervals takes one pass over them and one over k.
 *
 * The tuner needs the function of a cache, whose blocks come and go at its top, and gets it more cheaply (see tuner); here
 * it is for any trace, and the tests hold the one against the other.
 *
 * @module
 */
import { badArgument, isCount } from "./misuse.ts";
import { type FreeInterval, Trace } from "./trace.ts";

/**
 * reuse(k) for every k. O(n + intervals).
 *
 * @param n - allocations of the trace, from 0
 * @param intervals - its free intervals
 * @returns n + 1 values, by k; that of 0 is 0
 * @example
 * ```ts
 * reuseFunction(2, [{ start: 0, end: 1 }]); // [0, 0, 1]
 * ```
 */
export function reuseFunction(n: number, intervals: Iterable<FreeInterval>): Float64Array {
  const changes = new Int32Array(n + 3);
  for (const { start, end } of intervals) {
    changes[end - start + 1]! += 1;
    changes[end + 2]! -= 1;
    changes[n - start + 1]! -= 1;
  }
  const values = new Float64Array(n + 1);
  let slope = 0;
  let sum = 0;
  for (let k = 1; k <= n; k += 1) {
    slope += changes[k]!;
    sum += slope;
    values[k] = sum / (n - k + 1);
  }
  return values;
}

/**
 * Follows a program in bursts: it records so many allocations, makes their reuse function, then sleeps for as many others
 * as it is told, and begins again.
 *
 * @example
 * ```ts
 * const counter = new ReuseCounter(5000, 10_000);
 * counter.allocate(ptr);
 * counter.free(ptr);
 * counter.reuse(2500); // undefined until 5000 allocations have happened
 * ```
 */
export class ReuseCounter {
  readonly #burst: number;
  readonly #hibernation: number;
  #trace = new Trace();
  #isAwake = true;
  #slept = 0;
  #values: Float64Array | undefined;

  /**
   * @param burst - allocations of a burst, a whole number from 1
   * @param hibernation - allocations between two bursts, a whole number from 0
   * @throws HeapError `ERR_INVALID_ARGUMENT` for anything else
   */
  constructor(burst: number, hibernation: number) {
    if (!isCount(burst) || burst === 0) throw badArgument("ReuseCounter", "burst", burst, "a whole number from 1");
    if (!isCount(hibernation)) throw badArgument("ReuseCounter", "hibernation", hibernation, "a whole number from 0");
    this.#burst = burst;
    this.#hibernation = hibernation;
  }

  /** Notes that a slot is handed out. */
  allocate(slot: number): void {
    if (this.#isAwake) {
      this.#trace.allocate(slot);
      if (this.#trace.allocations === this.#burst) this.#fallAsleep();
      return;
    }
    this.#slept += 1;
    if (this.#slept === this.#hibernation) this.#wakeUp();
  }

  /** Notes that a slot is given back. */
  free(slot: number): void {
    if (this.#isAwake) this.#trace.free(slot);
  }

  /**
   * @param k - allocations of a window, a whole number from 0
   * @returns the mean number of free intervals in such a window of the last burst; beyond its length that of whole bursts and
   * the rest, a lower bound where one burst is like the next; `undefined` before the first burst is over
   */
  reuse(k: number): number | undefined {
    if (this.#values === undefined) return undefined;
    const bursts = Math.floor(k / this.#burst);
    return bursts * this.#values[this.#burst]! + this.#values[k - bursts * this.#burst]!;
  }

  #fallAsleep(): void {
    this.#values = reuseFunction(this.#burst, this.#trace.intervals());
    this.#isAwake = false;
    this.#slept = 0;
    if (this.#hibernation === 0) this.#wakeUp();
  }

  #wakeUp(): void {
    this.#trace = new Trace();
    this.#isAwake = true;
  }
}
