/**
 * Small loads of one kind each. All random choices are drawn beforehand by a generator that the C program has too, so
 * both sides do the same operations in the same order.
 *
 * @module
 */
import type { Load, MicroSubject, Pair, Table } from "./adapter.ts";
import { word } from "./typed-array.ts";

// Indices in the timed loops are below the arrays' lengths; behind an accessor each read costs 0.2 ns more.
/* oxlint-disable typescript/no-non-null-assertion */

/** The order in which a batch is freed. */
export type FreeOrder = "lifo" | "fifo" | "random";

export type MicroPattern =
  /** A block is allocated and freed at once. */
  | { readonly pattern: "pairs"; readonly size: number }
  /** So many blocks are allocated, then all are freed. */
  | { readonly pattern: "batch"; readonly size: number; readonly count: number; readonly order: FreeOrder }
  /** One of the live blocks, at random, is freed and replaced by one of the same size. */
  | { readonly pattern: "replace"; readonly size: number; readonly live: number }
  /** One of the live blocks, at random, is freed and replaced by one of 16 to 512 bytes. */
  | { readonly pattern: "mixed"; readonly live: number }
  /** So many arrays grow in turns, by half at a time, from 16 bytes to `bytes`; then all are freed. */
  | { readonly pattern: "grow"; readonly arrays: number; readonly bytes: number };

/** @property touched - whether a byte is written in each 64 of a block that has been allocated */
export type MicroWork = MicroPattern & { readonly touched?: boolean };

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
const LINE_BYTES = 64;
const SEED = 2_463_534_242;

/** @returns the command that asks a measuring process for this work */
export function commandOf(work: MicroWork): string {
  return `micro ${work.touched === true ? "touched " : ""}${patternText(work)}`;
}

function patternText(work: MicroPattern): string {
  if (work.pattern === "pairs") return `pairs ${work.size}`;
  if (work.pattern === "batch") return `batch ${work.size} ${work.count} ${work.order}`;
  if (work.pattern === "replace") return `replace ${work.size} ${work.live}`;
  if (work.pattern === "grow") return `grow ${work.arrays} ${work.bytes}`;
  return `mixed ${work.live}`;
}

/** @returns the work that a command made by {@link commandOf} asks for */
export function workOf(command: string): MicroWork {
  const [, ...words] = command.split(" ");
  const touched = words[0] === "touched";
  const pattern = patternOf(touched ? words.slice(1) : words, command);
  return touched ? { ...pattern, touched } : pattern;
}

function patternOf([pattern, first, second, order]: readonly string[], command: string): MicroPattern {
  if (pattern === "pairs") return { pattern, size: Number(first) };
  if (pattern === "replace") return { pattern, size: Number(first), live: Number(second) };
  if (pattern === "mixed") return { pattern, live: Number(first) };
  if (pattern === "grow") return { pattern, arrays: Number(first), bytes: Number(second) };
  if (pattern === "batch" && (order === "lifo" || order === "fifo" || order === "random")) {
    return { pattern, size: Number(first), count: Number(second), order };
  }
  throw new Error(`no such work: "${command}"`);
}

/** @returns what an allocator must know to be opened for the work */
export function loadOf(work: MicroWork): Load {
  if (work.pattern === "pairs") return { peakBytes: work.size, blockBytes: work.size };
  if (work.pattern === "batch") return { peakBytes: work.size * work.count, blockBytes: work.size };
  if (work.pattern === "replace") return { peakBytes: work.size * work.live, blockBytes: work.size };
  // Old and new place of an array, and what the others have left behind.
  if (work.pattern === "grow") return { peakBytes: 4 * work.arrays * work.bytes };
  return { peakBytes: (work.live * (MIN_SIZE_BYTES + MAX_SIZE_BYTES)) / 2 };
}

/** Allocates what is to be live from the start, and draws all choices. */
export function prepareWork(work: MicroWork, subject: MicroSubject): Work {
  const random = new Xorshift(SEED);
  const target = work.touched === true ? touching(subject) : subject.target;
  const tableOf = (count: number): Table =>
    // Pointers lie in one array of words, objects in an array.
    subject.bytes === undefined || subject.placeOf !== undefined
      ? Array.from({ length: count })
      : new Uint32Array(count);
  if (work.pattern === "pairs") {
    return { operations: 2 * PAIRS, pass: timed(pairs(target, work.size)) };
  }
  if (work.pattern === "batch") {
    const order = freeOrder(work.order, work.count, random);
    const table = tableOf(work.count);
    return { operations: 2 * work.count, pass: timed(batch(target, work.size, order, table)) };
  }
  if (work.pattern === "grow") {
    const sizes = growingSizes(work.bytes);
    const table = new Uint32Array(work.arrays);
    return { operations: work.arrays * (sizes.length + 1), pass: timed(grow(target, sizes, table)) };
  }
  const { live } = work;
  const sizeOf = (): number => (work.pattern === "replace" ? work.size : randomSize(random));
  const table = tableOf(live);
  for (let slot = 0; slot < live; slot++) table[slot] = allocate(target, sizeOf());
  const slots = Uint32Array.from({ length: CHOICES }, () => random.below(live));
  const sizes = Uint32Array.from({ length: CHOICES }, sizeOf);
  return { operations: 2 * STEPS, pass: timed(replace(target, slots, sizes, table)) };
}

/** The same, with a byte written in each line of a fresh block. A heap that grows has a new buffer; the old one is empty. */
export function touching(subject: MicroSubject): Pair {
  const { target } = subject;
  let bytes = subject.bytes?.();
  return {
    malloc: (size) => {
      const block = target.malloc(size);
      if (bytes?.length === 0) bytes = subject.bytes?.();
      const payload = bytes ?? block;
      if (!(payload instanceof Uint8Array)) throw new TypeError("a block without bytes");
      const start = bytes === undefined ? 0 : (subject.placeOf?.(block) ?? Number(block));
      for (let at = start; at < start + size; at += LINE_BYTES) payload[at] = 1;
      return block;
    },
    free: (block) => target.free(block),
  };
}

/**
 * The clock is looked at here, not in the loops: code that V8 has compiled for the middle of a loop knows nothing of what
 * comes after it, and would be thrown away at each end.
 *
 * @returns a function that does it and gives the milliseconds that it took
 */
function timed(pass: () => void): () => number {
  return () => {
    const start = performance.now();
    pass();
    return performance.now() - start;
  };
}

// The loops. Each holds its allocator, as a program holds the one that it has made: V8 knows that it is always the same.
// As an argument it would be another one's in each call for all V8 knows, or not, as chance has it: a quarter of the time.

function pairs(target: Pair, size: number): () => void {
  return () => {
    for (let i = 0; i < PAIRS; i++) target.free(target.malloc(size));
  };
}

function batch(target: Pair, size: number, order: Uint32Array, table: Table): () => void {
  const count = table.length;
  return () => {
    for (let i = 0; i < count; i++) table[i] = target.malloc(size);
    for (let i = 0; i < count; i++) target.free(table[order[i]!]);
  };
}

/** Each pass goes on where the one before it ended. */
function replace(target: Pair, slots: Uint32Array, sizes: Uint32Array, table: Table): () => void {
  let first = 0;
  return () => {
    const begin = first;
    first = (begin + STEPS) % CHOICES;
    const end = begin + STEPS;
    for (let i = begin; i < end; i++) {
      const slot = slots[i]!;
      target.free(table[slot]);
      table[slot] = target.malloc(sizes[i]!);
    }
  };
}

function grow(target: Pair, sizes: Uint32Array, table: Uint32Array): () => void {
  return () => {
    if (target.realloc === undefined) throw new Error("this allocator has no realloc");
    table.fill(0);
    for (let step = 0; step < sizes.length; step++) {
      for (let i = 0; i < table.length; i++) {
        const ptr = table[i]!;
        const grown = ptr === 0 ? target.malloc(sizes[step]!) : target.realloc(ptr, sizes[step]!);
        table[i] = Number(grown);
      }
    }
    for (let i = 0; i < table.length; i++) target.free(table[i]!);
  };
}

/** 16, 24, 36 and so on, as long as they are within the limit. */
function growingSizes(limit: number): Uint32Array {
  const sizes: number[] = [];
  for (let size = MIN_SIZE_BYTES; size <= limit; size += size >>> 1) sizes.push(size);
  return Uint32Array.from(sizes);
}

function allocate(target: Pair, size: number): unknown {
  const block = target.malloc(size);
  if (block === 0) throw new Error(`out of memory for ${size} bytes`);
  return block;
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
