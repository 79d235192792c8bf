/**
 * The command line.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { DOCS, everythingCommand } from "./everything-command.ts";
import { MICRO_WORKS, microCommand } from "./micro-command.ts";
import { buildLibc, preloaded } from "./peers/libc.ts";
import { LIBC, MICRO_PEERS, NATIVE_PEERS, REPLAY_PEERS, USUAL_MICRO_PEERS, USUAL_REPLAY_PEERS } from "./peers.ts";
import { PROGRAMS } from "./programs.ts";
import { progressOn } from "./progress.ts";
import { OWN_TRACES, replayCommand, traceFiles } from "./replay-command.ts";
import type { RoundOptions } from "./rounds.ts";
import { launchPeer, type Launch } from "./session.ts";

const USAGE = `Usage: cli.js [options]
       cli.js replay [options] [trace or folder ...]
       cli.js micro [options]

without a command: everything, beside every rival that is installed; takes half an hour and writes
        benchmarks.md, benchmarks.json and plots into docs
replay  recorded allocation traces (.rep, .mrep, also with .gz) through several allocators:
        time, utilisation and footprint per trace and on average
micro   64 B at once; 10,000 of 64 B freed last-in-first-out, first-in-first-out and at random;
        16 to 512 B mixed with 10,000, 100,000 and 1,000,000 live

--only <names>    allocators, with commas between them
                  replay: ${REPLAY_PEERS.join(",")}
                  micro:  ${MICRO_PEERS.join(",")}
--work <names>    micro: ${Object.keys(MICRO_WORKS).join(",")}
--rounds <count>  measurements of each figure, of which the median counts
--quick           shorter and fewer rounds; without a command: none of the packages' own programs
--limit <seconds> what takes longer is cut off (default 3)
--json <file>     the figures as JSON
--html <file>     replay: the page with the plots (default report.html in bench)
--docs <folder>   without a command: where the page goes
--help            this text
`;

const ALL_PEERS = [...new Set([...MICRO_PEERS, ...REPLAY_PEERS])];

const OPTIONS = {
  allowPositionals: true,
  options: {
    only: { type: "string" },
    work: { type: "string" },
    rounds: { type: "string" },
    quick: { type: "boolean", default: false },
    limit: { type: "string", default: "3" },
    json: { type: "string" },
    html: { type: "string", default: fileURLToPath(new URL("../report.html", import.meta.url)) },
    docs: { type: "string", default: DOCS },
    help: { type: "boolean", default: false },
  },
} as const;

async function main(): Promise<void> {
  const { positionals, values } = parseArgs(OPTIONS);
  const [command, ...paths] = positionals;
  if (values.help) return void process.stdout.write(USAGE);
  const { json, html, quick, docs } = values;
  const rounds: RoundOptions = {
    rounds: values.rounds === undefined ? (quick ? 3 : 7) : positive("--rounds", values.rounds),
    warmMilliseconds: quick ? 100 : 300,
    roundMilliseconds: quick ? 30 : 60,
    limitMilliseconds: 1000 * positive("--limit", values.limit),
  };
  const progress = progressOn(process.stderr);
  if (command === undefined) {
    const launches = launchesOf(chosen("--only", values.only, ALL_PEERS));
    const programs = quick ? [] : Object.keys(PROGRAMS);
    await everythingCommand({ ...rounds, traces: traceFiles([OWN_TRACES]), launches, programs }, docs, progress);
  } else if (command === "replay") {
    const launches = launchesOf(chosen("--only", values.only, REPLAY_PEERS, USUAL_REPLAY_PEERS));
    await replayCommand({ ...rounds, paths, launches, json, html }, progress);
  } else if (command === "micro") {
    const works = chosen("--work", values.work, Object.keys(MICRO_WORKS));
    const launches = launchesOf(chosen("--only", values.only, MICRO_PEERS, USUAL_MICRO_PEERS));
    await microCommand({ ...rounds, works, launches, json }, progress);
  } else {
    throw new Error(`no command "${command}"\n\n${USAGE}`);
  }
}

/** The names that an option lists; the usual ones when it is not given. */
function chosen(
  option: string,
  list: string | undefined,
  known: readonly string[],
  usual: readonly string[] = known,
): readonly string[] {
  const names = list?.split(",") ?? usual;
  const stranger = names.find((name) => !known.includes(name));
  if (stranger !== undefined) throw new Error(`${option}: no "${stranger}"; there are ${known.join(", ")}`);
  return names;
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < Infinity)) throw new Error(`${option}: a positive number expected, not "${text}"`);
  return value;
}

function launchesOf(names: readonly string[]): Map<string, Launch> {
  const launches = new Map<string, Launch>();
  let built: ReturnType<typeof buildLibc> | undefined;
  for (const name of names) {
    const library = NATIVE_PEERS[name];
    if (name !== LIBC && library === undefined) {
      launches.set(name, launchPeer(name));
      continue;
    }
    built ??= buildLibc();
    if ("reason" in built) {
      process.stderr.write(`${name} is left out: ${built.reason}\n`);
      continue;
    }
    const env = library === undefined ? {} : preloaded(built.program, library);
    if (env === undefined) process.stderr.write(`${name} is left out: no ${library ?? ""} here\n`);
    else launches.set(name, { command: built.program, args: [], env });
  }
  return launches;
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
