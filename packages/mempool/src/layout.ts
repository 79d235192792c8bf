/**
 * What a pool keeps in the heap: one block of the backing that begins with the control block, the pool's handle; layout
 * version 1.
 *
 * ```text
 *   handle ->                                                                       first
 *   +---------------+-----------+-----------------------+---+---------------+---+--------+--------+-----+--------+
 *   | control block | marks     | free bitmap           | 0 | run lengths   |pad| block 0| block 1| ... | block n|
 *   +---------------+-----------+-----------------------+---+---------------+---+--------+--------+-----+--------+
 *                               1 bit a block, 32 a word     1 word a block     ptr ->   ptr ->
 * ```
 *
 * The blocks have no headers: they lie on a grid, and which block a pointer names is arithmetic. With an external range
 * they lie elsewhere, and the block of the backing ends with the run lengths.
 *
 * ```text
 *   control block
 *   +0    magic      "MEMP"
 *   +4    version    of the layout
 *   +8    flags      1: the blocks lie in an external range; 2: the pool was made in a shared heap
 *   +12   backing    0: the heap; 0xffffffff: an allocator without a handle; else the backing's handle
 *   +16   first      address of block 0
 *   +20   blockBytes from block to block, a multiple of `alignment`
 *   +24   count      blocks
 *   +28   alignment  what every block's address is a multiple of, a power of two
 *   +32   leaf       number of the first leaf of a tree of marks
 *   +36   treeWords  words of a tree of marks
 *   +40   bitmap     word address of the free bitmap
 *   +44   runs       word address of the run lengths
 *   +48   low        no word of the bitmap before this one has a free block
 *   +52   cleared    two words behind the last one whose mark in a class above 1 was ever taken back: a free from there on
 *                    makes no run that is not marked
 *   +56   watch      the larger of both: a free before it has something to update
 *   +60   coalesced  runs of more than one block that were handed out
 *   +64   deaths     of lock holders that the pool has seen          }
 *   +68   departures of agents that the pool has seen                } 0 unless the heap is shared
 *   +72   depth      blocks of an agent's magazine, 0: there are none}
 *   +76   magazines  the first magazine, 0: none                     }
 *
 *   a run length       0: no run begins with this block; else the blocks of the run that does;
 *                      0x80000000 + slot: a single block in the magazine of the agent in that slot
 *   a bit of the map   1: the block is free; bit i & 31 of word i >>> 5, 0 behind the last block
 *
 *   magazine (a block of the backing)
 *   +0    next       magazine, 0: none
 *   +4    slot       of the agent whose it is
 *   +8    generation of the slot
 *   +12   count      blocks in it
 *   +16   entries    numbers of blocks, `depth` of them; the last one comes out first
 * ```
 *
 * Marks say where to look. For each class of run lengths (1 to 8, 16, 32) there is a tree over the words of the bitmap: a
 * word in which a free run of at least that length begins is marked. A mark may be stale: a search takes it back when it
 * finds nothing there. A tree has 32 children a node, is complete but for its last leaves, and lies in the order of its
 * levels: the children of node x are 32x + 1 to 32x + 32, bit b of node x speaks of child 32x + 1 + b, and the leaves, of
 * which there are no words, are the words of the bitmap.
 *
 * The run lengths are the truth, all else is derived from them. Handing out clears bits first and sets the run length
 * last; a free clears the run length first. So each prefix of an operation's stores leaves a valid pool, in which the run
 * in flight is free or not, and nothing else has changed. A magazine is its agent's alone, who moves blocks in and out
 * without the lock: in by entry, count, run length; out by run length, count. So at each instant every held block is in
 * the magazine that its run length names; what else is in one, after a death, is dropped.
 *
 * Invariants, proved by `check()`:
 *
 *  1. magic, version and sizes are possible ones, and the tables lie where these say.
 *  2. A run of n blocks has its length in its first block and 0 in the others, and ends with the last block of the pool at
 *     the latest.
 *  3. A block is free in the bitmap if and only if no run holds it. Behind the last block all bits are 0.
 *  4. Each word in which a free run of a class begins is marked in that class's tree; above the leaves a bit is set if and
 *     only if the child is not 0.
 *  5. No free block lies before the word `low`; `watch` is the larger of `low` and `cleared`; from the word before `cleared`
 *     on every word is marked in every tree of a class above 1.
 *  6. Conservation: blocks in runs + held blocks + free blocks == count.
 *  7. Every held block is in one magazine, once, that of the slot which its run length names; and nothing else is in one.
 *     (What agents that run change meanwhile is not judged.)
 *
 * @module
 */
import { type ScalarCodec, struct, type StructCodec, u32 } from "@heapwright/core";

type Word = ScalarCodec<number>;

/** The control block. */
export const CONTROL: StructCodec<{
  magic: Word;
  version: Word;
  flags: Word;
  backing: Word;
  first: Word;
  blockBytes: Word;
  count: Word;
  alignment: Word;
  leaf: Word;
  treeWords: Word;
  bitmap: Word;
  runs: Word;
  low: Word;
  cleared: Word;
  watch: Word;
  coalesced: Word;
  deaths: Word;
  departures: Word;
  depth: Word;
  magazines: Word;
}> = /* @__PURE__ */ struct({
  magic: u32,
  version: u32,
  flags: u32,
  backing: u32,
  first: u32,
  blockBytes: u32,
  count: u32,
  alignment: u32,
  leaf: u32,
  treeWords: u32,
  bitmap: u32,
  runs: u32,
  low: u32,
  cleared: u32,
  watch: u32,
  coalesced: u32,
  deaths: u32,
  departures: u32,
  depth: u32,
  magazines: u32,
});

/** What a magazine begins with; its entries follow. */
export const MAGAZINE: StructCodec<{ next: Word; slot: Word; generation: Word; count: Word }> = /* @__PURE__ */ struct({
  next: u32,
  slot: u32,
  generation: u32,
  count: u32,
});

export const MAGIC = 0x504d_454d;
export const LAYOUT_VERSION = 1;
/** In `flags`: the blocks lie in an external range. */
export const FLAG_EXTERNAL = 1;
/** In `flags`: the pool was made in a shared heap. */
export const FLAG_SHARED = 2;
/** In a run length: the block is in a magazine; the slot is in the lower bits. */
export const HELD = 0x8000_0000;
/** In `backing`: the pool lies in the heap itself. */
export const BACKING_HEAP = 0;
/** In `backing`: in a block of an allocator that has no handle to know it by. */
export const BACKING_UNNAMED = 0xffff_ffff;

/** What blocks in a heap are aligned to unless told otherwise: C's `alignof(max_align_t)`. */
export const ALIGNMENT_BYTES = 16;
/** The most that a pool, or an external range with what lies before it, can have. */
export const MAX_POOL_BYTES: number = 2 ** 32 - 1;

/** The most that a magazine may hold: more would keep too much from the others. */
export const MAX_MAGAZINE_BLOCKS = 65_536;

/** Run lengths that have trees of marks: each class tells of runs of at least so many blocks. */
export const CLASS_BLOCKS: readonly number[] = [1, 2, 3, 4, 5, 6, 7, 8, 16, 32];
/** Word address of the trees, from the control block's. */
export const MARKS_WORD: number = CONTROL.size / 4;

/** What `count` blocks need: the shape of a tree of marks, and where the tables lie, in words from the control block. */
export function shapeOf(count: number): {
  readonly bitmapWords: number;
  readonly leaf: number;
  readonly treeWords: number;
  readonly bitmap: number;
  readonly runs: number;
  readonly end: number;
} {
  const bitmapWords = Math.ceil(count / 32);
  let leaf = 1;
  for (let leaves = 32; leaves < bitmapWords; leaves *= 32) leaf = leaf * 32 + 1;
  const treeWords = Math.floor((leaf + bitmapWords - 2) / 32) + 1;
  const bitmap = MARKS_WORD + CLASS_BLOCKS.length * treeWords;
  const runs = bitmap + bitmapWords + 1;
  return { bitmapWords, leaf, treeWords, bitmap, runs, end: runs + count };
}
