/** Sliding puzzles of width 3, 4 and 5. In the goal the blank, tile 0, comes first and the tiles follow in order. */

/** What a search looks up: all tables are flat. */
export class Puzzle {
  readonly width: number;
  readonly cells: number;
  /** Bits of a tile in a packed board as a mask, and tiles of a word. */
  readonly tileMask: number;
  readonly perWord: number;
  /** Words of a packed board. */
  readonly words: number;
  /** For each cell five entries: the cells beside it, from the first one on, and at the fifth how many. */
  readonly neighbours: Uint8Array;
  /** At `tile * cells + cell`: moves from that cell to the tile's place, if nothing were in the way. */
  readonly distances: Uint8Array;
  /** For each cell the word it lies in, and where in the word. */
  readonly wordOf: Uint8Array;
  readonly shiftOf: Uint8Array;

  constructor(width: number) {
    const cells = width * width;
    this.width = width;
    this.cells = cells;
    const bits = cells <= 16 ? 4 : 5;
    this.tileMask = (1 << bits) - 1;
    this.perWord = Math.floor(32 / bits);
    this.words = Math.ceil(cells / this.perWord);
    this.neighbours = new Uint8Array(cells * 5);
    this.distances = new Uint8Array(cells * cells);
    this.wordOf = Uint8Array.from({ length: cells }, (_, cell) => Math.floor(cell / this.perWord));
    this.shiftOf = Uint8Array.from({ length: cells }, (_, cell) => (cell % this.perWord) * bits);
    for (let cell = 0; cell < cells; cell += 1) {
      const [row, column] = [Math.floor(cell / width), cell % width];
      const beside: number[] = [];
      if (row > 0) beside.push(cell - width);
      if (column > 0) beside.push(cell - 1);
      if (column < width - 1) beside.push(cell + 1);
      if (row < width - 1) beside.push(cell + width);
      this.neighbours.set(beside, cell * 5);
      this.neighbours[cell * 5 + 4] = beside.length;
      for (let tile = 1; tile < cells; tile += 1) {
        const [goalRow, goalColumn] = [Math.floor(tile / width), tile % width];
        this.distances[tile * cells + cell] = Math.abs(row - goalRow) + Math.abs(column - goalColumn);
      }
    }
  }

  /** Manhattan distance: the moves that a board takes at the least. */
  estimate(board: readonly number[]): number {
    return board.reduce((sum, tile, cell) => sum + (this.distances[tile * this.cells + cell] ?? 0), 0);
  }

  /** A board as words, tile by tile from the lowest bits on. */
  pack(board: readonly number[]): number[] {
    const packed = Array.from({ length: this.words }, () => 0);
    board.forEach((tile, cell) => {
      const word = this.wordOf[cell] ?? 0;
      packed[word] = (packed[word] ?? 0) | (tile << (this.shiftOf[cell] ?? 0));
    });
    return packed;
  }

  /** Whether a board holds each tile once, and can be solved: half of all cannot. */
  isSolvable(board: readonly number[]): boolean {
    if (board.length !== this.cells || new Set(board).size !== this.cells) return false;
    if (board.some((tile) => tile < 0 || tile >= this.cells)) return false;
    // Each move of the blank changes the parity of the permutation, and of the blank's distance.
    const blank = board.indexOf(0);
    let parity = Math.floor(blank / this.width) + (blank % this.width);
    board.forEach((tile, at) => {
      for (const other of board.slice(at + 1)) if (other < tile) parity += 1;
    });
    return parity % 2 === 0;
  }

  /**
   * Moves the blank along a path of cells.
   *
   * @returns the board at its end
   * @throws Error when two cells of the path do not lie side by side
   */
  replay(board: readonly number[], path: readonly number[]): number[] {
    const moved = [...board];
    let blank = moved.indexOf(0);
    for (const cell of path) {
      const beside = this.neighbours.subarray(blank * 5, blank * 5 + (this.neighbours[blank * 5 + 4] ?? 0));
      if (!beside.includes(cell)) throw new Error(`no move from cell ${blank} to ${cell}`);
      moved[blank] = moved[cell] ?? 0;
      moved[cell] = 0;
      blank = cell;
    }
    return moved;
  }

  /** Whether a path solves a board. */
  isSolution(board: readonly number[], path: readonly number[]): boolean {
    return this.replay(board, path).every((tile, cell) => tile === cell);
  }
}

/** What a search has found. */
export interface Found {
  /** The cells that the blank goes to. */
  readonly path: readonly number[];
  /** Nodes whose successors were made. */
  readonly expanded: number;
  /** Different boards met. */
  readonly boards: number;
  readonly milliseconds: number;
}

/** Mixes the words of a packed board one after another: `hash = mix(hash, word)`, from 0. */
export function mix(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x9e37_79b1);
  return mixed ^ (mixed >>> 15);
}
