import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Heap } from "../src/heap.ts";
import { asPtr, NULL, type Ptr } from "../src/ptr.ts";
import type { SharedHeap } from "../src/shared-heap.ts";
import { SLOTS } from "../src/slots.ts";
import { runs } from "../src/testing/env.ts";
import { FakeWorker } from "./agents.ts";
import { Agent, type Context, killAll, until } from "./fixtures/agent.ts";
import { refusalIn, refusalOf } from "./refusal.ts";

/**
 * Real workers, each an agent of its own. They run dist, where this thread runs the sources: a heap does not know who works
 * on it.
 */

const AGENT = new URL("fixtures/agent.worker.mjs", import.meta.url);
const NO_HEAP = { workerData: { isSpawned: false } } as const;
/** More than a magazine serves. */
const LARGE_BYTES = 5000;

/** What would have ended a program that has no ear for it. */
const unhandled: unknown[] = [];
const note = (reason: unknown): void => void unhandled.push(reason);
beforeEach(() => {
  process.on("unhandledRejection", note);
});
afterEach(async () => {
  await killAll();
  process.off("unhandledRejection", note);
  for (const reason of unhandled.splice(0)) throw reason;
});

function sharedHeap(bytes: number = 1 << 20, maxBytes: number = bytes): SharedHeap {
  return new Heap({ bytes, maxBytes, shared: true });
}

/** Waits until an agent's slot is anyone's. */
function opened(heap: SharedHeap, slot: number): Promise<void> {
  return until(`slot ${slot} is given back`, () => heap.slots.isFree(slot));
}

/** A word that agents signal with. */
function signal(heap: SharedHeap): Ptr {
  return heap.calloc(1, 64);
}

/** Waits without letting any event through, as a loop of calls would. */
function spinUntil(heap: SharedHeap, word: Ptr, value: number): void {
  for (const limit = Date.now() + 20_000; Atomics.load(heap.i32, word >>> 2) !== value;) {
    if (Date.now() > limit) throw new Error(`the word at ${word} has not become ${value}`);
  }
}

/** Has a worker allocate blocks and write their number into each word of them. */
const allocateAll = ({ heap }: Context, sizes: readonly number[]): Ptr[] =>
  sizes.map((size, at) => {
    const ptr = heap.malloc(size);
    heap.u32.fill(at + 1, ptr >>> 2, (ptr >>> 2) + (size >>> 2));
    return ptr;
  });

function expectContents(heap: SharedHeap, blocks: readonly Ptr[], sizes: readonly number[]): void {
  for (const [at, ptr] of blocks.entries()) {
    const words = heap.u32.subarray(ptr >>> 2, (ptr >>> 2) + ((sizes[at] ?? 0) >>> 2));
    expect(words.every((word) => word === at + 1)).toBe(true);
  }
}

/** Moves blocks in and out of magazines for good, without the lock mostly. */
const shuffle = ({ heap }: Context): void => {
  for (const blocks: Ptr[] = []; ;) {
    for (let size = 8; size <= 400; size += 8) blocks.push(heap.malloc(size));
    for (const ptr of blocks.splice(0)) heap.free(ptr);
  }
};

/** Allocates and frees for good, in sizes that magazines serve and in others. */
const churn = ({ heap }: Context): void => {
  const blocks: Ptr[] = [];
  for (let step = 0; ; step += 1) {
    const at = (step * 7919) % 61;
    const ptr = blocks[at];
    if (ptr !== undefined) heap.free(ptr);
    blocks[at] = heap.malloc(step % 5 === 0 ? 1001 + (step % 4000) : 8 + (step % 900));
  }
};

const SIZES = [0, 1, 8, 40, 1000, 1001, 4000, 30_000, 100_000] as const;

describe("a worker", () => {
  it("that is spawned has the heap, under a slot of its own", async () => {
    const heap = sharedHeap();
    const [one, two] = await Promise.all([Agent.on(heap), Agent.on(heap)]);
    const slots = [heap.slot, await one.run((its) => its.heap.slot), await two.run((its) => its.heap.slot)];
    expect(slots).toEqual([1, 2, 3]);
    const blocks = await one.run(allocateAll, SIZES);
    expectContents(heap, blocks, SIZES);
    // What one has written another sees, and what a third frees is free to all.
    const sum = await two.run((its, ptr: Ptr) => its.heap.u32[ptr >>> 2], blocks[3] ?? NULL);
    expect(sum).toBe(4);
    for (const ptr of blocks) heap.free(ptr);
    expect(heap.stats().liveBlocks).toBe(0);
    heap.check();
  });

  it("is started by the address of its module, or when it has been made already", async () => {
    const heap = sharedHeap();
    const started = heap.spawn<Worker>(AGENT);
    const made = new Worker(AGENT);
    expect(heap.spawn(made)).toBe(made);
    for (const [worker, slot] of [
      [started, 2],
      [made, 3],
    ] as const) {
      expect(worker).toBeInstanceOf(Worker);
      worker.postMessage({ id: 1, source: "({ heap }) => heap.slot", args: [] });
      expect((await once(worker, "message"))[0]).toEqual({ id: 1, value: slot });
      await worker.terminate();
      await opened(heap, slot);
    }
  });

  it("attaches by what supervise gave for it, and nobody else does", async () => {
    const heap = sharedHeap();
    const [chosen, other] = [new Agent(NO_HEAP), new Agent(NO_HEAP)];
    const descriptor = heap.supervise(chosen.worker);
    const attach = ({ core, memory }: Context, from: typeof descriptor): number => {
      const attached = core.Heap.attach(from);
      memory["heap"] = attached;
      return attached.slot;
    };
    expect(await chosen.run(attach, descriptor)).toBe(descriptor.slot);
    expect(await other.refusal(attach, descriptor)).toMatchObject({
      name: "HeapError",
      code: "ERR_NO_SLOT",
      message: expect.stringMatching(/^Heap\.attach: slot 2 is no longer kept; /),
    });
    // By what share gave anyone does, and more than once.
    expect(await other.run(attach, heap.share())).toBe(3);
    expect(await other.run(attach, heap.share())).toBe(3);
    await chosen.kill();
    await opened(heap, 2);
  });

  it("attaches by what it was started with, in a part of someone's buffer too", async () => {
    const heap: SharedHeap = Heap.adopt(new SharedArrayBuffer(1 << 20), { base: 65_536, bytes: 1 << 19 });
    const agent = new Agent({ workerData: { isSpawned: false, descriptor: heap.share() } });
    const ptr = await agent.run(({ core, workerData }) => {
      const { descriptor } = workerData as { descriptor: ReturnType<SharedHeap["share"]> };
      const attached = core.Heap.attach(descriptor);
      const block = attached.malloc(100);
      attached.u32[block >>> 2] = 77;
      return block;
    });
    expect(heap.u32[ptr >>> 2]).toBe(77);
    heap.free(ptr);
    heap.check();
  });

  it("waits for its heap, and nobody else does", async () => {
    await expect((async () => Heap.spawned())()).rejects.toMatchObject({ code: "ERR_UNSUPPORTED" });
    const agent = new Agent(NO_HEAP);
    agent.start(({ core, memory }) => {
      memory["waiting"] = core.Heap.spawned();
    });
    const heap = sharedHeap();
    heap.spawn(agent.worker);
    expect(await agent.run(async ({ memory }) => ((await memory["waiting"]) as SharedHeap).slot)).toBe(2);
  });

  it("finds what another has named, and names for it", async () => {
    const heap = sharedHeap();
    const [one, two] = await Promise.all([Agent.on(heap), Agent.on(heap)]);
    const set = (its: Context, name: string, ptr: Ptr): void => its.heap.setRoot(name, ptr);
    const root = (its: Context, name: string): Ptr => its.heap.root(name);
    expect(await two.run(root, "jobs")).toBe(NULL);
    await one.run(set, "jobs", asPtr(4096));
    expect([heap.root("jobs"), await two.run(root, "jobs")]).toEqual([4096, 4096]);
    heap.setRoot("jobs", asPtr(8192));
    expect(await two.run(root, "jobs")).toBe(8192);
    await two.run(set, "jobs", NULL);
    expect([heap.root("jobs"), await one.run(root, "jobs")]).toEqual([NULL, NULL]);
  });
});

describe("growth by one agent", () => {
  it("is seen by all others, before any event of theirs", async () => {
    const heap = sharedHeap(1 << 16, 1 << 26);
    const ready = signal(heap);
    const [one, two] = await Promise.all([Agent.on(heap), Agent.on(heap)]);
    const { size } = heap;
    one.start((its, word: Ptr) => {
      for (let round = 1; round <= 20; round += 1) {
        const ptr = its.heap.malloc(200_000);
        its.heap.u32.fill(round, ptr >>> 2, (ptr >>> 2) + 50_000);
        Atomics.store(its.heap.i32, (word >>> 2) + 1, ptr);
        Atomics.store(its.heap.i32, word >>> 2, round);
        while (Atomics.load(its.heap.i32, word >>> 2) === round);
      }
    }, ready);
    const blocks: Ptr[] = [];
    for (let round = 1; round <= 20; round += 1) {
      spinUntil(heap, ready, round);
      const ptr = asPtr(Atomics.load(heap.i32, (ready >>> 2) + 1));
      expect(heap.u32[(ptr >>> 2) + 49_999]).toBe(round);
      // Every second one is freed by an agent that has never seen so far.
      if (round % 2 === 0) heap.free(ptr);
      else blocks.push(ptr);
      Atomics.store(heap.i32, ready >>> 2, round === 20 ? 0 : -round);
    }
    expect(heap.size).toBeGreaterThan(size + 10 * 200_000);
    expect(await two.run((its) => its.heap.size)).toBe(heap.size);
    await two.run((its, all: Ptr[]) => all.forEach((ptr) => its.heap.free(ptr)), blocks);
    expect(heap.stats().liveBlocks).toBe(1);
    heap.check();
  });

  it("and by all at once keeps every block apart", async () => {
    const heap = sharedHeap(1 << 16, 1 << 27);
    const agents = await Promise.all([Agent.on(heap), Agent.on(heap), Agent.on(heap)]);
    const sizes = Array.from({ length: 60 }, (_, at) => 1000 + at * 977);
    const blocks = await Promise.all(agents.map((agent) => agent.run(allocateAll, sizes)));
    for (const mine of blocks) expectContents(heap, mine, sizes);
    heap.check();
    expect(heap.stats().liveBlocks).toBe(180);
    await Promise.all(
      agents.map((agent, at) =>
        agent.run((its, all: Ptr[]) => all.forEach((ptr) => its.heap.free(ptr)), blocks[(at + 1) % 3] ?? []),
      ),
    );
    expect(heap.stats().liveBlocks).toBe(0);
    heap.check();
  });
});

/** Ways to end, from within; what comes after them does not happen. */
const ENDS: readonly (readonly [name: string, end: (agent: Agent) => void, code: number])[] = [
  ["returns", (agent) => agent.start(({ threads }) => threads.parentPort?.close()), 0],
  ["is terminated", (agent) => void agent.kill(), 1],
  ["calls process.exit", (agent) => agent.start(() => process.exit(3)), 3],
  [
    "throws what nobody catches",
    (agent) =>
      agent.start(() =>
        setImmediate(() => {
          throw new Error("on purpose");
        }),
      ),
    1,
  ],
  [
    "runs out of memory",
    (agent) =>
      agent.start(() => {
        const all: number[][] = [];
        for (;;) all.push(Array.from({ length: 1000 }, (_, at) => at + all.length));
      }),
    1,
  ],
];

describe.each(ENDS)("a worker that %s", (name, end, code) => {
  const options = name === "runs out of memory" ? { resourceLimits: { maxOldGenerationSizeMb: 24 } } : {};

  it("gives back its slot and what its magazines hold; what its program has stays", async () => {
    const heap = sharedHeap();
    const agent = await Agent.on(heap, options);
    const kept = await agent.run(({ heap: its }) => {
      const blocks = Array.from({ length: 400 }, (_, at) => its.malloc(8 * (1 + (at % 50))));
      for (const ptr of blocks.splice(7)) its.free(ptr);
      for (const ptr of blocks) its.u32[ptr >>> 2] = ptr;
      return blocks;
    });
    expect(kept).toHaveLength(7);
    expect(heap.slots.isFree(2)).toBe(false);
    end(agent);
    expect(await agent.exited).toBe(code);
    expect(agent.failure !== undefined).toBe(name.includes("memory") || name.startsWith("throws"));
    await opened(heap, 2);
    heap.check();
    expect(heap.stats().liveBlocks).toBe(7);
    for (const ptr of kept) expect(heap.u32[ptr >>> 2]).toBe(ptr);
    for (const ptr of kept) heap.free(ptr);
    // Nothing is held but by this agent's own magazines.
    const held = [...heap.blocks()].filter(({ state }) => state === "cached");
    expect(held.length).toBeLessThanOrEqual(60);
    expect(await (await Agent.on(heap)).run((its) => its.heap.slot)).toBe(2);
  });

  it("while it holds the lock does not keep it", async () => {
    const heap = sharedHeap();
    const [agent, other] = await Promise.all([Agent.on(heap, options), Agent.on(heap)]);
    await agent.run((its) => void its.heap.lock.acquire());
    const slot = await agent.run((its) => its.heap.slot);
    expect([heap.lock.holder, heap.lock.tryAcquire()]).toEqual([slot, "busy"]);
    // Waits asleep, for longer than a call does if it must.
    const waiting = other.run(async (its) => {
      await its.heap.lock.acquireAsync();
      its.heap.lock.release();
      return its.heap.malloc(5000) !== 0;
    });
    end(agent);
    expect(await agent.exited).toBe(code);
    expect(await waiting).toBe(true);
    await opened(heap, slot);
    expect([heap.lock.holder, heap.lock.deaths]).toEqual([0, 1]);
    heap.check();
  });
});

describe("slots", () => {
  it("are used again, by one worker after another", async () => {
    const heap = sharedHeap();
    for (let round = 0; round < 6; round += 1) {
      const agent = await Agent.on(heap);
      expect(await agent.run((its) => its.heap.slot)).toBe(2);
      await agent.run(allocateAll, [40, 40, 5000]);
      await (round % 2 === 0 ? agent.kill() : agent.run((its) => its.heap.detach()));
      await opened(heap, 2);
      await agent.kill();
    }
    expect(heap.stats().liveBlocks).toBe(18);
    heap.check();
  });

  it("that are all taken are refused, and the next one that is given back is had", async () => {
    const heap = sharedHeap();
    const workers = Array.from({ length: SLOTS - 2 }, () => new FakeWorker());
    for (const worker of workers) heap.supervise(worker);
    const all = "all 127 slots of the heap are taken";
    const remedy = "supervise workers, so that the slots of those that end are given back";
    const agent = new Agent(NO_HEAP);
    const attach = ({ core }: Context, from: ReturnType<SharedHeap["share"]>): number => core.Heap.attach(from).slot;
    expect(await agent.refusal(attach, heap.share())).toMatchObject({
      code: "ERR_NO_SLOT",
      message: `Heap.attach: ${all}; ${remedy}`,
    });
    for (const call of ["supervise", "spawn"] as const) {
      const error = refusalIn(heap, () => heap[call](agent.worker));
      expect(error).toMatchObject({ code: "ERR_NO_SLOT", message: `${call}: ${all}; ${remedy}` });
    }
    workers[60]?.exit();
    await opened(heap, 62);
    expect(await agent.run(attach, heap.share())).toBe(62);
  });

  it("are left by a worker that lives on, and taken anew", async () => {
    const heap = sharedHeap();
    const agent = await Agent.on(heap);
    const [kept] = await agent.run(allocateAll, [100]);
    const descriptor = heap.share();
    await agent.run((its) => its.heap.detach());
    expect(heap.slots.isFree(2)).toBe(true);
    heap.check();
    for (const act of [
      (its: Context) => its.heap.detach(),
      (its: Context) => its.heap.malloc(8),
      (its: Context) => its.heap.malloc(8000),
      (its: Context) => its.heap.u32.length,
      (its: Context) => its.heap.check(),
    ]) {
      expect(await agent.refusal(act)).toMatchObject({ code: "ERR_DESTROYED" });
    }
    expect(heap.slots.isFree(2)).toBe(true);
    const again = await agent.run(({ core }, from) => core.Heap.attach(from).slot, descriptor);
    expect(again).toBe(2);
    heap.free(kept ?? NULL);
    expect(heap.stats().liveBlocks).toBe(0);
  });
});

describe("a worker's own workers", () => {
  /** Starts one in a worker. Returns its slot. */
  const spawnInner = async ({ heap, memory, threads }: Context, url: string): Promise<number> => {
    const inner = new threads.Worker(new URL(url));
    heap.spawn(inner);
    memory["inner"] = inner;
    inner.postMessage({ id: 1, source: "({ heap }) => (heap.malloc(40), heap.slot)", args: [] });
    const answer = await new Promise<{ value: number }>((resolve) => inner.once("message", resolve));
    return answer.value;
  };

  it("die with it, and their slots are given back by who supervises it", async () => {
    const heap = sharedHeap();
    const outer = await Agent.on(heap);
    expect(await outer.run(spawnInner, AGENT.href)).toBe(3);
    await outer.run(({ memory }) => {
      // Whatever it is doing.
      const message = { id: 2, source: "({ heap }) => { heap.lock.acquire(); for (;;); }", args: [] };
      (memory["inner"] as Worker).postMessage(message);
    });
    await until("the inner one has the lock", () => heap.lock.holder === 3);
    await outer.kill();
    await Promise.all([opened(heap, 2), opened(heap, 3)]);
    heap.check();
    expect(heap.stats().liveBlocks).toBe(1);
    expect(heap.lock.deaths).toBe(1);
  });

  it("are supervised by it", async () => {
    const heap = sharedHeap();
    const outer = await Agent.on(heap);
    await outer.run(spawnInner, AGENT.href);
    await outer.run(async ({ memory }) => void (await (memory["inner"] as Worker).terminate()));
    await opened(heap, 3);
    expect(heap.slots.isFree(2)).toBe(false);
    heap.check();
  });

  it("stay whose they are when it leaves the heap and its death is told later", async () => {
    const heap = sharedHeap();
    const outer = await Agent.on(heap);
    await outer.run(spawnInner, AGENT.href);
    await outer.run((its) => its.heap.detach());
    const next = await Agent.on(heap);
    await next.kill();
    await until("the next one is reaped", () => heap.slots.dead().length === 0);
    // Alive, so its slot is nobody else's.
    expect(heap.slots.isFree(3)).toBe(false);
    await outer.kill();
    await Promise.all([opened(heap, 2), opened(heap, 3)]);
    heap.check();
  });
});

describe("the lock", () => {
  it("lets one at a time in, however it is taken", async () => {
    const heap = sharedHeap();
    const rounds = runs(5000);
    const counter = signal(heap);
    const agents = await Promise.all([Agent.on(heap), Agent.on(heap), Agent.on(heap)]);
    const count = (its: Context, word: Ptr, times: number, way: number): void => {
      const { i32, lock } = its.heap;
      for (let round = 0; round < times; round += 1) {
        if (way === 0) lock.acquire();
        else while (lock.tryAcquire() === "busy");
        const seen = i32[word >>> 2] ?? 0;
        // Someone else gets a chance to come in between.
        if (round % 64 === 0) Atomics.wait(i32, (word >>> 2) + 8, 0, 0.01);
        i32[word >>> 2] = seen + 1;
        lock.release();
      }
    };
    const counted = Promise.all(agents.map((agent, at) => agent.run(count, counter, rounds, at % 2)));
    for (let round = 0; round < 200; round += 1) {
      await heap.lock.acquireAsync();
      const seen = heap.i32[counter >>> 2] ?? 0;
      if (round % 8 === 0) await new Promise((resolve) => setImmediate(resolve));
      heap.i32[counter >>> 2] = seen + 1;
      heap.lock.release();
    }
    await counted;
    expect(heap.i32[counter >>> 2]).toBe(3 * rounds + 200);
    expect([heap.lock.holder, heap.lock.deaths]).toEqual([0, 0]);
  });

  it("refuses who asks twice, and who gives back what is another's", async () => {
    const heap = sharedHeap();
    const agent = await Agent.on(heap);
    await agent.run((its) => void its.heap.lock.acquire());
    expect(heap.lock.tryAcquire()).toBe("busy");
    expect(refusalOf(() => heap.lock.release())).toMatchObject({
      code: "ERR_INVALID_ARGUMENT",
      message: "release: this agent does not hold the lock; acquire it first",
    });
    for (const act of [(its: Context) => its.heap.lock.acquire(), (its: Context) => its.heap.lock.tryAcquire()]) {
      expect(await agent.refusal(act)).toMatchObject({
        code: "ERR_WOULD_BLOCK",
        message: expect.stringMatching(/this agent holds the heap's lock already; release it first$/),
      });
    }
    // The allocator may be called by who holds it.
    expect(await agent.run((its) => its.heap.malloc(5000))).not.toBe(NULL);
    expect(heap.lock.holder).toBe(2);
    await agent.run((its) => its.heap.lock.release());
    expect(heap.lock.holder).toBe(0);
    expect(await agent.refusal((its) => its.heap.lock.release())).toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
    expect(heap.lock.acquire()).toBe("acquired");
    heap.lock.release();
  });

  it("is waited for asleep, by this thread too, while its holder lives", async () => {
    const heap = sharedHeap();
    const agent = await Agent.on(heap);
    const held = signal(heap);
    agent.start((its, word: Ptr) => {
      its.heap.lock.acquire();
      Atomics.store(its.heap.i32, word >>> 2, 1);
      Atomics.wait(its.heap.i32, (word >>> 2) + 1, 0, 150);
      its.heap.lock.release();
    }, held);
    spinUntil(heap, held, 1);
    expect(heap.lock.holder).toBe(2);
    const ptr = heap.malloc(LARGE_BYTES);
    expect(ptr).not.toBe(NULL);
    expect(heap.lock.holder).toBe(0);
  });

  it("is not waited for for ever when its holder is gone and nobody says so", async () => {
    const heap = sharedHeap();
    const agent = new Agent(NO_HEAP);
    const small = heap.malloc(40);
    await agent.run(({ core }, from) => void core.Heap.attach(from).lock.acquire(), heap.share());
    await agent.kill();
    const error = refusalOf(() => heap.malloc(LARGE_BYTES));
    const remedy = "let this thread's events run (its workers' deaths come that way), or use lock.acquireAsync()";
    expect(error.message).toBe(`malloc: slot 2 holds the heap's lock; ${remedy}`);
    expect(error.code).toBe("ERR_WOULD_BLOCK");
    expect(heap.lock.holder).toBe(2);
    // What needs no lock goes on.
    heap.free(small);
    expect(heap.malloc(40)).toBe(small);
  });

  it("is had by the supervisor after a death though he holds it himself", async () => {
    const heap = sharedHeap();
    const agents = await Promise.all([Agent.on(heap), Agent.on(heap), Agent.on(heap)]);
    await heap.lock.acquireAsync();
    await Promise.all(agents.map((agent) => agent.kill()));
    await new Promise((resolve) => setTimeout(resolve, 20));
    heap.lock.release();
    await Promise.all([2, 3, 4].map((slot) => opened(heap, slot)));
    heap.check();
    expect(heap.lock.holder).toBe(0);
  });

  it("comes to both reapers of two that died while a third held it", async () => {
    const heap = sharedHeap();
    const [one, two, holder] = await Promise.all([Agent.on(heap), Agent.on(heap), Agent.on(heap)]);
    await holder.run((its) => void its.heap.lock.acquire());
    await Promise.all([one.kill(), two.kill()]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await holder.run((its) => its.heap.lock.release());
    await until("both are reaped", () => heap.slots.dead().length === 0);
    heap.check();
    expect(heap.lock.holder).toBe(0);
  });
});

describe("a block of another worker", () => {
  it.each(SIZES)("of %d bytes is freed by anyone, once", async (size) => {
    const heap = sharedHeap();
    const [one, two] = await Promise.all([Agent.on(heap), Agent.on(heap)]);
    const free = (its: Context, ptr: Ptr): void => its.heap.free(ptr);
    const [ptr = NULL, inside = NULL] = await one.run(allocateAll, [size, size]);
    await two.run(free, ptr);
    // Each of these sees the free before, by the messages between.
    for (const agent of [one, two]) {
      expect(await agent.refusal(free, ptr)).toMatchObject({ name: "HeapError", code: "ERR_DOUBLE_FREE" });
    }
    expect(refusalOf(() => heap.free(ptr)).code).toBe("ERR_DOUBLE_FREE");
    expect(await two.refusal((its, at: Ptr) => its.heap.free((at + 4) as Ptr), inside)).toMatchObject({
      code: "ERR_INVALID_POINTER",
    });
    expect(heap.stats().liveBlocks).toBe(1);
    heap.free(inside);
    heap.check();
  });

  it("is whole when it comes, through a ring, by the thousand", async () => {
    // The consumer's magazines may hold 8 KiB of each size.
    const heap = sharedHeap(1 << 23);
    const count = runs(20_000);
    const cells = 64;
    const ring = heap.calloc(cells + 2, 4);
    const [producer, consumer] = await Promise.all([Agent.on(heap), Agent.on(heap)]);
    const produced = producer.run(
      ({ heap: its }, at: Ptr, length: number, total: number) => {
        const { i32 } = its;
        const first = at >>> 2;
        for (let sent = 0; sent < total; sent += 1) {
          const size = 16 + ((sent * 31) % 1500);
          const ptr = its.malloc(size);
          if (ptr === 0) throw new Error("full");
          its.u32.fill(sent, ptr >>> 2, (ptr >>> 2) + (size >>> 2));
          const cell = first + 2 + (sent % length);
          while (Atomics.load(i32, cell) !== 0);
          Atomics.store(i32, cell, ptr);
        }
      },
      ring,
      cells,
      count,
    );
    const consumed = consumer.run(
      ({ heap: its }, at: Ptr, length: number, total: number) => {
        const { i32 } = its;
        const first = at >>> 2;
        let bad = 0;
        for (let got = 0; got < total; got += 1) {
          const cell = first + 2 + (got % length);
          let ptr = 0;
          while ((ptr = Atomics.load(i32, cell)) === 0);
          const size = 16 + ((got * 31) % 1500);
          if (!its.u32.subarray(ptr >>> 2, (ptr >>> 2) + (size >>> 2)).every((word) => word === got)) bad += 1;
          its.free(ptr as Ptr);
          Atomics.store(i32, cell, 0);
        }
        return bad;
      },
      ring,
      cells,
      count,
    );
    const [damaged] = await Promise.all([consumed, produced]);
    expect(damaged).toBe(0);
    expect(heap.stats().liveBlocks).toBe(1);
    heap.check();
  });
});

describe("while workers run", () => {
  it("an image is a sound private heap, with what was there before", async () => {
    const heap = sharedHeap();
    const blocks = SIZES.map((size) => heap.malloc(size));
    for (const [at, ptr] of blocks.entries()) heap.u32.fill(at + 1, ptr >>> 2, (ptr + (SIZES[at] ?? 0)) >>> 2);
    heap.setRoot("blocks", blocks[8] ?? NULL);
    const agents = await Promise.all([Agent.on(heap), Agent.on(heap)]);
    for (const agent of agents) agent.start(churn);
    for (let round = 0; round < runs(30); round += 1) {
      const image = Heap.attach(heap.image());
      image.check();
      expect([image.lock, image.slot, image.root("blocks")]).toEqual([undefined, 0, blocks[8]]);
      for (const [at, ptr] of blocks.entries()) {
        const words = image.u32.subarray(ptr >>> 2, (ptr + (SIZES[at] ?? 0)) >>> 2);
        expect(words.every((word) => word === at + 1)).toBe(true);
        image.free(ptr);
      }
      const large = image.malloc(LARGE_BYTES);
      expect(large).not.toBe(NULL);
      image.check();
      image.free(large);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expectContents(heap, blocks, SIZES);
  });

  it("check finds nothing wrong", async () => {
    const heap = sharedHeap();
    const agents = await Promise.all([Agent.on(heap), Agent.on(heap), Agent.on(heap)]);
    for (const agent of agents) agent.start(shuffle);
    for (let round = 0; round < runs(1500); round += 1) {
      expect(() => heap.check()).not.toThrow();
      await new Promise((resolve) => setImmediate(resolve));
    }
  });

  it("stats and blocks see each block as it was at some instant", async () => {
    const heap = sharedHeap();
    const kept = heap.malloc(LARGE_BYTES);
    const agents = await Promise.all([Agent.on(heap), Agent.on(heap)]);
    for (const agent of agents) agent.start(churn);
    for (let round = 0; round < runs(50); round += 1) {
      const { liveBlocks, liveBytes, freeBytes, bytes } = heap.stats();
      expect(liveBlocks).toBeGreaterThanOrEqual(1);
      expect(liveBlocks).toBeLessThanOrEqual(1 + 2 * 61);
      expect(liveBytes + freeBytes).toBeLessThan(bytes);
      const blocks = [...heap.blocks()];
      expect(blocks.find(({ ptr }) => ptr === kept)).toMatchObject({ state: "live" });
      // One after another, and never one in another.
      expect(
        blocks.every(({ ptr }, at) => at === 0 || ptr >= (blocks[at - 1]?.ptr ?? 0) + (blocks[at - 1]?.size ?? 0)),
      ).toBe(true);
      await new Promise((resolve) => setImmediate(resolve));
    }
  });
});

describe("a stack that overflows in a worker", () => {
  it("under the lock leaves that free, and the heap to be mended by the next", async () => {
    const heap = sharedHeap(1 << 20, 1 << 26);
    const [agent, other] = await Promise.all([Agent.on(heap, { resourceLimits: { stackSizeMb: 1 } }), Agent.on(heap)]);
    const overflow = ({ heap: its }: Context, round: number): string => {
      const blocks: Ptr[] = [];
      // Frames of many sizes, so that the stack ends anywhere.
      const dive = (...frame: number[]): void => {
        blocks.push(its.malloc(frame.length % 3 === 0 ? 40 + (blocks.length % 900) : 5000));
        if (blocks.length % 3 === 0) its.free(blocks.pop() ?? (0 as Ptr));
        dive(...frame);
      };
      let thrown = "nothing";
      try {
        dive(...Array.from({ length: (round * 37) % 211 }, () => 0));
      } catch (error) {
        thrown = (error as Error).constructor.name;
      }
      for (const ptr of blocks) if (ptr !== 0) its.free(ptr);
      return thrown;
    };
    let deaths = 0;
    for (let round = 0; round < runs(60); round += 1) {
      expect(await agent.run(overflow, round)).toBe("RangeError");
      expect(heap.lock.holder).toBe(0);
      // The next holder: this agent, or another one.
      if (round % 2 === 0) heap.check();
      else await other.run((its) => its.heap.check());
      deaths = heap.lock.deaths;
    }
    // Otherwise it has never overflowed there, and the test shows nothing.
    expect(deaths).toBeGreaterThan(0);
  });
});
