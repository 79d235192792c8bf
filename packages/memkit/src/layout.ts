/**
 * What memkit keeps in the heap. All of it lies in blocks of a backing; layout version 1.
 *
 * A container is one block: the record, and right behind it the data. The record is 24 bytes, and the block's own header 8:
 * the 32 bytes a container that the document speaks of. Larger alignments put padding in front of the record.
 *
 * ```text
 *   block          container ->                                                data ->
 *   +-----------+--+---------------+---------+-----------+---------+---------+----------------+
 *   | 8, header |  | +0 address    | +8 size | +12 refs  | +16     | +20     | +24 size bytes |
 *   |           |  |    (64 bits)  |         | (signed)  |  place  |  stamp  |                |
 *   +-----------+--+---------------+---------+-----------+---------+---------+----------------+
 *                  | next  | prev  |  in an orphan, which has no identity
 *
 *   place   bits 0..26: index in its pool's array, all ones: in no pool; bits 27..31: log2 of the alignment
 *   stamp   another one each time that the container is made, orphaned or used again: handles remember it
 * ```
 *
 * A pointer is one block too. Names lie in the heap as UTF-8.
 *
 * ```text
 *   pointer ->
 *   +0       +4           +8      +12     +16     +20     +24            +28
 *   +-------+------------+-------+-------+-------+-------+--------------+-----------------------+
 *   | stamp | container  | seen  | pool  | next  | prev  | nameBytes    | name, at least 16     |
 *   |       | 0: none    |       |       |       |       | and alignment|                       |
 *   +-------+------------+-------+-------+-------+-------+--------------+-----------------------+
 *
 *   seen        the container's stamp when the pointer took it; another one there now: it was freed since
 *   pool        handle of the pool that the container is from
 *   next, prev  pointers of a debug pool, so that it can name what its containers belong to
 *   nameBytes   bits 0..26; bits 27..31: log2 of the least alignment of its containers, 0: the pool's
 * ```
 *
 * A pool is a control block and an array with a word for each container. Its first `count` words lead to containers, the
 * others are 0. A container whose last reference is gone stays in the array as an orphan: `refs` is 0, all its data is 0,
 * and it stands in the ring of its size, the one orphaned first in front. A ring is seen as the container whose links
 * would lie where its own do. Rings are 8 bytes of size wide up to 512 and a quarter of a power of two above; each is
 * sorted by size, so that the first one that is large enough is the best fit, and of equal ones the oldest.
 *
 * ```text
 *   pool ->
 *   +0    magic       "MKPL"
 *   +4    version     of the layout
 *   +8    backing     0: the heap; 0xffffffff: an allocator without a handle; else the backing's handle
 *   +12   flags       bit 0: debug, pointers are listed; bit 1: locked; bits 8..12: log2 of the alignment
 *   +16   array       payload of the array, 0: none
 *   +20   capacity    its words
 *   +24   count       containers
 *   +28   maxOrphans  how many of them may be orphans
 *   +32   orphans     how many are, in rings
 *   +36   reserved, 4 bytes
 *   +40   spare       the first of some blocks of pointers to be used again, 0: none
 *   +44   pointers    the first of a debug pool, 0: none
 *   +48   next        handle of the next pool of a chain, 0: none
 *   +52   deaths      of lock holders, as last seen
 *   +56   pending     a container that is in no array yet while the array grows for it, else 0
 *   +60   reserved, 4 bytes
 *   +64   marks       bit n of 160: ring n may hold orphans
 *   +84   reserved, 4 bytes
 *   +88   rings       next and prev of 156
 * ```
 *
 * Store order, so that whoever takes the lock of a holder that died finds what is true: array, count, place's alignment,
 * sizes and reference counts. Slots in `place`, rings, marks and `orphans` follow from these. The array grows by one
 * store of its address before `capacity`, and shrinks by one after; a container is counted after its word is written and
 * taken out after the last one's copy has its place; it is live by the store of `refs`, after it has left its ring and
 * before a pointer leads to it. No step has two blocks in hand: what is taken out is freed before the array shrinks, and
 * a new container is `pending` while the array grows, and is freed if its maker dies then.
 *
 * Invariants of a pool, proved by `check()`:
 *
 *  1. magic, version, alignment and flags are possible ones.
 *  2. There is an array if there is a capacity; `count` is at most that; words beyond are 0. Nothing is pending.
 *  3. Each of the first `count` words leads to a container that has its place there.
 *  4. A container's size is not 0 and a multiple of 8; it lies in its block; its data is aligned as its place says, and as
 *     the pool demands; its stamp is odd.
 *  5. Its reference count is not below 0.
 *  6. Every container with a count of 0, and no other, stands once in the ring of its size; rings are sorted,
 *     marks cover every ring that is not empty, `orphans` counts them, and there are at most `maxOrphans`.
 *  7. An orphan's data is 0.
 *  8. Spare blocks are 0 but for two words: +4, the next one, and +8, how many there are from this one on. Debug pools
 *     and locked ones have none. A debug pool lists pointers only that lead to containers of its own.
 *  9. Conservation: live + orphans == count.
 *
 * An arena is a control block and a chain of slabs. Allocating moves `at`; nothing is kept of an allocation.
 *
 * ```text
 *   arena ->                                               slab ->
 *   +0    magic      "MKAR"                                +0    next   slab, 0: none
 *   +4    version    of the layout                         +4    start  its first byte
 *   +8    backing    as a pool's                           +8    end    the byte after its last
 *   +12   alignment  bytes                                 +12   used   the byte after the last allocation, when it is
 *   +16   at         the next free byte of the current slab             not the current one
 *   +20   end        where that slab ends                        ...    start: aligned
 *   +24   first      slab
 *   +28   current    slab
 * ```
 *
 * Invariants of an arena:
 *
 *  1. magic, version and alignment are possible ones.
 *  2. Slabs lead from `first` over `current` to 0; each lies in its block, with ends that are aligned.
 *  3. `at` lies in the current slab, aligned, and `end` is its end; `used` of the others lies in them.
 *  4. What is not in use is 0: the current slab from `at` on, the ones before it from `used` on, those behind it whole.
 *  5. Conservation: used + free == bytes of the slabs.
 *
 * @module
 */
import { array, type ArrayCodec, i32, type ScalarCodec, struct, type StructCodec, u32, u64 } from "@heapwright/core";

type Word = ScalarCodec<number>;
type Words = ArrayCodec<Word>;

/** Rings of orphans: 64 for sizes up to 512, then four for each power of two up to 2^32. */
export const RING_COUNT = 156;
export const MARK_WORDS = 5;

/** The control block of a pool. */
export const POOL: StructCodec<{
  magic: Word;
  version: Word;
  backing: Word;
  flags: Word;
  array: Word;
  capacity: Word;
  count: Word;
  maxOrphans: Word;
  orphans: Word;
  reserved: Word;
  spare: Word;
  pointers: Word;
  next: Word;
  deaths: Word;
  pending: Word;
  reservedToo: Word;
  marks: Words;
  lastReserved: Word;
  rings: Words;
}> = /* @__PURE__ */ struct({
  magic: u32,
  version: u32,
  backing: u32,
  flags: u32,
  array: u32,
  capacity: u32,
  count: u32,
  maxOrphans: u32,
  orphans: u32,
  reserved: u32,
  spare: u32,
  pointers: u32,
  next: u32,
  deaths: u32,
  pending: u32,
  reservedToo: u32,
  marks: /* @__PURE__ */ array(u32, MARK_WORDS),
  lastReserved: u32,
  rings: /* @__PURE__ */ array(u32, 2 * RING_COUNT),
});

/** What lies before a container's data. */
export const CONTAINER: StructCodec<{
  address: ScalarCodec<bigint>;
  size: Word;
  refs: Word;
  place: Word;
  stamp: Word;
}> = /* @__PURE__ */ struct({ address: u64, size: u32, refs: i32, place: u32, stamp: u32 });

/** A pointer's block, up to its name. */
export const POINTER: StructCodec<{
  stamp: Word;
  container: Word;
  seen: Word;
  pool: Word;
  next: Word;
  prev: Word;
  nameBytes: Word;
}> = /* @__PURE__ */ struct({
  stamp: u32,
  container: u32,
  seen: u32,
  pool: u32,
  next: u32,
  prev: u32,
  nameBytes: u32,
});

/** The control block of an arena. */
export const ARENA: StructCodec<{
  magic: Word;
  version: Word;
  backing: Word;
  alignment: Word;
  at: Word;
  end: Word;
  first: Word;
  current: Word;
}> = /* @__PURE__ */ struct({
  magic: u32,
  version: u32,
  backing: u32,
  alignment: u32,
  at: u32,
  end: u32,
  first: u32,
  current: u32,
});

/** What a slab of an arena begins with. */
export const SLAB: StructCodec<{ next: Word; start: Word; end: Word; used: Word }> = /* @__PURE__ */ struct({
  next: u32,
  start: u32,
  end: u32,
  used: u32,
});

export const POOL_MAGIC = 0x4c50_4b4d;
export const ARENA_MAGIC = 0x5241_4b4d;
export const LAYOUT_VERSION = 1;
/** In `backing`: the blocks come from the heap itself. */
export const BACKING_HEAP = 0;
/** In `backing`: from an allocator that has no handle to know it by. */
export const BACKING_UNNAMED = 0xffff_ffff;

/** In a pool's `flags`. */
export const FLAG_DEBUG = 1;
export const FLAG_LOCKED = 2;
/** In `place` and `nameBytes`: where the log2 of an alignment begins, and the rest of the word. */
export const ALIGNMENT_SHIFT_BITS = 27;
export const REST_MASK = 0x07ff_ffff;
/** The slot of a container that is in no pool. */
export const NO_SLOT = 0x07ff_ffff;
/** log2 of what everything is aligned to at least. */
export const LEAST_ALIGNMENT_SHIFT_BITS = 3;
/** A name's room: for shorter ones that much is taken, so that their blocks are of one size. */
export const SHORT_NAME_BYTES = 16;
/** No block is larger than that, since no heap is. */
export const MAX_BYTES = 0xffff_0000;
