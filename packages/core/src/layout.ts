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
 *   +48   budget      bytes that may still be pushed on small quick lists before they are counted again
 *   +52   largeHeld   bytes in the quick lists of large blocks
 *   +56   id          64 random bits that name a shared heap
 *   +64   lock        0, or the holder's slot and a WAIT bit   } a line of their own;
 *   +68   slots       payload of the slot table                } 0 in a private heap
 *   +72   deaths      holders of the lock that died            }
 *   +76   repaired    `deaths` when derived words were rebuilt }
 *   +80   departures  agents that had a slot and left          }
 *   +84   reserved, 28 bytes
 *   +112  quickMap    bit n of these 128: small quick list n may hold something
 *   +128  free index  1728 bytes, see free-index
 *   +1856 quickLists  192 payloads, see quick-lists
 *   +2624 directory   a word for each granule of maxBytes: the bias of its start bits
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
 *  6. Every CACHED block stands in the quick list of its span once, and nothing else does; each small one tells
 *     what its list holds from there on, and marks cover what is not empty; `largeHeld` is what the others hold; together
 *     they hold at most 1/8 of the footprint.
 *  7. Conservation: live + cached + free + reserved spans == bytes between `first` and the end.
 *  8. No handed-out block ends above the footprint; the wilderness is the last block before the end.
 *  9. In a shared heap every HELD block is in just one magazine, that of its span, of a slot that is not FREE; nothing else
 *     is in one. A private heap has none. (Agents move blocks in and out without the lock: what is seen to change meanwhile
 *     is not judged.)
 *
 * @module
 */
import { array, type ArrayCodec, type ScalarCodec, struct, type StructCodec, u32 } from "./codec.ts";
import { FREE_INDEX_BYTES } from "./free-index.ts";

type Word = ScalarCodec<number>;
type Words = ArrayCodec<Word>;

/** The superblock. Its fields are explained in the picture above. */
export const SUPERBLOCK: StructCodec<{
  magic: Word;
  version: Word;
  flags: Word;
  base: Word;
  bytes: Word;
  maxBytes: Word;
  footprint: Word;
  roots: Word;
  first: Word;
  top: Word;
  directory: Word;
  granule: Word;
  budget: Word;
  largeHeld: Word;
  id: Words;
  lock: Word;
  slots: Word;
  deaths: Word;
  repaired: Word;
  departures: Word;
  reserved: Words;
  quickMap: Words;
  index: Words;
  quickLists: Words;
}> = /* @__PURE__ */ struct({
  magic: u32,
  version: u32,
  flags: u32,
  base: u32,
  bytes: u32,
  maxBytes: u32,
  footprint: u32,
  roots: u32,
  first: u32,
  top: u32,
  directory: u32,
  granule: u32,
  budget: u32,
  largeHeld: u32,
  id: /* @__PURE__ */ array(u32, 2),
  lock: u32,
  slots: u32,
  deaths: u32,
  repaired: u32,
  departures: u32,
  reserved: /* @__PURE__ */ array(u32, 7),
  quickMap: /* @__PURE__ */ array(u32, 4),
  index: /* @__PURE__ */ array(u32, FREE_INDEX_BYTES / 4),
  quickLists: /* @__PURE__ */ array(u32, 192),
});

export const MAGIC = 0x52575048;
export const LAYOUT_VERSION = 1;
/** In `flags`: the heap is shared. */
export const FLAG_SHARED = 1;
/** In `flags`: where log2 of the alignment lies. */
export const ALIGNMENT_SHIFT_BITS = 8;

/** WebAssembly's page. */
export const PAGE_BYTES = 65536;
/** No heap ends above this: 4 GiB less one page, so that an end is still an unsigned 32-bit number. */
export const MAX_END_BYTES: number = 2 ** 32 - PAGE_BYTES;
