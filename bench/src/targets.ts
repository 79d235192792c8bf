/**
 * What we aim at: figures of ours against those of the C library, in the same run.
 *
 * @module
 */
import type { Benchmarks } from "./everything.ts";
import { meansOf } from "./report.ts";

/** A figure that is to be at most so many times libc's. */
interface Target {
  readonly peer: string;
  /** A name of `MICRO_WORKS`, or the traces. */
  readonly work: string;
  readonly limit: number;
}

/** A target and what came of it. */
export interface Reached extends Target {
  /** Null where it was not measured. */
  readonly ratio: number | null;
}

/** The word that stands for the mean of all traces. */
export const TRACES = "traces";

const TARGETS: readonly Target[] = [
  { peer: "pool-fixed", work: "at-once", limit: 0.8 },
  { peer: "pool-fixed", work: "lifo", limit: 0.8 },
  { peer: "pool-fixed", work: "fifo", limit: 0.8 },
  { peer: "pool-fixed", work: "random", limit: 0.8 },
  { peer: "core", work: "at-once", limit: 1 },
  { peer: "core", work: "mixed-10k", limit: 1 },
  { peer: "core", work: TRACES, limit: 1.15 },
  { peer: "pool-variadic", work: "mixed-10k", limit: 1.5 },
  { peer: "apf", work: "at-once", limit: 1.3 },
  { peer: "apf", work: "mixed-10k", limit: 0.7 },
  { peer: "apf", work: TRACES, limit: 1 },
  { peer: "mempool", work: "at-once", limit: 1.3 },
  { peer: "mempool", work: "lifo", limit: 1.3 },
  { peer: "mempool", work: "fifo", limit: 1.3 },
  { peer: "mempool", work: "random", limit: 1.3 },
];

/** @returns each target with what was measured */
export function reachedIn({ loads, traces }: Pick<Benchmarks, "loads" | "traces">): Reached[] {
  return TARGETS.map((target) => {
    const { peer, work } = target;
    const ratio =
      work === TRACES
        ? meansOf(traces, [peer])[0]?.ratioToLibc
        : loads.find((figures) => figures.work === work && figures.peer === peer)?.ratioToLibc;
    return { ...target, ratio: ratio ?? null };
  });
}
