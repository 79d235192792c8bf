/** A heap that counts how many of its words are read or written: what O(1) means, without a clock. */
import { type Allocator, type Heap, type HeapBuffer } from "@heapwright/core";

// Not i32: atomic operations take no proxy.
const VIEWS: ReadonlySet<string> = new Set(["u8", "u32", "f64", "u64"]);

/** An allocator like the heap, but for its views, which count. */
export class Counting implements Allocator {
  readonly heap: Heap<HeapBuffer>;
  readonly #inner: Heap<HeapBuffer>;
  #accesses = 0;

  constructor(heap: Heap<HeapBuffer>) {
    this.#inner = heap;
    const counted = new Map<object, object>();
    this.heap = new Proxy(heap, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value === "function") return value.bind(target);
        if (typeof key !== "string" || !VIEWS.has(key) || typeof value !== "object" || value === null) return value;
        const view = counted.get(value) ?? this.#countedView(value);
        counted.set(value, view);
        return view;
      },
    });
  }

  malloc(size: number): ReturnType<Allocator["malloc"]> {
    return this.#inner.malloc(size);
  }
  free(ptr: Parameters<Allocator["free"]>[0]): void {
    this.#inner.free(ptr);
  }
  usableSize(ptr: Parameters<Allocator["free"]>[0]): number {
    return this.#inner.usableSize(ptr);
  }

  /** Words that an act touches, but for those of the heap's own. */
  touched(act: () => void): number {
    this.#accesses = 0;
    act();
    return this.#accesses;
  }

  /** A typed array whose elements count; `fill` and the like count as one access an element. */
  #countedView(view: object): object {
    return new Proxy(view, {
      get: (target, key) => {
        if (typeof key === "string" && /^\d/.test(key)) this.#accesses += 1;
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== "function" || key === "constructor") return value;
        return (...args: unknown[]): unknown => {
          if (key === "fill") this.#accesses += Number(args[2]) - Number(args[1]);
          if (key === "copyWithin") this.#accesses += Number(args[2]) - Number(args[1]);
          return Reflect.apply(value, target, args);
        };
      },
      set: (target, key, value) => {
        this.#accesses += 1;
        return Reflect.set(target, key, value, target);
      },
    });
  }
}
