/**
 * All measurements in one run, and what is kept of them.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { arch, cpus, platform, release } from "node:os";

import { isBlockCosts, isStarted } from "./answers.ts";
import type { BlockCosts } from "./block-costs.ts";
import type { TraceFigures } from "./compare.ts";
import { MICRO_WORKS, timeWork, type MicroFigures } from "./micro-command.ts";
import { LIBC, MICRO_PEERS, NATIVE_PEERS, ONE_SIZE_PEERS, REPLAY_PEERS } from "./peers.ts";
import type { Progress } from "./progress.ts";
import { compareTraces } from "./replay-command.ts";
import { noteOn, type RoundOptions } from "./rounds.ts";
import { Session, type Launch } from "./session.ts";
import { spreadOf, type Spread } from "./statistics.ts";
import { runProgram, type ProgramFigures } from "./programs.ts";

/** What a block of one allocator costs in memory. */
export interface BlockFigures extends BlockCosts {
  readonly peer: string;
  readonly size: number;
}

/** How long it takes until the first block is there. */
export interface StartFigures {
  readonly peer: string;
  readonly microseconds: Spread;
}

/** What `docs/benchmarks.json` holds. */
export interface Benchmarks {
  readonly date: string;
  readonly host: string;
  /** By name: node, V8 and the packages from elsewhere. */
  readonly versions: Readonly<Record<string, string>>;
  readonly loads: readonly MicroFigures[];
  /** Without samples. */
  readonly traces: readonly TraceFigures[];
  readonly blocks: readonly BlockFigures[];
  readonly starts: readonly StartFigures[];
  /** By the names of `PROGRAMS`. */
  readonly programs: Readonly<Record<string, ProgramFigures>>;
}

export interface EverythingOptions extends RoundOptions {
  readonly launches: ReadonlyMap<string, Launch>;
  readonly traces: readonly string[];
  /** Names of `PROGRAMS`. */
  readonly programs: readonly string[];
}

/** Requested sizes at which neighbours are looked at, and that at which memory is. */
export const NEIGHBOUR_SIZES: readonly number[] = [16, 24, 32, 48, 64, 100, 128, 200];
export const MEMORY_SIZE = 64;

const START_SIZE = 64;
const RIVALS = ["@thi.ng/malloc", "@sqlite.org/sqlite-wasm", "assemblyscript", "structurae", "deepool"];

export async function measureEverything(options: EverythingOptions, progress: Progress): Promise<Benchmarks> {
  const { launches, traces, programs } = options;
  const works = Object.keys(MICRO_WORKS);
  const inMicro = only(launches, MICRO_PEERS);
  const inReplay = only(launches, REPLAY_PEERS);
  progress.start(works.length + traces.length * (inReplay.size + 1) + 2 * inMicro.size + programs.length);
  try {
    const loads: MicroFigures[] = [];
    for (const work of works) loads.push(...(await timeWork(work, { ...options, launches: inMicro }, progress)));
    const replayed = await compareTraces(traces, { ...options, launches: inReplay }, progress);
    const blocks: BlockFigures[] = [];
    for (const [peer, launch] of inMicro) {
      progress.step(`blocks: ${peer}`);
      blocks.push(...(await blocksOf(peer, launch, options)));
    }
    const starts: StartFigures[] = [];
    for (const [peer, launch] of inMicro) {
      progress.step(`start: ${peer}`);
      if (!isNative(peer)) starts.push({ peer, microseconds: await startOf(launch, options) });
    }
    const figures: Record<string, ProgramFigures> = {};
    for (const name of programs) {
      progress.step(name);
      figures[name] = await runProgram(name);
    }
    return {
      date: new Date().toISOString().slice(0, 10),
      host: hostText(),
      versions: versions(),
      loads,
      traces: replayed.map((trace) => ({ ...trace, peers: trace.peers.map((peer) => ({ ...peer, samples: [] })) })),
      blocks,
      starts,
      programs: figures,
    };
  } finally {
    progress.stop();
  }
}

/** @returns where a run takes place, in a line */
export function hostText(): string {
  const processors = cpus();
  const model = processors[0]?.model ?? "unknown processor";
  return `node ${process.version}, ${platform()} ${release()} ${arch()}, ${processors.length} x ${model}`;
}

/** @returns whether the peer is the C program, in which there is no JavaScript to start */
export function isNative(peer: string): boolean {
  return peer === LIBC || peer in NATIVE_PEERS;
}

function only(launches: ReadonlyMap<string, Launch>, names: readonly string[]): Map<string, Launch> {
  return new Map([...launches].filter(([peer]) => names.includes(peer)));
}

async function blocksOf(peer: string, launch: Launch, options: RoundOptions): Promise<BlockFigures[]> {
  const figures: BlockFigures[] = [];
  // A pool of one size is made for each size.
  for (const size of NEIGHBOUR_SIZES) {
    const costs = await askAfresh(launch, `blocks ${size}`, options, isBlockCosts);
    if (typeof costs !== "string") figures.push({ peer, size, ...costs });
    else if (!ONE_SIZE_PEERS.has(peer)) throw new Error(`${peer}, blocks of ${size} bytes: ${costs}`);
  }
  return figures;
}

async function startOf(launch: Launch, options: RoundOptions): Promise<Spread> {
  const times: number[] = [];
  for (let round = 0; round < 2 * options.rounds; round++) {
    const answer = await askAfresh(launch, `start ${START_SIZE}`, options, isStarted);
    if (typeof answer === "string") throw new Error(answer);
    times.push(answer.microseconds);
  }
  return spreadOf(times);
}

/** @returns the answer of a process of its own, or why there is none */
async function askAfresh<T>(
  launch: Launch,
  command: string,
  options: RoundOptions,
  isAnswer: (answer: unknown) => answer is T,
): Promise<T | string> {
  const session = new Session(launch);
  try {
    return await session.ask(command, options.limitMilliseconds, isAnswer);
  } catch (error) {
    return noteOn(error, options);
  } finally {
    session.close();
  }
}

function versions(): Record<string, string> {
  const found: Record<string, string> = { node: process.version, v8: process.versions.v8 };
  const require = createRequire(import.meta.url);
  for (const name of RIVALS) {
    const file = require.resolve.paths(name)?.map((folder) => `${folder}/${name}/package.json`) ?? [];
    found[name] = file.map(versionIn).find((version) => version !== undefined) ?? "unknown";
  }
  return found;
}

function versionIn(file: string): string | undefined {
  try {
    const { version } = JSON.parse(readFileSync(file, "utf8")) as { version: string };
    return version;
  } catch {
    return undefined;
  }
}
