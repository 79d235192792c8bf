import { describe, expect, it } from "vitest";

import type { PeerFigures, TraceFigures } from "../src/compare.ts";
import { pageOf } from "../src/html.ts";
import { meansOf, type ReplayReport, showReport } from "../src/report.ts";
import { geometricMean, spreadOf } from "../src/statistics.ts";

function figures(peer: string, nanoseconds: number, utilisation: number, footprint = 1000): PeerFigures {
  const spread = { median: nanoseconds, min: nanoseconds, max: nanoseconds };
  return { peer, nanoseconds: spread, utilisation, footprint, samples: [[0, 10, 20]], note: null };
}

function missing(peer: string, note: string): PeerFigures {
  return { peer, nanoseconds: null, utilisation: null, footprint: null, samples: [], note };
}

const TRACES: readonly TraceFigures[] = [
  { trace: "first", operations: 10, peakBytes: 800_000, peers: [figures("core", 8, 0.9), figures("libc", 4, 0.8)] },
  { trace: "<two>", operations: 20, peakBytes: 1000, peers: [figures("core", 18, 0.5), figures("libc", 2, 0.7)] },
  {
    trace: "third",
    operations: 30,
    peakBytes: 300_000,
    peers: [missing("core", "operation 3: overlaps a live block"), missing("libc", ">3 s, cut off")],
  },
];

const REPORT: ReplayReport = {
  host: "a machine",
  method: ["how it was measured"],
  traces: TRACES,
  means: meansOf(TRACES, ["core", "libc"]),
};

describe("the means", () => {
  it("are over the traces with figures: geometric for times and ratios, arithmetic for utilisation", () => {
    const [core, libc] = REPORT.means;
    expect(core?.traces).toBe(2);
    expect(core?.nanoseconds).toBeCloseTo(12);
    expect(core?.ratioToLibc).toBeCloseTo(Math.sqrt(2 * 9));
    expect(core?.utilisation).toBeCloseTo(0.7);
    expect(core?.utilisationOfLarge).toBeCloseTo(0.9);
    expect(libc?.ratioToLibc).toBeCloseTo(1);
  });

  it("of an allocator without any figure are null, and so are ratios without libc", () => {
    expect(meansOf(TRACES.slice(2), ["core"])).toEqual([
      { peer: "core", traces: 0, nanoseconds: null, ratioToLibc: null, utilisation: null, utilisationOfLarge: null },
    ]);
    const alone = TRACES.map((trace) => ({ ...trace, peers: trace.peers.slice(0, 1) }));
    expect(meansOf(alone, ["core"])[0]?.ratioToLibc).toBeNull();
  });

  it("rest on the median of the rounds", () => {
    expect(spreadOf([5, 1, 100])).toEqual({ median: 5, min: 1, max: 100 });
    expect(spreadOf([4, 1, 2, 100]).median).toBe(3);
    expect(geometricMean([1, 100])).toBeCloseTo(10);
  });
});

describe("the table", () => {
  const text = showReport(REPORT);
  const rowOf = (start: RegExp): string[] =>
    text
      .split("\n")
      .find((line) => start.test(line))
      ?.trim()
      .split(/ {2,}/) ?? [];

  it("has a row per trace and allocator, with the ratio to libc", () => {
    expect(rowOf(/^first/)).toEqual(["first", "core", "10", "781 KiB", "8.0", "2.00", "0.900", "1000 B"]);
    expect(rowOf(/^means/)).toEqual(["means", "core", "2 traces", "12.0", "4.24", "0.700"]);
  });

  it("says what was cut off, what failed and why, and how it was measured", () => {
    expect(text).toMatch(/libc +>3 s, cut off/);
    expect(rowOf(/^third/)[4]).toBe("failed");
    expect(text).toContain("third, core: operation 3: overlaps a live block");
    expect(text).toContain("the 2 traces with at least 256 KiB live: core 0.900, libc 0.800");
    expect(text).toContain("how it was measured");
  });
});

describe("the page", () => {
  const page = pageOf(REPORT);

  it("needs nothing from elsewhere", () => {
    expect(page).not.toMatch(/https?:|<script|<link|src=|@import/);
  });

  it("has a plot of speed, one of utilisation and one of footprint per trace, with a bar per figure", () => {
    expect(page.match(/<svg/g)).toHaveLength(2 + TRACES.length);
    expect(page.match(/<rect/g)).toHaveLength(2 * 4);
    expect(page.match(/<polyline/g)).toHaveLength(4);
  });

  it("shows names as text, whatever is in them", () => {
    expect(page).toContain("&lt;two&gt;");
    expect(page).not.toContain("<two>");
  });
});
