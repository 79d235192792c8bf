/**
 * Programs of the packages that measure what no loop here does: their output is shown as it is.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const LIMIT_MILLISECONDS = 900_000;

interface Program {
  /** As one would type it in the root. */
  readonly command: string;
  /** What it does, in a sentence or two. */
  readonly what: string;
}

/** What a program printed. */
export interface ProgramFigures extends Program {
  readonly output: string;
}

/** In the order of the page. */
export const PROGRAMS: Readonly<Record<string, Program>> = {
  "Two workers, pool and core": {
    command: "node packages/pool/bench/workers.mjs 5",
    what:
      "Blocks of 64 bytes in batches of 100, by one worker and by two on one heap, beside a control that shows what two " +
      "cores give just then; blocks allocated by one worker and freed by another; the lock.",
  },
  "Two workers, apf": {
    command: "node packages/apf/bench/workers.mjs",
    what: "larson, xmalloc, mstress and threadtest on one heap, against one worker and against a mutex around core's malloc.",
  },
  "Size classes, apf": {
    command: "node packages/apf/bench/against-libc.mjs 3",
    what: "Pairs, mixed sizes, and 1,000 to 1,000,000 live blocks of 32 bytes, beside libc and dlmalloc in WebAssembly.",
  },
  "The tuner, apf": {
    command: "node packages/apf/bench/tuner.mjs",
    what: "Allocations per fetch and blocks in caches, with the tuner and with a fixed rule.",
  },
  "A* search": {
    command: "npm --prefix packages/mempool run -s example",
    what: "The 15-puzzle with nodes in a pool, in blocks of malloc, as plain objects, and by two workers on one heap.",
  },
  "Runs of blocks, mempool": {
    command: "node packages/mempool/bench/against-libc.mjs",
    what: "Single blocks, and runs of 2 to 8 in a pool that is half full, of libc's time.",
  },
  "Pointers, containers and arenas, memkit": {
    command: "node packages/memkit/bench/against-libc.mjs",
    what: "What memkit's functions cost, of libc's time for a malloc and a free.",
  },
  "References, refcount": {
    command: "node packages/refcount/bench/against-backing.mjs 3",
    what: "rm_malloc and rm_release, of the time that the allocator below them takes alone.",
  },
};

/** @param name - one of {@link PROGRAMS} */
export async function runProgram(name: string): Promise<ProgramFigures> {
  const program = PROGRAMS[name];
  if (program === undefined) throw new Error(`no program "${name}"`);
  const child = spawn(program.command, { cwd: ROOT, shell: true, timeout: LIMIT_MILLISECONDS });
  let output = "";
  let complaint = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (complaint += text));
  const code = await new Promise<number | null>((resolve) => void child.once("close", resolve));
  if (code !== 0) output += `\n(ended with ${code ?? "a signal"}) ${complaint.trim().split("\n").at(-1) ?? ""}`;
  return { ...program, output: output.trimEnd() };
}
