/** One program with two copies of core: its own, and the one that its @heapwright/pool was made for. */
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

import * as core from "@heapwright/core";
import { FixedMemPool, pool_fixed_alloc, pool_fixed_destroy, pool_fixed_init } from "@heapwright/pool";

const fromHere = createRequire(import.meta.url);
const fromPool = createRequire(fromHere.resolve("@heapwright/pool"));
/** @type {typeof core} */
const older = await import(pathToFileURL(fromPool.resolve("@heapwright/core")).href);

/** @param {() => unknown} misuse */
function refusal(misuse) {
  try {
    misuse();
  } catch (error) {
    const { code, message } = /** @type {core.HeapError} */ (error);
    return { code, message, isOurs: error instanceof core.HeapError };
  }
  return undefined;
}

const heap = new core.Heap({ bytes: 1 << 20 });
const pool = new FixedMemPool(16, 100, { backing: heap });
const ptr = pool.malloc(16);
heap.u32[ptr >>> 2] = 42;
const held = heap.u32[ptr >>> 2];
const liveBlocks = heap.stats().liveBlocks;
pool.free(ptr);
const doubleFree = refusal(() => pool.free(ptr));
pool.destroy();

const isOne = older.defaultHeap() === core.defaultHeap();
core.setGlobalAllocator(heap);
const isGlobal = older.globalAllocator() === heap;
const fixed = pool_fixed_init(16, 100);
const block = pool_fixed_alloc(fixed);
const isThere = [...heap.blocks()].some(({ ptr: start, size }) => block >= start && block < start + size);
pool_fixed_destroy(fixed);

// What our copy shares, the other one's packages lock.
const shared = new core.Heap({ bytes: 1 << 20, shared: true });
const sharedPool = new FixedMemPool(16, 100, { backing: shared });
const { lock } = shared;
const { enter } = lock;
let locks = 0;
lock.enter = (call) => {
  locks += 1;
  return enter.call(lock, call);
};
sharedPool.free(sharedPool.malloc(16));

console.log(
  JSON.stringify({
    copies: core.Heap === older.Heap ? 1 : 2,
    held,
    liveBlocks,
    doubleFree,
    liveAtTheEnd: heap.stats().liveBlocks,
    isOne,
    isGlobal,
    isThere,
    locks,
    symbol: Symbol.for("heapwright.global") in globalThis,
    newerOfOlder: refusal(() => core.Heap.attach(new older.Heap({ bytes: 65_536 }).image())),
    olderOfNewer: refusal(() => older.Heap.attach(new core.Heap({ bytes: 65_536 }).image())),
  }),
);
