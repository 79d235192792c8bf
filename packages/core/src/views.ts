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
  /** @internal */
  declare u8View: Uint8Array<B>;
  /** @internal */
  declare i8View: Int8Array<B>;
  /** @internal */
  declare u16View: Uint16Array<B>;
  /** @internal */
  declare i16View: Int16Array<B>;
  /** @internal */
  declare i32View: Int32Array<B>;
  /** @internal */
  declare f32View: Float32Array<B>;
  /** @internal */
  declare f64View: Float64Array<B>;
  /** @internal */
  declare u64View: BigUint64Array<B>;
  /** @internal */
  declare i64View: BigInt64Array<B>;

  constructor(source: B | WebAssembly.Memory) {
    const isMemory = source instanceof WebAssembly.Memory;
    this.memory = isMemory ? source : undefined;
    this.#take((isMemory ? source.buffer : source) as B);
  }

  /** The buffer as it is now. */
  get buffer(): B {
    return this.u32.buffer;
  }
  // One field each and as little code as can be: V8 inlines them into code that reads many.
  get u32(): Uint32Array<B> {
    if (this.words.length === 0) this.retake();
    return this.words;
  }
  get u8(): Uint8Array<B> {
    if (this.u8View.length === 0) this.retake();
    return this.u8View;
  }
  get i8(): Int8Array<B> {
    if (this.i8View.length === 0) this.retake();
    return this.i8View;
  }
  get u16(): Uint16Array<B> {
    if (this.u16View.length === 0) this.retake();
    return this.u16View;
  }
  get i16(): Int16Array<B> {
    if (this.i16View.length === 0) this.retake();
    return this.i16View;
  }
  get i32(): Int32Array<B> {
    if (this.i32View.length === 0) this.retake();
    return this.i32View;
  }
  get f32(): Float32Array<B> {
    if (this.f32View.length === 0) this.retake();
    return this.f32View;
  }
  get f64(): Float64Array<B> {
    if (this.f64View.length === 0) this.retake();
    return this.f64View;
  }
  get u64(): BigUint64Array<B> {
    if (this.u64View.length === 0) this.retake();
    return this.u64View;
  }
  get i64(): BigInt64Array<B> {
    if (this.i64View.length === 0) this.retake();
    return this.i64View;
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
    const { buffer } = this;
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
    const { memory } = this;
    if (memory === undefined) {
      throw new HeapError("ERR_DESTROYED", "the heap's buffer has been detached; nothing of the heap is left");
    }
    // V8 tells other agents of a shared memory's growth by an interrupt, and until that comes they are given the old
    // buffer: about once in a thousand growths. To grow by nothing gives the new one at once. It would detach a private one.
    if (!(this.words.buffer instanceof ArrayBuffer)) memory.grow(0);
    this.#take(memory.buffer as B);
  }

  #take(buffer: B): void {
    const words = Math.floor(buffer.byteLength / 4);
    this.words = new Uint32Array(buffer, 0, words);
    this.u8View = new Uint8Array(buffer);
    this.i8View = new Int8Array(buffer);
    this.u16View = new Uint16Array(buffer, 0, buffer.byteLength >>> 1);
    this.i16View = new Int16Array(buffer, 0, buffer.byteLength >>> 1);
    this.i32View = new Int32Array(buffer, 0, words);
    this.f32View = new Float32Array(buffer, 0, words);
    this.f64View = new Float64Array(buffer, 0, words >>> 1);
    this.u64View = new BigUint64Array(buffer, 0, words >>> 1);
    this.i64View = new BigInt64Array(buffer, 0, words >>> 1);
  }
}
