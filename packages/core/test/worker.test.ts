import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { HEADER_BYTES, STATE, stateOf } from "../src/boundary-tag.ts";
import { Heap } from "../src/heap.ts";
import { SUPERBLOCK } from "../src/layout.ts";
import { SLOT_STATE } from "../src/lock.ts";
import { NULL } from "../src/ptr.ts";
import type { SharedHeap } from "../src/shared-heap.ts";
import { allowLive } from "../src/testing/heap-watch.ts";
import type { HeapDescriptor } from "../src/slots.ts";
import { attachAnother, FakeWorker, turn } from "./agents.ts";
import { refusalOf } from "./refusal.ts";

// Blocks stay live where nothing else is tested than the heap that they lie in.
beforeEach(() => allowLive());

/** What a supervisor would have crashed of. */
const unhandled: unknown[] = [];
const note = (reason: unknown): void => void unhandled.push(reason);
beforeEach(() => {
  process.on("unhandledRejection", note);
});
afterEach(async () => {
  await turn();
  process.off("unhandledRejection", note);
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
  if (unhandled.length > 0) throw new AggregateError(unhandled.splice(0), "nobody has handled these rejections");
});

let heap: SharedHeap;
beforeEach(() => {
  heap = new Heap({ bytes: 1 << 19, shared: true });
});

/** A worker, and the heap as it has it. */
function employ(supervisor: SharedHeap = heap): { worker: FakeWorker; inside: SharedHeap } {
  const worker = new FakeWorker();
  return { worker, inside: attachAnother(supervisor.supervise(worker)) };
}

function isFree(...slots: number[]): boolean[] {
  return slots.map((slot) => heap.slots.isFree(slot));
}

/** How many blocks are in magazines, whoever's they are. */
function heldBlocks(): number {
  return [...heap.inner.blocks()].filter(({ ptr }) => stateOf(heap.words, ptr - HEADER_BYTES) === STATE.HELD).length;
}

/** Holds small blocks in a worker's magazines. */
function hold(inside: SharedHeap): void {
  const before = heldBlocks();
  const blocks = Array.from({ length: 6 }, (_, at) => inside.malloc(100 + at));
  for (const ptr of blocks) inside.free(ptr);
  if (heldBlocks() < before + 6) throw new Error("nothing is held");
}

describe("a worker that ends", () => {
  it("gives its slot back, and what its magazines hold; what its program has stays", async () => {
    const { worker, inside } = employ();
    const kept = inside.malloc(200);
    const large = inside.malloc(20_000);
    hold(inside);
    worker.exit();
    await turn();
    expect(isFree(2)).toEqual([true]);
    expect(heldBlocks()).toBe(0);
    expect(heap.stats().liveBlocks).toBe(2);
    expect([heap.usableSize(kept), heap.usableSize(large)]).toEqual([200, 20_000]);
    heap.free(kept);
    heap.free(large);
    heap.check();
  });

  it("breaks the lock that it holds", async () => {
    const { worker, inside } = employ();
    inside.lock.acquire();
    worker.exit();
    await turn();
    expect([heap.lock.holder, heap.lock.deaths]).toEqual([0, 1]);
    expect(isFree(2)).toEqual([true]);
    heap.check();
  });

  it("wakes who waits for that lock", async () => {
    const { worker, inside } = employ();
    const other = attachAnother(heap);
    inside.lock.acquire();
    const waiting = other.lock.acquireAsync();
    await turn();
    worker.exit();
    // Who comes first takes it over.
    expect(await waiting).toMatch(/^(owner-died|acquired)$/);
    expect([other.lock.isMine, other.lock.deaths]).toEqual([true, 1]);
    other.lock.release();
    await vi.waitFor(() => expect(isFree(2)).toEqual([true]));
    other.check();
  });

  it("is marked before everybody who sleeps is woken, for it may have swallowed a wake-up", () => {
    const { worker, inside } = employ();
    inside.lock.acquire();
    const states: number[] = [];
    const notify = vi.spyOn(Atomics, "notify").mockImplementation(() => states.push(heap.slots.state(2)));
    worker.exit();
    expect(notify.mock.calls).toContainEqual([heap.lock.i32, heap.lock.word]);
    expect(states[0]).toBe(SLOT_STATE.DEAD);
  });

  it("is buried though another corpse holds the lock, whose death is told later", async () => {
    const [first, second] = [employ(), employ()];
    hold(first.inside);
    second.inside.lock.acquire();
    first.worker.exit();
    await turn();
    expect(isFree(2, 3)).toEqual([false, false]);
    second.worker.exit();
    await vi.waitFor(() => expect(isFree(2, 3)).toEqual([true, true]));
    expect(heap.lock.holder).toBe(0);
    heap.check();
  });

  it("while its supervisor is busy under the lock is buried when that is done", async () => {
    const { worker, inside } = employ();
    hold(inside);
    await heap.lock.acquireAsync();
    worker.exit();
    await turn();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect([heap.lock.isMine, ...isFree(2)]).toEqual([true, false]);
    heap.lock.release();
    await vi.waitFor(() => expect(isFree(2)).toEqual([true]));
    heap.check();
  });

  it("after it has left the heap itself concerns nobody who has its slot now", async () => {
    const { worker, inside } = employ();
    inside.detach();
    const next = attachAnother(heap);
    expect(next.slot).toBe(2);
    const ptr = next.malloc(40);
    hold(next);
    worker.exit();
    await turn();
    expect(isFree(2)).toEqual([false]);
    next.free(ptr);
    expect(next.malloc(40)).toBe(ptr);
    heap.check();
  });

  it("takes the workers that it had itself along, and theirs", async () => {
    const child = employ();
    const grandchild = employ(child.inside);
    const last = employ(grandchild.inside);
    const bystander = employ();
    for (const { inside } of [child, grandchild, last]) hold(inside);
    last.inside.lock.acquire();
    child.worker.exit();
    await turn();
    expect(isFree(2, 3, 4, 5)).toEqual([true, true, true, false]);
    expect(heap.lock.holder).toBe(0);
    bystander.inside.free(bystander.inside.malloc(100));
    heap.check();
  });

  it("does not hold a supervisor up that has left the heap", async () => {
    const { worker, inside } = employ();
    const other = attachAnother(heap);
    heap.detach();
    inside.lock.acquire();
    worker.exit();
    await turn();
    // The corpse is marked, so nobody waits for it.
    other.free(other.malloc(5000));
    expect(other.lock.deaths).toBe(1);
    other.check();
  });
});

describe("a supervisor that leaves the heap", () => {
  it("keeps its slot while it has workers, so that they are not taken for another's", async () => {
    const foreman = employ();
    const { inside } = employ(foreman.inside);
    hold(foreman.inside);
    foreman.inside.detach();
    expect(isFree(2, 3)).toEqual([false, false]);
    // What it held itself is given back.
    expect(heldBlocks()).toBe(0);
    const next = employ();
    expect(next.inside.slot).toBe(4);
    const ptr = inside.malloc(40);
    next.worker.exit();
    await turn();
    expect(isFree(3, 4)).toEqual([false, true]);
    inside.free(ptr);
    heap.check();
    foreman.worker.exit();
    await turn();
    expect(isFree(2, 3)).toEqual([true, true]);
  });

  it("has its slot when it comes again", () => {
    const worker = new FakeWorker();
    heap.supervise(worker);
    const descriptor = heap.share();
    heap.detach();
    const again = Heap.attach(descriptor);
    expect(again.slot).toBe(1);
    again.free(again.malloc(40));
    again.check();
  });
});

describe("spawn", () => {
  it("sends a worker that has been made what it attaches by", () => {
    const worker = new FakeWorker();
    expect(heap.spawn(worker)).toBe(worker);
    expect(worker.posted).toEqual([expect.objectContaining({ base: 0, slot: 2 })]);
    expect(attachAnother(worker.posted[0] as HeapDescriptor).slot).toBe(2);
  });

  it("ends the worker that it has started when there is no slot for it, and no other", () => {
    for (let slot = 2; slot < 128; slot += 1) heap.slots.invite(1);
    const terminate = vi.spyOn(Worker.prototype, "terminate");
    const module = new URL("data:text/javascript,setInterval(() => {}, 1000)");
    expect(refusalOf(() => heap.spawn(module)).code).toBe("ERR_NO_SLOT");
    expect(terminate).toHaveBeenCalledTimes(1);
    const made = new FakeWorker();
    expect(refusalOf(() => heap.spawn(made)).code).toBe("ERR_NO_SLOT");
    expect(made.isTerminated).toBe(false);
  });
});

/** Web Locks as far as they are used here: exclusive ones, each with a queue. */
class FakeLocks {
  readonly #queues = new Map<string, (() => Promise<void>)[]>();
  readonly #held = new Map<string, () => void>();
  readonly names: string[] = [];

  request(name: string, ...rest: unknown[]): Promise<void> {
    const act = rest.at(-1) as (lock: object | null) => unknown;
    const { ifAvailable = false } = (rest.length > 1 ? rest[0] : {}) as { ifAvailable?: boolean };
    this.names.push(name);
    if (ifAvailable && this.#held.has(name)) return Promise.resolve(act(null)).then(() => undefined);
    return new Promise((resolve) => {
      const queue = this.#queues.get(name) ?? [];
      this.#queues.set(name, queue);
      queue.push(async () => {
        // What ends the holder's life, or what it awaits, releases the lock.
        const death = new Promise<void>((end) => this.#held.set(name, end));
        await Promise.race([death, Promise.resolve(act({ name }))]);
        this.#held.delete(name);
        resolve();
        this.#next(name);
      });
      if (!this.#held.has(name)) this.#next(name);
    });
  }
  /** The end of the agent that holds a lock. */
  release(name: string): void {
    this.#held.get(name)?.();
  }
  #next(name: string): void {
    void this.#queues.get(name)?.shift()?.();
  }
}

describe("in a page", () => {
  let locks: FakeLocks;
  beforeEach(() => {
    locks = new FakeLocks();
    vi.spyOn(process, "getBuiltinModule").mockReturnValue(undefined as never);
    vi.stubGlobal("navigator", { locks });
  });

  /** A page's worker: nothing tells of its end. */
  const mute = (): { postMessage(message: unknown): void } => ({ postMessage: () => {} });
  /** The names of this heap's certificates: supervisors of other tests may look for theirs still. */
  const certificates = (): string[] => {
    const id = (heap.base + SUPERBLOCK.offsets.id) >>> 2;
    return locks.names.filter((name) => name.startsWith(`heapwright ${heap.words[id]!} ${heap.words[id + 1]!} `));
  };
  const certificateOf = (slot: number): string =>
    certificates().find((name) => name.split(" ").at(-2) === `${slot}`) ?? "";

  it("a worker holds a Web Lock while it lives, by which its supervisor learns of its end", async () => {
    const inside = attachAnother(heap.supervise(mute()));
    await turn();
    const certificate = certificateOf(2);
    expect(certificate).toMatch(/^heapwright \d+ \d+ 2 0$/);
    expect(heap.slots.isCertified(2)).toBe(true);
    inside.lock.acquire();
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect([heap.lock.holder, ...isFree(2)]).toEqual([2, false]);
    locks.release(certificate);
    await vi.waitFor(() => expect(isFree(2)).toEqual([true]));
    expect(heap.lock.holder).toBe(0);
    heap.check();
    // The next one has a name of its own.
    attachAnother(heap.supervise(mute()));
    await turn();
    expect(certificates().at(-1)).toBe(certificate.replace(/0$/, "1"));
  });

  it("names its certificates after the heap, so that two heaps are told apart", () => {
    const other = new Heap({ bytes: 1 << 17, shared: true });
    attachAnother(heap.supervise(mute()));
    const before = locks.names.length;
    attachAnother(other.supervise(mute()));
    expect(locks.names[before]).toMatch(/^heapwright \d+ \d+ 2 0$/);
    expect(locks.names[before]).not.toBe(certificateOf(2));
  });

  it("a slot is kept while a worker has no certificate yet", async () => {
    heap.supervise(mute());
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect([isFree(2), certificates()]).toEqual([[false], []]);
  });

  it("the end of a worker is the end of those that it had, when their locks say so", async () => {
    const inside = attachAnother(heap.supervise(mute()));
    // As `supervise` does it, but nobody waits for the child's end: that agent will be gone itself.
    const child = attachAnother({ ...inside.share(), slot: inside.slots.invite(inside.slot) });
    await turn();
    child.lock.acquire();
    locks.release(certificateOf(2));
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(isFree(3)).toEqual([false]);
    locks.release(certificateOf(3));
    await vi.waitFor(() => expect(isFree(2, 3)).toEqual([true, true]));
    expect(heap.lock.holder).toBe(0);
    heap.check();
  });

  it("a supervisor that has left the heap finds its dead, and nothing to do", async () => {
    const other = attachAnother(heap);
    const inside = attachAnother(heap.supervise(mute()));
    await turn();
    const certificate = certificateOf(3);
    heap.detach();
    await new Promise((resolve) => setTimeout(resolve, 60));
    inside.lock.acquire();
    locks.release(certificate);
    await turn();
    other.free(other.malloc(5000));
    expect(other.lock.deaths).toBe(1);
  });

  it("supervise says so where there are no Web Locks", () => {
    vi.stubGlobal("navigator", {});
    expect(refusalOf(() => heap.supervise(mute())).code).toBe("ERR_UNSUPPORTED");
  });

  it("spawn says so where there are no workers", () => {
    vi.stubGlobal("Worker", undefined);
    const error = refusalOf(() => heap.spawn("worker.js"));
    expect([error.code, error.message]).toEqual(["ERR_UNSUPPORTED", "spawn: there are no workers here"]);
    expect(isFree(2)).toEqual([true]);
  });

  it("spawn starts a module", () => {
    const started: unknown[] = [];
    class PageWorker {
      readonly posted: unknown[] = [];
      constructor(...args: unknown[]) {
        started.push(args);
      }
      postMessage(message: unknown): void {
        this.posted.push(message);
      }
    }
    vi.stubGlobal("Worker", PageWorker);
    const worker = heap.spawn<PageWorker>("worker.js");
    expect(started).toEqual([["worker.js", { type: "module" }]]);
    expect(worker.posted).toEqual([expect.objectContaining({ slot: 2 })]);
  });

  it("there is nothing to wait for outside of a worker", async () => {
    await expect(Heap.spawned()).rejects.toMatchObject({ code: "ERR_UNSUPPORTED" });
  });

  describe("spawned, in a worker", () => {
    /** The worker's global scope as a place for messages. */
    let scope: EventTarget;
    const send = (data: unknown): boolean => scope.dispatchEvent(new MessageEvent("message", { data }));
    beforeEach(() => {
      scope = new EventTarget();
      vi.stubGlobal("WorkerGlobalScope", EventTarget);
      for (const name of ["addEventListener", "removeEventListener", "dispatchEvent"] as const) {
        vi.stubGlobal(name, scope[name].bind(scope));
      }
    });

    it("gives the heap when the worker is certified, and messages in their order", async () => {
      const seen: unknown[] = [];
      const waiting = Heap.spawned();
      scope.addEventListener("message", (event) => seen.push((event as MessageEvent).data));
      send("before");
      send(heap.supervise(mute()));
      send("one");
      send("two");
      expect(seen).toEqual(["before"]);
      const inside = await waiting;
      expect(heap.slots.isCertified(inside.slot)).toBe(true);
      inside.free(inside.malloc(40));
      await turn();
      await turn();
      expect(seen).toEqual(["before", "one", "two"]);
      send("three");
      expect(seen).toEqual(["before", "one", "two", "three"]);
    });

    it("rejects what is no heap", async () => {
      const waiting = Heap.spawned();
      send({ ...heap.share(), heapwright: new SharedArrayBuffer(8) });
      await expect(waiting).rejects.toMatchObject({ code: "ERR_NOT_A_HEAP" });
    });
  });
});

it("what the dead have left is there for others before their slots are", async () => {
  const { worker, inside } = employ();
  // All but what its magazines hold.
  for (let size = 8192; size > 0; size = size > 8 ? size >>> 1 : 0) {
    for (let ptr = inside.malloc(size); ptr !== NULL; ptr = inside.malloc(size)) continue;
  }
  const { ptr } = [...heap.blocks()].find(({ size, state }) => state === "live" && size < 1000)!;
  const { size } = [...heap.blocks()].find((block) => block.ptr === ptr)!;
  inside.free(ptr);
  expect(heap.malloc(size)).toBe(NULL);
  worker.exit();
  await turn();
  expect(heap.malloc(size)).toBe(ptr);
  heap.check();
});
