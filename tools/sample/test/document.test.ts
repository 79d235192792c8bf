/** One test for each statement of the document, its section named, in our own words. */
import { Heap, NULL } from "@heapwright/core";
import { expect, test } from "vitest";

import { sample_alloc, sample_free, sample_init } from "../src/index.ts";

test("Usage: blocks are handed out and given back", () => {
  const heap = new Heap({ bytes: 65_536 });
  using allocator = sample_init({ backing: heap });
  const [a, b] = [sample_alloc(allocator, 100), sample_alloc(allocator, 100)];
  expect(a).not.toBe(NULL);
  expect(Math.abs(a - b)).toBeGreaterThanOrEqual(100);
  sample_free(allocator, a);
  sample_free(allocator, b);
  expect(allocator.stats().liveBlocks).toBe(0);
});

test("Usage: NULL when memory is exhausted", () => {
  using allocator = sample_init({ backing: new Heap({ bytes: 65_536 }) });
  expect(sample_alloc(allocator, 100_000)).toBe(NULL);
  expect(allocator.stats().liveBlocks).toBe(0);
});
