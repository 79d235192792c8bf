// What counting costs where more and more is tracked: rm_retain and rm_release of pointers chosen at random, and the bytes
// of the table for each of them. All sizes take turns in one process; a ratio is the median over the rounds.
//
//     pnpm --filter @heapwright/refcount build && node packages/refcount/bench/live.mjs
import { Heap } from "@heapwright/core";

import { RM_DEFAULT_HASH_SIZE, RmState, rm_create_state, rm_malloc, rm_release, rm_retain } from "../dist/index.js";
import { generator } from "./loads.mjs";

const LIVE = [1_000, 10_000, 100_000];
const ROUNDS = 60;
const CALLS = 1 << 18;

const median = (values) => [...values].sort((a, b) => a - b)[values.length >>> 1];
const heap = new Heap({ bytes: 1 << 26 });

const loads = LIVE.map((live) => {
  const state = rm_create_state(RM_DEFAULT_HASH_SIZE, { backing: heap });
  const blocks = Uint32Array.from({ length: live }, () => rm_malloc(state, 64));
  const next = generator(3);
  const order = Uint32Array.from({ length: CALLS }, () => blocks[next(live)]);
  return { state, order };
});

function timed({ state, order }) {
  const start = performance.now();
  for (let i = 0; i < CALLS; i += 1) {
    const ptr = order[i];
    rm_retain(state, ptr);
    rm_release(state, ptr);
  }
  return ((performance.now() - start) * 1e6) / CALLS;
}

const rounds = Array.from({ length: ROUNDS }, () => loads.map(timed)).slice(ROUNDS / 2);
console.log("live      ns for retain and release   of that at 1,000   table, bytes a pointer   longest probe");
loads.forEach(({ state }, at) => {
  const { takenBytes, longestProbe } = state.stats();
  const ns = median(rounds.map((round) => round[at])).toFixed(1);
  const ratio = median(rounds.map((round) => round[at] / round[0])).toFixed(2);
  const bytes = (takenBytes / LIVE[at]).toFixed(1);
  console.log(
    `${String(LIVE[at]).padEnd(8)} ${ns.padStart(26)} ${ratio.padStart(18)} ${bytes.padStart(24)} ${String(longestProbe).padStart(15)}`,
  );
});

/** The most bytes a pointer there are between 3,000 and a million pointers: right after the table has grown. */
function worst(hashSize, from, to) {
  const state = new RmState(hashSize, { backing: new Heap({ bytes: 1 << 26 }) });
  let [most, homes, at] = [0, 0, 0];
  for (let i = 1; i <= to; i += 1) {
    state.attach(i * 16);
    const {
      control,
      heap: { u32 },
    } = state;
    const table = u32[control + 4];
    if (table === homes || i < from) continue;
    homes = table;
    const bytes = state.stats().takenBytes / i;
    if (bytes > most) [most, at] = [bytes, i];
  }
  return `${most.toFixed(1)} at ${at}`;
}
console.log(`bytes a pointer at worst, from 4,000 pointers on: ${worst(RM_DEFAULT_HASH_SIZE, 3329, 1_000_000)}`);
