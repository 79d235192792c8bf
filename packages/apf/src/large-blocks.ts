/**
 * Blocks that are the backing's own: those above 14 KiB, and those of the classes above 2 KiB while few are live. The page
 * map says where they begin.
 *
 * @module
 */
import { alignedAllocFrom, asPtr, NULL, type Ptr, reallocFrom } from "@heapwright/core";

import type { Cursor } from "./cursor.ts";
import { CONTROL, RECORD, RECORD_WORDS } from "./layout.ts";
import {
  addLarge,
  isCovered,
  largeAt,
  largeBlocksOf,
  reach,
  removeLarge,
  tryAddLarge,
  tryRemoveLarge,
} from "./page-map.ts";
import { classOf, SIZES, SMALL_LIMIT_BYTES } from "./size-classes.ts";
import { withInHand } from "./superblocks.ts";

const STRAY = CONTROL.offsets.stray >>> 2;
const LARGE = RECORD.offsets.large >>> 2;
const PARTIAL = RECORD.offsets.partial >>> 2;
const HINT = RECORD.offsets.hint >>> 2;
/** A class above has them when so many bytes of its blocks are live. */
const MANY_BYTES = 1_048_576;
/** No page has more than two blocks of this size. */
const LEAST_BYTES = 2049;

/** Whether the next block of a class is to be the backing's. */
export function isBackings({ words, common }: Cursor, record: number, sizeClass: number): boolean {
  const size = SIZES[sizeClass]!;
  if (sizeClass === 0) return true;
  if (size <= SMALL_LIMIT_BYTES || (words[record + PARTIAL]! | words[record + HINT]!) !== 0) return false;
  return words[common + sizeClass * RECORD_WORDS + LARGE]! * size < MANY_BYTES;
}

/** Takes a large block; `NULL` when there is no room. */
export function takeLarge(apf: Cursor, size: number, sizeClass: number): Ptr {
  const ptr = apf.backing.malloc(size > LEAST_BYTES ? size : LEAST_BYTES);
  if (ptr === NULL || !tryAddLarge(apf.words, apf.largeWord(ptr), ptr, sizeClass)) return register(apf, ptr, sizeClass);
  apf.words[apf.common + sizeClass * RECORD_WORDS + LARGE]! += 1;
  return ptr;
}

/**
 * Frees what is a large block by what the cursor knows.
 *
 * @returns false, with nothing changed, when the cursor knows of none there
 */
export function tryFreeLarge(apf: Cursor, ptr: Ptr): boolean {
  if (typeof ptr !== "number" || ptr >>> 0 !== ptr || (ptr & 7) !== 0) return false;
  const sizeClass = tryRemoveLarge(apf.words, apf.largeWord(ptr), ptr);
  if (sizeClass < 0) return false;
  apf.words[apf.common + sizeClass * RECORD_WORDS + LARGE]! -= 1;
  apf.backing.free(ptr);
  return true;
}

/** As {@link takeLarge}, at a multiple of `alignment`. */
export function takeAligned(apf: Cursor, alignment: number, size: number): Ptr {
  const ptr = alignedAllocFrom(apf.backing, alignment, Math.max(size, LEAST_BYTES));
  return register(apf, ptr, classOf(size));
}

/** Notes a fresh block; gives it back when the page map cannot reach over it. */
function register(apf: Cursor, ptr: Ptr, sizeClass: number): Ptr {
  const { backing, control } = apf;
  if (ptr === NULL) return NULL;
  if (!isCovered(apf.heap.u32, control, ptr)) {
    if (!withInHand(apf, ptr, () => reach(backing, control, ptr, ptr + 1))) {
      backing.free(ptr);
      return NULL;
    }
    apf.refresh();
  }
  note(apf, ptr, sizeClass);
  return ptr;
}

function note(apf: Cursor, ptr: Ptr, sizeClass: number): void {
  const { u32 } = apf.heap;
  addLarge(u32, apf.control, ptr, sizeClass);
  u32[apf.common + sizeClass * RECORD_WORDS + LARGE]! += 1;
}

/** Whether a large block begins there. */
export function isLarge(apf: Cursor, ptr: Ptr): boolean {
  const { u32 } = apf.heap;
  return largeAt(u32, apf.control, ptr) >= 0 || (ptr !== NULL && u32[apf.control + STRAY] === ptr);
}

/** Forgets a large block, which is there, and leaves it to its caller. */
function strike(apf: Cursor, ptr: Ptr): void {
  const { u32 } = apf.heap;
  const sizeClass = largeAt(u32, apf.control, ptr);
  if (sizeClass < 0) {
    u32[apf.control + STRAY] = 0;
    return;
  }
  removeLarge(u32, apf.control, ptr);
  u32[apf.common + sizeClass * RECORD_WORDS + LARGE]! -= 1;
}

/** Gives a large block, which is there, back to the backing. */
export function freeLarge(apf: Cursor, ptr: Ptr): void {
  strike(apf, ptr);
  apf.backing.free(ptr);
}

/**
 * Changes the size of a large block, which is there, to one that is large as well; in place where the backing can.
 *
 * @returns the payload; `NULL` when there is no room, and then the old block is as it was
 */
export function resizeLarge(apf: Cursor, ptr: Ptr, size: number): Ptr {
  const { backing, control } = apf;
  if (!settleStray(apf)) return NULL;
  const sizeClass = largeAt(apf.heap.u32, control, ptr);
  // First of all: it may be another's as soon as the backing has moved it.
  strike(apf, ptr);
  const moved = reallocFrom(backing, ptr, Math.max(size, LEAST_BYTES));
  if (moved === NULL) {
    note(apf, ptr, sizeClass);
    return NULL;
  }
  if (withInHand(apf, moved, () => reach(backing, control, moved, moved + 1))) {
    apf.refresh();
    note(apf, moved, classOf(size));
  } else {
    // It has moved already, and cannot be refused any more.
    apf.heap.u32[control + STRAY] = moved;
  }
  return moved;
}

/** Makes room for a stray block, since there can be but one. False when there is no memory for it. */
function settleStray(apf: Cursor): boolean {
  const { u32 } = apf.heap;
  const stray = u32[apf.control + STRAY]!;
  if (stray === 0) return true;
  if (!reach(apf.backing, apf.control, stray, stray + 1)) return false;
  apf.refresh();
  apf.heap.u32[apf.control + STRAY] = 0;
  note(apf, asPtr(stray), classOf(apf.backing.usableSize(asPtr(stray))));
  return true;
}

/** Every large block. */
export function largeBlocks(u32: Uint32Array, control: number): Ptr[] {
  const stray = u32[control + STRAY]!;
  return [...largeBlocksOf(u32, control), ...(stray === 0 ? [] : [stray])].map(asPtr);
}
