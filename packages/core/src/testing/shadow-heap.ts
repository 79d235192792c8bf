/**
 * Watches an allocator from outside: whatever it hands out is recorded, filled and compared.
 *
 * @module
 */
import { isPowerOfTwo } from "../align.ts";
import { HeapError, show } from "../errors.ts";
import type { Heap } from "../heap.ts";
import { NULL, type Ptr } from "../ptr.ts";
import type { HeapBuffer } from "../views.ts";
import { Granules } from "./granules.ts";
import { byteAt, findDamage, keyOf, type PayloadViews, writePattern } from "./pattern.ts";

/** What can be watched: every `Allocator`, and an adapter around any other allocator that works in a buffer. */
export interface Watchable<H extends PayloadViews> {
  /** Its views are read anew after each call, so the heap may grow. */
  readonly heap: H;
  malloc(size: number): Ptr;
  free(ptr: Ptr): void;
  usableSize?(ptr: Ptr): number;
  calloc?(count: number, size: number): Ptr;
  realloc?(ptr: Ptr, size: number): Ptr;
  alignedAlloc?(alignment: number, size: number): Ptr;
}

/** What the shadow heap expects and does. */
export interface ShadowOptions {
  /** What every payload's address is a multiple of: a power of two, in bytes. @defaultValue 8 */
  readonly alignment?: number;
  /** Changes the patterns; any number. @defaultValue 1 */
  readonly seed?: number;
  /**
   * Whether payloads are filled with patterns that are verified later. Switch it off when something else writes to the
   * blocks, for example another allocator that takes its regions from here.
   *
   * @defaultValue true
   */
  readonly contents?: boolean;
  /** Whether errors and leaks show where the block was allocated. Some microseconds a block. @defaultValue false */
  readonly stacks?: boolean;
}

/** A live block. */
export interface ShadowBlock {
  readonly ptr: Ptr;
  /** Bytes asked for. */
  readonly size: number;
  /** 1 for the first block allocated, and so on; a block that is reallocated keeps its own. 0 for one that was included. */
  readonly order: number;
  /** Where it was allocated, when `stacks` are on. */
  readonly stack: string | undefined;
}

/** The allocator broke its contract, or someone wrote where they must not. Misuse by the caller is not this. */
export class ShadowError extends Error {
  override readonly name = "ShadowError";
  /** The pointer in question, where there is one. */
  readonly ptr: Ptr | undefined;

  constructor(message: string, ptr?: Ptr) {
    super(message);
    this.ptr = ptr;
  }
}

interface Entry extends ShadowBlock {
  ptr: Ptr;
  size: number;
  /** Bytes that may be written: what must not overlap. */
  usable: number;
  /** Of the pattern it is filled with; undefined when it is not filled. */
  readonly key: number | undefined;
}

/** A function's name and its arguments, put in words only when there is something to say. */
type Call = readonly [name: string, ...args: unknown[]];

const LEAKS_SHOWN = 10;

/**
 * An allocator that passes every call to another and proves, of each block: that it lies in the buffer, aligned, apart
 * from all live ones, and large enough; that its contents stay what they are until it is freed, through `realloc` too,
 * also where that fails; that `calloc` gives zeros; and that a pointer which is no live block is refused.
 *
 * Each call costs the allocator's own time, about half a microsecond, and the time to fill and compare the payload.
 *
 * @example
 * const shadow = new ShadowHeap(heap);
 * const ptr = shadow.malloc(100);
 * shadow.free(ptr);
 * shadow.close(); // throws when a block is damaged or still live
 */
export class ShadowHeap<H extends PayloadViews = Heap<HeapBuffer>> implements Watchable<H> {
  /** What is watched. */
  readonly watched: Watchable<H>;
  readonly #alignment: number;
  readonly #seed: number;
  readonly #fills: boolean;
  readonly #stacks: boolean;
  readonly #taken: Granules;
  readonly #live: Map<Ptr, Entry> = new Map();
  #orders = 0;
  #liveBytes = 0;
  #peakBytes = 0;

  /**
   * @param allocator - what is watched; from now on it is called through here only
   * @param options - what is expected of it
   * @throws HeapError `ERR_INVALID_ARGUMENT` when the alignment is no power of two
   */
  constructor(allocator: Watchable<H>, options: ShadowOptions = {}) {
    const { alignment = 8, seed = 1, contents = true, stacks = false } = options;
    if (!isPowerOfTwo(alignment)) {
      throw new HeapError("ERR_INVALID_ARGUMENT", `ShadowHeap: alignment ${alignment}; pass a power of two`);
    }
    this.watched = allocator;
    this.#alignment = alignment;
    this.#seed = seed;
    this.#fills = contents;
    this.#stacks = stacks;
    this.#taken = new Granules(alignment);
  }

  /** The heap of the allocator that is watched. */
  get heap(): H {
    return this.watched.heap;
  }

  /** Blocks handed out so far: the order of the last one. */
  get allocations(): number {
    return this.#orders;
  }

  /** Blocks handed out and not freed. */
  get liveBlocks(): number {
    return this.#live.size;
  }

  /** Bytes asked for in them. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** The most that `liveBytes` has been. */
  get peakLiveBytes(): number {
    return this.#peakBytes;
  }

  /**
   * Records a block that was handed out before anyone watched. It is not filled, and not a leak when it stays.
   *
   * @param ptr - a live block of the allocator
   * @param size - bytes that were asked for, or its usable size
   * @throws ShadowError when it is not a block as it must be
   */
  include(ptr: Ptr, size: number): void {
    this.#record(
      { ptr, size, usable: 0, order: 0, key: undefined, stack: undefined },
      ["include", size],
      this.#alignment,
    );
  }

  /** As the allocator's own. @throws ShadowError when what it returns is not a block as it must be */
  malloc(size: number): Ptr {
    const ptr = this.watched.malloc(size);
    return this.#admit(["malloc", size], ptr, size, this.#alignment);
  }

  /** As the allocator's own, or `malloc` and zeros. @throws ShadowError when the block is not zeroed, or as `malloc` */
  calloc(count: number, size: number): Ptr {
    const call: Call = ["calloc", count, size];
    const ptr = this.#calloc(count, size);
    if (ptr === NULL) return ptr;
    const bytes = count * size;
    this.#expectBlock(call, ptr, bytes, this.#alignment);
    const { u8 } = this.heap;
    for (let at = 0; at < bytes; at += 1) {
      if (u8[ptr + at] !== 0) throw new ShadowError(`${textOf(call)} gave ${show(ptr)}, but byte ${at} is not 0`, ptr);
    }
    return this.#admit(call, ptr, bytes, this.#alignment);
  }

  /** As the allocator's own. @throws ShadowError when the block is not aligned to both alignments, or as `malloc` */
  alignedAlloc(alignment: number, size: number): Ptr {
    const call: Call = ["alignedAlloc", alignment, size];
    if (this.watched.alignedAlloc === undefined) {
      throw new HeapError("ERR_UNSUPPORTED", `${textOf(call)}: the allocator that is watched has no alignedAlloc`);
    }
    const ptr = this.watched.alignedAlloc(alignment, size);
    return this.#admit(call, ptr, size, Math.max(alignment, this.#alignment));
  }

  /**
   * As the allocator's own, or `malloc`, copy and `free`.
   *
   * @throws ShadowError when the contents have not come along, or when they are gone though there was no room
   */
  realloc(ptr: Ptr, size: number): Ptr {
    if (ptr === NULL) return this.malloc(size);
    const call: Call = ["realloc", ptr, size];
    const entry = this.#live.get(ptr);
    if (entry === undefined) return this.#expectRefusal(call, ptr, () => this.#realloc(ptr, size));
    this.#expectContents(entry, call);
    const moved = this.#realloc(ptr, size);
    if (moved === NULL) {
      this.#expectContents(entry, call, " found no room, and afterwards");
      return NULL;
    }
    const kept = Math.min(entry.size, size);
    this.#taken.release(entry.ptr, Math.max(entry.usable, 1));
    this.#live.delete(ptr);
    this.#liveBytes -= entry.size;
    entry.ptr = moved;
    entry.size = size;
    this.#record(entry, call, this.#alignment);
    this.#expectContents(entry, call, ` gave ${show(moved)}, and there`, kept);
    if (entry.key !== undefined) writePattern(this.heap, moved, kept, entry.usable, entry.key);
    return moved;
  }

  /** As the allocator's own. @throws ShadowError when the block is damaged, or when a pointer that is no block passes */
  free(ptr: Ptr): void {
    if (ptr === NULL) return this.watched.free(ptr);
    const call: Call = ["free", ptr];
    const entry = this.#live.get(ptr);
    if (entry === undefined) return this.#expectRefusal(call, ptr, () => this.watched.free(ptr));
    this.#expectContents(entry, call);
    this.watched.free(ptr);
    this.#live.delete(ptr);
    this.#taken.release(ptr, Math.max(entry.usable, 1));
    this.#liveBytes -= entry.size;
  }

  /** As the allocator's own; where it has none, what was asked for. */
  usableSize(ptr: Ptr): number {
    if (this.watched.usableSize !== undefined) return this.watched.usableSize(ptr);
    const entry = this.#live.get(ptr);
    if (entry !== undefined) return entry.size;
    throw new HeapError("ERR_INVALID_POINTER", `usableSize(${show(ptr)}): no live block begins there`, ptr);
  }

  /**
   * The live blocks, in the order in which they were allocated.
   *
   * @param since - only those of a higher order. @defaultValue 0
   */
  leaks(since: number = 0): ShadowBlock[] {
    return [...this.#live.values()].filter(({ order }) => order > since).sort((a, b) => a.order - b.order);
  }

  /** Compares every live block with what it must contain. O(live bytes). @throws ShadowError that names the first */
  verify(): void {
    for (const entry of this.#live.values()) this.#expectContents(entry, ["verify"]);
  }

  /**
   * @param since - blocks up to this order may be live. @defaultValue 0
   * @throws ShadowError that lists the blocks that are still live
   */
  assertEmpty(since: number = 0): void {
    const leaks = this.leaks(since);
    if (leaks.length === 0) return;
    const shown = leaks.slice(0, LEAKS_SHOWN).map((leak) => `\n  ${nameOf(leak)}`);
    const rest = leaks.length > LEAKS_SHOWN ? `\n  and ${leaks.length - LEAKS_SHOWN} more` : "";
    const bytes = leaks.reduce((sum, { size }) => sum + size, 0);
    const total = `${leaks.length} blocks with ${bytes} bytes are still live`;
    throw new ShadowError(`${total}; free each:${shown.join("")}${rest}`, leaks[0]?.ptr);
  }

  /** The end of a test: `verify`, then `assertEmpty`. */
  close(): void {
    this.verify();
    this.assertEmpty();
  }

  /** Records a new block and fills it. */
  #admit(call: Call, ptr: Ptr, size: number, alignment: number): Ptr {
    if (ptr === NULL) return ptr;
    this.#orders += 1;
    const stack = this.#stacks ? new Error(textOf(call)).stack : undefined;
    const key = this.#fills ? keyOf(this.#seed, this.#orders) : undefined;
    const entry: Entry = { ptr, size, usable: 0, order: this.#orders, key, stack };
    this.#record(entry, call, alignment);
    if (key !== undefined) writePattern(this.heap, ptr, 0, entry.usable, key);
    return ptr;
  }

  #record(entry: Entry, call: Call, alignment: number): void {
    const { ptr, size } = entry;
    entry.usable = this.#expectBlock(call, ptr, size, alignment);
    if (!this.#taken.take(ptr, Math.max(entry.usable, 1))) throw this.#overlap(call, entry);
    this.#live.set(ptr, entry);
    this.#liveBytes += size;
    if (this.#liveBytes > this.#peakBytes) this.#peakBytes = this.#liveBytes;
  }

  /** What must hold of a block by itself. Returns its usable size. */
  #expectBlock(call: Call, ptr: Ptr, size: number, alignment: number): number {
    const refuse = (finding: string): never => {
      throw new ShadowError(`${textOf(call)} gave ${show(ptr)}: ${finding}`, ptr);
    };
    if (typeof ptr !== "number" || ptr >>> 0 !== ptr) refuse("no address");
    if (ptr % alignment !== 0) refuse(`not a multiple of ${alignment}`);
    const usable = this.watched.usableSize === undefined ? size : this.watched.usableSize(ptr);
    if (!(usable >= size)) refuse(`usableSize is ${usable}, less than what was asked for`);
    const length = this.heap.u8.length;
    if (ptr + usable > length) refuse(`its ${usable} bytes do not lie in the buffer of ${length}`);
    return usable;
  }

  #calloc(count: number, size: number): Ptr {
    if (this.watched.calloc !== undefined) return this.watched.calloc(count, size);
    const ptr = this.watched.malloc(count * size);
    if (ptr !== NULL) this.heap.u8.fill(0, ptr, ptr + count * size);
    return ptr;
  }

  #realloc(ptr: Ptr, size: number): Ptr {
    if (this.watched.realloc !== undefined) return this.watched.realloc(ptr, size);
    const old = this.usableSize(ptr);
    const moved = this.watched.malloc(size);
    if (moved === NULL) return NULL;
    this.heap.u8.copyWithin(moved, ptr, ptr + Math.min(old, size));
    this.watched.free(ptr);
    return moved;
  }

  /** A pointer that is no live block must be refused. */
  #expectRefusal(call: Call, ptr: Ptr, act: () => unknown): never {
    act();
    throw new ShadowError(`${textOf(call)} was accepted, but no live block begins there`, ptr);
  }

  #expectContents(entry: Entry, call: Call, outcome: string = ":", bytes: number = entry.usable): void {
    if (entry.key === undefined) return;
    const at = findDamage(this.heap, entry.ptr, bytes, entry.key);
    if (at < 0) return;
    const found = show(this.heap.u8[entry.ptr + at]);
    const finding = `byte ${at} is ${found}, not ${show(byteAt(at, entry.key))}; something wrote over it`;
    throw new ShadowError(`${textOf(call)}${outcome} in ${nameOf(entry)} ${finding}`, entry.ptr);
  }

  #overlap(call: Call, entry: Entry): ShadowError {
    const end = entry.ptr + Math.max(entry.usable, 1);
    const isHit = (other: Entry): boolean => other.ptr < end && other.ptr + Math.max(other.usable, 1) > entry.ptr;
    const other = [...this.#live.values()].find(isHit);
    const where = other === undefined ? "a live block's last granule" : nameOf(other);
    return new ShadowError(
      `${textOf(call)} gave ${show(entry.ptr)}: its ${entry.usable} bytes overlap ${where}`,
      entry.ptr,
    );
  }
}

function textOf([name, ...args]: Call): string {
  if (args.length === 0) return name;
  const takesPointer = name === "free" || name === "realloc";
  const texts = args.map((arg, i) => (typeof arg === "number" && (i > 0 || !takesPointer) ? String(arg) : show(arg)));
  return `${name}(${texts.join(", ")})`;
}

function nameOf(block: ShadowBlock): string {
  const stack = block.stack === undefined ? "" : `, allocated here:\n${block.stack.split("\n").slice(1).join("\n")}\n`;
  return `block ${block.order}, ${block.size} bytes at ${show(block.ptr)}${stack}`;
}
