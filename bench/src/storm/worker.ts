/**
 * A worker of a storm.
 *
 * @module
 */
import { workerData } from "node:worker_threads";

import { Heap } from "@heapwright/core";
import { random } from "@heapwright/core/testing";

import { type Fault, plant } from "./insides.ts";
import { Ledger } from "./ledger.ts";
import { Program } from "./program.ts";

/** What a worker is started with. */
export interface Order {
  readonly seat: number;
  readonly seats: number;
  readonly seed: number;
  /** Where the ledger lies. */
  readonly ledger: number;
  readonly fault: Fault | undefined;
}

const { seat, seats, seed, ledger, fault } = workerData as Order;
const heap = await Heap.spawned();
if (fault !== undefined) plant(heap, fault);
new Program(heap, new Ledger(heap.i32, ledger, seats), seat, random(seed)).run();
heap.detach();
