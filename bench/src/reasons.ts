/**
 * Why a rival is ahead, as far as it is known: by the names of ours and the rival, of the rival, or of ours.
 *
 * @module
 */
export const REASONS: Readonly<Record<string, string>> = {
  deepool: "hands out objects that exist already, by an index; no bytes that anyone else could see, and no checks",
  Uint8Array: "takes memory off the end of the young generation; the collector's work comes later, and not per call",
  "Buffer.allocUnsafe": "cuts slices off a slab; the collector's work comes later, and not per call",
  memkit: "three blocks for one: the pointer, its name, a container; hashed, zeroed and accounted for",
  refcount: "an entry in a hash table beside each block",
  "pool-variadic": "merges neighbours at each free, as its document says",
  core: "of 10,000 frees in a row most are merged and cut again, since quick lists hold an eighth of the heap at most; each checks for misuse",
  apf: "a cache holds a quarter of its class at most, what is above goes back to superblocks; a mark for each block tells a double free",
  mempool: "the lowest free block, as its document has it: the search for it begins anew where frees are at random",
  "core dlmalloc-wasm":
    "merges at each free without a bitmap of starts, in code that is compiled ahead; a double free goes unseen",
};
