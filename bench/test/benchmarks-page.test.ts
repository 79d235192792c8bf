import { describe, expect, it } from "vitest";

import { benchmarksPage } from "../src/benchmarks-page.ts";
import { changesSince } from "../src/changes.ts";
import type { Benchmarks } from "../src/everything.ts";
import type { MicroFigures } from "../src/micro-command.ts";
import { defeatsIn } from "../src/rivals.ts";
import { reachedIn } from "../src/targets.ts";

function load(work: string, peer: string, median: number, libc: number | null, spread = 0.2): MicroFigures {
  const nanoseconds = { median, min: median - spread / 2, max: median + spread / 2 };
  const ratioToLibc = libc === null ? null : median / libc;
  return { work, peer, nanoseconds, cpuNanoseconds: nanoseconds, ratioToLibc, note: null };
}

const LOADS = [
  load("at-once", "core", 3, 4),
  load("at-once", "pool-fixed", 5, 4),
  load("at-once", "thi.ng", 4, 4),
  load("at-once", "libc", 4, 4),
  load("mixed-10k", "core", 9, 10),
  load("mixed-10k", "libc", 10, 10),
];

const FIGURES: Benchmarks = {
  date: "2026-01-02",
  host: "a machine",
  versions: { node: "v20", "@thi.ng/malloc": "6" },
  loads: LOADS,
  traces: [
    {
      trace: "perl",
      operations: 10,
      peakBytes: 100,
      peers: ["core", "libc"].map((peer, at) => ({
        peer,
        nanoseconds: { median: 12 - 2 * at, min: 9, max: 13 },
        utilisation: 0.9,
        footprint: 111,
        samples: [],
        note: null,
      })),
    },
  ],
  blocks: [{ peer: "core", size: 64, distance: 72, jsHeap: 0.25, resident: 73 }],
  starts: [{ peer: "core", microseconds: { median: 900, min: 800, max: 1000 } }],
  programs: { "A* search": { command: "npm run example", what: "It searches.", output: "line 1\nline 2" } },
};

it("targets are met or missed by the ratios of the run", () => {
  const reached = reachedIn(FIGURES);
  const of = (peer: string, work: string): number | null | undefined =>
    reached.find((target) => target.peer === peer && target.work === work)?.ratio;
  expect(of("core", "at-once")).toBe(0.75);
  expect(of("core", "traces")).toBeCloseTo(1.2);
  expect(of("pool-variadic", "mixed-10k")).toBeNull();
});

it("a rival is ahead where its median is lower; the C program is none", () => {
  const loads = [{ work: "at-once", factor: 1.25 }];
  expect(defeatsIn(LOADS)).toEqual([{ own: "pool-fixed", rival: "thi.ng", loads }]);
});

describe("what has changed", () => {
  it("is what differs by more than the spreads", () => {
    const before = [load("at-once", "core", 6, 4), load("mixed-10k", "core", 8.9, 10)];
    expect(changesSince(before, LOADS)).toEqual([{ work: "at-once", peer: "core", before: 1.5, now: 0.75 }]);
  });
  it("is nothing where a run was restless", () => {
    expect(changesSince([load("at-once", "core", 6, 4, 12)], LOADS)).toEqual([]);
  });
  it("is nothing where there was nothing", () => expect(changesSince([], LOADS)).toEqual([]));
});

describe("the page", () => {
  const { markdown, plots } = benchmarksPage(FIGURES, [], "npm run bench");
  it("names run, machine and versions", () => {
    expect(markdown).toContain("`npm run bench`, 2026-01-02, a machine.");
    expect(markdown).toContain("node v20, @thi.ng/malloc 6.");
  });
  it.each([
    "| core | at-once | 1.00 | 0.75 | met |",
    "| core | all traces, geometric mean | 1.15 | 1.20 | **missed** |",
    "| pool-variadic | mixed-10k | 1.50 | - |  |",
    "| core | 3.0 (0.75) |  |  |  |",
    "| perl | 1.20 | 1.00 |",
    "| core | - | - | - | - | 72 | - | - | - |",
    "| core | 900 | 800..1000 |",
    "| pool-fixed | thi.ng | at-once 1.25 | not known |",
    "It searches. `npm run example`:\n\n```\nline 1\nline 2\n```",
  ])("holds %s", (line) => expect(markdown).toContain(line));
  it("has the plots it refers to", () => {
    const files = [...markdown.matchAll(/\]\(benchmarks\/(.+?)\)/g)].map(([, file]) => file);
    expect(files.sort()).toEqual(Object.keys(plots).sort());
    for (const plot of Object.values(plots)) {
      expect(plot).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" .*<\/svg>\n$/);
      expect(plot).not.toContain("NaN");
    }
  });
});
