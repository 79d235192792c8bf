/**
 * The command line of the storm.
 *
 * @module
 */
import { parseArgs } from "node:util";

import { seedFromEnv } from "@heapwright/core/testing";

import { progressOn } from "../progress.ts";
import { FAULTS } from "./insides.ts";
import { LEAST_BROKEN, LEAST_LOCK_HELD, showResult, verdictOf } from "./report.ts";
import { DEATHS_PER_HEAP, Storm } from "./storm.ts";

const USAGE = `Usage: npm run storm -- [options]

Workers allocate and free on one shared heap, on its pools and each other's blocks, and are terminated wherever they are.
After each death everything is checked, and new workers go on.

--kills <count>    deaths (default 200)
--seed <number>    of the operations and deaths; when what happens is up to the threads too (default FC_SEED, or any)
--workers <count>  at once, from 3 (default 5)
--without <name>   a recovery that is switched off, to see that the storm notices: ${FAULTS.join(", ")}
--help             this text

Exit code: 0 passed, 1 failed, 3 void: less than ${100 * LEAST_LOCK_HELD} % of the deaths hit a held lock, or less than \
${100 * LEAST_BROKEN} % left
something broken.
`;

const OPTIONS = {
  options: {
    kills: { type: "string", default: "200" },
    seed: { type: "string" },
    workers: { type: "string", default: "5" },
    without: { type: "string" },
    help: { type: "boolean", default: false },
  },
} as const;

const EXIT_CODES = { passed: 0, failed: 1, void: 3 } as const;

async function main(): Promise<void> {
  const { values } = parseArgs(OPTIONS);
  if (values.help) return void process.stdout.write(USAGE);
  const fault = FAULTS.find((name) => name === values.without);
  if (values.without !== undefined && fault === undefined) {
    throw new Error(`--without: no "${values.without}"; there are ${FAULTS.join(", ")}`);
  }
  const kills = wholeNumber("--kills", values.kills, 1);
  const seats = wholeNumber("--workers", values.workers, 3);
  const seed = values.seed === undefined ? seedFromEnv() : wholeNumber("--seed", values.seed, 0);
  const progress = progressOn(process.stderr);
  progress.start(Math.ceil(kills / DEATHS_PER_HEAP));
  const storm = new Storm({ kills, seats, seed, fault }, (result) => progress.step(`${result.kills} deaths`));
  const result = await storm.run();
  progress.stop();
  const verdict = verdictOf(result);
  process.stdout.write(`${showResult(result)}\nseed ${seed}: ${verdict}\n`);
  if (result.failure !== undefined) process.stdout.write(`${result.failure}\n`);
  // A worker that hangs must not keep the process.
  process.exit(EXIT_CODES[verdict]);
}

function wholeNumber(option: string, text: string, least: number): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new Error(`${option}: a whole number from ${least} expected, not "${text}"`);
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
