/**
 * The reuse timescale function: how many free intervals lie, on average, inside a window of k consecutive allocations
 * (Li, Luo and Ding, "Timescale functions for parallel memory allocation", ISMM 2019).
 *
 * A block that is freed when `s` allocations of the burst have happened, and handed out again by allocation number `e`,
 * leaves the free interval [s, e] of length `L = e - s + 1`. Of the `n - k + 1` windows of k allocations in a burst of n,
 * `min(n - k, s) - max(0, e - k + 1) + 1` contain it, if `L <= k`. As a function of k that sum is piecewise linear: its slope
 * changes by 1 at L, by -1 at e + 2 and by -1 at n - s + 1. So the sum over all intervals for every k needs the changes of
 * slope only, and these may be counted as they come.
 *
 * They are counted in bins, and the function is kept at the upper ends of these, the knots: each k up to 16, then 8 for
 * each doubling, at last n. There it is exact; in between it is interpolated. The words may lie in a heap or anywhere:
 *
 * ```text
 *   words   +0                                            +2 * knots
 *           | for each knot: sum of changes, and of         | for each knot: windows * reuse(knot), |
 *           | changes times the k at which they are         | 0 until a burst is over               |
 * ```
 *
 * All sums are modulo 2^32: what they add up to is at most n^2 / 4, so n is at most 65,535.
 *
 * @module
 */

/** log2 of the knots for each doubling. */
const STEP_SHIFT_BITS = 3;
const STEPS = 8;

/** How many words a burst of n allocations takes. */
export function reuseWords(n: number): number {
  return curveAt(n) + knotOf(n) + 1;
}

/** Where the curve begins: behind two words for each knot up to n + 1. */
function curveAt(n: number): number {
  return 2 * (knotOf(n + 1) + 1);
}

/** Forgets what was counted, and keeps the curve: every allocation is counted as the end of an interval beforehand. */
export function beginBurst(u32: Uint32Array, at: number, n: number): void {
  let from = 2;
  for (let knot = 0; knot <= knotOf(n + 1); knot += 1) {
    const to = Math.min(knotAt(knot), n + 1);
    const count = Math.max(0, to - from + 1);
    u32[at + 2 * knot] = -count;
    u32[at + 2 * knot + 1] = -(count * (from + to)) / 2;
    from = Math.max(from, to + 1);
  }
}

/**
 * Counts a free interval of a burst of n allocations: from `start` allocations on to allocation number `end`. A change of
 * slope at n + 1, which may come of it, changes nothing up to n.
 */
export function countInterval(u32: Uint32Array, at: number, n: number, start: number, end: number): void {
  addChange(u32, at, end - start + 1, 1);
  addChange(u32, at, n - start + 1, -1);
}

/** Counts an allocation that ends no interval. */
export function countFirst(u32: Uint32Array, at: number, end: number): void {
  addChange(u32, at, end + 2, 1);
}

function addChange(u32: Uint32Array, at: number, k: number, change: number): void {
  const bin = (at + 2 * knotOf(k)) | 0;
  u32[bin] = u32[bin]! + change;
  u32[(bin + 1) | 0] = u32[(bin + 1) | 0]! + k * change;
}

/** Makes the curve of what has been counted. O(knots). */
export function endBurst(u32: Uint32Array, at: number, n: number): void {
  let slope = 0;
  let moment = 0;
  for (let knot = 0; knot <= knotOf(n); knot += 1) {
    slope = (slope + u32[at + 2 * knot]!) | 0;
    moment = (moment + u32[at + 2 * knot + 1]!) | 0;
    u32[at + curveAt(n) + knot] = Math.imul(slope, Math.min(knotAt(knot), n) + 1) - moment;
  }
}

/**
 * The function itself. O(1). Beyond the burst it is continued by whole bursts, which is a lower bound where one burst is
 * like the next.
 *
 * @param k - allocations of a window, a whole number from 0
 * @returns between 0 and k
 */
export function reuse(u32: Uint32Array, at: number, n: number, k: number): number {
  if (k > n) {
    const bursts = Math.floor(k / n);
    return bursts * reuse(u32, at, n, n) + reuse(u32, at, n, k - bursts * n);
  }
  if (k === 0) return 0;
  const right = knotOf(k);
  const to = Math.min(knotAt(right), n);
  const value = valueAt(u32, at, n, right, to);
  if (to === k) return value;
  const from = knotAt(right - 1);
  const left = valueAt(u32, at, n, right - 1, from);
  return left + ((value - left) * (k - from)) / (to - from);
}

/** The value at a knot, which lies at k. */
function valueAt(u32: Uint32Array, at: number, n: number, knot: number, k: number): number {
  return u32[at + curveAt(n) + knot]! / (n - k + 1);
}

/** The first knot from k on, a whole number from 1. */
function knotOf(k: number): number {
  const step = 31 - STEP_SHIFT_BITS - Math.clz32((k - 1) | STEPS);
  return (step << STEP_SHIFT_BITS) + ((k - 1) >>> step);
}

/** Where a knot lies. */
function knotAt(knot: number): number {
  const step = Math.max(0, (knot >>> STEP_SHIFT_BITS) - 1);
  return (knot + 1 - (step << STEP_SHIFT_BITS)) << step;
}
