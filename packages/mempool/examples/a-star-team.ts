/**
 * Hash-distributed A*: several workers on one shared heap. Each board belongs to the worker that its hash names, who alone
 * knows whether it has been met. Whoever makes a node of another's board passes it on through a ring; who finds the board
 * known frees the node, so that blocks are freed by others than have allocated them, in the magazines of one pool.
 *
 * The search is over when nobody has an open node that could lead to something shorter than what has been found, and no
 * node is on its way: the sums of nodes sent and received are the same, and were when all were idle.
 */
import { once } from "node:events";
import { Worker } from "node:worker_threads";

import { array, Heap, NULL, type Ptr, ptr, type SharedHeap, struct, u32 } from "@heapwright/core";
import { Mempool } from "@heapwright/mempool";

import { nodeOf, Search, tableBytes } from "./a-star.ts";
import { type Found, Puzzle } from "./puzzle.ts";

const MEMBERS = 2;
/** With more, a worker runs further ahead of the other one, and meets more boards in vain. */
const RING_SLOTS = 4096;
/** Nodes that are expanded before a worker looks for mail. */
const BATCH = 64;
const NAP_MS = 1;
const MAGAZINE_BLOCKS = 256;
/** Who waits for a processor lets the other one run ahead, with boards that one search alone would not have met. */
const SURPLUS = 1.5;
/** No solution is that long. */
const UNSOLVED = 255;

/** A ring from one worker to another: the sender writes `tail`, the receiver `head`. */
const Ring = struct({ head: u32, tail: u32, slots: array(ptr, RING_SLOTS) });

/** What the workers know of each other. Each counter has one writer. */
const Team = struct({
  /** Moves of the shortest solution so far. */
  best: u32,
  isOver: u32,
  isIdle: array(u32, MEMBERS),
  sent: array(u32, MEMBERS),
  received: array(u32, MEMBERS),
  /** At `from * MEMBERS + to`. */
  rings: array(Ring, MEMBERS * MEMBERS),
});

/** What a worker is told. */
export interface Job {
  readonly width: number;
  readonly board: readonly number[];
  readonly nodes: number;
  readonly member: number;
}

/** What a worker answers: its share, and the path if it has met the goal. */
export interface Share {
  readonly path: readonly number[] | undefined;
  readonly expanded: number;
  readonly boards: number;
}

/** Boards are told apart by their hashes, so that each worker has about as many. */
function shareOf(nodes: number): number {
  return Math.ceil(nodes / MEMBERS);
}

/** One worker's part of the search. */
class Member extends Search {
  readonly #words: Int32Array;
  readonly #team: number;
  readonly #member: number;
  #goal: Ptr = NULL;

  constructor(heap: SharedHeap, { width, nodes, member }: Job) {
    super(new Puzzle(width), Mempool.attach(heap, heap.root("pool")), shareOf(nodes));
    this.#words = heap.i32;
    this.#team = heap.root("team");
    this.#member = member;
  }

  override settle(child: Ptr): void {
    const hash = this.hashOf(child);
    // By other bits than those that tell the chain.
    const owner = (hash >>> 27) % MEMBERS;
    if (owner === this.#member) this.#meet(child, hash);
    else this.#send(child, owner);
  }

  /** Searches until the team is done. */
  run(board: readonly number[]): Share {
    const { views, node } = this;
    const root = this.#member === 0 ? this.root(board) : NULL;
    if (root !== NULL) this.settle(root);
    while (this.#load(Team.offsets.isOver) === 0) {
      this.#receive();
      let isIdle = true;
      for (let left = BATCH; left > 0; left -= 1) {
        const at = this.next(this.#load(Team.offsets.best));
        if (at === NULL) break;
        isIdle = false;
        this.expand(at);
      }
      if (isIdle) this.#rest();
    }
    const isBest = this.#goal !== NULL && node.get.cost(views, this.#goal) === this.#load(Team.offsets.best);
    return { path: isBest ? this.pathTo(this.#goal) : undefined, expanded: this.expanded, boards: this.boards };
  }

  #meet(child: Ptr, hash: number): void {
    const { views, node } = this;
    if (node.get.estimate(views, child) > 0) return this.admit(child, hash);
    // The goal: all that belong to it come here, and the cheapest is kept.
    const cost = node.get.cost(views, child);
    if (this.#goal === NULL || cost < node.get.cost(views, this.#goal)) {
      this.#goal = child;
      Atomics.store(this.#words, (this.#team + Team.offsets.best) >>> 2, cost);
    }
  }

  #send(child: Ptr, to: number): void {
    const ring = this.#ring(this.#member, to);
    const tail = this.#words[(ring + Ring.offsets.tail) >>> 2] ?? 0;
    const head = (ring + Ring.offsets.head) >>> 2;
    for (let found = Atomics.load(this.#words, head); (tail + 1) % RING_SLOTS === found;) {
      // Full. The other one may be waiting for room in a ring to us.
      this.#receive();
      Atomics.wait(this.#words, head, found, NAP_MS);
      found = Atomics.load(this.#words, head);
    }
    Atomics.add(this.#words, this.#counter(Team.offsets.sent, this.#member), 1);
    this.#words[((ring + Ring.offsets.slots) >>> 2) + tail] = child;
    Atomics.store(this.#words, (ring + Ring.offsets.tail) >>> 2, (tail + 1) % RING_SLOTS);
  }

  /** Meets what others have sent. */
  #receive(): void {
    for (let from = 0; from < MEMBERS; from += 1) {
      const ring = this.#ring(from, this.#member);
      const tail = Atomics.load(this.#words, (ring + Ring.offsets.tail) >>> 2);
      let head = this.#words[(ring + Ring.offsets.head) >>> 2] ?? 0;
      if (head !== tail) Atomics.store(this.#words, this.#counter(Team.offsets.isIdle, this.#member), 0);
      let count = 0;
      for (; head !== tail; head = (head + 1) % RING_SLOTS) {
        const child = ((this.#words[((ring + Ring.offsets.slots) >>> 2) + head] ?? 0) >>> 0) as Ptr;
        this.#meet(child, this.hashOf(child));
        count += 1;
      }
      if (count === 0) continue;
      Atomics.store(this.#words, (ring + Ring.offsets.head) >>> 2, head);
      Atomics.notify(this.#words, (ring + Ring.offsets.head) >>> 2);
      Atomics.add(this.#words, this.#counter(Team.offsets.received, this.#member), count);
    }
  }

  /** Says that it has nothing to do, and looks whether that goes for all. */
  #rest(): void {
    Atomics.store(this.#words, this.#counter(Team.offsets.isIdle, this.#member), 1);
    // In this order: what was received before all were idle is what was sent after that.
    const received = this.#sum(Team.offsets.received);
    const idle = this.#sum(Team.offsets.isIdle);
    const sent = this.#sum(Team.offsets.sent);
    const over = (this.#team + Team.offsets.isOver) >>> 2;
    if (idle === MEMBERS && sent === received) Atomics.store(this.#words, over, 1);
    Atomics.wait(this.#words, over, 0, NAP_MS);
  }

  #ring(from: number, to: number): number {
    return this.#team + Team.offsets.rings + (from * MEMBERS + to) * Ring.size;
  }
  #counter(offset: number, member: number): number {
    return ((this.#team + offset) >>> 2) + member;
  }
  #sum(offset: number): number {
    let sum = 0;
    for (let member = 0; member < MEMBERS; member += 1) sum += Atomics.load(this.#words, this.#counter(offset, member));
    return sum;
  }
  #load(offset: number): number {
    return Atomics.load(this.#words, (this.#team + offset) >>> 2);
  }
}

/** What runs in a worker. */
export function searchAsMember(heap: SharedHeap, job: Job): Share {
  return new Member(heap, job).run(job.board);
}

/** Finds a shortest solution by two workers. As `search` does, but that each counts its own boards. */
export async function searchInTeam(puzzle: Puzzle, board: readonly number[], nodes: number): Promise<Found> {
  const blockBytes = Math.ceil(nodeOf(puzzle).size / 16) * 16;
  const room = Math.ceil(nodes * SURPLUS);
  const bytes = room * (blockBytes + 5) + MEMBERS * tableBytes(shareOf(nodes)) + Team.size + (1 << 20);
  const heap = new Heap({ bytes, shared: true });
  const pool = new Mempool(room * blockBytes, blockBytes, { backing: heap, magazine: MAGAZINE_BLOCKS });
  const team = heap.calloc(1, Team.size);
  if (team === NULL) throw new Error("no room for the team");
  Team.set.best(heap, team, UNSOLVED);
  heap.setRoot("pool", pool.handle);
  heap.setRoot("team", team);
  const workers = Array.from({ length: MEMBERS }, () =>
    heap.spawn(new Worker(new URL("./n-puzzle.worker.js", import.meta.url))),
  );
  await Promise.all(workers.map((worker) => once(worker, "message")));
  const begin = performance.now();
  const answers = workers.map((worker) => once(worker, "message"));
  workers.forEach((worker, member) => {
    const job: Job = { width: puzzle.width, board, nodes, member };
    worker.postMessage(job);
  });
  const shares = (await Promise.all(answers)).map(([share]) => share as Share);
  const milliseconds = performance.now() - begin;
  await Promise.all(workers.map((worker) => worker.terminate()));
  pool.check();
  return {
    path: shares.find((share) => share.path !== undefined)?.path ?? [],
    expanded: shares.reduce((sum, share) => sum + share.expanded, 0),
    boards: shares.reduce((sum, share) => sum + share.boards, 0),
    milliseconds,
  };
}
