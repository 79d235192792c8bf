/**
 * Stamps: numbers that tell a block from the next one at its address. Each agent begins anywhere, and goes in steps that
 * come to every odd number before the first one comes again.
 *
 * @module
 */

/** Twice an odd number, near 2^32 divided by the golden ratio; as a signed one. */
export const STAMP_STEP = -0x61c8_8646;

const last: Int32Array = /* @__PURE__ */ new Int32Array(1);

/** The next stamp, odd, so never 0. As a signed number: a field of an object holds it as such. */
export function nextStamp(): number {
  const before = last[0]!;
  const stamp = before === 0 ? Math.floor(Math.random() * 2 ** 32) | 1 : (before + STAMP_STEP) | 0;
  last[0] = stamp;
  return stamp;
}
