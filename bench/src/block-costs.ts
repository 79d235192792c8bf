/**
 * What a block costs in memory.
 *
 * @module
 */
import { setTimeout } from "node:timers/promises";

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
const LIVE = 1_000_000;
const SETTLING_TURNS = 8;
const SETTLING_MILLISECONDS = 25;

/** @returns what an allocator must know to be opened for {@link blockCostsOf} */
export function loadOfBlocks(size: number): Load {
  return { peakBytes: size * LIVE, blockBytes: size };
}

/**
 * Allocates a million blocks, writes into each, and looks at the process.
 *
 * @param open - makes the allocator; what it takes for itself is shared out among the blocks
 */
export async function blockCostsOf(open: () => MicroSubject, size: number): Promise<BlockCosts> {
  // Both kinds of table, filled, so that neither is part of what is measured.
  const words = new Uint32Array(LIVE).fill(1);
  const objects: unknown[] = Array.from({ length: LIVE }, () => null);
  const before = await settledUsage();
  const subject = open();
  const target = touching(subject);
  const hasAddresses = subject.bytes !== undefined && subject.placeOf === undefined;
  const table: Table = hasAddresses ? words : objects;
  for (let i = 0; i < LIVE; i++) table[i] = target.malloc(size);
  const after = await settledUsage();
  // Used once more, so that nothing of it was collected before.
  target.free(table[0]);
  if (words.length !== objects.length) throw new Error("a table is gone");
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

/** Once nothing is left to collect, and what was has been given back: that takes the collector some turns. */
async function settledUsage(): Promise<NodeJS.MemoryUsage> {
  for (let turn = 0; turn < SETTLING_TURNS; turn++) {
    globalThis.gc?.();
    await setTimeout(SETTLING_MILLISECONDS);
  }
  return process.memoryUsage();
}
