/**
 * A worker of a storm.
 *
 * @module
 */
import { parentPort } from "node:worker_threads";

import { Heap } from "@heapwright/core";
import { random } from "@heapwright/core/testing";

import { type Fault, plant } from "./insides.ts";
import { Ledger } from "./ledger.ts";
import { Program } from "./program.ts";

/** What a worker is sent after the heap. */
export interface Order {
  readonly seat: number;
  readonly seats: number;
  readonly seed: number;
  /** Where the ledger lies. */
  readonly ledger: number;
  readonly fault: Fault | undefined;
}

const ordered = new Promise<Order>((resolve) => {
  const listener = (message: object): void => {
    if (!("ledger" in message)) return;
    parentPort?.off("message", listener);
    resolve(message as Order);
  };
  parentPort?.on("message", listener);
});
const heap = await Heap.spawned();
const { seat, seats, seed, ledger, fault } = await ordered;
if (fault !== undefined) plant(heap, fault);
new Program(heap, new Ledger(heap.i32, ledger, seats), seat, random(seed)).run();
heap.detach();
