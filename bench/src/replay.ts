/**
 * The pass over a trace that verifies every block.
 *
 * @module
 */
import type { Subject } from "./adapter.ts";
import { KIND_BITS, KIND_MASK, type PreparedTrace } from "./prepared.ts";
import { ALLOCATE, FREE } from "./trace.ts";
import { word } from "./typed-array.ts";
import { BlockWitness } from "./witness.ts";

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
  const { operations, leftovers } = trace;
  const count = operations.length / 2;
  const { target } = subject;
  const witness = new BlockWitness(subject, trace.idCount);
  const samples: Sample[] = [];
  const sampleInterval = Math.max(1, Math.floor(count / SAMPLE_COUNT));
  const checkInterval = Math.max(1, Math.floor(count / CHECK_COUNT));
  const footprint = (): number => subject.footprint?.() ?? witness.highestEnd;
  const start = performance.now();
  let done = 0;
  let fault: string | null = null;
  try {
    for (; done < count; done++) {
      if (done % CLOCK_INTERVAL === 0 && performance.now() - start > limit) break;
      const code = word(operations, 2 * done);
      const size = word(operations, 2 * done + 1);
      const kind = code & KIND_MASK;
      const id = code >>> KIND_BITS;
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
    if (done === count) {
      samples.push([done, witness.liveBytes, footprint()]);
      for (const id of leftovers) target.free(witness.freeing(id));
      subject.check?.();
    }
  } catch (error) {
    fault = `operation ${done + 1}: ${error instanceof Error ? error.message : String(error)}`;
  }
  return { fault, operations: done, footprint: footprint(), samples, milliseconds: performance.now() - start };
}
