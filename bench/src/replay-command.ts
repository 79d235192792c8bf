/**
 * `replay`: traces through allocators.
 *
 * @module
 */
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { arch, cpus, platform, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { compareTrace, type TraceFigures } from "./compare.ts";
import { pageOf } from "./html.ts";
import { writePrepared } from "./prepared.ts";
import type { Progress } from "./progress.ts";
import { meansOf, showReport, type ReplayReport } from "./report.ts";
import type { RoundOptions } from "./rounds.ts";
import type { Launch } from "./session.ts";
import { isTraceName, readTrace } from "./trace.ts";

/** The recorded traces of this package. */
export const OWN_TRACES: string = fileURLToPath(new URL("../traces/", import.meta.url));

export interface ReplayOptions extends RoundOptions {
  /** Trace files, or folders of them; the recorded ones of this package when empty. */
  readonly paths: readonly string[];
  readonly launches: ReadonlyMap<string, Launch>;
  /** Where the JSON goes, if anywhere. */
  readonly json: string | undefined;
  /** Where the page with the plots goes. */
  readonly html: string;
}

export async function replayCommand(options: ReplayOptions, progress: Progress): Promise<void> {
  const files = traceFiles(options.paths.length > 0 ? options.paths : [OWN_TRACES]);
  progress.start(files.length * (options.launches.size + 1));
  let figures: readonly TraceFigures[];
  try {
    figures = await compareTraces(files, options, progress);
  } finally {
    progress.stop();
  }
  const report: ReplayReport = {
    host: `node ${process.version}, ${platform()} ${arch()}, ${cpus()[0]?.model ?? "unknown processor"}`,
    method: methodOf(options),
    traces: figures,
    means: meansOf(figures, [...options.launches.keys()]),
  };
  process.stdout.write(`${showReport(report)}\n`);
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(options.html, pageOf(report));
  process.stdout.write(`Plots: ${resolve(options.html)}\n`);
}

/** @returns the figures of each trace; they take one step for each allocator and one for the timing of all */
export async function compareTraces(
  files: readonly string[],
  options: RoundOptions & Pick<ReplayOptions, "launches">,
  progress: Progress,
): Promise<TraceFigures[]> {
  // All are read before the first is replayed, so that a malformed one shows at once.
  const traces = files.map(readTrace);
  const folder = mkdtempSync(join(tmpdir(), "heapwright-bench-"));
  const figures: TraceFigures[] = [];
  try {
    for (const trace of traces) {
      const prepared = join(folder, "trace.bin");
      writePrepared(trace, prepared);
      figures.push(await compareTrace(trace, prepared, options.launches, options, progress.step));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return figures;
}

function methodOf(options: RoundOptions): string[] {
  const { rounds, roundMilliseconds, warmMilliseconds } = options;
  return [
    `ns/op: median of ${rounds} interleaved rounds of ${roundMilliseconds} ms after ${warmMilliseconds} ms of warm-up, ` +
      "one process per allocator; one operation is an allocate, a reallocate or a free.",
    "Heaps: 1.25 times the trace's peak and 16 KiB, doubled until the trace fits; others at most 8 times the peak.",
    "Utilisation: peak live payload over footprint. Means: geometric for times and ratios, arithmetic for utilisation.",
  ];
}

/** Files as they are given; of a folder, all traces directly in it, by name. */
export function traceFiles(paths: readonly string[]): string[] {
  const files = paths.flatMap((path) => {
    if (!statSync(path).isDirectory()) return [path];
    return readdirSync(path)
      .filter(isTraceName)
      .sort()
      .map((file) => join(path, file));
  });
  if (files.length === 0) throw new Error(`no traces (.rep or .mrep, also with .gz) in ${paths.join(", ")}`);
  return files;
}
