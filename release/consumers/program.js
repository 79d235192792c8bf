/** Imported as modules: heaps of all kinds, and a worker on a shared one. */
import { Heap } from "@heapwright/core";

import { everyPackage } from "./every-package.js";

/** @import { Worker } from "node:worker_threads" */

const found = [new Heap({ bytes: 1 << 20 }), new Heap({ bytes: 1 << 20, maxBytes: 1 << 30 })].map(everyPackage);
const shared = new Heap({ bytes: 1 << 20, shared: true });
found.push(everyPackage(shared));

const worker = /** @type {Worker} */ (shared.spawn(new URL("./program-worker.js", import.meta.url)));
worker.once("error", (error) => {
  throw error;
});
worker.once("message", async (inWorker) => {
  await worker.terminate();
  console.log(JSON.stringify([...found, inWorker]));
});
