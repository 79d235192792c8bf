/**
 * The form in which a trace goes to the processes that replay it, the same for ours and for the C program: little-endian
 * 32-bit words, arrays in full, nothing to parse.
 *
 *      0   4           8      12        16       20           24
 *      +---+-----------+------+---------+--------+------------+-------+-----+-----------+-------+
 *      | 1 | operations| ids  | repeats | peak   | leftovers  | sizes | ids | leftovers | kinds |
 *      +---+-----------+------+---------+--------+------------+-------+-----+-----------+-------+
 *        version                                    (count)     u32[]   u32[]  u32[]      u8[]
 *
 * @module
 */
import { readFileSync, writeFileSync } from "node:fs";

import type { Trace } from "./trace.ts";
import { word } from "./typed-array.ts";

const VERSION = 1;
const HEADER_WORDS = 6;
const WORD_BYTES = 4;
const TIMED_OPERATIONS_MIN = 20_000;

/** A trace as the replaying process holds it. */
export interface PreparedTrace {
  readonly kinds: Uint8Array;
  readonly ids: Uint32Array;
  readonly sizes: Uint32Array;
  readonly leftovers: Uint32Array;
  readonly idCount: number;
  readonly peakBytes: number;
  /** How often the trace is replayed in a row in one timed pass; more than 1 only when nothing is live at its end. */
  readonly repeats: number;
}

/** Short traces that end empty are replayed several times between two looks at the clock, so that these do not count. */
export function repeatsOf(trace: Trace): number {
  if (trace.leftovers.length > 0 || trace.kinds.length === 0) return 1;
  return Math.max(1, Math.ceil(TIMED_OPERATIONS_MIN / trace.kinds.length));
}

/** @param file - where the prepared form is written */
export function writePrepared(trace: Trace, file: string): void {
  const { kinds, ids, sizes, leftovers } = trace;
  const header = [VERSION, kinds.length, trace.idCount, repeatsOf(trace), trace.peakBytes, leftovers.length];
  const words = new Uint32Array(HEADER_WORDS + 2 * kinds.length + leftovers.length);
  words.set(header);
  words.set(sizes, HEADER_WORDS);
  words.set(ids, HEADER_WORDS + kinds.length);
  words.set(leftovers, HEADER_WORDS + 2 * kinds.length);
  writeFileSync(file, Buffer.concat([new Uint8Array(words.buffer), kinds]));
}

/** @param file - what {@link writePrepared} wrote */
export function readPrepared(file: string): PreparedTrace {
  const contents = readFileSync(file);
  const bytes = new Uint8Array(contents.length);
  bytes.set(contents);
  const header = new Uint32Array(bytes.buffer, 0, HEADER_WORDS);
  const operations = word(header, 1);
  const leftoverCount = word(header, 5);
  const words = (first: number, count: number): Uint32Array =>
    new Uint32Array(bytes.buffer, (HEADER_WORDS + first) * WORD_BYTES, count);
  return {
    sizes: words(0, operations),
    ids: words(operations, operations),
    leftovers: words(2 * operations, leftoverCount),
    kinds: bytes.subarray((HEADER_WORDS + 2 * operations + leftoverCount) * WORD_BYTES),
    idCount: word(header, 2),
    repeats: word(header, 3),
    peakBytes: word(header, 4),
  };
}
