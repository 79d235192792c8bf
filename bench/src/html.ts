/**
 * The report as one page that needs nothing else: three kinds of plots as inline SVG, and the table.
 *
 * @module
 */
import type { TraceFigures } from "./compare.ts";
import { barPlot, escapeText, linePlot, PLOT_COLOURS } from "./plot.ts";
import { type ReplayReport, showReport, showTime } from "./report.ts";
import { showBytes } from "./table.ts";

const STYLE = `
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
  pre { font-size: 12px; overflow-x: auto; background: #f6f6f4; padding: 1rem; }
  svg { display: block; width: 100%; height: auto; margin: .5rem 0 1.5rem; }
  svg text { font: 11px system-ui, sans-serif; fill: #444; }
  .key { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 1em; }`;

/** @returns the page's HTML */
export function pageOf(report: ReplayReport): string {
  const peers = report.means.map((means) => means.peer);
  const groups = report.traces.map((trace) => trace.trace);
  const bars = (valueOf: (figures: TraceFigures["peers"][number]) => number | null): (number | null)[][] =>
    peers.map((peer) =>
      report.traces.map((trace) => {
        const figures = trace.peers.find((entry) => entry.peer === peer);
        return figures === undefined ? null : valueOf(figures);
      }),
    );
  const sections = [
    "<h2>Speed by trace</h2><p>Nanoseconds per operation on a logarithmic scale; less is better.</p>",
    barPlot({ groups, series: bars((figures) => figures.nanoseconds?.median ?? null), scale: "log" }),
    "<h2>Utilisation by trace</h2><p>Peak live payload over footprint; more is better, 1 would be no cost at all.</p>",
    barPlot({ groups, series: bars((figures) => figures.utilisation), scale: "unit" }),
    "<h2>Live bytes and footprint over time</h2>",
    ...report.traces.map((trace) => footprintSection(trace, peers)),
    `<h2>Figures</h2><pre>${escapeText(showReport(report))}</pre>`,
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Heapwright: allocation traces replayed</title>
<style>${STYLE}</style></head><body>
<h1>Allocation traces replayed</h1>
<p>${escapeText(report.host)}</p>
<p>${legend(peers)}</p>
${sections.join("\n")}
</body></html>
`;
}

function footprintSection(trace: TraceFigures, peers: readonly string[]): string {
  const sampled = trace.peers.filter((figures) => figures.samples.length > 0);
  const live = sampled[0]?.samples.map(([operation, bytes]) => [operation, bytes] as const) ?? [];
  const lines = sampled.map((figures) => ({
    colour: colourOf(peers.indexOf(figures.peer)),
    points: figures.samples.map(([operation, , footprint]) => [operation, footprint] as const),
  }));
  const times = trace.peers.map((figures) => `${figures.peer} ${showTime(figures)}`).join(", ");
  return `<h3>${escapeText(trace.trace)}</h3><p>${trace.operations} operations, at most ${showBytes(trace.peakBytes)} \
live (shaded). ns per operation: ${escapeText(times)}.</p>
${linePlot({ area: live, lines, xMax: trace.operations, showY: showBytes })}`;
}

function legend(peers: readonly string[]): string {
  return peers
    .map((peer, index) => `<span class="key" style="background:${colourOf(index)}"></span>${escapeText(peer)}`)
    .join("");
}

function colourOf(index: number): string {
  return PLOT_COLOURS[index % PLOT_COLOURS.length] ?? "#000";
}
