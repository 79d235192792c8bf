/**
 * What programs write into their blocks: words that depend on the block, so that a block which two programs own is noticed.
 *
 * @module
 */
import type { Holding } from "./ledger.ts";

const STEP = 0x9e37_79b1;
/** Of a large block every sixteenth word is enough: no block is smaller than 16 bytes, and few are smaller than 64. */
const LARGE_BYTES = 4096;
const STRIDE = 16;

export function fill(u32: Uint32Array, { ptr, size, key }: Holding): void {
  const [first, words, stride] = [ptr >>> 2, size >>> 2, size > LARGE_BYTES ? STRIDE : 1];
  for (let at = 0; at < words; at += stride) u32[first + at] = key + Math.imul(at, STEP);
}

/** Where a block of at most `size` bytes has other contents than were written, in bytes from its start; -1: nowhere. */
export function damageIn(u32: Uint32Array, { ptr, size, key }: Holding, upTo: number = size): number {
  const [first, words, stride] = [ptr >>> 2, Math.min(size, upTo) >>> 2, size > LARGE_BYTES ? STRIDE : 1];
  for (let at = 0; at < words; at += stride) {
    if (u32[first + at] !== (key + Math.imul(at, STEP)) >>> 0) return at * 4;
  }
  return -1;
}
