/**
 * A value on its way into a collection, outside of the heap: what does not fit is refused before anything is done.
 *
 * @module
 */
import { asPtr, type Codec, type Heap, type HeapBuffer, type Ptr, type Views } from "@heapwright/core";

const SCRATCH_PTR: Ptr = /* @__PURE__ */ asPtr(8);
/** Up to here a loop over bytes beats `subarray` and `set`. */
const LOOP_BYTES = 128;

/** Holds one value of a codec; padding stays zero. */
export class Scratch implements Views {
  readonly u8: Uint8Array;
  readonly i8: Int8Array;
  readonly u16: Uint16Array;
  readonly i16: Int16Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly f32: Float32Array;
  readonly f64: Float64Array;
  readonly u64: BigUint64Array;
  readonly i64: BigInt64Array;
  readonly #bytes: number;

  constructor(bytes: number) {
    const buffer = new ArrayBuffer(SCRATCH_PTR + Math.ceil(bytes / 8) * 8);
    this.#bytes = bytes;
    this.u8 = new Uint8Array(buffer);
    this.i8 = new Int8Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.i16 = new Int16Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.f32 = new Float32Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.u64 = new BigUint64Array(buffer);
    this.i64 = new BigInt64Array(buffer);
  }

  /** @throws HeapError `ERR_INVALID_ARGUMENT` for a value that does not fit */
  write<T>(codec: Codec<T>, value: T): void {
    codec.write(this, SCRATCH_PTR, value);
  }

  /** Of the bytes that were written: FNV-1a. */
  hash(): number {
    let hash = 0x811c_9dc5;
    for (let i = 0; i < this.#bytes; i += 1) hash = Math.imul(hash ^ this.u8[SCRATCH_PTR + i]!, 0x0100_0193);
    return hash >>> 0;
  }

  /** Whether the same bytes lie in a heap at an address. */
  isAt(heap: Heap<HeapBuffer>, address: number): boolean {
    const { u8 } = heap;
    for (let i = 0; i < this.#bytes; i += 1) if (u8[address + i] !== this.u8[SCRATCH_PTR + i]) return false;
    return true;
  }

  copyTo(heap: Heap<HeapBuffer>, address: number): void {
    const { u8 } = heap;
    const bytes = this.#bytes;
    if (bytes > LOOP_BYTES) u8.set(this.u8.subarray(SCRATCH_PTR, SCRATCH_PTR + bytes), address);
    else for (let i = 0; i < bytes; i += 1) u8[address + i] = this.u8[SCRATCH_PTR + i]!;
  }
}
