/**
 * Stamps: numbers that tell a block from the next one at its address. Each agent begins anywhere, and goes in steps that
 * come to every odd number before the first one comes again.
 *
 * @module
 */

/** Twice an odd number, near 2^32 divided by the golden ratio; as a signed one. */
const STEP = -0x61c8_8646;
/** From one life of a container to its next one: so that the lives of two containers at one address do not meet soon. */
export const REUSE_STEP = 2;

/** The stamp that was given last in this agent, signed. */
export const LAST_STAMP: Int32Array = /* @__PURE__ */ Int32Array.of(Math.floor(Math.random() * 2 ** 32) | 1);

/** The next stamp, odd, so never 0. As a signed number: a field of an object holds it as such. */
export function nextStamp(): number {
  const stamp = (LAST_STAMP[0]! + STEP) | 0;
  LAST_STAMP[0] = stamp;
  return stamp;
}
