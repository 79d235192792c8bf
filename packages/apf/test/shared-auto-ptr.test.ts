/** Owned pointers in a shared heap: what is forgotten is freed under the lock, all of it or nothing. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { Heap, struct, u32 } from "@heapwright/core";
import { allowLive } from "@heapwright/core/testing";
import { expect, test, vi } from "vitest";

// @boundaries-ignore it knows nothing of core but how agents are told apart, and tests ship nowhere
import { as, AGENT } from "../../core/test/shared-stage.ts";
import { ApfAllocator, AutoPtr, owning } from "../src/index.ts";
import { code } from "./made.ts";

test("an AutoPtr that another agent drops frees its block", () => {
  allowLive();
  const heap = new Heap({ bytes: 1 << 18, shared: true });
  const apf = new ApfAllocator({ backing: heap });
  const other = as(AGENT.guest, () => Heap.attach(heap.share()));
  const twin = ApfAllocator.attach(other, apf.handle);
  const ptr = AutoPtr.new(u32, 42, { backing: apf }).into_ptr();
  expect(apf.stats().liveBlocks).toBe(1);
  {
    using owned = AutoPtr.from_ptr(u32, ptr, { backing: twin });
    expect(owned.value).toBe(42);
  }
  expect(apf.stats().liveBlocks).toBe(0);
  expect(() => apf.free(ptr)).toThrow(code("ERR_DOUBLE_FREE"));
  apf.check();
  other.detach();
  apf.check();
  apf.destroy();
});

test("what is forgotten is dropped whole when the lock is to be had again", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  allowLive();
  const heap = new Heap({ bytes: 1 << 18, shared: true });
  const apf = new ApfAllocator({ backing: heap });
  const other = as(AGENT.guest, () => Heap.attach(heap.share()));
  const pair = owning(struct({ child: u32 }), () => ({ child: u32 }));
  const collected = async (): Promise<void> => {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 5));
  };
  (() => {
    for (let i = 0; i < 20; i += 1) {
      const child = AutoPtr.new(u32, i, { backing: apf }).into_ptr();
      AutoPtr.new(pair, { child }, { backing: apf });
    }
  })();
  expect(apf.stats().liveBlocks).toBe(40);
  // Patience is out at once.
  let now = 0;
  const clock = vi.spyOn(Date, "now").mockImplementation(() => (now += 3000));
  other.lock.acquire();
  for (let i = 0; i < 3; i += 1) await collected();
  other.lock.release();
  clock.mockRestore();
  expect(apf.stats().liveBlocks).toBe(40);
  // Whoever makes another one sees to those.
  for (let i = 0; i < 50 && apf.stats().liveBlocks > 0; i += 1) {
    await collected();
    AutoPtr.new(u32, 1, { backing: apf })[Symbol.dispose]();
  }
  expect(apf.stats().liveBlocks).toBe(0);
  other.detach();
  apf.destroy();
});
