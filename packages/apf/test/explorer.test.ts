/** Every order, up to so many pre-emptions, of what agents do to each other's superblocks; and faults that it has to find. */
import { runs } from "@heapwright/core/testing";
import { describe, expect, it } from "vitest";

import { type Change, explore } from "./explorer/explore.ts";
import { SCENARIOS } from "./explorer/scenarios.mjs";

const TIME = { timeout: 3_600_000 };

/** Pre-emptions, 2 where nothing is said. Of three agents there are many more schedules. */
const PREEMPTIONS: Record<string, number> = {
  "two agents free blocks of a third": 1,
  "adoption, and a block of what is adopted": 1,
  "a superblock changes hands while a block of it is freed": 1,
};

describe("every schedule", () => {
  it.each(SCENARIOS.map(({ name }) => name))("%s", TIME, async (name) => {
    const { schedules, contended, failure } = await explore(name, (PREEMPTIONS[name] ?? 2) + (runs(1) > 1 ? 1 : 0));
    console.error(`${name}: ${schedules} schedules, ${contended} words`);
    expect(failure).toBeUndefined();
    expect(contended).toBeGreaterThan(1);
    expect(schedules).toBeGreaterThan(80);
  });
});

interface Bug {
  readonly name: string;
  readonly scenario: string;
  readonly changes: readonly Change[];
  readonly finding: RegExp;
}

const BUGS: readonly Bug[] = [
  {
    name: "the count after the mark: the superblock may be gone",
    scenario: "the last blocks of a superblock, which goes back to the heap and is something else then",
    changes: [
      {
        file: "shared-allocator.js",
        find: `                            if (Atomics.add(this.i32, u32[(descriptor + FREED) | 0], 1) === 0) {
                                hintOwner(this.shared.i32, descriptor * 4);
                            }
                            // Nothing after it: the superblock may be gone. Nor before it, where another one has been faster.
                            if (Atomics.compareExchange(u8, mark, 0, 1) === 0)
                                return;
`,
        replace: `                            if (Atomics.compareExchange(u8, mark, 0, 1) === 0) {
                                if (Atomics.add(this.i32, u32[(descriptor + FREED) | 0], 1) === 0) hintOwner(this.shared.i32, descriptor * 4);
                                return;
                            }
`,
      },
    ],
    finding: /written to|counted as|check|corrupt|RangeError/i,
  },
  {
    name: "the hint is cleared after the marks were looked at",
    scenario: "remote free against refill, twice",
    changes: [
      {
        file: "marks.js",
        find: "    Atomics.store(i32, record + HINT, 0);\n    let isMore",
        replace: "    let isMore",
      },
      {
        file: "marks.js",
        find: "    if (isMore)\n        hintAt(i32, record);\n",
        replace: "    Atomics.store(i32, record + HINT, isMore ? 1 : 0);\n",
      },
    ],
    finding: /marks that the owner will not look for/,
  },
  {
    name: "who has counted and not marked yet is forgotten",
    scenario: "remote free against refill, twice",
    changes: [{ file: "marks.js", find: "    if (isMore)\n        hintAt(i32, record);\n", replace: "" }],
    finding: /marks that the owner will not look for/,
  },
  {
    name: "the count is cleared, not counted down",
    scenario: "two agents free blocks of a third",
    changes: [
      {
        file: "marks.js",
        find: "Atomics.sub(i32, u32[word + FREED], gathered);",
        replace: "Atomics.store(i32, u32[word + FREED], 0);",
      },
    ],
    finding: /marks, counted as/,
  },
  {
    name: "who takes a superblock over does not look at its marks",
    scenario: "a superblock changes hands while a block of it is freed",
    changes: [{ file: "shared-supply.js", find: "    hintAt(i32, to);\n", replace: "" }],
    finding: /marks that the owner will not look for/,
  },
  {
    name: "a superblock that is adopted is not counted down",
    scenario: "adoption, and a block of what is adopted",
    changes: [
      { file: "recover.js", find: "Atomics.sub(i32, freed, unmarked);", replace: "Atomics.store(i32, freed, 0);" },
    ],
    finding: /marks, counted as/,
  },
];

describe("a planted fault is found", () => {
  it.each(BUGS)("$name", TIME, async ({ scenario, changes, finding }) => {
    for (let preemptions = 0; preemptions <= 3; preemptions += 1) {
      const { schedules, failure } = await explore(scenario, preemptions, changes);
      if (failure === undefined) continue;
      console.error(`found in ${schedules} schedules with ${preemptions} pre-emptions: ${failure}`);
      expect(failure).toMatch(finding);
      return;
    }
    expect.fail("nothing was found");
  });
});
