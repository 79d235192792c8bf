/**
 * The document's MemoryArena: allocates by moving on, and frees all at once.
 *
 * @module
 */
import { type Allocator, asPtr, type Heap, type HeapBuffer, NULL, type Ptr } from "@heapwright/core";

import { freeSlab, makeSlab, slabsFrom } from "./arena-slabs.ts";
import {
  alignmentShiftOf,
  attachedBacking,
  type BackingOptions,
  backingOf,
  expectControl,
  identityOf,
  MEM_ALIGNMENT,
} from "./backing.ts";
import { checkArena } from "./check-arena.ts";
import { ARENA, ARENA_MAGIC, LAYOUT_VERSION, SLAB } from "./layout.ts";
import { badArgument, destroyed, isCount, outOfMemory, refused, show } from "./memory-error.ts";
import { reportOom } from "./oom-handler.ts";
import { wipe } from "./wipe.ts";

const { offsets } = ARENA;
const ALIGNMENT = offsets.alignment >>> 2;
// Local, because V8 folds a module's own constants into its code.
const AT = 4;
const END = 5;
const FIRST = offsets.first >>> 2;
const CURRENT = offsets.current >>> 2;
const NEXT = SLAB.offsets.next >>> 2;
const START = SLAB.offsets.start >>> 2;
const SLAB_END = SLAB.offsets.end >>> 2;
const USED = SLAB.offsets.used >>> 2;
const NOTHING = 0 as Ptr;
/** Up to here sums of sizes are small integers. */
const SMALL_BYTES = 0x3fff_ffff;
/** The control block of an arena that this object has destroyed: beyond the words of any heap, so that all reads fail. */
const NO_CONTROL = 0x4000_0000;

/** A slab as C's struct has it. */
export interface ArenaSlab {
  /** The first byte. */
  readonly memory: Ptr;
  /** Bytes. */
  readonly size: number;
  /** Bytes that are in use, gaps for alignment included. */
  readonly used: number;
  readonly next: ArenaSlab | null;
}

/** What an arena holds, in bytes and slabs. */
export interface MemoryArenaStats {
  /** Bytes that have been handed out since the last reset, rounded up. */
  readonly usedBytes: number;
  /** Bytes that can be handed out before another slab is taken, in pieces. */
  readonly freeBytes: number;
  readonly slabs: number;
  /** Bytes of the slabs. */
  readonly bytes: number;
}

/**
 * Hands out memory by moving a mark, all of it zeroed, and takes it back all at once, or down to a mark. Nothing is kept of
 * an allocation. It belongs to one agent at a time, also in a shared heap.
 *
 * @example
 * ```ts
 * using arena = new MemoryArena(4096, { backing: heap });
 * const points = arena.alloc(100 * 8);
 * if (points === NULL) throw new Error("full");
 * heap.f64[points >>> 3] = 1.5;
 * ```
 */
export class MemoryArena {
  /** The heap whose bytes the pointers are offsets of. */
  declare readonly heap: Heap<HeapBuffer>;
  /** Serves the slabs. */
  declare readonly backing: Allocator;
  /** What the address of each allocation is a multiple of, and its size is rounded up to. */
  declare readonly alignment: number;
  /** @internal Word address of the control block. */
  declare control: number;
  /** @internal */
  declare readonly rounding: number;
  /** @internal The heap's words as last seen; of length 0 when its memory has grown since. */
  declare words: Uint32Array;

  /**
   * Makes an arena with its first slab.
   *
   * @param size - bytes of the slab, a whole number from 1; rounded up to the alignment
   * @param options - where slabs come from, and the alignment of everything allocated
   * @throws HeapError `ERR_OUT_OF_MEMORY`, after the handler has been told; `ERR_INVALID_ARGUMENT`
   */
  constructor(size: number, options?: BackingOptions);
  /** @internal */
  constructor(control: Ptr, backing: Opened);
  constructor(size: number | Ptr, options?: BackingOptions | Opened) {
    const isOpened = options instanceof Opened;
    const backing = isOpened ? options.backing : backingOf("new MemoryArena", options);
    const handle = isOpened ? size : make(size, backing, options);
    this.heap = backing.heap;
    this.backing = backing;
    this.control = handle >>> 2;
    this.alignment = this.heap.u32[this.control + ALIGNMENT]!;
    this.rounding = this.alignment - 1;
    this.words = this.heap.u32;
  }

  /**
   * Opens an arena that is in a heap already.
   *
   * @param heap - where it is
   * @param handle - what its `handle` gave
   * @param options - with the backing that it was made on, where that is not the heap itself
   * @throws HeapError `ERR_NOT_A_HEAP` when there is no arena, `ERR_LAYOUT_VERSION`, `ERR_INVALID_ARGUMENT`
   */
  static attach(heap: Heap<HeapBuffer>, handle: Ptr, options?: BackingOptions): MemoryArena {
    const call = "MemoryArena.attach";
    const backing = attachedBacking(call, heap, options);
    expectControl(call, "arena", ARENA_MAGIC, heap, handle, backing);
    return new MemoryArena(handle, new Opened(backing));
  }

  /** The control block: `attach` opens the same arena by it. */
  get handle(): Ptr {
    this.expectAlive("handle");
    return asPtr((this.control << 2) >>> 0);
  }

  /** The first byte of the first slab. */
  get memory(): Ptr {
    return this.slab.memory;
  }

  /** Bytes of the first slab. */
  get size(): number {
    return this.slab.size;
  }

  /** Bytes of the first slab that are in use. */
  get used(): number {
    return this.slab.used;
  }

  /** The slab that the first one led to when it was full; `null` when it never was. */
  get next(): ArenaSlab | null {
    return this.slab.next;
  }

  /**
   * Allocates. O(1); when the current slab is full the next one is taken, twice as large as the last.
   *
   * @param size - bytes, a whole number from 1; rounded up to the alignment
   * @returns zeroed memory; `NULL` when there is no room for another slab, and then the handler has been told
   * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but a whole number from 1, `ERR_DESTROYED`
   */
  alloc(size: number): Ptr {
    const ptr = this.allocHere(size);
    return ptr === NULL ? this.#allocSlowly(size) : ptr;
  }

  /** @internal Allocates in the current slab. `NULL` when it has no room, and for all that is to be refused. */
  allocHere(size: number): Ptr {
    if (typeof size === "number" && size <= SMALL_BYTES && (size | 0) === size && size > 0) {
      const { words: u32, control, rounding } = this;
      const at = u32[control + AT]!;
      const end = (at + ((size + rounding) & ~rounding)) >>> 0;
      // A sum that has wrapped is below `at`: no slab ends there. An arena that is gone ends at 0.
      if (end <= u32[control + END]! && end > at) {
        u32[control + AT] = end;
        return at as Ptr;
      }
    }
    return NOTHING;
  }

  /** Where the next allocation would begin: `rewind` frees what comes after it. O(1). */
  mark(): Ptr {
    return asPtr(this.expectAlive("mark")[this.control + AT]!);
  }

  /**
   * Frees what was allocated since a mark was made, and zeroes it. The slabs are kept for what comes next. O(bytes freed).
   *
   * @param mark - what `mark()` gave; not before a reset or a rewind to an earlier one
   * @throws HeapError `ERR_INVALID_ARGUMENT` for what is no mark of this arena, or lies before it; nothing is changed
   */
  rewind(mark: Ptr): void {
    const u32 = this.expectAlive("rewind");
    if (typeof mark !== "number") throw badArgument("rewind", "the mark", mark, "what mark() gave");
    const { control } = this;
    const current = u32[control + CURRENT]!;
    for (const slab of slabsFrom(u32, u32[control + FIRST]!)) {
      const word = slab >>> 2;
      const used = slab === current ? u32[control + AT]! : u32[word + USED]!;
      if (mark >= u32[word + START]! && mark <= used && mark % this.alignment === 0) return this.#rewind(slab, mark);
      if (slab === current) break;
    }
    const finding = "no mark of what is in use in this arena; pass what mark() gave since the last reset or rewind";
    throw refused(`rewind(${show(mark)})`, finding, mark);
  }

  /** Frees all allocations and zeroes them. The slabs are kept. O(bytes in use). */
  reset(): void {
    const u32 = this.expectAlive("reset");
    const first = u32[this.control + FIRST]!;
    this.#rewind(first, u32[(first >>> 2) + START]!);
  }

  /**
   * Gives everything back, zeroed. O(bytes of the slabs).
   *
   * @throws HeapError `ERR_DESTROYED` the second time
   */
  destroy(): void {
    const u32 = this.expectAlive("destroy");
    const { backing, heap } = this;
    const handle = this.handle;
    const slabs = [...slabsFrom(u32, u32[this.control + FIRST]!)];
    wipe(heap, handle, handle + ARENA.size);
    this.control = NO_CONTROL;
    for (const slab of slabs) freeSlab(backing, slab);
    backing.free(handle);
  }

  /** As `destroy`, for `using`; harmless when the arena is gone. */
  [Symbol.dispose](): void {
    if (this.heap.u32[this.control] === ARENA_MAGIC) this.destroy();
  }

  /** What is in use and what is not. O(slabs). */
  stats(): MemoryArenaStats {
    const slabs = [...this.blocks()];
    const current = this.heap.u32[this.control + CURRENT]!;
    const isBehind = (slab: ArenaSlab): boolean => {
      for (const at of slabsFrom(this.heap.u32, current)) {
        if (this.heap.u32[(at >>> 2) + START] === slab.memory) return true;
      }
      return false;
    };
    const bytes = slabs.reduce((sum, { size }) => sum + size, 0);
    const usedBytes = slabs.reduce((sum, { used }) => sum + used, 0);
    const freeBytes = slabs.filter(isBehind).reduce((sum, { size, used }) => sum + size - used, 0);
    return { usedBytes, freeBytes, slabs: slabs.length, bytes };
  }

  /** The slabs in the order in which they were taken. */
  *blocks(): Generator<ArenaSlab> {
    for (let slab: ArenaSlab | null = this.slab; slab !== null; slab = slab.next) yield slab;
  }

  /** A picture in words: the arena, then a line a slab. */
  dump(): string {
    const { usedBytes, bytes, slabs } = this.stats();
    const lines = [`arena with ${slabs} slabs, ${usedBytes} of ${bytes} bytes in use`];
    for (const { memory, size, used } of this.blocks()) {
      lines.push(`${show(memory).padStart(12)}  ${String(size).padStart(10)}  ${used} in use`);
    }
    return lines.join("\n");
  }

  /**
   * Proves every invariant of the layout. O(bytes of the slabs).
   *
   * @throws HeapError `ERR_CORRUPT` that names the one that does not hold
   */
  check(): void {
    this.expectAlive("check");
    checkArena(this.backing, this.control);
  }

  /** @internal The first slab. */
  get slab(): ArenaSlab {
    const u32 = this.expectAlive("memory");
    return this.#view(u32[this.control + FIRST]!);
  }

  /** @internal The heap's words, after a look at the magic. */
  expectAlive(call: string): Uint32Array {
    const { u32 } = this.heap;
    if (u32[this.control] !== ARENA_MAGIC) throw destroyed(call, "arena");
    return u32;
  }

  #view(slab: number): ArenaSlab {
    const { u32 } = this.heap;
    const word = slab >>> 2;
    const next = u32[word + NEXT]!;
    const memory = asPtr(u32[word + START]!);
    const used = slab === u32[this.control + CURRENT] ? u32[this.control + AT]! : u32[word + USED]!;
    return {
      memory,
      size: u32[word + SLAB_END]! - memory,
      used: used - memory,
      next: next === 0 ? null : this.#view(next),
    };
  }

  /** Serves what the current slab has no room for, and refuses what is no size. */
  #allocSlowly(size: number): Ptr {
    const u32 = this.expectAlive("alloc");
    this.words = u32;
    if (!isCount(size) || size === 0) throw badArgument("alloc", "size", size, "a whole number of bytes from 1");
    const { control, backing, alignment } = this;
    const rounded = Math.ceil(size / alignment) * alignment;
    if (u32[control + END]! - u32[control + AT]! >= rounded) return this.#takeFrom(u32[control + CURRENT]!, rounded);
    let last = u32[control + CURRENT]!;
    // Slabs behind the current one are there after a reset or a rewind, and unused.
    for (const slab of slabsFrom(u32, u32[(last >>> 2) + NEXT]!)) {
      if (u32[(slab >>> 2) + SLAB_END]! - u32[(slab >>> 2) + START]! >= rounded) return this.#takeFrom(slab, rounded);
      last = slab;
    }
    const doubled = 2 * (u32[(last >>> 2) + SLAB_END]! - u32[(last >>> 2) + START]!);
    let slab = makeSlab(backing, doubled >= rounded ? doubled : 2 * rounded, alignment);
    if (slab === 0) slab = makeSlab(backing, rounded, alignment);
    if (slab === 0) {
      reportOom(rounded);
      return NULL;
    }
    this.heap.u32[(last >>> 2) + NEXT] = slab;
    return this.#takeFrom(slab, rounded);
  }

  /** Allocates in a slab that has room: the current one or one behind it, which becomes the current one. */
  #takeFrom(slab: number, rounded: number): Ptr {
    const { u32 } = this.heap;
    const { control } = this;
    const current = u32[control + CURRENT]!;
    if (slab !== current) {
      u32[(current >>> 2) + USED] = u32[control + AT]!;
      u32[control + AT] = u32[(slab >>> 2) + START]!;
      u32[control + END] = u32[(slab >>> 2) + SLAB_END]!;
      u32[control + CURRENT] = slab;
    }
    const at = u32[control + AT]!;
    u32[control + AT] = at + rounded;
    return asPtr(at);
  }

  /** Makes a slab up to the current one the current one, and frees what is in use behind `mark`. */
  #rewind(slab: number, mark: number): void {
    const { heap } = this;
    const { u32 } = heap;
    const { control } = this;
    const current = u32[control + CURRENT]!;
    u32[(current >>> 2) + USED] = u32[control + AT]!;
    let from = mark;
    for (const at of slabsFrom(u32, slab)) {
      const word = at >>> 2;
      if (from === 0) from = u32[word + START]!;
      wipe(heap, from, u32[word + USED]!);
      u32[word + USED] = from;
      from = 0;
      if (at === current) break;
    }
    u32[control + AT] = mark;
    u32[control + END] = u32[(slab >>> 2) + SLAB_END]!;
    u32[control + CURRENT] = slab;
  }
}

/** Tells the constructor that the arena is there already. */
class Opened {
  readonly backing: Allocator;
  constructor(backing: Allocator) {
    this.backing = backing;
  }
}

function make(size: unknown, backing: Allocator, options: BackingOptions | undefined): Ptr {
  const call = "new MemoryArena";
  if (!isCount(size) || size === 0) throw badArgument(call, "size", size, "a whole number of bytes from 1");
  const alignment = Math.max(2 ** alignmentShiftOf(call, options), MEM_ALIGNMENT);
  const rounded = Math.ceil(size / alignment) * alignment;
  const handle = backing.malloc(ARENA.size);
  const slab = handle === NULL ? 0 : makeSlab(backing, rounded, alignment);
  if (slab === 0) {
    if (handle !== NULL) backing.free(handle);
    reportOom(rounded);
    throw outOfMemory(call, rounded);
  }
  const { u32 } = backing.heap;
  const control = handle >>> 2;
  const start = u32[(slab >>> 2) + START]!;
  u32[control + (offsets.version >>> 2)] = LAYOUT_VERSION;
  u32[control + (offsets.backing >>> 2)] = identityOf(backing);
  u32[control + ALIGNMENT] = alignment;
  u32[control + AT] = start;
  u32[control + END] = start + rounded;
  u32[control + FIRST] = slab;
  u32[control + CURRENT] = slab;
  u32[control] = ARENA_MAGIC;
  return handle;
}
