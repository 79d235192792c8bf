/**
 * A pointer with one owner that frees its block.
 *
 * @module
 */
import { type Allocator, alignedAllocFrom, HeapError, NULL, type Ptr } from "@heapwright/core";

import { defaultAllocator } from "./default-allocator.ts";
import { badArgument, show, shown } from "./misuse.ts";
import { type AnyHeld, childrenOf, copy, drop, type Held, isHeld } from "./owning.ts";

/** Where the block of an {@link AutoPtr} is from. */
export interface AutoPtrOptions {
  /** @defaultValue the allocator behind the document's functions */
  readonly backing?: Allocator;
}

/** What is to be freed when its owner was forgotten. */
interface Forgotten {
  readonly allocator: Allocator;
  readonly type: AnyHeld;
  readonly ptr: Ptr;
}

/** Only this module makes one. */
const KEY: unique symbol = Symbol("AutoPtr");

const forgotten: Forgotten[] = [];
const registry: FinalizationRegistry<Forgotten> = /* @__PURE__ */ new FinalizationRegistry((held: Forgotten) => {
  forgotten.push(held);
  freeForgotten();
});

/** Frees what was forgotten; what an allocator that is busy elsewhere does not take waits for the next time. */
function freeForgotten(): void {
  for (let held = forgotten.pop(); held !== undefined; held = forgotten.pop()) {
    try {
      dropLocked(held);
    } catch (error) {
      if (!(error instanceof HeapError)) throw error;
      if (error.code !== "ERR_WOULD_BLOCK") continue;
      forgotten.push(held);
      return;
    }
  }
}

/** Drops a value and all that it owns under one lock, where there is one: it is refused whole, or not at all. */
function dropLocked({ allocator, type, ptr }: Forgotten): void {
  const { lock } = allocator.heap;
  const isOuter = lock?.enter("AutoPtr") === true;
  try {
    drop(allocator, type, ptr);
  } finally {
    if (isOuter) lock?.leave();
  }
}

/**
 * Owns a block that holds one value, and frees it when it is dropped: at the end of the block of code that says `using`, or
 * by `Symbol.dispose`. One that is forgotten is freed some time after it was collected as garbage, which is a safety net
 * only. It cannot be copied; `clone` makes another with a block of its own.
 *
 * @example
 * ```ts
 * using p = AutoPtr.new(usize, 16);
 * p.value = 42;
 * console.log(`${p} + 53 = ${p.value + 53}`); // 42 + 53 = 95
 * ```
 */
export class AutoPtr<T> {
  readonly #allocator: Allocator;
  readonly #type: Held<T>;
  #ptr: Ptr;
  /** What became of the block. */
  #end = "";

  private constructor(key: typeof KEY, allocator: Allocator, type: Held<T>, ptr: Ptr) {
    if (key !== KEY) throw new HeapError("ERR_INVALID_ARGUMENT", "new AutoPtr: call AutoPtr.new or AutoPtr.from_ptr");
    this.#allocator = allocator;
    this.#type = type;
    this.#ptr = ptr;
    registry.register(this, { allocator, type: type, ptr }, this);
    freeForgotten();
  }

  /**
   * Allocates a block for a value, as aligned as it has to be, and writes it there.
   *
   * @param type - a codec, or what `owning` made of one
   * @param value - with every part of its type and in its range; blocks that its pointers own belong to it from now on
   * @param options - where from
   * @throws HeapError `ERR_OUT_OF_MEMORY`; `ERR_INVALID_ARGUMENT` for a value that does not fit, and no block is left then
   */
  static new<T>(type: Held<T>, value: T, options?: AutoPtrOptions): AutoPtr<T> {
    const allocator = allocatorOf("AutoPtr.new", type, options);
    const ptr = alignedAllocFrom(allocator, type.align, type.size);
    if (ptr === NULL) {
      throw new HeapError("ERR_OUT_OF_MEMORY", `AutoPtr.new: no room for ${type.size} bytes; free some`);
    }
    try {
      type.write(allocator.heap, ptr, value);
    } catch (error) {
      allocator.free(ptr);
      throw error;
    }
    return new AutoPtr(KEY, allocator, type, ptr);
  }

  /**
   * Takes a block over, for example one that `into_ptr` gave. Who else keeps the pointer must not free it any more.
   *
   * @param type - what lies there
   * @param ptr - a live block of the allocator
   * @param options - which allocator
   * @throws HeapError as the allocator's `usableSize`; `ERR_INVALID_ARGUMENT` for a block that is too small or not aligned
   */
  static from_ptr<T>(type: Held<T>, ptr: Ptr, options?: AutoPtrOptions): AutoPtr<T> {
    const allocator = allocatorOf("AutoPtr.from_ptr", type, options);
    const bytes = allocator.usableSize(ptr);
    if (bytes < type.size || ptr % type.align !== 0) {
      const wanted = `${type.size} bytes at a multiple of ${type.align}`;
      throw badArgument("AutoPtr.from_ptr", `the block at ${show(ptr)}`, bytes, `one of ${wanted}`);
    }
    return new AutoPtr(KEY, allocator, type, ptr);
  }

  /** Where the value lies; the block stays this object's. */
  get ptr(): Ptr {
    return this.#expectOwned("ptr");
  }

  /**
   * The value, a copy that shares nothing with the heap. Writing another one frees the blocks that the old one owned and the new
   * one does not.
   */
  get value(): T {
    const ptr = this.#expectOwned("value");
    return this.#type.read(this.#allocator.heap, ptr);
  }

  set value(value: T) {
    const ptr = this.#expectOwned("value");
    const { heap } = this.#allocator;
    const before = childrenOf(heap, this.#type, ptr);
    this.#type.write(heap, ptr, value);
    if (before.length === 0) return;
    const after = new Set(childrenOf(heap, this.#type, ptr).map(([child]) => child));
    for (const [child, type] of before) if (!after.has(child)) drop(this.#allocator, type, child);
  }

  /**
   * Moves the value out and frees the block. What pointers in the value own belongs to the caller.
   *
   * @throws HeapError `ERR_USE_AFTER_FREE` when the block is not this object's any more
   */
  take(): T {
    const { value } = this;
    this.#allocator.free(this.#release("taken"));
    return value;
  }

  /**
   * Writes another value. What pointers in the old one own belongs to the caller.
   *
   * @returns the old value
   * @throws HeapError `ERR_USE_AFTER_FREE`, `ERR_INVALID_ARGUMENT` for a value that does not fit; nothing has changed then
   */
  replace(value: T): T {
    const old = this.value;
    this.#type.write(this.#allocator.heap, this.#ptr, value);
    return old;
  }

  /**
   * Leaves the block to the caller, who has to free it.
   *
   * @returns where it is
   * @throws HeapError `ERR_USE_AFTER_FREE`
   */
  into_ptr(): Ptr {
    this.#expectOwned("into_ptr");
    return this.#release("released");
  }

  /**
   * Another block with the same value, and with copies of all that it owns.
   *
   * @throws HeapError `ERR_OUT_OF_MEMORY`, `ERR_USE_AFTER_FREE`
   */
  clone(): AutoPtr<T> {
    const ptr = this.#expectOwned("clone");
    return new AutoPtr(KEY, this.#allocator, this.#type, copy(this.#allocator, this.#type, ptr));
  }

  /** The value in words. */
  toString(): string {
    const { value } = this;
    if (typeof value !== "object" || value === null) return String(value);
    return JSON.stringify(value, (_, part: unknown) => (typeof part === "bigint" ? String(part) : part));
  }

  /** Frees the block and all that it owns; harmless when it is not this object's any more. */
  [Symbol.dispose](): void {
    if (this.#ptr !== NULL) drop(this.#allocator, this.#type, this.#release("dropped"));
  }

  #release(end: string): Ptr {
    const ptr = this.#ptr;
    this.#ptr = NULL;
    this.#end = end;
    registry.unregister(this);
    return ptr;
  }

  #expectOwned(call: string): Ptr {
    if (this.#ptr !== NULL) return this.#ptr;
    throw new HeapError("ERR_USE_AFTER_FREE", `AutoPtr.${call}: the block has been ${this.#end}; make another AutoPtr`);
  }
}

function allocatorOf(call: string, type: unknown, options: AutoPtrOptions | undefined): Allocator {
  if (!isHeld(type)) throw badArgument(call, "the type", type, "a codec");
  if (options !== undefined && (typeof options !== "object" || options === null)) {
    throw badArgument(call, "options", options, "{ backing }");
  }
  const backing: unknown = options?.backing;
  if (backing === undefined) return defaultAllocator();
  const { malloc, free, usableSize, heap } = Object(backing) as Partial<Record<keyof Allocator, unknown>>;
  const hasMethods = typeof malloc === "function" && typeof free === "function" && typeof usableSize === "function";
  if (hasMethods && typeof heap === "object") return backing as Allocator;
  throw badArgument(call, "backing", shown(backing), "an allocator");
}
