/**
 * Faults planted in the source, by replacing a little of its text, and the scenario that finds each.
 *
 * @module
 */
import type { Exploration } from "./report.ts";
import { departure, family, flush, growth, lock, recovery, refill, returning, successor } from "./scenarios.ts";
import type { Change } from "./sources.ts";

/** An exploration of a source that has been changed. */
export interface Changed extends Omit<Exploration, "floor"> {
  readonly changes: readonly Change[];
}

export interface Bug extends Changed {
  /** What goes wrong. */
  readonly finding: RegExp;
}

const LOCK = "lock.ts";
const HEAP = "shared-heap.ts";
const WORKER = "worker.ts";

/** The reaper's `wakeAll` is left out. */
const NO_WAKE: Change = { file: WORKER, find: "  lock.wakeAll();\n", replace: "" };
/** Who takes the lock after an asynchronous wait does so without WAIT. */
const NO_WAIT: Change = {
  file: LOCK,
  find: "const outcome = this.#enter(this.me | WAIT, false);",
  replace: "const outcome = this.#enter(this.me, false);",
};

export const BUGS: readonly Bug[] = [
  {
    name: "no tag in the lock word: a takeover steals from the slot's next agent",
    changes: [
      { file: LOCK, find: "this.me = slot | (generation << GENERATION_SHIFT_BITS);", replace: "this.me = slot;" },
      {
        file: LOCK,
        find: "    if (entry >>> SLOT_GENERATION_SHIFT_BITS !== found >>> GENERATION_SHIFT_BITS) return true;\n",
        replace: "",
      },
    ],
    play: successor,
    budget: { preemptions: 3, kills: 1 },
    finding: /not alone|changes are done|not hold the lock/,
  },
  {
    name: "no notify by the reaper",
    changes: [NO_WAKE, NO_WAIT],
    play: lock([1, 1]),
    budget: { preemptions: 2, kills: 1 },
    finding: /asleep for ever/,
  },
  {
    name: "notify before the store in leave",
    changes: [
      {
        file: LOCK,
        find: "    if (outer && (Atomics.exchange(i32, word, 0) & WAIT) !== 0) Atomics.notify(i32, word, 1);\n",
        replace:
          "    if (outer && (Atomics.load(i32, word) & WAIT) !== 0) Atomics.notify(i32, word, 1);\n    if (outer) Atomics.store(i32, word, 0);\n",
      },
    ],
    play: lock([1, 1]),
    budget: { preemptions: 2 },
    finding: /asleep for ever/,
  },
  {
    name: "plain unlock: a load and a store",
    changes: [
      {
        file: HEAP,
        find: "    if (outer && (Atomics.exchange(i32, word, 0) & WAIT) !== 0) Atomics.notify(i32, word, 1);\n",
        replace:
          "    const found = i32[word]!;\n    if (outer) i32[word] = 0;\n    if (outer && (found & WAIT) !== 0) Atomics.notify(i32, word, 1);\n",
      },
    ],
    play: refill("sender"),
    budget: { preemptions: 2 },
    finding: /asleep for ever/,
  },
  {
    name: "recovery before every corpse is marked",
    changes: [
      {
        file: WORKER,
        find: "  for (const orphan of orphans) {\n",
        replace:
          '  while (lock.attempt() === "busy") await lock.change();\n  lock.release();\n  for (const orphan of orphans) {\n',
      },
    ],
    play: family,
    budget: { preemptions: 2, kills: 1 },
    finding: /asleep for ever/,
  },
  {
    name: "a magazine's block unlinked before it is marked",
    changes: [
      {
        file: HEAP,
        find: "        u32[word - 1] = span | LIVE;\n        u32[head] = u32[word]!;\n",
        replace: "        u32[head] = u32[word]!;\n        u32[word - 1] = span | LIVE;\n",
      },
    ],
    play: refill("sender"),
    budget: { preemptions: 1, kills: 1 },
    finding: /invariant 9.*held blocks, \d+ in magazines/,
  },
  {
    name: "a block marked as a magazine's before it is in it",
    changes: [
      {
        file: HEAP,
        find: "          u32[head] = ptr;\n          u32[word - 1] = tag + (HELD - LIVE);\n",
        replace: "          u32[word - 1] = tag + (HELD - LIVE);\n          u32[head] = ptr;\n",
      },
    ],
    play: refill("receiver"),
    budget: { preemptions: 1, kills: 1 },
    finding: /invariant 9.*held blocks, \d+ in magazines/,
  },
  {
    name: "stale views after growth: a pointer beyond them is followed",
    changes: [{ file: HEAP, find: "    this.#look();\n    return this.words;\n", replace: "    return this.words;\n" }],
    play: growth,
    budget: { preemptions: 2 },
    finding: /finds undefined in the block/,
  },
  {
    name: "stale views after growth: what V8 gives before it has heard of it is believed",
    changes: [
      {
        file: "views.ts",
        find: "    if (!(this.words.buffer instanceof ArrayBuffer)) memory.grow(0);\n",
        replace: "",
      },
    ],
    play: growth,
    budget: { preemptions: 2, lags: 1 },
    finding: /finds undefined in the block/,
  },
  {
    name: "a slot opened before recovery",
    changes: [
      {
        file: WORKER,
        find: "  slots.bury(slot, generation);\n",
        replace: "  slots.bury(slot, generation);\n  slots.open(slot);\n",
      },
    ],
    play: refill("sender"),
    budget: { preemptions: 1, kills: 1 },
    finding: /invariant 9.*which nobody has/,
  },
  {
    name: "a slot opened before it is vacated",
    changes: [
      {
        file: HEAP,
        find: "      vacate(this.inner, this.slots, slot);\n      this.slots.open(slot);\n",
        replace: "      this.slots.open(slot);\n      vacate(this.inner, this.slots, slot);\n",
      },
    ],
    play: returning,
    budget: { preemptions: 2, kills: 1 },
    finding: /another slot/,
  },
];

/** Faults that the source once had. */
export const PAST_BUGS: readonly Bug[] = [
  {
    name: "who has slept asynchronously takes the lock without WAIT",
    changes: [NO_WAIT],
    play: lock([1, 1, 1]),
    budget: { preemptions: 2, kills: 1 },
    finding: /asleep for ever/,
  },
  {
    name: "who gives up keeps the wake-up to himself",
    changes: [
      {
        file: LOCK,
        find: "      if (!this.#announce(found)) continue;\n      if (Date.now() >= until) return BUSY;\n",
        replace: "      if (Date.now() >= until) return BUSY;\n      if (!this.#announce(found)) continue;\n",
      },
    ],
    play: lock([2, 1, 1]),
    budget: { preemptions: 2, lates: 1 },
    finding: /asleep for ever/,
  },
  {
    name: "a takeover that has lost to who only set WAIT is not tried again",
    changes: [
      {
        file: LOCK,
        find: "      if (found !== before) continue;\n      i32",
        replace: "      if (found !== before) break;\n      i32",
      },
    ],
    play: lock([1, 1]),
    budget: { preemptions: 3, kills: 1 },
    finding: /asleep for ever/,
  },
  {
    name: "the lock of who has given up its slot is nobody's",
    changes: [
      {
        file: LOCK,
        find: "    if (entry >>> SLOT_GENERATION_SHIFT_BITS !== found >>> GENERATION_SHIFT_BITS) return true;\n",
        replace: "",
      },
    ],
    play: departure,
    budget: { preemptions: 1, kills: 1 },
    finding: /asleep for ever/,
  },
  {
    name: "a block in hand besides the one that is being freed",
    changes: [
      {
        file: HEAP,
        find: "      inner.free(ptr);\n      for (let wanted = batchOf(u32, head); wanted > 0; wanted -= 1) inner.free(pop(u32, head));\n",
        replace:
          "      for (let wanted = batchOf(u32, head); wanted > 0; wanted -= 1) inner.free(pop(u32, head));\n      inner.free(ptr);\n",
      },
    ],
    play: flush,
    budget: { preemptions: 0, kills: 1 },
    finding: /2 blocks are lost/,
  },
];

/**
 * What looks like a fault and is none:
 *
 * - A block from the free index may be marked LIVE before it is taken out of there. Nobody looks into the index but who
 *   holds the lock; and who takes it from a dead holder builds the index anew from the blocks' states. In a magazine, which
 *   nobody builds anew, the order counts: see above.
 * - The reaper need not wake anybody, since it takes the lock with WAIT and gives it back, and so wakes the first sleeper.
 *   (Woken at once, a sleeper may be the one that takes the lock from the dead, and need not wait for an event loop.)
 */
export const HARMLESS: readonly (Changed & Exploration)[] = [
  {
    name: "a free block marked as used before it is unlinked",
    changes: [
      {
        file: "malloc.ts",
        find: "        if (u32[(block + whole) >>> 2] !== whole || !unlink(u32, this.index, block, whole))\n",
        replace:
          "        setTag(u32, block, whole, LIVE);\n        if (u32[(block + whole) >>> 2] !== whole || !unlink(u32, this.index, block, whole))\n",
      },
    ],
    play: recovery,
    budget: { preemptions: 1, kills: 1 },
    floor: 5000,
  },
  {
    name: "the reaper wakes nobody before it has the lock",
    changes: [NO_WAKE],
    play: lock([1, 1]),
    budget: { preemptions: 3, kills: 1, wakes: 1 },
    floor: 5000,
  },
];
