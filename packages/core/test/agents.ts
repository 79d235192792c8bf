import { Heap } from "../src/heap.ts";
import type { SharedHeap } from "../src/shared-heap.ts";
import type { HeapDescriptor } from "../src/slots.ts";
import type { WorkerLike } from "../src/worker.ts";

/** Several agents in one process: an agent is known by numbers that it draws once and keeps in its global object. */

const place = globalThis as { [key: symbol]: unknown };
const KEY = Symbol.for("heapwright.agent");

/** Does something as an agent that nobody has seen before. What it attaches is its own for good. */
export function asAnother<T>(act: () => T): T {
  const kept = place[KEY];
  delete place[KEY];
  try {
    return act();
  } finally {
    place[KEY] = kept;
  }
}

/** Another agent's object on a heap. */
export function attachAnother(heap: SharedHeap | HeapDescriptor): SharedHeap {
  return asAnother(() => Heap.attach("heapwright" in heap ? heap : heap.share()));
}

/** A worker as its supervisor sees it, that ends when the test says so. */
export class FakeWorker implements WorkerLike {
  readonly posted: unknown[] = [];
  threadId = 7;
  isTerminated = false;
  readonly #listeners: (() => void)[] = [];

  postMessage(message: unknown): void {
    this.posted.push(message);
  }
  once(_event: "exit", listener: () => void): void {
    this.#listeners.push(listener);
  }
  terminate(): void {
    this.isTerminated = true;
  }
  exit(): void {
    this.threadId = -1;
    for (const listener of this.#listeners.splice(0)) listener();
  }
}

/** Lets all that is waiting for its turn have it: a supervisor has buried its dead then, unless somebody holds the lock. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
