/** The example: what it finds is right, and the same on every kind of node; and its one command. */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

import { Heap } from "@heapwright/core";
import { allowLive, random, runs, seedFromEnv } from "@heapwright/core/testing";
import { beforeEach, describe, expect, test } from "vitest";

import { nodeOf, search, tableBytes } from "../examples/a-star.ts";
import { searchObjects } from "../examples/a-star-objects.ts";
import { INSTANCES } from "../examples/instances.ts";
import { type Found, Puzzle } from "../examples/puzzle.ts";
import { Mempool } from "../src/index.ts";

const NODES = 181_440;

// Nodes go with their heap.
beforeEach(() => allowLive());

/** The three ways that run in one process, and whether the pool has nothing but the nodes of different boards at the end. */
function solveAll(puzzle: Puzzle, board: readonly number[], nodes: number = NODES): Found[] {
  const { size } = nodeOf(puzzle);
  const backing = new Heap({ bytes: nodes * (size + 21) + tableBytes(nodes) + 65_536 });
  const pool = new Mempool(nodes * Math.ceil(size / 16) * 16, size, { backing });
  const inPool = search(puzzle, board, pool, nodes);
  pool.check();
  expect(pool.stats()).toMatchObject({ liveBlocks: inPool.boards, coalesced: 0 });
  pool.destroy();
  expect(backing.stats().liveBlocks).toBe(0);
  const heap = new Heap({ bytes: nodes * (size + 17) + tableBytes(nodes) + 65_536 });
  return [inPool, search(puzzle, board, heap, nodes), searchObjects(puzzle, board, nodes)];
}

function walk(puzzle: Puzzle, moves: number, draw: () => number): number[] {
  const path: number[] = [];
  let blank = 0;
  for (let left = moves; left > 0; left -= 1) {
    const count = puzzle.neighbours[blank * 5 + 4]!;
    blank = puzzle.neighbours[blank * 5 + Math.floor(draw() * count)]!;
    path.push(blank);
  }
  const goal = Array.from({ length: puzzle.cells }, (_, cell) => cell);
  return puzzle.replay(goal, path);
}

/** Moves from the goal to every board of the 8-puzzle, by looking at all of them. */
function distances(puzzle: Puzzle): Map<string, number> {
  const goal = "012345678";
  const found = new Map([[goal, 0]]);
  for (const board of found.keys()) {
    const blank = board.indexOf("0");
    for (let at = blank * 5; at < blank * 5 + puzzle.neighbours[blank * 5 + 4]!; at += 1) {
      const moved = puzzle.replay([...board].map(Number), [puzzle.neighbours[at]!]).join("");
      if (!found.has(moved)) found.set(moved, found.get(board)! + 1);
    }
  }
  return found;
}

describe("8-puzzle", () => {
  const puzzle = new Puzzle(3);

  test.each([0, 1])("the farthest board, %i", (at) => {
    const instance = INSTANCES[3]![at]!;
    const outcomes = solveAll(puzzle, instance.board);
    for (const { path } of outcomes) {
      expect(path).toHaveLength(instance.moves!);
      expect(puzzle.isSolution(instance.board, path)).toBe(true);
    }
    const { expanded, boards } = outcomes[0]!;
    for (const outcome of outcomes) expect(outcome).toMatchObject({ expanded, boards });
  });

  test("boards at random are solved in as few moves as a search of all boards needs", () => {
    const known = distances(puzzle);
    expect(known.size).toBe(NODES);
    const draw = random(seedFromEnv());
    for (let run = 0; run < runs(10); run += 1) {
      const board = walk(puzzle, 500, draw);
      for (const { path } of solveAll(puzzle, board)) {
        expect(puzzle.isSolution(board, path)).toBe(true);
        expect(path).toHaveLength(known.get(board.join(""))!);
      }
    }
  });

  test("boards that cannot be solved, and paths that are none, are told apart", () => {
    expect(puzzle.isSolvable([0, 1, 2, 3, 4, 5, 6, 8, 7])).toBe(false);
    expect(puzzle.isSolvable([0, 1, 2, 3, 4, 5, 6, 7, 7])).toBe(false);
    expect(puzzle.isSolvable([0, 1, 2, 3])).toBe(false);
    expect(() => puzzle.replay([0, 1, 2, 3, 4, 5, 6, 7, 8], [4])).toThrow("no move from cell 0 to 4");
    expect(puzzle.isSolution([1, 0, 2, 3, 4, 5, 6, 7, 8], [0])).toBe(true);
    expect(puzzle.isSolution([1, 0, 2, 3, 4, 5, 6, 7, 8], [2, 1, 0, 1])).toBe(false);
  });

  test("a pool that is too small says so", () => {
    const backing = new Heap({ bytes: 1 << 20 });
    const pool = new Mempool(32 * 1000, 32, { backing });
    expect(() => search(puzzle, INSTANCES[3]![0]!.board, pool, 4096)).toThrow("no room for more than");
  });
});

test.each([4, 5])("puzzles of width %i", (width) => {
  const puzzle = new Puzzle(width);
  const draw = random(seedFromEnv() + width);
  for (let run = 0; run < runs(5); run += 1) {
    const board = walk(puzzle, 40, draw);
    const outcomes = solveAll(puzzle, board);
    expect(new Set(outcomes.map(({ path }) => path.length)).size).toBe(1);
    for (const { path } of outcomes) {
      expect(path.length).toBeLessThanOrEqual(40);
      expect(path.length % 2).toBe(0);
      expect(puzzle.isSolution(board, path)).toBe(true);
    }
  }
});

test("all instances can be solved, and are no nearer than they are known to be", () => {
  for (const [width, instances] of Object.entries(INSTANCES)) {
    const puzzle = new Puzzle(Number(width));
    for (const { board, moves } of instances) {
      expect(puzzle.isSolvable(board)).toBe(true);
      expect(puzzle.estimate(board)).toBeLessThanOrEqual(moves!);
      expect((moves! - puzzle.estimate(board)) % 2).toBe(0);
    }
  }
  // Korf's own column of estimates, so that no board is copied wrongly.
  const korf = INSTANCES[4]!.map(({ board }) => new Puzzle(4).estimate(board));
  expect(korf).toEqual([41, 43, 41, 42, 42, 36, 30, 32, 32, 43]);
});

test("one command solves a puzzle in every way, two workers included", { timeout: 120_000 }, () => {
  const folder = fileURLToPath(new URL("..", import.meta.url));
  execFileSync("../../node_modules/.bin/tsc", ["-p", "tsconfig.examples.json"], { cwd: folder });
  const output = execFileSync(process.execPath, ["examples/dist/n-puzzle.js", "--puzzle", "8"], {
    cwd: folder,
    encoding: "utf8",
  });
  const rows = output.split("\n").map((line) => line.trim().split(/\s{2,}/));
  const moves = Object.fromEntries(rows.map(([name, count]) => [name, count]));
  expect(moves).toMatchObject({ pool: "31", malloc: "31", objects: "31", workers: "31" });
  expect(output).toContain("each solution was replayed");
});
