/**
 * The same search on plain objects, as tight as they can be: numbers and references in fields, no arrays, no strings. Same
 * queue, same table of chains, same order of everything; only that nodes are objects, and freed by the garbage collector.
 */
import { chainsFor } from "./a-star.ts";
import { ObjectQueue, priorityOf } from "./bucket-queue.ts";
import { type Found, mix, type Puzzle } from "./puzzle.ts";

/** A board of up to 16 cells takes two words. */
class Node {
  before: Node | undefined;
  behind: Node | undefined;
  parent: Node | undefined;
  next: Node | undefined;
  cost: number;
  estimate: number;
  blank: number;
  first: number;
  second: number;

  constructor(board: Int32Array, parent: Node | undefined, cost: number, estimate: number, blank: number) {
    this.before = undefined;
    this.behind = undefined;
    this.parent = parent;
    this.next = undefined;
    this.cost = cost;
    this.estimate = estimate;
    this.blank = blank;
    this.first = board[0] ?? 0;
    this.second = board[1] ?? 0;
  }
  copyTo(board: Int32Array): void {
    board[0] = this.first;
    board[1] = this.second;
  }
  isBoard(board: Int32Array): boolean {
    return this.first === board[0] && this.second === board[1];
  }
}

/** One of 25 cells takes five. */
class WideNode extends Node {
  third: number;
  fourth: number;
  fifth: number;

  constructor(board: Int32Array, parent: Node | undefined, cost: number, estimate: number, blank: number) {
    super(board, parent, cost, estimate, blank);
    this.third = board[2] ?? 0;
    this.fourth = board[3] ?? 0;
    this.fifth = board[4] ?? 0;
  }
  override copyTo(board: Int32Array): void {
    super.copyTo(board);
    board[2] = this.third;
    board[3] = this.fourth;
    board[4] = this.fifth;
  }
  override isBoard(board: Int32Array): boolean {
    return super.isBoard(board) && this.third === board[2] && this.fourth === board[3] && this.fifth === board[4];
  }
}

/** As `search` of a-star does, without an allocator. */
export function searchObjects(puzzle: Puzzle, board: readonly number[], limit: number): Found {
  const { cells, words, neighbours, distances, wordOf, shiftOf, tileMask } = puzzle;
  const chains = chainsFor(limit);
  const table = Array.from<Node | undefined>({ length: chains }).fill(undefined);
  const queue = new ObjectQueue<Node>();
  const NodeOf = words === 2 ? Node : WideNode;
  const child = new Int32Array(words);
  let boards = 0;
  let expanded = 0;

  function admit(parent: Node | undefined, cost: number, estimate: number, blank: number): void {
    let hash = 0;
    for (let word = 0; word < words; word += 1) hash = mix(hash, child[word] ?? 0);
    const chain = hash & (chains - 1);
    // As there: a node is made for each successor, and let go of when its board is known.
    const node = new NodeOf(child, parent, cost, estimate, blank);
    let known = table[chain];
    while (known !== undefined && !known.isBoard(child)) known = known.next;
    if (known === undefined) {
      node.next = table[chain];
      table[chain] = node;
      queue.push(node, priorityOf(cost, estimate));
      boards += 1;
      return;
    }
    if (cost >= known.cost) return;
    queue.remove(known, priorityOf(known.cost, estimate));
    known.parent = parent;
    known.cost = cost;
    queue.push(known, priorityOf(cost, estimate));
  }

  function expand(node: Node): void {
    const { blank, estimate, parent } = node;
    const cost = node.cost + 1;
    const back = parent === undefined ? -1 : parent.blank;
    const beside = blank * 5;
    for (let at = beside; at < beside + (neighbours[beside + 4] ?? 0); at += 1) {
      const cell = neighbours[at] ?? 0;
      if (cell === back) continue;
      node.copyTo(child);
      const [source, target] = [wordOf[cell] ?? 0, wordOf[blank] ?? 0];
      const tile = ((child[source] ?? 0) >>> (shiftOf[cell] ?? 0)) & tileMask;
      child[source] = (child[source] ?? 0) ^ (tile << (shiftOf[cell] ?? 0));
      child[target] = (child[target] ?? 0) | (tile << (shiftOf[blank] ?? 0));
      const gained = (distances[tile * cells + blank] ?? 0) - (distances[tile * cells + cell] ?? 0);
      admit(node, cost, estimate + gained, cell);
    }
  }

  const begin = performance.now();
  child.set(puzzle.pack(board));
  admit(undefined, 0, puzzle.estimate(board), board.indexOf(0));
  let goal = queue.pop();
  while (goal !== undefined && goal.estimate > 0) {
    expanded += 1;
    expand(goal);
    goal = queue.pop();
  }
  const milliseconds = performance.now() - begin;
  const path: number[] = [];
  for (let at = goal; at?.parent !== undefined; at = at.parent) path.unshift(at.blank);
  return { path, expanded, boards, milliseconds };
}
