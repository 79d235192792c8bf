/**
 * Names of variables: their bytes, and the identity that follows from them, FNV-1a over 64 bits. What was found of the name
 * used last is remembered, since programs make many pointers of one name, and pass each name twice.
 *
 * @module
 */
import { SHORT_NAME_BYTES } from "./layout.ts";

// The hash in two halves.
const OFFSET_HIGH = 0xcbf2_9ce4;
const OFFSET_LOW = 0x8422_2325;
const PRIME_LOW = 0x1b3;
const PRIME_SHIFT_BITS = 8;

/**
 * What is known of the name used last: the hash, length in bytes, the first 16 bytes, and a number that is another one with
 * each name. Typed, since V8 keeps no numbers in variables without making objects of them.
 */
export const KNOWN: Int32Array<ArrayBuffer> = /* @__PURE__ */ new Int32Array(8);
export const KNOWN_LOW = 0;
export const KNOWN_HIGH = 1;
export const KNOWN_BYTES = 2;
export const KNOWN_TEXT = 3;
export const KNOWN_TURN = 7;
const TEXT_OFFSET_BYTES = 12;
const firstBytes: Uint8Array = /* @__PURE__ */ new Uint8Array(KNOWN.buffer, TEXT_OFFSET_BYTES, SHORT_NAME_BYTES);

/** The name used last. A field, since V8 asks of a variable that others import whether it is there yet. */
export const USED: { name: string | undefined } = { name: undefined };

/** Makes a name the one that is known. O(its length). */
export function learn(name: string): void {
  if (name === USED.name) return;
  const text = isAscii(name) ? undefined : new TextEncoder().encode(name);
  const nameBytes = text?.length ?? name.length;
  let low = OFFSET_LOW | 0;
  let high = OFFSET_HIGH | 0;
  let isOpen = true;
  for (let at = 0; at < SHORT_NAME_BYTES / 4; at += 1) KNOWN[KNOWN_TEXT + at] = 0;
  for (let at = 0; at < nameBytes; at += 1) {
    const byte = text === undefined ? name.charCodeAt(at) : text[at]!;
    if (at < SHORT_NAME_BYTES) firstBytes[at] = byte;
    isOpen &&= byte !== 0;
    if (!isOpen) continue;
    low ^= byte;
    // Times 0x100000001b3: the upper half has the carry of the lower one, and the lower one shifted by 40.
    const lower = (low & 0xffff) * PRIME_LOW;
    const carry = ((low >>> 16) * PRIME_LOW + (lower >>> 16)) >>> 16;
    high = (Math.imul(high, PRIME_LOW) + (low << PRIME_SHIFT_BITS) + carry) | 0;
    low = Math.imul(low, PRIME_LOW);
  }
  KNOWN[KNOWN_LOW] = low;
  KNOWN[KNOWN_HIGH] = high;
  KNOWN[KNOWN_BYTES] = nameBytes;
  KNOWN[KNOWN_TURN]! += 1;
  USED.name = name;
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

function isAscii(name: string): boolean {
  for (let at = 0; at < name.length; at += 1) if (name.charCodeAt(at) > 127) return false;
  return true;
}
