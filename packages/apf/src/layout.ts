/**
 * What the allocator keeps in the heap. All of it lies in blocks of the backing; layout version 1.
 *
 * Control block, the allocator's handle:
 *
 * ```text
 *   handle ->
 *   +0    magic      "APFM"
 *   +4    version    of the layout
 *   +8    flags      bit 0: shared; bit 1: no tuning
 *   +12   backing    0: the heap; 0xffffffff: an allocator without a handle; else the backing's handle
 *   +16   table      word address of the page map, less the words of the pages before its first
 *   +20   lowest     address of the first page that the map speaks of
 *   +24   length     bytes of the pages it speaks of
 *   +28   tableBlock payload of the map in the backing
 *   +32   target     allocations per fetch that the tuner aims at
 *   +36   burst      allocations that a burst records
 *   +40   hibernation   allocations between two bursts
 *   +44   stray      a large block that the map has no room for, 0: none
 *   +48   pages      held by superblocks, retired ones included
 *   +52   idlePages  of these, those of retired superblocks
 *   +56   worker     the first worker: in a private heap the one that all blocks belong to, in a shared one nobody, who
 *                    keeps what agents have left behind and counts large blocks
 *   +60   busy       the worker whose agent is in the midst of something; bit 0: it was thrown out (shared heaps)
 *   +64   retired    first retired superblock of 2^n pages, 5 of them
 *   +84   departures how many agents had left the heap when their blocks were last taken care of (shared heaps)
 *   +88   inHand     two blocks of the backing that are about to be, or are no more, a superblock and its descriptor
 *   +96   empty      16 zero words: the live bits of every page without a superblock
 * ```
 *
 * Page map: four words for each page of 4 KiB from the lowest to the highest that holds a block. A pointer is known by
 * its page's words and by nothing else.
 *
 * ```text
 *   +0   live        word address of the page's live bits less (page address >>> 8)
 *   +4   record      word address of the record of the owner's class; that of class 0 for pages without a superblock
 *   +8   superblock  address of the descriptor, 0: none
 *   +12  large       where large blocks begin in the page, two of 16 bits: the class + 1, above it the offset / 8
 * ```
 *
 * Worker: what one agent keeps of its own, a record of 16 words for each class. Only that agent writes it, but for `hint`.
 *
 * ```text
 *   worker ->
 *   +0    slot       of its agent in the heap, 0: nobody's
 *   +4    depth      how many calls of noTuning are open
 *   +8    generation of the slot
 *   +12   next       the next worker
 *   +16   broken     1: its agent was interrupted, and its lists and caches are to be made anew
 *   +20   reserved
 *   +64   records    of the classes 0 to 39
 *   +2624 none       a zero word: the empty stack
 *
 *   record
 *   +0    tally      bits 0..12: room, the blocks that free may still push before it asks the rules; 0 in class 0
 *                    bits 13..24: left, the allocations until malloc asks the tuner
 *   +4    end        word address of the slot that is free when room is 0
 *   +8    stack      block of the cache, 0: none yet
 *   +12   capacity   blocks that it has slots for
 *   +16   limit      blocks that the rules let it hold
 *   +20   due        allocations of the class when left is 0
 *   +24   partial    first superblock with free blocks
 *   +28   pages      of all superblocks of the class
 *   +32   tuner      block of the tuner, 0: none yet
 *   +36   fetches    transfers from superblocks to the cache
 *   +40   returns    transfers back
 *   +44   large      live blocks of the class that are the backing's
 *   +48   held       left while noTuning stops the clock, and
 *   +52   heldDue      due
 *   +56   all        first superblock of the class, whatever is free in it
 *   +60   hint       1: others have freed blocks of one of these (shared heaps)
 * ```
 *
 * Cache: a stack of the blocks that were freed and not returned, out of line, so that nobody who writes into a freed block
 * can mislead malloc. It grows when it is full.
 *
 * ```text
 *   stack ->                                    end - room                   end
 *   +--------+--------+--------+-----+----------+----------------------------+
 *   | 0      | block  | block  | ... | block    | slots for room more blocks |
 *   +--------+--------+--------+-----+----------+----------------------------+
 *                                    the next one that malloc takes
 *   bit 0 of a slot   1: the block has been there since the tuner looked; such blocks lie below all others
 * ```
 *
 * Superblock: a run of blocks of one class at a page, and out of line, in a block of its own, its descriptor. The pages
 * hold blocks and nothing else; in the last 8 bytes lies the header of the backing's next block.
 *
 * ```text
 *   base                                                     base + pages * 4096 - 8
 *   +-------------+-------------+-----+-------------+--------+
 *   | block       | block       | ... | block       | unused |
 *   +-------------+-------------+-----+-------------+--------+
 *   ptr ->        ptr ->
 *
 *   descriptor
 *   +0    base       address of the first block
 *   +4    block      the backing's payload that the pages lie in
 *   +8    pages      1, 2, 4, 8 or 16
 *   +12   class
 *   +16   record     the class's record of the worker that owns it; 0: retired
 *   +20   max        blocks in all
 *   +24   anchor     bits 0..1: FULL, PARTIAL or EMPTY; bits 2..31: free blocks that are not in a cache
 *   +28   avail      first free block that is not in a cache, 0: none
 *   +32   carved     blocks that were ever handed out: the first so many
 *   +36   next       in the list of partial superblocks, or of retired ones
 *   +40   previous   in the list of partial superblocks
 *   +44   after      the next superblock of the record, and
 *   +48   before       the one before
 *   +52   freed      word address of the count of its marks, 0: it has none (private heaps)
 *   +56   marks      address of its marks less (base >>> shift)
 *   +60   shift      a mark for each 2^shift bytes, in which no two blocks begin
 *   +64   live       16 words a page: a bit for each 8 bytes, 1 where a block begins that someone holds
 *   then  freed      marks that are set, or about to be (shared heaps), in a cache line of its own
 *         marks      a byte for each 2^shift bytes: 1 where a block begins that another agent than the owner has freed
 *
 *   a free block     +0: the next one of its superblock, 0: none
 * ```
 *
 * In a shared heap each agent has a worker, and each superblock an owner: the worker of its record. The owner alone writes
 * live bits, anchor, lists and cache. Who else frees a block counts it, and then sets its mark: with that it is free, and its
 * superblock may be gone with the next instant. The owner sees it when it has no free blocks left, clears the live bit, then
 * the mark, then counts down. Nothing is linked on the way: there is no list for two to pull at, and nothing to be half done.
 *
 * The truth is: the page map's block, the superblocks in the map, of each class, owner, `carved`, live bits and marks; large
 * blocks in the map. All else is made anew from that when an agent was interrupted, or is gone.
 *
 * Invariants, proved by `check()`:
 *
 *  1. magic, version and options are possible ones.
 *  2. The map speaks of whole pages. A page of a superblock has that one's live bits, its descriptor, and the record of its
 *     class, or the first worker's of class 0 when it is retired; every other page has `empty`, that record, no descriptor.
 *  3. A superblock begins at a page, has 1 to 16 pages and as many blocks of its class as fit, at most 4096. Live bits are
 *     set where a block begins that was handed out, and nowhere else.
 *  4. Its list holds blocks that were handed out and are not live, each once; with those never handed out they are the count
 *     in its anchor. That is FULL at 0, EMPTY when it is retired and has all blocks, otherwise PARTIAL.
 *  5. Every PARTIAL superblock stands once in the list of its class, every retired one in that of its size, no other does;
 *     every one that is not retired stands once in the list of all; pages are counted as they are.
 *  6. A cache has slots for what it holds and for its room; it holds blocks of its class that are not live and in no
 *     superblock's list, each once; marked ones lie below all others; below the first slot is a zero.
 *  7. Conservation: live + marked + cached + free == blocks of the superblocks.
 *  8. Every large block is the backing's, and counted in the first worker's record of its class.
 *  9. A mark is 1 where a block begins that has its live bit, and nowhere else; retired superblocks have none.
 *
 * @module
 */
import {
  array,
  type ArrayCodec,
  bits,
  type BitsCodec,
  type ScalarCodec,
  struct,
  type StructCodec,
  u32,
} from "@heapwright/core";

type Word = ScalarCodec<number>;
type Words = ArrayCodec<Word>;

/** Classes, class 0 included. */
export const CLASS_COUNT = 40;
export const PAGE_BYTES = 4096;
/** log2 of a page. */
export const PAGE_SHIFT_BITS = 12;
/** Words of the page map for each page. */
export const ENTRY_WORDS = 4;
/** Words of live bits for each page: one for each 256 bytes. */
export const PAGE_LIVE_WORDS = 16;
/** Pages of the largest superblock: 64 KiB. */
export const SUPERBLOCK_PAGES = 16;
/** Blocks of a superblock at most. */
export const SUPERBLOCK_BLOCKS = 4096;
/** Words of a class's record. */
export const RECORD_WORDS = 16;

/** The control block. */
export const CONTROL: StructCodec<{
  magic: Word;
  version: Word;
  flags: Word;
  backing: Word;
  table: Word;
  lowest: Word;
  length: Word;
  tableBlock: Word;
  target: Word;
  burst: Word;
  hibernation: Word;
  stray: Word;
  pages: Word;
  idlePages: Word;
  worker: Word;
  busy: Word;
  retired: Words;
  departures: Word;
  inHand: Words;
  empty: Words;
}> = /* @__PURE__ */ struct({
  magic: u32,
  version: u32,
  flags: u32,
  backing: u32,
  table: u32,
  lowest: u32,
  length: u32,
  tableBlock: u32,
  target: u32,
  burst: u32,
  hibernation: u32,
  stray: u32,
  pages: u32,
  idlePages: u32,
  worker: u32,
  busy: u32,
  retired: /* @__PURE__ */ array(u32, 5),
  departures: u32,
  inHand: /* @__PURE__ */ array(u32, 2),
  empty: /* @__PURE__ */ array(u32, PAGE_LIVE_WORDS),
});

/** What the page map says of a page. */
export const ENTRY: StructCodec<{ live: Word; record: Word; superblock: Word; large: Word }> = /* @__PURE__ */ struct({
  live: u32,
  record: u32,
  superblock: u32,
  large: u32,
});

/** Room and allocations left: what malloc and free have to look at, in one word. */
export const TALLY: BitsCodec<"room" | "left"> = /* @__PURE__ */ bits({ room: 13, left: 12 });

/** What a worker's record of a class holds. */
export const RECORD: StructCodec<{
  tally: typeof TALLY;
  end: Word;
  stack: Word;
  capacity: Word;
  limit: Word;
  due: Word;
  partial: Word;
  pages: Word;
  tuner: Word;
  fetches: Word;
  returns: Word;
  large: Word;
  held: Word;
  heldDue: Word;
  all: Word;
  hint: Word;
}> = /* @__PURE__ */ struct({
  tally: TALLY,
  end: u32,
  stack: u32,
  capacity: u32,
  limit: u32,
  due: u32,
  partial: u32,
  pages: u32,
  tuner: u32,
  fetches: u32,
  returns: u32,
  large: u32,
  held: u32,
  heldDue: u32,
  all: u32,
  hint: u32,
});

/** A worker. */
export const WORKER: StructCodec<{
  slot: Word;
  depth: Word;
  generation: Word;
  next: Word;
  broken: Word;
  reserved: Words;
  records: Words;
  none: Words;
}> = /* @__PURE__ */ struct({
  slot: u32,
  depth: u32,
  generation: u32,
  next: u32,
  broken: u32,
  reserved: /* @__PURE__ */ array(u32, 11),
  records: /* @__PURE__ */ array(u32, CLASS_COUNT * RECORD_WORDS),
  none: /* @__PURE__ */ array(u32, 2),
});

/** State and number of free blocks of a superblock: the half of an anchor that its owner alone writes. */
export const ANCHOR: BitsCodec<"state" | "count"> = /* @__PURE__ */ bits({ state: 2, count: 30 });

/** A superblock's descriptor; its state words follow. */
export const SUPERBLOCK: StructCodec<{
  base: Word;
  block: Word;
  pages: Word;
  class: Word;
  record: Word;
  max: Word;
  anchor: typeof ANCHOR;
  avail: Word;
  carved: Word;
  next: Word;
  previous: Word;
  after: Word;
  before: Word;
  freed: Word;
  marks: Word;
  shift: Word;
}> = /* @__PURE__ */ struct({
  base: u32,
  block: u32,
  pages: u32,
  class: u32,
  record: u32,
  max: u32,
  anchor: ANCHOR,
  avail: u32,
  carved: u32,
  next: u32,
  previous: u32,
  after: u32,
  before: u32,
  freed: u32,
  marks: u32,
  shift: u32,
});

/** What a superblock is: in the low bits of its anchor. */
export const ANCHOR_STATE = {
  /** No block is free; it stands in no list. */
  FULL: 0,
  /** Some are. */
  PARTIAL: 1,
  /** All are: it is on its way back. */
  EMPTY: 2,
} as const;

export const MAGIC = 0x4d465041;
export const LAYOUT_VERSION = 1;
export const FLAG = { SHARED: 1, UNTUNED: 2 } as const;
/** In `backing`: regions come from the heap itself. */
export const BACKING_HEAP = 0;
/** In `backing`: from an allocator that has no handle to know it by. */
export const BACKING_UNNAMED = 0xffff_ffff;
