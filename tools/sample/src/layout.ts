/**
 * What the allocator keeps in the heap. All of it lies in blocks of the backing; layout version 1.
 *
 * ```text
 *   handle ->
 *   +0    magic     tells the control block from anything else
 *   +4    version   of the layout
 *   +8    live      blocks that have been handed out and not given back
 *   +12   reserved  0
 * ```
 *
 * Invariants, proved by `check()`:
 *
 *  1. magic and version are those below.
 *  2. Conservation: live + 1 <= live blocks of the backing's heap; the one is the control block.
 *
 * @module
 */
import { type ScalarCodec, struct, type StructCodec, u32 } from "@heapwright/core";

type Word = ScalarCodec<number>;

export const MAGIC = 0x5ea1_5ea1 as const;
export const LAYOUT_VERSION = 1 as const;

export const CONTROL: StructCodec<{
  readonly magic: Word;
  readonly version: Word;
  readonly live: Word;
  readonly reserved: Word;
}> = struct({
  magic: u32,
  version: u32,
  live: u32,
  reserved: u32,
});
