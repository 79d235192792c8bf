/**
 * A heap: one buffer, or a range of one, with a superblock at its base; and the general allocator of that memory.
 *
 * @module
 */
import { HEADER_BYTES, MIN_SPAN_BYTES } from "./boundary-tag.ts";
import { checkHeap } from "./check.ts";
import { HeapError, show } from "./errors.ts";
import { goodFit } from "./free-index.ts";
import { extend, format } from "./growth.ts";
import { type BlockInfo, blocksOf, dumpOf, type HeapStats, statsOf } from "./inspect.ts";
import { FLAG_SHARED, LAYOUT_VERSION, MAGIC, MAX_END_BYTES, PAGE_BYTES, SUPERBLOCK } from "./layout.ts";
import { Malloc } from "./malloc.ts";
import { badCount } from "./misuse.ts";
import type { Ptr } from "./ptr.ts";
import { recoverHeap } from "./recover.ts";
import { rootOf, setRootOf } from "./roots.ts";
import type { HeapBuffer } from "./views.ts";

/** What a heap can be made in: a buffer, or a memory whose buffer may be replaced when it grows. */
export type HeapSource = HeapBuffer | WebAssembly.Memory;

/** How to make a heap. */
export interface HeapOptions {
  /** Size in bytes, superblock and start bits included. Rounded up to the alignment, to whole pages where it can grow. */
  readonly bytes: number;
  /**
   * What the heap may grow to, at most 4 GiB less 64 KiB. With it the heap lies in a `WebAssembly.Memory`, without it in
   * an `ArrayBuffer` that never moves.
   *
   * @defaultValue bytes
   */
  readonly maxBytes?: number;
  /**
   * What the address of every payload is a multiple of.
   *
   * @defaultValue 8
   */
  readonly alignment?: 8 | 16;
}

/** Which part of a buffer is to become a heap. */
export interface AdoptOptions {
  /** Where the heap begins: a multiple of the alignment. @defaultValue 0 */
  readonly base?: number;
  /** Size in bytes. @defaultValue all from `base` to the end */
  readonly bytes?: number;
  /** What a heap in a `WebAssembly.Memory` may grow to. @defaultValue bytes */
  readonly maxBytes?: number;
  /** What the address of every payload is a multiple of. @defaultValue 8 */
  readonly alignment?: 8 | 16;
}

/** Where a heap is to be found. */
export interface AttachOptions {
  /** Where it begins in the buffer: the base that it was made at. @defaultValue 0 */
  readonly base?: number;
}

const ALIGNMENTS: readonly number[] = [8, 16];

/**
 * A heap. Everything an allocator knows lies in its bytes: a copy of them is the same heap.
 *
 * @example
 * ```ts
 * const heap = new Heap({ bytes: 1 << 20, maxBytes: 1 << 30 });
 * const ptr = heap.malloc(100);
 * heap.u32[ptr >>> 2] = 42;
 * heap.free(ptr);
 * ```
 */
export class Heap<B extends HeapBuffer = ArrayBuffer> extends Malloc<B> {
  /**
   * Makes a heap in memory of its own.
   *
   * @param options - size and, where it is to grow, the size it may grow to
   * @throws HeapError `ERR_INVALID_ARGUMENT` for sizes that are none or too small for a superblock, `ERR_OUT_OF_MEMORY`
   * when the engine has no such buffer
   */
  constructor(options: HeapOptions);
  /** @internal */
  constructor(options: FormattedRange<B>);
  constructor(options: HeapOptions | FormattedRange<B>) {
    const range = options instanceof FormattedRange ? options : (create(options) as FormattedRange<B>);
    super(range.source, range.base);
  }

  /**
   * Makes a heap in someone's buffer: all of it, or `[base, base + bytes)`. What lies there is written over, the rest is
   * left alone. Pointers are offsets in the buffer.
   *
   * @param source - an `ArrayBuffer` or a `WebAssembly.Memory`
   * @param options - which part
   * @throws HeapError `ERR_INVALID_ARGUMENT` for a range that is not inside the buffer or too small, `ERR_UNSUPPORTED`
   * for a buffer that can be resized
   */
  static adopt(source: ArrayBuffer | WebAssembly.Memory, options?: AdoptOptions): Heap;
  static adopt<B extends HeapBuffer>(source: B, options?: AdoptOptions): Heap<B>;
  static adopt(source: HeapSource, options: AdoptOptions = {}): Heap<HeapBuffer> {
    const buffer = privateBufferOf("Heap.adopt", source);
    expectOptions("Heap.adopt", options);
    const alignment = alignmentOf(options.alignment);
    const base = sizeOf("base", options.base ?? 0);
    if (base % alignment !== 0) {
      throw new HeapError("ERR_INVALID_ARGUMENT", `Heap.adopt: base ${show(base)}; pass a multiple of ${alignment}`);
    }
    const limit = Math.min(buffer.byteLength, MAX_END_BYTES);
    if (options.bytes !== undefined && sizeOf("bytes", options.bytes) > limit - base) {
      const room = `the buffer has ${Math.max(0, limit - base)} from base ${show(base)}`;
      throw new HeapError("ERR_INVALID_ARGUMENT", `Heap.adopt: bytes ${options.bytes}, but ${room}`);
    }
    const bytes = roundDown(options.bytes ?? Math.max(0, limit - base), alignment);
    const maxBytes = options.maxBytes === undefined ? bytes : maxOf(options.maxBytes, bytes, base);
    if (maxBytes > bytes && !(source instanceof WebAssembly.Memory)) {
      const remedy = "only a WebAssembly.Memory can; leave maxBytes out";
      throw new HeapError(
        "ERR_UNSUPPORTED",
        `Heap.adopt: maxBytes ${options.maxBytes}: a buffer cannot grow; ${remedy}`,
      );
    }
    formatOrThrow("Heap.adopt", buffer, base, bytes, maxBytes, alignment);
    return new Heap(new FormattedRange(source, base));
  }

  /**
   * Opens a heap that is in a buffer already: an image, or one that someone else works on in the same agent.
   *
   * @param source - the buffer or memory
   * @param options - where the heap begins in it
   * @throws HeapError `ERR_NOT_A_HEAP` when there is none, `ERR_LAYOUT_VERSION` when it was made by a version with
   * another layout, `ERR_INVALID_ARGUMENT` when it was made at another base
   */
  static attach(source: ArrayBuffer | WebAssembly.Memory, options?: AttachOptions): Heap;
  static attach<B extends HeapBuffer>(source: B, options?: AttachOptions): Heap<B>;
  static attach(source: HeapSource, options: AttachOptions = {}): Heap<HeapBuffer> {
    const buffer = privateBufferOf("Heap.attach", source);
    expectOptions("Heap.attach", options);
    const base = sizeOf("base", options.base ?? 0);
    validate(buffer, base);
    return new Heap(new FormattedRange(source, base));
  }

  /** The heap itself, as an {@link Allocator} has it. */
  get heap(): this {
    return this;
  }

  /** Size in bytes as it is now, from base to end. */
  get size(): number {
    this.isStale();
    return this.end - this.base;
  }

  /**
   * Makes room ahead of need.
   *
   * @param size - payload bytes that the next allocation is to find in one piece
   * @returns whether there is a free piece of that size now
   * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but a whole number from 0
   */
  grow(size: number): boolean {
    const wanted = sizeOf("grow: size", size);
    this.isStale();
    if (wanted > MAX_END_BYTES) return false;
    const span = Math.max(MIN_SPAN_BYTES, Math.ceil((wanted + HEADER_BYTES) / this.alignment) * this.alignment);
    // The wilderness ends where the heap does; used up, it is the end.
    const wilderness = this.end - HEADER_BYTES - this.words[this.topWord]!;
    return wilderness >= span || goodFit(this.words, this.index, span) !== 0 || extend(this, span);
  }

  /**
   * Names a handle so that whoever attaches finds it.
   *
   * @param name - any string, at most 1,000 bytes in UTF-8
   * @param handle - a pointer; `NULL` forgets the name
   * @throws HeapError `ERR_OUT_OF_MEMORY` when there is no room for the name, `ERR_INVALID_ARGUMENT` for other types
   */
  setRoot(name: string, handle: Ptr): void {
    setRootOf(this, name, handle);
  }

  /**
   * @param name - as given to `setRoot`
   * @returns the handle, `NULL` when there is none of that name
   * @throws HeapError `ERR_INVALID_ARGUMENT` when `name` is no string
   */
  root(name: string): Ptr {
    return rootOf(this, name);
  }

  /**
   * A copy of the heap's own range. Attached at the same base it is the same heap, whoever opens it.
   *
   * @returns its bytes, from base to end
   */
  image(): ArrayBuffer {
    const copy = new Uint8Array(this.size);
    copy.set(this.u8.subarray(this.base, this.end));
    return copy.buffer;
  }

  /** What is live and what is free. O(blocks). */
  stats(): HeapStats {
    return statsOf(this);
  }

  /** The caller's blocks and the free ones by ascending address. The heap must not change meanwhile. */
  blocks(): Generator<BlockInfo> {
    return blocksOf(this);
  }

  /** A picture in words: the superblock, then a line a block. */
  dump(): string {
    return dumpOf(this);
  }

  /**
   * Proves every invariant of the layout. O(blocks).
   *
   * @throws HeapError `ERR_CORRUPT` that names the one that does not hold
   */
  check(): void {
    checkHeap(this);
  }

  /**
   * Rebuilds lists, bitmaps and indexes from the blocks themselves, after something was cut short in the middle of a
   * call. Live blocks stay as they are. O(heap).
   *
   * @throws HeapError `ERR_CORRUPT` when the blocks themselves are damaged; nothing is changed then
   */
  recover(): void {
    recoverHeap(this);
  }
}

/** A range that holds a heap, on its way to the constructor. */
class FormattedRange<B extends HeapBuffer> {
  readonly source: B | WebAssembly.Memory;
  readonly base: number;
  constructor(source: B | WebAssembly.Memory, base: number) {
    this.source = source;
    this.base = base;
  }
}

function create(options: HeapOptions): FormattedRange<ArrayBuffer> {
  expectOptions("new Heap", options);
  const alignment = alignmentOf(options.alignment);
  const wanted = sizeOf("bytes", options.bytes);
  if (wanted > MAX_END_BYTES) {
    throw new HeapError("ERR_INVALID_ARGUMENT", `new Heap: bytes ${wanted}; a heap has at most ${MAX_END_BYTES}`);
  }
  if (options.maxBytes === undefined) {
    const bytes = Math.ceil(wanted / alignment) * alignment;
    const buffer = obtain(bytes, () => new ArrayBuffer(bytes));
    formatOrThrow("new Heap", buffer, 0, bytes, bytes, alignment);
    return new FormattedRange(buffer, 0);
  }
  const initial = Math.ceil(wanted / PAGE_BYTES);
  const maximum = Math.ceil(maxOf(options.maxBytes, wanted, 0) / PAGE_BYTES);
  const memory = obtain(wanted, () => new WebAssembly.Memory({ initial, maximum }));
  formatOrThrow("new Heap", memory.buffer, 0, initial * PAGE_BYTES, maximum * PAGE_BYTES, alignment);
  return new FormattedRange<ArrayBuffer>(memory, 0);
}

function expectOptions(call: string, options: unknown): void {
  if (typeof options === "object" && options !== null) return;
  throw new HeapError("ERR_INVALID_ARGUMENT", `${call}: ${show(options)} for options; pass an object`);
}

function obtain<T>(bytes: number, make: () => T): T {
  try {
    return make();
  } catch {
    throw new HeapError("ERR_OUT_OF_MEMORY", `new Heap: the engine has no buffer of ${bytes} bytes; ask for less`);
  }
}

function formatOrThrow(
  call: string,
  buffer: HeapBuffer,
  base: number,
  bytes: number,
  maxBytes: number,
  alignment: number,
): void {
  // A detached buffer has no bytes, and no view can be taken of it.
  const words = bytes === 0 ? new Uint32Array() : new Uint32Array(buffer, 0, Math.floor(buffer.byteLength / 4));
  if (format(words, base, bytes, maxBytes, alignment)) return;
  const remedy = `its superblock takes ${SUPERBLOCK.size}, and 1/64 goes to start bits`;
  throw new HeapError("ERR_INVALID_ARGUMENT", `${call}: ${bytes} bytes are too few for a heap; ${remedy}`);
}

/** Refuses what is no heap, before anything in it is believed. */
function validate(buffer: HeapBuffer, base: number): void {
  const stranger = (finding: string): HeapError =>
    new HeapError("ERR_NOT_A_HEAP", `Heap.attach: ${finding}; pass a buffer that a heap was made in, and its base`);
  if (base % 8 !== 0 || base + SUPERBLOCK.size > buffer.byteLength) throw stranger(`no heap at base ${show(base)}`);
  const words = new Uint32Array(buffer, base, SUPERBLOCK.size / 4);
  const { offsets } = SUPERBLOCK;
  const at = (field: keyof typeof offsets): number => words[offsets[field] >>> 2]!;
  if (words[0] !== MAGIC) throw stranger(`no heap at base ${show(base)}`);
  if (at("version") !== LAYOUT_VERSION) {
    const finding = `the heap has layout version ${at("version")}, this package ${LAYOUT_VERSION}`;
    throw new HeapError("ERR_LAYOUT_VERSION", `Heap.attach: ${finding}; use the version that made it`);
  }
  if (at("base") !== base) {
    const made = show(at("base"));
    throw new HeapError(
      "ERR_INVALID_ARGUMENT",
      `Heap.attach: made at base ${made}; attach it there, not at ${show(base)}`,
    );
  }
  if ((at("flags") & FLAG_SHARED) !== 0) throw stranger("the copy of a shared heap");
  if (at("bytes") > at("maxBytes") || base + at("bytes") > buffer.byteLength) {
    throw stranger(`the heap has ${at("bytes")} bytes, the buffer ${buffer.byteLength - base} from there`);
  }
}

function privateBufferOf(call: string, source: HeapSource): ArrayBuffer {
  const buffer = source instanceof WebAssembly.Memory ? source.buffer : source;
  if (buffer instanceof ArrayBuffer) {
    if (!buffer.resizable) return buffer;
    const remedy = "a heap there would be slow, and so would others in the process; pass one of fixed length";
    throw new HeapError("ERR_UNSUPPORTED", `${call}: the ArrayBuffer is resizable; ${remedy}`);
  }
  if (typeof SharedArrayBuffer !== "undefined" && (buffer as HeapBuffer) instanceof SharedArrayBuffer) {
    throw new HeapError("ERR_UNSUPPORTED", `${call}: the memory is shared; this version has private heaps only`);
  }
  const remedy = "pass an ArrayBuffer or a WebAssembly.Memory";
  throw new HeapError("ERR_INVALID_ARGUMENT", `${call}(${show(source)}): ${remedy}`);
}

function sizeOf(what: string, value: unknown): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw badCount(what, value);
}

function maxOf(value: unknown, bytes: number, base: number): number {
  const maxBytes = sizeOf("maxBytes", value);
  if (maxBytes >= bytes && base + maxBytes <= MAX_END_BYTES) return maxBytes;
  throw badCount("maxBytes", value, `from ${bytes} to ${MAX_END_BYTES - base}`);
}

function alignmentOf(value: unknown): number {
  const alignment = value ?? 8;
  if (typeof alignment === "number" && ALIGNMENTS.includes(alignment)) return alignment;
  throw badCount("alignment", value, "8 or 16");
}

function roundDown(value: number, alignment: number): number {
  return value - (value % alignment);
}
