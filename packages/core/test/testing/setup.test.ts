import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

interface Assertion {
  readonly title: string;
  readonly status: string;
  readonly failureMessages: readonly string[];
}

/** Runs the fixtures in a vitest of their own. */
async function run(shadow: string): Promise<Map<string, Assertion>> {
  const vitest = join(createRequire(import.meta.url).resolve("vitest/package.json"), "../vitest.mjs");
  const root = fileURLToPath(new URL("fixtures", import.meta.url));
  const env = { ...process.env, HEAPWRIGHT_SHADOW: shadow, HEAPWRIGHT_STACKS: "", VITEST: "", VITEST_MODE: "" };
  const output = await new Promise<string>((resolve) => {
    const args = [vitest, "run", "--root", root, "--reporter", "json"];
    execFile(process.execPath, args, { env, encoding: "utf8" }, (_, stdout) => resolve(stdout));
  });
  const report: { testResults: { assertionResults: Assertion[] }[] } = JSON.parse(output);
  return new Map(report.testResults.flatMap(({ assertionResults }) => assertionResults).map((a) => [a.title, a]));
}

it("fails the tests that leave blocks or damage a heap, and only these", async () => {
  const results = await run("1");
  expect(results.size).toBe(6);
  for (const [title, { status }] of results) expect(`${status}: ${title}`).toBe(`${title.slice(0, 4)}ed: ${title}`);
  const messagesOf = (title: string): string => (results.get(title)?.failureMessages ?? []).join("\n");
  expect(messagesOf("fails: a leak")).toContain("1 blocks with 10 bytes are still live");
  expect(messagesOf("fails: a damaged heap")).toContain("invariant");
  expect(messagesOf("fails: for another reason, without a word about its leak")).not.toContain("still live");
});

it("does nothing when it is not asked to", async () => {
  const results = await run("");
  const failed = [...results.values()].filter(({ status }) => status === "failed").map(({ title }) => title);
  expect(failed).toEqual(["fails: for another reason, without a word about its leak"]);
});
