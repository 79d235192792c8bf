// Whether private and shared heaps disturb each other in one process: `node bench/side-by-side.mjs [rounds]`. Each round
// runs three processes: private alone, shared alone, and both by turns. Medians, in ns an operation.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

import { Heap } from "@heapwright/core";
import { FixedMemPool } from "@heapwright/pool";

const BATCH = 100;
const BATCHES = 10_000;
const TURNS = 10;

// A function for each, as a program has them: one that saw all four would be slow for all.
const LOOP = `
  const blocks = new Uint32Array(${BATCH});
  for (let batch = 0; batch < ${BATCHES}; batch += 1) {
    for (let i = 0; i < ${BATCH}; i += 1) blocks[i] = allocator.malloc(64);
    for (let i = 0; i < ${BATCH}; i += 1) allocator.free(blocks[i]);
  }`;

function child(kinds) {
  const jobs = kinds.flatMap((kind) => {
    const heap = new Heap({ bytes: 1 << 22, shared: kind === "shared" });
    const pool = new FixedMemPool(64, 10_000, { backing: heap });
    return [
      [`${kind} malloc`, heap],
      [`${kind} pool`, pool],
    ];
  });
  const runs = jobs.map(([name, allocator]) => [
    name,
    // oxlint-disable-next-line no-implied-eval, no-new-func -- a loop of its own for each: the comment makes it differ
    new Function("allocator", `// ${name}\n${LOOP}`),
    allocator,
  ]);
  const best = {};
  for (let turn = 0; turn < TURNS; turn += 1) {
    for (const [name, run, allocator] of runs) {
      const begun = performance.now();
      run(allocator);
      const time = ((performance.now() - begun) * 1e6) / (2 * BATCH * BATCHES);
      best[name] = Math.min(best[name] ?? Infinity, time);
    }
  }
  console.log(JSON.stringify(best));
}

function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >>> 1];
}

function measure(rounds) {
  const times = {};
  for (let round = 0; round < rounds; round += 1) {
    for (const kinds of ["private", "shared", "private,shared"]) {
      const { stdout } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), "--child", kinds]);
      for (const [name, time] of Object.entries(JSON.parse(String(stdout)))) {
        ((times[name] ??= {})[kinds.includes(",") ? "both" : "alone"] ??= []).push(time);
      }
    }
  }
  for (const [name, { alone, both }] of Object.entries(times)) {
    const [one, two] = [median(alone), median(both)];
    console.log(`${name}: ${one.toFixed(2)} alone, ${two.toFixed(2)} side by side, ${(two / one).toFixed(2)} times`);
  }
}

if (process.argv[2] === "--child") child(process.argv[3].split(","));
else measure(Number(process.argv[2] ?? 7));
