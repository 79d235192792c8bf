/**
 * Solves sliding puzzles by A*, the search that mempool was written for, with its nodes in a mempool, in blocks of malloc,
 * as plain objects, and by two workers on one heap: side by side, each in a process of its own.
 *
 *     npm run example -- [--puzzle 8|15|24] [--instance n | --board "1 2 0 ..."] [--with pool,malloc,objects,workers]
 *                        [--nodes n] [--rounds n] [--all]
 *
 * With several rounds each way's median is shown. `--all` solves all instances of the puzzle, in a pool.
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { Heap } from "@heapwright/core";
import { Mempool } from "@heapwright/mempool";

import { search, nodeOf, tableBytes } from "./a-star.ts";
import { searchObjects } from "./a-star-objects.ts";
import { searchInTeam } from "./a-star-team.ts";
import { INSTANCES, type Instance, USUAL_INSTANCE } from "./instances.ts";
import { type Found, Puzzle } from "./puzzle.ts";

/** What one of the ways came to. */
export interface Outcome extends Found {
  readonly way: string;
  /** What the process had at its most, less what it had before the search. */
  readonly peakBytes: number;
  /** Of all its threads, the garbage collector's too. */
  readonly processorSeconds: number;
}

/** A search to be done: what the processes are told. */
export interface Task {
  readonly width: number;
  readonly board: readonly number[];
  readonly nodes: number;
}

export const WAYS: Readonly<Record<string, (puzzle: Puzzle, task: Task) => Found | Promise<Found>>> = {
  pool(puzzle, { board, nodes }) {
    const { size } = nodeOf(puzzle);
    // A block of 16 bytes more than a node at the most, a word for its run length, and little besides.
    const backing = new Heap({ bytes: nodes * (size + 21) + tableBytes(nodes) + 65_536 });
    const pool = new Mempool(nodes * Math.ceil(size / 16) * 16, size, { backing });
    return search(puzzle, board, pool, nodes);
  },
  malloc(puzzle, { board, nodes }) {
    const heap = new Heap({ bytes: Math.ceil(nodes * (nodeOf(puzzle).size + 16) * 1.02) + tableBytes(nodes) + 65_536 });
    return search(puzzle, board, heap, nodes);
  },
  objects: (puzzle, { board, nodes }) => searchObjects(puzzle, board, nodes),
  workers: (puzzle, { board, nodes }) => searchInTeam(puzzle, board, nodes),
};

/** Solves a task in this process. */
export async function solve(way: string, task: Task): Promise<Outcome> {
  const run = WAYS[way];
  if (run === undefined) throw new Error(`no way "${way}"; there are ${Object.keys(WAYS).join(", ")}`);
  const puzzle = new Puzzle(task.width);
  if (!puzzle.isSolvable(task.board)) throw new Error(`no board that can be solved: ${task.board.join(" ")}`);
  const before = process.resourceUsage();
  const found = await run(puzzle, task);
  const after = process.resourceUsage();
  const peakBytes = (after.maxRSS - before.maxRSS) * 1024;
  const { user, system } = process.cpuUsage({ user: before.userCPUTime, system: before.systemCPUTime });
  const processorSeconds = (user + system) / 1e6;
  if (!puzzle.isSolution(task.board, found.path)) throw new Error(`${way}: the path found does not solve the board`);
  return { ...found, way, peakBytes, processorSeconds };
}

/** Solves a task in a process of its own, where nothing else counts into its memory or teaches the engine. */
function solveApart(way: string, task: Task): Outcome {
  const self = fileURLToPath(import.meta.url);
  const answer = execFileSync(process.execPath, ["--max-old-space-size=16000", self, "--child", way], {
    input: JSON.stringify(task),
    encoding: "utf8",
    stdio: ["pipe", "pipe", "inherit"],
    maxBuffer: 1 << 24,
  });
  return JSON.parse(answer) as Outcome;
}

function row(columns: readonly (string | number)[]): string {
  return columns.map((text, at) => (at === 0 ? String(text).padEnd(10) : String(text).padStart(12))).join("");
}

function show({ way, path, expanded, boards, milliseconds, peakBytes, processorSeconds }: Outcome): string {
  const rate = Math.round(expanded / (milliseconds / 1000));
  const seconds = (milliseconds / 1000).toFixed(2);
  const busy = processorSeconds.toFixed(2);
  return row([way, path.length, expanded, boards, seconds, rate, busy, `${(peakBytes / 2 ** 20).toFixed(0)} MiB`]);
}

const HEADINGS = row(["nodes in", "moves", "expanded", "boards", "seconds", "expanded/s", "processor s", "peak"]);

function taskOf(width: number, instance: Instance, nodes: number | undefined): Task {
  return { width, board: instance.board, nodes: nodes ?? instance.nodes };
}

function main(): void {
  const { values } = parseArgs({
    options: {
      puzzle: { type: "string", default: "15" },
      instance: { type: "string" },
      board: { type: "string" },
      with: { type: "string", default: "pool,malloc,objects,workers" },
      nodes: { type: "string" },
      rounds: { type: "string", default: "1" },
      all: { type: "boolean", default: false },
    },
  });
  const width = Math.sqrt(Number(values.puzzle) + 1);
  const instances = INSTANCES[width];
  if (instances === undefined) throw new Error(`no puzzle "${values.puzzle}"; there are 8, 15 and 24`);
  const nodes = values.nodes === undefined ? undefined : Number(values.nodes);
  if (values.all) {
    console.log(`${values.puzzle}-puzzle, nodes in a pool\n${HEADINGS.replace("nodes in", "instance")}`);
    instances.forEach((instance, at) => {
      const outcome = solveApart("pool", taskOf(width, instance, nodes));
      const isRight = instance.moves === undefined || instance.moves === outcome.path.length;
      console.log(`${show({ ...outcome, way: String(at + 1) })}  ${isRight ? "" : `but ${instance.moves} are known`}`);
    });
    return;
  }
  const number = Number(values.instance ?? USUAL_INSTANCE[width]);
  const chosen = values.board === undefined ? instances[number - 1] : undefined;
  const board =
    chosen?.board ??
    values.board
      ?.trim()
      .split(/[\s,]+/)
      .map(Number);
  if (board === undefined) throw new Error(`no instance ${values.instance}; there are ${instances.length}`);
  const task = taskOf(width, chosen ?? { board, nodes: 10_000_000 }, nodes);
  console.log(`${values.puzzle}-puzzle: ${board.join(" ")}\n${HEADINGS}`);
  const rounds = Number(values.rounds);
  // One way after the other in each round, so that a disturbance of the machine meets all of them alike.
  const ways = values.with.split(",");
  const outcomes = Array.from({ length: rounds * ways.length }, (_, at) =>
    solveApart(ways[at % ways.length] ?? "", task),
  );
  const medians = ways.map((way) => {
    const sorted = outcomes.filter((outcome) => outcome.way === way).sort((a, b) => a.milliseconds - b.milliseconds);
    return sorted[sorted.length >>> 1];
  });
  for (const median of medians) if (median !== undefined) console.log(show(median));
  const plain = medians.find((median) => median?.way === "objects");
  for (const median of medians) {
    if (plain !== undefined && median !== undefined && median !== plain) console.log(compared(median, plain));
  }
  const path = outcomes.at(-1)?.path ?? [];
  console.log(`the blank goes to the cells ${path.join(" ")}; each solution was replayed`);
}

/** What the plain objects are to be beaten in. */
function compared(one: Outcome, plain: Outcome): string {
  const rate = one.expanded / one.milliseconds / (plain.expanded / plain.milliseconds);
  const memory = one.peakBytes / plain.peakBytes;
  const thrift = (one.expanded / one.processorSeconds / (plain.expanded / plain.processorSeconds)).toFixed(2);
  const rates = `${rate.toFixed(2)} times the nodes a second of objects, ${thrift} times those a processor second`;
  return `${one.way}: ${rates}, ${memory.toFixed(2)} of their memory`;
}

const isProgram = process.argv[1] === fileURLToPath(import.meta.url);
if (isProgram && process.argv[2] === "--child") {
  let input = "";
  for await (const chunk of process.stdin) input += String(chunk);
  console.log(JSON.stringify(await solve(process.argv[3] ?? "", JSON.parse(input) as Task)));
  process.exit();
} else if (isProgram) {
  main();
}
