/** The example's queue: both of its kinds give what a heap of priorities gives, and what is taken out is not given. */
import { array, Heap, NULL, type Ptr } from "@heapwright/core";
import { random, runs, seedFromEnv } from "@heapwright/core/testing";
import FlatQueue from "flatqueue";
import { expect, test } from "vitest";

import { BucketQueue, Links, ObjectQueue, priorityOf, type Queued } from "../examples/bucket-queue.ts";

const NODES = 500;

class Node implements Queued<Node> {
  before: Node | undefined;
  behind: Node | undefined;
  readonly number: number;
  constructor(number: number) {
    this.number = number;
  }
}

test("nodes come out by priority, the last one of equals first, and where they were moved to", () => {
  const draw = random(seedFromEnv());
  const heap = new Heap({ bytes: 1 << 16 });
  const nodes = heap.malloc(array(Links, NODES).size);
  const at = (number: number): Ptr => (nodes + number * Links.size) as Ptr;
  const objects = Array.from({ length: NODES }, (_, number) => new Node(number));
  const queue = new BucketQueue(heap);
  const objectQueue = new ObjectQueue<Node>();
  // Equals are told apart by when they were queued; what has been moved is passed over.
  const oracle = new FlatQueue<readonly [number: number, time: number]>();
  const queued = new Map<number, { priority: number; time: number }>();
  const enter = (number: number, priority: number, time: number): void => {
    queue.push(at(number), priority);
    objectQueue.push(objects[number]!, priority);
    oracle.push([number, time], priority - time / 2 ** 32);
    queued.set(number, { priority, time });
  };
  let popped = 0;
  for (let time = 1; time < runs(20_000); time += 1) {
    const number = Math.floor(draw() * NODES);
    const priority = priorityOf(Math.floor(draw() ** 2 * 12), Math.floor(draw() * 12));
    const known = queued.get(number);
    if (draw() < 0.55) {
      if (known !== undefined) {
        queue.remove(at(number), known.priority);
        objectQueue.remove(objects[number]!, known.priority);
      }
      enter(number, priority, time);
      continue;
    }
    let next = oracle.pop();
    while (next !== undefined && queued.get(next[0])?.time !== next[1]) next = oracle.pop();
    expect(objectQueue.pop()?.number, `step ${time}`).toBe(next?.[0]);
    expect(queue.pop(Infinity), `step ${time}`).toBe(next === undefined ? NULL : at(next[0]));
    if (next !== undefined) queued.delete(next[0]);
    popped += 1;
  }
  expect(popped).toBeGreaterThan(1000);
  heap.free(nodes);
});

test("nodes that could not be on a way of less than the limit stay where they are", () => {
  const heap = new Heap({ bytes: 1 << 12 });
  const [near, far] = [heap.malloc(Links.size), heap.malloc(Links.size)];
  const queue = new BucketQueue(heap);
  queue.push(far, priorityOf(255, 0));
  queue.push(near, priorityOf(0, 20));
  expect(queue.pop(20)).toBe(NULL);
  expect(queue.pop(21)).toBe(near);
  expect(queue.pop(255)).toBe(NULL);
  expect(queue.pop(256)).toBe(far);
  expect(queue.pop(Infinity)).toBe(NULL);
  for (const ptr of [near, far]) heap.free(ptr);
});

test("a priority is the way first, then the moves so far", () => {
  expect(priorityOf(3, 4)).toBeLessThan(priorityOf(2, 5));
  expect(priorityOf(0, 7)).toBeLessThan(priorityOf(8, 0));
  expect(priorityOf(255, 0)).toBeLessThan(2 ** 16);
});
