/**
 * Fills and copies payloads.
 *
 * @module
 */
import type { Ptr } from "./ptr.ts";

/** Up to here a loop over words beats `fill` and `copyWithin`. */
const LOOP_BYTES = 256;

/** Zeroes `bytes` from `ptr` on, a multiple of 4. */
export function zeroWords(u32: Uint32Array, ptr: Ptr, bytes: number): void {
  if (bytes > LOOP_BYTES) {
    u32.fill(0, ptr >>> 2, (ptr + bytes) >>> 2);
    return;
  }
  for (let word = ptr >>> 2; word < (ptr + bytes) >>> 2; word += 1) u32[word] = 0;
}

/** Copies `bytes`, a multiple of 4, between payloads that do not overlap. */
export function copyWords(u32: Uint32Array, from: Ptr, to: Ptr, bytes: number): void {
  if (bytes > LOOP_BYTES) {
    u32.copyWithin(to >>> 2, from >>> 2, (from + bytes) >>> 2);
    return;
  }
  for (let at = 0; at < bytes >>> 2; at += 1) u32[(to >>> 2) + at] = u32[(from >>> 2) + at]!;
}
