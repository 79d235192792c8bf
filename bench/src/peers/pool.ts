/**
 * What the adapters of the pools share. The classes are looked up by name, so that bench builds while pool has none.
 *
 * @module
 */
import { Heap } from "@heapwright/core";
import * as pool from "@heapwright/pool";

import { firstBytesFor, heapBytesFor, type Load } from "../adapter.ts";

/** What bench uses of `FixedMemPool` and `VariadicMemPool`. */
export interface MemPool {
  malloc(size: number): number;
  free(ptr: number): unknown;
  usableSize(ptr: number): number;
  check(): void;
}

/** Both constructors take two numbers and the allocator that serves their regions. */
export type MemPoolClass = new (first: number, second: number, options: { readonly backing: Heap }) => MemPool;

/** @returns the class of that name in pool */
export function poolClass(name: "FixedMemPool" | "VariadicMemPool"): MemPoolClass {
  const found: unknown = Reflect.get(pool, name);
  if (!isMemPoolClass(found)) throw new Error(`@heapwright/pool exports no ${name}`);
  return found;
}

/** @returns a heap for the pool's regions, sized as core's own */
export function backingFor(load: Load): Heap {
  return new Heap({ bytes: firstBytesFor(load), maxBytes: heapBytesFor(load) });
}

function isMemPoolClass(value: unknown): value is MemPoolClass {
  return typeof value === "function";
}
