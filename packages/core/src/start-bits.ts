/**
 * The out-of-line bitmap that says where payloads begin: what makes a double, interior or foreign free certain, whatever
 * the payloads contain.
 *
 * One bit per 8 bytes of address, so 1/64 of the memory it speaks of. The bit of `ptr` is bit `(ptr >>> 3) & 31` of the
 * word at `bias + (ptr >>> 8)`. `bias` is the word address of the bitmap less that of its first bit, so that no
 * subtraction is left for the fast path. It changes when blocks are cut and merged, and is only read when they are
 * handed out and given back.
 *
 * @module
 */

/** log2 of the bytes that one word of a bitmap speaks of. */
const START_WORD_SHIFT_BITS = 8;

/**
 * The bias of a bitmap.
 *
 * @param bitmap - byte address of its first word
 * @param from - lowest address it speaks of
 */
export function startBias(bitmap: number, from: number): number {
  return (bitmap >>> 2) - (from >>> START_WORD_SHIFT_BITS);
}

/**
 * How much memory the start bits of a range take.
 *
 * @param from - lowest address a bitmap is to speak of
 * @param to - the address after the highest
 * @returns its size in bytes, a multiple of 8
 */
export function startBitmapBytes(from: number, to: number): number {
  const words = ((to - 1) >>> START_WORD_SHIFT_BITS) - (from >>> START_WORD_SHIFT_BITS) + 1;
  return (words + (words & 1)) * 4;
}

/** Notes that a payload begins at `ptr`. */
export function setStart(u32: Uint32Array, bias: number, ptr: number): void {
  u32[(bias + (ptr >>> START_WORD_SHIFT_BITS)) | 0]! |= 1 << (ptr >>> 3);
}

/** Notes that no payload begins at `ptr` any more. */
export function clearStart(u32: Uint32Array, bias: number, ptr: number): void {
  u32[(bias + (ptr >>> START_WORD_SHIFT_BITS)) | 0]! &= ~(1 << (ptr >>> 3));
}

/** Whether a payload begins at `ptr`, which is a multiple of 8 within the range of the bitmap. */
export function isStart(u32: Uint32Array, bias: number, ptr: number): boolean {
  return ((u32[(bias + (ptr >>> START_WORD_SHIFT_BITS)) | 0]! >>> (ptr >>> 3)) & 1) === 1;
}

/**
 * The nearest payload at or below an address: one word a step, for error paths.
 *
 * @param u32 - the heap's words
 * @param bias - of the bitmap that speaks of `address`
 * @param address - any address in its range
 * @param lowest - where to stop looking
 * @returns the payload, 0 when none begins between `lowest` and `address`
 */
export function startAtOrBelow(u32: Uint32Array, bias: number, address: number, lowest: number): number {
  let word = address >>> START_WORD_SHIFT_BITS;
  let bits = u32[bias + word]! & (-1 >>> (31 - ((address >>> 3) & 31)));
  const last = lowest >>> START_WORD_SHIFT_BITS;
  while (bits === 0) {
    if (word === last) return 0;
    word -= 1;
    bits = u32[bias + word]!;
  }
  const found = word * 256 + (31 - Math.clz32(bits)) * 8;
  return found < lowest ? 0 : found;
}
