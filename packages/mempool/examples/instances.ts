/** Boards to solve. */

export interface Instance {
  readonly board: readonly number[];
  /** The moves of a shortest solution, where that is known. */
  readonly moves?: number;
  /** Room for so many nodes is enough for A* with Manhattan distance. */
  readonly nodes: number;
}

function instance(tiles: string, nodes: number, moves?: number): Instance {
  const board = tiles.split(" ").map(Number);
  return moves === undefined ? { board, nodes } : { board, nodes, moves };
}

/** By the puzzle's width. The first ones of each are numbered from 1. */
export const INSTANCES: Readonly<Record<number, readonly Instance[]>> = {
  // The two that are farthest from the goal, of all 181,440.
  3: [instance("8 0 6 5 4 7 2 3 1", 181_440, 31), instance("8 7 6 0 4 1 2 5 3", 181_440, 31)],
  // The first ten of R. Korf, Depth-first iterative-deepening: an optimal admissible tree search, 1985.
  4: [
    instance("14 13 15 7 11 12 9 5 6 0 2 1 4 8 10 3", 26_000_000, 57),
    instance("13 5 4 10 9 12 8 14 2 3 7 1 0 15 11 6", 8_000_000, 55),
    instance("14 7 8 2 13 11 10 4 9 12 5 0 3 6 1 15", 60_000_000, 59),
    instance("5 12 10 7 15 11 14 0 8 2 1 13 3 4 9 6", 10_000_000, 56),
    instance("4 7 14 13 10 3 9 12 11 5 6 15 1 2 8 0", 4_000_000, 56),
    instance("14 7 1 9 12 3 6 15 8 11 2 5 10 0 4 13", 2_000_000, 52),
    instance("2 11 15 5 13 4 6 7 12 8 10 1 9 3 14 0", 14_000_000, 52),
    instance("12 11 15 3 8 0 4 2 6 13 9 5 14 1 10 7", 6_000_000, 50),
    instance("3 14 9 11 5 4 8 2 13 12 6 7 10 1 15 0", 1_000_000, 46),
    instance("13 11 8 9 0 15 7 10 4 3 6 14 5 12 2 1", 34_000_000, 59),
  ],
  // Most boards of this one are beyond A* in any memory; this one was made by a hundred moves from the goal.
  5: [instance("6 2 11 7 3 5 17 19 8 4 16 9 14 13 12 1 15 22 0 23 10 20 18 21 24", 2_400_000, 56)],
};

/** The instance that is solved unless another is asked for: each takes some seconds at the most. */
export const USUAL_INSTANCE: Readonly<Record<number, number>> = { 3: 1, 4: 5, 5: 1 };
