/** The original's algorithm as it is described: a free list by ascending address, searched from its beginning. */
import { asPtr, NULL, type Ptr } from "@heapwright/core";

export class NaivePool {
  readonly #blockBytes: number;
  readonly #free: number[];
  readonly #allocated = new Map<number, number>();
  coalesced = 0;

  constructor(first: number, blockBytes: number, count: number) {
    this.#blockBytes = blockBytes;
    this.#free = Array.from({ length: count }, (_, i) => first + i * blockBytes);
  }

  /** Bytes of a live block, undefined for any other address. */
  sizeOf(ptr: number): number | undefined {
    return this.#allocated.get(ptr);
  }

  get live(): number[] {
    return [...this.#allocated.keys()];
  }

  get liveBlocks(): number {
    return this.#allocated.size;
  }

  get freeBlocks(): number {
    return this.#free.length;
  }

  alloc(bytes: number): Ptr {
    const needed = Math.max(1, Math.ceil(bytes / this.#blockBytes));
    let from = 0;
    for (let i = 0; i < this.#free.length; i += 1) {
      if (i > 0 && this.#free[i]! !== this.#free[i - 1]! + this.#blockBytes) from = i;
      if (i - from + 1 < needed) continue;
      const ptr = this.#free[from]!;
      this.#free.splice(from, needed);
      this.#allocated.set(ptr, needed * this.#blockBytes);
      if (needed > 1) this.coalesced += 1;
      return asPtr(ptr);
    }
    return NULL;
  }

  /** False, with nothing changed, for what is no block. */
  free(ptr: number): boolean {
    const size = this.#allocated.get(ptr);
    if (size === undefined) return false;
    this.#allocated.delete(ptr);
    let at = this.#free.findIndex((address) => address > ptr);
    if (at === -1) at = this.#free.length;
    const blocks = Array.from({ length: size / this.#blockBytes }, (_, i) => ptr + i * this.#blockBytes);
    this.#free.splice(at, 0, ...blocks);
    return true;
  }
}
