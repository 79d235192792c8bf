/**
 * A use of every package, the same in every runtime.
 *
 * @module
 */
// oxlint-disable-next-line import/no-unassigned-import -- imported for what it does
import "@heapwright/apf/global";

import { check_override } from "@heapwright/apf/c";
import { HashMap } from "@heapwright/apf/collections";
import { f64, NULL, struct, u32 } from "@heapwright/core";

import { placersOf } from "./placers.js";

/** @import { Heap, HeapBuffer, HeapError } from "@heapwright/core" */

const Point = struct({ id: u32, x: f64, y: f64 });

/**
 * Places 100 points with each allocator, reads them again, gives half of them back and then all.
 *
 * @param {Heap<HeapBuffer>} heap
 * @returns what came of it: for each allocator the sum of what was read; how misuse was answered; what is live at the end
 */
export function everyPackage(heap) {
  const placers = placersOf(heap, Point.size);
  /** @type {Record<string, number>} */
  const sums = {};
  for (const { name, place, give, end } of placers) {
    const points = Array.from({ length: 100 }, place);
    if (points.includes(NULL)) throw new Error("the heap is full");
    points.forEach((point, id) => Point.write(heap, point, { id, x: id / 2, y: -id }));
    for (const point of points.splice(50)) give(point);
    sums[name] = points.reduce((sum, point) => sum + Point.get.x(heap, point) + Point.get.y(heap, point), 0);
    for (const point of points) give(point);
    end();
  }
  const map = new HashMap(u32, u32, { backing: heap });
  map.insert(7, 30);
  sums["hash map"] = map.get(7) ?? 0;
  map[Symbol.dispose]();
  const ptr = heap.malloc(16);
  heap.free(ptr);
  /** @type {string | undefined} */
  let code;
  try {
    heap.free(ptr);
  } catch (error) {
    ({ code } = /** @type {HeapError} */ (error));
  }
  heap.check();
  return { sums, code, override: check_override(), liveBlocks: heap.stats().liveBlocks };
}
