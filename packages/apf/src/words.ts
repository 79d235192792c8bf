/**
 * Payloads, word by word: blocks begin at multiples of 8 and are as long.
 *
 * @module
 */

/** Up to here a loop over words beats `fill` and `copyWithin`. */
const LOOP_BYTES = 256;

/** Zeroes the words that the first `bytes` of a block lie in. */
export function zeroBytes(u32: Uint32Array, ptr: number, bytes: number): void {
  const end = Math.floor((ptr + bytes + 3) / 4);
  if (bytes > LOOP_BYTES) u32.fill(0, ptr >>> 2, end);
  else for (let word = ptr >>> 2; word < end; word += 1) u32[word] = 0;
}

/** Copies the words that the first `bytes` of a block lie in to another block. */
export function copyBytes(u32: Uint32Array, from: number, to: number, bytes: number): void {
  const words = Math.floor((bytes + 3) / 4);
  if (bytes > LOOP_BYTES) u32.copyWithin(to >>> 2, from >>> 2, (from >>> 2) + words);
  else for (let at = 0; at < words; at += 1) u32[(to >>> 2) + at] = u32[(from >>> 2) + at]!;
}
