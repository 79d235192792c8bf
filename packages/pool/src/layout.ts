/**
 * What the pools keep in the heap. All of it lies in blocks of the backing; layout version 1.
 *
 * Control block, the pool's handle. The first part is the same for both kinds:
 *
 * ```text
 *   handle ->
 *   +0    magic      "POOL"
 *   +4    version    of the layout
 *   +8    kind       1: fixed, 2: variadic
 *   +12   backing    0: the heap; 0xffffffff: an allocator without a handle; else the backing's handle
 *   +16   table      word address of the page table less the number of its first page
 *   +20   lowest     address of the first page that the table speaks of
 *   +24   length     bytes of the pages it speaks of
 *   +28   tableBlock payload of the table in the backing
 *   +32   first      the first region, 0: none
 *   +36   last       the region taken last
 *   +40   deaths     of the heap's lock holders, when derived words were rebuilt   } 0 in a private heap
 *   +44   departures of the heap's agents, when what they held was given back     }
 *   +48   pending    block of a region that the pool is about to have, 0: none
 *   +52   empty      16 zero words: the bits of every page without blocks
 * ```
 *
 * ```text
 *   fixed                                            variadic
 *   +116  member   bytes from block to block         +116  growBytes  of a buffer, a multiple of 16
 *   +120  count    blocks of a region                +120  tolerance  percent, at most 101
 *   +124  pageWords of what is known of a page       +124  top        the rest of the last buffer, 0: none
 *   +128  head     the block freed last, 0: none     +128  marks      bit n of 64: ring n may hold blocks
 *   +132  carved   end of the blocks ever handed out +136  rings      next and prev of 64, by span / 16
 *   +136  end      end of the last region's blocks   +648  index      free index, see core's engine
 *   +140  magazines the first, 0: none
 * ```
 *
 * The page table has a word for each page of 4 KiB from the pool's lowest to its highest: a bias, such that
 * `words[bias + (ptr >>> 8)]` are the bits that speak of the 256 bytes around `ptr`. A pointer is known by these bits and
 * nothing else; pages without blocks of the pool have the bias of `empty`.
 *
 * Fixed pool. A region is one buffer of the document. A page may hold the ends of two of them: its bits belong to the
 * page, and lie in the region that came first.
 *
 * ```text
 *   region (a block of the backing)
 *   +0      +4      +8    +12   +16                 start             start + member       end
 *   +-------+-------+-----+-----+-------------------+-----------------+-----------------+--+
 *   | next  | start | end | bits| 64 bytes a page   | block           | block           |..|
 *   +-------+-------+-----+-----+-------------------+-----------------+-----------------+--+
 *                                                   ptr ->            ptr ->
 *   a word of the bits     bits 0..15: a block starts in this granule of 16 bytes; bits 16..31: and it is live
 *   a free block           +0: the block freed before it, 0: none
 * ```
 *
 * In a shared heap a page has 256 bytes more behind its bits, one a granule: 1 says that the block there is held by a
 * worker's magazine. To the pool itself it is live, and to everybody else free. A magazine belongs to one agent, which
 * moves blocks in and out without the lock, in core's order: in the list before it is held, no longer held before it is
 * out of the list.
 *
 * ```text
 *   magazine (a block of the backing)
 *   +0      +4     +8           +12    +16    +20     +24
 *   +-------+------+------------+------+------+-------+------------------+
 *   | next  | slot | generation | head | room | limit | 40 bytes unused  |   a line of its own
 *   +-------+------+------------+------+------+-------+------------------+
 * ```
 *
 * Invariants of the fixed pool, proved by `check()`:
 *
 *  1. magic, kind, version and sizes are possible ones.
 *  2. Regions lead from `first` to `last`; each holds `count` members, 16-aligned; all but the last are carved whole.
 *  3. Each page with blocks has bits in a region, each other one those of `empty`, which are 0.
 *  4. The start bits are those of the carved blocks, no others; a live bit stands beside a start bit only.
 *  5. The free list holds each carved block that is not live, once.
 *  6. Conservation: live + free + uncarved blocks == count * regions.
 *  7. Each held block is live to the pool, and in just one magazine; nothing else is in one. (What agents change meanwhile
 *     is not judged.)
 *
 * Variadic pool. A region begins at a page, so that no page belongs to two of them, and holds one buffer of the document
 * or, where they are small, as many as a page has room for. A buffer is a chain of core's blocks between an 8-byte record
 * and an 8-byte RESERVED header: no merge leaves it.
 *
 * ```text
 *   region, at a page
 *   +0     +4     +8      +12   +16                 buffers                                   filled        end
 *   +------+------+-------+-----+-------------------+----------------+----------------+-------+-------------+
 *   | next | block| filled| end | start bits, 1/64  | buffer         | buffer         |  ...  | unused      |
 *   +------+------+-------+-----+-------------------+----------------+----------------+-------+-------------+
 *
 *   buffer, 16-aligned
 *   +0          +8                    +24                                        +8 + bytes
 *   +-----+-----+----------+----------+----------+-----------------+-----+-------+----------+
 *   |bytes|  0  | header   | payload  | header   | payload         | ... |       | RESERVED |
 *   +-----+-----+----------+----------+----------+-----------------+-----+-------+----------+
 *                          ptr ->                ptr ->
 * ```
 *
 * Free blocks of less than 1024 bytes stand in the ring of just their span, so that the lowest ring that holds something
 * is the best fit; larger ones in core's free index. Both are linked through the payloads, by the addresses of blocks, and
 * a ring is seen as the block whose links would lie where its own do. The marks of rings that have become empty are taken
 * back when a search meets them. The FREE block at the end of the buffer made last, `top`, stands in neither: what is cut
 * from it and merged into it costs less, and it is cut last.
 *
 * Invariants of the variadic pool:
 *
 *  1. magic, kind, version and sizes are possible ones.
 *  2. Regions lead from `first` to `last`, each at a page; their buffers follow one another up to `filled`.
 *  3. Each page of a region has its start bits, each other one those of `empty`, which are 0.
 *  4. Each buffer's chain leads from its record to its RESERVED header in spans that are multiples of 16, at least 32;
 *     each block's `previous` is the span of the one before it, 0 for the first.
 *  5. A block is LIVE or FREE; no two neighbours are FREE.
 *  6. The start bits are those of the chains' payloads, and no others.
 *  7. Every FREE block but `top` stands once in the ring or the free index where its span belongs, and nothing else does;
 *     marks cover every ring that is not empty. `top` is the last block of a buffer.
 *  8. Conservation: live + free spans == bytes of the buffers.
 *
 * @module
 */
import { array, type ArrayCodec, type ScalarCodec, struct, type StructCodec, u32 } from "@heapwright/core";
import { FREE_INDEX_BYTES } from "@heapwright/core/engine";

type Word = ScalarCodec<number>;
type Words = ArrayCodec<Word>;

interface CommonFields {
  readonly magic: Word;
  readonly version: Word;
  readonly kind: Word;
  readonly backing: Word;
  readonly table: Word;
  readonly lowest: Word;
  readonly length: Word;
  readonly tableBlock: Word;
  readonly first: Word;
  readonly last: Word;
  readonly deaths: Word;
  readonly departures: Word;
  readonly pending: Word;
  readonly empty: Words;
}

/** Words of the bits of one page: one for each 256 bytes. */
export const PAGE_BITS_WORDS = 16;

/** Words of what is known of a page in a shared heap: the bits, and a byte for each granule. */
export const SHARED_PAGE_WORDS = 80;

/** Rings of small free blocks: for the spans below 1024, though there are none below 32. */
export const RING_COUNT = 64;

const COMMON: CommonFields = {
  magic: u32,
  version: u32,
  kind: u32,
  backing: u32,
  table: u32,
  lowest: u32,
  length: u32,
  tableBlock: u32,
  first: u32,
  last: u32,
  deaths: u32,
  departures: u32,
  pending: u32,
  empty: /* @__PURE__ */ array(u32, PAGE_BITS_WORDS),
};

/** What both control blocks begin with. */
export const CONTROL: StructCodec<{ [K in keyof CommonFields]: CommonFields[K] }> = /* @__PURE__ */ struct({
  ...COMMON,
});

/** The fixed pool's control block. */
export const FIXED_CONTROL: StructCodec<
  { [K in keyof CommonFields]: CommonFields[K] } & {
    member: Word;
    count: Word;
    pageWords: Word;
    head: Word;
    carved: Word;
    end: Word;
    magazines: Word;
  }
> = /* @__PURE__ */ struct({
  ...COMMON,
  member: u32,
  count: u32,
  pageWords: u32,
  head: u32,
  carved: u32,
  end: u32,
  magazines: u32,
});

/** An agent's magazine. */
export const MAGAZINE: StructCodec<{
  next: Word;
  slot: Word;
  generation: Word;
  head: Word;
  room: Word;
  limit: Word;
  unused: Words;
}> = /* @__PURE__ */ struct({
  next: u32,
  slot: u32,
  generation: u32,
  head: u32,
  room: u32,
  limit: u32,
  unused: /* @__PURE__ */ array(u32, 10),
});

/** The variadic pool's control block. */
export const VARIADIC_CONTROL: StructCodec<
  { [K in keyof CommonFields]: CommonFields[K] } & {
    growBytes: Word;
    tolerance: Word;
    top: Word;
    marks: Words;
    rings: Words;
    index: Words;
  }
> = /* @__PURE__ */ struct({
  ...COMMON,
  growBytes: u32,
  tolerance: u32,
  top: u32,
  marks: /* @__PURE__ */ array(u32, RING_COUNT / 32),
  rings: /* @__PURE__ */ array(u32, 2 * RING_COUNT),
  index: /* @__PURE__ */ array(u32, FREE_INDEX_BYTES / 4),
});

/** What a region of the fixed pool begins with; its bits follow. */
export const FIXED_REGION: StructCodec<{ next: Word; start: Word; end: Word; bits: Word }> = /* @__PURE__ */ struct({
  next: u32,
  start: u32,
  end: u32,
  bits: u32,
});

/** What a region of the variadic pool begins with; its start bits follow. */
export const VARIADIC_REGION: StructCodec<{ next: Word; block: Word; filled: Word; end: Word }> =
  /* @__PURE__ */ struct({ next: u32, block: u32, filled: u32, end: u32 });

/** What a buffer of the variadic pool begins with; its first block follows. */
export const BUFFER_BYTES = 8;
/** Bytes of a buffer besides its blocks: the record before and the RESERVED header behind them. */
export const BUFFER_OVERHEAD_BYTES = 16;
/** The smallest block of the variadic pool: a header, and a payload of 16 bytes and the 8 that alignment leaves. */
export const MIN_SPAN_BYTES = 32;

export const MAGIC = 0x4c4f4f50;
export const LAYOUT_VERSION = 1;
export const KIND = { FIXED: 1, VARIADIC: 2 } as const;
/** In `backing`: the regions come from the heap itself. */
export const BACKING_HEAP = 0;
/** In `backing`: from an allocator that has no handle to know it by. */
export const BACKING_UNNAMED = 0xffff_ffff;

/** What the address and the distance of all blocks are multiples of: C's `alignof(max_align_t)`. */
export const ALIGNMENT_BYTES = 16;
/** log2 of a page. */
export const PAGE_SHIFT_BITS = 12;
export const PAGE_BYTES = 4096;
/** Bytes before a payload of the variadic pool: core's block header. */
export const HEADER_BYTES = 8;
/** No region is larger than that: with what comes along it would not fit below 4 GiB. */
export const MAX_POOL_BYTES: number = 2 ** 32 - 2 ** 27;
