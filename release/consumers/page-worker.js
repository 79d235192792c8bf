import { Heap } from "@heapwright/core";

import { everyPackage } from "./every-package.js";

globalThis.postMessage(everyPackage(await Heap.spawned()));
