/**
 * A buffer seen through typed arrays, re-taken when the memory has grown.
 *
 * @module
 */
import { HeapError, show } from "./errors.ts";
import type { Ptr } from "./ptr.ts";

/** What a heap may lie in. */
export type HeapBuffer = ArrayBuffer | SharedArrayBuffer;

/**
 * The views of a heap. Growing an unshared `WebAssembly.Memory` detaches the buffer and with it every view taken before,
 * so read `heap.u32` anew after a call that may have grown the heap, and do not keep it.
 */
export class Views<B extends HeapBuffer = HeapBuffer> {
  /** The memory the buffer belongs to, where there is one: pass it to a WebAssembly module. */
  declare readonly memory: WebAssembly.Memory | undefined;
  /** @internal The words that the allocator works on; of length 0 when someone else has grown the memory. */
  declare words: Uint32Array<B>;
  #buffer: B;
  #u8: Uint8Array<B> | undefined;
  #i8: Int8Array<B> | undefined;
  #u16: Uint16Array<B> | undefined;
  #i16: Int16Array<B> | undefined;
  #i32: Int32Array<B> | undefined;
  #f32: Float32Array<B> | undefined;
  #f64: Float64Array<B> | undefined;
  #u64: BigUint64Array<B> | undefined;
  #i64: BigInt64Array<B> | undefined;

  constructor(source: B | WebAssembly.Memory) {
    this.memory = source instanceof WebAssembly.Memory ? source : undefined;
    this.#buffer = (source instanceof WebAssembly.Memory ? source.buffer : source) as B;
    this.words = wordsOf(this.#buffer);
  }

  /** The buffer as it is now. */
  get buffer(): B {
    return this.#now();
  }
  get u8(): Uint8Array<B> {
    const buffer = this.#now();
    return (this.#u8 ??= new Uint8Array(buffer));
  }
  get i8(): Int8Array<B> {
    const buffer = this.#now();
    return (this.#i8 ??= new Int8Array(buffer));
  }
  get u16(): Uint16Array<B> {
    const buffer = this.#now();
    return (this.#u16 ??= new Uint16Array(buffer, 0, buffer.byteLength >>> 1));
  }
  get i16(): Int16Array<B> {
    const buffer = this.#now();
    return (this.#i16 ??= new Int16Array(buffer, 0, buffer.byteLength >>> 1));
  }
  get u32(): Uint32Array<B> {
    if (this.words.length === 0) this.retake();
    return this.words;
  }
  get i32(): Int32Array<B> {
    const buffer = this.#now();
    return (this.#i32 ??= new Int32Array(buffer, 0, this.words.length));
  }
  get f32(): Float32Array<B> {
    const buffer = this.#now();
    return (this.#f32 ??= new Float32Array(buffer, 0, this.words.length));
  }
  get f64(): Float64Array<B> {
    const buffer = this.#now();
    return (this.#f64 ??= new Float64Array(buffer, 0, this.words.length >>> 1));
  }
  get u64(): BigUint64Array<B> {
    const buffer = this.#now();
    return (this.#u64 ??= new BigUint64Array(buffer, 0, this.words.length >>> 1));
  }
  get i64(): BigInt64Array<B> {
    const buffer = this.#now();
    return (this.#i64 ??= new BigInt64Array(buffer, 0, this.words.length >>> 1));
  }

  /**
   * A view of part of the buffer.
   *
   * @param ptr - where it begins
   * @param count - bytes
   * @returns a `Uint8Array` over the heap's own bytes, valid until an unshared memory grows
   * @throws HeapError `ERR_INVALID_POINTER` or `ERR_INVALID_ARGUMENT` when the range is not inside the buffer
   */
  bytes(ptr: Ptr, count: number): Uint8Array<B> {
    const buffer = this.#now();
    if (typeof ptr !== "number" || !Number.isSafeInteger(ptr) || ptr <= 0 || ptr > buffer.byteLength) {
      throw new HeapError("ERR_INVALID_POINTER", `bytes(${show(ptr)}): no address in the buffer; pass a payload`);
    }
    if (typeof count !== "number" || !Number.isSafeInteger(count) || count < 0 || count > buffer.byteLength - ptr) {
      const room = `${buffer.byteLength - ptr} bytes lie between there and the end of the buffer`;
      throw new HeapError("ERR_INVALID_ARGUMENT", `bytes(${show(ptr)}, ${show(count)}): ${room}`, ptr);
    }
    return new Uint8Array(buffer, ptr, count);
  }

  /** @internal Takes the views of the buffer that the memory has now. */
  retake(): void {
    if (this.memory === undefined) {
      throw new HeapError("ERR_DESTROYED", "the heap's buffer has been detached; nothing of the heap is left");
    }
    this.#buffer = this.memory.buffer as B;
    this.words = wordsOf(this.#buffer);
    this.#u8 = this.#i8 = this.#u16 = this.#i16 = this.#i32 = undefined;
    this.#f32 = this.#f64 = this.#u64 = this.#i64 = undefined;
  }

  #now(): B {
    if (this.words.length === 0) this.retake();
    return this.#buffer;
  }
}

function wordsOf<B extends HeapBuffer>(buffer: B): Uint32Array<B> {
  return new Uint32Array(buffer, 0, Math.floor(buffer.byteLength / 4));
}
