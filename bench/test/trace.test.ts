import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { ALLOCATE, FREE, isTraceName, parseTrace, readTrace, REALLOCATE, TraceError } from "../src/trace.ts";

const SOUND = ["300", "2", "5", "1", "a 0 100", "a 1 50", "r 0 250", "f 1", "a 1 0"];
const THREADED = ["30", "2", "3", "1 2", "a 0 10 0", "a 1 20 1", "f 0 1"];

function lines(...all: string[]): string {
  return `${all.join("\n")}\n`;
}

/** The trace with another line in one place, counted from 1. */
function changed(trace: readonly string[], place: number, line: string): string {
  return lines(...trace.map((old, index) => (index === place - 1 ? line : old)));
}

function sound(place: number, line: string): string {
  return changed(SOUND, place, line);
}

describe("a sound trace", () => {
  it("gives every operation, the peak of live bytes and what is left over", () => {
    const trace = parseTrace(lines(...SOUND), "folder/small.rep");
    expect(trace.name).toBe("small");
    expect([...trace.kinds]).toEqual([ALLOCATE, ALLOCATE, REALLOCATE, FREE, ALLOCATE]);
    expect([...trace.ids]).toEqual([0, 1, 0, 1, 1]);
    expect([...trace.sizes]).toEqual([100, 50, 250, 0, 0]);
    expect(trace.peakBytes).toBe(300);
    expect([...trace.leftovers]).toEqual([0, 1]);
  });

  it("of several threads is read in the order of its lines", () => {
    const trace = parseTrace(lines(...THREADED), "threads.mrep");
    expect([...trace.ids]).toEqual([0, 1, 0]);
    expect([...trace.sizes]).toEqual([10, 20, 0]);
    expect(trace.peakBytes).toBe(30);
  });

  it("may have Windows line ends and no line end at its end", () => {
    expect(parseTrace(SOUND.join("\r\n"), "windows.rep").kinds).toHaveLength(5);
  });
});

describe("a malformed trace is refused with file and line:", () => {
  const cases: readonly [what: string, text: string, line: number, finding: RegExp][] = [
    ["an empty file", "", 1, /peak live bytes expected, found "the end of the file"/],
    ["a header that ends early", lines("1", "2"), 3, /the number of operations expected/],
    ["a header line that is no number", sound(2, "two"), 2, /the number of ids expected, found "two"/],
    ["fewer operations than announced", lines(...SOUND.slice(0, -1)), 8, /announces 5 operations, here are 4/],
    ["more operations than announced", lines(...SOUND, "f 0"), 10, /announces 5 operations, here are 6/],
    ["an unknown operation", sound(6, "x 1 50"), 6, /not an operation: "x 1 50"/],
    ["a negative size", sound(6, "a 1 -50"), 6, /not an operation/],
    ["a size that is missing", sound(6, "a 1"), 6, /2 numbers expected, found 1/],
    ["a free with a size", sound(8, "f 1 50"), 8, /1 numbers expected, found 2/],
    ["a thread where none is announced", sound(6, "a 1 50 0"), 6, /2 numbers expected, found 3/],
    ["an id beyond the announced", sound(6, "a 2 50"), 6, /id 2, but the header announces 2 ids/],
    ["a size beyond 32 bits", sound(6, "a 1 4294967296"), 6, /more than 32 bits/],
    ["a block allocated twice", sound(6, "a 0 50"), 6, /block 0 is live already/],
    ["a free of a block that is not live", sound(9, "f 1"), 9, /block 1 is not live/],
    ["a reallocation of a block that is not live", sound(9, "r 1 5"), 9, /block 1 is not live/],
    ["a thread that is missing", changed(THREADED, 5, "a 0 10"), 5, /3 numbers expected, found 2/],
    ["a thread beyond the announced", changed(THREADED, 6, "a 1 20 2"), 6, /thread 2, but the header announces 2/],
  ];
  it.each(cases)("%s", (_, text, line, finding) => {
    const attempt = (): unknown => parseTrace(text, "folder/bad.rep");
    expect(attempt).toThrow(TraceError);
    expect(attempt).toThrow(finding);
    expect(attempt).toThrow(`folder/bad.rep:${line}: `);
  });
});

describe("a file", () => {
  let folder = "";
  beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "trace-test-"))));
  afterAll(() => rmSync(folder, { recursive: true }));

  it("may be compressed or not", () => {
    const plain = join(folder, "plain.rep");
    const zipped = join(folder, "zipped.rep.gz");
    writeFileSync(plain, lines(...SOUND));
    writeFileSync(zipped, gzipSync(lines(...SOUND)));
    expect(readTrace(zipped)).toEqual({ ...readTrace(plain), name: "zipped" });
  });

  it("that only calls itself compressed is refused by its name", () => {
    const file = join(folder, "fake.rep.gz");
    writeFileSync(file, lines(...SOUND));
    expect(() => readTrace(file)).toThrow(`${file}: not gzip data`);
  });

  it("is taken for a trace by its ending", () => {
    expect(["a.rep", "a.mrep", "a.rep.gz", "b.mrep.gz", "a.rep.txt", "rep", "README.md"].filter(isTraceName)).toEqual([
      "a.rep",
      "a.mrep",
      "a.rep.gz",
      "b.mrep.gz",
    ]);
  });
});
