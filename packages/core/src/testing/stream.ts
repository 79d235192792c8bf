/**
 * Streams of operations on an allocator, the same for the same seed.
 *
 * @module
 */
import { HeapError, show } from "../errors.ts";

/** Gives the next number of a sequence, from 0 to below 1. */
export type Random = () => number;

/** Draws a size in bytes. */
export type Distribution = (random: Random) => number;

/** What an operation does: the numbers in a stream's `kinds`. */
export const OPERATION = { MALLOC: 0, FREE: 1, REALLOC: 2, CALLOC: 3, ALIGNED_ALLOC: 4 } as const;

/**
 * Operations on numbered slots, each of which holds a block or none. Operation `i` does `kinds[i]` to slot `slots[i]`.
 * A slot is allocated to only when it is empty, freed only when it is not.
 */
export interface Stream {
  /** What it was made from. */
  readonly seed: number;
  /** How many slots there are: the most blocks that are ever live. */
  readonly slotCount: number;
  readonly kinds: Uint8Array;
  readonly slots: Uint32Array;
  /** Bytes; of one element for `calloc`, 0 for `free`. */
  readonly sizes: Uint32Array;
  /** The count for `calloc`, the alignment for `alignedAlloc`, else 0. */
  readonly extras: Uint32Array;
}

/** How often each operation is to come, relative to the others. */
export interface Mix {
  readonly malloc?: number;
  readonly free?: number;
  readonly realloc?: number;
  readonly calloc?: number;
  readonly alignedAlloc?: number;
}

/** What a stream is to be like. */
export interface StreamOptions {
  /** Any whole number; it alone decides what is drawn. */
  readonly seed: number;
  /** Number of operations. */
  readonly count: number;
  /** The most blocks that may be live at once, from 1. @defaultValue 1000 */
  readonly maxLive?: number;
  /** @defaultValue programSizes */
  readonly sizes?: Distribution;
  /**
   * Weights from 0. The stream breathes: allocations prevail until `maxLive` blocks are live, then frees until none is.
   *
   * @defaultValue `{ malloc: 8, free: 10, realloc: 2, calloc: 1, alignedAlloc: 1 }`
   */
  readonly mix?: Mix;
}

const DEFAULT_MIX = { malloc: 8, free: 10, realloc: 2, calloc: 1, alignedAlloc: 1 };
/** How much the side that prevails is favoured. */
const BREATH = 1.5;
/** Largest count that `calloc` is given. */
const CALLOC_COUNT_LIMIT = 8;
/** Alignments drawn are 2^0 to 2^10 bytes. */
const ALIGNMENT_SHIFTS = 11;

/**
 * A sequence of pseudo-random numbers (the generator sfc32).
 *
 * @param seed - any whole number
 * @returns a function that gives the next one, from 0 to below 1 in steps of 2^-32
 */
export function random(seed: number): Random {
  let a = 0;
  let b = seed | 0;
  let c = Math.floor(seed / 2 ** 32) | 0;
  let counter = 1;
  const next = (): number => {
    const result = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + result) | 0;
    return (result >>> 0) / 2 ** 32;
  };
  // Neighbouring seeds must not give similar sequences.
  for (let i = 0; i < 15; i += 1) next();
  return next;
}

/**
 * Every size equally often.
 *
 * @param min - smallest size in bytes, a whole number from 0
 * @param max - largest, at least `min`
 */
export function uniform(min: number, max: number): Distribution {
  checkCount("uniform", "min", min, 0);
  checkCount("uniform", "max", max, min);
  return (next) => min + Math.floor(next() * (max - min + 1));
}

/**
 * Small sizes often, large ones seldom: a size comes up in proportion to `size ** -exponent`.
 *
 * @param min - smallest size in bytes, a whole number from 1
 * @param max - largest, at least `min`
 * @param exponent - above 0; with 1 every doubling of the size is equally likely
 */
export function powerLaw(min: number, max: number, exponent: number = 1): Distribution {
  checkCount("powerLaw", "min", min, 1);
  checkCount("powerLaw", "max", max, min);
  if (!(exponent > 0)) throw badArgument("powerLaw", "exponent", exponent, "a number above 0");
  // The inverse of the cumulative distribution over [min, max + 1).
  const power = 1 - exponent;
  const top = (max + 1) / min;
  return (next) => {
    const scale = power === 0 ? top ** next() : (1 + next() * (top ** power - 1)) ** (1 / power);
    return Math.min(max, Math.floor(min * scale));
  };
}

/**
 * Two kinds of sizes.
 *
 * @param small - drawn mostly
 * @param large - drawn otherwise
 * @param largeShare - how often that is, from 0 to 1
 */
export function bimodal(small: Distribution, large: Distribution, largeShare: number): Distribution {
  if (!(largeShare >= 0 && largeShare <= 1)) throw badArgument("bimodal", "share", largeShare, "0 to 1");
  return (next) => (next() < largeShare ? large(next) : small(next));
}

/**
 * Sizes as programs ask for them: records of 8 to 128 bytes in steps of 8, one in ten a string of any length up to 300,
 * one in fifty a buffer of up to 64 KiB.
 */
export const programSizes: Distribution = (next) => {
  const kind = next();
  if (kind < 0.88) return 8 + 8 * Math.floor(next() ** 2 * 16);
  if (kind < 0.98) return Math.floor(next() * 301);
  return Math.floor(512 * 128 ** next());
};

/**
 * Makes a stream. O(count).
 *
 * @param options - what it is to be like
 * @returns the operations; the same ones for the same options
 * @throws HeapError `ERR_INVALID_ARGUMENT` for a number that is none or outside its range
 * @example
 * ```ts
 * const stream = operations({ seed: seedFromEnv(), count: runs(10_000), maxLive: 500 });
 * ```
 */
export function operations(options: StreamOptions): Stream {
  const { seed, count, maxLive = 1000, sizes = programSizes } = options;
  if (!Number.isSafeInteger(seed)) throw badArgument("operations", "seed", seed, "a whole number");
  checkCount("operations", "count", count, 0);
  checkCount("operations", "maxLive", maxLive, 1);
  const mix = { ...DEFAULT_MIX, ...options.mix };
  for (const [name, weight] of Object.entries(mix)) {
    if (!(weight >= 0 && weight < Infinity)) throw badArgument("operations", `weight of ${name}`, weight, "0 or more");
  }
  const allocations = mix.malloc + mix.calloc + mix.alignedAlloc;
  if (allocations === 0) throw badArgument("operations", "weight of all allocations", 0, "one above 0");

  const stream: Stream = {
    seed,
    slotCount: maxLive,
    kinds: new Uint8Array(count),
    slots: new Uint32Array(count),
    sizes: new Uint32Array(count),
    extras: new Uint32Array(count),
  };
  const next = random(seed);
  // Slots in some order: the first `live` hold a block, the others are empty.
  const order = Uint32Array.from({ length: maxLive }, (_, slot) => slot);
  let live = 0;
  let isGrowing = true;

  for (let i = 0; i < count; i += 1) {
    if (live === maxLive) isGrowing = false;
    if (live === 0) isGrowing = true;
    const toAllocate = live === maxLive ? 0 : allocations * (isGrowing ? BREATH : 1);
    const toFree = live === 0 ? 0 : mix.free * (isGrowing ? 1 : BREATH);
    const toChange = live === 0 ? 0 : mix.realloc;
    let draw = next() * (toAllocate + toFree + toChange);
    const size = sizes(next);

    if (draw < toAllocate) {
      const slot = order[live] ?? 0;
      live += 1;
      draw = (draw / toAllocate) * allocations;
      if (draw < mix.malloc) {
        put(stream, i, OPERATION.MALLOC, slot, size, 0);
      } else if (draw < mix.malloc + mix.calloc) {
        const elements = 1 + Math.floor(next() * CALLOC_COUNT_LIMIT);
        put(stream, i, OPERATION.CALLOC, slot, Math.ceil(size / elements), elements);
      } else {
        put(stream, i, OPERATION.ALIGNED_ALLOC, slot, size, 2 ** Math.floor(next() * ALIGNMENT_SHIFTS));
      }
    } else {
      const at = Math.floor(next() * live);
      const slot = order[at] ?? 0;
      if (draw < toAllocate + toFree || toChange === 0) {
        live -= 1;
        order[at] = order[live] ?? 0;
        order[live] = slot;
        put(stream, i, OPERATION.FREE, slot, 0, 0);
      } else {
        put(stream, i, OPERATION.REALLOC, slot, size, 0);
      }
    }
  }
  return stream;
}

/**
 * Writes an operation so that it can be read in an error.
 *
 * @param stream - where it is
 * @param index - which one
 * @returns for example `operation 17, realloc of slot 3 to 40 bytes`
 */
export function describeOperation(stream: Stream, index: number): string {
  const size = stream.sizes[index];
  const extra = stream.extras[index];
  const slot = `slot ${stream.slots[index]}`;
  const texts: Record<number, string> = {
    [OPERATION.MALLOC]: `malloc(${size}) for ${slot}`,
    [OPERATION.FREE]: `free of ${slot}`,
    [OPERATION.REALLOC]: `realloc of ${slot} to ${size} bytes`,
    [OPERATION.CALLOC]: `calloc(${extra}, ${size}) for ${slot}`,
    [OPERATION.ALIGNED_ALLOC]: `alignedAlloc(${extra}, ${size}) for ${slot}`,
  };
  return `operation ${index}, ${texts[stream.kinds[index] ?? -1] ?? "none"}`;
}

function put(stream: Stream, index: number, kind: number, slot: number, size: number, extra: number): void {
  stream.kinds[index] = kind;
  stream.slots[index] = slot;
  stream.sizes[index] = size;
  stream.extras[index] = extra;
}

function checkCount(call: string, name: string, value: number, min: number): void {
  if (typeof value === "number" && value >>> 0 === value && value >= min) return;
  throw badArgument(call, name, value, `a whole number from ${min}`);
}

function badArgument(call: string, name: string, value: unknown, wanted: string): HeapError {
  const found = typeof value === "number" ? String(value) : show(value);
  return new HeapError("ERR_INVALID_ARGUMENT", `${call}: the ${name} is ${found}; pass ${wanted}`);
}
