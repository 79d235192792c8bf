/**
 * Names of variables: their bytes, and the identity that follows from them, FNV-1a over 64 bits. What was found of the name
 * used last is remembered, since programs make many pointers of one name, and pass each name twice.
 *
 * @module
 */
import { SHORT_NAME_BYTES } from "./layout.ts";

// The hash in two halves. Times 0x100000001b3 is times 0x1b3, plus a shift by 40.
const OFFSET_HIGH = 0xcbf2_9ce4;
const OFFSET_LOW = 0x8422_2325;
const PRIME_LOW = 0x1b3;
const PRIME_SHIFT_BITS = 8;

/** What is known of `known`: hash, length in bytes, the first 16 bytes. Typed, since V8 keeps no numbers in variables. */
export const KNOWN: Int32Array = /* @__PURE__ */ new Int32Array(7);
export const KNOWN_LOW = 0;
export const KNOWN_HIGH = 1;
export const KNOWN_BYTES = 2;
export const KNOWN_TEXT = 3;

/** The name used last. */
export let known = "";
/** Its bytes. */
export let knownText: Uint8Array<ArrayBuffer> = /* @__PURE__ */ new Uint8Array(0);
let isKnown = false;

/** Makes a name the one that is known. O(its length). */
export function learn(name: string): void {
  if (isKnown && name === known) return;
  const text = /* the common case */ asciiBytes(name) ?? new TextEncoder().encode(name);
  const first = new Uint8Array(SHORT_NAME_BYTES);
  first.set(text.subarray(0, SHORT_NAME_BYTES));
  let low = OFFSET_LOW | 0;
  let high = OFFSET_HIGH | 0;
  for (let at = 0; at < text.length && text[at] !== 0; at += 1) {
    low ^= text[at]!;
    high = (Math.imul(high, PRIME_LOW) + (low << PRIME_SHIFT_BITS) + carryOf(low)) | 0;
    low = Math.imul(low, PRIME_LOW);
  }
  KNOWN[KNOWN_LOW] = low;
  KNOWN[KNOWN_HIGH] = high;
  KNOWN[KNOWN_BYTES] = text.length;
  KNOWN.set(new Int32Array(first.buffer), KNOWN_TEXT);
  knownText = text;
  known = name;
  isKnown = true;
}

/**
 * The identity of a name: FNV-1a over 64 bits, over the bytes of its UTF-8 up to the first NUL.
 *
 * @param name - any string
 * @returns the hash, 0 to 2^64 - 1
 */
export function hashOf(name: string): bigint {
  learn(name);
  return (BigInt(KNOWN[KNOWN_HIGH]! >>> 0) << 32n) | BigInt(KNOWN[KNOWN_LOW]! >>> 0);
}

/** The upper half of `low * 0x1b3`. */
function carryOf(low: number): number {
  const lower = (low & 0xffff) * PRIME_LOW;
  return ((low >>> 16) * PRIME_LOW + (lower >>> 16)) >>> 16;
}

/** The bytes of a name that is ASCII. */
function asciiBytes(name: string): Uint8Array<ArrayBuffer> | undefined {
  const bytes = new Uint8Array(name.length);
  for (let at = 0; at < name.length; at += 1) {
    const code = name.charCodeAt(at);
    if (code > 127) return undefined;
    bytes[at] = code;
  }
  return bytes;
}
