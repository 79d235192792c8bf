/**
 * Watches every heap of a process at its entry points, for tests that know nothing of it: what valgrind is to C.
 *
 * @module
 */
import { HeapError } from "../errors.ts";
import { Heap } from "../heap.ts";
import type { Ptr } from "../ptr.ts";
import { type AdoptOptions, isSharedBuffer } from "../range.ts";
import type { HeapBuffer } from "../views.ts";
import { ShadowHeap, type Watchable } from "./shadow-heap.ts";

type AnyHeap = Heap<HeapBuffer>;

/** The calls that hand out blocks and take them back. */
type Callee = Pick<AnyHeap, "malloc" | "calloc" | "realloc" | "alignedAlloc" | "free">;

const ENTRY_POINTS = ["malloc", "calloc", "realloc", "alignedAlloc", "free", "setRoot"] as const;

/** A heap without its watch: the entry points as they were. */
class Unwatched implements Watchable<AnyHeap> {
  heap: AnyHeap;
  readonly #plain: Callee;

  constructor(heap: AnyHeap, plain: Callee) {
    this.heap = heap;
    this.#plain = plain;
  }
  malloc(size: number): Ptr {
    return this.#plain.malloc.call(this.heap, size);
  }
  calloc(count: number, size: number): Ptr {
    return this.#plain.calloc.call(this.heap, count, size);
  }
  realloc(ptr: Ptr, size: number): Ptr {
    return this.#plain.realloc.call(this.heap, ptr, size);
  }
  alignedAlloc(alignment: number, size: number): Ptr {
    return this.#plain.alignedAlloc.call(this.heap, alignment, size);
  }
  free(ptr: Ptr): void {
    this.#plain.free.call(this.heap, ptr);
  }
  usableSize(ptr: Ptr): number {
    return this.heap.usableSize(ptr);
  }
}

/** What is known of the heap at one base of one buffer, whichever instances are open on it. */
interface Watched {
  /** With the instance that was called last. */
  readonly target: Unwatched;
  readonly shadow: ShadowHeap<AnyHeap>;
  /** The shadow's allocations before the test that runs. */
  allocationsBefore: number;
  isForgotten: boolean;
}

const installed: Set<HeapWatch> = new Set();

/**
 * Says that the test that runs leaves blocks live on purpose. Does nothing when no one watches.
 *
 * @example
 * ```ts
 * it("outlives its pool", () => {
 *   allowLive();
 * });
 * ```
 */
export function allowLive(): void {
  for (const watch of installed) watch.allowLive();
}

/**
 * Says that a heap is to be left alone from now on: it is damaged on purpose, or its bytes are replaced from elsewhere.
 * Does nothing when no one watches.
 *
 * @param heap - any instance that is open on it
 */
export function forget(heap: AnyHeap): void {
  for (const watch of installed) watch.forget(heap);
}

/**
 * Observes all private heaps between `install` and `uninstall`: that each block lies in its heap, aligned, and apart from all live
 * ones; that pointers which are no live block are refused; and that none which was allocated between `begin` and `end` is
 * live then. It does not look at contents.
 */
export class HeapWatch {
  readonly #stacks: boolean;
  /** By memory or buffer, then by base. */
  readonly #watched: WeakMap<object, Map<number, Watched>> = new WeakMap();
  /** Heaps called since `begin`. */
  readonly #called: Set<Watched> = new Set();
  /** The calls as they were before it was installed. */
  #plain: Callee | undefined;
  #uninstall: (() => void) | undefined;
  /** Above 0 inside of a call: a `realloc` that moves calls `malloc` and `free`. */
  #depth = 0;
  #mayStayLive = false;

  /** @param options - `stacks`: whether leaks say where they were allocated, at some microseconds a block */
  constructor(options: { readonly stacks?: boolean } = {}) {
    this.#stacks = options.stacks ?? false;
  }

  /** Puts itself before the entry points of `Heap`. */
  install(): void {
    if (this.#uninstall !== undefined) return;
    const proto: AnyHeap = Heap.prototype;
    const { malloc, calloc, realloc, alignedAlloc, free, setRoot } = proto;
    const before = ENTRY_POINTS.map((name) => Object.getOwnPropertyDescriptor(proto, name));
    const { adopt } = Heap;
    const call = <T>(heap: AnyHeap, act: (callee: Callee) => T): T => this.#call(heap, act);
    const inside = <T>(act: () => T): T => this.#inside(act);
    const drop = (heap: AnyHeap): void => this.#drop(heap);

    this.#plain = { malloc, calloc, realloc, alignedAlloc, free };
    proto.malloc = function (size) {
      return call(this, (callee) => callee.malloc(size));
    };
    proto.calloc = function (count, size) {
      return call(this, (callee) => callee.calloc(count, size));
    };
    proto.realloc = function (ptr, size) {
      return call(this, (callee) => callee.realloc(ptr, size));
    };
    proto.alignedAlloc = function (alignment, size) {
      return call(this, (callee) => callee.alignedAlloc(alignment, size));
    };
    proto.free = function (ptr) {
      call(this, (callee) => callee.free(ptr));
    };
    // The records of roots are blocks of the heap's own.
    proto.setRoot = function (name, handle) {
      inside(() => setRoot.call(this, name, handle));
    };
    // What was live where a heap is formatted is gone.
    Heap.adopt = ((source: ArrayBuffer, options?: AdoptOptions) => {
      const heap = adopt.call(Heap, source, options);
      drop(heap);
      return heap;
    }) as typeof Heap.adopt;

    installed.add(this);
    this.#uninstall = () => {
      ENTRY_POINTS.forEach((name, i) => {
        const descriptor = before[i];
        if (descriptor === undefined) Reflect.deleteProperty(proto, name);
        else Object.defineProperty(proto, name, descriptor);
      });
      Heap.adopt = adopt;
      installed.delete(this);
    };
  }

  /** Puts back what was there before. Watches that were installed later must be gone. */
  uninstall(): void {
    this.#uninstall?.();
    this.#uninstall = undefined;
  }

  /** The beginning of a test. */
  begin(): void {
    this.#called.clear();
    this.#mayStayLive = false;
  }

  /**
   * The end of a test.
   *
   * @throws ShadowError that lists the blocks that the test has left live, HeapError `ERR_CORRUPT` for a damaged heap
   */
  end(): void {
    const called = [...this.#called].filter(({ isForgotten }) => !isForgotten);
    this.#called.clear();
    for (const { target, shadow, allocationsBefore } of called) {
      if (!isThere(target.heap)) continue;
      target.heap.check();
      if (!this.#mayStayLive) shadow.assertEmpty(allocationsBefore);
    }
  }

  /** The test that runs may leave blocks live. */
  allowLive(): void {
    this.#mayStayLive = true;
  }

  /** @param heap - any instance of the one that is to be left alone */
  forget(heap: AnyHeap): void {
    const watched = this.#find(heap);
    if (watched !== undefined) watched.isForgotten = true;
  }

  #call<T>(heap: AnyHeap, act: (callee: Callee) => T): T {
    const watched = this.#depth > 0 ? undefined : this.#find(heap);
    if (watched === undefined || watched.isForgotten) return act(this.#unwatched(heap));
    watched.target.heap = heap;
    if (!this.#called.has(watched)) {
      this.#called.add(watched);
      watched.allocationsBefore = watched.shadow.allocations;
    }
    return this.#inside(() => act(watched.shadow));
  }

  #inside<T>(act: () => T): T {
    this.#depth += 1;
    try {
      return act();
    } finally {
      this.#depth -= 1;
    }
  }

  #find(heap: AnyHeap): Watched | undefined {
    // What one worker allocates in a shared heap another frees, and nobody here sees it.
    if (!isThere(heap) || isSharedBuffer(heap.buffer)) return undefined;
    const key = heap.memory ?? heap.buffer;
    const byBase = this.#watched.get(key) ?? new Map<number, Watched>();
    this.#watched.set(key, byBase);
    const watched = byBase.get(heap.base) ?? this.#meet(heap);
    byBase.set(heap.base, watched);
    return watched;
  }

  /** Begins to watch a heap, with the blocks that are live in it. */
  #meet(heap: AnyHeap): Watched {
    const target = this.#unwatched(heap);
    const { alignment } = heap;
    const shadow = new ShadowHeap<AnyHeap>(target, { alignment, contents: false, stacks: this.#stacks });
    let isForgotten = false;
    try {
      for (const { ptr, size, state } of heap.blocks()) {
        if (state === "live") shadow.include(ptr, size);
      }
    } catch {
      // It was damaged before anyone watched.
      isForgotten = true;
    }
    return { target, shadow, allocationsBefore: 0, isForgotten };
  }

  #unwatched(heap: AnyHeap): Unwatched {
    if (this.#plain === undefined) throw new HeapError("ERR_INVALID_ARGUMENT", "HeapWatch: install it first");
    return new Unwatched(heap, this.#plain);
  }

  #drop(heap: AnyHeap): void {
    const byBase = this.#watched.get(heap.memory ?? heap.buffer);
    for (const [base, watched] of byBase ?? []) {
      if (base < heap.base || base >= heap.base + heap.size) continue;
      byBase?.delete(base);
      watched.isForgotten = true;
    }
  }
}

/** Whether a heap still has its buffer. */
function isThere(heap: AnyHeap): boolean {
  try {
    return heap.buffer.byteLength > 0;
  } catch {
    return false;
  }
}
