/** The two files of docs/workers.md run, as a user would put them down. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const page = readFileSync(new URL("../../../docs/workers.md", import.meta.url), "utf8");

it("main.js and worker.js print what the page says", () => {
  const files = [...page.matchAll(/```js\n(\/\/ (\w+\.js)\n[\s\S]*?)```/g)];
  expect(files.map(([, , name]) => name)).toEqual(["main.js", "worker.js"]);
  const folder = mkdtempSync(join(fileURLToPath(new URL(".", import.meta.url)), ".page-"));
  try {
    for (const [, code = "", name = ""] of files) writeFileSync(join(folder, name), code);
    const { stdout, stderr } = spawnSync(process.execPath, [join(folder, "main.js")], { encoding: "utf8" });
    expect(stderr).toBe("");
    expect(stdout).toBe(`${/bytes\.indexOf\(0\)\); \/\/ (\d+)/.exec(page)?.[1]}\n`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
