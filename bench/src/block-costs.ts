/**
 * What a block costs in memory.
 *
 * @module
 */
import type { Load, MicroSubject, Table } from "./adapter.ts";
import { touching } from "./micro.ts";
import { word } from "./typed-array.ts";

/** Bytes from one block to the next, and what a live block takes, each in bytes. */
export interface BlockCosts {
  /** Median distance of blocks allocated one after another; null where blocks have no addresses. */
  readonly distance: number | null;
  /** Of the garbage-collected heap. */
  readonly jsHeap: number;
  /** Of the process's resident memory; pages that are no one's any more count too. */
  readonly resident: number;
}

const NEIGHBOURS = 1000;
const LIVE = 100_000;

/** @returns what an allocator must know to be opened for {@link blockCostsOf} */
export function loadOfBlocks(size: number): Load {
  return { peakBytes: size * LIVE, blockBytes: size };
}

/**
 * Allocates 100,000 blocks, writes into each, and looks at the process.
 *
 * @param open - makes the allocator; what it takes for itself is shared out among the blocks
 */
export function blockCostsOf(open: () => MicroSubject, size: number): BlockCosts {
  // Both kinds of table, filled, so that neither is part of what is measured.
  const words = new Uint32Array(LIVE).fill(1);
  const objects: unknown[] = Array.from({ length: LIVE }, () => null);
  const before = settledUsage();
  const subject = open();
  const target = touching(subject);
  const hasAddresses = subject.bytes !== undefined && subject.placeOf === undefined;
  const table: Table = hasAddresses ? words : objects;
  for (let i = 0; i < LIVE; i++) table[i] = target.malloc(size);
  const after = settledUsage();
  return {
    distance: hasAddresses ? medianDistance(words.subarray(0, NEIGHBOURS)) : null,
    jsHeap: (after.heapUsed - before.heapUsed) / LIVE,
    resident: (after.rss - before.rss) / LIVE,
  };
}

function medianDistance(ptrs: Uint32Array): number {
  const sorted = ptrs.slice().sort();
  const distances = sorted.subarray(1).map((ptr, index) => ptr - word(sorted, index));
  return word(distances.sort(), distances.length >>> 1);
}

function settledUsage(): NodeJS.MemoryUsage {
  globalThis.gc?.();
  globalThis.gc?.();
  return process.memoryUsage();
}
