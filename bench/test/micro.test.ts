import { describe, expect, it } from "vitest";

import type { Pair } from "../src/adapter.ts";
import { commandOf, type FreeOrder, prepareWork, workOf } from "../src/micro.ts";
import { MICRO_WORKS } from "../src/micro-command.ts";

/** What is not touched is not looked at. */
const noBytes = (): Uint8Array => new Uint8Array(0);

/** Numbers blocks 1, 2, 3 and keeps which are live. */
class Spy implements Pair {
  readonly live = new Map<number, number>();
  readonly freed: number[] = [];
  readonly sizes: number[] = [];
  count = 0;

  malloc(size: number): number {
    this.live.set(++this.count, size);
    this.sizes.push(size);
    return this.count;
  }

  free(ptr: number): void {
    if (!this.live.delete(ptr)) throw new Error(`free(${ptr}): not live`);
    this.freed.push(ptr);
  }
}

it.each(Object.entries(MICRO_WORKS))("%s survives the way to the measuring process", (_, work) => {
  expect(workOf(commandOf(work))).toEqual(work);
});

it("unknown work is refused", () => {
  expect(() => workOf("micro batch 64 10 sideways")).toThrow(/no such work/);
});

it("pairs frees each block before the next", () => {
  const spy = new Spy();
  const work = prepareWork({ pattern: "pairs", size: 64 }, { target: spy, bytes: noBytes });
  work.pass();
  expect(spy.freed).toEqual(Array.from({ length: work.operations / 2 }, (_, index) => index + 1));
  expect(new Set(spy.sizes)).toEqual(new Set([64]));
});

describe("a batch of 100 is freed", () => {
  const freedIn = (order: FreeOrder): number[] => {
    const spy = new Spy();
    const work = prepareWork({ pattern: "batch", size: 64, count: 100, order }, { target: spy, bytes: noBytes });
    expect(work.operations).toBe(200);
    work.pass();
    expect(spy.live.size).toBe(0);
    return spy.freed;
  };
  const ascending = Array.from({ length: 100 }, (_, index) => index + 1);

  it("first in, first out", () => expect(freedIn("fifo")).toEqual(ascending));
  it("last in, first out", () => expect(freedIn("lifo")).toEqual([...ascending].reverse()));
  it("at random, each block once", () => {
    const freed = freedIn("random");
    expect(freed).not.toEqual(ascending);
    expect(freed.sort((a, b) => a - b)).toEqual(ascending);
  });
});

it("mixed keeps as many live as it says, of 16 to 512 bytes, and replaces other ones in each pass", () => {
  const spy = new Spy();
  const work = prepareWork({ pattern: "mixed", live: 1000 }, { target: spy, bytes: noBytes });
  expect(spy.live.size).toBe(1000);
  work.pass();
  const first = [...spy.freed];
  work.pass();
  expect(spy.live.size).toBe(1000);
  expect(spy.freed).toHaveLength(work.operations);
  expect(spy.freed.slice(first.length)).not.toEqual(first);
  expect(Math.min(...spy.sizes)).toBe(16);
  expect(Math.max(...spy.sizes)).toBe(512);
});

it("touched blocks have a byte written in each 64, also where the heap has grown", () => {
  let bytes = new Uint8Array(1024);
  let next = 0;
  const target = { malloc: () => (next += 256), free: () => undefined };
  const work = prepareWork(
    { pattern: "batch", size: 130, count: 2, order: "fifo", touched: true },
    { target, bytes: () => bytes },
  );
  work.pass();
  expect([...bytes.keys()].filter((at) => bytes[at] === 1)).toEqual([256, 320, 384, 512, 576, 640]);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  bytes = new Uint8Array(1024);
  next = 0;
  work.pass();
  expect([...bytes.keys()].filter((at) => bytes[at] === 1)).toEqual([256, 320, 384, 512, 576, 640]);
});

it("growth allocates once, grows by half, and frees", () => {
  const calls: string[] = [];
  let count = 0;
  const target = {
    malloc: (size: number) => (calls.push(`malloc ${size}`), ++count),
    realloc: (ptr: number, size: number) => (calls.push(`realloc ${ptr} ${size}`), ++count),
    free: (ptr: unknown) => calls.push(`free ${String(ptr)}`),
  };
  const work = prepareWork({ pattern: "grow", arrays: 1, bytes: 40 }, { target, bytes: noBytes });
  work.pass();
  expect(calls).toEqual(["malloc 16", "realloc 1 24", "realloc 2 36", "free 3"]);
  expect(work.operations).toBe(4);
});
