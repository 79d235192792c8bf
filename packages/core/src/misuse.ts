/**
 * Says what is wrong with an argument: the error path of the allocator, where time does not count and words do.
 *
 * @module
 */
import { HEADER_BYTES, spanOf, STATE, stateOf } from "./boundary-tag.ts";
import { HeapError, show } from "./errors.ts";
import type { Malloc } from "./malloc.ts";
import { asPtr, type Ptr } from "./ptr.ts";
import { startAtOrBelow } from "./start-bits.ts";
import type { HeapBuffer } from "./views.ts";

/**
 * Why a pointer is not a live payload of a heap.
 *
 * @param heap - as it is now
 * @param call - the function that was given the pointer
 * @param ptr - what it was given
 * @returns `ERR_DOUBLE_FREE` for free space, `ERR_INVALID_POINTER` for all other numbers, else `ERR_INVALID_ARGUMENT`
 */
export function refusal<B extends HeapBuffer>(heap: Malloc<B>, call: string, ptr: Ptr): HeapError {
  const what = `${call}(${show(ptr)})`;
  if (typeof ptr !== "number") {
    return new HeapError("ERR_INVALID_ARGUMENT", `${what}: not a number; pass a pointer that malloc returned`);
  }
  if (ptr >>> 0 !== ptr) {
    return new HeapError("ERR_INVALID_POINTER", `${what}: no address; pass a pointer that malloc returned`, ptr);
  }
  const remedy = "pass a pointer that it returned";
  const end = heap.end - HEADER_BYTES;
  if (ptr < heap.lowest || ptr >= end) {
    const finding = `outside this heap, whose blocks lie from ${show(heap.lowest)} to ${show(end)}`;
    return new HeapError("ERR_INVALID_POINTER", `${what}: ${finding}; ${remedy}`, ptr);
  }
  const payload = payloadAround(heap, ptr);
  const block = payload - HEADER_BYTES;
  const size = spanOf(heap.words, block) - HEADER_BYTES;
  const state = stateOf(heap.words, block);
  if (state === STATE.FREE || state === STATE.CACHED || state === STATE.HELD) {
    const where = payload === ptr ? "the block is free already" : `in free memory, which begins at ${show(payload)}`;
    return new HeapError("ERR_DOUBLE_FREE", `${what}: ${where}; free each block once`, ptr);
  }
  if (state !== STATE.LIVE) {
    return new HeapError("ERR_INVALID_POINTER", `${what}: memory that the heap itself uses; ${remedy}`, ptr);
  }
  const distance = ptr - payload;
  const where = distance < 0 ? `${-distance} bytes before` : `${distance} bytes inside`;
  return new HeapError(
    "ERR_INVALID_POINTER",
    `${what}: ${where} the ${size}-byte block at ${show(payload)}; pass ${show(payload)}`,
    ptr,
  );
}

/** The payload of the block that an address lies in, its header included. */
function payloadAround<B extends HeapBuffer>(heap: Malloc<B>, ptr: Ptr): number {
  const bias = (address: number): number => heap.words[heap.directory + (address >>> heap.granule)]!;
  const after = ptr + HEADER_BYTES;
  if (after < heap.end) {
    const next = startAtOrBelow(heap.words, bias(after), after, heap.lowest);
    if (next > ptr) return next;
  }
  // A granule without a start of its own lies inside a block that begins in one below.
  let address: number = ptr;
  for (;;) {
    const from = Math.max((address >>> heap.granule) * 2 ** heap.granule, heap.lowest);
    const found = startAtOrBelow(heap.words, bias(address), address, from);
    if (found !== 0 || from === heap.lowest) return found;
    address = from - 1;
  }
}

/** A header or a link of the allocator has been written over. */
export function corrupt(call: string, address: number): HeapError {
  const finding =
    "its header or a neighbour's was written over, by a write past the end of a block or into a freed one";
  return new HeapError("ERR_CORRUPT", `${call}: the block at ${show(address)} is damaged: ${finding}`, asPtr(address));
}

/** A size that is none. */
export function badSize(call: string, size: unknown): HeapError {
  return new HeapError("ERR_INVALID_ARGUMENT", `${call}: size ${shown(size)}; pass a whole number of bytes from 0`);
}

/** Another argument that must be a whole number. */
export function badCount(call: string, value: unknown, wanted: string = "a whole number from 0"): HeapError {
  return new HeapError("ERR_INVALID_ARGUMENT", `${call}: ${shown(value)}; pass ${wanted}`);
}

/** A whole number from 0: what a size or a count has to be. */
export function isCount(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && Number.isInteger(value);
}

function shown(value: unknown): string {
  return typeof value === "number" ? String(value) : show(value);
}
