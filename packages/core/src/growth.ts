/**
 * Formats a range and appends increments to it. The layouts are pictured in layout.
 *
 * @module
 */
import { HEADER_BYTES, MIN_SPAN_BYTES, setTag, spanOf, STATE, stateOf, writeHeader } from "./boundary-tag.ts";
import { clearIndex, insertFree } from "./free-index.ts";
import { ALIGNMENT_SHIFT_BITS, LAYOUT_VERSION, MAGIC, PAGE_BYTES, SUPERBLOCK } from "./layout.ts";
import type { Malloc } from "./malloc.ts";
import { setStart, startBias, startBitmapBytes } from "./start-bits.ts";
import type { HeapBuffer } from "./views.ts";

const { FREE, RESERVED } = STATE;
/** The smallest granule of a heap that can grow, and the number of them from which granules become larger. */
const MIN_GRANULE_SHIFT_BITS = 16;
const MAX_GRANULE_SHIFT_BITS = 20;
const GRANULES = 1024;
/** One granule for all: a heap that cannot grow. */
const WHOLE_GRANULE_SHIFT_BITS = 31;
/** A heap grows by at least its size shifted by this, a half: each increment is a border that no block spans. */
const GROWTH_SHIFT_BITS = 1;
/** Headers and rounding of an increment, besides its start bits. */
const INCREMENT_OVERHEAD_BYTES = 64;

/**
 * Formats `[base, base + bytes)` as an empty heap.
 *
 * @param u32 - the words of the buffer
 * @param base - multiple of the alignment
 * @param bytes - multiple of the alignment
 * @param maxBytes - what it may grow to
 * @param alignment - of payloads, 8 or 16
 * @param least - bytes that the first block must have
 * @returns false when the range is too small for a superblock and that block; nothing is written then
 */
export function format(
  u32: Uint32Array,
  base: number,
  bytes: number,
  maxBytes: number,
  alignment: number,
  least: number = MIN_SPAN_BYTES,
): boolean {
  const granule = granuleShift(bytes, maxBytes);
  const directory = base + SUPERBLOCK.size;
  const granules = ((base + maxBytes - 1) >>> granule) - (base >>> granule) + 1;
  const bitmap = directory + granules * 4;
  const covered = bytes === maxBytes ? base + bytes : Math.min(granuleEnd(base + bytes - 1, granule), base + maxBytes);
  const bitmapBytes = startBitmapBytes(base, covered);
  const first = Math.ceil((bitmap + bitmapBytes + HEADER_BYTES) / alignment) * alignment - HEADER_BYTES;
  const last = base + bytes - HEADER_BYTES;
  if (last - first < least) return false;

  u32.fill(0, base >>> 2, first >>> 2);
  const bias = startBias(bitmap, base);
  for (let word = 0; word <= ((covered - 1) >>> granule) - (base >>> granule); word += 1) {
    u32[(directory >>> 2) + word] = bias;
  }
  writeHeader(u32, first, 0, last - first, FREE);
  writeHeader(u32, last, last - first, HEADER_BYTES, RESERVED);
  setStart(u32, bias, first + HEADER_BYTES);
  const { offsets } = SUPERBLOCK;
  const set = (field: keyof typeof offsets, value: number): void => {
    u32[(base + offsets[field]) >>> 2] = value;
  };
  clearIndex(u32, (base + offsets.index) >>> 2);
  set("version", LAYOUT_VERSION);
  set("flags", Math.log2(alignment) << ALIGNMENT_SHIFT_BITS);
  set("base", base);
  set("bytes", bytes);
  set("maxBytes", maxBytes);
  set("footprint", first - base);
  set("first", first);
  set("top", first);
  set("directory", directory);
  set("granule", granule);
  // Last: a range is a heap from here on.
  set("magic", MAGIC);
  return true;
}

/**
 * Grows a heap so that its wilderness holds `span` bytes: by half its size at least, by less where the maximum or the
 * memory's own limit is near. What others have appended to the memory since is stepped over.
 *
 * @param heap - any heap
 * @param span - bytes of the block that is to be cut from the wilderness
 * @returns false when it cannot grow that much; nothing is changed then
 */
export function extend<B extends HeapBuffer>(heap: Malloc<B>, span: number): boolean {
  const { memory, base, granule } = heap;
  if (memory === undefined || granule === WHOLE_GRANULE_SHIFT_BITS) return false;
  const maxEnd = base + heap.words[(base + SUPERBLOCK.offsets.maxBytes) >>> 2]!;
  const oldEnd = heap.end;
  const memoryEnd = memory.buffer.byteLength;
  // Where nobody else has grown the memory, the rest of the last granule simply joins the wilderness.
  const joined = memoryEnd === oldEnd ? Math.min(granuleEnd(oldEnd - 1, granule), maxEnd) : oldEnd;
  let least = joined;
  let most = joined;
  if (joined === oldEnd || joined - HEADER_BYTES - heap.words[heap.topWord]! < span) {
    const from = granuleEnd(memoryEnd - 1, granule);
    const foreign = from - joined;
    // 1/64 of what is added goes to start bits, and they lie in it themselves.
    const wanted = from + Math.ceil(((span + INCREMENT_OVERHEAD_BYTES + foreign / 64) * 64) / 63);
    least = wanted > maxEnd ? wanted : Math.min(granuleEnd(wanted - 1, granule), maxEnd);
    most = Math.max(least, Math.min(granuleEnd(oldEnd + ((oldEnd - base) >>> GROWTH_SHIFT_BITS) - 1, granule), maxEnd));
  }
  if (least > maxEnd) return false;
  const newEnd = growMemory(memory, most) ? most : most !== least && growMemory(memory, least) ? least : 0;
  // Someone else who grows a shared memory at the same instant may have the pages that were meant.
  if (newEnd === 0) return memory.buffer.byteLength !== memoryEnd && extend(heap, span);
  heap.retake();
  const u32 = heap.words;
  const reached = Math.min(joined, newEnd);
  if (reached > oldEnd) join(heap, u32, oldEnd, reached);
  if (newEnd > reached) append(heap, u32, reached, Math.max(memoryEnd, reached), newEnd);
  heap.end = newEnd;
  return true;
}

/** Moves the end of the chain, whose granule's start bits are there already: the wilderness gets larger. */
function join<B extends HeapBuffer>(heap: Malloc<B>, u32: Uint32Array, oldEnd: number, newEnd: number): void {
  const { base } = heap;
  const end = oldEnd - HEADER_BYTES;
  const last = newEnd - HEADER_BYTES;
  let top = u32[heap.topWord]!;
  if (stateOf(u32, top) !== FREE) {
    top = end;
    setStart(u32, u32[heap.directory + (oldEnd >>> heap.granule)]!, oldEnd);
  }
  const span = last - top;
  writeHeader(u32, last, span, HEADER_BYTES, RESERVED);
  // The one store that makes it visible; the old end's header, if it was not the wilderness itself, is swallowed.
  setTag(u32, top, span, FREE);
  u32[heap.bytesWord] = newEnd - base;
  u32[heap.topWord] = top;
}

/**
 * Appends an increment with start bits of its own; the wilderness so far becomes an ordinary free block.
 *
 * @param oldEnd - of the heap
 * @param from - where the new memory begins: `oldEnd`, or beyond what others have taken
 * @param newEnd - of the heap
 */
function append<B extends HeapBuffer>(
  heap: Malloc<B>,
  u32: Uint32Array,
  oldEnd: number,
  from: number,
  newEnd: number,
): void {
  const { base, granule, alignment } = heap;
  const covered = granuleEnd(oldEnd - 1, granule);
  const bitmap = Math.max(from, covered);
  const bias = startBias(bitmap, covered);
  const fence = oldEnd - HEADER_BYTES;
  const bitmapEnd = bitmap + startBitmapBytes(covered, newEnd);
  const first = Math.ceil((bitmapEnd + HEADER_BYTES) / alignment) * alignment - HEADER_BYTES;
  const last = newEnd - HEADER_BYTES;
  u32.fill(0, bitmap >>> 2, bitmapEnd >>> 2);
  for (let at = covered; at < newEnd; at += 2 ** granule) u32[heap.directory + (at >>> granule)] = bias;
  writeHeader(u32, first, first - fence, last - first, FREE);
  writeHeader(u32, last, last - first, HEADER_BYTES, RESERVED);
  setStart(u32, bias, first + HEADER_BYTES);
  setStart(u32, u32[heap.directory + (oldEnd >>> granule)]!, oldEnd);
  // The one store that makes the increment part of the chain.
  setTag(u32, fence, first - fence, RESERVED);
  u32[heap.bytesWord] = newEnd - base;
  const top = u32[heap.topWord]!;
  u32[heap.topWord] = first;
  if (stateOf(u32, top) === FREE) {
    // What is handed out from the index lies below the footprint: nobody looks there.
    u32[heap.footprintWord] = Math.max(u32[heap.footprintWord]!, fence - base);
    insertFree(u32, heap.index, top, spanOf(u32, top));
  }
}

function growMemory(memory: WebAssembly.Memory, end: number): boolean {
  const { byteLength } = memory.buffer;
  const pages = Math.ceil((end - byteLength) / PAGE_BYTES);
  try {
    return pages <= 0 || memory.grow(pages) * PAGE_BYTES === byteLength;
  } catch {
    return false;
  }
}

/** The smallest granule that keeps the directory near 1024 words. */
function granuleShift(bytes: number, maxBytes: number): number {
  if (bytes === maxBytes) return WHOLE_GRANULE_SHIFT_BITS;
  let shift = MIN_GRANULE_SHIFT_BITS;
  while (shift < MAX_GRANULE_SHIFT_BITS && maxBytes > GRANULES * 2 ** shift) shift += 1;
  return shift;
}

/** End of the granule that an address lies in. */
function granuleEnd(address: number, granule: number): number {
  return (Math.floor(address / 2 ** granule) + 1) * 2 ** granule;
}
