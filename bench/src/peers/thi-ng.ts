import { MemPool } from "@thi.ng/malloc";

import { heapBytesFor, type Load, type Subject } from "../adapter.ts";

/** Its block addresses are signed when it follows them, and its buffer is allocated at once. */
const MAX_BYTES = 2 ** 30;

/** `MemPool` as it is, but for two things without which a trace cannot be replayed. */
class ReplayablePool extends MemPool {
  /** Size 0 is refused there; other allocators give a minimal block. */
  override malloc(bytes: number): number {
    return super.malloc(bytes === 0 ? 1 : bytes);
  }

  /** A realloc that moves leaves the old block allocated there. */
  override realloc(ptr: number, bytes: number): number {
    const moved = super.realloc(ptr, bytes === 0 ? 1 : bytes);
    if (moved !== ptr && moved !== 0) super.free(ptr);
    return moved;
  }
}

/** The allocator of `@thi.ng/malloc` on a buffer of its full size: it cannot grow. */
export function open(load: Load): Subject {
  const buffer = new ArrayBuffer(Math.min(heapBytesFor(load), MAX_BYTES));
  const pool = new ReplayablePool({ buf: buffer });
  const bytes = new Uint8Array(buffer);
  return { target: pool, bytes: () => bytes };
}
