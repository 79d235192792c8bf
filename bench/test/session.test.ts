import { expect, it } from "vitest";

import { isNull } from "../src/answers.ts";
import { Session, TimeLimitError } from "../src/session.ts";

const LIMIT_MILLISECONDS = 10_000;

/** A session with a process that runs `code` on each line it gets. */
function sessionOf(code: string): Session {
  const script = `require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => { ${code} })`;
  return new Session({ command: process.execPath, args: ["-e", script] });
}

it("hands out the answer to each command", async () => {
  const session = sessionOf(`console.log(line === "first" ? "null" : '{"error":"not that"}')`);
  expect(await session.ask("first", LIMIT_MILLISECONDS, isNull)).toBeNull();
  await expect(session.ask("second", LIMIT_MILLISECONDS, isNull)).rejects.toThrow("not that");
  session.close();
});

it("ends a process that does not answer in time", async () => {
  const session = sessionOf("for (;;);");
  await expect(session.ask("anything", 300, isNull)).rejects.toThrow(TimeLimitError);
});

it("reports a process that dies, and that it is dead from then on", async () => {
  const session = sessionOf(`console.error("fell over"); process.exit(1)`);
  await expect(session.ask("anything", LIMIT_MILLISECONDS, isNull)).rejects.toThrow(/the process ended. fell over/);
  await expect(session.ask("more", LIMIT_MILLISECONDS, isNull)).rejects.toThrow(/the process ended/);
});

it("reports a program that is not there", async () => {
  const session = new Session({ command: "/no/such/program", args: [] });
  const late = new Session({ command: "/no/such/program", args: [] });
  await expect(session.ask("anything", LIMIT_MILLISECONDS, isNull)).rejects.toThrow(/ENOENT/);
  await expect(late.ask("anything", LIMIT_MILLISECONDS, isNull)).rejects.toThrow(/the process ended.*ENOENT/);
});

it("refuses an answer of another shape", async () => {
  const session = sessionOf(`console.log("[1]")`);
  await expect(session.ask("anything", LIMIT_MILLISECONDS, isNull)).rejects.toThrow(
    '"anything": unexpected answer [1]',
  );
  session.close();
});
