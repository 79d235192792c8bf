/**
 * What a state keeps in the heap: a control block and a table, each a block of the backing; layout version 1.
 *
 * ```text
 *   handle ->
 *   +0    magic        "RMST"
 *   +4    version      of the layout
 *   +8    backing      0: the heap; 0xffffffff: an allocator without a handle; else the backing's handle
 *   +12   epoch        raised when the table is replaced, so that every cursor sees it; 0: destroyed
 *   +16   table        the table
 *   +20   used         slots that are not empty
 *   +24   deallocators functions that have been registered
 *   +28   reserved, 12 bytes
 * ```
 *
 * The table is searched from a pointer's home on, slot by slot, up to the pointer or an empty slot. It has `factor << n` homes,
 * which share the hashed pointers evenly and in order, and 64 slots behind them.
 *
 * ```text
 *   table ->
 *   +0      +4     +8       +12               +16             +24             +32                       homes + 64
 *   +-------+------+--------+--------+--------+------+--------+------+--------+------+--------+- - - -+------+--------+
 *   |factor |shift |multiplier       | 0      | ptr  | counts | ptr  | counts | 0    | 0      |       | 0    | 0      |
 *   +-------+------+--------+--------+--------+------+--------+------+--------+------+--------+- - - -+------+--------+
 *                                               slot 0          slot 1          slot 2, empty           the last, always empty
 *
 *   factor      8 to 15
 *   multiplier  odd; the hashed pointer is `ptr * multiplier` modulo 2^32
 *   shift       a pointer's home is the slot `(hashed >>> 4) * factor >>> shift`
 *   ptr         a pointer; 0: the slot is empty
 *   counts      bits 0..25: references, the highest number for that many or more; bits 26..31: the deallocator, 0: the backing;
 *               0: the pointer is not tracked, and its slot waits for it to come again
 * ```
 *
 * A pointer that is not tracked any more leaves its slot behind: most come again, as an allocator hands out the same
 * addresses, and find it. When 15/32 of the homes are used, what was left behind is cleared; or, if so many are tracked that 11/32
 * of a larger table are still used, that takes them.
 *
 * Invariants, proved by `check()`:
 *
 *  1. magic, version, epoch, factor, shift and multiplier are possible ones; the table is a live block of the backing that is
 *     large enough.
 *  2. A search for the pointer of a slot ends there: no slot from its home on is empty, or has the same pointer.
 *  3. Each pointer stands less than 64 slots behind its home.
 *  4. Empty slots are zero; the last one is empty.
 *  5. A tracked pointer has references, and a deallocator that has been registered.
 *  6. Conservation: `used` == slots that are not empty <= 15/32 of the homes.
 *
 * Store order: `ptr` and `counts` in the table that `table` leads to are the truth, `used` is derived. A pointer is stored
 * before its counts, so that it is in its slot but not tracked; what is released or detached is so with one store to `counts`; a
 * new table is filled before one store to `table` makes it the state's. Only clearing moves entries, up: `ptr`, `counts`, and then
 * the old `counts` become 0. Cut short, it leaves at most one pointer in two slots, of which the second alone may say that it is
 * tracked; `recover()` moves that.
 *
 * @module
 */
import {
  array,
  type ArrayCodec,
  bits,
  type BitsCodec,
  ptr,
  type Ptr,
  type ScalarCodec,
  struct,
  type StructCodec,
  u32,
} from "@heapwright/core";

type Word = ScalarCodec<number>;

/** The control block: the document's `struct rm_state`. */
export const RM_STATE: StructCodec<{
  magic: Word;
  version: Word;
  backing: Word;
  epoch: Word;
  table: ScalarCodec<Ptr>;
  used: Word;
  deallocators: Word;
  reserved: ArrayCodec<Word>;
}> = /* @__PURE__ */ struct({
  magic: u32,
  version: u32,
  backing: u32,
  epoch: u32,
  table: ptr,
  used: u32,
  deallocators: u32,
  reserved: /* @__PURE__ */ array(u32, 3),
});

/** What a table begins with; its slots follow. */
export const RM_TABLE: StructCodec<{ factor: Word; shift: Word; multiplier: Word; reserved: Word }> =
  /* @__PURE__ */ struct({ factor: u32, shift: u32, multiplier: u32, reserved: u32 });

/** A slot of the table: the document's `struct rm_entry`. */
export const RM_ENTRY: StructCodec<{
  ptr: ScalarCodec<Ptr>;
  counts: BitsCodec<"references" | "deallocator">;
}> = /* @__PURE__ */ struct({ ptr, counts: /* @__PURE__ */ bits({ references: 26, deallocator: 6 }) });

export const MAGIC = 0x54534d52;
export const LAYOUT_VERSION = 1;
/** The epoch of a new state: a number that is seldom found where a control block was freed. */
export const FIRST_EPOCH = 0x2a17_0001;
/** In `backing`: table and blocks come from the heap itself. */
export const BACKING_HEAP = 0;
/** In `backing`: from an allocator that has no handle to know it by. */
export const BACKING_UNNAMED = 0xffff_ffff;

/** Homes of the first table, unless told otherwise: the document's default. */
export const RM_DEFAULT_HASH_SIZE = 4096;
/** As many references can be counted; with so many a pointer is kept for good. */
export const RM_MAX_REFERENCES = 0x3ff_ffff;
/** Where the index of the deallocator lies in `counts`. */
export const DEALLOCATOR_SHIFT_BITS = 26;
/** As many functions can be registered with a state. */
export const RM_MAX_DEALLOCATORS = 63;
/** A pointer stands less than so many slots behind its home. */
export const PROBE_LIMIT_SLOTS = 64;
/** Bits of a hashed pointer that choose its home; with more, `hashed * factor` would have more than 32. */
export const HOME_BITS = 28;
/** The factors of a table. */
export const MIN_FACTOR = 8;
export const MIN_FACTOR_LOG2 = 3;
export const MAX_FACTOR = 15;
/** No table has so many homes: it would be larger than any heap. */
export const HOMES_LIMIT: number = 2 ** 29;

/** Slots that may be used in a table of so many homes. */
export function usedLimitOf(homes: number): number {
  return Math.floor((homes * 15) / 32);
}

/** The most homes of a table in which so many tracked pointers use at least 11/32. */
export function mostHomesFor(tracked: number): number {
  return Math.floor((tracked * 32) / 11);
}

/** Bytes of a table of so many homes. */
export function tableBytesOf(homes: number): number {
  return RM_TABLE.size + (homes + PROBE_LIMIT_SLOTS) * RM_ENTRY.size;
}
