/**
 * Runs a stream of operations on an allocator under the shadow heap.
 *
 * @module
 */
import type { Heap } from "../heap.ts";
import { NULL } from "../ptr.ts";
import type { HeapBuffer } from "../views.ts";
import type { PayloadViews } from "./pattern.ts";
import { ShadowHeap, type ShadowOptions, type Watchable } from "./shadow-heap.ts";
import { describeOperation, OPERATION, type Stream } from "./stream.ts";

/** How a stream is replayed. */
export interface ReplayOptions extends ShadowOptions {
  /**
   * Called after each operation, with its index: the place for `heap.check()`. What it throws ends the replay.
   */
  readonly everyOp?: (index: number) => void;
}

/** What a replay came to. */
export interface ReplayResult {
  /** Allocations and reallocations that returned `NULL`. */
  readonly failures: number;
  /** The most bytes that were asked for and live at once. */
  readonly peakLiveBytes: number;
}

/**
 * Runs a stream, frees what it leaves live, and expects that nothing is damaged and nothing is left. An allocation may
 * return `NULL`; the slot stays empty then, and what the stream does to it later does nothing (or allocates, for
 * `realloc`). An allocator without `alignedAlloc` is given `malloc` instead.
 *
 * @param allocator - an allocator, or a shadow heap that watches one already
 * @param stream - made by `operations`
 * @param options - what the shadow heap expects; its seed is the stream's unless another is given
 * @returns what it came to
 * @throws Error that names the seed and the operation, with what was thrown there as its `cause`
 * @example
 * ```ts
 * const heap = new Heap({ bytes: 1 << 20 });
 * replay(heap, operations({ seed: seedFromEnv(), count: 10_000 }), { everyOp: () => heap.check() });
 * ```
 */
export function replay<H extends PayloadViews = Heap<HeapBuffer>>(
  allocator: Watchable<H>,
  stream: Stream,
  options: ReplayOptions = {},
): ReplayResult {
  const shadow =
    allocator instanceof ShadowHeap ? allocator : new ShadowHeap(allocator, { seed: stream.seed, ...options });
  const blocks = Array.from({ length: stream.slotCount }, () => NULL);
  const { kinds, slots, sizes, extras } = stream;
  const { everyOp } = options;
  const count = kinds.length;
  let failures = 0;
  let index = 0;
  try {
    for (; index < count; index += 1) {
      const slot = slots[index] ?? 0;
      const size = sizes[index] ?? 0;
      const extra = extras[index] ?? 0;
      const old = blocks[slot] ?? NULL;
      let ptr = NULL;
      switch (kinds[index]) {
        case OPERATION.MALLOC:
          ptr = shadow.malloc(size);
          break;
        case OPERATION.CALLOC:
          ptr = shadow.calloc(extra, size);
          break;
        case OPERATION.ALIGNED_ALLOC:
          ptr = shadow.watched.alignedAlloc === undefined ? shadow.malloc(size) : shadow.alignedAlloc(extra, size);
          break;
        case OPERATION.REALLOC:
          ptr = shadow.realloc(old, size);
          break;
        default:
          shadow.free(old);
      }
      if (ptr === NULL && kinds[index] !== OPERATION.FREE) {
        failures += 1;
        if (kinds[index] === OPERATION.REALLOC) ptr = old;
      }
      blocks[slot] = ptr;
      everyOp?.(index);
    }
    for (const ptr of blocks) shadow.free(ptr);
    everyOp?.(index);
    shadow.close();
  } catch (error) {
    const where = index < count ? describeOperation(stream, index) : "the end, when all was freed";
    const message = error instanceof Error ? error.message : String(error);
    throw new Error(`seed ${stream.seed}, ${where}: ${message}`, { cause: error });
  }
  return { failures, peakLiveBytes: shadow.peakLiveBytes };
}
