import { expect, it } from "vitest";

import { KIND_BITS } from "../src/prepared.ts";
import { ALLOCATE, FREE, REALLOCATE } from "../src/trace.ts";
import { prepared } from "./load.ts";

it("keeps each operation as id, kind and size, the leftovers and the peak", () => {
  const trace = prepared(["a 0 16", "a 1 4294967295", "r 0 8", "f 1"]);
  const [block0, block1] = [0 << KIND_BITS, 1 << KIND_BITS];
  const expected = [block0 | ALLOCATE, 16, block1 | ALLOCATE, 4294967295, block0 | REALLOCATE, 8, block1 | FREE, 0];
  expect([...trace.operations]).toEqual(expected);
  expect([...trace.leftovers]).toEqual([0]);
  expect(trace.idCount).toBe(2);
  expect(prepared(["a 0 16", "a 1 50"]).peakBytes).toBe(66);
});

it("repeats a short trace that ends empty, and no other", () => {
  expect(prepared(["a 0 16", "f 0"]).repeats).toBe(10_000);
  expect(prepared(["a 0 16"]).repeats).toBe(1);
});
