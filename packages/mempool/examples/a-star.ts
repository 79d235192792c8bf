/**
 * A* with its nodes in a heap: codec structs, each in a block of an allocator, a mempool or malloc. A node is made for each
 * successor and freed when its board is known already, as the program that mempool was written for does.
 *
 * What is known, open or closed, is found by its board in a table of chains, which lies in the heap too. The queue is linked
 * through the nodes: a node that is reached on a shorter way is moved to its new place.
 */
import {
  type Allocator,
  array,
  type ArrayCodec,
  bool,
  NULL,
  type Ptr,
  ptr as pointer,
  type ScalarCodec,
  struct,
  type StructCodec,
  u32,
  u8,
  type Views,
} from "@heapwright/core";

import { BucketQueue, priorityOf } from "./bucket-queue.ts";
import { type Found, mix, type Puzzle } from "./puzzle.ts";

/** A node: its place in the queue, how its board was reached, and the board. */
export type NodeCodec = StructCodec<{
  before: ScalarCodec<Ptr>;
  behind: ScalarCodec<Ptr>;
  parent: ScalarCodec<Ptr>;
  /** The next one of its chain. */
  next: ScalarCodec<Ptr>;
  /** Moves from the start, and at least to the goal. */
  cost: ScalarCodec<number>;
  estimate: ScalarCodec<number>;
  blank: ScalarCodec<number>;
  isClosed: ScalarCodec<boolean>;
  board: ArrayCodec<ScalarCodec<number>>;
}>;

/** All but the board, in the same place whatever its size; hot code takes accessors out of a struct of these. */
const FIELDS = {
  before: pointer,
  behind: pointer,
  parent: pointer,
  next: pointer,
  cost: u8,
  estimate: u8,
  blank: u8,
  isClosed: bool,
} as const;

export function nodeOf(puzzle: Puzzle): NodeCodec {
  return struct({ ...FIELDS, board: array(u32, puzzle.words) });
}

const { get, set } = struct(FIELDS);
const { parent: parentOf, next: nextOf, cost: costOf, estimate: estimateOf, blank: blankOf, isClosed } = get;
const { parent: setParent, next: setNext, cost: setCost, estimate: setEstimate, blank: setBlank } = set;
const { isClosed: setClosed } = set;

/** Chains of a table for so many nodes: a power of two. */
export function chainsFor(nodes: number): number {
  return 2 ** Math.ceil(Math.log2(nodes));
}

/** Bytes that a search needs besides its nodes. */
export function tableBytes(nodes: number): number {
  return chainsFor(nodes) * u32.size;
}

/** What is known so far, and what is to be looked at next. Nodes are never freed once they are known. */
export class Search {
  readonly puzzle: Puzzle;
  readonly allocator: Allocator;
  readonly heap: Allocator["heap"];
  readonly node: NodeCodec;
  readonly queue: BucketQueue;
  /** What accessors read and write through: the heap does not grow, so its views may be kept. */
  readonly views: Views;
  readonly view: Uint32Array;
  /** Bytes from a node to its board. */
  readonly boardAt: number;
  readonly table: Ptr;
  readonly chainMask: number;
  boards = 0;
  expanded = 0;

  /**
   * @param allocator - serves the nodes, of a heap that does not grow
   * @param limit - about the most nodes that there may be: the table is made for so many
   */
  constructor(puzzle: Puzzle, allocator: Allocator, limit: number) {
    const { heap } = allocator;
    this.puzzle = puzzle;
    this.allocator = allocator;
    this.heap = heap;
    this.node = nodeOf(puzzle);
    this.views = {
      u8: heap.u8,
      i8: heap.i8,
      u16: heap.u16,
      i16: heap.i16,
      u32: heap.u32,
      i32: heap.i32,
      f32: heap.f32,
      f64: heap.f64,
      u64: heap.u64,
      i64: heap.i64,
    };
    this.queue = new BucketQueue(this.views);
    this.view = heap.u32;
    this.boardAt = this.node.offsets.board;
    this.table = heap.calloc(chainsFor(limit), u32.size);
    this.chainMask = chainsFor(limit) - 1;
    if (this.table === NULL) throw new Error("no room for the table");
  }

  /** Gives the table back. */
  [Symbol.dispose](): void {
    this.heap.free(this.table);
  }

  /** Makes the node that the search begins with. */
  root(board: readonly number[]): Ptr {
    const { puzzle, views, node, boardAt, view } = this;
    const root = this.made();
    puzzle.pack(board).forEach((word, at) => (view[((root + boardAt) >>> 2) + at] = word));
    node.set.parent(views, root, NULL);
    node.set.cost(views, root, 0);
    node.set.estimate(views, root, puzzle.estimate(board));
    node.set.blank(views, root, board.indexOf(0));
    return root;
  }

  hashOf(ptr: Ptr): number {
    const { view } = this;
    const first = (ptr + this.boardAt) >>> 2;
    let hash = 0;
    for (let word = first; word < first + this.puzzle.words; word += 1) hash = mix(hash, view[word] ?? 0);
    return hash;
  }

  /** Makes a node known, or finds that its board is, perhaps on a longer way, and frees it. */
  admit(ptr: Ptr, hash: number): void {
    const { views, view } = this;
    const chain = (this.table >>> 2) + (hash & this.chainMask);
    const cost = costOf(views, ptr);
    const estimate = estimateOf(views, ptr);
    let known = (view[chain] ?? 0) as Ptr;
    while (known !== NULL && !this.isSameBoard(known, ptr)) known = nextOf(views, known);
    if (known === NULL) {
      setClosed(views, ptr, false);
      setNext(views, ptr, (view[chain] ?? 0) as Ptr);
      view[chain] = ptr;
      this.queue.push(ptr, priorityOf(cost, estimate));
      this.boards += 1;
      return;
    }
    const parent = parentOf(views, ptr);
    this.allocator.free(ptr);
    const former = costOf(views, known);
    if (cost >= former) return;
    // Closed, it can be reached on a shorter way only where several agents search.
    if (isClosed(views, known)) setClosed(views, known, false);
    else this.queue.remove(known, priorityOf(former, estimate));
    setParent(views, known, parent);
    setCost(views, known, cost);
    this.queue.push(known, priorityOf(cost, estimate));
  }

  /** Makes a node's successors; what becomes of them, `settle` decides. */
  expand(ptr: Ptr): void {
    const { views, view, boardAt } = this;
    const { cells, words, neighbours, distances, wordOf, shiftOf, tileMask } = this.puzzle;
    const from = (ptr + boardAt) >>> 2;
    const blank = blankOf(views, ptr);
    const cost = costOf(views, ptr) + 1;
    const estimate = estimateOf(views, ptr);
    const parent = parentOf(views, ptr);
    const back = parent === NULL ? -1 : blankOf(views, parent);
    const beside = blank * 5;
    this.expanded += 1;
    for (let at = beside; at < beside + (neighbours[beside + 4] ?? 0); at += 1) {
      const cell = neighbours[at] ?? 0;
      if (cell === back) continue;
      const child = this.made();
      const to = (child + boardAt) >>> 2;
      for (let word = 0; word < words; word += 1) view[to + word] = view[from + word] ?? 0;
      const [source, target] = [to + (wordOf[cell] ?? 0), to + (wordOf[blank] ?? 0)];
      const tile = ((view[source] ?? 0) >>> (shiftOf[cell] ?? 0)) & tileMask;
      view[source] = (view[source] ?? 0) ^ (tile << (shiftOf[cell] ?? 0));
      view[target] = (view[target] ?? 0) | (tile << (shiftOf[blank] ?? 0));
      const gained = (distances[tile * cells + blank] ?? 0) - (distances[tile * cells + cell] ?? 0);
      setParent(views, child, ptr);
      setCost(views, child, cost);
      setEstimate(views, child, estimate + gained);
      setBlank(views, child, cell);
      this.settle(child);
    }
  }

  settle(child: Ptr): void {
    this.admit(child, this.hashOf(child));
  }

  /** The next open node, closed now; `NULL` when there is none that could be on a way of less than `limit` moves. */
  next(limit: number): Ptr {
    const ptr = this.queue.pop(limit);
    if (ptr !== NULL) setClosed(this.views, ptr, true);
    return ptr;
  }

  pathTo(goal: Ptr): number[] {
    const { views } = this;
    const path: number[] = [];
    for (let at = goal; at !== NULL && parentOf(views, at) !== NULL; at = parentOf(views, at))
      path.push(blankOf(views, at));
    return path.reverse();
  }

  /** Memory for a node. */
  made(): Ptr {
    const ptr = this.allocator.malloc(this.node.size);
    if (ptr === NULL) throw new Error(`no room for more than ${this.boards} boards; ask for more nodes`);
    return ptr;
  }

  isSameBoard(one: Ptr, other: Ptr): boolean {
    const { view, boardAt } = this;
    const [a, b] = [(one + boardAt) >>> 2, (other + boardAt) >>> 2];
    for (let word = 0; word < this.puzzle.words; word += 1) if (view[a + word] !== view[b + word]) return false;
    return true;
  }
}

/**
 * Finds a shortest solution.
 *
 * @param board - solvable
 * @param allocator - serves the nodes, of a heap that does not grow
 * @param limit - the most nodes that there may be
 * @throws Error when there is no room for another node
 */
export function search(puzzle: Puzzle, board: readonly number[], allocator: Allocator, limit: number): Found {
  const known = new Search(puzzle, allocator, limit);
  const { views } = known;
  const begin = performance.now();
  known.settle(known.root(board));
  let at = known.next(Infinity);
  while (at !== NULL && estimateOf(views, at) > 0) {
    known.expand(at);
    at = known.next(Infinity);
  }
  const milliseconds = performance.now() - begin;
  const { expanded, boards } = known;
  const path = known.pathTo(at);
  known[Symbol.dispose]();
  return { path, expanded, boards, milliseconds };
}
