/** A heap in the memory of a WebAssembly module: both read and write the records that each allocator has placed in it. */
import { readFile } from "node:fs/promises";
import { argv } from "node:process";

import { f32, f64, Heap, i16, i64, NULL, ptr, struct, u32, u8 } from "@heapwright/core";

import { placersOf } from "./placers.js";

/** @import { Ptr } from "@heapwright/core" */
/**
 * @typedef {object} Neighbour
 * @property {(first: number) => number} digest
 * @property {(first: number, by: number) => void} scale
 * @property {(count: number) => Ptr} build
 * @property {(first: number) => void} destroy
 * @property {(pages: number) => number} grow
 */

const PAGE = 65_536;
const COUNT = 50;
const Item = struct({ next: ptr, id: u32, x: f64, y: f64, kind: u8, level: i16, weight: f32, stamp: i64 });

const [, , file = "", kind] = argv;
const memory = new WebAssembly.Memory({ initial: 2, maximum: 256, shared: kind === "shared" });
const heap = Heap.adopt(memory, { base: PAGE, maxBytes: 200 * PAGE });
const placers = placersOf(heap, Item.size);
/** The one that serves the module just now. */
let [{ place, give } = placers[0] ?? { place: () => NULL, give: () => undefined }] = placers;
const js = { memory, malloc: () => place(), free: (/** @type {Ptr} */ at) => give(at) };
const { instance } = await WebAssembly.instantiate(await readFile(file), { js });
const { digest, scale, build, destroy, grow } = /** @type {Neighbour} */ (/** @type {unknown} */ (instance.exports));

/** @param {Ptr} first */
function* listFrom(first) {
  for (let at = first; at !== NULL; at = Item.get.next(heap, at)) yield at;
}

/**
 * What the module's `digest` says, by the codec.
 *
 * @param {Ptr} first
 */
function digestHere(first) {
  let sum = 0;
  for (const at of listFrom(first)) {
    const item = Item.read(heap, at);
    sum += item.x * item.y + item.id + item.kind + item.level + item.weight + Number(item.stamp);
  }
  return sum;
}

/** @type {Record<string, object>} */
const found = {};
for (const placer of placers) {
  ({ place, give } = placer);

  // Written here, read there; changed there, read here.
  let first = /** @type {Ptr} */ (NULL);
  for (let id = 0; id < COUNT; id += 1) {
    const at = place();
    Item.write(heap, at, { next: first, id, x: id / 2, y: 3, kind: id, level: -id, weight: 0.5, stamp: -7n });
    first = at;
  }
  const written = [digest(first), digestHere(first)];
  scale(first, 2);
  const changed = [digest(first), digestHere(first)];
  const items = [...listFrom(first)];
  for (const at of items) give(at);

  // Made there, in what was placed here; read here; given back there.
  first = build(COUNT);
  const built = [digest(first), digestHere(first)];
  const pages = grow(1);
  const grown = [digest(first), digestHere(first)];
  heap.check();
  destroy(first);
  found[placer.name] = { written, changed, built, grown, pages };
}
for (const { end } of placers) end();
heap.check();

const own = new Uint8Array(memory.buffer, 0, PAGE);
const text = new TextDecoder().decode(own.slice(1024, 1043));
const scaled = own[16];
own.fill(0, 16, 17).fill(0, 1024, 1043);
console.log(
  JSON.stringify({
    offsets: Item.offsets,
    size: Item.size,
    found,
    own: { text, scaled, elsewhere: own.some((byte) => byte !== 0) },
    hasGrown: heap.size > PAGE,
    liveBlocks: heap.stats().liveBlocks,
  }),
);
