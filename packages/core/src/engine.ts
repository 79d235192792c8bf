/**
 * What core's malloc is made of, for the allocators of this project that cut blocks from regions of their own: the block
 * header with split and release, the free index, the start bits. Nothing here checks what it is given, and it may change
 * with any minor version.
 *
 * @module
 */

// Blocks
export {
  HEADER_BYTES,
  MIN_SPAN_BYTES,
  release,
  setTag,
  spanOf,
  split,
  STATE,
  STATE_MASK,
  stateOf,
  writeHeader,
} from "./boundary-tag.ts";

// Free blocks by size
export {
  bestFit,
  clearIndex,
  FREE_INDEX_BYTES,
  goodFit,
  indexDamage,
  indexedBlocks,
  insertFree,
  isLinked,
  unlink,
} from "./free-index.ts";

// Where payloads begin
export { clearStart, isStart, setStart, startAtOrBelow, startBias, startBitmapBytes } from "./start-bits.ts";

// Who works on a shared heap
export { departuresOf, generationOf, isPresent } from "./slots.ts";
