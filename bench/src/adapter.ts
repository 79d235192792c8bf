/**
 * One interface for all allocators under test.
 *
 * @module
 */

/**
 * What the small loops call: the allocator itself wherever its methods have these shapes. A block is a pointer, or an
 * object where the allocator deals in these; 0 is "no memory".
 */
export interface Pair {
  malloc(size: number): unknown;
  free(block: unknown): unknown;
  /** Only where blocks are pointers. */
  realloc?(block: number, size: number): number;
}

/** What a trace calls. */
export interface Target {
  malloc(size: number): number;
  free(ptr: number): unknown;
  realloc(ptr: number, size: number): number;
}

/** What an allocator is told of its load before it is opened. */
export interface Load {
  /** Most requested bytes live at once. */
  readonly peakBytes: number;
  /** Size of all blocks, where they have one size. */
  readonly blockBytes?: number;
  /** Whether an allocator serves the whole load; it is of no use afterwards. Without it, there is room for any. */
  readonly isServedBy?: (target: Target) => boolean;
}

/** An allocator made ready for a load. */
export interface Subject {
  readonly target: Target;
  /** The whole buffer the pointers are offsets of, asked for anew after each call: a heap that grows has a new one. */
  bytes(): Uint8Array;
  /** Bytes from the heap's base to the highest end of a block ever handed out; without it the replay keeps count itself. */
  footprint?(): number;
  /** Throws when the allocator's own state is broken. */
  check?(): void;
}

/** A module of `peers/`: it loads one allocator and no other. */
export interface PeerModule {
  open(load: Load): Subject;
}

/** Where a loop keeps its blocks: a Uint32Array of pointers, or an array of objects. */
export interface Table {
  readonly length: number;
  [index: number]: unknown;
}

/** An allocator made ready for a small loop. */
export interface MicroSubject {
  readonly target: Pair;
  /** As in {@link Subject}; where there is none, blocks are byte arrays themselves. */
  bytes?(): Uint8Array;
  /** Where a block's payload is in {@link bytes}; without it the block is its pointer. */
  placeOf?(block: unknown): number;
}

/** A module of `peers/` that serves the small loops only. */
export interface MicroPeerModule {
  open(load: Load): MicroSubject;
}

const SLACK_FACTOR = 8;
const MIN_BYTES = 2 ** 20;
const MAX_BYTES = 2 ** 32 - 2 ** 16;

const ROOM_FACTOR = 1.25;
const ROOM_BYTES = 2 ** 14;

/**
 * What a heap of fixed size begins with, as someone makes it who knows the load: a quarter more than its peak, and 16 KiB.
 * A load that does not fit, because it fragments the heap more than that, gets twice as much.
 */
export function firstBytesFor({ peakBytes }: Load): number {
  return Math.ceil((ROOM_FACTOR * peakBytes) / ROOM_BYTES + 1) * ROOM_BYTES;
}

/**
 * The one rule for the size of a heap: the power of two that is at least eight times the load's peak, at least 1 MiB
 * and below 4 GiB. It is a ceiling only where the heap can grow.
 */
export function heapBytesFor({ peakBytes }: Load): number {
  let bytes = MIN_BYTES;
  while (bytes < SLACK_FACTOR * peakBytes && bytes < MAX_BYTES) bytes *= 2;
  return Math.min(bytes, MAX_BYTES);
}
