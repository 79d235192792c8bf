import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { alignedAllocFrom, type Allocator, callocFrom, reallocFrom } from "../src/allocator.ts";
import { HeapError, show } from "../src/errors.ts";
import { globalAllocator, setGlobalAllocator } from "../src/global-allocator.ts";
import { Heap } from "../src/heap.ts";
import type { AdoptOptions, HeapOptions } from "../src/range.ts";
import { aligned_alloc, calloc, free, malloc, realloc } from "../src/libc.ts";
import { NULL, type Ptr } from "../src/ptr.ts";
import { SharedHeap } from "../src/shared-heap.ts";
import type { HeapDescriptor } from "../src/slots.ts";
import { allowLive } from "../src/testing/heap-watch.ts";
import type { HeapBuffer } from "../src/views.ts";
import type { WorkerLike } from "../src/worker.ts";
import { asAnother, FakeWorker } from "./agents.ts";
import { copyOf, expectSame, refusalIn, refusalOf } from "./refusal.ts";
import { WRONG } from "./wrong-values.ts";

// Blocks stay live where nothing else is tested than the heap that they lie in.
beforeEach(() => allowLive());

type AnyHeap = Heap<HeapBuffer>;

/** A call, and the arguments that it takes when all is well. */
interface Call {
  readonly name: string;
  readonly args: (heap: AnyHeap, live: Ptr) => unknown[];
  readonly call: (heap: AnyHeap, args: never[]) => unknown;
}

/** The least that an allocator is: what core derives for it is taken here. */
function plain(heap: AnyHeap): Allocator {
  return {
    heap,
    malloc: (size) => heap.malloc(size),
    free: (ptr) => heap.free(ptr),
    usableSize: (ptr) => heap.usableSize(ptr),
  };
}

type A = never[];

const CALLS: readonly Call[] = [
  { name: "malloc", args: () => [100], call: (heap, [size]: A) => heap.malloc(size!) },
  { name: "calloc", args: () => [4, 25], call: (heap, [count, size]: A) => heap.calloc(count!, size!) },
  { name: "realloc", args: (_, live) => [live, 200], call: (heap, [ptr, size]: A) => heap.realloc(ptr!, size!) },
  { name: "alignedAlloc", args: () => [64, 100], call: (heap, [to, size]: A) => heap.alignedAlloc(to!, size!) },
  { name: "free", args: (_, live) => [live], call: (heap, [ptr]: A) => heap.free(ptr!) },
  { name: "usableSize", args: (_, live) => [live], call: (heap, [ptr]: A) => heap.usableSize(ptr!) },
  { name: "bytes", args: (_, live) => [live, 100], call: (heap, [ptr, count]: A) => heap.bytes(ptr!, count!) },
  { name: "setRoot", args: (_, live) => ["name", live], call: (heap, [name, ptr]: A) => heap.setRoot(name!, ptr!) },
  { name: "root", args: () => ["name"], call: (heap, [name]: A) => heap.root(name!) },
  { name: "grow", args: () => [100], call: (heap, [size]: A) => heap.grow(size!) },
  {
    name: "callocFrom",
    args: (heap) => [plain(heap), 4, 25],
    call: (_, [from, count, size]: A) => callocFrom(from!, count!, size!),
  },
  {
    name: "callocFrom a heap",
    args: (heap) => [heap, 4, 25],
    call: (_, [from, count, size]: A) => callocFrom(from!, count!, size!),
  },
  {
    name: "reallocFrom",
    args: (heap, live) => [plain(heap), live, 200],
    call: (_, [from, ptr, size]: A) => reallocFrom(from!, ptr!, size!),
  },
  {
    name: "alignedAllocFrom",
    args: (heap) => [plain(heap), 8, 100],
    call: (_, [from, to, size]: A) => alignedAllocFrom(from!, to!, size!),
  },
  { name: "libc's malloc", args: () => [100], call: (_, [size]: A) => malloc(size!) },
  { name: "libc's calloc", args: () => [4, 25], call: (_, [count, size]: A) => calloc(count!, size!) },
  { name: "libc's realloc", args: (_, live) => [live, 200], call: (_, [ptr, size]: A) => realloc(ptr!, size!) },
  { name: "libc's free", args: (_, live) => [live], call: (_, [ptr]: A) => free(ptr!) },
  { name: "libc's aligned_alloc", args: () => [64, 100], call: (_, [to, size]: A) => aligned_alloc(to!, size!) },
];

/** Those that have nothing to get wrong but the heap itself. */
const LOOKS: readonly Call[] = [
  { name: "size", args: () => [], call: (heap) => heap.size },
  { name: "image", args: () => [], call: (heap) => heap.image() },
  { name: "stats", args: () => [], call: (heap) => heap.stats() },
  { name: "blocks", args: () => [], call: (heap) => [...heap.blocks()] },
  { name: "dump", args: () => [], call: (heap) => heap.dump() },
  { name: "check", args: () => [], call: (heap) => heap.check() },
  ...(["u8", "i8", "u16", "i16", "u32", "i32", "f32", "f64", "u64", "i64", "buffer"] as const).map((view) => ({
    name: view,
    args: () => [],
    call: (heap: AnyHeap) => heap[view],
  })),
];

/** What came of a call: a result, or the code of the HeapError; anything else that is thrown is a failure. */
function outcomeOf(act: () => unknown): { code?: string; result?: unknown } {
  try {
    return { result: act() };
  } catch (error) {
    if (error instanceof HeapError) return { code: error.code };
    throw new Error(`not a HeapError: ${String(error)}`, { cause: error });
  }
}

let heap: Heap;
let live: Ptr;

const KINDS: readonly (readonly [name: string, make: () => AnyHeap])[] = [
  ["a private heap", () => heap],
  ["a shared heap", () => new Heap({ bytes: 65536, shared: true })],
];

beforeEach(() => {
  heap = new Heap({ bytes: 65536 });
  live = heap.calloc(1, 100);
  heap.free(heap.malloc(40));
  setGlobalAllocator(heap);
});
afterEach(() => {
  setGlobalAllocator(undefined);
});

describe.each(CALLS)("$name", ({ args, call }) => {
  describe.each(KINDS)("of %s", (_kind, make) => {
    let kind: AnyHeap;
    let block: Ptr;
    beforeEach(() => {
      kind = make();
      block = kind.calloc(1, 100);
      kind.free(kind.malloc(40));
      setGlobalAllocator(kind);
    });

    it.each(WRONG)(
      "given %s for any argument has its documented result or throws a HeapError and changes nothing",
      (_, value) => {
        const count = args(kind, block).length;
        for (let at = 0; at < count; at += 1) {
          const given = args(kind, block);
          given[at] = value;
          const before = copyOf(kind);
          const { code, result } = outcomeOf(() => call(kind, given as never[]));
          // What was accepted is a block of this heap, a view, an answer: never NaN or a number that is no pointer.
          if (code !== undefined) expectSame(kind, before, `${code} for argument ${at}`);
          const isSound = typeof result !== "number" || (result >>> 0 === result && result <= kind.size);
          expect(isSound, `argument ${at} gave ${String(result)}`).toBe(true);
          kind.check();
        }
      },
    );

    it("refuses what is not of the right type, whatever the argument", () => {
      const count = args(kind, block).length;
      const types = WRONG.filter(([, value]) => typeof value !== "number" && typeof value !== "string");
      for (let at = 0; at < count; at += 1) {
        for (const [name, value] of types) {
          const given = args(kind, block);
          given[at] = value;
          const { code } = outcomeOf(() => call(kind, given as never[]));
          expect(code, `${name} for argument ${at}`).toMatch(/^ERR_INVALID_(ARGUMENT|POINTER)$/);
        }
      }
    });
  });

  it("refuses a heap whose buffer was detached", () => {
    const given = args(heap, live);
    structuredClone(heap.buffer, { transfer: [heap.buffer] });
    expect(outcomeOf(() => call(heap, given as never[]))).toEqual({ code: "ERR_DESTROYED" });
    expect(outcomeOf(() => call(heap, given as never[]))).toEqual({ code: "ERR_DESTROYED" });
  });

  it("refuses a pointer of another heap, where it takes one", () => {
    const other = new Heap({ bytes: 1 << 20 });
    other.malloc(heap.size);
    const foreign = other.malloc(2000);
    const given = args(heap, live);
    const at = given.indexOf(live);
    if (at >= 0) given[at] = foreign;
    const isStored = given[0] === "name";
    const { code } = outcomeOf(() => call(heap, given as never[]));
    // A root may be any address: it is its owner's business what it means.
    expect(code).toBe(at < 0 || isStored ? undefined : "ERR_INVALID_POINTER");
    heap.check();
    other.check();
  });
});

describe.each(LOOKS)("$name", ({ call }) => {
  it("refuses a heap whose buffer was detached", () => {
    structuredClone(heap.buffer, { transfer: [heap.buffer] });
    expect(outcomeOf(() => call(heap, []))).toEqual({ code: "ERR_DESTROYED" });
  });
});

describe("sizes that are numbers", () => {
  const outcomes = (value: number): unknown[] =>
    [
      () => heap.malloc(value),
      () => heap.calloc(value, 1),
      () => heap.calloc(1, value),
      () => heap.realloc(live, value),
      () => heap.alignedAlloc(64, value),
      () => callocFrom(plain(heap), value, 1),
      () => callocFrom(plain(heap), 1, value),
      () => reallocFrom(plain(heap), live, value),
      () => alignedAllocFrom(plain(heap), 8, value),
    ].map((act) => {
      const { code, result } = outcomeOf(act);
      return code ?? result;
    });

  it.each([NaN, -1, 1.5, Infinity, -Infinity, -1e300, 0.1])("%d is an invalid argument", (value) => {
    expect(new Set(outcomes(value))).toEqual(new Set(["ERR_INVALID_ARGUMENT"]));
  });

  it.each([65536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 100, 2 ** 53, 1e300])(
    "%d is too much: NULL",
    (value) => {
      expect(new Set(outcomes(value))).toEqual(new Set([NULL]));
      heap.check();
    },
  );

  it("-0 is 0", () => {
    expect(heap.usableSize(heap.malloc(-0))).toBe(8);
    expect(heap.usableSize(heap.calloc(-0, -0))).toBe(8);
    expect(heap.usableSize(heap.realloc(live, -0))).toBe(8);
    heap.check();
  });

  it("two that are numbers, but not their product, are too much: NULL", () => {
    expect(heap.calloc(1e200, 1e200)).toBe(NULL);
    expect(callocFrom(plain(heap), 1e200, 1e200)).toBe(NULL);
  });

  it("a whole number of bytes is asked for in words that show the value", () => {
    expect(refusalIn(heap, () => heap.malloc(1.5)).message).toBe(
      "malloc: size 1.5; pass a whole number of bytes from 0",
    );
    const text: unknown = "64";
    expect(refusalIn(heap, () => heap.malloc(text as number)).message).toContain('size "64"');
    expect(refusalIn(heap, () => heap.calloc(2, -1)).message).toBe(
      "calloc(count, size): -1; pass a whole number from 0",
    );
  });
});

describe("alignments", () => {
  it.each([0, 3, 24, 100, 2 ** 31 + 1, -8, 0.5, 2 ** 32, 2 ** 33, NaN, Infinity])("%d is none", (alignment) => {
    expect(refusalIn(heap, () => heap.alignedAlloc(alignment, 8)).code).toBe("ERR_INVALID_ARGUMENT");
    expect(refusalIn(heap, () => alignedAllocFrom(plain(heap), alignment, 8)).code).toBe("ERR_INVALID_ARGUMENT");
  });

  it("above 8 bytes are unsupported where an allocator has no way to do it", () => {
    expect(alignedAllocFrom(plain(heap), 8, 100) % 8).toBe(0);
    expect(refusalIn(heap, () => alignedAllocFrom(plain(heap), 16, 100)).code).toBe("ERR_UNSUPPORTED");
  });
});

describe("making heaps", () => {
  const given = (options: unknown): HeapOptions & AdoptOptions => options as HeapOptions & AdoptOptions;
  const big = new Set(["2^31", "2^32", "2^32 + 8", "2^53", "1e300"]);

  it.each(WRONG)(
    "new Heap, given %s for its options or any of them, throws a HeapError or makes a sound heap",
    (name, value) => {
      const makers = [
        () => new Heap(given(value)),
        () => new Heap(given({ bytes: 65536, maxBytes: value })),
        () => new Heap(given({ bytes: 65536, alignment: value })),
        // 2 GiB of memory are a heap, but not for this test.
        ...(big.has(name) ? [] : [() => new Heap(given({ bytes: value }))]),
      ];
      for (const make of makers) {
        const { code, result } = outcomeOf(make);
        const isHeap = result instanceof Heap && outcomeOf(() => result.check()).code === undefined;
        expect(isHeap || code === "ERR_INVALID_ARGUMENT", `${code ?? String(result)}`).toBe(true);
      }
    },
  );

  it.each(WRONG)(
    "Heap.adopt, given %s for the source, its options or any of them, throws and changes nothing",
    (name, value) => {
      const buffer = new ArrayBuffer(65536);
      new Uint8Array(buffer).fill(0x77);
      const calls: (() => unknown)[] = [
        () => Heap.adopt(value as ArrayBuffer),
        () => Heap.adopt(buffer, given({ bytes: value })),
        () => Heap.adopt(buffer, given({ base: value })),
        () => Heap.adopt(buffer, given({ maxBytes: value })),
        () => Heap.adopt(buffer, given({ alignment: value })),
        () => Heap.adopt(buffer, given(value)),
      ];
      for (const [at, call] of calls.entries()) {
        const before = copyOf({ buffer });
        const { code, result } = outcomeOf(call);
        expect(code ?? result, `call ${at}`).toSatisfy(
          (outcome: unknown) => outcome instanceof Heap || typeof outcome === "string",
        );
        if (code === undefined) new Uint8Array(buffer).fill(0x77);
        else expectSame({ buffer }, before, `${name}, call ${at}`);
      }
    },
  );

  it.each(WRONG)(
    "Heap.attach, given %s for the source, the base or its options, throws or opens the heap",
    (_, value) => {
      const calls: (() => unknown)[] = [
        () => Heap.attach(value as ArrayBuffer),
        () => Heap.attach(heap.buffer, { base: value as number }),
        () => Heap.attach(heap.buffer, given(value)),
      ];
      const before = copyOf(heap);
      const outcomes = calls.map((call) => outcomeOf(call));
      expect(outcomes[0]?.code).toBe("ERR_INVALID_ARGUMENT");
      expect(outcomes.filter(({ code, result }) => code === undefined && !(result instanceof Heap))).toEqual([]);
      expectSame(heap, before);
    },
  );

  it("a detached buffer holds no heap, and none can be made there", () => {
    const buffer = new ArrayBuffer(65536);
    structuredClone(buffer, { transfer: [buffer] });
    expect(outcomeOf(() => Heap.attach(buffer))).toEqual({ code: "ERR_NOT_A_HEAP" });
    expect(outcomeOf(() => Heap.adopt(buffer))).toEqual({ code: "ERR_INVALID_ARGUMENT" });
    expect(outcomeOf(() => Heap.adopt(buffer, { base: 64 }))).toEqual({ code: "ERR_INVALID_ARGUMENT" });
    expect(outcomeOf(() => Heap.adopt(buffer, { bytes: 64 }))).toEqual({ code: "ERR_INVALID_ARGUMENT" });
  });

  it("views, tables and instances are no buffers", () => {
    const sources: unknown[] = [
      new Uint8Array(65536),
      new DataView(new ArrayBuffer(65536)),
      heap,
      new WebAssembly.Table({ initial: 1, element: "anyfunc" }),
      Buffer.alloc(65536),
    ];
    for (const source of sources) {
      expect(outcomeOf(() => Heap.adopt(source as ArrayBuffer))).toEqual({ code: "ERR_INVALID_ARGUMENT" });
      expect(outcomeOf(() => Heap.attach(source as ArrayBuffer))).toEqual({ code: "ERR_INVALID_ARGUMENT" });
    }
  });
});

describe("setGlobalAllocator", () => {
  it.each([...WRONG, ["an allocator without a heap", { ...plain(new Heap({ bytes: 8192 })), heap: null }]])(
    "given %s keeps the one that is set",
    (_, value) => {
      const { code } = outcomeOf(() => setGlobalAllocator(value as Allocator));
      expect(code).toBe(value === undefined ? undefined : "ERR_INVALID_ARGUMENT");
      setGlobalAllocator(value === undefined ? heap : globalAllocator());
      expect(globalAllocator()).toBe(heap);
    },
  );
});

describe("making shared heaps", () => {
  it.each(WRONG)("new Heap, given %s for `shared`, throws or takes it for what it is", (_, value) => {
    const { code, result } = outcomeOf(() => new Heap({ bytes: 65536, shared: value as boolean }));
    const isTaken = value === undefined || value === true;
    expect(code).toBe(isTaken ? undefined : "ERR_INVALID_ARGUMENT");
    expect(result instanceof SharedHeap).toBe(value === true);
  });

  it("says what `shared` may be", () => {
    const answer: unknown = "yes";
    const error = refusalOf(() => new Heap({ bytes: 65536, shared: answer as boolean }));
    expect(error.message).toBe('shared: "yes"; pass true or false');
  });

  it.each(WRONG)("Heap.adopt of shared memory, given %s for any option, throws and changes nothing", (name, value) => {
    const buffer = new SharedArrayBuffer(65536);
    for (const option of ["bytes", "base", "maxBytes", "alignment"]) {
      new Uint8Array(buffer).fill(0x77);
      const before = copyOf({ buffer });
      const { code, result } = outcomeOf(() => Heap.adopt(buffer, { [option]: value }));
      expect(code ?? (result as SharedHeap).slot).toSatisfy((what: unknown) => what === 1 || typeof what === "string");
      if (code !== undefined) expectSame({ buffer }, before, `${name} for ${option}`);
    }
  });

  it("in a range of any size gives a heap that serves, or changes nothing", () => {
    let made = 0;
    for (let bytes = 0; bytes < 10_000; bytes += 8) {
      for (const alignment of [8, 16] as const) {
        const buffer = new SharedArrayBuffer(bytes);
        new Uint8Array(buffer).fill(0x77);
        const before = copyOf({ buffer });
        const { code, result } = outcomeOf(() => Heap.adopt(buffer, { alignment }));
        if (code === undefined) {
          made += 1;
          (result as SharedHeap).check();
          continue;
        }
        expect(code).toBe("ERR_INVALID_ARGUMENT");
        expectSame({ buffer }, before, `${bytes} bytes`);
      }
    }
    expect(made).toBeGreaterThan(200);
    const error = refusalOf(() => Heap.adopt(new SharedArrayBuffer(8192)));
    const remedy = "its superblock takes 2624, its slots 4 KiB, each worker 1.5, and 1/64 goes to start bits";
    expect(error.message).toBe(`Heap.adopt: 8192 bytes are too few for a shared heap; ${remedy}`);
  });
});

describe("what workers attach by", () => {
  let shared: SharedHeap;
  beforeEach(() => {
    shared = new Heap({ bytes: 1 << 17, shared: true });
    shared.malloc(100);
  });

  /** A descriptor that somebody has put together. */
  function forged(part: Record<string, unknown>): HeapDescriptor {
    return { ...shared.share(), ...part };
  }

  it.each(WRONG)("with %s for any of its parts is refused, or opens the heap at its base", (_, value) => {
    for (const part of ["heapwright", "base", "slot"]) {
      const before = copyOf(shared);
      const { code, result } = outcomeOf(() => asAnother(() => Heap.attach(forged({ [part]: value }))));
      // 0 it is, or what stands for it, or else it is refused.
      const isZero = (value === undefined || value === null || value === 0) && part !== "heapwright";
      expect(code ?? "opened").toMatch(isZero ? /./ : /^ERR_(INVALID_ARGUMENT|NOT_A_HEAP)$/);
      if (code === undefined) (result as SharedHeap).detach();
      else expectSame(shared, before, part);
      shared.check();
    }
  });

  it.each([-1, 1.5, 128, 200, 1e9, "5"])("names no slot %s", (slot) => {
    const error = refusalIn(shared, () => asAnother(() => Heap.attach(forged({ slot }))));
    expect(error.code).toBe("ERR_INVALID_ARGUMENT");
    const remedy = "pass what share() or supervise() gave";
    expect(error.message).toBe(`Heap.attach: slot ${show(slot)} is none; ${remedy}`);
  });

  it.each([1, 2, 127])("keeps slot %d for nobody that supervise() has not given it to", (slot) => {
    const error = refusalIn(shared, () => asAnother(() => Heap.attach(forged({ slot }))));
    expect(error.code).toBe("ERR_NO_SLOT");
    const remedy = "share the heap with each worker anew";
    expect(error.message).toBe(`Heap.attach: slot ${slot} is no longer kept; ${remedy}`);
  });

  it("leads to no private heap, and leaves that as it is", () => {
    const memory = new WebAssembly.Memory({ initial: 1 });
    for (const heapwright of [heap.buffer, Heap.adopt(memory).memory]) {
      const error = refusalIn({ buffer: heap.buffer }, () => Heap.attach(forged({ heapwright })));
      expect(error.code).toBe("ERR_INVALID_ARGUMENT");
      expect(error.message).toBe("Heap.attach: a private heap is not shared; pass what share() or supervise() gave");
    }
    heap.check();
  });

  it.each(WRONG)("is not given for %s in place of a worker", (_, value) => {
    const shown = show(value);
    const before = copyOf(shared);
    for (const call of ["supervise", "spawn"] as const) {
      if (call === "spawn" && typeof value === "string") continue;
      const error = refusalOf(() => shared[call](value as WorkerLike));
      expect(error.code).toBe("ERR_INVALID_ARGUMENT");
      expect(error.message).toBe(`${call}(${shown}): pass a worker`);
      expectSame(shared, before);
    }
  });

  it("is not given for a worker whose end nobody would be told of, nor for one that has ended", () => {
    const mute = { postMessage: () => {} };
    const ended = new FakeWorker();
    ended.exit();
    const finding = "nothing here tells of a worker's death: neither its exit event nor navigator.locks";
    for (const call of ["supervise", "spawn"] as const) {
      const unheard = refusalIn(shared, () => shared[call](mute));
      expect(unheard.code).toBe("ERR_UNSUPPORTED");
      expect(unheard.message).toBe(`${call}: ${finding}; use share()`);
      const late = refusalIn(shared, () => shared[call](ended));
      expect(late.code).toBe("ERR_INVALID_ARGUMENT");
      expect(late.message).toBe(`${call}: the worker has ended; pass one that runs`);
    }
  });

  it("is not given by a private heap, and has nobody to wait for it but a worker", async () => {
    const error = refusalIn(heap, () => heap.share());
    expect(error.code).toBe("ERR_UNSUPPORTED");
    expect(error.message).toBe("share: a private heap has one owner; make it with { shared: true }");
    const waiting = await Heap.spawned().catch((refused: unknown) => refused);
    expect(waiting).toMatchObject({ code: "ERR_UNSUPPORTED" });
    expect((waiting as HeapError).message).toBe("Heap.spawned: this is no worker; make a heap, or attach to one");
  });
});

describe("an object that has been detached", () => {
  const MORE: readonly Call[] = [
    { name: "share", args: () => [], call: (detached) => detached.share() },
    { name: "supervise", args: () => [], call: (detached) => (detached as SharedHeap).supervise(new FakeWorker()) },
    { name: "spawn", args: () => [], call: (detached) => (detached as SharedHeap).spawn(new FakeWorker()) },
    { name: "detach", args: () => [], call: (detached) => (detached as SharedHeap).detach() },
    { name: "recover", args: () => [], call: (detached) => detached.recover() },
    { name: "lock.acquire", args: () => [], call: (detached) => detached.lock?.acquire() },
    { name: "lock.tryAcquire", args: () => [], call: (detached) => detached.lock?.tryAcquire() },
    { name: "lock.enter", args: () => [], call: (detached) => detached.lock?.enter("call") },
  ];

  it.each([...CALLS, ...LOOKS, ...MORE])("refuses $name and changes nothing", ({ args, call, name }) => {
    const shared = new Heap({ bytes: 65536, shared: true });
    const kept = asAnother(() => Heap.attach(shared.share()));
    const ptr = kept.calloc(1, 100);
    setGlobalAllocator(shared);
    const given = args(shared, ptr);
    shared.detach();
    const refused = refusalIn(kept, () => call(shared, given as never[]));
    expect(refused.code).toBe("ERR_DESTROYED");
    expect(refused.message, name).toBe("this agent has detached from the heap; attach again");
    kept.check();
  });

  it("refuses what is awaited of it, does nothing when it is disposed of again, and frees NULL", async () => {
    const shared = new Heap({ bytes: 65536, shared: true });
    const kept = asAnother(() => Heap.attach(shared.share()));
    shared.detach();
    const before = copyOf(kept);
    const waiting = await shared.lock.acquireAsync().catch((refused: unknown) => refused);
    expect(waiting).toMatchObject({ code: "ERR_DESTROYED" });
    shared[Symbol.dispose]();
    shared.free(NULL);
    expect([shared.lock.holder, shared.lock.isMine]).toEqual([0, false]);
    expectSame(kept, before);
  });

  it("refuses everything while another object of its agent holds the lock, and leaves the lock to that", () => {
    const shared = new Heap({ bytes: 65536, shared: true });
    const again = Heap.attach(shared.share());
    const ptr = shared.calloc(1, 100);
    again.detach();
    shared.lock.acquire();
    setGlobalAllocator(again);
    for (const { name, args, call } of [...CALLS, ...LOOKS, ...MORE]) {
      if (name.startsWith("lock.") && name !== "lock.enter") continue;
      const given = args(again, ptr);
      expect(refusalIn(shared, () => call(again, given as never[])).code, name).toBe("ERR_DESTROYED");
      expect(shared.lock.isMine, name).toBe(true);
    }
    shared.lock.release();
    shared.check();
  });
});
