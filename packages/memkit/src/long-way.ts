/**
 * The calls that programs make most, as they are made when there is no short way: arguments of any kind, refusals, whatever
 * takes time.
 *
 * @module
 */
import { NULL, type Ptr } from "@heapwright/core";

import { answer, expectArena, expectName, expectNumber, expectPointer, expectPool, failed, isNull } from "./answers.ts";
import type { BackingOptions } from "./backing.ts";
import type { MemoryArena } from "./memory-arena.ts";
import { ENOMEM } from "./memory-error.ts";
import { makePointer, type MemoryPointer } from "./memory-pointer.ts";
import type { MemoryPool } from "./memory-pool.ts";

/** As `mem_pointer_create`. */
export function createSlowly(name: string | null, size_hint: number, options?: BackingOptions): MemoryPointer | null {
  const call = "mem_pointer_create";
  expectName(call, name);
  expectNumber(call, "size_hint", size_hint);
  if (name === null) return isNull(call, undefined, null);
  try {
    return answer(0, makePointer(name, size_hint, options));
  } catch (error) {
    return failed(undefined, error, null, options);
  }
}

/** As `mem_pointer_allocate`. */
export function allocateSlowly(ptr: MemoryPointer | null, size: number, pool: MemoryPool | null): boolean {
  const call = "mem_pointer_allocate";
  expectPointer(call, ptr);
  expectNumber(call, "size", size);
  expectPool(call, pool);
  if (ptr === null || pool === null) return isNull(call, pool?.state ?? ptr?.owner, false);
  try {
    const isServed = ptr.allocate(size, pool);
    return answer(isServed ? 0 : ENOMEM, isServed);
  } catch (error) {
    return failed(pool.state, error, false);
  }
}

/** As `mem_pointer_destroy`. */
export function destroySlowly(ptr: MemoryPointer | null, pool: MemoryPool | null): void {
  const call = "mem_pointer_destroy";
  expectPointer(call, ptr);
  expectPool(call, pool);
  if (ptr === null) return answer(0, undefined);
  try {
    ptr.end(pool !== null, pool?.state);
    return answer(0, undefined);
  } catch (error) {
    return failed(pool?.state, error, undefined);
  }
}

/** As `mem_arena_alloc`. */
export function arenaAllocSlowly(arena: MemoryArena | null, size: number): Ptr {
  const call = "mem_arena_alloc";
  expectArena(call, arena);
  expectNumber(call, "size", size);
  if (arena === null) return isNull(call, undefined, NULL);
  try {
    const ptr = arena.alloc(size);
    return answer(ptr === NULL ? ENOMEM : 0, ptr);
  } catch (error) {
    return failed(undefined, error, NULL);
  }
}
