/**
 * Looks into a heap: its blocks, what they add up to, a picture in words. Nothing here changes a byte.
 *
 * @module
 */
import { HEADER_BYTES, spanOf, STATE, stateOf } from "./boundary-tag.ts";
import { show } from "./errors.ts";
import { SUPERBLOCK } from "./layout.ts";
import type { Malloc } from "./malloc.ts";
import { asPtr, type Block, type Ptr } from "./ptr.ts";
import type { HeapBuffer } from "./views.ts";

/** What a heap holds, in bytes and blocks. */
export interface HeapStats {
  /** Payload bytes of the live blocks, padding included. */
  readonly liveBytes: number;
  /** Blocks that have been handed out and not given back. */
  readonly liveBlocks: number;
  /** Payload bytes that could be handed out, in pieces. */
  readonly freeBytes: number;
  /** Highest end of a block ever handed out, less the heap's base. It never falls. */
  readonly footprint: number;
  /** Size of the heap now. */
  readonly bytes: number;
  /** What it may grow to. */
  readonly maxBytes: number;
}

/** A block as its allocator sees it. */
export interface BlockInfo {
  readonly ptr: Ptr;
  /** Payload bytes. */
  readonly size: number;
  /** `cached` is free for its caller, and not merged yet. */
  readonly state: "live" | "cached" | "free";
}

const { FREE, LIVE, CACHED, HELD, RESERVED } = STATE;
const STATES: readonly (BlockInfo["state"] | undefined)[] = ["free", "live", "cached", undefined, "cached"];

/** @internal Every block of the chain but its end, reserved ones included. */
export function* chainOf<B extends HeapBuffer>(heap: Malloc<B>): Generator<Block> {
  heap.isStale();
  const last = heap.end - HEADER_BYTES;
  let block = heap.lowest - HEADER_BYTES;
  while (block < last) {
    yield block as Block;
    const span = spanOf(heap.words, block);
    if (span < HEADER_BYTES) return;
    block += span;
  }
}

export function* blocksOf<B extends HeapBuffer>(heap: Malloc<B>): Generator<BlockInfo> {
  for (const block of chainOf(heap)) {
    const state = STATES[stateOf(heap.words, block)];
    if (state === undefined) continue;
    yield { ptr: asPtr(block + HEADER_BYTES), size: spanOf(heap.words, block) - HEADER_BYTES, state };
  }
}

export function statsOf<B extends HeapBuffer>(heap: Malloc<B>): HeapStats {
  let liveBytes = 0;
  let liveBlocks = 0;
  let freeBytes = 0;
  for (const block of chainOf(heap)) {
    const size = spanOf(heap.words, block) - HEADER_BYTES;
    const state = stateOf(heap.words, block);
    if (state === LIVE) {
      liveBytes += size;
      liveBlocks += 1;
    } else if (state === FREE || state === CACHED || state === HELD) {
      freeBytes += size;
    }
  }
  const bytes = heap.end - heap.base;
  return {
    liveBytes,
    liveBlocks,
    freeBytes,
    footprint: heap.words[heap.footprintWord]!,
    bytes,
    maxBytes: heap.memory === undefined ? bytes : heap.words[(heap.base + SUPERBLOCK.offsets.maxBytes) >>> 2]!,
  };
}

export function dumpOf<B extends HeapBuffer>(heap: Malloc<B>): string {
  const { bytes, maxBytes, footprint, liveBlocks, liveBytes, freeBytes } = statsOf(heap);
  const lines = [
    `heap at ${show(heap.base)}, ${bytes} of ${maxBytes} bytes, ${heap.alignment}-byte alignment, footprint ${footprint}`,
    `${liveBlocks} live blocks with ${liveBytes} bytes, ${freeBytes} bytes free`,
  ];
  const top = heap.words[heap.topWord];
  for (const block of chainOf(heap)) {
    const state = stateOf(heap.words, block);
    const name = block === top ? "wilderness" : state === RESERVED ? "reserved" : (STATES[state] ?? `state ${state}`);
    lines.push(
      `${show(block + HEADER_BYTES).padStart(12)}  ${String(spanOf(heap.words, block)).padStart(10)}  ${name}`,
    );
  }
  return lines.join("\n");
}
