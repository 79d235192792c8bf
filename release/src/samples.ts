/**
 * The code in a README's section "Quick start", compiled and run in the folder of someone who has installed the package.
 *
 * @module
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { Consumer } from "./managers.ts";
import { newUser, type Output, run, runTool } from "./program.ts";

/** A fence of the README. */
export interface Sample {
  readonly name: string;
  readonly language: "js" | "ts";
  readonly code: string;
}

/** The samples between the heading and the next one of its rank. */
export function quickStart(readme: string): Sample[] {
  const [, section = ""] = /^## Quick start$(.*?)^## /ms.exec(readme) ?? [];
  return [...section.matchAll(/^```(js|ts)\n(.*?)^```$/gms)].map(([, language, code = ""], index) => ({
    name: `sample-${index + 1}`,
    language: language === "ts" ? "ts" : "js",
    code,
  }));
}

/** What the comments behind its `console.log` promise. */
export function promised({ code }: Sample): string {
  return [...code.matchAll(/console\.log\(.*\);? \/\/ (.*)$/gm)].map(([, text]) => `${text}\n`).join("");
}

/** What a careful user asks of the compiler. `skipLibCheck` is left out: our declarations are checked with theirs. */
const OPTIONS = {
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  target: "es2022",
  lib: ["es2022", "esnext.disposable", "dom"],
  types: [],
  rootDir: ".",
};

/**
 * Compiles the TypeScript ones into `out-<resolution>`; checks that those in JavaScript use what there is, as an editor does.
 *
 * @returns what the compiler says
 * @throws Error with that when it finds errors
 */
export async function compile(
  { folder, home }: Consumer,
  samples: readonly Sample[],
  resolution: "nodenext" | "bundler",
): Promise<string> {
  const module = resolution === "bundler" ? "esnext" : "nodenext";
  const options = { ...OPTIONS, module, moduleResolution: resolution };
  const typed = { compilerOptions: { ...options, outDir: `out-${resolution}` }, include: ["*.ts"] };
  const untyped = {
    compilerOptions: { ...options, allowJs: true, checkJs: true, noEmit: true, noImplicitAny: false },
    include: ["*.js"],
  };
  await mkdir(folder, { recursive: true });
  for (const { name, language, code } of samples) await writeFile(join(folder, `${name}.${language}`), code);
  let said = "";
  for (const [name, settings] of Object.entries({ typed, untyped })) {
    const file = `${name}-${resolution}.json`;
    await writeFile(join(folder, file), JSON.stringify(settings));
    said += (await runTool("typescript", "bin/tsc", ["-p", file], { cwd: folder, env: newUser(home) })).stdout;
  }
  return said;
}

/**
 * Runs a sample that `compile` has written, with the resolution `nodenext`.
 *
 * @param command - a node of another version, or what else runs JavaScript
 */
export function runJavaScript(
  { folder, home }: Consumer,
  sample: Sample,
  command = [process.execPath],
): Promise<Output> {
  const file = sample.language === "ts" ? `out-nodenext/${sample.name}.js` : `${sample.name}.js`;
  const [program = "", ...args] = command;
  return run(program, [...args, file], { cwd: folder, env: newUser(home) });
}
