/**
 * `micro`: small loads of one kind each.
 *
 * @module
 */
import { writeFileSync } from "node:fs";

import { commandOf, loadOf, type MicroWork } from "./micro.ts";
import { LIBC, ONE_SIZE_PEERS, REPLAY_PEERS } from "./peers.ts";
import type { Progress } from "./progress.ts";
import { isFailure, timeInRounds, type RoundOptions, type Times } from "./rounds.ts";
import type { Launch } from "./session.ts";
import type { Spread } from "./statistics.ts";
import { alignColumns, fixed } from "./table.ts";

/** What `--work` takes. */
export const MICRO_WORKS: Readonly<Record<string, MicroWork>> = {
  "at-once": { pattern: "pairs", size: 64 },
  lifo: { pattern: "batch", size: 64, count: 10_000, order: "lifo" },
  fifo: { pattern: "batch", size: 64, count: 10_000, order: "fifo" },
  random: { pattern: "batch", size: 64, count: 10_000, order: "random" },
  "replace-100": { pattern: "replace", size: 64, live: 100 },
  "replace-1k": { pattern: "replace", size: 64, live: 1000 },
  "replace-10k": { pattern: "replace", size: 64, live: 10_000 },
  "replace-100k": { pattern: "replace", size: 64, live: 100_000 },
  "replace-1m": { pattern: "replace", size: 64, live: 1_000_000 },
  "mixed-10k": { pattern: "mixed", live: 10_000 },
  "mixed-100k": { pattern: "mixed", live: 100_000 },
  "mixed-1m": { pattern: "mixed", live: 1_000_000 },
  growth: { pattern: "grow", arrays: 16, bytes: 65_536 },
  "at-once-touched": { pattern: "pairs", size: 64, touched: true },
  "lifo-touched": { pattern: "batch", size: 64, count: 10_000, order: "lifo", touched: true },
  "random-touched": { pattern: "batch", size: 64, count: 10_000, order: "random", touched: true },
  "mixed-10k-touched": { pattern: "mixed", live: 10_000, touched: true },
};

export interface MicroOptions extends RoundOptions {
  /** Names of {@link MICRO_WORKS}. */
  readonly works: readonly string[];
  readonly launches: ReadonlyMap<string, Launch>;
  /** Where the JSON goes, if anywhere. */
  readonly json: string | undefined;
}

/** One allocator at one load. */
export interface MicroFigures {
  readonly work: string;
  readonly peer: string;
  /** Per allocate or free, by the clock. */
  readonly nanoseconds: Spread | null;
  /** The same of all processors and threads. */
  readonly cpuNanoseconds: Spread | null;
  readonly ratioToLibc: number | null;
  readonly note: string | null;
}

export async function microCommand(options: MicroOptions, progress: Progress): Promise<void> {
  const figures: MicroFigures[] = [];
  progress.start(options.works.length);
  try {
    for (const name of options.works) figures.push(...(await timeWork(name, options, progress)));
  } finally {
    progress.stop();
  }
  process.stdout.write(`${showFigures(figures)}\n`);
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(figures, null, 2)}\n`);
}

/** @param name - one of {@link MICRO_WORKS} */
export async function timeWork(
  name: string,
  options: RoundOptions & Pick<MicroOptions, "launches">,
  progress: Progress,
): Promise<MicroFigures[]> {
  const work = MICRO_WORKS[name];
  if (work === undefined) throw new Error(`no work "${name}"; there are ${Object.keys(MICRO_WORKS).join(", ")}`);
  const serves = (peer: string): boolean =>
    work.pattern === "grow"
      ? REPLAY_PEERS.includes(peer)
      : !ONE_SIZE_PEERS.has(peer) || loadOf(work).blockBytes !== undefined;
  const launches = new Map([...options.launches].filter(([peer]) => serves(peer)));
  progress.step(`${name}: ${[...launches.keys()].join(", ")}`);
  return figuresOf(name, await timeInRounds(commandOf(work), launches, options));
}

function figuresOf(work: string, times: ReadonlyMap<string, Times | string>): MicroFigures[] {
  const libc = times.get(LIBC);
  return [...times].map(([peer, time]) => {
    if (typeof time === "string") {
      return { work, peer, nanoseconds: null, cpuNanoseconds: null, ratioToLibc: null, note: time };
    }
    const { clock, cpu } = time;
    const ratioToLibc = libc !== undefined && typeof libc !== "string" ? clock.median / libc.clock.median : null;
    return { work, peer, nanoseconds: clock, cpuNanoseconds: cpu, ratioToLibc, note: null };
  });
}

function showFigures(figures: readonly MicroFigures[]): string {
  const rows = [["load", "allocator", "ns/op", "of libc", "min..max"]];
  for (const [index, { work, peer, nanoseconds, ratioToLibc, note }] of figures.entries()) {
    const title = figures[index - 1]?.work === work ? "" : work;
    if (nanoseconds === null) rows.push([title, peer, isFailure(note) ? "failed" : (note ?? "-"), "-", "-"]);
    else {
      const range = `${fixed(nanoseconds.min, 1)}..${fixed(nanoseconds.max, 1)}`;
      rows.push([title, peer, fixed(nanoseconds.median, 2), fixed(ratioToLibc, 2), range]);
    }
  }
  const failed = figures.filter(({ note }) => isFailure(note));
  const failures = failed.map(({ work, peer, note }) => `${work}, ${peer}: ${note}`);
  return [alignColumns(rows, 2), failures.join("\n")].filter((part) => part !== "").join("\n\n");
}
