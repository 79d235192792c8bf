/** ns for an allocate or a free of 64 bytes, allocated and freed at once: this allocator, and its backing. */
import { Heap } from "@heapwright/core";

import { Sample } from "../dist/index.js";

const COUNT = 1_000_000;
const ROUNDS = 7;

function time(allocator) {
  const start = performance.now();
  for (let i = 0; i < COUNT; i += 1) allocator.free(allocator.malloc(64));
  return ((performance.now() - start) * 1e6) / (2 * COUNT);
}

const heap = new Heap({ bytes: 1 << 20 });
const rows = [
  ["backing", heap],
  ["sample", new Sample({ backing: new Heap({ bytes: 1 << 20 }) })],
];
for (const [name, allocator] of rows) {
  const times = Array.from({ length: ROUNDS }, () => time(allocator)).sort((a, b) => a - b);
  console.log(name.padEnd(12), times[(ROUNDS - 1) / 2].toFixed(1));
}
