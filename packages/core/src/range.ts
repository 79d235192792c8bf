/**
 * Where heaps lie: makes, formats and finds the range of a buffer that holds one, and refuses all else.
 *
 * @module
 */
import { HeapError, show } from "./errors.ts";
import { format } from "./growth.ts";
import { FLAG_SHARED, LAYOUT_VERSION, MAGIC, MAX_END_BYTES, PAGE_BYTES, SUPERBLOCK } from "./layout.ts";
import { badCount } from "./misuse.ts";
import { SHARED_LEAST_BYTES, SLOT, SLOTS } from "./slots.ts";
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
  /**
   * Whether it lies in shared memory, for several workers.
   *
   * @defaultValue false
   */
  readonly shared?: boolean;
}

/** How to make a heap that several workers can attach to. */
export interface SharedHeapOptions extends HeapOptions {
  readonly shared: true;
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

/** A range that holds a heap, on its way to the constructor. */
export class FormattedRange<B extends HeapBuffer> {
  readonly source: B | WebAssembly.Memory;
  readonly base: number;
  constructor(source: B | WebAssembly.Memory, base: number) {
    this.source = source;
    this.base = base;
  }
}

/** Formats memory of its own. */
export function createRange(options: HeapOptions): FormattedRange<HeapBuffer> {
  expectOptions("new Heap", options);
  const alignment = alignmentOf(options.alignment);
  const shared = flagOf("shared", options.shared);
  const wanted = sizeOf("bytes", options.bytes);
  if (wanted > MAX_END_BYTES) {
    throw new HeapError("ERR_INVALID_ARGUMENT", `new Heap: bytes ${wanted}; a heap has at most ${MAX_END_BYTES}`);
  }
  if (options.maxBytes === undefined && !shared) {
    const bytes = Math.ceil(wanted / alignment) * alignment;
    const buffer = obtain(bytes, () => new ArrayBuffer(bytes));
    formatOrThrow("new Heap", buffer, 0, bytes, bytes, alignment);
    return new FormattedRange<HeapBuffer>(buffer, 0);
  }
  if (shared) expectIsolation("new Heap");
  const initial = Math.ceil(wanted / PAGE_BYTES);
  const maximum = options.maxBytes === undefined ? initial : Math.ceil(maxOf(options.maxBytes, wanted, 0) / PAGE_BYTES);
  const memory = obtain(wanted, () => new WebAssembly.Memory({ initial, maximum, shared }));
  formatOrThrow("new Heap", memory.buffer, 0, initial * PAGE_BYTES, maximum * PAGE_BYTES, alignment);
  return new FormattedRange<HeapBuffer>(memory, 0);
}

/** Formats a part of someone's buffer. */
export function adoptRange(source: HeapSource, options: AdoptOptions): FormattedRange<HeapBuffer> {
  const buffer = bufferOf("Heap.adopt", source);
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
    throw new HeapError("ERR_UNSUPPORTED", `Heap.adopt: maxBytes ${options.maxBytes}: a buffer cannot grow; ${remedy}`);
  }
  formatOrThrow("Heap.adopt", buffer, base, bytes, maxBytes, alignment);
  return new FormattedRange(source, base);
}

/** Finds a heap that is there already. */
export function attachRange(source: HeapSource, options: AttachOptions): FormattedRange<HeapBuffer> {
  const seen = bufferOf("Heap.attach", source);
  expectOptions("Heap.attach", options);
  const base = sizeOf("base", options.base ?? 0);
  // Another agent may be growing the heap: a buffer that is taken after its superblock has said so has all of it.
  const buffer = isBeyond(seen, base) ? bufferOf("Heap.attach", source) : seen;
  validate(buffer, base);
  if (isSharedBuffer(buffer)) validateShared(buffer, base, source instanceof WebAssembly.Memory);
  return new FormattedRange(source, base);
}

/** Whether a buffer is shared memory. */
export function isSharedBuffer(buffer: unknown): buffer is SharedArrayBuffer {
  return typeof SharedArrayBuffer !== "undefined" && buffer instanceof SharedArrayBuffer;
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
  const isShared = isSharedBuffer(buffer);
  if (format(words, base, bytes, maxBytes, alignment, isShared ? SHARED_LEAST_BYTES : undefined)) return;
  const what = isShared ? "a shared heap" : "a heap";
  const more = isShared ? ", its slots 4 KiB, each worker 1.5" : "";
  const remedy = `its superblock takes ${SUPERBLOCK.size}${more}, and 1/64 goes to start bits`;
  throw new HeapError("ERR_INVALID_ARGUMENT", `${call}: ${bytes} bytes are too few for ${what}; ${remedy}`);
}

/** Whether a shared heap, if that is one, says that it is larger than a buffer. */
function isBeyond(buffer: HeapBuffer, base: number): boolean {
  if (!isSharedBuffer(buffer) || base % 8 !== 0 || base + SUPERBLOCK.size > buffer.byteLength) return false;
  const words = new Int32Array(buffer, base, SUPERBLOCK.size / 4);
  return base + (Atomics.load(words, SUPERBLOCK.offsets.bytes >>> 2) >>> 0) > buffer.byteLength;
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
  const isShared = isSharedBuffer(buffer);
  if (((at("flags") & FLAG_SHARED) !== 0) !== isShared) {
    throw stranger(
      isShared ? "the heap was made in private memory" : "the copy of a shared heap, made without `image`",
    );
  }
  if (at("bytes") > at("maxBytes") || base + at("bytes") > buffer.byteLength) {
    throw stranger(`the heap has ${at("bytes")} bytes, the buffer ${buffer.byteLength - base} from there`);
  }
}

/** Of a shared heap, what agents go by before they have the lock. */
function validateShared(buffer: SharedArrayBuffer, base: number, isMemory: boolean): void {
  const { offsets } = SUPERBLOCK;
  const words = new Uint32Array(buffer, base, SUPERBLOCK.size / 4);
  const [slots, bytes, maxBytes] = [
    words[offsets.slots >>> 2]!,
    words[offsets.bytes >>> 2]!,
    words[offsets.maxBytes >>> 2]!,
  ];
  const isInside = slots % 8 === 0 && slots >= base + SUPERBLOCK.size && slots + SLOTS * SLOT.size <= base + bytes;
  if (!isInside) {
    const finding = `a shared heap at base ${show(base)} without a table of slots`;
    throw new HeapError("ERR_NOT_A_HEAP", `Heap.attach: ${finding}; pass what share() or supervise() gave`);
  }
  if (!isMemory && maxBytes > bytes) {
    const finding = "the heap can grow, and a buffer does not show that";
    throw new HeapError("ERR_UNSUPPORTED", `Heap.attach: ${finding}; pass its memory, or what share() gave`);
  }
}

function bufferOf(call: string, source: HeapSource): HeapBuffer {
  if (source instanceof WebAssembly.Memory && isSharedBuffer(source.buffer)) {
    // What another agent has grown is seen at once, see views.
    source.grow(0);
  }
  const buffer: unknown = source instanceof WebAssembly.Memory ? source.buffer : source;
  const isShared = isSharedBuffer(buffer);
  if (!isShared && !(buffer instanceof ArrayBuffer)) {
    const remedy = "pass an ArrayBuffer, a SharedArrayBuffer or a WebAssembly.Memory";
    throw new HeapError("ERR_INVALID_ARGUMENT", `${call}(${show(source)}): ${remedy}`);
  }
  // Of a shared memory the buffer is one of fixed length, replaced when it grows.
  if (isShared ? buffer.growable : buffer.resizable) {
    const what = isShared ? "SharedArrayBuffer is growable" : "ArrayBuffer is resizable";
    const remedy = "a heap there would be slow, and so would others in the process; pass one of fixed length";
    throw new HeapError("ERR_UNSUPPORTED", `${call}: the ${what}; ${remedy}`);
  }
  return buffer;
}

/** In a page without cross-origin isolation shared memory is missing, or cannot be sent to a worker. */
function expectIsolation(call: string): void {
  const { crossOriginIsolated } = globalThis as { readonly crossOriginIsolated?: boolean };
  if (typeof SharedArrayBuffer !== "undefined" && crossOriginIsolated !== false) return;
  const headers = "Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp";
  throw new HeapError("ERR_NOT_ISOLATED", `${call}: this page has no shared memory; serve it with ${headers}`);
}

function flagOf(what: string, value: unknown): boolean {
  if (value === undefined || typeof value === "boolean") return value === true;
  throw badCount(what, value, "true or false");
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
