/**
 * What came of a storm, as a table.
 *
 * @module
 */
import type { StormResult } from "./storm.ts";

/** A storm in which less of the deaths than this hit a held lock, or leave something broken, has tried too little. */
export const LEAST_LOCK_HELD = 0.15;
export const LEAST_BROKEN = 0.1;

/** What a storm says. */
export type Verdict = "passed" | "failed" | "void";

export function verdictOf(result: StormResult): Verdict {
  const { failure, kills, lockHeld, broken } = result;
  if (failure !== undefined) return "failed";
  return lockHeld >= LEAST_LOCK_HELD * kills && broken >= LEAST_BROKEN * kills ? "passed" : "void";
}

export function showResult(result: StormResult): string {
  const { kills } = result;
  const share = (count: number): string => (kills === 0 ? "" : `${((100 * count) / kills).toFixed(1)} %`);
  const by = [...result.brokenBy].map(([name, count]) => `${name} ${count}`).join(", ");
  const rows: string[][] = [
    ["kills", String(kills), ""],
    ["  two at once", String(result.paired), share(result.paired)],
    ["  before the worker had begun", String(result.early), share(result.early)],
    ["lock held", String(result.lockHeld), share(result.lockHeld)],
    ["broken heaps repaired", String(result.broken), `${share(result.broken)}${by === "" ? "" : ` (${by})`}`],
    ["  in the middle of recover()", String(result.rebuilding), share(result.rebuilding)],
    ["deadlocks", String(result.deadlocks), ""],
    ["broken invariants", String(result.brokenInvariants), ""],
    ["blocks in flight", String(result.inFlight), "at most one for each death"],
    ["blocks lost beyond", String(result.lost), ""],
    ["heaps", String(result.heaps), ""],
    ["operations", String(result.operations), ""],
    ["  without room", String(result.refusals), ""],
    ["  that waited in vain", String(result.waits), ""],
  ];
  const table = rows.map(([name = "", count = "", note = ""]) => `${name.padEnd(28)}  ${count.padStart(10)}  ${note}`);
  return table.map((line) => line.trimEnd()).join("\n");
}
