/**
 * Runs programs as a new user would: with a home that is empty, and without what the npm that started us tells its children.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const TIMEOUT_MS = 280_000;

/** Where and how a program runs. */
export interface Surroundings {
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * The environment without the variables by which npm, pnpm, turbo and vitest speak to their children. Theirs would go before
 * the settings of the folder that a program runs in.
 */
export function bareEnvironment(): NodeJS.ProcessEnv {
  const spoken = /^(npm_|pnpm_|yarn_|turbo_|vite|node_env$|node_options$|init_cwd$|test$|dev$|prod$|mode$|ssr$)/i;
  const entries = Object.entries(process.env).filter(([name]) => !spoken.test(name));
  return { ...Object.fromEntries(entries), CI: "true", NO_COLOR: "1", TURBO_TELEMETRY_DISABLED: "1" };
}

/** The environment of someone who has used none of this before: caches and settings lie in `home`. */
export function newUser(home: string): NodeJS.ProcessEnv {
  return {
    ...bareEnvironment(),
    HOME: home,
    XDG_CACHE_HOME: join(home, "cache"),
    XDG_CONFIG_HOME: join(home, "config"),
    XDG_DATA_HOME: join(home, "data"),
    XDG_STATE_HOME: join(home, "state"),
  };
}

/** What a program printed. */
export interface Output {
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a program to its end.
 *
 * @returns what it printed
 * @throws Error with all of that when its exit code is not 0, or it takes longer than almost five minutes
 */
export function run(command: string, args: readonly string[], { cwd, env }: Surroundings): Promise<Output> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env: env ?? bareEnvironment(),
      stdio: ["ignore", "pipe", "pipe"],
      timeout: TIMEOUT_MS,
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.once("error", reject);
    child.once("close", (code, signal) => {
      if (code === 0) resolve({ stdout, stderr });
      else reject(new Error(`${command} ${args.join(" ")}: ${signal ?? `exit code ${code}`}\n${stdout}${stderr}`));
    });
  });
}

/** Where a tool of this workspace has its program: `toolPath("typescript", "bin/tsc")`. */
export function toolPath(name: string, path: string): string {
  return join(dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), path);
}

/** Runs a tool of this workspace under this node. */
export function runTool(name: string, path: string, args: readonly string[], where: Surroundings): Promise<Output> {
  return run(process.execPath, [toolPath(name, path), ...args], where);
}
