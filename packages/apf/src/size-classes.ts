/**
 * The size classes, jemalloc's as lrmalloc has them: steps of 8 up to 64 bytes, then four classes for each doubling, up to
 * 14 KiB. Class 0 is every size above: large blocks.
 *
 * @module
 */
import { CLASS_COUNT, PAGE_BYTES, RECORD_WORDS, SUPERBLOCK_PAGES } from "./layout.ts";

/** Bytes of the blocks of each class; 0 for class 0, whose blocks are as large as they are asked for. */
export const SIZES: readonly number[] = /* @__PURE__ */ sizes();

/** The largest size that has a class: 14,336 bytes. */
export const CLASS_LIMIT_BYTES = 14_336;

/** Blocks up to that always come from superblocks. */
export const SMALL_LIMIT_BYTES = 2048;

/** Word offset of the record of the class of a size, by `(size + 7) >>> 3`: what the fast path needs of all this. */
export const RECORD_OF: Uint16Array = /* @__PURE__ */ recordTable();

/** Pages of the smallest superblock of each class: as few as leave at most an eighth of it unused. */
export const FIRST_PAGES: readonly number[] = /* @__PURE__ */ SIZES.map(firstPages);

/**
 * The class of a size. O(1).
 *
 * @param size - bytes, a whole number from 0
 * @returns 1 to 39, or 0 above 14,336 bytes
 */
export function classOf(size: number): number {
  return size <= CLASS_LIMIT_BYTES ? RECORD_OF[(size + 7) >>> 3]! / RECORD_WORDS : 0;
}

/**
 * The first class whose blocks lie at multiples of an alignment: superblocks begin at pages, so they are as aligned as their
 * size is divisible.
 *
 * @param alignment - bytes, a power of two
 * @param size - bytes, a whole number from 0
 * @returns a class of at most 2 KiB; 0 when size or alignment are more
 */
export function alignedClassOf(alignment: number, size: number): number {
  if (size > SMALL_LIMIT_BYTES || alignment > SMALL_LIMIT_BYTES) return 0;
  let sizeClass = classOf(size);
  while (SIZES[sizeClass]! % alignment !== 0) sizeClass += 1;
  return sizeClass;
}

/** Bytes of a superblock: all its pages but the eight that the header of the next block of the backing takes. */
export function superblockBytes(pages: number): number {
  return pages * PAGE_BYTES - 8;
}

function sizes(): number[] {
  const all = [0];
  for (let size = 8; size <= 64; size += 8) all.push(size);
  for (let step = 16; all.length < CLASS_COUNT; step *= 2) {
    for (let size = 5 * step; size <= 8 * step && all.length < CLASS_COUNT; size += step) all.push(size);
  }
  return all;
}

function recordTable(): Uint16Array {
  const table = new Uint16Array(14_336 / 8 + 1);
  let sizeClass = 1;
  for (let i = 0; i < table.length; i += 1) {
    if (i * 8 > SIZES[sizeClass]!) sizeClass += 1;
    table[i] = sizeClass * RECORD_WORDS;
  }
  return table;
}

function firstPages(size: number): number {
  if (size === 0) return 0;
  let pages = 1;
  const isWasteful = (): boolean => superblockBytes(pages) % size > superblockBytes(pages) >>> 3;
  while (pages < SUPERBLOCK_PAGES && (superblockBytes(pages) < size || isWasteful())) pages *= 2;
  return pages;
}
