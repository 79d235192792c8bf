/** One of the workers of a-star-team. */
import { parentPort } from "node:worker_threads";

import { Heap } from "@heapwright/core";

import { type Job, searchAsMember } from "./a-star-team.ts";

const heap = await Heap.spawned();
parentPort?.on("message", (job: Job) => {
  parentPort?.postMessage(searchAsMember(heap, job));
});
parentPort?.postMessage("ready");
