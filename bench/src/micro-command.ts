/**
 * `micro`: small loads of one kind each.
 *
 * @module
 */
import { writeFileSync } from "node:fs";

import { commandOf, loadOf, type MicroWork } from "./micro.ts";
import { LIBC, ONE_SIZE_PEERS } from "./peers.ts";
import type { Progress } from "./progress.ts";
import { isFailure, timeInRounds, type RoundOptions } from "./rounds.ts";
import type { Launch } from "./session.ts";
import type { Spread } from "./statistics.ts";
import { alignColumns, fixed } from "./table.ts";

/** What `--work` takes. */
export const MICRO_WORKS: Readonly<Record<string, MicroWork>> = {
  "at-once": { pattern: "pairs", size: 64 },
  lifo: { pattern: "batch", size: 64, count: 10_000, order: "lifo" },
  fifo: { pattern: "batch", size: 64, count: 10_000, order: "fifo" },
  random: { pattern: "batch", size: 64, count: 10_000, order: "random" },
  "mixed-10k": { pattern: "mixed", live: 10_000 },
  "mixed-100k": { pattern: "mixed", live: 100_000 },
  "mixed-1m": { pattern: "mixed", live: 1_000_000 },
};

export interface MicroOptions extends RoundOptions {
  /** Names of {@link MICRO_WORKS}. */
  readonly works: readonly string[];
  readonly launches: ReadonlyMap<string, Launch>;
  /** Where the JSON goes, if anywhere. */
  readonly json: string | undefined;
}

/** One allocator at one load. */
interface MicroFigures {
  readonly work: string;
  readonly peer: string;
  /** Per allocate or free. */
  readonly nanoseconds: Spread | null;
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

async function timeWork(name: string, options: MicroOptions, progress: Progress): Promise<MicroFigures[]> {
  const work = MICRO_WORKS[name];
  if (work === undefined) throw new Error(`no work "${name}"; there are ${Object.keys(MICRO_WORKS).join(", ")}`);
  const serves = (peer: string): boolean => !ONE_SIZE_PEERS.has(peer) || loadOf(work).blockBytes !== undefined;
  const launches = new Map([...options.launches].filter(([peer]) => serves(peer)));
  progress.step(`${name}: ${[...launches.keys()].join(", ")}`);
  return figuresOf(name, await timeInRounds(commandOf(work), launches, options));
}

function figuresOf(work: string, times: ReadonlyMap<string, Spread | string>): MicroFigures[] {
  const libc = times.get(LIBC);
  return [...times].map(([peer, time]) => {
    if (typeof time === "string") return { work, peer, nanoseconds: null, ratioToLibc: null, note: time };
    const known = libc !== undefined && typeof libc !== "string";
    return { work, peer, nanoseconds: time, ratioToLibc: known ? time.median / libc.median : null, note: null };
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
