/**
 * Named handles: how an agent that attaches finds what another one made.
 *
 * ```text
 *   superblock.roots -> ptr                     (a RESERVED block, so that it does not count as anyone's)
 *                        +0     next root record, 0: none
 *                        +4     handle
 *                        +8     bytes of the name
 *                        +12    name, UTF-8
 * ```
 *
 * @module
 */
import { HEADER_BYTES, setTag, spanOf, STATE } from "./boundary-tag.ts";
import { struct, u32 } from "./codec.ts";
import { HeapError, show } from "./errors.ts";
import { SUPERBLOCK } from "./layout.ts";
import type { Malloc } from "./malloc.ts";
import { corrupt } from "./misuse.ts";
import { asPtr, NULL, type Ptr } from "./ptr.ts";
import type { HeapBuffer } from "./views.ts";

/** A record before its name. */
const RECORD = /* @__PURE__ */ struct({ next: u32, handle: u32, length: u32 });
const MAX_NAME_BYTES = 1000;

export function rootOf<B extends HeapBuffer>(heap: Malloc<B>, name: string): Ptr {
  const record = find(heap, encode(name));
  return record === NULL ? NULL : asPtr(RECORD.get.handle(heap, record));
}

export function setRootOf<B extends HeapBuffer>(heap: Malloc<B>, name: string, handle: Ptr): void {
  const text = encode(name);
  if (typeof handle !== "number" || handle >>> 0 !== handle) {
    throw new HeapError("ERR_INVALID_ARGUMENT", `setRoot(${show(name)}, ${show(handle)}): pass a pointer as handle`);
  }
  const found = find(heap, text);
  if (handle !== NULL) RECORD.set.handle(heap, found === NULL ? add(heap, text) : found, handle);
  else if (found !== NULL) remove(heap, found);
}

function add<B extends HeapBuffer>(heap: Malloc<B>, text: Uint8Array): Ptr {
  const record = heap.malloc(RECORD.size + text.length);
  if (record === NULL) throw new HeapError("ERR_OUT_OF_MEMORY", "setRoot: no room for the name; give the heap more");
  RECORD.write(heap, record, { next: firstOf(heap), handle: NULL, length: text.length });
  heap.u8.set(text, record + RECORD.size);
  setState(heap, record, STATE.RESERVED);
  SUPERBLOCK.set.roots(heap, asPtr(heap.base), record);
  return record;
}

function remove<B extends HeapBuffer>(heap: Malloc<B>, record: Ptr): void {
  const next = RECORD.get.next(heap, record);
  if (firstOf(heap) === record) {
    SUPERBLOCK.set.roots(heap, asPtr(heap.base), next);
  } else {
    let before = firstOf(heap);
    while (RECORD.get.next(heap, before) !== record) before = asPtr(RECORD.get.next(heap, before));
    RECORD.set.next(heap, before, next);
  }
  setState(heap, record, STATE.LIVE);
  heap.free(record);
}

function firstOf<B extends HeapBuffer>(heap: Malloc<B>): Ptr {
  return asPtr(SUPERBLOCK.get.roots(heap, asPtr(heap.base)));
}

function setState<B extends HeapBuffer>(heap: Malloc<B>, record: Ptr, state: number): void {
  const block = record - HEADER_BYTES;
  setTag(heap.u32, block, spanOf(heap.u32, block), state);
}

function find<B extends HeapBuffer>(heap: Malloc<B>, text: Uint8Array): Ptr {
  let record = firstOf(heap);
  for (let seen = 0; record !== NULL && !isNamed(heap, record, text); seen += RECORD.size) {
    if (seen > heap.end) throw corrupt("root", record);
    record = asPtr(RECORD.get.next(heap, record));
  }
  return record;
}

function isNamed<B extends HeapBuffer>(heap: Malloc<B>, record: Ptr, text: Uint8Array): boolean {
  const { u8 } = heap;
  if (RECORD.get.length(heap, record) !== text.length) return false;
  return text.every((byte, at) => u8[record + RECORD.size + at] === byte);
}

function encode(name: unknown): Uint8Array {
  const text = typeof name === "string" ? new TextEncoder().encode(name) : undefined;
  if (text !== undefined && text.length <= MAX_NAME_BYTES) return text;
  throw new HeapError("ERR_INVALID_ARGUMENT", `root ${show(name)}: pass a string of at most ${MAX_NAME_BYTES} bytes`);
}
