/**
 * Makes 32 bits of a pointer that look random, so that blocks at regular distances have homes as far apart as any others.
 *
 * The numbers and shifts are those of Chris Wellons' lowbias32, without its last shift, which would not change the highest
 * bits, of which homes are made. One multiplication alone would be cheaper, but for each of them there are distances at which
 * thousands of blocks crowd into a few slots.
 *
 * @module
 */
const FACTOR = 0x7feb_352d;
const SECOND_FACTOR = 0x846c_a68b;
const SHIFT_BITS = 16;
const SECOND_SHIFT_BITS = 15;

/**
 * @param ptr - a whole number below 2^32
 * @returns a whole number below 2^32, another one for each pointer
 */
export function mix(ptr: number): number {
  const mixed = Math.imul(ptr ^ (ptr >>> SHIFT_BITS), FACTOR);
  return Math.imul(mixed ^ (mixed >>> SECOND_SHIFT_BITS), SECOND_FACTOR) >>> 0;
}
