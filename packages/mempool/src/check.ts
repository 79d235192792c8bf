/**
 * Proves the invariants; their numbers and words are in layout.
 *
 * @module
 */
import { CLASS_BLOCKS, CONTROL, FLAG_EXTERNAL, LAYOUT_VERSION, MAGIC, MARKS_WORD, shapeOf } from "./layout.ts";
import { broken, isPowerOfTwo } from "./misuse.ts";

const { offsets } = CONTROL;

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
    holds(2, run <= count - block, `a run of ${run} blocks`, address(block));
    for (let i = block; i < block + run; i += 1) {
      holds(2, i === block || u32[runs + i] === 0, "a run begins in another", address(i));
      holds(3, !isFree(i), "free, though in a run", address(i));
    }
    live += run;
    block += run;
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
