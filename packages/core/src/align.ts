/**
 * Powers of two, and addresses rounded to them. Plain arithmetic on unsigned values: exact for every address from 0 to
 * 2^32, that is one past the last byte of 4 GiB; a result may be 2^32 itself, and none is ever negative or wrapped.
 *
 * @module
 */
import { HeapError, show } from "./errors.ts";

/** One past the highest address there is: 4 GiB. */
const ADDRESS_LIMIT_BYTES = 2 ** 32;

/**
 * Tells whether a value is a power of two. Constant time.
 *
 * @param value - a whole number from 0 to 2^32
 * @returns true for 1, 2, 4, ... 2^32; false for all else, 0 included
 * @throws HeapError `ERR_INVALID_ARGUMENT` when the value is not a whole number in that range
 * @example isPowerOfTwo(64); // true
 */
export function isPowerOfTwo(value: number): boolean {
  if (!isAddress(value)) refuse("isPowerOfTwo", "value", value);
  return hasOneBit(value);
}

/**
 * Rounds an address up. Constant time.
 *
 * @param address - a whole number from 0 to 2^32, in bytes
 * @param alignment - a power of two from 1 to 2^32, in bytes
 * @returns the lowest multiple of `alignment` that is at least `address`, at most 2^32
 * @throws HeapError `ERR_INVALID_ARGUMENT` when an argument is anything else
 * @example alignUp(13, 8); // 16
 */
export function alignUp(address: number, alignment: number): number {
  checkPair("alignUp", address, alignment);
  const rest = (address & (alignment - 1)) >>> 0;
  return rest === 0 ? address : address - rest + alignment;
}

/**
 * Rounds an address down. Constant time.
 *
 * @param address - a whole number from 0 to 2^32, in bytes
 * @param alignment - a power of two from 1 to 2^32, in bytes
 * @returns the highest multiple of `alignment` that is at most `address`
 * @throws HeapError `ERR_INVALID_ARGUMENT` when an argument is anything else
 * @example alignDown(13, 8); // 8
 */
export function alignDown(address: number, alignment: number): number {
  checkPair("alignDown", address, alignment);
  return address - ((address & (alignment - 1)) >>> 0);
}

/**
 * Tells whether an address is a multiple of an alignment. Constant time.
 *
 * @param address - a whole number from 0 to 2^32, in bytes
 * @param alignment - a power of two from 1 to 2^32, in bytes
 * @throws HeapError `ERR_INVALID_ARGUMENT` when an argument is anything else
 * @example isAligned(24, 8); // true
 */
export function isAligned(address: number, alignment: number): boolean {
  checkPair("isAligned", address, alignment);
  return (address & (alignment - 1)) === 0;
}

// 2^32 is 0 in 32-bit operations, so that `2^32 & mask` is right as it is, and only this test has to name it.
function isAddress(value: number): boolean {
  return typeof value === "number" && (value >>> 0 === value || value === ADDRESS_LIMIT_BYTES);
}

function hasOneBit(value: number): boolean {
  return (value & (value - 1)) === 0 && value !== 0;
}

function checkPair(call: string, address: number, alignment: number): void {
  if (!isAddress(address)) refuse(call, "address", address);
  if (!isAddress(alignment) || !hasOneBit(alignment)) refuse(call, "alignment", alignment);
}

function refuse(call: string, name: string, value: unknown): never {
  const wanted = name === "alignment" ? "a power of two from 1 to 2^32" : "a whole number from 0 to 2^32";
  throw new HeapError("ERR_INVALID_ARGUMENT", `${call}: the ${name} is ${show(value)}; pass ${wanted}`);
}
