/**
 * A heap: one buffer, or a range of one, with a superblock at its base; and the general allocator of that memory. Makes,
 * adopts and attaches heaps, private ones and shared ones.
 *
 * @module
 */
import { HeapError, show } from "./errors.ts";
import { GeneralHeap } from "./general-heap.ts";
import {
  adoptRange,
  type AdoptOptions,
  attachRange,
  type AttachOptions,
  createRange,
  FormattedRange,
  type HeapOptions,
  type HeapSource,
  isSharedBuffer,
  type SharedHeapOptions,
} from "./range.ts";
import { SharedHeap } from "./shared-heap.ts";
import { type HeapDescriptor, makeShared, SLOTS } from "./slots.ts";
import type { HeapBuffer } from "./views.ts";
import { certify, hasCertificates, isDescriptor, receive } from "./worker.ts";

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
export type Heap<B extends HeapBuffer = ArrayBuffer> = GeneralHeap<B>;

/** Makes and opens heaps. */
export interface HeapConstructor {
  readonly prototype: GeneralHeap;
  /**
   * Makes a heap in memory of its own: private to this agent, or with `shared` for several workers.
   *
   * @param options - size and, where it is to grow, the size it may grow to
   * @throws HeapError `ERR_INVALID_ARGUMENT` for sizes that are none or too small for a superblock, `ERR_OUT_OF_MEMORY`
   * when the engine has no such buffer, `ERR_NOT_ISOLATED` for a shared heap in a page that is not cross-origin isolated
   */
  new (options: SharedHeapOptions): SharedHeap;
  new (options: HeapOptions): Heap;

  /**
   * Makes a heap in someone's buffer: all of it, or `[base, base + bytes)`. What lies there is written over, the rest is
   * left alone. Pointers are offsets in the buffer. In shared memory it is a shared heap.
   *
   * @param source - an `ArrayBuffer`, a `SharedArrayBuffer` or a `WebAssembly.Memory`
   * @param options - which part
   * @throws HeapError `ERR_INVALID_ARGUMENT` for a range that is not inside the buffer or too small, `ERR_UNSUPPORTED`
   * for a buffer that can be resized
   */
  adopt(source: ArrayBuffer | WebAssembly.Memory, options?: AdoptOptions): Heap;
  adopt(source: SharedArrayBuffer, options?: AdoptOptions): SharedHeap;
  adopt<B extends HeapBuffer>(source: B, options?: AdoptOptions): Heap<B>;

  /**
   * Opens a heap that is in a buffer already: an image, one that someone else works on in the same agent, or a shared one
   * of another worker. On a shared heap this agent takes a slot.
   *
   * @param source - what `share` or `supervise` gave; or the buffer or memory
   * @param options - where the heap begins in a buffer
   * @throws HeapError `ERR_NOT_A_HEAP` when there is none, `ERR_LAYOUT_VERSION` when it was made by a version with
   * another layout, `ERR_INVALID_ARGUMENT` when it was made at another base, `ERR_NO_SLOT` when all slots are taken or the
   * one that was kept is given away, `ERR_OUT_OF_MEMORY` when there is no room for this agent's record
   */
  attach(source: ArrayBuffer | WebAssembly.Memory, options?: AttachOptions): Heap;
  attach(source: HeapDescriptor | SharedArrayBuffer, options?: AttachOptions): SharedHeap;
  attach<B extends HeapBuffer>(source: B, options?: AttachOptions): Heap<B>;

  /**
   * In a worker: waits for the heap that it was started with by `spawn`, or that `supervise` gave for it and was sent
   * first of all.
   *
   * @throws HeapError `ERR_UNSUPPORTED` outside of a worker; what `attach` throws
   */
  spawned(): Promise<SharedHeap>;
}

/** A private heap; a shared one in its place where that is asked for. */
class MadeHeap<B extends HeapBuffer> extends GeneralHeap<B> {
  constructor(options: HeapOptions | FormattedRange<B>) {
    const range = options instanceof FormattedRange ? options : (createRange(options) as FormattedRange<B>);
    super(range.source, range.base);
    if (!(options instanceof FormattedRange) && isSharedBuffer(this.buffer)) {
      return share(this, "new Heap") as GeneralHeap<HeapBuffer> as MadeHeap<B>;
    }
  }

  static adopt(source: HeapSource, options: AdoptOptions = {}): GeneralHeap<HeapBuffer> {
    const heap = new MadeHeap(adoptRange(source, options));
    return isSharedBuffer(heap.buffer) ? share(heap, "Heap.adopt") : heap;
  }

  static attach(source: HeapSource | HeapDescriptor, options: AttachOptions = {}): GeneralHeap<HeapBuffer> {
    if (isDescriptor(source)) {
      const { base, slot } = source;
      const range = attachRange(source.heapwright, { base });
      expectSharing("Heap.attach", range, slot);
      const shared = join(new MadeHeap(range), "Heap.attach", slot);
      if (slot !== 0 && hasCertificates()) void certify(shared);
      return shared;
    }
    const heap = new MadeHeap(attachRange(source, options));
    return isSharedBuffer(heap.buffer) ? join(heap, "Heap.attach", 0) : heap;
  }

  static spawned(): Promise<SharedHeap> {
    return receive((descriptor) => MadeHeap.attach(descriptor) as SharedHeap);
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof GeneralHeap;
  }
}

export const Heap: HeapConstructor = MadeHeap as HeapConstructor;

/** Makes what has been formatted in shared memory a shared heap, with this agent its first. */
function share(heap: GeneralHeap<HeapBuffer>, call: string): SharedHeap {
  makeShared(heap);
  return join(heap, call, 0);
}

/** A descriptor that somebody put together may lead to a private heap, and its slot anywhere. */
function expectSharing(call: string, range: FormattedRange<HeapBuffer>, slot: unknown): void {
  const { source } = range;
  const isShared = isSharedBuffer(source instanceof WebAssembly.Memory ? source.buffer : source);
  if (isShared && typeof slot === "number" && slot >= 0 && slot < SLOTS && Number.isInteger(slot)) return;
  const finding = isShared ? `slot ${show(slot)} is none` : "a private heap is not shared";
  throw new HeapError("ERR_INVALID_ARGUMENT", `${call}: ${finding}; pass what share() or supervise() gave`);
}

function join(heap: GeneralHeap<HeapBuffer>, call: string, slot: number): SharedHeap {
  return new SharedHeap(heap as GeneralHeap<SharedArrayBuffer>, call, slot);
}
