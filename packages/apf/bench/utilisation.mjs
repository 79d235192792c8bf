// What the allocator makes of memory on recorded traces: peak live payload over the footprint of its heap, which is a quarter
// larger than that peak, or twice, four times ... as large as that if the trace does not fit.
//
//     pnpm --filter @heapwright/apf build && node packages/apf/bench/utilisation.mjs [folder of traces]
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

import { Heap, NULL } from "@heapwright/core";

import { ApfAllocator } from "../dist/index.js";

const HEADER_LINES = 4;
const ROOM_FACTOR = 1.25;
const ROOM_BYTES = 2 ** 14;

/** The operations of a trace: kind, id, bytes. */
function operationsOf(file) {
  const lines = gunzipSync(readFileSync(file)).toString("latin1").trim().split("\n").slice(HEADER_LINES);
  return lines.map((line) => {
    const [kind, id, bytes] = line.split(" ");
    return [kind, Number(id), Number(bytes)];
  });
}

function peakOf(operations) {
  const sizes = new Map();
  let [live, peak] = [0, 0];
  for (const [kind, id, bytes] of operations) {
    const size = kind === "f" ? 0 : bytes;
    live += size - (sizes.get(id) ?? 0);
    sizes.set(id, size);
    peak = Math.max(peak, live);
  }
  return peak;
}

/** Does them; the footprint, `undefined` when the heap is too small. */
function footprintIn(heap, operations) {
  const apf = new ApfAllocator({ backing: heap });
  const blocks = new Map();
  for (const [kind, id, bytes] of operations) {
    if (kind === "f") {
      apf.free(blocks.get(id));
      continue;
    }
    const block = kind === "a" ? apf.malloc(bytes) : apf.realloc(blocks.get(id), bytes);
    if (block === NULL) return undefined;
    blocks.set(id, block);
  }
  return heap.stats().footprint;
}

const folder = process.argv[2] ?? fileURLToPath(new URL("../../../bench/traces/", import.meta.url));
const found = { one: [], several: [] };
for (const name of readdirSync(folder).filter((file) => /\.m?rep\.gz$/.test(file))) {
  const operations = operationsOf(join(folder, name));
  const peak = peakOf(operations);
  let bytes = Math.ceil((ROOM_FACTOR * peak) / ROOM_BYTES + 1) * ROOM_BYTES;
  let footprint = footprintIn(new Heap({ bytes }), operations);
  while (footprint === undefined) {
    bytes *= 2;
    footprint = footprintIn(new Heap({ bytes }), operations);
  }
  found[name.endsWith(".mrep.gz") ? "several" : "one"].push(peak / footprint);
  console.log(`${name.replace(".gz", "").padEnd(22)} ${(peak / footprint).toFixed(3)}`);
}
const mean = (values) => (values.reduce((sum, value) => sum + value, 0) / values.length).toFixed(3);
console.log(`mean of programs with one thread ${mean(found.one)}, of all ${mean([...found.one, ...found.several])}`);
