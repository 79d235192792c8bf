import { describe, expect, it } from "vitest";
import { BUGS, HARMLESS, PAST_BUGS } from "./explorer/bugs.ts";
import { expectClean, expectFailure } from "./explorer/report.ts";

describe("a planted fault is found", () => {
  it.each(BUGS)("$name", async (bug) => {
    expect(await expectFailure(bug, bug.changes)).toMatch(bug.finding);
  });
});

describe("a fault that the source once had is found", () => {
  it.each(PAST_BUGS)("$name", async (bug) => {
    expect(await expectFailure(bug, bug.changes)).toMatch(bug.finding);
  });
});

describe("what looks like a fault is none", () => {
  it.each(HARMLESS)("$name", async (change) => {
    expect(await expectClean(change, change.changes)).toBeGreaterThanOrEqual(change.floor);
  });
});
