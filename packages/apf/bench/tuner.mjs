// The tuner at work: six loads of 64-byte blocks, with what their cache holds, what the tuner takes for their demand, and
// what lrmalloc's fixed rule would hold, which fetches 4096 blocks into the empty cache and returns them from the full one.
// Prints a table and writes the picture of the README.
//
//     pnpm --filter @heapwright/apf build && node packages/apf/bench/tuner.mjs [picture.svg]
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { Heap } from "@heapwright/core";

import { ApfAllocator, classOf, TARGET_APF } from "../dist/index.js";
import { picture } from "./picture.mjs";

const SIZE = 64;
const CLASS = classOf(SIZE);
const FIXED_BLOCKS = 4096;
/** The tuner is asked after so many allocations: a number that is in step with no load. */
const INTERVAL = 7;

let state = 2_463_534_242;
function drawn() {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) / 2 ** 32;
}

function* repeat(step, count) {
  for (let i = 0; i < count; i += 1) yield step;
}

function* batches(size, rounds) {
  for (let round = 0; round < rounds; round += 1) {
    yield* repeat("allocate", size);
    yield* repeat("free", size);
  }
}

function* replacements(live, count) {
  yield* repeat("allocate", live);
  for (let i = 0; i < count; i += 1) yield drawn() < 0.5 ? "allocate" : "free any";
}

const LOADS = {
  "only allocate": () => repeat("allocate", 100_000),
  "batches of 100": () => batches(100, 1000),
  "batches of 1000": () => batches(1000, 100),
  "batches of 8000": () => batches(8000, 13),
  "10,000 live, at random": () => replacements(10_000, 400_000),
  "saw-tooth of 15,000": () => batches(15_000, 7),
};

/** One load through the allocator. */
function tuned(steps) {
  const apf = new ApfAllocator({ backing: new Heap({ bytes: 1 << 25 }) });
  const live = [];
  const points = [];
  let allocations = 0;
  for (const step of steps) {
    if (step === "allocate") {
      live.push(apf.malloc(SIZE));
      allocations += 1;
      if (allocations % INTERVAL !== 0) continue;
      const { cached, demand } = apf.tuner(CLASS);
      points.push({ allocations, cached, demand });
    } else {
      const at = step === "free" ? live.length - 1 : Math.floor(drawn() * live.length);
      const ptr = live[at];
      live[at] = live.at(-1);
      live.pop();
      apf.free(ptr);
    }
  }
  apf.check();
  const { apf: reached, fetches, returns } = apf.tuner(CLASS);
  return { points, reached, transfers: fetches + returns };
}

/** The same under the fixed rule. */
function fixed(steps) {
  const points = [];
  let [cached, allocations, fetches, returns] = [0, 0, 0, 0];
  for (const step of steps) {
    if (step === "allocate") {
      if (cached === 0) {
        cached = FIXED_BLOCKS;
        fetches += 1;
      }
      cached -= 1;
      allocations += 1;
      if (allocations % INTERVAL === 0) points.push({ allocations, cached });
    } else {
      if (cached === FIXED_BLOCKS) {
        cached = 0;
        returns += 1;
      }
      cached += 1;
    }
  }
  return { points, reached: allocations / fetches, transfers: fetches + returns };
}

const mean = (points) => points.reduce((sum, { cached }) => sum + cached, 0) / points.length;

console.log(`target ${TARGET_APF}              tuner: APF  transfers  cached    fixed: APF  transfers  cached`);
const panels = [];
for (const [name, steps] of Object.entries(LOADS)) {
  const rows = [tuned(steps()), fixed(steps())];
  panels.push({ name, tuned: rows[0].points, fixed: rows[1].points });
  const columns = rows.map(({ points, reached, transfers }) =>
    [reached, transfers, mean(points)].map((value) => value.toFixed(0).padStart(9)).join("  "),
  );
  console.log(`${name.padEnd(24)} ${columns.join("     ")}`);
}
const file = process.argv[2] ?? fileURLToPath(new URL("../tuner.svg", import.meta.url));
writeFileSync(file, picture(panels));
