/**
 * The process of one allocator: `node child.js <peer>` takes commands line by line and answers each with a line of JSON.
 * The C program understands the same commands.
 *
 *     load <prepared trace>      null; makes the trace ready
 *     micro <work>               null; makes a small load ready
 *     verify <milliseconds>      a Verification of the trace; not in a process that also times
 *     run <milliseconds>         a Timing of what has been made ready
 *     garbage <passes>           bytes of the JavaScript heap taken per operation, between two collections
 *     blocks <size>              BlockCosts; in a process that does nothing else
 *     start <size>               microseconds from before the allocator is imported to after its first block; likewise
 *
 * @module
 */
import { createInterface } from "node:readline";
import { getHeapStatistics } from "node:v8";

import type { Subject } from "./adapter.ts";
import { type BlockCosts, blockCostsOf, loadOfBlocks } from "./block-costs.ts";
import { loadOf, prepareWork, workOf, type Work } from "./micro.ts";
import { loadMicroPeer, loadPeer } from "./peers.ts";
import { readPrepared, type PreparedTrace } from "./prepared.ts";
import { verifyPass, type Verification } from "./replay.ts";
import { isServed, timedPass } from "./timed-pass.ts";

/** What any command answers when it fails. */
export interface Failure {
  readonly error: string;
}

/** What `run` answers. */
export interface Timing {
  /** Per operation, by the clock. */
  readonly nanoseconds: number;
  /** Per operation, of all processors and all threads: with the garbage collector's and the compiler's. */
  readonly cpuNanoseconds: number;
  readonly passes: number;
}

/** What `garbage` answers. */
export interface Garbage {
  /** Per operation. */
  readonly bytes: number;
}

/** What `start` answers. */
export interface Started {
  readonly microseconds: number;
}

const MICROSECONDS = 1e3;
const NANOSECONDS = 1e6;
const NANOSECONDS_OF_MICROSECOND = 1e3;

const peer = process.argv[2] ?? "";
let replayed: { readonly subject: Subject; readonly trace: PreparedTrace } | undefined;
let work: Work | undefined;

async function load(file: string): Promise<null> {
  const trace = readPrepared(file);
  const { open } = await loadPeer(peer);
  const subject = open({ ...trace, isServedBy: (target) => isServed(target, trace) });
  const table = new Uint32Array(trace.idCount);
  replayed = { subject, trace };
  work = {
    operations: (trace.operations.length / 2) * trace.repeats,
    pass: timedPass(subject.target, trace, table),
  };
  return null;
}

async function micro(command: string): Promise<null> {
  const asked = workOf(command);
  const { open } = await loadMicroPeer(peer);
  work = prepareWork(asked, open(loadOf(asked)));
  return null;
}

function verify(milliseconds: number): Verification {
  if (replayed === undefined) throw new Error("verify: no trace loaded");
  return verifyPass(replayed.subject, replayed.trace, milliseconds);
}

/** A process without room for it in the young generation collects meanwhile, and tells less. */
function garbage(passes: number): Garbage {
  if (work === undefined) throw new Error("garbage: nothing made ready");
  const before = getHeapStatistics().used_heap_size;
  for (let i = 0; i < passes; i++) work.pass();
  return { bytes: (getHeapStatistics().used_heap_size - before) / (passes * work.operations) };
}

async function blocks(size: number): Promise<BlockCosts> {
  const { open } = await loadMicroPeer(peer);
  return blockCostsOf(() => open(loadOfBlocks(size)), size);
}

async function start(size: number): Promise<Started> {
  const begun = performance.now();
  const { open } = await loadMicroPeer(peer);
  open({ peakBytes: size, blockBytes: size }).target.malloc(size);
  return { microseconds: (performance.now() - begun) * MICROSECONDS };
}

/** Passes until the time is up, at least one; the first, which finds cold caches, counts only when it is the only one. */
function run(milliseconds: number): Timing {
  if (work === undefined) throw new Error("run: nothing made ready");
  const used = process.cpuUsage();
  const end = performance.now() + milliseconds;
  let spent = work.pass();
  let passes = 1;
  while (performance.now() < end) {
    if (passes === 1) spent = 0;
    spent += work.pass();
    passes++;
  }
  const { user, system } = process.cpuUsage(used);
  const counted = Math.max(1, passes - 1);
  return {
    nanoseconds: (spent * NANOSECONDS) / (counted * work.operations),
    cpuNanoseconds: ((user + system) * NANOSECONDS_OF_MICROSECOND) / (passes * work.operations),
    passes,
  };
}

function obey(line: string): unknown {
  const space = line.indexOf(" ");
  const argument = line.slice(space + 1);
  switch (line.slice(0, space)) {
    case "load":
      return load(argument);
    case "micro":
      return micro(line);
    case "verify":
      return verify(Number(argument));
    case "garbage":
      return garbage(Number(argument));
    case "blocks":
      return blocks(Number(argument));
    case "start":
      return start(Number(argument));
    case "run":
      return run(Number(argument));
    default:
      throw new Error(`unknown command "${line}"`);
  }
}

async function answerTo(line: string): Promise<unknown> {
  try {
    return await obey(line);
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) } satisfies Failure;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answerTo(line))}\n`);
}
