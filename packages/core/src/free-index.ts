/**
 * The free blocks of an allocator by size: the best fit in constant time, whatever is free.
 *
 * Spans below 1024 bytes have a list each, and a bitmap says which lists hold something. Larger ones stand in a bitwise
 * trie per power of two (as in Lea's malloc), in which equal spans form a ring, so that the best fit is at most 22 steps
 * away.
 *
 * ```text
 *   index (word address)
 *     +0 .. +3     bit s of these 128 bits: list s holds something
 *     +4           bit t: trie t holds something
 *     +8 .. +135   heads of the lists, by span / 8
 *     +136 .. +157 roots of the tries, by floor(log2(span)) - 10
 *
 *   a free block in a list                    a free block in a trie
 *     0        8        12       16             0        8       12       16      20      24       28
 *     +--------+--------+--------+--            +--------+-------+--------+-------+-------+--------+--
 *     | header | next   | prev   |              | header | next  | prev   | left  | right | parent |
 *     +--------+--------+--------+--            +--------+-------+--------+-------+-------+--------+--
 *     prev is 0 in the first                    next, prev: the ring of equal spans
 *                                               parent: 0 in a ring's other members, the index in a root
 * ```
 *
 * All links are block addresses. The index is derived: `recover()` clears it and files every FREE block again.
 *
 * @module
 */
import type { Block } from "./ptr.ts";

/** Spans from here on stand in tries. */
export const SMALL_SPAN_LIMIT_BYTES = 1024;

const TRIE_MAP = 4;
const LISTS = 8;
const TRIES = 136;
const TRIE_COUNT = 22;
const LIST_MAP_WORDS = 4;
/** Size of an index in bytes. */
export const FREE_INDEX_BYTES = 640;

const NEXT = 2;
const PREV = 3;
const LEFT = 4;
const RIGHT = 5;
const PARENT = 6;
/** The parent of a root: an address where no block lies. */
const ROOT_PARENT = 1;

/** Empties an index. */
export function clearIndex(u32: Uint32Array, index: number): void {
  u32.fill(0, index, index + (FREE_INDEX_BYTES >>> 2));
}

/** Files a FREE block. O(1): at most 22 steps for a span from 1024 bytes on. */
export function insertFree(u32: Uint32Array, index: number, block: number, span: number): void {
  if (span >= SMALL_SPAN_LIMIT_BYTES) return insertIntoTrie(u32, index, block, span);
  const list = span >>> 3;
  const head = index + LISTS + list;
  const first = u32[head]!;
  const word = block >>> 2;
  u32[word + NEXT] = first;
  u32[word + PREV] = 0;
  if (first !== 0) u32[(first >>> 2) + PREV] = block;
  u32[head] = block;
  u32[index + (list >>> 5)]! |= 1 << (list & 31);
}

/** Takes a block that {@link isIndexed} out of the index. O(1). */
export function removeFree(u32: Uint32Array, index: number, block: number, span: number): void {
  if (span >= SMALL_SPAN_LIMIT_BYTES) return removeFromTrie(u32, index, block, span);
  const word = block >>> 2;
  const next = u32[word + NEXT]!;
  const prev = u32[word + PREV]!;
  if (next !== 0) u32[(next >>> 2) + PREV] = prev;
  if (prev !== 0) {
    u32[(prev >>> 2) + NEXT] = next;
    return;
  }
  const list = span >>> 3;
  u32[index + LISTS + list] = next;
  if (next === 0) u32[index + (list >>> 5)]! &= ~(1 << (list & 31));
}

/**
 * Whether a free block's links lead back to it: a write into free memory is noticed here, before the links are followed.
 */
export function isIndexed(u32: Uint32Array, index: number, block: number, span: number): boolean {
  const word = block >>> 2;
  const next = u32[word + NEXT]!;
  const prev = u32[word + PREV]!;
  if (span >= SMALL_SPAN_LIMIT_BYTES) {
    return u32[(next >>> 2) + PREV] === block && u32[(prev >>> 2) + NEXT] === block && isInTrie(u32, index, block, span);
  }
  if (next !== 0 && u32[(next >>> 2) + PREV] !== block) return false;
  return (prev === 0 ? u32[index + LISTS + (span >>> 3)] : u32[(prev >>> 2) + NEXT]) === block;
}

/**
 * Finds the smallest block that is large enough; of equal ones the one freed last. It stays in the index.
 *
 * @param u32 - the heap's words
 * @param index - word address of the index
 * @param span - bytes wanted, header included
 * @returns the block, 0 when none is large enough
 */
export function bestFit(u32: Uint32Array, index: number, span: number): Block {
  if (span >= SMALL_SPAN_LIMIT_BYTES) return bestFitInTries(u32, index, span);
  const list = span >>> 3;
  let word = list >>> 5;
  let bits = u32[index + word]! & (-1 << (list & 31));
  while (bits === 0) {
    word += 1;
    if (word === LIST_MAP_WORDS) return smallestInTries(u32, index, u32[index + TRIE_MAP]!);
    bits = u32[index + word]!;
  }
  return u32[index + LISTS + word * 32 + (31 - Math.clz32(bits & -bits))]! as Block;
}

/** Every block of an index, for check() and tests: lists first, then tries, in no order of addresses. */
export function* indexedBlocks(u32: Uint32Array, index: number): Generator<Block> {
  for (let list = 0; list < LIST_MAP_WORDS * 32; list += 1) {
    for (let block = u32[index + LISTS + list]!; block !== 0; block = u32[(block >>> 2) + NEXT]!) yield block as Block;
  }
  for (let trie = 0; trie < TRIE_COUNT; trie += 1) yield* trieBlocks(u32, u32[index + TRIES + trie]!);
}

/** Whether the bit of every list and trie says if it holds something. */
export function areMapsRight(u32: Uint32Array, index: number): boolean {
  for (let list = 0; list < LIST_MAP_WORDS * 32; list += 1) {
    const bit = (u32[index + (list >>> 5)]! >>> (list & 31)) & 1;
    if ((bit === 1) !== (u32[index + LISTS + list] !== 0)) return false;
  }
  for (let trie = 0; trie < TRIE_COUNT; trie += 1) {
    if (((u32[index + TRIE_MAP]! >>> trie) & 1) !== (u32[index + TRIES + trie] === 0 ? 0 : 1)) return false;
  }
  return true;
}

function trieOf(span: number): number {
  return 21 - Math.clz32(span);
}

/** The bits of a span below its highest, moved up: bit 31 decides at the root, the next below at its children. */
function pathOf(span: number): number {
  return span << (Math.clz32(span) + 1);
}

function insertIntoTrie(u32: Uint32Array, index: number, block: number, span: number): void {
  const word = block >>> 2;
  u32[word + LEFT] = 0;
  u32[word + RIGHT] = 0;
  const trie = trieOf(span);
  let node = u32[index + TRIES + trie]!;
  if (node === 0) {
    u32[index + TRIES + trie] = block;
    u32[index + TRIE_MAP]! |= 1 << trie;
    u32[word + PARENT] = ROOT_PARENT;
    u32[word + NEXT] = block;
    u32[word + PREV] = block;
    return;
  }
  for (let path = pathOf(span); ; path <<= 1) {
    if (u32[(node + 4) >>> 2] === span) {
      const next = u32[(node >>> 2) + NEXT]!;
      u32[(node >>> 2) + NEXT] = block;
      u32[(next >>> 2) + PREV] = block;
      u32[word + NEXT] = next;
      u32[word + PREV] = node;
      u32[word + PARENT] = 0;
      return;
    }
    const link = (node >>> 2) + LEFT + (path >>> 31);
    const child = u32[link]!;
    if (child === 0) {
      u32[link] = block;
      u32[word + PARENT] = node;
      u32[word + NEXT] = block;
      u32[word + PREV] = block;
      return;
    }
    node = child;
  }
}

function removeFromTrie(u32: Uint32Array, index: number, block: number, span: number): void {
  const word = block >>> 2;
  const parent = u32[word + PARENT]!;
  const prev = u32[word + PREV]!;
  let heir = 0;
  if (prev !== block) {
    const next = u32[word + NEXT]!;
    u32[(next >>> 2) + PREV] = prev;
    u32[(prev >>> 2) + NEXT] = next;
    if (parent === 0) return;
    heir = prev;
  } else {
    heir = takeLeaf(u32, block);
  }
  if (heir !== 0) adopt(u32, block, heir);
  if (parent !== ROOT_PARENT) {
    const left = (parent >>> 2) + LEFT;
    u32[u32[left] === block ? left : left + 1] = heir;
  } else {
    const trie = trieOf(span);
    u32[index + TRIES + trie] = heir;
    if (heir === 0) u32[index + TRIE_MAP]! &= ~(1 << trie);
  }
}

/** Cuts off some leaf below a node, the rightmost; any leaf below may take the node's place. 0 when it has no child. */
function takeLeaf(u32: Uint32Array, node: number): number {
  let link = 0;
  let leaf = 0;
  for (let below = node; ; ) {
    const right = (below >>> 2) + RIGHT;
    const next = u32[right] === 0 ? right - 1 : right;
    below = u32[next]!;
    if (below === 0) break;
    link = next;
    leaf = below;
  }
  if (leaf !== 0) u32[link] = 0;
  return leaf;
}

/** Gives `heir` the place of `node` between its parent and its children. */
function adopt(u32: Uint32Array, node: number, heir: number): void {
  const from = node >>> 2;
  const to = heir >>> 2;
  u32[to + PARENT] = u32[from + PARENT]!;
  for (let side = LEFT; side <= RIGHT; side += 1) {
    const child = u32[from + side]!;
    u32[to + side] = child;
    if (child !== 0) u32[(child >>> 2) + PARENT] = heir;
  }
}

function bestFitInTries(u32: Uint32Array, index: number, span: number): Block {
  const trie = trieOf(span);
  let best = 0;
  let bestSpan = 0x1_0000_0000;
  let larger = 0;
  let node = u32[index + TRIES + trie]!;
  // Down the path of `span`; the last subtree to the right of it holds the smallest of those that are larger.
  for (let path = pathOf(span); node !== 0; path <<= 1) {
    const nodeSpan = u32[(node + 4) >>> 2]!;
    if (nodeSpan >= span && nodeSpan < bestSpan) {
      best = node;
      bestSpan = nodeSpan;
      if (nodeSpan === span) return newest(u32, node);
    }
    const left = (node >>> 2) + LEFT;
    if (path >>> 31 === 0) {
      const right = u32[left + 1]!;
      if (right !== 0) larger = right;
      node = u32[left]!;
    } else {
      node = u32[left + 1]!;
    }
  }
  const candidate = smallestBelow(u32, larger);
  if (candidate !== 0 && u32[(candidate + 4) >>> 2]! < bestSpan) best = candidate;
  if (best !== 0) return newest(u32, best);
  return smallestInTries(u32, index, u32[index + TRIE_MAP]! & (-2 << trie));
}

function smallestInTries(u32: Uint32Array, index: number, map: number): Block {
  if (map === 0) return 0 as Block;
  return newest(u32, smallestBelow(u32, u32[index + TRIES + (31 - Math.clz32(map & -map))]!));
}

/** The smallest span of a subtree: it is on the way that goes left wherever there is a left. */
function smallestBelow(u32: Uint32Array, node: number): number {
  let best = 0;
  let bestSpan = 0x1_0000_0000;
  while (node !== 0) {
    const span = u32[(node + 4) >>> 2]!;
    if (span < bestSpan) {
      best = node;
      bestSpan = span;
    }
    const left = (node >>> 2) + LEFT;
    const child = u32[left]!;
    node = child === 0 ? u32[left + 1]! : child;
  }
  return best;
}

/** Of a ring the member freed last, which also leaves the trie as it is. */
function newest(u32: Uint32Array, node: number): Block {
  return u32[(node >>> 2) + NEXT]! as Block;
}

function isInTrie(u32: Uint32Array, index: number, block: number, span: number): boolean {
  const word = block >>> 2;
  const parent = u32[word + PARENT]!;
  if (parent === 0) return u32[word + NEXT] !== block;
  if (parent === ROOT_PARENT) return u32[index + TRIES + trieOf(span)] === block;
  const left = (parent >>> 2) + LEFT;
  return u32[left] === block || u32[left + 1] === block;
}

function* trieBlocks(u32: Uint32Array, root: number): Generator<Block> {
  if (root === 0) return;
  let block = root;
  do {
    yield block as Block;
    block = u32[(block >>> 2) + NEXT]!;
  } while (block !== root);
  yield* trieBlocks(u32, u32[(root >>> 2) + LEFT]!);
  yield* trieBlocks(u32, u32[(root >>> 2) + RIGHT]!);
}
