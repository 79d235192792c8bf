/**
 * What has changed since the last run that was kept.
 *
 * @module
 */
import type { MicroFigures } from "./micro-command.ts";
import type { Spread } from "./statistics.ts";

/** A figure that is another one than it was. */
export interface Change {
  readonly work: string;
  readonly peer: string;
  /** Of libc's time. */
  readonly before: number;
  readonly now: number;
}

/**
 * Compares ratios to libc of the same run, since times of two runs may be of two machines.
 *
 * @returns the ratios that differ by more than the spreads of both runs together
 */
export function changesSince(before: readonly MicroFigures[], now: readonly MicroFigures[]): Change[] {
  return now.flatMap((figures) => {
    const { work, peer, ratioToLibc } = figures;
    const old = before.find((other) => other.work === work && other.peer === peer);
    if (old === undefined || old.ratioToLibc === null || ratioToLibc === null) return [];
    const spread = relativeSpread(old.nanoseconds) + relativeSpread(figures.nanoseconds);
    const hasChanged = Math.abs(Math.log(ratioToLibc / old.ratioToLibc)) > Math.log1p(spread);
    return hasChanged ? [{ work, peer, before: old.ratioToLibc, now: ratioToLibc }] : [];
  });
}

function relativeSpread(times: Spread | null): number {
  return times === null ? 0 : (times.max - times.min) / times.median;
}
