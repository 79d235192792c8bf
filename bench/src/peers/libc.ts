import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const SOURCES = fileURLToPath(new URL("../../src/libc/", import.meta.url));
const CACHE = fileURLToPath(new URL("../../dist/libc/", import.meta.url));
const FILES = ["bench.h", "main.c", "replay.c", "micro.c", "blocks.c"];
// Without -fno-builtin a compiler may drop a malloc whose block is freed unused.
const FLAGS = ["-O2", "-fno-builtin"];

/**
 * Compiles the C program that stands for the C library's malloc, unless that has been done for the same sources.
 *
 * @returns the path of the program, or the reason why there is none
 */
export function buildLibc(): { program: string } | { reason: string } {
  const compiler = process.env["CC"] ?? "cc";
  const hash = createHash("sha256").update(compiler).update(FLAGS.join(" "));
  for (const file of FILES) hash.update(readFileSync(join(SOURCES, file)));
  const program = join(CACHE, `bench-${hash.digest("hex").slice(0, 16)}`);
  if (existsSync(program)) return { program };
  const unfinished = `${program}.${process.pid}`;
  const sources = FILES.filter((file) => file.endsWith(".c")).map((file) => join(SOURCES, file));
  try {
    mkdirSync(CACHE, { recursive: true });
    execFileSync(compiler, [...FLAGS, "-o", unfinished, ...sources], { stdio: "pipe" });
    renameSync(unfinished, program);
    return { program };
  } catch (error) {
    const found = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
    return { reason: `no C compiler that works (${found})` };
  }
}

/**
 * @param library - the name of a shared library with a malloc
 * @returns the environment in which the program has it in place of the C library's, or undefined where it is not installed
 */
export function preloaded(program: string, library: string): Record<string, string> | undefined {
  const env = { LD_PRELOAD: library };
  // The loader names a library that it cannot find, and goes on without.
  const { stderr, status } = spawnSync(program, { input: "", env: { ...process.env, ...env } });
  return status === 0 && stderr.length === 0 ? env : undefined;
}
