import { afterEach, describe, expect, it } from "vitest";
import { Heap } from "../src/heap.ts";
import { asPtr, NULL, type Ptr } from "../src/ptr.ts";
import type { SharedHeap } from "../src/shared-heap.ts";
import { runs, seedFromEnv } from "../src/testing/env.ts";
import { Agent, type Context, killAll } from "./fixtures/agent.ts";

/**
 * Whatever workers do at once must look as if one had done it after the other. Of an allocator that is easily said: from the
 * return of the call that hands a block out to the call that gives it back, no other block has any of its bytes. Each return
 * of the one and each call of the other takes the next number of one counter, so that these intervals are known.
 *
 * ```text
 *   log     two words for each number: the pointer, its lowest bit set in a free; and the size
 * ```
 */

/** Events between two looks. */
const ROUND_EVENTS = 500_000;
const EVENTS = runs(2_000_000);
/** For what workers do when the round is over: they free all they have. */
const SLACK_EVENTS = 4096;
const WORKERS = 4;
const HEADER_BYTES = 8;

afterEach(killAll);

interface Round {
  readonly log: Int32Array<SharedArrayBuffer>;
  /** The next number, then cells by which blocks are passed on. */
  readonly shared: Int32Array<SharedArrayBuffer>;
  readonly events: number;
  readonly seed: number;
}

/** Allocates, frees and passes blocks on until so many events have happened; then frees all it has. */
const work = ({ heap, core }: Context, { log, shared, events, seed }: Round): void => {
  const blocks: number[] = [];
  let state = seed | 1;
  const next = (limit: number): number => {
    state = Math.imul(state, 1_664_525) + 1_013_904_223;
    return (state >>> 8) % limit;
  };
  const free = (ptr: number): void => {
    const number = Atomics.add(shared, 0, 1);
    log[2 * number] = ptr | 1;
    heap.free(core.asPtr(ptr));
  };
  while (Atomics.load(shared, 0) < events) {
    const at = next(48);
    const mine = blocks[at];
    if (mine === undefined) {
      const size = next(12) === 0 ? 1000 + next(4000) : 1 + next(160);
      const ptr = heap.malloc(size);
      const number = Atomics.add(shared, 0, 1);
      if (ptr === 0) continue;
      log[2 * number + 1] = size;
      log[2 * number] = ptr;
      blocks[at] = ptr;
    } else if (next(4) === 0) {
      const other = Atomics.exchange(shared, 1 + next(shared.length - 1), mine);
      if (other === 0) delete blocks[at];
      else blocks[at] = other;
    } else {
      free(mine);
      delete blocks[at];
    }
  }
  for (const ptr of blocks) if (ptr !== undefined) free(ptr);
};

/** What is wrong with a log of a heap of so many bytes. Numbers that nobody has used are passed over. */
function violationIn(log: Int32Array, events: number, bytes: number): string | undefined {
  // Of each 8 bytes, the number under which they were handed out, from 1; 0: they are free.
  const owner = new Int32Array(bytes / 8);
  for (let number = 0; number < events; number += 1) {
    const word = log[2 * number] ?? 0;
    const size = log[2 * number + 1] ?? 0;
    const ptr = (word & ~1) >>> 0;
    if (word === 0) continue;
    if ((word & 1) === 0) {
      // The header is nobody else's either.
      const [from, to] = [(ptr - HEADER_BYTES) / 8, Math.ceil((ptr + size) / 8)];
      for (let at = from; at < to; at += 1) {
        const before = owner[at] ?? 0;
        if (before !== 0) return `event ${number} hands out ${ptr}, part of what event ${before - 1} has handed out`;
        owner[at] = number + 1;
      }
    } else {
      const handedOut = (owner[ptr / 8] ?? 0) - 1;
      if (handedOut < 0 || log[2 * handedOut] !== ptr) return `event ${number} frees ${ptr}, which is nobody's`;
      owner.fill(0, (ptr - HEADER_BYTES) / 8, Math.ceil((ptr + (log[2 * handedOut + 1] ?? 0)) / 8));
    }
  }
  return owner.some((number) => number !== 0) ? "something was never freed" : undefined;
}

/** Frees what has been passed on and not been taken. */
function drain(heap: SharedHeap, { log, shared }: Round): void {
  for (let cell = 1; cell < shared.length; cell += 1) {
    const ptr = Atomics.exchange(shared, cell, 0);
    if (ptr === NULL) continue;
    log[2 * Atomics.add(shared, 0, 1)] = ptr | 1;
    heap.free(asPtr(ptr));
  }
}

it(
  `in ${EVENTS} events of ${WORKERS} workers no two blocks have a byte in common`,
  { timeout: 60_000 + EVENTS / 10 },
  async () => {
    const heap = new Heap({ bytes: 1 << 16, maxBytes: 1 << 24, shared: true });
    const agents = await Promise.all(Array.from({ length: WORKERS }, () => Agent.on(heap)));
    const log = new Int32Array(new SharedArrayBuffer(8 * (ROUND_EVENTS + SLACK_EVENTS)));
    const shared = new Int32Array(new SharedArrayBuffer(4 * 33));
    const seed = seedFromEnv();
    let seen = 0;
    let passedOn = 0;
    for (let round = 0; seen < EVENTS; round += 1) {
      log.fill(0);
      shared.fill(0);
      const events = Math.min(ROUND_EVENTS, EVENTS - seen);
      await Promise.all(
        agents.map((agent, at) => agent.run(work, { log, shared, events, seed: seed + round * WORKERS + at })),
      );
      passedOn += shared.subarray(1).filter((ptr) => ptr !== NULL).length;
      drain(heap, { log, shared, events, seed });
      const count = shared[0] ?? 0;
      expect(violationIn(log, count, heap.size), `seed ${seed}, round ${round}`).toBeUndefined();
      seen += count;
      heap.check();
      expect(heap.stats().liveBlocks).toBe(0);
    }
    expect(seen).toBeGreaterThanOrEqual(EVENTS);
    expect(passedOn).toBeGreaterThan(0);
  },
);

describe("a log", () => {
  const logOf = (...events: readonly [ptr: number, size: number][]): Int32Array => Int32Array.from(events.flat());
  const free = (ptr: Ptr | number): [number, number] => [ptr | 1, 0];

  it.each([
    ["of nothing", logOf(), undefined],
    ["of neighbours", logOf([64, 8], [80, 8], free(80), free(64)), undefined],
    ["of one block that comes twice", logOf([64, 100], free(64), [64, 8], free(64)), undefined],
    ["with a number that nobody has used", logOf([64, 100], [0, 0], free(64)), undefined],
    ["of a block that is handed out twice", logOf([64, 8], [64, 8]), "event 1 hands out 64, part of what event 0 "],
    ["of a block that begins in another", logOf([64, 100], [120, 8]), "event 1 hands out 120, part of what event 0 "],
    ["of a header in another's last word", logOf([64, 17], [88, 8]), "event 1 hands out 88, part of what event 0 "],
    ["of a block that ends in another", logOf([128, 8], [64, 60]), "event 1 hands out 64, part of what event 0 "],
    ["of a free of nothing", logOf([64, 8], free(128)), "event 1 frees 128, which is nobody's"],
    ["of a free of an inside", logOf([64, 80], free(80)), "event 1 frees 80, which is nobody's"],
    ["of a double free", logOf([64, 8], free(64), free(64)), "event 2 frees 64, which is nobody's"],
    ["of a leak", logOf([64, 8]), "something was never freed"],
  ])("%s is judged", (_, log, violation) => {
    expect(violationIn(log, log.length / 2, 4096)?.slice(0, violation?.length)).toBe(violation);
  });
});
