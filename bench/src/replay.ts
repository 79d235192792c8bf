/**
 * The two passes over a trace, as run in the process of one allocator: one that verifies every block, and the timed one,
 * which does nothing but call.
 *
 * @module
 */
import type { Subject, Target } from "./adapter.ts";
import type { PreparedTrace } from "./prepared.ts";
import { BlockWitness } from "./witness.ts";
import { ALLOCATE, FREE } from "./trace.ts";
import { byte, word } from "./typed-array.ts";

/** Live payload and footprint after operation `operation`. */
export type Sample = readonly [operation: number, liveBytes: number, footprint: number];

export interface Verification {
  /** The first thing that was wrong, or null. */
  readonly fault: string | null;
  /** Operations done before the time was up; all of them when it was not. */
  readonly operations: number;
  readonly footprint: number;
  readonly samples: readonly Sample[];
  readonly milliseconds: number;
}

const SAMPLE_COUNT = 240;
const CHECK_COUNT = 8;
const CLOCK_INTERVAL = 64;

/**
 * Replays the trace once, checks each block's alignment, place and contents, and follows the footprint.
 *
 * @param limit - milliseconds after which it stops
 */
export function verifyPass(subject: Subject, trace: PreparedTrace, limit: number): Verification {
  const { kinds, ids, sizes, leftovers } = trace;
  const { target } = subject;
  const witness = new BlockWitness(subject, trace.idCount);
  const samples: Sample[] = [];
  const sampleInterval = Math.max(1, Math.floor(kinds.length / SAMPLE_COUNT));
  const checkInterval = Math.max(1, Math.floor(kinds.length / CHECK_COUNT));
  const footprint = (): number => subject.footprint?.() ?? witness.highestEnd;
  const start = performance.now();
  let done = 0;
  let fault: string | null = null;
  try {
    for (; done < kinds.length; done++) {
      if (done % CLOCK_INTERVAL === 0 && performance.now() - start > limit) break;
      const id = word(ids, done);
      const size = word(sizes, done);
      const kind = byte(kinds, done);
      if (kind === ALLOCATE) {
        witness.allocated(id, target.malloc(size), size);
      } else if (kind === FREE) {
        target.free(witness.freeing(id));
      } else {
        const old = witness.reallocating(id);
        witness.reallocated(id, target.realloc(old, size), size);
      }
      if (done % sampleInterval === 0) samples.push([done, witness.liveBytes, footprint()]);
      if (done % checkInterval === 0) subject.check?.();
    }
    if (done === kinds.length) {
      samples.push([done, witness.liveBytes, footprint()]);
      for (const id of leftovers) target.free(witness.freeing(id));
      subject.check?.();
    }
  } catch (error) {
    fault = `operation ${done + 1}: ${error instanceof Error ? error.message : String(error)}`;
  }
  return { fault, operations: done, footprint: footprint(), samples, milliseconds: performance.now() - start };
}

/**
 * Replays the trace once and frees what is live at its end outside the timed part. Payloads are not touched.
 *
 * @param table - one word per id, for the pointers
 * @returns milliseconds
 */
export function timedPass(target: Target, trace: PreparedTrace, table: Uint32Array): number {
  const { kinds, ids, sizes, leftovers, repeats } = trace;
  const count = kinds.length;
  const start = performance.now();
  for (let turn = 0; turn < repeats; turn++) {
    for (let i = 0; i < count; i++) {
      const kind = byte(kinds, i);
      const id = word(ids, i);
      if (kind === ALLOCATE) table[id] = target.malloc(word(sizes, i));
      else if (kind === FREE) target.free(word(table, id));
      else table[id] = target.realloc(word(table, id), word(sizes, i));
    }
  }
  const end = performance.now();
  for (let i = 0; i < leftovers.length; i++) target.free(word(table, word(leftovers, i)));
  return end - start;
}
