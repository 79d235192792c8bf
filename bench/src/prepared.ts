/**
 * The form in which a trace goes to the processes that replay it, the same for ours and for the C program: little-endian
 * 32-bit words, nothing to parse. An operation is two words, so that the timed loop reads one array.
 *
 *      0         4      8         12           16            20
 *      +---------+------+---------+------------+-------------+---------------------------------+-----------+
 *      | version | ids  | repeats | peak bytes | leftovers   | operations                      | leftovers |
 *      +---------+------+---------+------------+-------------+---------------------------------+-----------+
 *                                               (their count)  { id << 2 | kind, size } each     ids
 *
 * @module
 */
import { readFileSync, writeFileSync } from "node:fs";

import type { Trace } from "./trace.ts";
import { byte, word } from "./typed-array.ts";

/** An operation's first word is its id, shifted by so many bits, and its kind below. */
export const KIND_BITS = 2 as const;
export const KIND_MASK = 3 as const;

const VERSION = 2;
const HEADER_WORDS = 5;
const TIMED_OPERATIONS_MIN = 20_000;

/** A trace as the replaying process holds it. */
export interface PreparedTrace {
  /** Two words per operation. */
  readonly operations: Uint32Array;
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
  const words = new Uint32Array(HEADER_WORDS + 2 * kinds.length + leftovers.length);
  words.set([VERSION, trace.idCount, repeatsOf(trace), trace.peakBytes, leftovers.length]);
  for (let i = 0; i < kinds.length; i++) {
    words[HEADER_WORDS + 2 * i] = (word(ids, i) << KIND_BITS) | byte(kinds, i);
    words[HEADER_WORDS + 2 * i + 1] = word(sizes, i);
  }
  words.set(leftovers, HEADER_WORDS + 2 * kinds.length);
  writeFileSync(file, words);
}

/** @param file - what {@link writePrepared} wrote */
export function readPrepared(file: string): PreparedTrace {
  const contents = readFileSync(file);
  const bytes = new Uint8Array(contents.length);
  bytes.set(contents);
  const words = new Uint32Array(bytes.buffer);
  const end = words.length - word(words, 4);
  return {
    idCount: word(words, 1),
    repeats: word(words, 2),
    peakBytes: word(words, 3),
    operations: words.slice(HEADER_WORDS, end),
    leftovers: words.slice(end),
  };
}
