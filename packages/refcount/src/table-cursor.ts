/**
 * A cursor over a state's table: finds pointers, and puts them in. What it knows is in the heap; the fields here are addresses
 * and numbers of the table as it was last seen.
 *
 * @module
 */
import { type Allocator, type Heap, type HeapBuffer, NULL, type Ptr } from "@heapwright/core";

import type { Opened } from "./control.ts";
import { stackHere } from "./inspect.ts";
import { MAGIC, RM_STATE } from "./layout.ts";
import { destroyed, notANumber } from "./misuse.ts";
import { insert, makeRoom, tableOf } from "./table.ts";

// Local, because V8 folds a module's own constants into its code and reads imported ones at every use.
const EPOCH = RM_STATE.offsets.epoch >>> 2;
/** Bits of a hashed pointer that do not choose its home. */
const HASH_SHIFT_BITS = 4;
/** The epoch of no table. */
const NO_EPOCH = -1;

/** What became of a pointer that was to be tracked: it is; there was no room; it was before. */
export type Added = typeof TRACKED | typeof NO_ROOM | typeof REFUSED;
export const TRACKED = 1;
export const NO_ROOM = 0;
export const REFUSED = -1;

export class TableCursor {
  /** The heap that the table lies in. */
  declare readonly heap: Heap<HeapBuffer>;
  /** Serves the blocks, and frees them. */
  declare readonly backing: Allocator;
  /** @internal Where pointers came from, when that is noted. */
  declare readonly stacks: Map<Ptr, string> | undefined;
  /** @internal Word address of the control block. */
  declare control: number;
  /** @internal Word address of the epoch. */
  declare epochWord: number;
  /** @internal The heap's words as last seen; of length 0 when its memory has grown since. */
  declare words: Uint32Array;
  /** @internal The epoch of the table as last seen; of none when stacks are noted, so that every call takes the slow way. */
  declare epoch: number;
  /** @internal The table as last seen: word address of its first slot, and what makes homes. */
  declare first: number;
  /** @internal */
  declare factor: number;
  /** @internal */
  declare shift: number;
  /** @internal */
  declare multiplier: number;

  /** @internal */
  constructor(opened: Opened) {
    const { backing, handle, options } = opened;
    this.heap = backing.heap;
    this.backing = backing;
    this.stacks = options.stacks === true ? new Map() : undefined;
    this.control = handle >>> 2;
    this.epochWord = this.control + EPOCH;
    this.words = this.heap.u32;
    this.epoch = NO_EPOCH;
    this.first = 0;
    this.factor = 0;
    this.shift = 0;
    this.multiplier = 0;
    this.refresh("attach");
  }

  /** @internal The slot in which the search for a pointer ends: its own; else an empty one, whose counts are 0. */
  slotOf(u32: Uint32Array, ptr: number): number {
    const hashed = Math.imul(ptr, this.multiplier) >>> HASH_SHIFT_BITS;
    const home = (this.first + ((Math.imul(hashed, this.factor) >>> this.shift) << 1)) | 0;
    // The home, or the slot behind it when the pointer is not there: without a branch, which could not be foreseen.
    let slot = (home + 2 - ((Math.clz32(u32[home]! ^ ptr) >>> 5) << 1)) | 0;
    for (let there = u32[slot]! | 0; there !== (ptr | 0) && there !== 0; there = u32[slot]! | 0) slot = (slot + 2) | 0;
    return slot;
  }

  /** @internal The slot of a tracked pointer; 0 for all others. Sees what has changed since. */
  find(call: string, ptr: Ptr): number {
    const u32 = this.refresh(call);
    if (typeof ptr !== "number") throw notANumber(call, ptr);
    const slot = isAddress(ptr) ? this.slotOf(u32, ptr) : 0;
    return slot !== 0 && u32[slot + 1] !== 0 ? slot : 0;
  }

  /** @internal Puts a pointer into the table, which is cleared or replaced where it has to be. */
  add(call: string, ptr: Ptr, counts: number): Added {
    for (;;) {
      const u32 = this.refresh(call);
      const slot = this.slotOf(u32, ptr);
      if (u32[slot + 1] !== 0) return REFUSED;
      if (u32[slot] === ptr) {
        u32[slot + 1] = counts;
        break;
      }
      if (insert(u32, this.control, ptr, counts)) break;
      if (!makeRoom(this.backing, this.control)) return NO_ROOM;
    }
    this.stacks?.set(ptr, stackHere());
    return TRACKED;
  }

  /** @internal Sees what has changed since: views, table. */
  refresh(call: string): Uint32Array {
    const u32 = this.expectAlive(call);
    if (u32 === this.words && (u32[this.epochWord]! | 0) === this.epoch) return u32;
    const { first, factor, shift, multiplier } = tableOf(u32, this.control);
    this.words = u32;
    this.epoch = this.stacks === undefined ? u32[this.epochWord]! | 0 : NO_EPOCH;
    this.first = first;
    this.factor = factor;
    this.shift = shift;
    this.multiplier = multiplier | 0;
    return u32;
  }

  /** @internal */
  get isDestroyed(): boolean {
    return this.heap.u32[this.control] !== MAGIC;
  }

  /** @internal The heap's words, after a look at the magic. */
  expectAlive(call: string): Uint32Array {
    const { u32 } = this.heap;
    if (u32[this.control] !== MAGIC) throw destroyed(call);
    return u32;
  }
}

/** @internal What can be tracked: an address other than `NULL`. */
export function isAddress(ptr: number): boolean {
  return ptr >>> 0 === ptr && ptr !== NULL;
}
