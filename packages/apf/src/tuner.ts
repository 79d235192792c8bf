/**
 * Decides how many blocks the caches hold. One tuner for each class of a worker, with a clock that counts allocations: for
 * a burst it watches the cache, makes the demand function of what it saw, then hibernates and uses it. A class gets its
 * tuner when its cache is filled for the second time.
 *
 * The demand for a window of k allocations is k less the reuse function of the paper (see reuse): what the blocks freed
 * within the window do not cover. For a cache that is a stack this is simply how far it falls below what it held when the
 * window began; and the same would be true of a cache that is never fetched for or returned from. So there is no need to
 * know which block is freed when. The burst is cut into steps; at each, the tuner notes how many blocks such a cache would
 * hold, its level, and how low it was meanwhile. That costs nothing but a mark on the blocks that the cache holds: those that
 * have none at the next step were pushed since, and the cache was as low as its last marked block.
 *
 * ```text
 *   tuner ->
 *   +0    end       clock at which the burst, or the hibernation, ends
 *   +4    steps     of the burst that is on; 0: it hibernates
 *   +8    step      which of them is on
 *   +12   length    allocations of a step
 *   +16   offset    blocks fetched less blocks returned since the burst began
 *   +20   low       lowest level in this step so far
 *   +24   curve     allocations of the burst that the curve is of, 0: there is none yet
 *   +28   origin    clock at the end of the first burst, and
 *   +32   fetches     fetches at that time
 *   +36   reserved
 *   +48   levels    at the beginning of each step
 *         lows      the lowest level in each step
 *         curve     for windows of 1, 2, ... steps: the sum of the demands of all that begin with a step
 * ```
 *
 * Levels begin at 2^31, since they may fall below what they were at first.
 *
 * @module
 */
import { asPtr, NULL, type Ptr } from "@heapwright/core";

import { cachedCount, markAll, MAX_CACHED_BLOCKS, setLimit } from "./caches.ts";
import type { Cursor } from "./cursor.ts";
import { fetchCount, returnCount, returnLimit, windowOf } from "./demand.ts";
import { CLASS_COUNT, CONTROL, FLAG, PAGE_BYTES, RECORD, RECORD_WORDS, WORKER } from "./layout.ts";
import { SIZES } from "./size-classes.ts";

const DUE = RECORD.offsets.due >>> 2;
const TUNER = RECORD.offsets.tuner >>> 2;
const FETCHES = RECORD.offsets.fetches >>> 2;
const RETURNS = RECORD.offsets.returns >>> 2;
const LIMIT = RECORD.offsets.limit >>> 2;
const HELD = RECORD.offsets.held >>> 2;
const HELD_DUE = RECORD.offsets.heldDue >>> 2;
const HELD_PAGES = RECORD.offsets.pages >>> 2;
const DEPTH = (WORKER.offsets.depth >>> 2) - (WORKER.offsets.records >>> 2);
const TARGET = CONTROL.offsets.target >>> 2;
const BURST = CONTROL.offsets.burst >>> 2;
const HIBERNATION = CONTROL.offsets.hibernation >>> 2;
const FLAGS = CONTROL.offsets.flags >>> 2;
const END = 0;
const STEPS = 1;
const STEP = 2;
const LENGTH = 3;
const OFFSET = 4;
const LOW = 5;
const CURVE = 6;
const ORIGIN = 7;
const ORIGIN_FETCHES = 8;
const LEVELS = 12;
const ZERO_LEVEL = 0x8000_0000;
const ROOM_MASK = 0x1fff;
const LEFT_SHIFT_BITS = 13;
const LEFT_MASK = 0xfff;
/** Steps of a burst at most. */
const MAX_STEPS = 64;
const TUNER_WORDS = LEVELS + 3 * MAX_STEPS;
/** The limit is looked at again after the window shifted by this, and at least and at most so many allocations. */
const LOOK_SHIFT_BITS = 3;
const MIN_LEFT = 8;
const MAX_LEFT = 4000;
/** A demand is not met beyond that, so that the cache has slots for what the rules let it hold. */
const MAX_DEMAND_BLOCKS = (MAX_CACHED_BLOCKS - 1) / 2;
/** What a cache may hold without a curve, and what is fetched at most: so many bytes, or a quarter of what its class has. */
const CACHE_BYTES = 16_384;
const CACHE_SHARE_SHIFT_BITS = 2;
/** What is fetched at a time without a curve: so many bytes, or a share of what its class has; and blocks at most. */
const FIRST_FETCH_BYTES = 2048;
const FIRST_FETCH_SHARE_SHIFT_BITS = 5;
const FIRST_FETCH_BLOCKS = 64;
/** The least that is fetched and kept: below that rules cost more than blocks. */
const LEAST_BLOCKS = 16;
const LEAST_BYTES = 2048;

/** Whether caches are tuned now. */
export function isTuning(apf: Cursor): boolean {
  const { u32 } = apf.heap;
  return (u32[apf.control + FLAGS]! & FLAG.UNTUNED) === 0 && u32[apf.records + DEPTH] === 0;
}

/** Allocations of a class so far. */
export function clockOf(u32: Uint32Array, record: number): number {
  return (u32[record + DUE]! - ((u32[record]! >>> LEFT_SHIFT_BITS) & LEFT_MASK)) >>> 0;
}

/** Lets malloc do so many allocations before it asks again. */
function letPass(u32: Uint32Array, record: number, allocations: number): void {
  u32[record + DUE] = clockOf(u32, record) + allocations;
  u32[record] = (u32[record]! & ROOM_MASK) | (allocations << LEFT_SHIFT_BITS);
}

/** Called when malloc has to ask: passes from step to step, from burst to hibernation and back. */
export function tick(apf: Cursor, record: number, sizeClass: number): void {
  const { u32 } = apf.heap;
  const tuner = u32[record + TUNER]! >>> 2;
  if (tuner === 0 || !isTuning(apf)) return letPass(u32, record, MAX_LEFT);
  if (u32[tuner + STEPS] !== 0) endStep(apf, u32, record, tuner);
  else if (clockOf(u32, record) === u32[tuner + END]) beginBurst(apf, u32, record, tuner);
  else letPass(u32, record, untilLook(apf, u32, record, tuner));
  adjustLimit(apf, record, sizeClass);
}

/** Allocations until the limit is to be looked at again: the less the nearer the window's end is, where it falls. */
function untilLook(apf: Cursor, u32: Uint32Array, record: number, tuner: number): number {
  const window = windowNow(apf, u32, record, tuner);
  const left = (u32[tuner + END]! - clockOf(u32, record)) >>> 0;
  return Math.min(left, window, Math.max(MIN_LEFT, Math.min(window >>> LOOK_SHIFT_BITS, MAX_LEFT)));
}

/** Allocations until the next fetch is due. */
function windowNow(apf: Cursor, u32: Uint32Array, record: number, tuner: number): number {
  const fetches = u32[record + FETCHES]! - u32[tuner + ORIGIN_FETCHES]!;
  return windowOf(u32[apf.control + TARGET]!, (clockOf(u32, record) - u32[tuner + ORIGIN]!) >>> 0, fetches);
}

function beginBurst(apf: Cursor, u32: Uint32Array, record: number, tuner: number): void {
  const burst = u32[apf.control + BURST]!;
  const length = Math.ceil(burst / MAX_STEPS);
  u32[tuner + END] = clockOf(u32, record) + burst;
  u32[tuner + LENGTH] = length;
  u32[tuner + STEPS] = Math.ceil(burst / length);
  u32[tuner + STEP] = 0;
  u32[tuner + OFFSET] = 0;
  markAll(u32, record);
  beginStep(u32, record, tuner);
}

function beginStep(u32: Uint32Array, record: number, tuner: number): void {
  const level = levelOf(u32, tuner, cachedCount(u32, record));
  u32[tuner + LEVELS + u32[tuner + STEP]!] = level;
  u32[tuner + LOW] = level;
  letPass(u32, record, Math.min(u32[tuner + LENGTH]!, (u32[tuner + END]! - clockOf(u32, record)) >>> 0));
}

function levelOf(u32: Uint32Array, tuner: number, cached: number): number {
  return (ZERO_LEVEL + cached - u32[tuner + OFFSET]!) >>> 0;
}

function endStep(apf: Cursor, u32: Uint32Array, record: number, tuner: number): void {
  noteLow(u32, record, tuner);
  u32[tuner + LEVELS + MAX_STEPS + u32[tuner + STEP]!] = u32[tuner + LOW]!;
  u32[tuner + STEP]! += 1;
  if (u32[tuner + STEP] === u32[tuner + STEPS]) endBurst(apf, u32, record, tuner);
  else beginStep(u32, record, tuner);
}

/** Takes note of how low the cache has been since all its blocks were marked. */
function noteLow(u32: Uint32Array, record: number, tuner: number): void {
  u32[tuner + LOW] = Math.min(u32[tuner + LOW]!, levelOf(u32, tuner, markAll(u32, record)));
}

/**
 * Makes the curve. For each step, how far the cache fell below its level there until this and any later step. O(steps^2),
 * at most 2,080 comparisons for a whole burst.
 */
function endBurst(apf: Cursor, u32: Uint32Array, record: number, tuner: number): void {
  const steps = u32[tuner + STEPS]!;
  const lows = tuner + LEVELS + MAX_STEPS;
  const curve = lows + MAX_STEPS;
  u32.fill(0, curve, curve + MAX_STEPS);
  for (let from = 0; from < steps; from += 1) {
    const level = u32[tuner + LEVELS + from]!;
    let low = level;
    for (let to = from; to < steps; to += 1) {
      low = Math.min(low, u32[lows + to]!);
      u32[curve + to - from]! += level - low;
    }
  }
  const clock = clockOf(u32, record);
  if (u32[tuner + CURVE] === 0) {
    u32[tuner + ORIGIN] = clock;
    u32[tuner + ORIGIN_FETCHES] = u32[record + FETCHES]!;
  }
  u32[tuner + CURVE] = u32[apf.control + BURST]!;
  u32[tuner + STEPS] = 0;
  u32[tuner + END] = clock + u32[apf.control + HIBERNATION]!;
  if (u32[apf.control + HIBERNATION] === 0) beginBurst(apf, u32, record, tuner);
  else letPass(u32, record, untilLook(apf, u32, record, tuner));
}

/** Called before blocks are returned from a cache, and before and after some are fetched, with how many more it holds. */
export function noteTransfer(apf: Cursor, record: number, count: number): void {
  const { u32 } = apf.heap;
  const tuner = u32[record + TUNER]! >>> 2;
  if (tuner === 0 || u32[tuner + STEPS] === 0 || !isTuning(apf)) return;
  noteLow(u32, record, tuner);
  u32[tuner + OFFSET]! += count;
}

/**
 * The demand function of the last burst: interpolated between steps, and continued by whole bursts, which is an upper bound
 * where one burst is like the next.
 *
 * @param k - allocations of a window
 * @returns blocks
 */
function demandFor(u32: Uint32Array, tuner: number, k: number): number {
  const burst = u32[tuner + CURVE]!;
  const length = u32[tuner + LENGTH]!;
  const steps = Math.ceil(burst / length);
  const bursts = Math.floor(k / burst);
  const whole = bursts === 0 ? 0 : bursts * valueAt(u32, tuner, steps, steps);
  const rest = (k - bursts * burst) / length;
  const left = Math.floor(rest);
  const value = valueAt(u32, tuner, steps, left);
  return whole + value + (valueAt(u32, tuner, steps, Math.min(left + 1, steps)) - value) * (rest - left);
}

/** The mean demand of windows of so many steps. */
function valueAt(u32: Uint32Array, tuner: number, steps: number, count: number): number {
  return count === 0 ? 0 : u32[tuner + LEVELS + 2 * MAX_STEPS + count - 1]! / (steps - count + 1);
}

/** Blocks that must come from outside the cache until the next fetch is due, from 0; -1 before the first burst is over. */
export function demandOf(apf: Cursor, record: number): number {
  const { u32 } = apf.heap;
  const tuner = u32[record + TUNER]! >>> 2;
  if (tuner === 0 || u32[tuner + CURVE] === 0 || !isTuning(apf)) return -1;
  // After many fetches the window may be longer than all that was seen.
  return demandFor(u32, tuner, Math.min(windowNow(apf, u32, record, tuner), clockOf(u32, record)));
}

/** Blocks to fetch into the empty cache of a class. Gives the class its tuner at the second time. */
export function wantedBlocks(apf: Cursor, record: number, sizeClass: number): number {
  if (apf.heap.u32[record + TUNER] === 0 && apf.heap.u32[record + FETCHES] !== 0 && isTuning(apf)) make(apf, record);
  const demand = demandOf(apf, record);
  if (demand < 0) {
    const bytes = Math.max(FIRST_FETCH_BYTES, shareOf(apf.heap.u32, record, FIRST_FETCH_SHARE_SHIFT_BITS));
    return blocksIn(bytes, sizeClass, FIRST_FETCH_BLOCKS);
  }
  return Math.min(Math.max(fetchCount(demand), leastBlocks(sizeClass)), mostBlocks(apf.heap.u32, record, sizeClass));
}

/** Blocks that a cache, which is full, returns before another one is freed. */
export function surplusBlocks(apf: Cursor, record: number, sizeClass: number): number {
  const { u32 } = apf.heap;
  const cached = cachedCount(u32, record);
  const demand = demandOf(apf, record);
  if (demand < 0) return cached < mostBlocks(u32, record, sizeClass) ? 0 : cached;
  return returnCount(cached, Math.min(Math.max(demand, leastBlocks(sizeClass)), MAX_DEMAND_BLOCKS));
}

/** Says how many blocks a cache may hold from now on. */
export function adjustLimit(apf: Cursor, record: number, sizeClass: number): void {
  const { u32 } = apf.heap;
  const demand = demandOf(apf, record);
  const wanted = Math.min(Math.max(demand, leastBlocks(sizeClass)), MAX_DEMAND_BLOCKS);
  setLimit(u32, record, demand < 0 ? mostBlocks(u32, record, sizeClass) : returnLimit(wanted));
}

/** What a cache may hold without a curve, and what may be fetched with one. */
function mostBlocks(u32: Uint32Array, record: number, sizeClass: number): number {
  const bytes = Math.max(CACHE_BYTES, shareOf(u32, record, CACHE_SHARE_SHIFT_BITS));
  return blocksIn(bytes, sizeClass, MAX_CACHED_BLOCKS);
}

/** Bytes that a class has in superblocks, shifted. */
function shareOf(u32: Uint32Array, record: number, shift: number): number {
  return (u32[record + HELD_PAGES]! * PAGE_BYTES) >>> shift;
}

function leastBlocks(sizeClass: number): number {
  return blocksIn(LEAST_BYTES, sizeClass, LEAST_BLOCKS);
}

function blocksIn(bytes: number, sizeClass: number, most: number): number {
  return Math.max(1, Math.min(most, Math.floor(bytes / SIZES[sizeClass]!)));
}

/** Makes a tuner, which begins with a burst. Without room for it there is none. */
function make(apf: Cursor, record: number): void {
  const block = apf.backing.malloc(TUNER_WORDS * 4);
  if (block === NULL) return;
  const { u32 } = apf.heap;
  u32.fill(0, block >>> 2, (block >>> 2) + TUNER_WORDS);
  u32[record + TUNER] = block;
  beginBurst(apf, u32, record, block >>> 2);
}

/** Makes a tuner whose class has lost its cache begin anew with the next allocation. */
export function restart(u32: Uint32Array, record: number): void {
  const tuner = u32[record + TUNER]! >>> 2;
  if (tuner === 0) return;
  u32.fill(0, tuner, tuner + TUNER_WORDS);
  u32[tuner + END] = clockOf(u32, record);
}

/** Stops the clocks of all classes. */
export function pause(apf: Cursor): void {
  const { u32 } = apf.heap;
  const isRunning = u32[apf.records + DEPTH] === 0;
  if (isRunning) for (const record of classRecords(apf)) noteTransfer(apf, record, -cachedCount(u32, record));
  u32[apf.records + DEPTH]! += 1;
  if (!isRunning) return;
  for (const [i, record] of classRecords(apf).entries()) {
    u32[record + HELD] = u32[record]! & ~ROOM_MASK;
    u32[record + HELD_DUE] = u32[record + DUE]!;
    letPass(u32, record, MAX_LEFT);
    adjustLimit(apf, record, i + 1);
  }
}

/** Lets them go on where they were. For the tuner, blocks that came and went meanwhile were fetched or returned. */
export function resume(apf: Cursor): void {
  const { u32 } = apf.heap;
  u32[apf.records + DEPTH]! -= 1;
  if (u32[apf.records + DEPTH] !== 0) return;
  for (const [i, record] of classRecords(apf).entries()) {
    u32[record] = (u32[record]! & ROOM_MASK) | u32[record + HELD]!;
    u32[record + DUE] = u32[record + HELD_DUE]!;
    markAll(u32, record);
    noteTransfer(apf, record, cachedCount(u32, record));
    adjustLimit(apf, record, i + 1);
  }
}

/** The records of the classes 1 to 39. */
function classRecords(apf: Cursor): number[] {
  return Array.from({ length: CLASS_COUNT - 1 }, (_, i) => apf.records + (i + 1) * RECORD_WORDS);
}

/** Where a class stands. */
export interface TunerReport {
  /** Bytes of its blocks. */
  readonly blockBytes: number;
  /** Allocations so far: the clock. */
  readonly allocations: number;
  /** Transfers from superblocks to the cache so far, and back. */
  readonly fetches: number;
  readonly returns: number;
  /** Allocations per fetch since there is a curve; `undefined` before, and `Infinity` while there was no fetch. */
  readonly apf: number | undefined;
  /** Whether a burst is on. */
  readonly isBurst: boolean;
  /** Blocks in the cache, and the number from which some are returned. */
  readonly cached: number;
  readonly limit: number;
  /** Allocations until the next fetch is due, and the blocks that must be fetched for them; `undefined` without a curve. */
  readonly window: number | undefined;
  readonly demand: number | undefined;
  /** What the last burst showed, for windows of growing length; empty before the first is over. */
  readonly curve: readonly TunerPoint[];
}

/** A point of the curves of a class. On the clock of allocations, k more blocks are live after k of them. */
export interface TunerPoint {
  /** Allocations of a window. */
  readonly k: number;
  /** Of these, how many take a block that was freed in the window. */
  readonly reuse: number;
  /** The others: k less reuse. */
  readonly demand: number;
}

/** What the tuner of a class has seen and wants. */
export function reportOf(apf: Cursor, record: number, sizeClass: number): TunerReport {
  const { u32 } = apf.heap;
  const tuner = u32[record + TUNER]! >>> 2;
  const [allocations, fetches, cached] = [clockOf(u32, record), u32[record + FETCHES]!, cachedCount(u32, record)];
  const isCurved = tuner !== 0 && u32[tuner + CURVE] !== 0;
  const demand = demandOf(apf, record);
  return {
    blockBytes: SIZES[sizeClass]!,
    allocations,
    fetches,
    returns: u32[record + RETURNS]!,
    apf: isCurved ? (allocations - u32[tuner + ORIGIN]!) / (fetches - u32[tuner + ORIGIN_FETCHES]!) : undefined,
    isBurst: tuner !== 0 && u32[tuner + STEPS] !== 0,
    cached,
    limit: u32[record + LIMIT]!,
    window: isCurved ? windowNow(apf, u32, record, tuner) : undefined,
    demand: demand < 0 ? undefined : demand,
    curve: isCurved ? curveOf(u32, tuner) : [],
  };
}

function curveOf(u32: Uint32Array, tuner: number): TunerPoint[] {
  const points: TunerPoint[] = [];
  for (let k = u32[tuner + LENGTH]!; k <= u32[tuner + CURVE]!; k += u32[tuner + LENGTH]!) {
    const demand = demandFor(u32, tuner, k);
    points.push({ k, reuse: k - demand, demand });
  }
  return points;
}

/** The blocks that tuners lie in. */
export function tunerBlocks(u32: Uint32Array, records: number): Ptr[] {
  const blocks: Ptr[] = [];
  for (let record = records; record < records + CLASS_COUNT * RECORD_WORDS; record += RECORD_WORDS) {
    if (u32[record + TUNER] !== 0) blocks.push(asPtr(u32[record + TUNER]!));
  }
  return blocks;
}
