/**
 * Open nodes by priority, a small whole number: a list for each, linked through the nodes themselves. So a node is its own
 * index, and is taken out wherever it stands. All is O(1), but for steps over empty lists.
 *
 * Two of them, the same step for step: one links nodes in a heap, the other objects.
 */
import { NULL, type Ptr, ptr, struct, type Views } from "@heapwright/core";

/** Priorities are less than this. */
const PRIORITIES = 1 << 16;
const COST_BITS = 8;
const MAX_COST = 255;

/**
 * Of two nodes with the same estimate of the whole way the one that has come further is looked at first.
 *
 * @param cost - moves so far, and `estimate` those to come, at least: 255 together at the most
 */
export function priorityOf(cost: number, estimate: number): number {
  return ((cost + estimate) << COST_BITS) - cost;
}

/** The estimate of the whole way that a priority was made of. */
function wayOf(priority: number): number {
  return (priority + MAX_COST) >>> COST_BITS;
}

/** What a node in a heap begins with to be queued: its neighbours in the list. */
export const Links = struct({ before: ptr, behind: ptr });
const { before: beforeOf, behind: behindOf } = Links.get;
const { before: setBefore, behind: setBehind } = Links.set;

/** Of nodes in a heap. */
export class BucketQueue {
  readonly #views: Views;
  readonly #heads = new Uint32Array(PRIORITIES);
  /** No list before this one has a node. */
  #lowest = PRIORITIES;

  constructor(views: Views) {
    this.#views = views;
  }

  push(node: Ptr, priority: number): void {
    const head = (this.#heads[priority] ?? 0) as Ptr;
    setBefore(this.#views, node, NULL);
    setBehind(this.#views, node, head);
    if (head !== NULL) setBefore(this.#views, head, node);
    this.#heads[priority] = node;
    if (priority < this.#lowest) this.#lowest = priority;
  }

  /** Takes out a node that was queued with this priority. */
  remove(node: Ptr, priority: number): void {
    const before = beforeOf(this.#views, node);
    const behind = behindOf(this.#views, node);
    if (before === NULL) this.#heads[priority] = behind;
    else setBehind(this.#views, before, behind);
    if (behind !== NULL) setBefore(this.#views, behind, before);
  }

  /** Takes out the node of the lowest priority, among equals the one queued last; `NULL` when no way is below `limit`. */
  pop(limit: number): Ptr {
    let lowest = this.#lowest;
    while (lowest < PRIORITIES && this.#heads[lowest] === NULL) lowest += 1;
    this.#lowest = lowest;
    if (lowest === PRIORITIES || wayOf(lowest) >= limit) return NULL;
    const node = (this.#heads[lowest] ?? 0) as Ptr;
    this.remove(node, lowest);
    return node;
  }
}

/** What an object has to be queued. */
export interface Queued<T> {
  before: T | undefined;
  behind: T | undefined;
}

/** Of objects. */
export class ObjectQueue<T extends Queued<T>> {
  readonly #heads = Array.from<T | undefined>({ length: PRIORITIES }).fill(undefined);
  #lowest = PRIORITIES;

  push(node: T, priority: number): void {
    const head = this.#heads[priority];
    node.before = undefined;
    node.behind = head;
    if (head !== undefined) head.before = node;
    this.#heads[priority] = node;
    if (priority < this.#lowest) this.#lowest = priority;
  }

  remove(node: T, priority: number): void {
    const { before, behind } = node;
    if (before === undefined) this.#heads[priority] = behind;
    else before.behind = behind;
    if (behind !== undefined) behind.before = before;
  }

  pop(): T | undefined {
    let lowest = this.#lowest;
    while (lowest < PRIORITIES && this.#heads[lowest] === undefined) lowest += 1;
    this.#lowest = lowest;
    const node = this.#heads[lowest];
    if (node !== undefined) this.remove(node, lowest);
    return node;
  }
}
