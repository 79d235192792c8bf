import { parentPort } from "node:worker_threads";

import { Heap } from "@heapwright/core";

import { everyPackage } from "./every-package.js";

parentPort?.postMessage(everyPackage(await Heap.spawned()));
