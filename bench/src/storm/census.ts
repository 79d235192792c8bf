/**
 * Who owns what after a death, while all that live make a pause: which of the dead programs' intents were carried out, and
 * whether every block is somebody's.
 *
 * @module
 */
import { asPtr, type SharedHeap } from "@heapwright/core";

import { KINDS, type Stormed } from "./allocators.ts";
import { type Holding, INTENT, type Ledger } from "./ledger.ts";
import { damageIn } from "./pattern.ts";

/** What a storm is about. */
export interface Scene {
  readonly heap: SharedHeap;
  readonly ledger: Ledger;
  readonly seats: number;
  /** As the supervisor sees them. */
  readonly allocators: readonly Stormed[];
  /** Blocks that are nobody's loss: the ledger. */
  readonly own: readonly number[];
}

/** An invariant of the heap, of a pool, or of who owns what does not hold. */
export class BrokenInvariant extends Error {
  override readonly name = "BrokenInvariant";
}

/**
 * Checks everything, and settles what the dead have left: blocks that they were freeing are freed, blocks that nobody owns
 * are given back.
 *
 * @param scene - nobody works on it
 * @param dead - seats whose programs have died
 * @returns the blocks that nobody owned, in words
 * @throws BrokenInvariant
 */
export function takeCensus(scene: Scene, dead: readonly number[]): string[] {
  checkAll(scene);
  const live = scene.allocators.map(liveBlocks);
  // Now: who frees a block may give some of these back.
  const taken = scene.allocators.map((allocator): number[] => [...allocator.taken()]);
  const owners = new Map<number, string>();
  const own = (who: string, { ptr }: Holding): void => {
    const other = owners.get(ptr);
    if (other !== undefined) throw new BrokenInvariant(`the block at ${ptr} is owned twice: by ${other} and ${who}`);
    owners.set(ptr, who);
  };
  const doubts = dead.flatMap((seat) => doubtOf(scene.ledger, seat));
  const isDoubtful = (seat: number, entry: number): boolean =>
    doubts.some((doubt) => doubt.seat === seat && doubt.entry === entry);

  for (const [cell, holding] of scene.ledger.cells()) {
    own(`cell ${cell}`, holding);
    expectIntact(scene, live, holding);
  }
  for (let seat = 0; seat < scene.seats; seat += 1) {
    for (const [entry, holding] of scene.ledger.entries(seat)) {
      if (isDoubtful(seat, entry)) continue;
      own(`seat ${seat}`, holding);
      expectIntact(scene, live, holding);
    }
  }
  for (const { seat, entry, mayKeep } of doubts) {
    const holding = scene.ledger.entry(seat, entry);
    const isLeft = holding.ptr !== 0 && !owners.has(holding.ptr) && live[holding.allocator]?.has(holding.ptr) === true;
    if (isLeft && mayKeep) {
      own(`seat ${seat}`, holding);
      expectIntact(scene, live, holding);
      continue;
    }
    scene.ledger.clearEntry(seat, entry);
    // On its way back to the heap, where it was of a size that comes from there.
    const isHeaps = !isLeft && holding.ptr !== 0 && !owners.has(holding.ptr) && live[0]?.has(holding.ptr) === true;
    const holder = isLeft ? holding.allocator : 0;
    if (!isLeft && (!isHeaps || taken.some((blocks) => blocks.includes(holding.ptr)))) continue;
    scene.allocators[holder]?.free(asPtr(holding.ptr));
    live[holder]?.delete(holding.ptr);
  }
  for (const seat of dead) scene.ledger.settle(seat);
  const lost = giveBackUnowned(scene, live, taken, owners);
  checkAll(scene);
  return lost;
}

/** Frees every block that a program owns. */
export function freeAll({ ledger, seats, allocators }: Scene): void {
  const free = ({ ptr, allocator }: Holding): void => allocators[allocator]?.free(asPtr(ptr));
  for (const [cell, holding] of ledger.cells()) {
    free(holding);
    ledger.closeEmpty(cell);
  }
  for (let seat = 0; seat < seats; seat += 1) {
    for (const [entry, holding] of ledger.entries(seat)) {
      free(holding);
      ledger.clearEntry(seat, entry);
    }
  }
}

interface Doubt {
  readonly seat: number;
  readonly entry: number;
  /** Whether the block is still the seat's if it is live: it was not about to be freed. */
  readonly mayKeep: boolean;
}

/** The entry of a dead program that may be out of date. Puts its cell of the ring in order. */
function doubtOf(ledger: Ledger, seat: number): Doubt[] {
  const { kind, entry, cell } = ledger.intent(seat);
  if (kind === INTENT.FREE || kind === INTENT.REALLOC) return [{ seat, entry, mayKeep: false }];
  if (kind === INTENT.TAKE && ledger.isHeld(seat, cell)) {
    if (ledger.entry(seat, entry).ptr === ledger.cell(cell).ptr) ledger.closeEmpty(cell);
    else ledger.closeFull(cell);
  }
  if (kind !== INTENT.PUT) return [];
  if (!ledger.isHeld(seat, cell)) return [{ seat, entry, mayKeep: true }];
  ledger.closeEmpty(cell);
  return [];
}

function liveBlocks(allocator: Stormed): Map<number, number> {
  const blocks = new Map<number, number>();
  for (const { ptr, size, state } of allocator.blocks()) if (state === "live") blocks.set(ptr, size);
  return blocks;
}

function expectIntact({ heap }: Scene, live: readonly ReadonlyMap<number, number>[], holding: Holding): void {
  const { ptr, size, allocator } = holding;
  const name = KINDS[allocator]?.name;
  const usable = live[allocator]?.get(ptr);
  if (usable === undefined) throw new BrokenInvariant(`the ${size}-byte block at ${ptr} of the ${name} is not live`);
  if (usable < size) throw new BrokenInvariant(`the block at ${ptr} of the ${name} has ${usable} of ${size} bytes`);
  const at = damageIn(heap.u32, holding);
  if (at >= 0) throw new BrokenInvariant(`byte ${at} of the ${size}-byte block at ${ptr} of the ${name} has changed`);
}

/** Frees the live blocks that nobody owns. What other allocators have taken from the heap is theirs. */
function giveBackUnowned(
  scene: Scene,
  live: readonly ReadonlyMap<number, number>[],
  taken: readonly (readonly number[])[],
  owners: ReadonlyMap<number, string>,
): string[] {
  const { allocators } = scene;
  const lost: string[] = [];
  for (const [number, allocator] of allocators.entries()) {
    const known = new Set<number>([...scene.own, ...taken.filter((_, other) => other !== number).flat()]);
    for (const [ptr, size] of live[number] ?? []) {
      if (owners.has(ptr) || known.has(ptr)) continue;
      lost.push(`${size} bytes at ${ptr} of the ${allocator.name}`);
      allocator.free(asPtr(ptr));
    }
  }
  return lost;
}

function checkAll({ allocators }: Scene): void {
  for (const { name, check } of allocators) {
    try {
      check();
    } catch (error) {
      throw new BrokenInvariant(`${name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  }
}
