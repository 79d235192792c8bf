/**
 * Proves a heap's invariants; their numbers and words are in layout.
 *
 * @module
 */
import { HEADER_BYTES, MIN_SPAN_BYTES, spanOf, STATE, stateOf } from "./boundary-tag.ts";
import { HeapError, show } from "./errors.ts";
import { indexDamage, indexedBlocks, isLinked } from "./free-index.ts";
import { chainOf } from "./inspect.ts";
import { FLAG_SHARED, LAYOUT_VERSION, MAGIC, SUPERBLOCK } from "./layout.ts";
import { magazineBlocks } from "./magazines.ts";
import type { Malloc } from "./malloc.ts";
import { asPtr } from "./ptr.ts";
import { LARGE_LISTS, listOf, QUICK_LISTS } from "./quick-lists.ts";
import { SLOTS, SlotTable } from "./slots.ts";
import type { HeapBuffer } from "./views.ts";

const { FREE, LIVE, CACHED, RESERVED, HELD } = STATE;
/** A worker that does nothing wrong is not found wrong so often in a row, and in the same way each time. */
const LOOKS = 24;

/**
 * @param heap - any heap
 * @param mine - the slot of the agent that asks, 0: none
 * @throws HeapError `ERR_CORRUPT` that names the first invariant found broken. O(heap).
 */
export function checkHeap<B extends HeapBuffer>(heap: Malloc<B>, mine: number = 0): void {
  heap.isStale();
  const { offsets } = SUPERBLOCK;
  const at = (field: keyof typeof offsets): number => heap.words[(heap.base + offsets[field]) >>> 2]!;
  holds(1, at("magic") === MAGIC && at("version") === LAYOUT_VERSION, "no superblock at the base", heap.base);
  holds(1, at("base") === heap.base, "the superblock names another base", heap.base);
  holds(1, at("bytes") <= at("maxBytes"), "larger than its maximum", heap.base);
  holds(1, heap.end <= heap.words.length * 4, "larger than its memory", heap.base);
  const counts = checkChain(heap, at("first"), at("top"), at("footprint"));
  checkIndex(heap, counts.free);
  checkQuickLists(heap, counts.cached, at("footprint"));
  checkMagazines(heap, (at("flags") & FLAG_SHARED) !== 0, mine);
}

/** Invariants 2, 3, 4, 7 and 8. Returns how many blocks are free, the wilderness aside, and how many are cached. */
function checkChain<B extends HeapBuffer>(
  heap: Malloc<B>,
  first: number,
  top: number,
  footprint: number,
): { free: number; cached: number } {
  const u32 = heap.words;
  const last = heap.end - HEADER_BYTES;
  let free = 0;
  let cached = 0;
  let bytes = 0;
  let previous = 0;
  let previousState: number = RESERVED;
  let block = first;
  const starts = new StartBits(heap);
  while (block !== last) {
    const span = spanOf(u32, block);
    const state = stateOf(u32, block);
    const end = block + span;
    holds(2, u32[block >>> 2] === previous, "`previous` is not the span of the block to the left", block);
    holds(2, state <= HELD, `unknown state ${state}`, block);
    holds(2, span >= MIN_SPAN_BYTES || state === RESERVED, `span ${span} is too small`, block);
    holds(2, span >= HEADER_BYTES && span % heap.alignment === 0 && end <= last, `span ${span} is none`, block);
    holds(3, state !== FREE || previousState !== FREE, "two neighbours are free", block);
    holds(4, starts.next(block + HEADER_BYTES), "the start bits do not agree with the chain", block);
    holds(8, state === FREE || state === RESERVED || end - heap.base <= footprint, "ends above the footprint", block);
    holds(8, block !== top || (state === FREE && end === last), "the wilderness is not the last block", block);
    if (state === FREE && block !== top) {
      free += 1;
      holds(5, isLinked(u32, block), "free, but not in the free index", block);
    }
    if (state === CACHED) cached += 1;
    bytes += span;
    previous = span;
    previousState = state;
    block = end;
  }
  holds(2, u32[last >>> 2] === previous && stateOf(u32, last) === RESERVED, "the end is damaged", last);
  holds(3, previousState !== FREE || top !== last, "the last block is free, and not the wilderness", last);
  holds(4, starts.next(last + HEADER_BYTES), "start bits beyond the chain", last);
  holds(7, bytes === last - first, "spans do not add up to the heap", last);
  holds(8, top <= last, "the wilderness lies outside", top);
  return { free, cached };
}

/** Invariant 5: as many in the index as in the chain, each FREE, and each found there from the chain. */
function checkIndex<B extends HeapBuffer>(heap: Malloc<B>, free: number): void {
  const damage = indexDamage(heap.words, heap.index);
  holds(5, damage === undefined, damage ?? "", heap.base);
  let found = 0;
  for (const block of indexedBlocks(heap.words, heap.index)) {
    holds(5, stateOf(heap.words, block) === FREE, "in the free index, but not free", block);
    holds(5, isLinked(heap.words, block), "misplaced in the free index", block);
    found += 1;
    holds(5, found <= free, "more in the free index than in the chain", block);
  }
  holds(5, found === free, `${free} free blocks, ${found} in the free index`, heap.base);
}

/** Invariant 6. */
function checkQuickLists<B extends HeapBuffer>(heap: Malloc<B>, cached: number, footprint: number): void {
  const u32 = heap.words;
  let found = 0;
  let bytes = 0;
  let largeBytes = 0;
  for (let list = 0; list < QUICK_LISTS; list += 1) {
    const isSmall = list < LARGE_LISTS;
    const marked = isSmall ? (u32[heap.quickMap + (list >>> 5)]! >>> (list & 31)) & 1 : 1;
    const end = isSmall ? 1 : 0;
    if (marked === 0) holds(6, u32[heap.quickLists + list] === 0, `quick list ${list} is not marked`, heap.base);
    for (let ptr = u32[heap.quickLists + list]!; ptr > end; ptr = u32[ptr >>> 2]!) {
      const block = ptr - HEADER_BYTES;
      const span = spanOf(u32, block);
      const next = u32[ptr >>> 2]!;
      holds(6, stateOf(u32, block) === CACHED, "in a quick list, but not cached", block);
      holds(6, listOf(span) === list, "misplaced in a quick list", block);
      const held = next <= end ? span : span + u32[(next >>> 2) + 1]!;
      holds(6, !isSmall || u32[(ptr >>> 2) + 1] === held, "tells something else than its list holds", block);
      found += 1;
      bytes += span;
      if (!isSmall) largeBytes += span;
      holds(6, found <= cached, "more in quick lists than in the chain", block);
    }
  }
  holds(6, found === cached, `${cached} cached blocks, ${found} in quick lists`, heap.base);
  holds(6, u32[heap.largeHeldWord] === largeBytes, `large quick lists hold ${largeBytes} bytes`, heap.base);
  holds(6, bytes <= footprint / 8, `quick lists hold ${bytes} of ${footprint} bytes`, heap.base);
}

/** Invariant 9. Agents that run change magazines meanwhile: what does not look the same each time is not judged. */
function checkMagazines<B extends HeapBuffer>(heap: Malloc<B>, isShared: boolean, mine: number): void {
  const damage = magazineDamage(heap, isShared, mine);
  if (damage === undefined) return;
  for (let look = 1; look < LOOKS; look += 1) {
    const again = magazineDamage(heap, isShared, mine);
    if (again?.finding !== damage.finding || again.address !== damage.address) return;
  }
  holds(9, false, damage.finding, damage.address);
}

function magazineDamage<B extends HeapBuffer>(
  heap: Malloc<B>,
  isShared: boolean,
  mine: number,
): { finding: string; address: number } | undefined {
  const u32 = heap.words;
  let held = 0;
  for (const block of chainOf(heap)) if (stateOf(u32, block) === HELD) held += 1;
  if (!isShared) {
    return held === 0 ? undefined : { finding: "held by a worker in a private heap", address: heap.base };
  }
  const slots = new SlotTable(heap);
  let found = 0;
  for (let slot = 1; slot < SLOTS; slot += 1) {
    let lastList = -1;
    for (const [list, ptr] of magazineBlocks(heap, slots.record(slot))) {
      const block = ptr - HEADER_BYTES;
      const isFirst = list !== lastList;
      lastList = list;
      if (slots.isFree(slot)) return { finding: `in a magazine of slot ${slot}, which nobody has`, address: block };
      // Another agent may be held up anywhere, with a block that it puts in or takes out: HELD last, or LIVE first.
      if (isFirst && slot !== mine && stateOf(u32, block) === LIVE) continue;
      if (stateOf(u32, block) !== HELD) return { finding: "in a magazine, but not held", address: block };
      if (spanOf(u32, block) !== list * 8) return { finding: "in the magazine of another span", address: block };
      found += 1;
      if (found > held) return { finding: "more in magazines than in the chain", address: block };
    }
  }
  return found === held ? undefined : { finding: `${held} held blocks, ${found} in magazines`, address: heap.base };
}

/** Walks the start bits beside the chain: each payload must have the next bit that is set. */
class StartBits<B extends HeapBuffer> {
  readonly #heap: Malloc<B>;
  #granuleEnd = 0;
  #bias = 0;
  #word: number;
  #bits = 0;

  constructor(heap: Malloc<B>) {
    this.#heap = heap;
    this.#word = heap.lowest >>> 8;
    this.#load();
  }

  /** Whether no start lies between the last payload and this one, and this one has its bit; the end needs none. */
  next(ptr: number): boolean {
    const word = ptr >>> 8;
    while (this.#word < word) {
      if (this.#bits !== 0) return false;
      this.#word += 1;
      this.#load();
    }
    const bit = 1 << (ptr >>> 3);
    const below = this.#bits & (bit - 1);
    const set = (this.#bits & bit) !== 0;
    this.#bits &= ~bit;
    return below === 0 && (set || ptr === this.#heap.end);
  }

  #load(): void {
    const address = this.#word * 256;
    if (address >= this.#heap.end) {
      this.#bits = 0;
      return;
    }
    if (address >= this.#granuleEnd) {
      const granule = Math.floor(address / 2 ** this.#heap.granule);
      this.#granuleEnd = (granule + 1) * 2 ** this.#heap.granule;
      this.#bias = this.#heap.words[this.#heap.directory + granule]!;
    }
    this.#bits = this.#heap.words[this.#bias + this.#word]!;
  }
}

function holds(invariant: number, condition: boolean, finding: string, address: number): void {
  if (condition) return;
  throw new HeapError("ERR_CORRUPT", `check: invariant ${invariant} at ${show(address)}: ${finding}`, asPtr(address));
}
