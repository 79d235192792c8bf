/**
 * Watches an allocator from outside its heap: every block is where no other is, aligned, and still holds what was
 * written into it.
 *
 * @module
 */
import type { Subject } from "./adapter.ts";
import { byte, word } from "./typed-array.ts";

const ALIGNMENT_BYTES = 8;
const ALIGNMENT_BITS = 3;
const PERIOD_BYTES = 251;

/**
 * Blocks by id. The map has a byte per 8 bytes of the buffer, 1 where a live block lies: since blocks are aligned to 8,
 * two that share such a granule overlap.
 */
export class BlockWitness {
  /** Sum of the requested sizes of the live blocks. */
  liveBytes = 0;
  /** Highest end of a requested payload so far. */
  highestEnd = 0;
  readonly #subject: Subject;
  readonly #ptrs: Uint32Array;
  readonly #sizes: Uint32Array;
  #map: Uint8Array = new Uint8Array(0);
  #sequence: Uint8Array = new Uint8Array(0);

  constructor(subject: Subject, idCount: number) {
    this.#subject = subject;
    this.#ptrs = new Uint32Array(idCount);
    this.#sizes = new Uint32Array(idCount);
  }

  /** Takes note of a fresh block and fills it. */
  allocated(id: number, ptr: number, size: number): void {
    this.#place(id, ptr, size);
    this.#fill(id);
  }

  /** @returns the pointer to free, after its contents have been checked */
  freeing(id: number): number {
    const ptr = this.reallocating(id);
    this.#sizes[id] = 0;
    return ptr;
  }

  /** @returns the pointer to hand to realloc, after its contents have been checked */
  reallocating(id: number): number {
    const ptr = word(this.#ptrs, id);
    const size = word(this.#sizes, id);
    this.#verify(id, ptr, size);
    this.#map.fill(0, granule(ptr), granuleEnd(ptr, size));
    this.liveBytes -= size;
    return ptr;
  }

  /** Takes note of where realloc has put the block, checks what it had to keep, and fills it anew. */
  reallocated(id: number, ptr: number, size: number): void {
    const kept = Math.min(word(this.#sizes, id), size);
    this.#place(id, ptr, size);
    this.#verify(id, ptr, kept);
    this.#fill(id);
  }

  #place(id: number, ptr: number, size: number): void {
    const what = `block ${id}, ${size} bytes at 0x${ptr.toString(16)}`;
    if (ptr === 0) throw new Error(`out of memory for block ${id}, ${size} bytes`);
    if (ptr % ALIGNMENT_BYTES !== 0) throw new Error(`${what}: not aligned to ${ALIGNMENT_BYTES}`);
    const { length } = this.#subject.bytes();
    if (ptr + size > length) throw new Error(`${what}: ends beyond the buffer's ${length} bytes`);
    if (this.#map.length < granule(length)) this.#grow(granule(length));
    if (!isClear(this.#map, granule(ptr), granuleEnd(ptr, size))) throw new Error(`${what}: overlaps a live block`);
    this.#map.fill(1, granule(ptr), granuleEnd(ptr, size));
    this.#ptrs[id] = ptr;
    this.#sizes[id] = size;
    this.liveBytes += size;
    if (ptr + size > this.highestEnd) this.highestEnd = ptr + size;
  }

  #fill(id: number): void {
    this.#subject.bytes().set(this.#contents(id, word(this.#sizes, id)), word(this.#ptrs, id));
  }

  #verify(id: number, ptr: number, size: number): void {
    const found = this.#subject.bytes().subarray(ptr, ptr + size);
    if (Buffer.compare(found, this.#contents(id, size)) === 0) return;
    throw new Error(`block ${id}, ${size} bytes at 0x${ptr.toString(16)}: contents changed`);
  }

  /** What block `id` holds: a piece of a byte sequence of prime period, so that shifted contents show too. */
  #contents(id: number, size: number): Uint8Array {
    if (this.#sequence.length < size + PERIOD_BYTES) {
      this.#sequence = Uint8Array.from({ length: 2 * size + PERIOD_BYTES }, (_, index) => 1 + (index % PERIOD_BYTES));
    }
    const start = id % PERIOD_BYTES;
    return this.#sequence.subarray(start, start + size);
  }

  #grow(granules: number): void {
    const map = new Uint8Array(granules);
    map.set(this.#map);
    this.#map = map;
  }
}

function granule(ptr: number): number {
  return ptr >>> ALIGNMENT_BITS;
}

/** A block of size 0 still has a place of its own. */
function granuleEnd(ptr: number, size: number): number {
  return Math.ceil((ptr + Math.max(size, 1)) / ALIGNMENT_BYTES);
}

function isClear(map: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    if (byte(map, i) !== 0) return false;
  }
  return true;
}
