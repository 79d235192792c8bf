/**
 * A pointer's block: what it refers to and its name. The picture is in layout.
 *
 * @module
 */
import { type Allocator, asPtr, NULL, type Ptr } from "@heapwright/core";

import { ALIGNMENT_SHIFT_BITS, MAX_BYTES, POINTER, REST_MASK, SHORT_NAME_BYTES } from "./layout.ts";
import { KNOWN, KNOWN_BYTES, KNOWN_TEXT, learn } from "./names.ts";
import { reportOom } from "./oom-handler.ts";
import { nextStamp } from "./stamps.ts";
import { wipe } from "./wipe.ts";

const { offsets } = POINTER;
const STAMP = offsets.stamp >>> 2;
const NAME_BYTES = offsets.nameBytes >>> 2;
const NAME = POINTER.size >>> 2;
const NAME_OFFSET_BYTES = 28;
/** Of a block with a short name. */
const SHORT_BLOCK_BYTES = 48;

/** Bytes of the block of a name that is so long. A multiple of 8. */
export function pointerBytes(nameBytes: number): number {
  return nameBytes <= SHORT_NAME_BYTES ? SHORT_BLOCK_BYTES : Math.ceil((NAME_OFFSET_BYTES + nameBytes) / 8) * 8;
}

/**
 * Takes a block for a pointer that leads nowhere yet.
 *
 * @param backing - where from
 * @param name - of the variable
 * @param shift - log2 of the least alignment, 0: none of its own
 * @returns the block; `NULL` when there is no room, and the handler has been told
 */
export function makeBlock(backing: Allocator, name: string, shift: number): Ptr {
  learn(name);
  const nameBytes = KNOWN[KNOWN_BYTES]!;
  const bytes = pointerBytes(nameBytes);
  const block = nameBytes <= REST_MASK && bytes <= MAX_BYTES ? backing.malloc(bytes) : NULL;
  if (block === NULL) {
    reportOom(bytes);
    return NULL;
  }
  const { heap } = backing;
  wipe(heap, block, block + bytes);
  const { u32 } = heap;
  const word = block >>> 2;
  u32[word + NAME_BYTES] = nameBytes | (shift << ALIGNMENT_SHIFT_BITS);
  if (nameBytes <= SHORT_NAME_BYTES) {
    for (let at = 0; at < SHORT_NAME_BYTES / 4; at += 1) u32[word + NAME + at] = KNOWN[KNOWN_TEXT + at]!;
  } else {
    heap.u8.set(new TextEncoder().encode(name), block + NAME_OFFSET_BYTES);
  }
  // Last: it is a pointer from here on.
  u32[word + STAMP] = nextStamp();
  return block;
}

/** Gives a pointer's block back, all 0. It leads nowhere. */
export function freeBlock(backing: Allocator, block: Ptr): void {
  const { heap } = backing;
  const nameBytes = heap.u32[(block >>> 2) + NAME_BYTES]! & REST_MASK;
  wipe(heap, block, block + pointerBytes(nameBytes));
  backing.free(asPtr(block));
}

/** The name in a pointer's block. */
export function nameIn(backing: Allocator, block: number): string {
  const { u32, u8 } = backing.heap;
  const nameBytes = u32[(block >>> 2) + NAME_BYTES]! & REST_MASK;
  const from = block + NAME_OFFSET_BYTES;
  // A copy: decoders refuse shared memory.
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(u8.slice(from, from + nameBytes));
}

/** log2 of the least alignment that a pointer's containers are to have, 0: none of its own. */
export function shiftIn(u32: Uint32Array, block: number): number {
  return u32[(block >>> 2) + NAME_BYTES]! >>> ALIGNMENT_SHIFT_BITS;
}
