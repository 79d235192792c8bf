/**
 * `replay`: traces through allocators.
 *
 * @module
 */
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { compareTrace, type CompareOptions, type TraceFigures } from "./compare.ts";
import type { Launch } from "./session.ts";
import { writePrepared } from "./prepared.ts";
import { meansOf, showReport, type ReplayReport } from "./report.ts";
import { isTraceName, readTrace } from "./trace.ts";

const OWN_TRACES = fileURLToPath(new URL("../traces/", import.meta.url));

export interface ReplayOptions extends CompareOptions {
  /** Trace files, or folders of them; the recorded ones of this package when empty. */
  readonly paths: readonly string[];
  readonly launches: ReadonlyMap<string, Launch>;
  /** Where the JSON goes, if anywhere. */
  readonly json: string | undefined;
}

export async function replayCommand(options: ReplayOptions): Promise<void> {
  const files = traceFiles(options.paths.length > 0 ? options.paths : [OWN_TRACES]);
  const folder = mkdtempSync(join(tmpdir(), "heapwright-bench-"));
  const traces: TraceFigures[] = [];
  try {
    for (const file of files) {
      const trace = readTrace(file);
      const prepared = join(folder, "trace.bin");
      writePrepared(trace, prepared);
      traces.push(await compareTrace(trace, prepared, options.launches, options, () => undefined));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const report: ReplayReport = {
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    method: [],
    traces,
    means: meansOf(traces, [...options.launches.keys()]),
  };
  process.stdout.write(`${showReport(report)}\n`);
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`);
}

/** Files as they are given; of a folder, all traces directly in it, by name. */
function traceFiles(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    if (!statSync(path).isDirectory()) return [path];
    return readdirSync(path)
      .filter(isTraceName)
      .sort()
      .map((file) => join(path, file));
  });
}
