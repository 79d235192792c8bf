/**
 * A tree of marks over the words of the free bitmap; its shape is in layout. Words are marked when they may have something,
 * and unmarked when a search has found that they have not.
 *
 * @module
 */

/** What a search returns that finds nothing. */
export const NONE = -1;

/**
 * The lowest marked word. O(levels).
 *
 * @param tree - word address of the tree
 * @param leaf - number of its first leaf
 * @returns its number in the bitmap, or `NONE`
 */
export function firstMarked(u32: Uint32Array, tree: number, leaf: number): number {
  return u32[tree] === 0 ? -1 : descend(u32, tree, leaf, 0);
}

/** The lowest marked word behind one, as {@link firstMarked}. */
export function nextMarked(u32: Uint32Array, tree: number, leaf: number, word: number): number {
  let node = (leaf + word) | 0;
  while (node !== 0) {
    const parent = (node - 1) >>> 5;
    const rest = u32[(tree + parent) | 0]! & (-2 << ((node - 1) & 31));
    if (rest !== 0) {
      const child = ((parent << 5) + 32 - Math.clz32(rest & -rest)) | 0;
      return child < leaf ? descend(u32, tree, leaf, child) : (child - leaf) | 0;
    }
    node = parent;
  }
  return -1;
}

/** Marks a word. O(levels), mostly O(1). */
export function mark(u32: Uint32Array, tree: number, leaf: number, word: number): void {
  let node = (leaf + word) | 0;
  while (node !== 0) {
    const parent = (node - 1) >>> 5;
    const bits = u32[(tree + parent) | 0]!;
    // Without asking whether it is set: nobody can foresee that.
    u32[(tree + parent) | 0] = bits | (1 << ((node - 1) & 31));
    node = bits === 0 ? parent : 0;
  }
}

/** Takes the mark of a word back. O(levels), mostly O(1). */
export function unmark(u32: Uint32Array, tree: number, leaf: number, word: number): void {
  let node = (leaf + word) | 0;
  while (node !== 0) {
    const parent = (node - 1) >>> 5;
    const bits = u32[(tree + parent) | 0]! & ~(1 << ((node - 1) & 31));
    u32[(tree + parent) | 0] = bits;
    node = bits === 0 ? parent : 0;
  }
}

/** Marks the words from 0 to before `count`, in a tree of zeros. O(tree). */
export function markAll(u32: Uint32Array, tree: number, leaf: number, count: number): void {
  for (let word = 0; word < count; word += 1) mark(u32, tree, leaf, word);
}

/** The lowest leaf below a node, as the number of its word. */
function descend(u32: Uint32Array, tree: number, leaf: number, from: number): number {
  let node = from;
  do {
    const bits = u32[(tree + node) | 0]! | 0;
    node = ((node << 5) + 32 - Math.clz32(bits & -bits)) | 0;
  } while (node < leaf);
  return (node - leaf) | 0;
}
