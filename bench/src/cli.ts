import { parseArgs } from "node:util";

import { buildLibc } from "./peers/libc.ts";
import { LIBC, PEER_NAMES } from "./peers.ts";
import { replayCommand } from "./replay-command.ts";
import { launchPeer, type Launch } from "./session.ts";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: "string" },
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    limit: { type: "string", default: "3" },
    json: { type: "string" },
  },
});

function launchesOf(names: readonly string[]): Map<string, Launch> {
  const launches = new Map<string, Launch>();
  for (const name of names) {
    if (name !== LIBC) {
      launches.set(name, launchPeer(name));
      continue;
    }
    const built = buildLibc();
    if ("program" in built) launches.set(LIBC, { command: built.program, args: [] });
    else console.log(`libc is left out: ${built.reason}`);
  }
  return launches;
}

const [command, ...paths] = positionals;
if (command === "replay") {
  await replayCommand({
    paths,
    launches: launchesOf(values.only?.split(",") ?? PEER_NAMES),
    rounds: Number(values.rounds ?? (values.quick ? 3 : 7)),
    warmMilliseconds: values.quick ? 100 : 300,
    roundMilliseconds: values.quick ? 30 : 60,
    limitMilliseconds: Number(values.limit) * 1000,
    json: values.json,
  });
}
