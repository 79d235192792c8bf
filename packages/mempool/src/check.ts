/**
 * Proves the invariants; their numbers and words are in layout.
 *
 * @module
 */
import {
  CLASS_BLOCKS,
  CONTROL,
  FLAG_EXTERNAL,
  HELD,
  LAYOUT_VERSION,
  MAGAZINE,
  MAGIC,
  MARKS_WORD,
  shapeOf,
} from "./layout.ts";
import { magazinesOf } from "./magazines.ts";
import { broken, isPowerOfTwo } from "./misuse.ts";

const { offsets } = CONTROL;
/** Of invariant 7, before it is said to be broken. */
const LOOKS = 24;

/** @throws HeapError `ERR_CORRUPT` that names the first invariant found broken. O(blocks). */
export function checkPool(u32: Uint32Array, control: number): void {
  const at = (field: keyof typeof offsets): number => u32[control + (offsets[field] >>> 2)]!;
  const base = control * 4;
  const [count, blockBytes, first] = [at("count"), at("blockBytes"), at("first")];
  const [bitmap, runs, leaf, treeWords] = [at("bitmap"), at("runs"), at("leaf"), at("treeWords")];
  holds(1, at("magic") === MAGIC && at("version") === LAYOUT_VERSION, "no control block of a pool", base);
  holds(1, isPowerOfTwo(at("alignment")) && count >= 1 && blockBytes >= 1, "impossible sizes", base);
  holds(1, blockBytes % at("alignment") === 0 && first % at("alignment") === 0, "blocks are misaligned", first);
  const shape = shapeOf(count);
  const isInPlace = bitmap === control + shape.bitmap && runs === control + shape.runs;
  holds(1, isInPlace && leaf === shape.leaf && treeWords === shape.treeWords, "tables out of place", base);
  const isExternal = (at("flags") & FLAG_EXTERNAL) !== 0;
  holds(1, isExternal || first >= (control + shape.end) * 4, "the blocks begin in the tables", first);

  const address = (block: number): number => first + block * blockBytes;
  const isFree = (block: number): boolean => ((u32[bitmap + (block >>> 5)]! >>> (block & 31)) & 1) !== 0;
  let live = 0;
  let free = 0;
  for (let block = 0; block < count;) {
    const run = u32[runs + block]!;
    if (run === 0) {
      holds(3, isFree(block), "neither free nor in a run", address(block));
      free += 1;
      block += 1;
      continue;
    }
    const blocks = run >= HELD ? 1 : run;
    holds(2, blocks <= count - block, `a run of ${blocks} blocks`, address(block));
    for (let i = block; i < block + blocks; i += 1) {
      holds(2, i === block || u32[runs + i] === 0, "a run begins in another", address(i));
      holds(3, !isFree(i), "free, though in a run", address(i));
    }
    live += blocks;
    block += blocks;
  }
  holds(6, live + free === count, "blocks do not add up", base);
  const { bitmapWords } = shape;
  for (let block = count; block <= bitmapWords * 32; block += 1) {
    holds(3, !isFree(block), "free, behind the last block", address(block));
  }

  const lengths = longestRuns(u32, bitmap, bitmapWords);
  const [low, cleared] = [at("low"), at("cleared")];
  holds(5, low < bitmapWords && at("watch") === Math.max(low, cleared), "low, cleared and watch disagree", base);
  for (let word = 0; word < low; word += 1) {
    holds(5, u32[bitmap + word] === 0, "a free block before `low`", address(word * 32));
  }
  for (const [kind, blocks] of CLASS_BLOCKS.entries()) {
    const tree = control + MARKS_WORD + kind * treeWords;
    const isMarked = (node: number): boolean => ((u32[tree + ((node - 1) >>> 5)]! >>> ((node - 1) & 31)) & 1) !== 0;
    for (let word = 0; word < bitmapWords; word += 1) {
      const isNeeded = lengths[word]! >= blocks || (kind > 0 && word >= cleared - 1);
      holds(4, !isNeeded || isMarked(leaf + word), `a run of ${blocks} blocks without a mark`, address(word * 32));
    }
    for (let node = 1; node < leaf + treeWords * 32; node += 1) {
      if ((node - 1) >>> 5 >= treeWords) break;
      if (node < leaf) {
        const child = node < treeWords ? u32[tree + node]! : 0;
        holds(4, isMarked(node) === (child !== 0), "a node and its children disagree", (tree + node) * 4);
      } else if (node >= leaf + bitmapWords) {
        holds(4, !isMarked(node), "a mark behind the last word", (tree + node) * 4);
      }
    }
  }
}

/** Invariant 7. Agents that run change magazines meanwhile: what does not look the same each time is not judged. */
export function checkHeld(u32: Uint32Array, control: number, slot: number): void {
  const damage = heldDamage(u32, control, slot);
  if (damage === undefined) return;
  for (let look = 1; look < LOOKS; look += 1) {
    if (heldDamage(u32, control, slot) !== damage) return;
  }
  throw broken(7, damage, control * 4);
}

function heldDamage(u32: Uint32Array, control: number, slot: number): string | undefined {
  const at = (field: keyof typeof offsets): number => u32[control + (offsets[field] >>> 2)]!;
  const [runs, count] = [at("runs"), at("count")];
  const found = new Set<number>();
  for (const magazine of magazinesOf(u32, control)) {
    const word = magazine >>> 2;
    const owner = u32[word + (MAGAZINE.offsets.slot >>> 2)]!;
    const entries = word + (MAGAZINE.size >>> 2);
    const end = entries + u32[word + (MAGAZINE.offsets.count >>> 2)]!;
    if (end > entries + at("depth")) return "a magazine holds more than it can";
    for (let entry = entries; entry < end; entry += 1) {
      const block = u32[entry]!;
      const run = block < count ? u32[runs + block]! : 0;
      // Another agent may be held up anywhere, with a block that it puts in or takes out.
      if (run === 1 && owner !== slot && entry === end - 1) continue;
      if (run !== (HELD | owner) >>> 0) return `block ${block} is in a magazine, but not held there`;
      if (found.has(block)) return `block ${block} is in a magazine twice`;
      found.add(block);
    }
  }
  for (let block = 0; block < count; block += 1) {
    if (u32[runs + block]! >= HELD && !found.has(block)) return `block ${block} is held, but in no magazine`;
  }
  return undefined;
}

/** For each word of the bitmap the longest run that begins in it. */
function longestRuns(u32: Uint32Array, bitmap: number, bitmapWords: number): Uint32Array {
  const lengths = new Uint32Array(bitmapWords);
  let length = 0;
  for (let block = bitmapWords * 32 - 1; block >= 0; block -= 1) {
    const word = block >>> 5;
    length = ((u32[bitmap + word]! >>> (block & 31)) & 1) !== 0 ? length + 1 : 0;
    lengths[word] = Math.max(lengths[word]!, length);
  }
  return lengths;
}

function holds(invariant: number, condition: boolean, finding: string, address: number): void {
  if (!condition) throw broken(invariant, finding, address);
}
