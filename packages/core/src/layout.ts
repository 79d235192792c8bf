/**
 * The superblock: what a heap knows about itself, at its base. Layout version 1.
 *
 * ```text
 *   base
 *   +0    magic       "HPWR"
 *   +4    version     of the layout
 *   +8    flags       bit 0: shared; bits 8..15: log2 of the alignment
 *   +12   base        the address it was formatted at
 *   +16   bytes       from base to end
 *   +20   maxBytes    what it may grow to
 *   +24   footprint   highest end of a block ever handed out, less base
 *   +28   roots       payload of the first root record, 0: none
 *   +32   first       the first block
 *   +36   top         the wilderness: the free block before the end, or the end itself when that is used up
 *   +40   directory   byte address of the directory
 *   +44   granule     log2 of the bytes that a word of the directory stands for
 *   +48   budget      bytes that may still be pushed on quick lists before they are counted again
 *   +52   reserved, 12 bytes
 *   +64   lock        0, or the owner's slot and a WAIT bit    } a line of their own;
 *   +68   slots       address of the worker slots              } 0 in a private heap
 *   +72   deaths      lock owners that died                    }
 *   +76   reserved, 36 bytes
 *   +112  quickMap    bit s of these 128: quick list s may hold something
 *   +128  free index  640 bytes, see free-index
 *   +768  quickLists  128 payloads, by span / 8
 *   +1280 directory   a word for each granule of maxBytes: the bias of its start bits
 *         start bits  of the heap's first bytes
 *         the first block
 *         ...
 *   end - 8           a RESERVED header: the end of the chain
 * ```
 *
 * Growth appends an increment. It begins with the start bits of its own granules, which lie in a RESERVED block made of
 * the old end, so that the chain goes on and nothing moves:
 *
 * ```text
 *       old end - 8   old end
 *   ----+-------------+------------------------+--------------------------+-----+
 *       | RESERVED    | start bits (1/64)      | the new wilderness       | end |
 *   ----+-------------+------------------------+--------------------------+-----+
 * ```
 *
 * Invariants, proved by `check()`:
 *
 *  1. magic, version, base and sizes agree with the memory.
 *  2. The chain leads from `first` to the end exactly, in spans that are multiples of the alignment; each block's
 *     `previous` is the span of the one before it.
 *  3. No two neighbours are FREE.
 *  4. The start bits are those of the chain's payloads, and no others (the last end has none).
 *  5. Every FREE block but the wilderness stands in the free index once, where its span belongs, and nothing else does;
 *     maps and heads agree.
 *  6. Every CACHED block stands in the quick list of its span once, and nothing else does; marks cover what is not
 *     empty; together they hold at most 1/16 of the footprint.
 *  7. Conservation: live + cached + free + reserved spans == bytes between `first` and the end.
 *  8. No handed-out block ends above the footprint; the wilderness is the last block before the end.
 *
 * @module
 */
import { FREE_INDEX_BYTES } from "./free-index.ts";

export const MAGIC = 0x52575048;
export const LAYOUT_VERSION = 1;

/** Offsets in bytes from the base. */
export const MAGIC_AT = 0;
export const VERSION_AT = 4;
export const FLAGS_AT = 8;
export const BASE_AT = 12;
export const BYTES_AT = 16;
export const MAX_BYTES_AT = 20;
export const FOOTPRINT_AT = 24;
export const ROOTS_AT = 28;
export const FIRST_AT = 32;
export const TOP_AT = 36;
export const DIRECTORY_AT = 40;
export const GRANULE_AT = 44;
export const BUDGET_AT = 48;
export const QUICK_MAP_AT = 112;
export const INDEX_AT = 128;
export const QUICK_LISTS_AT: number = INDEX_AT + FREE_INDEX_BYTES;
export const QUICK_LIST_COUNT = 128;
export const SUPERBLOCK_BYTES: number = QUICK_LISTS_AT + QUICK_LIST_COUNT * 4;

export const FLAG_SHARED = 1;
export const ALIGNMENT_SHIFT_BITS = 8;

/** WebAssembly's page. */
export const PAGE_BYTES = 65536;
/** No heap ends above this: 4 GiB less one page, so that an end is still an unsigned 32-bit number. */
export const MAX_END_BYTES: number = 0x1_0000_0000 - PAGE_BYTES;
