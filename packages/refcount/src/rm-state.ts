/**
 * The state: which pointers are tracked, and how often each is referenced.
 *
 * @module
 */
import { asPtr, type Heap, type HeapBuffer, NULL, type Ptr } from "@heapwright/core";

import { checkState } from "./check.ts";
import { create, type Deallocator, deallocatorOf, open, Opened, type RmOptions } from "./control.ts";
import { blocksOf, dumpOf, leaksOf, type RmBlock, type RmStats, statsOf } from "./inspect.ts";
import { RM_DEFAULT_HASH_SIZE } from "./layout.ts";
import { badArgument, freedElsewhere, noAddress, notANumber, saturated, trackedAlready, untracked } from "./misuse.ts";
import { recoverState } from "./recover.ts";
import { RmReference } from "./rm-reference.ts";
import { isAddress, NO_ROOM, REFUSED, TableCursor, TRACKED } from "./table-cursor.ts";
import { tableOf } from "./table.ts";

// Local, because V8 folds a module's own constants into its code and reads imported ones at every use.
/** The references in a slot's counts, and the most there can be. */
const REFERENCES = 0x3ff_ffff;
const DEALLOCATOR_SHIFT_BITS = 26;
/** The control block of a state that this object has destroyed: beyond the words of any heap, so that all reads fail. */
const NO_CONTROL = 0x4000_0000;

/**
 * Counts references to pointers of one heap, in a table beside them, and frees what is not referenced any more. Allocate,
 * attach, retain, release and detach are O(1), whatever is tracked; attach and allocate amortised, since the table grows.
 *
 * A state does no locking: it belongs to one agent at a time, as the document's "one state by thread" has it. It may lie on a
 * shared heap, and be handed from one agent to another.
 *
 * @example
 * ```ts
 * using state = new RmState();
 * const ptr = state.malloc(2048); // 1 reference
 * state.retain(ptr); // 2
 * state.release(ptr); // 1
 * state.release(ptr); // 0: it is free
 * ```
 */
export class RmState extends TableCursor {
  /** @internal */
  declare readonly options: RmOptions;

  /**
   * @param hashSize - homes of the first table, a whole number from 1; it holds somewhat less than half as many pointers before
   * a larger one takes its place. @defaultValue `RM_DEFAULT_HASH_SIZE`
   * @param options - where table and blocks come from, and how other memory is freed
   * @throws HeapError `ERR_INVALID_ARGUMENT` for anything else, `ERR_OUT_OF_MEMORY` when there is no room for the table
   */
  constructor(hashSize?: number, options?: RmOptions);
  /** @internal */
  constructor(opened: Opened);
  constructor(hashSize: number | Opened = RM_DEFAULT_HASH_SIZE, options?: RmOptions) {
    const opened = hashSize instanceof Opened ? hashSize : create(hashSize, options);
    super(opened);
    this.options = opened.options;
  }

  /**
   * Opens a state that is in a heap already.
   *
   * @param heap - where it is
   * @param handle - what its `handle` gave
   * @param options - with as many deallocators as it was made with, and the backing where that is not the heap itself
   * @throws HeapError `ERR_NOT_A_HEAP` when there is no state, `ERR_LAYOUT_VERSION` when it was made by a version with another
   * layout, `ERR_INVALID_ARGUMENT` for another backing than its own, another number of deallocators, and wrong types
   */
  static attach(heap: Heap<HeapBuffer>, handle: Ptr, options?: RmOptions): RmState {
    return new RmState(open(heap, handle, options));
  }

  /** The control block: `RmState.attach` opens the same state by it. */
  get handle(): Ptr {
    this.expectAlive("handle");
    return asPtr(this.control * 4);
  }

  /**
   * Allocates a block of the backing, with one reference. Amortised O(1).
   *
   * @param size - payload bytes, a whole number from 0
   * @returns the payload, its bytes undefined; `NULL` when the backing has no room for it or for a larger table
   * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but a whole number from 0, `ERR_DESTROYED`, `ERR_INVALID_POINTER`
   * when the backing hands out a block that is tracked still, because it was freed elsewhere
   */
  malloc(size: number): Ptr {
    const u32 = this.words;
    if ((u32[this.epochWord]! | 0) !== this.epoch) return this.#mallocSlowly(size);
    const ptr = this.backing.malloc(size);
    // A memory that has grown meanwhile has left nothing of the words: then nothing is found.
    const slot = this.slotOf(u32, ptr);
    if ((u32[slot]! | 0) === (ptr | 0) && u32[slot + 1] === 0 && ptr !== NULL) {
      u32[slot + 1] = 1;
      return ptr;
    }
    return this.#track(ptr);
  }

  #mallocSlowly(size: number): Ptr {
    this.refresh("malloc");
    return this.#track(this.backing.malloc(size));
  }

  /** Tracks what the backing has handed out. */
  #track(ptr: Ptr): Ptr {
    const added = ptr === NULL ? TRACKED : this.add("malloc", ptr, 1);
    if (added === TRACKED) return ptr;
    this.backing.free(ptr);
    if (added === NO_ROOM) return NULL;
    throw freedElsewhere(ptr, this.count(ptr));
  }

  /**
   * Tracks memory that came from elsewhere, with one reference. Amortised O(1).
   *
   * @param ptr - any address but `NULL`: a block of the backing, or with a deallocator whatever that frees
   * @param deallocator - frees it in the end, one of those that the state was made with. @defaultValue the backing's `free`
   * @returns whether it is tracked now; false when there is no room for a larger table
   * @throws HeapError `ERR_INVALID_POINTER` for a pointer that is tracked already, `NULL`, and what is no address,
   * `ERR_INVALID_ARGUMENT` for anything but a number, and for another deallocator; `ERR_DESTROYED`
   */
  attach(ptr: Ptr, deallocator?: Deallocator): boolean {
    this.refresh("attach");
    if (typeof ptr !== "number") throw notANumber("attach", ptr);
    const index = deallocator === undefined ? 0 : this.#indexOf(deallocator);
    if (!isAddress(ptr)) throw noAddress("attach", ptr);
    const added = this.add("attach", ptr, ((index << DEALLOCATOR_SHIFT_BITS) | 1) >>> 0);
    if (added === REFUSED) throw trackedAlready("attach", ptr, this.count(ptr));
    return added === TRACKED;
  }

  #indexOf(deallocator: Deallocator): number {
    const index = (this.options.deallocators ?? []).indexOf(deallocator) + 1;
    if (index > 0) return index;
    throw badArgument("attach", "the deallocator", deallocator, "one of those that the state was made with");
  }

  /**
   * Adds a reference. O(1).
   *
   * @param ptr - a tracked pointer
   * @returns its references now; `RM_MAX_REFERENCES` stands for so many or more, and a pointer that has been referenced so
   * often is kept until it is detached
   * @throws HeapError `ERR_INVALID_POINTER` for a pointer that is not tracked, or no longer, `ERR_INVALID_ARGUMENT` for
   * anything but a number, `ERR_DESTROYED`
   */
  retain(ptr: Ptr): number {
    const u32 = this.words;
    if (
      typeof ptr === "number" &&
      ((ptr | 0) === ptr || ptr >>> 0 === ptr) &&
      (u32[this.epochWord]! | 0) === this.epoch
    ) {
      const slot = this.slotOf(u32, ptr);
      const counts = u32[slot + 1]!;
      const count = counts & REFERENCES;
      if (count !== 0 && count < REFERENCES - 1) {
        u32[slot + 1] = counts + 1;
        return count + 1;
      }
    }
    return this.#retainSlowly(ptr);
  }

  #retainSlowly(ptr: Ptr): number {
    const slot = this.find("retain", ptr);
    if (slot === 0) throw untracked("retain", ptr);
    const u32 = this.words;
    const count = u32[slot + 1]! & REFERENCES;
    if (count < REFERENCES) u32[slot + 1]! += 1;
    if (count === REFERENCES - 1) this.say(saturated(ptr));
    return Math.min(count + 1, REFERENCES);
  }

  /**
   * Takes a reference away, and frees what has none left: with its deallocator, or the backing's `free`. O(1).
   *
   * The pointer is not tracked any more when its deallocator is called, which may use the state. If it throws, the pointer is
   * tracked as before, with one reference.
   *
   * @param ptr - a tracked pointer
   * @returns the references that remain
   * @throws HeapError as `retain` does; what the deallocator throws, or the backing's `free`
   */
  release(ptr: Ptr): number {
    const u32 = this.words;
    if (
      typeof ptr === "number" &&
      ((ptr | 0) === ptr || ptr >>> 0 === ptr) &&
      (u32[this.epochWord]! | 0) === this.epoch
    ) {
      const slot = this.slotOf(u32, ptr);
      const counts = u32[slot + 1]!;
      if (counts === 1) {
        u32[slot + 1] = 0;
        try {
          this.backing.free(ptr);
        } catch (error) {
          this.#restore(ptr, counts);
          throw error;
        }
        return 0;
      }
      const count = counts & REFERENCES;
      if (count > 1 && count !== REFERENCES) {
        u32[slot + 1] = counts - 1;
        return count - 1;
      }
    }
    return this.#releaseSlowly(ptr);
  }

  #releaseSlowly(ptr: Ptr): number {
    const slot = this.find("release", ptr);
    if (slot === 0) throw untracked("release", ptr);
    const counts = this.words[slot + 1]!;
    const count = counts & REFERENCES;
    if (count === REFERENCES) return count;
    this.words[slot + 1] = count === 1 ? 0 : counts - 1;
    if (count === 1) this.#free(ptr, counts);
    return count - 1;
  }

  #free(ptr: Ptr, counts: number): void {
    const deallocator = deallocatorOf(this.options, counts);
    try {
      if (deallocator === undefined) this.backing.free(ptr);
      else deallocator(ptr);
    } catch (error) {
      this.#restore(ptr, counts);
      throw error;
    }
    // Its deallocator may have allocated it anew.
    if (this.stacks !== undefined && !this.isDestroyed && this.count(ptr) === 0) this.stacks.delete(ptr);
  }

  /** Tracks again what could not be freed, unless the state has been destroyed or the pointer attached anew meanwhile. */
  #restore(ptr: Ptr, counts: number): void {
    if (!this.isDestroyed) this.add("release", ptr, counts);
  }

  /**
   * Forgets a pointer, whatever its references, and takes one away. The memory stays, and is the caller's. O(1).
   *
   * @param ptr - a tracked pointer
   * @returns the references that remain: 0 when nobody else holds one
   * @throws HeapError as `retain` does
   */
  detach(ptr: Ptr): number {
    const slot = this.find("detach", ptr);
    if (slot === 0) throw untracked("detach", ptr);
    const count = this.words[slot + 1]! & REFERENCES;
    this.words[slot + 1] = 0;
    this.stacks?.delete(ptr);
    return count === REFERENCES ? count : count - 1;
  }

  /**
   * Counts the references to a pointer. O(1).
   *
   * @param ptr - any number
   * @returns its references, `RM_MAX_REFERENCES` for so many or more; 0 for a pointer that is not tracked
   * @throws HeapError `ERR_INVALID_ARGUMENT` for anything but a number, `ERR_DESTROYED`
   */
  count(ptr: Ptr): number {
    return this.countsOf(ptr) & REFERENCES;
  }

  /** @internal What the table has beside a pointer; 0 when it is not tracked. */
  countsOf(ptr: Ptr): number {
    const slot = this.find("count", ptr);
    return slot === 0 ? 0 : this.words[slot + 1]!;
  }

  /**
   * Takes over one of the caller's references: it is released on leaving the scope.
   *
   * @param ptr - a tracked pointer; `NULL` gives a reference to nothing
   * @returns what `using` disposes of
   * @throws HeapError as `retain` does
   * @example
   * ```ts
   * using buffer = state.hold(state.malloc(2048));
   * state.heap.u32[buffer.ptr >>> 2] = 42;
   * ```
   */
  hold(ptr: Ptr): RmReference {
    if (ptr !== NULL && this.count(ptr) === 0) throw untracked("hold", ptr);
    this.expectAlive("hold");
    return new RmReference(this, ptr);
  }

  /**
   * What is tracked, in no order that means anything. The state may be used meanwhile: what is tracked at the beginning and
   * the end is visited once, the rest perhaps.
   */
  blocks(): Generator<RmBlock> {
    this.expectAlive("blocks");
    return blocksOf(this);
  }

  /** As `blocks`. */
  [Symbol.iterator](): Generator<RmBlock> {
    return this.blocks();
  }

  /** What is tracked, and what it takes. O(table). */
  stats(): RmStats {
    this.expectAlive("stats");
    return statsOf(this);
  }

  /** A picture in words: the state, then a line a pointer. */
  dump(): string {
    this.expectAlive("dump");
    return dumpOf(this);
  }

  /**
   * Proves every invariant of the layout. O(table).
   *
   * @throws HeapError `ERR_CORRUPT` that names the one that does not hold
   */
  check(): void {
    checkState(this.expectAlive("check"), this.control, this.backing);
  }

  /**
   * Puts the table in order after a call was cut short: a worker was terminated, or the heap is an image taken meanwhile.
   * Pointers and counts stay. O(table).
   *
   * @throws HeapError `ERR_DESTROYED`
   */
  recover(): void {
    recoverState(this.expectAlive("recover"), this.control);
  }

  /**
   * Gives table and control block back to the backing. What is tracked is not freed: it is the callers', who can find it with
   * `blocks()` before. O(1), with `debug` O(table).
   *
   * @throws HeapError `ERR_DESTROYED` the second time
   */
  destroy(): void {
    const u32 = this.expectAlive("destroy");
    const { control, backing } = this;
    if (this.options.debug === true) this.#reportLeaks();
    const { block } = tableOf(u32, control);
    // No object takes it for a state from here on.
    u32[control] = 0;
    u32[this.epochWord] = 0;
    this.control = NO_CONTROL;
    this.epochWord = NO_CONTROL;
    backing.free(block);
    backing.free(asPtr(control * 4));
  }

  /** As `destroy`, for `using`; harmless when the state is gone. */
  [Symbol.dispose](): void {
    if (!this.isDestroyed) this.destroy();
  }

  #reportLeaks(): void {
    const leaks = leaksOf(this);
    if (leaks !== undefined) this.say(leaks);
  }

  /** @internal */
  say(message: string): void {
    (this.options.report ?? console.error)(message);
  }
}
