/**
 * The pointers of a debug pool in a list, so that it can name what its containers belong to. Only the way forward is true;
 * the way back is derived. The picture is in layout.
 *
 * @module
 */
import { asPtr, type Ptr } from "@heapwright/core";

import { POINTER, POOL } from "./layout.ts";

const FIRST = POOL.offsets.pointers >>> 2;
const OWNER = POINTER.offsets.pool >>> 2;
const NEXT = POINTER.offsets.next >>> 2;
const PREV = POINTER.offsets.prev >>> 2;

/** Lists a pointer, in front. O(1). @param control - word address of the pool's control block */
export function listPointer(u32: Uint32Array, control: number, pointer: number): void {
  const first = u32[control + FIRST]!;
  u32[(pointer >>> 2) + NEXT] = first;
  u32[(pointer >>> 2) + PREV] = 0;
  if (first !== 0) u32[(first >>> 2) + PREV] = pointer;
  u32[control + FIRST] = pointer;
}

/**
 * Strikes a pointer off the list; one is on none if its pool was destroyed, and this one lies where that did. O(1).
 *
 * @returns false, with nothing changed, when its links do not lead back to it
 */
export function unlistPointer(u32: Uint32Array, control: number, pointer: number): boolean {
  const word = pointer >>> 2;
  const next = u32[word + NEXT]!;
  const prev = u32[word + PREV]!;
  const holder = prev === 0 ? control + FIRST : (prev >>> 2) + NEXT;
  if (u32[holder] !== pointer) return prev === 0 && next === 0;
  u32[holder] = next;
  if (next !== 0) u32[(next >>> 2) + PREV] = prev;
  u32[word + NEXT] = 0;
  u32[word + PREV] = 0;
  return true;
}

/** Those that are listed. The list must not change meanwhile. */
export function* listedPointers(u32: Uint32Array, control: number): Generator<Ptr> {
  for (let at = u32[control + FIRST]!; at !== 0; at = u32[(at >>> 2) + NEXT]!) yield asPtr(at);
}

/** Takes them all off, one after the other: another pool may come to lie where this one does. */
export function disownPointers(u32: Uint32Array, control: number): void {
  const handle = (control << 2) >>> 0;
  for (let word = u32[control + FIRST]! >>> 2; word !== 0 && u32[word + OWNER] === handle;) {
    const next = u32[word + NEXT]!;
    u32[control + FIRST] = next;
    u32[word + OWNER] = 0;
    u32[word + NEXT] = 0;
    u32[word + PREV] = 0;
    word = next >>> 2;
  }
}

/** Writes the way back anew. */
export function relinkPointers(u32: Uint32Array, control: number): void {
  let prev = 0;
  for (const pointer of listedPointers(u32, control)) {
    u32[(pointer >>> 2) + PREV] = prev;
    prev = pointer;
  }
}
