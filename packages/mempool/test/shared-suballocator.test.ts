/** Every call in a worker, on either face; what the death of a worker costs, and a stack that overflows under the lock. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";

import { asPtr, Heap, NULL, type Ptr, type SharedHeap } from "@heapwright/core";
import { runs, seedFromEnv } from "@heapwright/core/testing";
import { describe, expect, test } from "vitest";

import { Mempool, type MempoolOptions } from "../src/index.ts";

interface Answer {
  readonly value?: unknown;
  readonly code?: string;
  readonly said: readonly string[];
}

class Agent {
  readonly worker: Worker;

  private constructor(worker: Worker) {
    this.worker = worker;
  }
  static async on(heap: SharedHeap): Promise<Agent> {
    const agent = new Agent(heap.spawn(new Worker(new URL("fixtures/calls.worker.mjs", import.meta.url))));
    await once(agent.worker, "message");
    return agent;
  }
  async ask(task: object): Promise<unknown> {
    this.worker.postMessage(task);
    return ((await once(this.worker, "message")) as [unknown])[0];
  }
  async full(name: string, ...args: unknown[]): Promise<Answer> {
    return (await this.ask({ kind: "call", name, args })) as Answer;
  }
  /** What a call gives that says nothing. */
  async call(name: string, ...args: unknown[]): Promise<unknown> {
    const { value, code, said } = await this.full(name, ...args);
    if (code !== undefined || said.length > 0) throw new Error(`${name}: ${code} ${said.join()}`);
    return value;
  }
}

interface Made {
  readonly heap: SharedHeap;
  readonly pool: Mempool;
}

function made(size: number, blockSize: number, options: MempoolOptions = {}): Made {
  const heap = new Heap({ bytes: 1 << 18, shared: true });
  const pool = new Mempool(size, blockSize, { backing: heap, ...options });
  heap.setRoot("pool", pool.handle);
  return { heap, pool };
}

const live = (pool: Mempool): Ptr[] => [...pool.blocks()].filter(({ state }) => state === "live").map(({ ptr }) => ptr);

for (const magazine of [0, 4]) {
  describe(`magazines of ${magazine}`, () => {
    test("the class in a worker: every call is one on the same pool", async () => {
      const { heap, pool } = made(64 * 100, 64, { magazine });
      const agent = await Agent.on(heap);
      expect(await agent.call("handle")).toBe(pool.handle);
      expect(await agent.call("blockSize")).toBe(64);
      expect(await agent.call("isExternal")).toBe(false);
      const own = pool.malloc(64);
      heap.u8.fill(0xaa, own, own + 64);
      const blocks = [
        await agent.call("malloc", 64),
        await agent.call("malloc", 150),
        await agent.call("calloc", 3, 20),
        await agent.call("alignedAlloc", 16, 200),
      ] as Ptr[];
      expect(live(pool)).toEqual([own, ...blocks].sort((a, b) => a - b));
      expect(blocks.map((ptr) => pool.usableSize(ptr))).toEqual([64, 192, 64, 256]);
      expect(await agent.call("usableSize", own)).toBe(64);
      heap.u8.set([1, 2, 3], blocks[0]);
      const moved = (await agent.call("realloc", blocks[0], 400)) as Ptr;
      expect([...heap.bytes(moved, 3)]).toEqual([1, 2, 3]);
      expect(await agent.call("realloc", moved, 10)).toBe(moved);
      expect((await agent.full("free", blocks[0])).code).toBe("ERR_DOUBLE_FREE");
      expect((await agent.full("malloc", -1)).code).toBe("ERR_INVALID_ARGUMENT");
      expect((await agent.full("alignedAlloc", 32, 1)).code).toBe("ERR_UNSUPPORTED");
      expect(await agent.call("malloc", 64 * 100)).toBe(NULL);
      expect(await agent.call("stats")).toEqual(pool.stats());
      expect(await agent.call("blocks")).toEqual([...pool.blocks()]);
      expect(await agent.call("dump")).toBe(pool.dump());
      await agent.call("check");
      // Either frees what the other one has allocated.
      await agent.call("free", own);
      for (const ptr of [moved, ...blocks.slice(1)]) pool.free(ptr);
      await agent.call("free", NULL);
      expect(live(pool)).toEqual([]);
      await agent.call("destroy");
      expect(() => pool.malloc(64)).toThrow("the pool has been destroyed");
      expect((await agent.full("malloc", 64)).code).toBe("ERR_DESTROYED");
      await agent.worker.terminate();
      expect(heap.stats().liveBlocks).toBe(0);
      heap.check();
    });

    test("the document's functions in a worker, on a pool that it has attached and uses", async () => {
      const { heap, pool } = made(64 * 20, 64, { magazine });
      const agent = await Agent.on(heap);
      const [one, run, zeros] = [
        await agent.call("mempool_alloc", 64),
        await agent.call("mempool_alloc", 130),
        await agent.call("mempool_calloc", 10, 5),
      ] as [Ptr, Ptr, Ptr];
      expect(live(pool)).toEqual([one, run, zeros].sort((a, b) => a - b));
      heap.u8.set([4, 5, 6], one);
      const moved = (await agent.call("mempool_realloc", one, 65)) as Ptr;
      expect([...heap.bytes(moved, 3)]).toEqual([4, 5, 6]);
      const unknown = "MEMPOOL_ERROR: Attempt to free a nonexistent pointer. Potential double free detected";
      expect(await agent.full("mempool_free", asPtr(one))).toEqual({ value: undefined, said: [unknown] });
      expect((await agent.full("mempool_realloc", NULL, 8)).said).toHaveLength(1);
      const none = await agent.full("mempool_alloc", 64 * 21);
      expect([none.value, none.said.length]).toEqual([NULL, 1]);
      for (const ptr of [moved, run, zeros]) await agent.call("mempool_free", ptr);
      expect(live(pool)).toEqual([]);
      const { value, said } = await agent.full("mempool_init", 1024, 64, {});
      expect([value, said]).toEqual([-1, []]);
      expect(await agent.call("mempool_destroy")).toBe(1);
      expect((await agent.full("mempool_destroy")).value).toBe(-1);
      expect(() => pool.malloc(64)).toThrow("the pool has been destroyed");
      // Which a pool of the worker's own is not.
      expect(await agent.call("mempool_init", 1024, 64)).toBe(1);
      expect(await agent.call("mempool_alloc", 64)).not.toBe(NULL);
      await agent.worker.terminate();
      expect(heap.stats().liveBlocks).toBe(0);
    });

    test("an external range is shared too", async () => {
      const { heap, pool } = made(1000, 10, { magazine, external: { base: 5, bytes: 1000 } });
      const agent = await Agent.on(heap);
      expect(await agent.call("isExternal")).toBe(true);
      const ptr = (await agent.call("malloc", 10)) as Ptr;
      expect(pool.usableSize(ptr)).toBe(10);
      expect((await agent.full("calloc", 1, 10)).code).toBe("ERR_UNSUPPORTED");
      expect((await agent.full("realloc", ptr, 11)).code).toBe("ERR_UNSUPPORTED");
      pool.free(ptr);
      await agent.worker.terminate();
      pool.destroy();
    });

    test("the death of a worker loses one block at most", { timeout: 600_000 }, async () => {
      const count = 300;
      const { heap, pool } = made(48 * 700, 48, { magazine: magazine * 8 });
      const places = heap.calloc(count, 4);
      const deaths = runs(12);
      for (let round = 0; round < deaths; round += 1) {
        const agent = await Agent.on(heap);
        agent.worker.postMessage({ kind: "hold", seed: seedFromEnv() + round, places, count });
        await new Promise((resolve) => setTimeout(resolve, 3 + round * 2));
        await agent.worker.terminate();
        pool.check();
        const noted = new Set([...heap.u32.subarray(places >>> 2, (places >>> 2) + count)].filter((ptr) => ptr !== 0));
        const lost = live(pool).filter((ptr) => !noted.delete(ptr));
        expect(lost.length).toBeLessThanOrEqual(1);
        expect([...noted], "noted, but not live").toEqual([]);
        heap.u32.fill(0, places >>> 2, (places >>> 2) + count);
        for (const ptr of live(pool)) pool.free(ptr);
        // All of it can be had again, what was in its magazine too.
        const { blockCount } = pool.stats();
        const all = Array.from({ length: blockCount }, () => pool.malloc(48));
        expect(new Set(all).size).toBe(blockCount);
        expect(all).not.toContain(NULL);
        for (const ptr of all) pool.free(ptr);
      }
      pool.destroy();
      heap.free(places);
      expect(heap.stats().liveBlocks).toBe(0);
      heap.check();
    });

    test("a stack that overflows leaves the lock free and the pool sound", { timeout: 600_000 }, async () => {
      let deaths = 0;
      for (const [name, ...args] of [
        ["malloc", 500],
        ["malloc", 64],
        ["calloc", 3, 100],
        ["realloc", NULL, 100],
        ["stats"],
        ["check"],
      ]) {
        const { heap, pool } = made(64 * 1600, 64, { magazine });
        // In a new worker nothing has been compiled yet.
        const agent = await Agent.on(heap);
        const frame = Array.from({ length: deaths % 5 }, () => 0);
        const { heldStill, overflows } = (await agent.ask({ kind: "overflow", name, args, frame })) as {
          heldStill: number;
          overflows: number;
        };
        expect([name, heldStill]).toEqual([name, 0]);
        expect(overflows).toBeGreaterThan(0);
        deaths += heap.lock.deaths;
        pool.check();
        heap.check();
        await agent.worker.terminate();
      }
      // Otherwise it has never overflowed under the lock, and the test shows nothing.
      expect(deaths).toBeGreaterThan(0);
    });
  });
}
