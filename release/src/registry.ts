/**
 * A registry on loopback that knows our packages and nothing else, so that whatever else a user would be made to install is
 * missed at once.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { bareEnvironment, toolPath } from "./program.ts";

const START_MS = 60_000;

const SETTINGS = `
storage: ./storage
auth: { htpasswd: { file: ./users } }
packages: { "@heapwright/*": { access: $all, publish: $all, unpublish: $all } }
log: { type: stdout, format: pretty, level: warn }
web: { enable: false }
`;

/** A registry that runs. */
export interface Registry {
  /** With the slash at its end. */
  readonly url: string;
  /** Where its packages lie. */
  readonly folder: string;
  stop(): Promise<void>;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port on loopback");
  return address.port;
}

/**
 * Starts verdaccio over a folder, which is made when it is missing.
 *
 * @throws Error with what verdaccio said when it does not answer within a minute
 */
export async function startRegistry(folder: string): Promise<Registry> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "config.yaml"), SETTINGS);
  const address = `127.0.0.1:${await freePort()}`;
  const args = [toolPath("verdaccio", "bin/verdaccio"), "--config", join(folder, "config.yaml"), "--listen", address];
  const child = spawn(process.execPath, args, {
    cwd: folder,
    env: bareEnvironment(),
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  const ended = once(child, "close");
  const url = `http://${address}/`;
  async function stop(): Promise<void> {
    child.kill();
    await ended;
  }
  for (const deadline = Date.now() + START_MS; ;) {
    const answer = await fetch(`${url}-/ping`).catch(() => undefined);
    if (answer?.ok === true) return { url, folder, stop };
    if (child.exitCode !== null || Date.now() > deadline) {
      await stop();
      throw new Error(`verdaccio does not answer\n${said}`);
    }
    await sleep(100);
  }
}
