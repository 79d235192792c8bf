/**
 * A look inside: what is live, what is free, what the tuner knows.
 *
 * @module
 */
import { asPtr, type Ptr } from "@heapwright/core";

import { cachedCount, stackBlocks } from "./caches.ts";
import type { Cursor } from "./cursor.ts";
import { largeBlocks } from "./large-blocks.ts";
import { CLASS_COUNT, RECORD, RECORD_WORDS, SUPERBLOCK } from "./layout.ts";
import { show } from "./misuse.ts";
import { isLive, mapBlocks, superblocksOf } from "./page-map.ts";
import { SIZES } from "./size-classes.ts";
import { freeCount, superblockBlocks } from "./superblocks.ts";
import { tunerBlocks } from "./tuner.ts";
import { recordsOf, workersOf } from "./workers.ts";

const { offsets } = SUPERBLOCK;
const BASE = offsets.base >>> 2;
const PAGES = offsets.pages >>> 2;
const CLASS = offsets.class >>> 2;
const OWNER = offsets.record >>> 2;
const AVAIL = offsets.avail >>> 2;
const CARVED = offsets.carved >>> 2;
const FETCHES = RECORD.offsets.fetches >>> 2;
const RETURNS = RECORD.offsets.returns >>> 2;

/** What an allocator holds, in bytes and blocks. */
export interface ApfStats {
  /** Blocks that have been handed out and not given back. */
  readonly liveBlocks: number;
  /** Bytes that may be written in them. */
  readonly liveBytes: number;
  /** Blocks that were given back and wait in a cache, or for their owner to see it. */
  readonly cachedBlocks: number;
  readonly cachedBytes: number;
  /** What superblocks can hand out besides, those included that are kept for any class. */
  readonly freeBytes: number;
  readonly superblocks: number;
  /** Of the live blocks, those that are the backing's own. */
  readonly largeBlocks: number;
  /** Transfers from superblocks to caches. */
  readonly fetches: number;
  /** And back. */
  readonly returns: number;
  /** What the allocator has taken from its backing, for itself and for blocks. */
  readonly takenBytes: number;
}

/** A block as its allocator sees it. */
export interface ApfBlock {
  readonly ptr: Ptr;
  /** Bytes that may be written. */
  readonly size: number;
  readonly state: "live" | "cached" | "free";
}

export function statsOf(apf: Cursor): ApfStats {
  const { u32 } = apf.heap;
  const stats = { liveBlocks: 0, liveBytes: 0, cachedBlocks: 0, cachedBytes: 0, freeBytes: 0 };
  for (const { size, state } of blocksOf(apf)) {
    if (state === "live") {
      stats.liveBlocks += 1;
      stats.liveBytes += size;
    } else if (state === "cached") {
      stats.cachedBlocks += 1;
      stats.cachedBytes += size;
    }
  }
  let superblocks = 0;
  for (const descriptor of superblocksOf(u32, apf.control)) {
    superblocks += 1;
    stats.freeBytes += freeCount(u32, descriptor) * SIZES[u32[(descriptor >>> 2) + CLASS]!]!;
  }
  let fetches = 0;
  let returns = 0;
  for (const record of recordsIn(apf)) {
    fetches += u32[record + FETCHES]!;
    returns += u32[record + RETURNS]!;
  }
  let takenBytes = 0;
  for (const block of takenBlocks(apf)) takenBytes += apf.backing.usableSize(block);
  return { ...stats, superblocks, largeBlocks: largeBlocks(u32, apf.control).length, fetches, returns, takenBytes };
}

/** Every block that was ever handed out, superblock by superblock, then the large ones. */
export function* blocksOf(apf: Cursor): Generator<ApfBlock> {
  const { u32 } = apf.heap;
  for (const descriptor of superblocksOf(u32, apf.control)) {
    const word = descriptor >>> 2;
    const size = SIZES[u32[word + CLASS]!]!;
    const listed = listedBlocks(u32, descriptor);
    for (let i = 0; i < u32[word + CARVED]!; i += 1) {
      const ptr = asPtr(u32[word + BASE]! + i * size);
      yield { ptr, size, state: isLive(u32, descriptor, ptr) ? "live" : listed.has(ptr) ? "free" : "cached" };
    }
  }
  for (const ptr of largeBlocks(u32, apf.control)) yield { ptr, size: apf.backing.usableSize(ptr), state: "live" };
}

export function dumpOf(apf: Cursor): string {
  const { u32 } = apf.heap;
  const stats = statsOf(apf);
  const lines = [
    `apf, ${stats.superblocks} superblocks, ${stats.takenBytes} bytes taken from the backing`,
    `${stats.liveBlocks} live blocks with ${stats.liveBytes} bytes, ${stats.cachedBlocks} cached, ${stats.freeBytes} bytes free`,
  ];
  for (const descriptor of superblocksOf(u32, apf.control)) {
    const at = (offset: number): number => u32[(descriptor >>> 2) + offset]!;
    const owner = at(OWNER) === 0 ? ", retired" : "";
    const held = `${at(CARVED)} blocks of ${SIZES[at(CLASS)]!} handed out, ${freeCount(u32, descriptor)} free`;
    lines.push(`${show(at(BASE)).padStart(12)}  ${String(at(PAGES)).padStart(2)} pages  ${held}${owner}`);
  }
  recordsIn(apf).forEach((record, at) => {
    const cached = cachedCount(u32, record);
    if (cached !== 0) lines.push(`cache of ${SIZES[at % CLASS_COUNT]!}: ${cached} blocks`);
  });
  for (const { ptr, size, state } of blocksOf(apf)) {
    lines.push(`${show(ptr).padStart(12)}  ${String(size).padStart(10)}  ${state}`);
  }
  return lines.join("\n");
}

/** Everything that the allocator has taken from its backing, its control block last. */
export function takenBlocks(apf: Cursor): Ptr[] {
  const { u32 } = apf.heap;
  const { control } = apf;
  const workers = [...workersOf(u32, control)];
  return [
    ...superblockBlocks(u32, control),
    ...largeBlocks(u32, control),
    ...workers.flatMap((worker) => [...stackBlocks(u32, recordsOf(worker)), ...tunerBlocks(u32, recordsOf(worker))]),
    ...mapBlocks(u32, control),
    ...workers,
    asPtr(control * 4),
  ];
}

/** The records of all classes, worker by worker. */
function recordsIn(apf: Cursor): number[] {
  return [...workersOf(apf.heap.u32, apf.control)].flatMap((worker) =>
    Array.from({ length: CLASS_COUNT }, (_, sizeClass) => recordsOf(worker) + sizeClass * RECORD_WORDS),
  );
}

/** The blocks in a superblock's list, as far as it leads from block to block. */
function listedBlocks(u32: Uint32Array, descriptor: number): Set<number> {
  const word = descriptor >>> 2;
  const [base, size] = [u32[word + BASE]!, SIZES[u32[word + CLASS]!]!];
  const listed = new Set<number>();
  for (let ptr = u32[word + AVAIL]!; ptr !== 0 && !listed.has(ptr); ptr = u32[ptr >>> 2]!) {
    if (ptr < base || ptr >= base + u32[word + CARVED]! * size || (ptr - base) % size !== 0) break;
    listed.add(ptr);
  }
  return listed;
}
