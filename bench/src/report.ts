/**
 * The figures of a replay: what is kept as JSON, and the table for a terminal.
 *
 * @module
 */
import type { PeerFigures, TraceFigures } from "./compare.ts";
import { LIBC } from "./peers.ts";
import { geometricMean, mean } from "./statistics.ts";
import { alignColumns, showBytes } from "./table.ts";

/** One allocator over all traces it finished. */
export interface PeerMeans {
  readonly peer: string;
  /** Traces with a time. */
  readonly traces: number;
  /** Geometric mean, per operation. */
  readonly nanoseconds: number;
  /** Geometric mean of the ratios on the traces that both finished; null without a libc. */
  readonly ratioToLibc: number | null;
  /** Arithmetic mean; null when no footprint is known. */
  readonly utilisation: number | null;
}

export interface ReplayReport {
  readonly node: string;
  readonly platform: string;
  /** How heaps were sized and what a round was. */
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
    const utilisations = own.flatMap((figures) => figures?.utilisation ?? []);
    return {
      peer,
      traces: times.length,
      nanoseconds: geometricMean(times),
      ratioToLibc: ratios.length > 0 ? geometricMean(ratios) : null,
      utilisation: utilisations.length > 0 ? mean(utilisations) : null,
    };
  });
}

/** @returns time over libc's on the same trace */
export function ratioOf(trace: TraceFigures, peer: string): number | undefined {
  const own = figuresOf(trace, peer)?.nanoseconds?.median;
  const libc = figuresOf(trace, LIBC)?.nanoseconds?.median;
  return own === undefined || libc === undefined ? undefined : own / libc;
}

/** The table: a row per trace and allocator, then the means. */
export function showReport(report: ReplayReport): string {
  const rows = [["trace", "ops", "peak live", "allocator", "ns/op", "of libc", "utilisation", "footprint"]];
  for (const trace of report.traces) {
    trace.peers.forEach((figures, index) => {
      const facts = index === 0 ? [trace.trace, String(trace.operations), showBytes(trace.peakBytes)] : ["", "", ""];
      rows.push([...facts, ...cells(trace, figures)]);
    });
  }
  for (const [index, means] of report.means.entries()) {
    const facts = index === 0 ? ["means", "", ""] : ["", "", ""];
    const count = means.traces === report.traces.length ? "" : `over ${means.traces} of ${report.traces.length}`;
    rows.push([...facts, means.peer, fixed(means.nanoseconds, 1), fixed(means.ratioToLibc, 2)]);
    rows.at(-1)?.push(fixed(means.utilisation, 3), count);
  }
  return alignColumns(rows);
}

function cells(trace: TraceFigures, figures: PeerFigures): string[] {
  const time = figures.nanoseconds === null ? (figures.note ?? "-") : fixed(figures.nanoseconds.median, 1);
  const footprint = figures.footprint === null ? "-" : showBytes(figures.footprint);
  return [figures.peer, time, fixed(ratioOf(trace, figures.peer), 2), fixed(figures.utilisation, 3), footprint];
}

function figuresOf(trace: TraceFigures, peer: string): PeerFigures | undefined {
  return trace.peers.find((figures) => figures.peer === peer);
}

/** @returns the number with so many decimals, or a dash where there is none */
export function fixed(value: number | null | undefined, decimals: number): string {
  return value === null || value === undefined || Number.isNaN(value) ? "-" : value.toFixed(decimals);
}
