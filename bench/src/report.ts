/**
 * The figures of a replay: what is kept as JSON, and the table for a terminal.
 *
 * @module
 */
import type { PeerFigures, TraceFigures } from "./compare.ts";
import { LIBC } from "./peers.ts";
import { isFailure } from "./rounds.ts";
import { geometricMean, mean } from "./statistics.ts";
import { alignColumns, fixed, showBytes } from "./table.ts";

/** One allocator over all traces that it finished. */
export interface PeerMeans {
  readonly peer: string;
  /** Traces with a time. */
  readonly traces: number;
  /** Geometric mean, per operation; null when no trace was finished. */
  readonly nanoseconds: number | null;
  /** Geometric mean of the ratios on the traces that both finished; null when there is none. */
  readonly ratioToLibc: number | null;
  /** Arithmetic mean; null when no footprint is known. */
  readonly utilisation: number | null;
  /** The same over the traces with at least {@link LARGE_BYTES} live: below, what a heap costs at all dominates. */
  readonly utilisationOfLarge: number | null;
}

/** Peak payload from which on a trace counts as large. */
export const LARGE_BYTES = 262_144;

export interface ReplayReport {
  /** Where it ran. */
  readonly host: string;
  /** How it was measured, sentence by sentence. */
  readonly method: readonly string[];
  readonly traces: readonly TraceFigures[];
  readonly means: readonly PeerMeans[];
}

/** @param peers - names in the order of the table */
export function meansOf(traces: readonly TraceFigures[], peers: readonly string[]): PeerMeans[] {
  return peers.map((peer) => {
    const own = traces.map((trace) => figuresOf(trace, peer));
    const times = own.flatMap((figures) => figures?.nanoseconds?.median ?? []);
    const ratios = traces.flatMap((trace) => ratioOf(trace, peer) ?? []);
    const utilisationOf = (chosen: readonly TraceFigures[]): number | null =>
      meanOrNull(chosen.flatMap((trace) => figuresOf(trace, peer)?.utilisation ?? []));
    return {
      peer,
      traces: times.length,
      nanoseconds: times.length > 0 ? geometricMean(times) : null,
      ratioToLibc: ratios.length > 0 ? geometricMean(ratios) : null,
      utilisation: utilisationOf(traces),
      utilisationOfLarge: utilisationOf(traces.filter((trace) => trace.peakBytes >= LARGE_BYTES)),
    };
  });
}

function meanOrNull(values: readonly number[]): number | null {
  return values.length > 0 ? mean(values) : null;
}

/** @returns time over libc's on the same trace, where both have one */
export function ratioOf(trace: TraceFigures, peer: string): number | undefined {
  const own = figuresOf(trace, peer)?.nanoseconds?.median;
  const libc = figuresOf(trace, LIBC)?.nanoseconds?.median;
  return own === undefined || libc === undefined ? undefined : own / libc;
}

/** @returns the table, a row per trace and allocator and then the means, and below it what failed and the method */
export function showReport(report: ReplayReport): string {
  const rows = [["trace", "allocator", "ops", "peak live", "ns/op", "of libc", "utilisation", "footprint"]];
  const failures: string[] = [];
  for (const trace of report.traces) {
    for (const [index, figures] of trace.peers.entries()) {
      const [name, ...facts] =
        index > 0 ? ["", "", ""] : [trace.trace, `${trace.operations}`, showBytes(trace.peakBytes)];
      rows.push([name ?? "", figures.peer, ...facts, ...cells(trace, figures)]);
      if (isFailure(figures.note)) failures.push(`${trace.trace}, ${figures.peer}: ${figures.note}`);
    }
  }
  for (const [index, means] of report.means.entries()) {
    const traces = means.traces === report.traces.length ? "" : `${means.traces} traces`;
    rows.push([index === 0 ? "means" : "", means.peer, traces, "", fixed(means.nanoseconds, 1)]);
    rows.at(-1)?.push(fixed(means.ratioToLibc, 2), fixed(means.utilisation, 3));
  }
  const parts = [alignColumns(rows, 2), failures.join("\n"), showLarge(report), report.method.join("\n")];
  return parts.filter((part) => part !== "").join("\n\n");
}

/** The mean utilisation without the small traces, where there are some. */
function showLarge({ traces, means }: ReplayReport): string {
  const large = traces.filter((trace) => trace.peakBytes >= LARGE_BYTES).length;
  if (large === traces.length || large === 0) return "";
  const list = means.map((entry) => `${entry.peer} ${fixed(entry.utilisationOfLarge, 3)}`).join(", ");
  return `Mean utilisation of the ${large} traces with at least ${showBytes(LARGE_BYTES)} live: ${list}`;
}

function cells(trace: TraceFigures, figures: PeerFigures): string[] {
  const footprint = figures.footprint === null ? "-" : showBytes(figures.footprint);
  return [showTime(figures), fixed(ratioOf(trace, figures.peer), 2), fixed(figures.utilisation, 3), footprint];
}

/** @returns nanoseconds per operation, or in a few words why there are none */
export function showTime(figures: PeerFigures): string {
  if (figures.nanoseconds !== null) return fixed(figures.nanoseconds.median, 1);
  return isFailure(figures.note) ? "failed" : (figures.note ?? "-");
}

function figuresOf(trace: TraceFigures, peer: string): PeerFigures | undefined {
  return trace.peers.find((figures) => figures.peer === peer);
}
