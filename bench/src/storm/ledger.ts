/**
 * What the programs of a storm know of their blocks: in the heap, so that it outlives them.
 *
 * ```text
 *   ledger (a block)
 *   +0   pause     number of the pause that programs are to make, 0: none
 *   +4   appetite  how many blocks a program may own
 *   +8   stop      1: programs are to end
 *   +12  unused
 *   +16  seats     for each program
 *                  +0  kind       what it is about to do, one of INTENT
 *                  +4  entry      with which of its blocks
 *                  +8  cell       and which cell of the ring
 *                  +12 paused     number of the pause that it makes
 *                  +16 operations that it has begun
 *                  +20 waits      how often it found the lock held for longer than it waits
 *                  +24 refusals   how often there was no room
 *                  +28 unused
 *                  +32 entries    { ptr, size, key, allocator } of the blocks that it owns; ptr 0: none
 *        ring      blocks on their way from one program to another
 *                  +0  state      EMPTY, FULL, or the seat of the program that fills or empties it
 *                  +4  { ptr, size, key, allocator }
 * ```
 *
 * A program may die between any two stores. An entry is written with `ptr` last, and an intent stands from before the
 * allocator is called until the entry says what came of it: so it is known which block was in doubt.
 *
 * @module
 */

/** What a program is about to do. */
export const INTENT = { NONE: 0, ALLOCATE: 1, FREE: 2, REALLOC: 3, PUT: 4, TAKE: 5, RECOVER: 6 } as const;

/** In words, after "about to". */
export function describeIntent({ kind }: Intent): string {
  const [name = "NONE"] = Object.entries(INTENT).find(([, number]) => number === kind) ?? [];
  return name === "NONE" ? "do nothing" : name.toLowerCase();
}

/** A block with what is known of its contents. */
export interface Holding {
  readonly ptr: number;
  /** Bytes asked for. */
  readonly size: number;
  /** Of the pattern in it. */
  readonly key: number;
  /** Which allocator it is of. */
  readonly allocator: number;
}

/** What a program was about to do when it died. */
export interface Intent {
  readonly kind: number;
  readonly entry: number;
  readonly cell: number;
}

export const ENTRIES = 160;
export const CELLS = 32;
const HEADER_WORDS = 4;
const SEAT_WORDS = 8;
const HOLDING_WORDS = 4;
const CELL_WORDS = 8;
const ALL_SEAT_WORDS = SEAT_WORDS + ENTRIES * HOLDING_WORDS;
const APPETITE = 1;
const STOP = 2;
const PAUSED = 3;
const OPERATIONS = 4;
const WAITS = 5;
const REFUSALS = 6;
const EMPTY = 0;
const FULL = 1;
/** The state of a cell that the program of seat 0 fills or empties. */
const BUSY = 2;
/** Belt only: who ends a pause wakes everybody. */
const PAUSE_MS = 1000;

/** @param seats - programs at once */
export function ledgerBytes(seats: number): number {
  return (HEADER_WORDS + seats * ALL_SEAT_WORDS + CELLS * CELL_WORDS) * 4;
}

/** The ledger as an agent sees it. It lies in front of whatever a growing heap adds, so the view is never too short. */
export class Ledger {
  readonly #i32: Int32Array<SharedArrayBuffer>;
  readonly #at: number;
  readonly #ring: number;

  constructor(i32: Int32Array<SharedArrayBuffer>, ptr: number, seats: number) {
    this.#i32 = i32;
    this.#at = ptr >>> 2;
    this.#ring = this.#at + HEADER_WORDS + seats * ALL_SEAT_WORDS;
  }

  // Pauses

  get pause(): number {
    return Atomics.load(this.#i32, this.#at);
  }
  set pause(number: number) {
    Atomics.store(this.#i32, this.#at, number);
    Atomics.notify(this.#i32, this.#at);
  }
  get isStopped(): boolean {
    return Atomics.load(this.#i32, this.#at + STOP) === 1;
  }
  stop(): void {
    Atomics.store(this.#i32, this.#at + STOP, 1);
  }
  get appetite(): number {
    return Atomics.load(this.#i32, this.#at + APPETITE);
  }
  set appetite(blocks: number) {
    Atomics.store(this.#i32, this.#at + APPETITE, Math.min(blocks, ENTRIES));
  }

  /** In a program: sleeps as long as there is a pause. */
  keepPause(seat: number): void {
    const paused = this.#seat(seat) + PAUSED;
    for (let { pause } = this; pause !== 0; pause = this.pause) {
      Atomics.store(this.#i32, paused, pause);
      Atomics.wait(this.#i32, this.#at, pause, PAUSE_MS);
    }
    Atomics.store(this.#i32, paused, 0);
  }
  isPaused(seat: number): boolean {
    return Atomics.load(this.#i32, this.#seat(seat) + PAUSED) === this.pause;
  }

  // Counts

  operations(seat: number): number {
    return Atomics.load(this.#i32, this.#seat(seat) + OPERATIONS);
  }
  waits(seat: number): number {
    return Atomics.load(this.#i32, this.#seat(seat) + WAITS);
  }
  refusals(seat: number): number {
    return Atomics.load(this.#i32, this.#seat(seat) + REFUSALS);
  }
  countOperation(seat: number): void {
    Atomics.add(this.#i32, this.#seat(seat) + OPERATIONS, 1);
  }
  countWait(seat: number): void {
    Atomics.add(this.#i32, this.#seat(seat) + WAITS, 1);
  }
  countRefusal(seat: number): void {
    Atomics.add(this.#i32, this.#seat(seat) + REFUSALS, 1);
  }

  /** Makes a seat free for another program, which inherits its blocks. */
  vacate(seat: number): void {
    const at = this.#seat(seat);
    for (let word = 0; word < SEAT_WORDS; word += 1) Atomics.store(this.#i32, at + word, 0);
  }

  // What programs own

  intent(seat: number): Intent {
    const at = this.#seat(seat);
    const word = (offset: number): number => Atomics.load(this.#i32, at + offset);
    return { kind: word(0), entry: word(1), cell: word(2) };
  }
  intend(seat: number, kind: number, entry: number, cell: number = 0): void {
    const at = this.#seat(seat);
    Atomics.store(this.#i32, at + 1, entry);
    Atomics.store(this.#i32, at + 2, cell);
    Atomics.store(this.#i32, at, kind);
  }
  /** What was intended has been done. */
  settle(seat: number): void {
    Atomics.store(this.#i32, this.#seat(seat), INTENT.NONE);
  }

  entry(seat: number, entry: number): Holding {
    return this.#read(this.#entry(seat, entry));
  }
  setEntry(seat: number, entry: number, holding: Holding): void {
    this.#write(this.#entry(seat, entry), holding);
  }
  clearEntry(seat: number, entry: number): void {
    Atomics.store(this.#i32, this.#entry(seat, entry), 0);
  }
  /** The entries of a seat that hold a block. */
  *entries(seat: number): Generator<[entry: number, holding: Holding]> {
    for (let entry = 0; entry < ENTRIES; entry += 1) {
      const holding = this.entry(seat, entry);
      if (holding.ptr !== 0) yield [entry, holding];
    }
  }

  // The ring

  /** Takes hold of an empty cell. */
  openToPut(seat: number, cell: number): boolean {
    return this.#move(cell, EMPTY, BUSY + seat);
  }
  /** Takes hold of a full cell. */
  openToTake(seat: number, cell: number): boolean {
    return this.#move(cell, FULL, BUSY + seat);
  }
  isHeld(seat: number, cell: number): boolean {
    return Atomics.load(this.#i32, this.#cell(cell)) === BUSY + seat;
  }
  cell(cell: number): Holding {
    return this.#read(this.#cell(cell) + 1);
  }
  setCell(cell: number, holding: Holding): void {
    this.#write(this.#cell(cell) + 1, holding);
  }
  closeFull(cell: number): void {
    Atomics.store(this.#i32, this.#cell(cell), FULL);
  }
  closeEmpty(cell: number): void {
    Atomics.store(this.#i32, this.#cell(cell), EMPTY);
  }
  /** The cells that hold a block. */
  *cells(): Generator<[cell: number, holding: Holding]> {
    for (let cell = 0; cell < CELLS; cell += 1) {
      if (Atomics.load(this.#i32, this.#cell(cell)) === FULL) yield [cell, this.cell(cell)];
    }
  }

  #seat(seat: number): number {
    return this.#at + HEADER_WORDS + seat * ALL_SEAT_WORDS;
  }
  #entry(seat: number, entry: number): number {
    return this.#seat(seat) + SEAT_WORDS + entry * HOLDING_WORDS;
  }
  #cell(cell: number): number {
    return this.#ring + cell * CELL_WORDS;
  }
  #move(cell: number, from: number, to: number): boolean {
    return Atomics.compareExchange(this.#i32, this.#cell(cell), from, to) === from;
  }
  #read(at: number): Holding {
    const word = (offset: number): number => Atomics.load(this.#i32, at + offset) >>> 0;
    return { ptr: word(0), size: word(1), key: word(2), allocator: word(3) };
  }
  #write(at: number, { ptr, size, key, allocator }: Holding): void {
    Atomics.store(this.#i32, at + 1, size);
    Atomics.store(this.#i32, at + 2, key);
    Atomics.store(this.#i32, at + 3, allocator);
    // Last: the block is owned from here on.
    Atomics.store(this.#i32, at, ptr);
  }
}
