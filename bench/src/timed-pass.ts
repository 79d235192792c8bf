/**
 * The timed pass over a trace: it does nothing but call.
 *
 * @module
 */
// Indices are below the arrays' lengths; behind an accessor each read costs 0.2 ns more, the C program has none.
/* oxlint-disable typescript/no-non-null-assertion */
import type { Target } from "./adapter.ts";
import * as prepared from "./prepared.ts";
import * as traces from "./trace.ts";

// V8 loads an imported constant anew at each use (a third of the loop's own time); one of this module it folds.
const { KIND_BITS, KIND_MASK } = prepared;
const { ALLOCATE, FREE } = traces;

/**
 * Replays the trace and frees what is live at its end outside the timed part. Payloads are not touched.
 *
 * @param table - one word per id, for the pointers
 * @returns a function that does it and gives the milliseconds that the replay took
 */
export function timedPass(target: Target, trace: prepared.PreparedTrace, table: Uint32Array): () => number {
  const { leftovers } = trace;
  const replay = replayer(target, trace, table);
  return () => {
    const start = performance.now();
    replay();
    const end = performance.now();
    for (let i = 0; i < leftovers.length; i++) target.free(table[leftovers[i]!]!);
    return end - start;
  };
}

/** The loop, which holds its allocator and has nothing after it, as those of micro.ts. */
function replayer(target: Target, { operations, repeats }: prepared.PreparedTrace, table: Uint32Array): () => void {
  const { length } = operations;
  return () => {
    for (let turn = 0; turn < repeats; turn++) {
      for (let i = 0; i < length; i += 2) {
        const code = operations[i]!;
        const kind = code & KIND_MASK;
        const id = code >>> KIND_BITS;
        if (kind === ALLOCATE) table[id] = target.malloc(operations[i + 1]!);
        else if (kind === FREE) target.free(table[id]!);
        else table[id] = target.realloc(table[id]!, operations[i + 1]!);
      }
    }
  };
}

/**
 * Replays the trace once, however long that takes.
 *
 * @returns whether there was memory for all of it
 */
export function isServed(target: Target, trace: prepared.PreparedTrace): boolean {
  const { operations } = trace;
  const table = new Uint32Array(trace.idCount);
  for (let i = 0; i < operations.length; i += 2) {
    const kind = operations[i]! & KIND_MASK;
    const id = operations[i]! >>> KIND_BITS;
    if (kind === FREE) {
      target.free(table[id]!);
    } else {
      const size = operations[i + 1]!;
      table[id] = kind === ALLOCATE ? target.malloc(size) : target.realloc(table[id]!, size);
      if (table[id] === 0) return false;
    }
  }
  return true;
}
