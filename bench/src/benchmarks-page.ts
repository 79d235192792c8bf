/**
 * `docs/benchmarks.md` and its plots.
 *
 * @module
 */
import type { Change } from "./changes.ts";
import { type Benchmarks, isNative, MEMORY_SIZE, NEIGHBOUR_SIZES } from "./everything.ts";
import { MICRO_WORKS, type MicroFigures } from "./micro-command.ts";
import { MICRO_PEERS, OWN_PEERS, REPLAY_PEERS } from "./peers.ts";
import { barPlot, curvePlot, standalone } from "./plot.ts";
import { REASONS } from "./reasons.ts";
import { meansOf, ratioOf } from "./report.ts";
import { defeatsIn } from "./rivals.ts";
import { fixed } from "./table.ts";
import { reachedIn, TRACES } from "./targets.ts";

const SMALL = ["at-once", "lifo", "fifo", "random"];
const CURVE = ["replace-100", "replace-1k", "replace-10k", "replace-100k", "replace-1m"];
const PROCESSOR = [...SMALL, "mixed-10k"];
const MIXED = ["mixed-10k", "mixed-100k", "mixed-1m"];
const TOUCHED = ["at-once-touched", "lifo-touched", "random-touched", "mixed-10k-touched"];

/** What the page shows, with what is written beside it. */
export interface Page {
  readonly markdown: string;
  /** By file name, in the folder beside the page. */
  readonly plots: Readonly<Record<string, string>>;
}

/**
 * @param changes - what differs from the figures kept before
 * @param command - how it was measured
 */
export function benchmarksPage(figures: Benchmarks, changes: readonly Change[], command: string): Page {
  const { loads, traces, programs } = figures;
  const names = MICRO_PEERS.filter((peer) => loads.some((entry) => entry.peer === peer));
  const replayed = REPLAY_PEERS.filter((peer) =>
    traces.some((trace) => trace.peers.some((entry) => entry.peer === peer)),
  );
  const sections = [
    `# Benchmarks

Written by \`${command}\`, ${figures.date}, ${figures.host}. All figures are of one run.
${versionsText(figures)}

${METHOD}`,
    `## What we aim at

Of libc's time in C for the same calls.

${table(
  ["package", "load", "at most", "measured", ""],
  reachedIn(figures).map(({ peer, work, limit, ratio }) => [
    peer,
    work === TRACES ? "all traces, geometric mean" : work,
    fixed(limit, 2),
    fixed(ratio, 2),
    ratio === null ? "" : ratio <= limit ? "met" : "**missed**",
  ]),
)}`,
    `## One size

A block of 64 bytes, allocated and freed at once; 10,000 allocated, then freed last in first out, first in first out, and
in random order. Nanoseconds per call, and how many times libc's that is.

${loadTable(loads, names, SMALL)}

![of libc's time](benchmarks/one-size.svg)`,
    `## Sizes from 16 to 512 bytes

So many blocks are live; one at random is freed and replaced.

${loadTable(loads, names, MIXED)}`,
    `## Cost against what is live

Blocks of 64 bytes, from 100 live ones to 1,000,000; one at random is freed and replaced. What grows here with libc too is
the time that memory takes.

${loadTable(loads, names, CURVE)}

![nanoseconds against live blocks](benchmarks/live.svg)`,
    `## Payloads touched

The same, with a byte written in each 64 bytes of a block that has been allocated.

${loadTable(loads, names, TOUCHED)}`,
    `## Arrays that grow

Sixteen arrays grow in turns by half, from 16 bytes to 64 KiB, by realloc; then all are freed.

${loadTable(loads, names, ["growth"])}`,
    `## Processor time

Nanoseconds per call that all processors spent, with the compiler's and the garbage collector's threads; where it is more
than the clock's, other threads worked.

${table(
  ["", ...PROCESSOR],
  names.map((peer) => [peer, ...PROCESSOR.map((work) => fixed(entryOf(loads, peer, work)?.cpuNanoseconds?.median, 1))]),
)}`,
    `## Recorded traces

Allocation traces of real programs, replayed; every block's place and contents are verified in a pass before the timed
ones. Utilisation is peak live payload over footprint.

${table(
  ["", "traces", "ns per call", "of libc", "utilisation"],
  meansOf(traces, replayed).map((means) => [
    means.peer,
    String(means.traces),
    fixed(means.nanoseconds, 1),
    fixed(means.ratioToLibc, 2),
    fixed(means.utilisation, 3),
  ]),
)}

Of libc's time, trace by trace:

${table(
  ["", ...replayed],
  traces.map((trace) => [trace.trace, ...replayed.map((peer) => fixed(ratioOf(trace, peer), 2))]),
)}

![of libc's time](benchmarks/traces.svg)`,
    `## Memory

Bytes from one block to the next, for requests of so many bytes:

${table(
  ["", ...NEIGHBOUR_SIZES.map(String)],
  names.map((peer) => [
    peer,
    ...NEIGHBOUR_SIZES.map((size) =>
      fixed(figures.blocks.find((b) => b.peer === peer && b.size === size)?.distance, 0),
    ),
  ]),
)}

What a live block of ${MEMORY_SIZE} bytes takes, of a million, with what the allocator took for itself: bytes of the
garbage-collected heap, and resident memory of the process.

${table(
  ["", "JS heap", "resident"],
  figures.blocks
    .filter(({ size }) => size === MEMORY_SIZE)
    .map(({ peer, jsHeap, resident }) => [peer, fixed(jsHeap, 1), fixed(resident, 1)]),
)}`,
    `## Start

From before the import to after the first block, in microseconds, in a process of its own.

${table(
  ["", "median", "min..max"],
  figures.starts.map(({ peer, microseconds: { median, min, max } }) => [
    peer,
    fixed(median, 0),
    `${fixed(min, 0)}..${fixed(max, 0)}`,
  ]),
)}`,
    ...Object.entries(programs).map(
      ([name, { command: typed, what, output }]) => `## ${name}

${what} \`${typed}\`:

\`\`\`
${output}
\`\`\``,
    ),
    `## Where others are ahead

Allocators for JavaScript that took less time than one of ours, and how many times less.

${table(
  ["ours", "theirs", "loads", "why"],
  defeatsIn(loads).map(({ own, rival, loads: lost }) => [
    own,
    rival,
    lost.map(({ work, factor }) => `${work} ${fixed(factor, 2)}`).join(", "),
    REASONS[`${own} ${rival}`] ?? REASONS[rival] ?? REASONS[own] ?? "not known",
  ]),
)}`,
    `## What has changed

Ratios to libc that differ from those kept before by more than the spreads of both runs together.

${
  changes.length === 0
    ? "None."
    : table(
        ["load", "allocator", "before", "now"],
        changes.map(({ work, peer, before, now }) => [work, peer, fixed(before, 2), fixed(now, 2)]),
      )
}`,
  ];
  return {
    markdown: `${sections.join("\n\n")}\n`,
    plots: {
      "one-size.svg": oneSizePlot(loads, names),
      "live.svg": livePlot(loads, names),
      "traces.svg": tracesPlot(figures, replayed),
    },
  };
}

const METHOD = `A process of its own for each allocator and load, which holds no other allocator; all choices drawn
beforehand, the same in C and in JavaScript; the allocators take turns in rounds, after a warm-up of the same length for
each. A figure is the median of its rounds, \`docs/benchmarks.json\` has their spread. What is worth a few percent between
two rows may be chance: V8 compiles the timed loop while it runs, and what it knows by then differs from process to process.

\`core\` is the \`Heap\` of \`@heapwright/core\`, \`pool-fixed\` and \`pool-variadic\` the pools of \`@heapwright/pool\`,
\`memkit\` a smart pointer with a container of its own, created, allocated and destroyed, \`refcount\` a block with one
reference. \`thi.ng\` is \`@thi.ng/malloc\`, \`dlmalloc-wasm\` the allocator in the WebAssembly build of SQLite,
\`tlsf-wasm\` AssemblyScript's. \`structurae\` gives out indices, \`deepool\`, \`Buffer.allocUnsafe\` and
\`Uint8Array\` objects, which no other worker and no WebAssembly module can see. \`libc\` and the three below it run in C.`;

function versionsText({ versions }: Benchmarks): string {
  return `${Object.entries(versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(", ")}.`;
}

function entryOf(loads: readonly MicroFigures[], peer: string, work: string): MicroFigures | undefined {
  return loads.find((figures) => figures.peer === peer && figures.work === work);
}

function loadTable(loads: readonly MicroFigures[], names: readonly string[], works: readonly string[]): string {
  const serving = names.filter((peer) => works.some((work) => entryOf(loads, peer, work) !== undefined));
  return table(
    ["", ...works],
    serving.map((peer) => [peer, ...works.map((work) => cell(entryOf(loads, peer, work)))]),
  );
}

function cell(figures: MicroFigures | undefined): string {
  if (figures === undefined) return "";
  const { nanoseconds, ratioToLibc, note } = figures;
  if (nanoseconds === null) return note ?? "";
  return `${fixed(nanoseconds.median, 1)} (${fixed(ratioToLibc, 2)})`;
}

function oneSizePlot(loads: readonly MicroFigures[], names: readonly string[]): string {
  const shown = names.filter((peer) => !isNative(peer) || peer === "libc").slice(0, 10);
  const series = shown.map((peer) => SMALL.map((work) => entryOf(loads, peer, work)?.nanoseconds?.median ?? null));
  return standalone(
    "Nanoseconds per call, blocks of 64 bytes",
    shown,
    barPlot({ groups: SMALL, series, scale: "log" }),
  );
}

function livePlot(loads: readonly MicroFigures[], names: readonly string[]): string {
  const ours = names.filter((peer) => OWN_PEERS.includes(peer) || ["libc", "thi.ng", "dlmalloc-wasm"].includes(peer));
  const curves = ours.map((name) => ({
    name,
    points: CURVE.flatMap((work) => {
      const asked = MICRO_WORKS[work];
      const time = entryOf(loads, name, work)?.nanoseconds?.median;
      return asked?.pattern === "replace" && time !== undefined ? [[asked.live, time] as const] : [];
    }),
  }));
  return standalone("Nanoseconds per call against live blocks of 64 bytes", ours, curvePlot(curves));
}

function tracesPlot({ traces }: Benchmarks, names: readonly string[]): string {
  const shown = names.slice(0, 10);
  const series = shown.map((peer) =>
    traces.map((trace) => trace.peers.find((figures) => figures.peer === peer)?.nanoseconds?.median ?? null),
  );
  const groups = traces.map(({ trace }) => trace);
  return standalone("Nanoseconds per call, recorded traces", shown, barPlot({ groups, series, scale: "log" }));
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const rule = head.map((_, column) => (column === 0 ? "---" : "---:"));
  return [line(head), line(rule), ...rows.map(line)].join("\n");
}
