/**
 * What the packages' hot paths do once V8 has compiled them: nothing is thrown away again, and no call leaves anything to
 * the garbage collector. Each load runs in a process of its own.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

import { isGarbage, isNull, isTiming } from "../src/answers.ts";
import { commandOf, loadOf } from "../src/micro.ts";
import { MICRO_WORKS } from "../src/micro-command.ts";
import { ONE_SIZE_PEERS, OWN_PEERS } from "../src/peers.ts";
import { Session } from "../src/session.ts";

const CHILD = fileURLToPath(new URL("../dist/child.js", import.meta.url));
const WORKS = ["at-once", "random", "replace-10k", "mixed-10k"];
const LIMIT_MILLISECONDS = 60_000;

const LOADS = OWN_PEERS.flatMap((peer) =>
  WORKS.flatMap((name) => {
    const work = MICRO_WORKS[name];
    if (work === undefined) throw new Error(`no work "${name}"`);
    const isServed = !ONE_SIZE_PEERS.has(peer) || loadOf(work).blockBytes !== undefined;
    return isServed ? [[peer, name, commandOf(work)] as const] : [];
  }),
);

describe("no call takes anything of the JavaScript heap", () => {
  // A pointer of memkit is an object: its document has it so.
  it.each(LOADS.filter(([peer]) => peer !== "memkit"))("%s, %s", async (peer, _, command) => {
    const args = ["--min-semi-space-size=64", "--max-semi-space-size=64", "--expose-gc", CHILD, peer];
    const session = new Session({ command: process.execPath, args });
    try {
      await session.ask(command, LIMIT_MILLISECONDS, isNull);
      await session.ask("run 400", LIMIT_MILLISECONDS, isTiming);
      const { bytes } = await session.ask("garbage 50", LIMIT_MILLISECONDS, isGarbage);
      // The smallest thing there is on that heap takes 12 bytes. What is left are the clock's numbers, and V8's own.
      expect(bytes).toBeLessThan(4);
    } finally {
      session.close();
    }
  });
});

describe("compiled code is kept", () => {
  it.each(LOADS)("%s, %s", async (peer, _, command) => {
    const child = spawn(process.execPath, ["--trace-deopt", "--expose-gc", CHILD, peer]);
    let thrown: string[] = [];
    let answered: (() => void) | undefined;
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (line.startsWith("{") || line === "null") answered?.();
      // The loop around the passes is the measuring process's own.
      else if (line.includes("bailout") && !line.includes("<JSFunction run ")) thrown.push(line);
    });
    const ask = (asked: string): Promise<void> =>
      new Promise((resolve) => {
        answered = resolve;
        child.stdin.write(`${asked}\n`);
      });
    try {
      await ask(command);
      // Two rounds in a row; where compiling takes long, more to get there.
      let quiet = 0;
      for (let round = 0; round < 60 && quiet < 2; round += 1) {
        thrown = [];
        await ask("run 200");
        quiet = thrown.length === 0 ? quiet + 1 : 0;
      }
      expect(thrown).toEqual([]);
      expect(quiet).toBe(2);
    } finally {
      child.kill("SIGKILL");
    }
  });
});
