/**
 * The process of one allocator: `node child.js <peer>` takes commands line by line and answers each with a line of JSON.
 * The C program understands the same commands.
 *
 *     load <prepared trace>            null
 *     verify <milliseconds>            a Verification; not in a process that also times
 *     run <milliseconds>               { nanoseconds, passes }: mean time of one operation
 *
 * @module
 */
import { createInterface } from "node:readline";

import type { Target } from "./adapter.ts";
import { loadPeer } from "./peers.ts";
import { readPrepared, type PreparedTrace } from "./prepared.ts";
import { timedPass, verifyPass } from "./replay.ts";

/** What `run` answers. */
export interface Timing {
  /** Per operation. */
  readonly nanoseconds: number;
  readonly passes: number;
}

const NANOSECONDS = 1e6;

let trace: PreparedTrace | undefined;
let target: Target | undefined;
let table: Uint32Array = new Uint32Array(0);

const peer = await loadPeer(process.argv[2] ?? "");

function load(file: string): null {
  trace = readPrepared(file);
  table = new Uint32Array(trace.idCount);
  return null;
}

/** Passes until the time is up, at least one; the first, which finds cold caches, counts only when it is the only one. */
function run(milliseconds: number): Timing {
  if (trace === undefined) throw new Error("run: nothing loaded");
  target ??= peer.open(trace.peakBytes).target;
  const operations = trace.kinds.length * trace.repeats;
  const end = performance.now() + milliseconds;
  let spent = timedPass(target, trace, table);
  let passes = 1;
  while (performance.now() < end) {
    if (passes === 1) spent = 0;
    spent += timedPass(target, trace, table);
    passes++;
  }
  const counted = Math.max(1, passes - 1);
  return { nanoseconds: (spent * NANOSECONDS) / (counted * operations), passes };
}

function answer(line: string): unknown {
  const [command = "", ...rest] = line.split(" ");
  const argument = rest.join(" ");
  if (command === "load") return load(argument);
  if (command === "run") return run(Number(argument));
  if (command === "verify" && trace !== undefined) {
    return verifyPass(peer.open(trace.peakBytes), trace, Number(argument));
  }
  throw new Error(`unknown command "${line}"`);
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(answer(line))}\n`);
}
