/**
 * The liveness timescale function: how many objects are live, on average, at some time in a window of k ticks. Where the
 * clock counts every operation it is the other half of the demand, live(k) - live(0) - reuse(k); on the clock of
 * allocations, which the tuner uses, live(k) - live(0) is k.
 *
 * An object that is allocated at `a` and freed at `f` meets the windows that end at `a` or later and begin at `f` or before.
 * Of the `i = n - k + 1` windows there are, these are `min(i, f) - max(k, a) + k`; an object that was never freed has an f
 * beyond all windows. The sums over all objects follow from four running ones, kept for every tick.
 *
 * @module
 */
import { badArgument, isCount } from "./misuse.ts";

/**
 * Counts allocations and frees by ticks of a clock.
 *
 * @example
 * ```ts
 * const counter = new LivenessCounter();
 * counter.tick();
 * counter.allocate();
 * counter.live(1); // 1
 * ```
 */
export class LivenessCounter {
  /** By tick: objects allocated until then, the sum of their times; objects freed, the sum of their times. */
  readonly #allocated: number[] = [0];
  readonly #allocatedSum: number[] = [0];
  readonly #freed: number[] = [0];
  readonly #freedSum: number[] = [0];

  /** Ticks so far. */
  get clock(): number {
    return this.#allocated.length - 1;
  }

  /** The next tick; the first is 1. */
  tick(): void {
    for (const sums of [this.#allocated, this.#allocatedSum, this.#freed, this.#freedSum]) sums.push(sums.at(-1)!);
  }

  /** Notes an allocation in this tick. */
  allocate(): void {
    this.#allocated[this.clock]! += 1;
    this.#allocatedSum[this.clock]! += this.clock;
  }

  /** Notes that an object is freed in this tick. */
  free(): void {
    this.#freed[this.clock]! += 1;
    this.#freedSum[this.clock]! += this.clock;
  }

  /**
   * @param k - ticks of a window, a whole number from 0
   * @returns the mean number of objects that are live at some time in one; 0 for windows longer than the clock
   * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but a whole number from 0
   */
  live(k: number): number {
    if (!isCount(k)) throw badArgument("live", "k", k, "a whole number from 0");
    const n = this.clock;
    const windows = n - k + 1;
    if (windows <= 0) return 0;
    const objects = this.#allocated[n]!;
    // Windows of no tick: one more than there are ticks.
    const until = Math.min(windows, n);
    const begins = (objects - this.#freed[until]!) * windows + this.#freedSum[until]!;
    const ends = this.#allocated[k]! * k + this.#allocatedSum[n]! - this.#allocatedSum[k]!;
    return (begins + objects * k - ends) / windows;
  }
}
