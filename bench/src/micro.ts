/**
 * Small loads of one kind each. All random choices are drawn beforehand by a generator that the C program has too, so
 * both sides do the same operations in the same order.
 *
 * @module
 */
import type { Load, Pair } from "./adapter.ts";
import { word } from "./typed-array.ts";

// Indices in the timed loops are below the arrays' lengths; behind an accessor each read costs 0.2 ns more.
/* oxlint-disable typescript/no-non-null-assertion */

/** The order in which a batch is freed. */
export type FreeOrder = "lifo" | "fifo" | "random";

export type MicroWork =
  /** A block is allocated and freed at once. */
  | { readonly pattern: "pairs"; readonly size: number }
  /** So many blocks are allocated, then all are freed. */
  | { readonly pattern: "batch"; readonly size: number; readonly count: number; readonly order: FreeOrder }
  /** One of the live blocks, at random, is freed and replaced by one of 16 to 512 bytes. */
  | { readonly pattern: "mixed"; readonly live: number };

/** A load made ready: what one pass costs in milliseconds, and how many operations it does. */
export interface Work {
  readonly operations: number;
  pass(): number;
}

const PAIRS = 10_000;
const STEPS = 4096;
const CHOICES = 2 ** 20;
const MIN_SIZE_BYTES = 16;
const MAX_SIZE_BYTES = 512;
const SEED = 2_463_534_242;

/** @returns the command that asks a measuring process for this work */
export function commandOf(work: MicroWork): string {
  if (work.pattern === "pairs") return `micro pairs ${work.size}`;
  if (work.pattern === "batch") return `micro batch ${work.size} ${work.count} ${work.order}`;
  return `micro mixed ${work.live}`;
}

/** @returns the work that a command made by {@link commandOf} asks for */
export function workOf(command: string): MicroWork {
  const [, pattern, first, second, order] = command.split(" ");
  if (pattern === "pairs") return { pattern, size: Number(first) };
  if (pattern === "mixed") return { pattern, live: Number(first) };
  if (pattern === "batch" && (order === "lifo" || order === "fifo" || order === "random")) {
    return { pattern, size: Number(first), count: Number(second), order };
  }
  throw new Error(`no such work: "${command}"`);
}

/** @returns what an allocator must know to be opened for the work */
export function loadOf(work: MicroWork): Load {
  if (work.pattern === "pairs") return { peakBytes: work.size, blockBytes: work.size };
  if (work.pattern === "batch") return { peakBytes: work.size * work.count, blockBytes: work.size };
  return { peakBytes: (work.live * (MIN_SIZE_BYTES + MAX_SIZE_BYTES)) / 2 };
}

/** Allocates what is to be live from the start, and draws all choices. */
export function prepareWork(work: MicroWork, target: Pair): Work {
  const random = new Xorshift(SEED);
  if (work.pattern === "pairs") {
    return { operations: 2 * PAIRS, pass: () => timedPairs(target, work.size) };
  }
  if (work.pattern === "batch") {
    const order = freeOrder(work.order, work.count, random);
    const table = new Uint32Array(work.count);
    return { operations: 2 * work.count, pass: () => timedBatch(target, work.size, order, table) };
  }
  const table = Uint32Array.from({ length: work.live }, () => allocate(target, randomSize(random)));
  const slots = Uint32Array.from({ length: CHOICES }, () => random.below(work.live));
  const sizes = Uint32Array.from({ length: CHOICES }, () => randomSize(random));
  let first = 0;
  return {
    operations: 2 * STEPS,
    pass: () => {
      const milliseconds = timedMixed(target, slots, sizes, table, first);
      first = (first + STEPS) % CHOICES;
      return milliseconds;
    },
  };
}

function timedPairs(target: Pair, size: number): number {
  const start = performance.now();
  for (let i = 0; i < PAIRS; i++) target.free(target.malloc(size));
  return performance.now() - start;
}

function timedBatch(target: Pair, size: number, order: Uint32Array, table: Uint32Array): number {
  const count = table.length;
  const start = performance.now();
  for (let i = 0; i < count; i++) table[i] = target.malloc(size);
  for (let i = 0; i < count; i++) target.free(table[order[i]!]!);
  return performance.now() - start;
}

function timedMixed(target: Pair, slots: Uint32Array, sizes: Uint32Array, table: Uint32Array, first: number): number {
  const end = first + STEPS;
  const start = performance.now();
  for (let i = first; i < end; i++) {
    const slot = slots[i]!;
    target.free(table[slot]!);
    table[slot] = target.malloc(sizes[i]!);
  }
  return performance.now() - start;
}

function allocate(target: Pair, size: number): number {
  const ptr = target.malloc(size);
  if (ptr === 0) throw new Error(`out of memory for ${size} bytes`);
  return ptr;
}

function freeOrder(order: FreeOrder, count: number, random: Xorshift): Uint32Array {
  const indices = Uint32Array.from({ length: count }, (_, index) => (order === "lifo" ? count - 1 - index : index));
  if (order !== "random") return indices;
  for (let i = count - 1; i > 0; i--) {
    const j = random.below(i + 1);
    const swapped = word(indices, i);
    indices[i] = word(indices, j);
    indices[j] = swapped;
  }
  return indices;
}

function randomSize(random: Xorshift): number {
  return MIN_SIZE_BYTES + random.below(MAX_SIZE_BYTES - MIN_SIZE_BYTES + 1);
}

/** Marsaglia's xorshift on 32 bits; `micro.c` has the same. */
class Xorshift {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** @returns a number from 0 to `limit - 1` */
  below(limit: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state % limit;
  }
}
