/**
 * Where a worker of a shared heap finds superblocks with free blocks before it takes new ones: among its own, of which others
 * have freed blocks, and among those that agents have left behind. The lock is held.
 *
 * @module
 */
import type { Cursor, Supply } from "./cursor.ts";
import { CLASS_COUNT, RECORD, RECORD_WORDS, SUPERBLOCK } from "./layout.ts";
import { gather, gatherAll, hintAt } from "./marks.ts";
import { mapSuperblock } from "./page-map.ts";
import { linkAll, linkPartial, unlinkAll, unlinkPartial } from "./superblocks.ts";

const PAGES = SUPERBLOCK.offsets.pages >>> 2;
const OWNER = SUPERBLOCK.offsets.record >>> 2;
const PARTIAL = RECORD.offsets.partial >>> 2;
const HELD_PAGES = RECORD.offsets.pages >>> 2;

export class SharedSupply implements Supply {
  readonly #apf: Cursor;

  constructor(apf: Cursor) {
    this.#apf = apf;
  }

  find(record: number, sizeClass: number): number {
    const apf = this.#apf;
    const { u32 } = apf.heap;
    gather(apf, record);
    if (u32[record + PARTIAL] !== 0) return u32[record + PARTIAL]!;
    const left = apf.common + sizeClass * RECORD_WORDS;
    gather(apf, left);
    const descriptor = u32[left + PARTIAL]!;
    if (descriptor !== 0) takeOver(apf, descriptor, left, record);
    return descriptor;
  }

  collect(): void {
    const apf = this.#apf;
    for (let at = RECORD_WORDS; at < CLASS_COUNT * RECORD_WORDS; at += RECORD_WORDS) {
      gatherAll(apf, apf.records + at);
      gatherAll(apf, apf.common + at);
    }
  }
}

/** Makes a worker the owner of a superblock with free blocks that nobody had. */
function takeOver(apf: Cursor, descriptor: number, from: number, to: number): void {
  const { i32, u32 } = apf.heap;
  const pages = u32[(descriptor >>> 2) + PAGES]!;
  unlinkPartial(u32, from, descriptor);
  unlinkAll(u32, from, descriptor);
  u32[from + HELD_PAGES]! -= pages;
  Atomics.store(i32, (descriptor >>> 2) + OWNER, to);
  mapSuperblock(u32, apf.control, descriptor, to);
  linkAll(u32, to, descriptor);
  linkPartial(u32, to, descriptor);
  u32[to + HELD_PAGES]! += pages;
  hintAt(i32, to);
}
