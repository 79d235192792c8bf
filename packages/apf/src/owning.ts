/**
 * Types whose values own other blocks: a pointer in them is freed with them, and cloned with them.
 *
 * @module
 */
import {
  type Allocator,
  asPtr,
  type Codec,
  type Heap,
  type HeapBuffer,
  HeapError,
  NULL,
  type Ptr,
} from "@heapwright/core";
import { alignedAllocFrom } from "@heapwright/core";

import { badArgument } from "./misuse.ts";

/** What lies in a heap, whatever its values are. */
export interface AnyHeld {
  /** Bytes. */
  readonly size: number;
  /** Bytes, a power of two. */
  readonly align: number;
  read(heap: Heap<HeapBuffer>, ptr: Ptr): unknown;
  write(heap: Heap<HeapBuffer>, ptr: Ptr, value: never): void;
}

/** What reads and writes a value in a heap: every codec of core, and what {@link owning} makes of one. */
export interface Held<T> extends AnyHeld {
  read(heap: Heap<HeapBuffer>, ptr: Ptr): T;
  write(heap: Heap<HeapBuffer>, ptr: Ptr, value: T): void;
}

/** What the pointers in a value own: of one that is a pointer itself, the type; of a struct, the types by field. */
export type Owned = AnyHeld | Readonly<Record<string, AnyHeld>>;

/** A pointer in a value: how far from its beginning, and what it owns. */
type Part = readonly [offset: number, type: AnyHeld];

/** A codec together with what the pointers in its values own. */
class Owning<T> implements Held<T> {
  readonly size: number;
  readonly align: number;
  readonly #codec: Codec<T>;
  readonly #owned: () => Owned;
  #parts: readonly Part[] | undefined;

  constructor(codec: Codec<T>, owned: () => Owned) {
    this.size = codec.size;
    this.align = codec.align;
    this.#codec = codec;
    this.#owned = owned;
  }

  read(heap: Heap<HeapBuffer>, ptr: Ptr): T {
    return this.#codec.read(heap, ptr);
  }

  write(heap: Heap<HeapBuffer>, ptr: Ptr, value: T): void {
    this.#codec.write(heap, ptr, value);
  }

  /** Looked at late, so that a type can own itself. */
  get parts(): readonly Part[] {
    return (this.#parts ??= this.#findParts());
  }

  #findParts(): readonly Part[] {
    const owned = this.#owned();
    if (isHeld(owned)) return [[0, owned]];
    const { offsets } = this.#codec as { readonly offsets?: Readonly<Record<string, number>> };
    return Object.entries(owned).map(([name, type]) => {
      const offset = offsets?.[name];
      if (offset === undefined) throw badArgument("owning", "a field", name, "one of the struct");
      return [offset, type];
    });
  }
}

/**
 * Says what the pointers in a type own: they are freed with the value that they lie in, and cloned with it. `NULL` owns
 * nothing.
 *
 * @param codec - a pointer (`ptr` of core) or a struct
 * @param owned - gives what they own: for a pointer its target's type, for a struct the target's types by field. It is a
 * function, so that a type may own itself
 * @returns a type for `AutoPtr`
 * @throws HeapError `ERR_INVALID_ARGUMENT` for other arguments; for a field that the struct does not have when a value is
 * dropped or cloned
 * @example
 * ```ts
 * const Tree = owning(struct({ key: u32, left: ptr, right: ptr }), () => ({ left: Tree, right: Tree }));
 * ```
 */
export function owning<T>(codec: Codec<T>, owned: () => Owned): Held<T> {
  if (!isHeld(codec)) throw badArgument("owning", "the codec", codec, "one of core's");
  if (typeof owned !== "function") throw badArgument("owning", "the second argument", owned, "a function");
  return new Owning(codec, owned);
}

/** Whether something reads and writes values. */
export function isHeld(value: unknown): value is AnyHeld {
  if (typeof value !== "object" || value === null) return false;
  const { size, align, read, write } = value as Partial<Record<keyof AnyHeld, unknown>>;
  const hasMethods = typeof read === "function" && typeof write === "function";
  return hasMethods && typeof size === "number" && typeof align === "number";
}

/** The blocks that a value owns, `NULL` left out. */
export function childrenOf(heap: Heap<HeapBuffer>, type: AnyHeld, ptr: Ptr): [child: Ptr, type: AnyHeld][] {
  if (!(type instanceof Owning)) return [];
  const children: [Ptr, AnyHeld][] = [];
  for (const [offset, part] of (type as Owning<unknown>).parts) {
    const child = asPtr(heap.u32[(ptr + offset) >>> 2] ?? NULL);
    if (child !== NULL) children.push([child, part]);
  }
  return children;
}

/** Frees a block and all that its value owns, however deep. */
export function drop(allocator: Allocator, type: AnyHeld, ptr: Ptr): void {
  const left: [Ptr, AnyHeld][] = [[ptr, type]];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const [block, its] = next;
    left.push(...childrenOf(allocator.heap, its, block));
    allocator.free(block);
  }
}

/**
 * Copies a block and all that its value owns.
 *
 * @returns the copy
 * @throws HeapError `ERR_OUT_OF_MEMORY` when there is no room for all of it; nothing of the copy is left then
 */
export function copy(allocator: Allocator, type: AnyHeld, ptr: Ptr): Ptr {
  const made: Ptr[] = [];
  const copyOf = (block: Ptr, its: AnyHeld): Ptr => {
    const clone = alignedAllocFrom(allocator, its.align, its.size);
    if (clone === NULL) {
      for (const each of made) allocator.free(each);
      throw new HeapError("ERR_OUT_OF_MEMORY", `clone: no room for another ${its.size} bytes; free some`);
    }
    made.push(clone);
    allocator.heap.u8.copyWithin(clone, block, block + its.size);
    return clone;
  };
  const root = copyOf(ptr, type);
  const left: [Ptr, AnyHeld][] = [[root, type]];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const [block, its] = next;
    // The copy still points to what the original owns.
    for (const [offset, part] of its instanceof Owning ? (its as Owning<unknown>).parts : []) {
      const child = asPtr(allocator.heap.u32[(block + offset) >>> 2] ?? NULL);
      if (child === NULL) continue;
      const clone = copyOf(child, part);
      allocator.heap.u32[(block + offset) >>> 2] = clone;
      left.push([clone, part]);
    }
  }
  return root;
}
