import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HeapError } from "../src/errors.ts";
import { Heap } from "../src/heap.ts";
import { NULL, offsetPtr, type Ptr } from "../src/ptr.ts";
import { runs, seedFromEnv } from "../src/testing/env.ts";
import { replay } from "../src/testing/replay.ts";
import { ShadowHeap, type Watchable } from "../src/testing/shadow-heap.ts";
import { bimodal, type Distribution, operations, powerLaw, random, uniform } from "../src/testing/stream.ts";
import { flush } from "../src/quick-lists.ts";
import { SharedHeap } from "../src/shared-heap.ts";
import type { HeapBuffer } from "../src/views.ts";
import { attachAnother } from "./agents.ts";

const PAGE_BYTES = 65536;

/** Small heaps, so that check() after each operation is quick, and is often short of room. */
interface Kind {
  readonly name: string;
  readonly make: () => AnyHeap;
  readonly alignment?: number;
  readonly maxLive: number;
  readonly sizes: Distribution;
  /** Streams of 5,000 operations each. */
  readonly rounds: number;
  /** What happens between operations. */
  readonly disturb?: (heap: AnyHeap, index: number) => void;
}

type AnyHeap = Heap<HeapBuffer>;

const KINDS: readonly Kind[] = [
  {
    name: "a tiny heap that is mostly full",
    make: () => new Heap({ bytes: 8192 }),
    maxLive: 40,
    sizes: powerLaw(1, 1000),
    rounds: 60,
  },
  {
    name: "a heap of small blocks of few sizes",
    make: () => new Heap({ bytes: 16_384 }),
    maxLive: 60,
    sizes: uniform(0, 60),
    rounds: 30,
  },
  {
    name: "a heap of small blocks and large ones",
    make: () => new Heap({ bytes: 32_768 }),
    maxLive: 40,
    sizes: bimodal(powerLaw(1, 200), uniform(900, 6000), 0.2),
    rounds: 30,
  },
  {
    name: "a heap of 16-byte alignment",
    make: () => new Heap({ bytes: 16_384, alignment: 16 }),
    alignment: 16,
    maxLive: 50,
    sizes: powerLaw(1, 1500),
    rounds: 30,
  },
  {
    name: "a range of a buffer at an odd base",
    make: () => Heap.adopt(new ArrayBuffer(40_000), { base: 9992, bytes: 12_000 }),
    maxLive: 50,
    sizes: powerLaw(1, 1500),
    rounds: 30,
  },
  {
    name: "a heap that grows",
    make: () => new Heap({ bytes: PAGE_BYTES, maxBytes: 5 * PAGE_BYTES }),
    maxLive: 40,
    sizes: powerLaw(1, 30_000, 0.7),
    rounds: 20,
  },
  {
    name: "a heap in a memory that someone else grows too",
    make: () =>
      Heap.adopt(new WebAssembly.Memory({ initial: 3 }), {
        base: PAGE_BYTES,
        bytes: PAGE_BYTES,
        maxBytes: 9 * PAGE_BYTES,
      }),
    maxLive: 40,
    sizes: powerLaw(1, 30_000, 0.7),
    rounds: 10,
    disturb: (heap, index) => {
      if (index % 1000 === 999) heap.memory?.grow(1);
    },
  },
  {
    name: "a shared heap that is mostly full",
    make: () => Heap.adopt(new SharedArrayBuffer(20_000)),
    maxLive: 60,
    sizes: powerLaw(1, 1000),
    rounds: 6,
  },
  {
    name: "a shared heap of small blocks of few sizes",
    make: () => Heap.adopt(new SharedArrayBuffer(40_000), { base: 8008, bytes: 24_000 }),
    maxLive: 150,
    sizes: uniform(0, 60),
    rounds: 4,
  },
  {
    name: "a shared heap of 16-byte alignment",
    make: () => Heap.adopt(new SharedArrayBuffer(30_000), { alignment: 16 }),
    alignment: 16,
    maxLive: 60,
    sizes: powerLaw(1, 1500),
    rounds: 4,
  },
  {
    name: "a shared heap that grows",
    make: () => new Heap({ bytes: PAGE_BYTES, maxBytes: 5 * PAGE_BYTES, shared: true }),
    maxLive: 60,
    sizes: powerLaw(1, 30_000, 0.7),
    rounds: 4,
  },
];

/** The agents that have a heap open: the one of a private heap, several of a shared one, of whom any may do what is next. */
class Agents {
  readonly first: AnyHeap;
  readonly #next: () => number;
  readonly #others: SharedHeap[];

  constructor(heap: AnyHeap, next: () => number) {
    this.first = heap;
    this.#next = next;
    this.#others = heap instanceof SharedHeap ? [attachAnother(heap), attachAnother(heap)] : [];
  }

  /** Whoever has the next turn. */
  get any(): AnyHeap {
    if (this.#others.length === 0) return this.first;
    return this.#others[Math.floor(this.#next() * (this.#others.length + 1))] ?? this.first;
  }

  /** One of them leaves or dies, some with the lock in their hands, and another one comes. */
  change(): void {
    const at = Math.floor(this.#next() * this.#others.length);
    const leaving = this.#others[at];
    if (leaving === undefined || !(this.first instanceof SharedHeap)) return;
    const how = this.#next();
    if (how < 0.4) leaving.detach();
    else {
      if (how < 0.7) leaving.lock.acquire();
      this.first.slots.bury(leaving.slot, this.first.slots.generation(leaving.slot));
      this.first.lock.acquire();
      this.first.reapDead();
      this.first.lock.release();
    }
    this.#others[at] = attachAnother(this.first);
  }
}

/** Passes everything on, and frees what must not be freed in between: it must be refused with the right code. */
class Misusing implements Watchable<AnyHeap> {
  readonly #agents: { readonly any: AnyHeap };
  readonly #next: () => number;
  refused = 0;

  constructor(agents: { readonly any: AnyHeap }, next: () => number) {
    this.#agents = agents;
    this.#next = next;
  }
  get heap(): AnyHeap {
    return this.#agents.any;
  }
  malloc(size: number): Ptr {
    return this.#poked(this.heap.malloc(size));
  }
  calloc(count: number, size: number): Ptr {
    return this.#poked(this.heap.calloc(count, size));
  }
  alignedAlloc(alignment: number, size: number): Ptr {
    return this.#poked(this.heap.alignedAlloc(alignment, size));
  }
  realloc(ptr: Ptr, size: number): Ptr {
    const moved = this.heap.realloc(ptr, size);
    if (moved !== ptr && moved !== NULL && ptr !== NULL && this.#next() < 0.2) this.expectDoubleFree(ptr);
    return moved;
  }
  free(ptr: Ptr): void {
    this.heap.free(ptr);
    if (ptr !== NULL && this.#next() < 0.2) this.expectDoubleFree(ptr);
  }
  usableSize(ptr: Ptr): number {
    return this.heap.usableSize(ptr);
  }

  /** Frees what is free. */
  expectDoubleFree(ptr: Ptr): void {
    this.#expect(ptr, "ERR_DOUBLE_FREE");
  }

  /** Frees somewhere inside a new block. */
  #poked(ptr: Ptr): Ptr {
    if (ptr === NULL || this.#next() > 0.1) return ptr;
    const distance = 1 + Math.floor(this.#next() * (this.heap.usableSize(ptr) - 1));
    this.#expect(offsetPtr(ptr, this.#next() < 0.5 ? distance : distance - (distance % 8) || 4), "ERR_INVALID_POINTER");
    return ptr;
  }
  #expect(ptr: Ptr, code: string): void {
    try {
      this.heap.free(ptr);
    } catch (error) {
      this.refused += 1;
      if (error instanceof HeapError && error.code === code) return;
      throw error;
    }
    throw new Error(`free(${ptr}) was accepted; it must be ${code}`);
  }
}

describe.each(KINDS)("random operations in $name, with check() after each", (kind) => {
  it("keep every block apart and its contents whole, and refuse every wrong free", () => {
    const seed = seedFromEnv();
    let refused = 0;
    for (let round = 0; round < runs(kind.rounds); round += 1) {
      const heap = kind.make();
      const next = random(seed + round);
      const agents = new Agents(heap, next);
      const misusing = new Misusing(agents, next);
      const stream = operations({ seed: seed + round, count: 5000, maxLive: kind.maxLive, sizes: kind.sizes });
      const everyOp = (index: number): void => {
        kind.disturb?.(heap, index);
        if (next() < 0.01) agents.change();
        agents.any.check();
      };
      replay(misusing, stream, { alignment: kind.alignment ?? 8, everyOp });
      refused += misusing.refused;
      expect(heap.stats()).toMatchObject({ liveBlocks: 0, liveBytes: 0 });
      // What lies outside was 0 and has not been touched.
      expect(heap.u8.subarray(0, heap.base).some((byte) => byte !== 0)).toBe(false);
      expect(heap.u8.subarray(heap.base + heap.size).some((byte) => byte !== 0)).toBe(false);
    }
    // Otherwise nothing was refused, and the run proved less than it says.
    expect(refused, `seed ${seed}`).toBeGreaterThan(100);
  });
});

/** One step of a program, on one of a few slots. */
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ call: fc.constant("malloc" as const), slot: fc.nat(15), size: fc.nat(900) }) },
  { weight: 4, arbitrary: fc.record({ call: fc.constant("free" as const), slot: fc.nat(15), size: fc.constant(0) }) },
  { weight: 3, arbitrary: fc.record({ call: fc.constant("realloc" as const), slot: fc.nat(15), size: fc.nat(1800) }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant("calloc" as const), slot: fc.nat(15), size: fc.nat(300) }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant("aligned" as const), slot: fc.nat(15), size: fc.nat(300) }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant("again" as const), slot: fc.nat(15), size: fc.constant(0) }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant("attach" as const), slot: fc.nat(15), size: fc.constant(0) }) },
);

describe("any short program", () => {
  it.each([8, 16] as const)(
    "leaves a sound heap of %d-byte alignment at each step (the shortest that does not is shown)",
    (alignment) => {
      const program = fc.array(step, { maxLength: 80, size: "max" });
      const property = fc.property(program, (steps) => {
        const source = new Heap({ bytes: 8192 - 1024, alignment });
        // Each step may go through another view of the same heap, so nothing can hide in the object.
        let heap = source;
        const shadow = new ShadowHeap<Heap>({
          get heap() {
            return heap;
          },
          malloc: (size) => heap.malloc(size),
          calloc: (count, size) => heap.calloc(count, size),
          realloc: (ptr, size) => heap.realloc(ptr, size),
          alignedAlloc: (to, size) => heap.alignedAlloc(to, size),
          free: (ptr) => heap.free(ptr),
          usableSize: (ptr) => heap.usableSize(ptr),
        });
        const slots: Ptr[] = Array.from({ length: 16 }, () => NULL);
        for (const { call, slot, size } of steps) {
          const ptr = slots[slot] ?? NULL;
          if (call === "attach") heap = Heap.attach(source.buffer);
          else if (call === "realloc") slots[slot] = shadow.realloc(ptr, size) || ptr;
          else {
            shadow.free(ptr);
            slots[slot] = NULL;
            if (call === "malloc") slots[slot] = shadow.malloc(size);
            if (call === "calloc") slots[slot] = shadow.calloc(3, size);
            if (call === "aligned") slots[slot] = shadow.alignedAlloc(2 ** (size % 10), size);
            if (call === "again" && ptr !== NULL) new Misusing({ any: heap }, random(size)).expectDoubleFree(ptr);
          }
          heap.check();
        }
        for (const ptr of slots) shadow.free(ptr);
        shadow.close();
        flush(heap);
        heap.check();
        expect([...heap.blocks()].map(({ state }) => state)).toEqual(["free"]);
      });
      fc.assert(property, { seed: seedFromEnv(), numRuns: runs(300) });
    },
  );

  it("of several agents leaves a sound shared heap at each step (the shortest that does not is shown)", () => {
    const program = fc.array(step, { maxLength: 80, size: "max" });
    const property = fc.property(program, (steps) => {
      const first = Heap.adopt(new SharedArrayBuffer(16_384));
      const agents = [first, attachAnother(first), attachAnother(first)] as const;
      let heap: SharedHeap = first;
      const shadow = new ShadowHeap<SharedHeap>({
        get heap() {
          return heap;
        },
        malloc: (size) => heap.malloc(size),
        calloc: (count, size) => heap.calloc(count, size),
        realloc: (ptr, size) => heap.realloc(ptr, size),
        alignedAlloc: (to, size) => heap.alignedAlloc(to, size),
        free: (ptr) => heap.free(ptr),
        usableSize: (ptr) => heap.usableSize(ptr),
      });
      const slots: Ptr[] = Array.from({ length: 16 }, () => NULL);
      for (const { call, slot, size } of steps) {
        const ptr = slots[slot] ?? NULL;
        // The turn goes round by itself: what one has allocated another frees.
        if (call === "attach") heap = agents[slot % 3] ?? first;
        else if (call === "realloc") slots[slot] = shadow.realloc(ptr, size) || ptr;
        else {
          shadow.free(ptr);
          slots[slot] = NULL;
          if (call === "malloc") slots[slot] = shadow.malloc(size);
          if (call === "calloc") slots[slot] = shadow.calloc(3, size);
          if (call === "aligned") slots[slot] = shadow.alignedAlloc(2 ** (size % 10), size);
          if (call === "again" && ptr !== NULL) new Misusing({ any: heap }, random(size)).expectDoubleFree(ptr);
        }
        heap.check();
      }
      for (const ptr of slots) shadow.free(ptr);
      shadow.close();
      agents[1].detach();
      agents[2].detach();
      first.recover();
      first.check();
      expect(first.stats()).toMatchObject({ liveBlocks: 0, liveBytes: 0 });
    });
    fc.assert(property, { seed: seedFromEnv(), numRuns: runs(200) });
  });
});
