/**
 * Multiplicative hashing (Knuth, The Art of Computer Programming, 6.4): where a pointer is looked for first is made of the
 * highest bits of its product with an odd number, modulo 2^32.
 *
 * Blocks at regular distances, which is what allocators hand out, spread more evenly by that than at random; but for each number
 * there are distances at which they crowd together. So a table has a multiplier of its own, and when pointers crowd, another.
 *
 * @module
 */

/** The multiplier of a state's first table: 2^32 over the golden ratio. */
export const FIRST_MULTIPLIER = 0x9e37_79b1;
const STEP = 0x2c1b_3c6d;

/**
 * Hashes a pointer.
 *
 * @param ptr - a whole number below 2^32
 * @param multiplier - odd, below 2^32
 * @returns the hashed pointer, a whole number below 2^32; another one for each pointer
 */
export function hash(ptr: number, multiplier: number): number {
  return Math.imul(ptr, multiplier) >>> 0;
}

/** The multiplier of the table that comes after one with this. */
export function nextMultiplier(multiplier: number): number {
  return Math.imul(multiplier, STEP) >>> 0;
}
