/**
 * Why a pointer is no live block: the error path, where time does not count.
 *
 * @module
 */
import { asPtr, HeapError } from "@heapwright/core";

import type { Cursor } from "./cursor.ts";
import { largeBlocks } from "./large-blocks.ts";
import { SUPERBLOCK } from "./layout.ts";
import { badPointer, doubleFree, interior } from "./misuse.ts";
import { isLive, superblockAt } from "./page-map.ts";
import { SIZES } from "./size-classes.ts";

const { offsets } = SUPERBLOCK;
const BASE = offsets.base >>> 2;
const CLASS = offsets.class >>> 2;
const CARVED = offsets.carved >>> 2;

/**
 * @param apf - as it is now
 * @param call - the function that was given the pointer
 * @param ptr - what it was given, no live block
 */
export function refusal(apf: Cursor, call: string, ptr: unknown): HeapError {
  if (typeof ptr !== "number" || ptr >>> 0 !== ptr) return badPointer(call, ptr);
  const { u32 } = apf.heap;
  const descriptor = superblockAt(u32, apf.control, ptr);
  if (descriptor !== 0) {
    const word = descriptor >>> 2;
    const size = SIZES[u32[word + CLASS]!]!;
    const index = Math.floor((ptr - u32[word + BASE]!) / size);
    const block = u32[word + BASE]! + index * size;
    if (index >= u32[word + CARVED]!) return badPointer(call, ptr);
    return isLive(u32, descriptor, block) ? interior(call, ptr, block, size) : doubleFree(call, ptr, block);
  }
  const block = largeBlocks(u32, apf.control)
    .filter((large) => large < ptr)
    .at(-1);
  if (block !== undefined) {
    const size = apf.backing.usableSize(block);
    if (ptr < block + size) return interior(call, ptr, block, size);
  }
  return isFreeInBacking(apf, ptr) ? doubleFree(call, ptr, ptr) : badPointer(call, ptr);
}

/** A large block that was given back is the backing's again, and it knows that it is free. */
function isFreeInBacking(apf: Cursor, ptr: number): boolean {
  try {
    apf.backing.usableSize(asPtr(ptr));
    return false;
  } catch (error) {
    return error instanceof HeapError && error.code === "ERR_DOUBLE_FREE";
  }
}
