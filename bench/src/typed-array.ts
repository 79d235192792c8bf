/**
 * Reads of typed arrays whose index is known to be in range. One function per array kind, so that each stays
 * monomorphic and is inlined into the timed loops.
 *
 * @module
 */

/** @returns `array[index]`; the caller keeps `index` in range */
export function word(array: Uint32Array, index: number): number {
  return array[index]!;
}

/** @returns `array[index]`; the caller keeps `index` in range */
export function byte(array: Uint8Array, index: number): number {
  return array[index]!;
}
