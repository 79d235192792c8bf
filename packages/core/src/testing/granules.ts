/**
 * Which parts of a buffer are taken: one bit for each granule, kept outside the buffer.
 *
 * @module
 */

const WORD_BITS = 32;
const INITIAL_WORDS = 1024;

/** A set of granules; it grows with the highest address it has been given. */
export class Granules {
  readonly #granuleBytes: number;
  #words: Uint32Array = new Uint32Array(INITIAL_WORDS);

  /** @param granuleBytes - a power of two that ranges begin at multiples of */
  constructor(granuleBytes: number) {
    this.#granuleBytes = granuleBytes;
  }

  /**
   * Takes a range if all of it is free. O(granules / 32).
   *
   * @param from - its first byte, a multiple of a granule
   * @param bytes - its length, from 1; a granule begun counts whole
   * @returns false when part of it is taken already, and then nothing has changed
   */
  take(from: number, bytes: number): boolean {
    const first = from / this.#granuleBytes;
    const end = Math.ceil((from + bytes) / this.#granuleBytes);
    this.#reach(end);
    const words = this.#words;
    const last = Math.floor((end - 1) / WORD_BITS);
    for (let word = Math.floor(first / WORD_BITS); word <= last; word += 1) {
      if (((words[word] ?? 0) & bitsOf(word, first, end)) !== 0) return false;
    }
    for (let word = Math.floor(first / WORD_BITS); word <= last; word += 1) {
      words[word] = (words[word] ?? 0) | bitsOf(word, first, end);
    }
    return true;
  }

  /** Frees a range that was taken with the same arguments. O(granules / 32). */
  release(from: number, bytes: number): void {
    const first = from / this.#granuleBytes;
    const end = Math.ceil((from + bytes) / this.#granuleBytes);
    const last = Math.floor((end - 1) / WORD_BITS);
    for (let word = Math.floor(first / WORD_BITS); word <= last; word += 1) {
      this.#words[word] = (this.#words[word] ?? 0) & ~bitsOf(word, first, end);
    }
  }

  #reach(end: number): void {
    const needed = Math.ceil(end / WORD_BITS);
    if (needed <= this.#words.length) return;
    const words = new Uint32Array(Math.max(needed, this.#words.length * 2));
    words.set(this.#words);
    this.#words = words;
  }
}

/** The bits of a word that stand for granules from `first` to before `end`. */
function bitsOf(word: number, first: number, end: number): number {
  const low = Math.max(first - word * WORD_BITS, 0);
  const count = Math.min(end - word * WORD_BITS, WORD_BITS) - low;
  return count === WORD_BITS ? -1 : ((1 << count) - 1) << low;
}
