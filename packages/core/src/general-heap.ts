/**
 * What every heap can do besides allocating: look into itself, name handles, grow, be copied, be mended.
 *
 * @module
 */
import { HEADER_BYTES, MIN_SPAN_BYTES } from "./boundary-tag.ts";
import { checkHeap } from "./check.ts";
import { HeapError } from "./errors.ts";
import { goodFit } from "./free-index.ts";
import { extend } from "./growth.ts";
import { type BlockInfo, blocksOf, dumpOf, type HeapStats, statsOf } from "./inspect.ts";
import { MAX_END_BYTES } from "./layout.ts";
import type { Lock } from "./lock.ts";
import { Malloc } from "./malloc.ts";
import { badCount, isCount } from "./misuse.ts";
import type { Ptr } from "./ptr.ts";
import { recoverHeap } from "./recover.ts";
import { rootOf, setRootOf } from "./roots.ts";
import type { HeapDescriptor } from "./slots.ts";
import type { HeapBuffer } from "./views.ts";

/** A heap that one agent works on, without a lock. */
export class GeneralHeap<B extends HeapBuffer = ArrayBuffer> extends Malloc<B> {
  /** The heap itself, as an {@link Allocator} has it. */
  get heap(): this {
    return this;
  }

  /** The lock of a shared heap; a private one has none. */
  get lock(): Lock | undefined {
    return undefined;
  }

  /** The number under which this agent works on a shared heap, from 1; 0 on a private one. */
  get slot(): number {
    return 0;
  }

  /**
   * What another worker attaches by, for `postMessage`.
   *
   * @throws HeapError `ERR_UNSUPPORTED` on a private heap
   */
  share(): HeapDescriptor {
    throw new HeapError("ERR_UNSUPPORTED", "share: a private heap has one owner; make it with { shared: true }");
  }

  /** Size in bytes as it is now, from base to end. */
  get size(): number {
    this.isStale();
    return this.end - this.base;
  }

  /**
   * Makes room ahead of need.
   *
   * @param size - payload bytes that the next allocation is to find in one piece
   * @returns whether there is a free piece of that size now
   * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but a whole number from 0
   */
  grow(size: number): boolean {
    if (!isCount(size)) throw badCount("grow: size", size);
    this.isStale();
    if (size > MAX_END_BYTES) return false;
    const span = Math.max(MIN_SPAN_BYTES, Math.ceil((size + HEADER_BYTES) / this.alignment) * this.alignment);
    // The wilderness ends where the heap does; used up, it is the end.
    const wilderness = this.end - HEADER_BYTES - this.words[this.topWord]!;
    return wilderness >= span || goodFit(this.words, this.index, span) !== 0 || extend(this, span);
  }

  /**
   * Names a handle so that whoever attaches finds it.
   *
   * @param name - any string, at most 1,000 bytes in UTF-8
   * @param handle - a pointer; `NULL` forgets the name
   * @throws HeapError `ERR_OUT_OF_MEMORY` when there is no room for the name, `ERR_INVALID_ARGUMENT` for other types
   */
  setRoot(name: string, handle: Ptr): void {
    setRootOf(this, name, handle);
  }

  /**
   * @param name - as given to `setRoot`
   * @returns the handle, `NULL` when there is none of that name
   * @throws HeapError `ERR_INVALID_ARGUMENT` when `name` is no string
   */
  root(name: string): Ptr {
    return rootOf(this, name);
  }

  /**
   * A copy of the heap's own range. Attached at the same base it is the same heap, whoever opens it.
   *
   * @returns its bytes, from base to end
   */
  image(): ArrayBuffer {
    const copy = new Uint8Array(this.size);
    copy.set(this.u8.subarray(this.base, this.end));
    return copy.buffer;
  }

  /** What is live and what is free. O(blocks). */
  stats(): HeapStats {
    return statsOf(this);
  }

  /** The caller's blocks and the free ones by ascending address. The heap must not change meanwhile. */
  blocks(): Generator<BlockInfo> {
    return blocksOf(this);
  }

  /** A picture in words: the superblock, then a line a block. */
  dump(): string {
    return dumpOf(this);
  }

  /**
   * Proves every invariant of the layout. O(blocks).
   *
   * @throws HeapError `ERR_CORRUPT` that names the one that does not hold
   */
  check(): void {
    checkHeap(this);
  }

  /**
   * Rebuilds lists, bitmaps and indexes from the blocks themselves, after something was cut short in the middle of a
   * call. Live blocks stay as they are. O(heap).
   *
   * @throws HeapError `ERR_CORRUPT` when the blocks themselves are damaged; nothing is changed then
   */
  recover(): void {
    recoverHeap(this);
  }
}
