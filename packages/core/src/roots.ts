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
import { setTag, spanOf, STATE } from "./boundary-tag.ts";
import { HeapError, show } from "./errors.ts";
import { SUPERBLOCK } from "./layout.ts";
import type { Malloc } from "./malloc.ts";
import { asPtr, NULL, type Ptr } from "./ptr.ts";
import type { HeapBuffer } from "./views.ts";

const NEXT_AT = 0;
const HANDLE_AT = 4;
const LENGTH_AT = 8;
const NAME_AT = 12;
const MAX_NAME_BYTES = 1000;

export function rootOf<B extends HeapBuffer>(heap: Malloc<B>, name: string): Ptr {
  const record = find(heap, encode(name));
  return record === 0 ? NULL : asPtr(heap.u32[(record + HANDLE_AT) >>> 2]!);
}

export function setRootOf<B extends HeapBuffer>(heap: Malloc<B>, name: string, handle: Ptr): void {
  const text = encode(name);
  if (typeof handle !== "number" || handle >>> 0 !== handle) {
    throw new HeapError("ERR_INVALID_ARGUMENT", `setRoot(${show(name)}, ${show(handle)}): pass a pointer as handle`);
  }
  let record = find(heap, text);
  if (handle === NULL) return record === 0 ? undefined : remove(heap, record);
  if (record === 0) record = add(heap, text);
  heap.u32[(record + HANDLE_AT) >>> 2] = handle;
}

function add<B extends HeapBuffer>(heap: Malloc<B>, text: Uint8Array): number {
  const record = heap.malloc(NAME_AT + text.length);
  if (record === NULL) throw new HeapError("ERR_OUT_OF_MEMORY", "setRoot: no room for the name");
  const { u32 } = heap;
  const head = (heap.base + SUPERBLOCK.offsets.roots) >>> 2;
  u32[(record + NEXT_AT) >>> 2] = u32[head]!;
  u32[(record + LENGTH_AT) >>> 2] = text.length;
  heap.u8.set(text, record + NAME_AT);
  setTag(u32, record - 8, spanOf(u32, record - 8), STATE.RESERVED);
  u32[head] = record;
  return record;
}

function remove<B extends HeapBuffer>(heap: Malloc<B>, record: number): void {
  const { u32 } = heap;
  let link = (heap.base + SUPERBLOCK.offsets.roots) >>> 2;
  while (u32[link] !== record) link = (u32[link]! + NEXT_AT) >>> 2;
  u32[link] = u32[(record + NEXT_AT) >>> 2]!;
  setTag(u32, record - 8, spanOf(u32, record - 8), STATE.LIVE);
  heap.free(asPtr(record));
}

function find<B extends HeapBuffer>(heap: Malloc<B>, text: Uint8Array): number {
  const { u32, u8 } = heap;
  let record = u32[(heap.base + SUPERBLOCK.offsets.roots) >>> 2]!;
  while (record !== 0 && !isNamed(u32, u8, record, text)) record = u32[(record + NEXT_AT) >>> 2]!;
  return record;
}

function isNamed(u32: Uint32Array, u8: Uint8Array, record: number, text: Uint8Array): boolean {
  if (u32[(record + LENGTH_AT) >>> 2] !== text.length) return false;
  return text.every((byte, at) => u8[record + NAME_AT + at] === byte);
}

function encode(name: unknown): Uint8Array {
  const text = typeof name === "string" ? new TextEncoder().encode(name) : undefined;
  if (text !== undefined && text.length <= MAX_NAME_BYTES) return text;
  throw new HeapError("ERR_INVALID_ARGUMENT", `root ${show(name)}: pass a string of at most ${MAX_NAME_BYTES} bytes`);
}
