/**
 * Looks into a pool: its blocks, their sum, a picture in words.
 *
 * @module
 */
import { type Allocator, asPtr, NULL, type Ptr } from "@heapwright/core";

import { CONTROL, HELD } from "./layout.ts";
import { show } from "./misuse.ts";

const { offsets } = CONTROL;
const FIRST = offsets.first >>> 2;
const BLOCK_BYTES = offsets.blockBytes >>> 2;
const COUNT = offsets.count >>> 2;
const RUNS = offsets.runs >>> 2;
const COALESCED = offsets.coalesced >>> 2;

/** What a pool holds, in bytes and blocks. */
export interface MempoolStats {
  /** Bytes of a block. */
  readonly blockSize: number;
  /** Blocks of the pool. */
  readonly blockCount: number;
  /** Pointers handed out and not given back, whatever the number of blocks behind each. */
  readonly liveBlocks: number;
  /** Bytes behind them. */
  readonly liveBytes: number;
  /** Bytes that can be handed out, a block at a time. */
  readonly freeBytes: number;
  /** Runs of more than one block that were handed out since the pool was made: what the default block size is to avoid. */
  readonly coalesced: number;
  /** What the pool has taken from its backing: control block, tables and, unless they are external, the blocks. */
  readonly takenBytes: number;
}

/** A block as its pool sees it: one of the grid where it is free, as many as were handed out together where it is live. */
export interface MempoolBlock {
  readonly ptr: Ptr;
  /** Bytes. */
  readonly size: number;
  readonly state: "live" | "free";
}

/** All blocks by ascending address. */
export function* blocksOf(u32: Uint32Array, control: number): Generator<MempoolBlock> {
  const [first, blockBytes, count] = [u32[control + FIRST]!, u32[control + BLOCK_BYTES]!, u32[control + COUNT]!];
  const runs = u32[control + RUNS]!;
  for (let block = 0; block < count;) {
    const run = u32[runs + block]!;
    const isLive = run !== 0 && run < HELD;
    const blocks = isLive ? run : 1;
    yield { ptr: asPtr(first + block * blockBytes), size: blocks * blockBytes, state: isLive ? "live" : "free" };
    block += blocks;
  }
}

/** Adds up the blocks of a pool, which has taken these from its backing. */
export function statsOf(u32: Uint32Array, control: number, backing: Allocator, taken: Iterable<Ptr>): MempoolStats {
  const [blockSize, blockCount] = [u32[control + BLOCK_BYTES]!, u32[control + COUNT]!];
  let liveBlocks = 0;
  let liveBytes = 0;
  for (const { size, state } of blocksOf(u32, control)) {
    if (state === "free") continue;
    liveBlocks += 1;
    liveBytes += size;
  }
  let takenBytes = 0;
  for (const block of taken) takenBytes += backing.usableSize(block);
  const freeBytes = blockCount * blockSize - liveBytes;
  return { blockSize, blockCount, liveBlocks, liveBytes, freeBytes, coalesced: u32[control + COALESCED]!, takenBytes };
}

/** The pool, then a line a live block and a line for what is free between two. */
export function dumpOf(stats: MempoolStats, blocks: Iterable<MempoolBlock>): string {
  const { blockSize, blockCount, liveBlocks, liveBytes, freeBytes, coalesced, takenBytes } = stats;
  const lines = [
    `mempool of ${blockCount} blocks of ${blockSize} bytes, ${takenBytes} bytes taken from the backing`,
    `${liveBlocks} live blocks with ${liveBytes} bytes, ${freeBytes} bytes free, ${coalesced} runs coalesced`,
  ];
  let free = 0;
  let from = NULL;
  const add = (ptr: Ptr, size: number, state: string): void => {
    if (size > 0) lines.push(`${show(ptr).padStart(12)}  ${String(size).padStart(10)}  ${state}`);
  };
  for (const { ptr, size, state } of blocks) {
    if (state === "free") {
      if (free === 0) from = ptr;
      free += size;
    } else {
      add(from, free, "free");
      free = 0;
      add(ptr, size, state);
    }
  }
  add(from, free, "free");
  return lines.join("\n");
}
