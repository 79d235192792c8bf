// What counting costs: rm_malloc and rm_release against the backing's own malloc and free. Each load runs in a process of
// its own, in which both sides take turns; the ratio is the median over its rounds.
//
//     pnpm --filter @heapwright/refcount build && node packages/refcount/bench/against-backing.mjs [processes]
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

import { Heap } from "@heapwright/core";

import { RM_DEFAULT_HASH_SIZE, rm_create_state, rm_malloc, rm_release } from "../dist/index.js";

const ROUNDS = 60;
const PASSES = 20;
const HEAP_BYTES = 1 << 25;

const median = (values) => [...values].sort((a, b) => a - b)[values.length >>> 1];

function counted() {
  const state = rm_create_state(RM_DEFAULT_HASH_SIZE, { backing: new Heap({ bytes: HEAP_BYTES }) });
  return { malloc: (size) => rm_malloc(state, size), free: (ptr) => rm_release(state, ptr) };
}

/** ns for an allocate and a free. */
function timed(pass, count) {
  const start = performance.now();
  for (let i = 0; i < PASSES; i += 1) pass();
  return ((performance.now() - start) * 1e6) / (PASSES * count);
}

async function measure(load) {
  const [own, ours] = [await import("./loads.mjs?own"), await import("./loads.mjs?ours")];
  const plainPass = own.loads[load](new Heap({ bytes: HEAP_BYTES }));
  const countedPass = ours.loads[load](counted());
  const rounds = Array.from({ length: ROUNDS }, () => [timed(plainPass, own.COUNT), timed(countedPass, ours.COUNT)]);
  const later = rounds.slice(ROUNDS / 2);
  return [median(later.map(([ns]) => ns)), median(later.map(([, ns]) => ns)), median(later.map(([a, b]) => b / a))];
}

const [, , argument = "3"] = process.argv;
if (!/^\d+$/.test(argument)) {
  console.log(JSON.stringify(await measure(argument)));
} else {
  const { loads } = await import("./loads.mjs");
  const run = (load) => JSON.parse(execFileSync(process.execPath, [fileURLToPath(import.meta.url), load]));
  console.log("ns for an allocate and a free         backing  counted  ratio (one process each)");
  for (const load of Object.keys(loads)) {
    const processes = Array.from({ length: Number(argument) }, () => run(load));
    const [plain, ours] = [0, 1].map((at) =>
      median(processes.map((figures) => figures[at]))
        .toFixed(1)
        .padStart(7),
    );
    const ratios = processes.map((figures) => figures[2]).sort((a, b) => a - b);
    console.log(
      `${load.padEnd(36)} ${plain}  ${ours}   ${median(ratios).toFixed(2)} (${ratios.map((r) => r.toFixed(2)).join(" ")})`,
    );
  }
}
