/** What importing the global subpath does: in a file of its own, since it cannot be taken back. */
import { calloc, free, globalAllocator, malloc, NULL, setGlobalAllocator } from "@heapwright/core";
import { allowLive } from "@heapwright/core/testing";
import { beforeEach, expect, test } from "vitest";

import { check_override } from "../src/c.ts";
import { ApfAllocator, defaultAllocator, do_free, get_allocation_size } from "../src/index.ts";

// An allocator keeps superblocks, which its heap takes for live.
beforeEach(() => allowLive());

test("the import makes apf the global allocator, under core's names and for every package", async () => {
  expect(check_override()).toBe(0);
  const { defaultAllocator: exported } = await import("../src/global.ts");
  expect(check_override()).toBe(1);
  expect(exported()).toBe(defaultAllocator());
  const ptr = malloc(100);
  expect(get_allocation_size(ptr)).toBe(112);
  const zeroed = calloc(3, 5);
  expect(zeroed).not.toBe(NULL);
  do_free(ptr);
  free(zeroed);
  using apf = new ApfAllocator();
  expect(apf.backing).toBe(globalAllocator());
  expect(apf.backing).toBe(defaultAllocator());
  setGlobalAllocator(undefined);
  expect(check_override()).toBe(0);
});
