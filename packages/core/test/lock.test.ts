import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { setTag, spanOf, STATE } from "../src/boundary-tag.ts";
import { HeapError } from "../src/errors.ts";
import { Heap } from "../src/heap.ts";
import { flush } from "../src/quick-lists.ts";
import type { SharedHeap } from "../src/shared-heap.ts";
import { allowLive } from "../src/testing/heap-watch.ts";
import { attachAnother } from "./agents.ts";
import { refusalIn, refusalOf } from "./refusal.ts";

// Blocks stay live where nothing else is tested than the heap that they lie in.
beforeEach(() => allowLive());
afterEach(() => {
  vi.restoreAllMocks();
});

/** One heap, as two agents see it. */
let heap: SharedHeap;
let other: SharedHeap;

beforeEach(() => {
  heap = new Heap({ bytes: 1 << 18, shared: true });
  other = attachAnother(heap);
});

const WAIT = 0x80;
const REMEDY = "let this thread's events run (its workers' deaths come that way), or use lock.acquireAsync()";

function lockWord(): number {
  return heap.i32[heap.lock.word]!;
}

/** The lock word, which a refused attempt may leave a mark in. */
function forgetWait(act: () => unknown): () => unknown {
  return () => {
    try {
      return act();
    } finally {
      Atomics.and(heap.i32, heap.lock.word, ~WAIT);
    }
  };
}

/** A clock that makes whoever looks at it lose patience. */
function hurry(): void {
  let now = 0;
  vi.spyOn(Date, "now").mockImplementation(() => (now += 3000));
}

/** Marks an agent's slot as whoever supervises it does when it is gone. */
function kill(victim: SharedHeap): void {
  heap.slots.bury(victim.slot, heap.slots.generation(victim.slot));
}

/** An agent that may not sleep: a page's main thread. */
function attachPage(): SharedHeap {
  const wait = vi.spyOn(Atomics, "wait").mockImplementation(() => {
    throw new TypeError("Atomics.wait cannot be called in this context");
  });
  try {
    return attachAnother(heap);
  } finally {
    wait.mockRestore();
  }
}

describe("acquire and release", () => {
  it("say who holds the lock, to everybody", () => {
    expect([heap.slot, other.slot]).toEqual([1, 2]);
    expect([heap.lock.holder, heap.lock.isMine, other.lock.isMine]).toEqual([0, false, false]);
    expect(other.lock.acquire()).toBe("acquired");
    expect([heap.lock.holder, heap.lock.isMine, other.lock.isMine]).toEqual([2, false, true]);
    other.lock.release();
    expect(heap.lock.acquire()).toBe("acquired");
    expect([other.lock.holder, heap.lock.isMine, other.lock.isMine]).toEqual([1, true, false]);
    heap.lock.release();
    expect([heap.lock.holder, lockWord()]).toEqual([0, 0]);
  });

  it("refuse to wait for themselves, and hold the lock still", () => {
    heap.lock.acquire();
    for (const call of ["acquire", "tryAcquire"] as const) {
      const error = refusalIn(heap, () => heap.lock[call]());
      expect(error.code).toBe("ERR_WOULD_BLOCK");
      expect(error.message).toBe(`${call}: this agent holds the heap's lock already; release it first`);
    }
    expect(heap.lock.isMine).toBe(true);
    heap.lock.release();
    expect(other.lock.tryAcquire()).toBe("acquired");
    other.lock.release();
  });

  it("refuse to give back what is not theirs", () => {
    const expectRefusal = (): void => {
      const error = refusalIn(heap, () => heap.lock.release());
      expect(error.code).toBe("ERR_INVALID_ARGUMENT");
      expect(error.message).toBe("release: this agent does not hold the lock; acquire it first");
    };
    expectRefusal();
    other.lock.acquire();
    expectRefusal();
    expect(heap.lock.holder).toBe(2);
    other.lock.release();
    expectRefusal();
  });

  it("let the allocator be called meanwhile", () => {
    heap.lock.acquire();
    const blocks = [heap.malloc(10), heap.malloc(5000), heap.calloc(3, 400), heap.alignedAlloc(256, 100)];
    blocks[0] = heap.realloc(blocks[0]!, 9000);
    for (const ptr of blocks) heap.free(ptr);
    heap.setRoot("name", heap.malloc(1));
    expect(heap.stats().liveBlocks).toBe(1);
    heap.check();
    expect(heap.lock.isMine).toBe(true);
    heap.lock.release();
    expect(heap.lock.holder).toBe(0);
  });

  it("are one lock for all objects that one agent has open", () => {
    const again = Heap.attach(heap.share());
    expect(again.slot).toBe(heap.slot);
    heap.lock.acquire();
    expect(again.lock.isMine).toBe(true);
    expect(refusalOf(() => again.lock.acquire()).code).toBe("ERR_WOULD_BLOCK");
    again.free(again.malloc(5000));
    again.lock.release();
    expect(heap.lock.holder).toBe(0);
  });
});

describe("a lock that another agent holds", () => {
  beforeEach(() => {
    other.lock.acquire();
  });

  it("is busy", () => {
    expect(heap.lock.tryAcquire()).toBe("busy");
    expect(heap.lock.holder).toBe(2);
  });

  it("is given up after two seconds, by acquire and by every call that needs it, with nothing changed", () => {
    const block = other.malloc(5000);
    hurry();
    const calls: [name: string, act: () => unknown][] = [
      ["acquire", () => heap.lock.acquire()],
      ["malloc", () => heap.malloc(5000)],
      ["malloc", () => heap.malloc(10)],
      ["malloc", () => heap.calloc(5, 10)],
      ["malloc", () => heap.realloc(0 as never, 10)],
      ["realloc", () => heap.realloc(block, 10)],
      ["alignedAlloc", () => heap.alignedAlloc(64, 10)],
      ["free", () => heap.free(block)],
      ["usableSize", () => heap.usableSize(block)],
      ["grow", () => heap.grow(10)],
      ["setRoot", () => heap.setRoot("a", block)],
      ["root", () => heap.root("a")],
      ["image", () => heap.image()],
      ["stats", () => heap.stats()],
      ["blocks", () => [...heap.blocks()]],
      ["dump", () => heap.dump()],
      ["check", () => heap.check()],
      ["recover", () => heap.recover()],
      ["detach", () => heap.detach()],
    ];
    for (const [name, act] of calls) {
      const error = refusalIn(heap, forgetWait(act));
      expect(error.code, name).toBe("ERR_WOULD_BLOCK");
      expect(error.message).toBe(`${name}: slot 2 holds the heap's lock; ${REMEDY}`);
    }
    other.lock.release();
    expect(heap.usableSize(block)).toBe(5000);
    heap.check();
  });

  it("puts who waits to sleep, for no longer than the patience says", () => {
    let now = 0;
    vi.spyOn(Date, "now").mockImplementation(() => now);
    const wait = vi.spyOn(Atomics, "wait").mockImplementation((_array, _at, _value, time) => {
      now += time ?? Infinity;
      return "timed-out";
    });
    expect(refusalOf(() => heap.lock.acquire()).code).toBe("ERR_WOULD_BLOCK");
    expect(wait.mock.calls.length).toBeGreaterThan(10);
    expect(now).toBeGreaterThanOrEqual(2000);
    expect(now).toBeLessThan(2100);
    // Asleep is only who has said so, so that release wakes it.
    expect(wait.mock.calls.every(([, , value]) => Number(value) === lockWord())).toBe(true);
    expect(lockWord() & WAIT).toBe(WAIT);
  });

  it("is had when its holder gives it back meanwhile", () => {
    vi.spyOn(Atomics, "wait").mockImplementation(() => {
      other.lock.release();
      return "ok";
    });
    expect(heap.lock.acquire()).toBe("acquired");
    // Others may sleep still.
    expect(lockWord() & WAIT).toBe(WAIT);
    heap.lock.release();
    expect(lockWord()).toBe(0);
  });

  it("is never waited for on a page", () => {
    const waits = vi.spyOn(Atomics, "wait");
    other.lock.release();
    const page = attachPage();
    other.lock.acquire();
    waits.mockClear();
    const block = other.malloc(5000);
    for (const act of [() => page.lock.acquire(), () => page.malloc(5000), () => page.free(block)]) {
      const error = refusalIn(heap, forgetWait(act));
      expect(error.code).toBe("ERR_WOULD_BLOCK");
      expect(error.message).toMatch(`: slot 2 holds the heap's lock; ${REMEDY}`);
    }
    expect(waits).not.toHaveBeenCalled();
    other.lock.release();
    page.free(block);
    page.check();
  });

  it("comes to whoever awaits it, by turns and however long that takes", async () => {
    const page = attachPageWhileHeld();
    const order: string[] = [];
    const take = async (name: string, { lock }: SharedHeap): Promise<void> => {
      expect(await lock.acquireAsync()).toBe("acquired");
      order.push(name);
      await new Promise((resolve) => setTimeout(resolve, 5));
      order.push(name);
      lock.release();
    };
    const all = Promise.all([take("heap", heap), take("page", page), take("heap again", heap)]);
    await new Promise((resolve) => setTimeout(resolve, 80));
    expect(order).toEqual([]);
    other.lock.release();
    await all;
    // Whoever had it had it alone.
    expect(order.filter((name, at) => name !== order[at - (at % 2)])).toEqual([]);
    expect([...order].sort()).toEqual(["heap", "heap", "heap again", "heap again", "page", "page"]);
    expect(heap.lock.holder).toBe(0);
  });

  function attachPageWhileHeld(): SharedHeap {
    other.lock.release();
    const page = attachPage();
    other.lock.acquire();
    return page;
  }
});

describe("a lock whose holder is dead", () => {
  /** What recovery has to put right: a head that lost its blocks. */
  beforeEach(() => {
    other.lock.acquire();
    for (let i = 0; i < 40; i += 1) other.inner.free(other.inner.malloc(40));
    heap.words.fill(0, heap.quickLists, heap.quickLists + 128);
  });

  it("is busy until somebody says so", () => {
    expect(heap.lock.tryAcquire()).toBe("busy");
  });

  it.each(["acquire", "tryAcquire", "acquireAsync"] as const)("is taken over by %s, and mended", async (call) => {
    kill(other);
    expect(heap.lock.deaths).toBe(0);
    expect(await heap.lock[call]()).toBe("owner-died");
    expect([heap.lock.deaths, heap.lock.isMine]).toEqual([1, true]);
    heap.check();
    heap.lock.release();
    expect(heap.lock[call === "acquireAsync" ? "acquire" : call]()).toBe("acquired");
    expect(heap.lock.deaths).toBe(1);
    heap.lock.release();
  });

  it("is taken over by a call that needs it", () => {
    kill(other);
    heap.free(heap.malloc(5000));
    expect([heap.lock.deaths, heap.lock.holder]).toEqual([1, 0]);
    heap.check();
  });

  it("is taken over while one waits for it", () => {
    vi.spyOn(Atomics, "wait").mockImplementation(() => {
      kill(other);
      return "ok";
    });
    expect(heap.lock.acquire()).toBe("owner-died");
    heap.lock.release();
    heap.check();
  });

  it("is taken over on a page", () => {
    other.lock.release();
    const page = attachPage();
    other.lock.acquire();
    kill(other);
    page.free(page.malloc(5000));
    expect(page.lock.deaths).toBe(1);
    page.check();
  });

  it("is not the next agent's in its slot", () => {
    const { slot } = other;
    kill(other);
    heap.lock.acquire();
    heap.reapDead();
    const next = attachNextWhileHeld();
    expect(next.slot).toBe(slot);
    expect(next.lock.isMine).toBe(false);
    expect(other.lock.isMine).toBe(false);
    next.lock.acquire();
    expect([next.lock.isMine, other.lock.isMine, heap.lock.holder]).toEqual([true, false, slot]);
    next.lock.release();
  });

  function attachNextWhileHeld(): SharedHeap {
    heap.lock.release();
    return attachAnother(heap);
  }
});

describe("enter and leave, for allocators", () => {
  it("take the lock once, however deep", () => {
    const outer = heap.lock.enter("outer");
    const inner = heap.lock.enter("inner");
    expect([outer, inner, heap.lock.isMine]).toEqual([true, false, true]);
    expect(heap.lock.tryAcquire.bind(heap.lock)).toThrow(HeapError);
    heap.lock.leave();
    expect(heap.lock.holder).toBe(0);
    expect(heap.lock.enter("again")).toBe(true);
    heap.lock.leave();
  });

  it("name the call that would block", () => {
    other.lock.acquire();
    hurry();
    const error = refusalIn(
      heap,
      forgetWait(() => heap.lock.enter("pool_fixed_alloc")),
    );
    expect(error.message).toBe(`pool_fixed_alloc: slot 2 holds the heap's lock; ${REMEDY}`);
  });

  it("see what another object of the same agent has done under the same lock", () => {
    const memory = new Heap({ bytes: 1 << 16, maxBytes: 1 << 24, shared: true });
    const again = Heap.attach(memory.share());
    memory.lock.acquire();
    const far = memory.malloc(1 << 22);
    memory.malloc(60_000);
    memory.free(far);
    flush(memory.inner);
    // The best piece lies beyond what the second object's views have shown so far.
    const ptr = again.malloc(1 << 21);
    expect(ptr).toBe(far);
    again.u32[ptr >>> 2] = 42;
    expect(memory.u32[ptr >>> 2]).toBe(42);
    again.free(ptr);
    memory.lock.release();
    again.check();
  });

  it("are of no use to an object that has been detached, though its agent holds the lock", () => {
    const again = Heap.attach(heap.share());
    again.detach();
    heap.lock.acquire();
    for (const act of [() => again.malloc(10), () => again.malloc(5000), () => again.stats()]) {
      expect(refusalIn(heap, act).code).toBe("ERR_DESTROYED");
    }
    expect(heap.lock.isMine).toBe(true);
    heap.lock.release();
    heap.check();
  });

  it("take anything but a refusal for a death", () => {
    const refused = new HeapError("ERR_OUT_OF_MEMORY", "no room");
    const overflow = new RangeError("Maximum call stack size exceeded");
    heap.lock.enter("test");
    heap.lock.leave(false, refused);
    expect(heap.lock.deaths).toBe(0);
    heap.lock.leave(false, overflow);
    expect(heap.lock.deaths).toBe(1);
    heap.words.fill(0, heap.index, heap.index + 400);
    heap.lock.leave();
    // Whoever comes next mends.
    expect(other.lock.acquire()).toBe("acquired");
    other.lock.release();
    other.check();
  });

  it("leave the lock free when the stack is too short for taking it", () => {
    const dive = (frames: number, act: () => void): void => (frames === 0 ? act() : dive(frames - 1, act));
    let overflows = 0;
    for (const [take, giveBack] of [
      [() => void heap.lock.enter("test"), () => heap.lock.leave()],
      [() => void heap.lock.acquire(), () => heap.lock.release()],
      [() => void heap.lock.tryAcquire(), () => heap.lock.release()],
    ] as const) {
      const attempt = (frames: number): boolean => {
        let isTaken = true;
        try {
          dive(frames, take);
        } catch {
          isTaken = false;
          overflows += 1;
        }
        expect(heap.lock.isMine, `${frames} frames`).toBe(isTaken);
        if (isTaken) giveBack();
        return isTaken;
      };
      let [fits, overflowing] = [0, 1 << 17];
      while (overflowing - fits > 1) {
        const middle = (fits + overflowing) >>> 1;
        if (attempt(middle)) fits = middle;
        else overflowing = middle;
      }
      // Where exactly it ends depends on what has been compiled meanwhile.
      for (let frames = fits - 40; frames < fits + 40; frames += 1) attempt(frames);
    }
    expect(overflows).toBeGreaterThan(30);
    expect(heap.lock.deaths).toBe(0);
    heap.check();
  });

  it("free the lock when what it protects is beyond repair, each time", () => {
    const ptr = heap.malloc(5000);
    setTag(heap.words, ptr - 8, spanOf(heap.words, ptr - 8) + 4096, STATE.LIVE);
    heap.lock.enter("test");
    heap.lock.leave(true, new RangeError("cut short"));
    for (const act of [() => other.malloc(5000), () => other.lock.acquire(), () => heap.stats()]) {
      expect(refusalIn(heap, act).code).toBe("ERR_CORRUPT");
      expect(heap.lock.holder).toBe(0);
    }
  });
});
