/** A page: private heaps wherever it is, shared ones and a worker where it is cross-origin isolated. */
import { Heap } from "@heapwright/core";

import { everyPackage } from "./every-package.js";

/** @import { HeapError } from "@heapwright/core" */

function inShared() {
  const heap = new Heap({ bytes: 1 << 20, shared: true });
  const found = everyPackage(heap);
  const worker = heap.spawn(new Worker(new URL("./page-worker.js", import.meta.url), { type: "module" }));
  return new Promise((resolve, reject) => {
    worker.addEventListener("message", ({ data }) => resolve([found, data]));
    worker.addEventListener("error", ({ message }) => reject(new Error(message)));
  });
}

async function all() {
  const inPrivate = [new Heap({ bytes: 1 << 20 }), new Heap({ bytes: 1 << 20, maxBytes: 1 << 30 })].map(everyPackage);
  try {
    return { isolated: crossOriginIsolated, inPrivate, inShared: await inShared() };
  } catch (error) {
    const { name, code, message } = /** @type {HeapError} */ (error);
    return { isolated: crossOriginIsolated, inPrivate, refusal: { name, code, message } };
  }
}

Object.assign(globalThis, { found: await all() });
