/**
 * The document's MemoryPool: the register of containers. The object is C's struct: empty until it is initialised.
 *
 * @module
 */
import { type Allocator, asPtr, type Heap, type HeapBuffer, NULL, type Ptr } from "@heapwright/core";

import { checkPool } from "./check-pool.ts";
import { freeWiped } from "./container-block.ts";
import { CONTAINER, POOL } from "./layout.ts";
import { Life, MemoryContainer } from "./memory-container.ts";
import { badArgument, destroyed, MemoryError, refused } from "./memory-error.ts";
import { checkedBacking, expectPool, makePool, type PoolOptions, reopenPool, stateOf } from "./pool-control.ts";
import type { PoolState, PoolWatch } from "./pool-state.ts";
import { trim } from "./references.ts";

const CAPACITY = POOL.offsets.capacity >>> 2;
const COUNT = POOL.offsets.count >>> 2;
const MAX_ORPHANS = POOL.offsets.maxOrphans >>> 2;
const NEXT = POOL.offsets.next >>> 2;
const SIZE = CONTAINER.offsets.size >>> 2;
const REFS = CONTAINER.offsets.refs >>> 2;
const STAMP = CONTAINER.offsets.stamp >>> 2;
const RECORD_BYTES = 24;

/** What a pool holds, in bytes and containers. */
export interface MemoryPoolStats {
  /** Containers that someone refers to. */
  readonly liveContainers: number;
  /** Bytes of their data. */
  readonly liveBytes: number;
  /** Containers that nobody refers to, kept to be used again. */
  readonly orphans: number;
  /** Bytes of their data. */
  readonly orphanBytes: number;
  /** Containers that the array has room for. */
  readonly capacity: number;
}

/** A container as its pool sees it. */
export interface PoolBlock {
  readonly ptr: Ptr;
  /** Bytes of the data. */
  readonly size: number;
  readonly state: "live" | "orphan";
  readonly ref_count: number;
}

/**
 * Keeps track of containers: those in use, and those that nobody refers to any more, which the next request that they fit
 * best gets. In a shared heap all workers that attach to it may use it at once.
 *
 * @example
 * ```ts
 * using pool = new MemoryPool(16, { backing: heap });
 * const buffer = new MemoryPointer("data_buffer", 1024, { backing: heap });
 * if (!buffer.allocate(1024, pool)) throw new Error("full");
 * ```
 */
export class MemoryPool {
  /** @internal Of a pool that has been initialised. */
  declare state: PoolState | undefined;
  /** @internal Whether it has been destroyed, and not initialised again. */
  declare isGone: boolean;

  /** C's struct before `mem_pool_init`: nothing is taken yet. */
  constructor();
  /**
   * Makes a pool.
   *
   * @param capacity - containers that its array has room for before it grows, a whole number from 0; 0 stands for 32
   * @param options - where its blocks come from, their alignment, what becomes of orphans
   * @throws HeapError `ERR_OUT_OF_MEMORY`, after the handler has been told; `ERR_INVALID_ARGUMENT`
   */
  constructor(capacity: number, options?: PoolOptions);
  constructor(capacity?: number, options?: PoolOptions) {
    this.state = undefined;
    this.isGone = false;
    if (capacity !== undefined || options !== undefined)
      this.fill("new MemoryPool", capacity === undefined ? 0 : capacity, options);
  }

  /**
   * Opens a pool that is in a heap already.
   *
   * @param heap - where it is
   * @param handle - what its `handle` gave
   * @param options - with the backing that it was made on, where that is not the heap itself; `log` and `report`
   * @throws HeapError `ERR_NOT_A_HEAP` when there is no pool, `ERR_LAYOUT_VERSION` when it was made by a version with
   * another layout, `ERR_INVALID_ARGUMENT` for another backing than its own and for wrong types
   */
  static attach(heap: Heap<HeapBuffer>, handle: Ptr, options?: PoolOptions): MemoryPool {
    const backing = expectPool("MemoryPool.attach", heap, handle, options);
    const pool = new this();
    pool.state = stateOf(backing, handle, pool.watchFor(backing, handle, options), options);
    return pool;
  }

  /** The control block: `attach` opens the same pool by it. */
  get handle(): Ptr {
    const state = this.expectState("handle");
    state.expectAlive("handle");
    return state.handle;
  }

  /** The heap whose bytes the pointers are offsets of. */
  get heap(): Heap<HeapBuffer> {
    return this.expectState("heap").heap;
  }

  /** Serves the pool's blocks. */
  get backing(): Allocator {
    return this.expectState("backing").backing;
  }

  /** Containers that the array has room for; 0 before the pool is initialised. */
  get capacity(): number {
    const state = this.#stateIfMade("capacity");
    return state === undefined ? 0 : state.expectAlive("capacity")[state.control + CAPACITY]!;
  }

  /** Containers in the pool, orphans included; 0 before the pool is initialised. */
  get count(): number {
    const state = this.#stateIfMade("count");
    return state === undefined ? 0 : state.expectAlive("count")[state.control + COUNT]!;
  }

  /** The most orphans that are kept. */
  get maxOrphans(): number {
    const state = this.expectState("maxOrphans");
    return state.expectAlive("maxOrphans")[state.control + MAX_ORPHANS]!;
  }

  /** What the data of all containers is aligned to, in bytes. */
  get alignment(): number {
    return 1 << this.expectState("alignment").shift;
  }

  /** The containers in the order of the array, orphans included. O(containers). */
  get containers(): MemoryContainer[] {
    const state = this.#stateIfMade("containers");
    if (state === undefined) return [];
    return state.look("containers", (u32) => {
      const lifeOf = (at: number): Life => new Life(state.backing, u32[(at >>> 2) + STAMP]!);
      return Array.from(state.containers(), (at) => new MemoryContainer(lifeOf(at), asPtr(at)));
    });
  }

  /** Bytes of all containers, orphans included. O(containers). */
  get totalBytes(): number {
    const { liveBytes, orphanBytes } = this.stats();
    return liveBytes + orphanBytes;
  }

  /**
   * The next pool of a chain, which is destroyed together with this one. Nothing here ever sets it. It lies in the same
   * heap, and has the heap or this pool's backing for its own.
   */
  get next(): MemoryPool | null {
    const state = this.expectState("next");
    const handle = asPtr(state.expectAlive("next")[state.control + NEXT]!);
    const found = handle === NULL ? undefined : reopenPool(state.backing, handle);
    if (found === undefined) return null;
    const pool = new (this.constructor as new () => MemoryPool)();
    pool.state = found;
    return pool;
  }
  set next(pool: MemoryPool | null) {
    const state = this.expectState("next");
    const u32 = state.expectAlive("next");
    if (pool !== null && !(pool instanceof MemoryPool)) throw badArgument("next", "the pool", pool, "a pool or null");
    const other = pool?.expectState("next");
    if (other !== undefined && other.heap.buffer !== state.heap.buffer) throw refused("next", "it is in another heap");
    if (other !== undefined) reopenPool(state.backing, other.handle);
    u32[state.control + NEXT] = other?.handle ?? NULL;
  }

  /**
   * Adds a container that was made by hand. O(1).
   *
   * @param container - in no pool, of the pool's backing; one without references becomes an orphan
   * @returns whether there was room; if not, the handler has been told
   * @throws HeapError `ERR_INVALID_ARGUMENT` for one that is in a pool already, aligned less, or from elsewhere;
   * `ERR_USE_AFTER_FREE`
   */
  add(container: MemoryContainer): boolean {
    const state = this.expectState("add");
    const at = handleOf("add", container);
    const missing = state.add("add", at, container.backing);
    if (missing !== 0) state.noRoom("add", missing);
    return missing === 0;
  }

  /**
   * Takes a container out; the last one takes its place. The array may shrink. O(1).
   *
   * @param container - in this pool; pointers that refer to it keep it
   * @param destroyIfUnused - whether it is freed if nobody refers to it
   * @throws HeapError `ERR_INVALID_POINTER` when it is not in this pool, `ERR_CORRUPT` when its count is below 0
   */
  remove(container: MemoryContainer, destroyIfUnused: boolean = false): void {
    const state = this.expectState("remove");
    if (typeof destroyIfUnused !== "boolean")
      throw badArgument("remove", "destroyIfUnused", destroyIfUnused, "a boolean");
    const gone = state.remove("remove", handleOf("remove", container), destroyIfUnused);
    if (gone !== 0) freeWiped(state.backing, gone);
    state.shrink();
  }

  /**
   * Doubles the array, to at least 8. O(containers).
   *
   * @returns whether there was room; if not, the handler has been told
   * @throws HeapError `ERR_CORRUPT`, and `ERR_INVALID_ARGUMENT` with `EOVERFLOW` when no heap could hold the array
   */
  grow(): boolean {
    const state = this.expectState("grow");
    const missing = state.grow();
    if (missing !== 0) state.noRoom("grow", missing);
    return missing === 0;
  }

  /** Frees all orphans, and the blocks of pointers that are kept. O(orphans). @returns how many orphans there were */
  trim(): number {
    const state = this.expectState("trim");
    const count = trim(state);
    state.dropSpares();
    return count;
  }

  /**
   * Frees everything, containers in use as well, from the last to the first; then the pools behind `next`. All of it is
   * zeroed. Pointers to the containers find that they are gone. O(bytes).
   *
   * @throws HeapError `ERR_DESTROYED` the second time
   */
  destroy(): void {
    const chain: MemoryPool[] = [this];
    const seen = new Set([this.handle]);
    for (let next = this.next; next !== null && !seen.has(next.handle); next = next.next) {
      chain.push(next);
      seen.add(next.handle);
    }
    for (const { state } of chain) state?.destroy();
    this.state = undefined;
    this.isGone = true;
  }

  /** As `destroy`, for `using`; harmless when there is nothing to destroy. */
  [Symbol.dispose](): void {
    if (this.state !== undefined && !this.state.isDestroyed) this.destroy();
  }

  /** What is live and what is kept. O(containers). */
  stats(): MemoryPoolStats {
    const blocks = [...this.blocks()];
    const live = blocks.filter(({ state }) => state === "live");
    const sum = (of: readonly PoolBlock[]): number => of.reduce((bytes, { size }) => bytes + size, 0);
    return {
      liveContainers: live.length,
      liveBytes: sum(live),
      orphans: blocks.length - live.length,
      orphanBytes: sum(blocks) - sum(live),
      capacity: this.capacity,
    };
  }

  /** The containers in the order of the array. */
  *blocks(): Generator<PoolBlock> {
    const state = this.#stateIfMade("blocks");
    if (state === undefined) return;
    const describe = (u32: Uint32Array, container: number): PoolBlock => {
      const ref_count = u32[(container >>> 2) + REFS]! | 0;
      const size = u32[(container >>> 2) + SIZE]!;
      return { ptr: asPtr(container + RECORD_BYTES), size, state: ref_count === 0 ? "orphan" : "live", ref_count };
    };
    yield* state.look("blocks", (u32) => Array.from(state.containers(), (container) => describe(u32, container)));
  }

  /**
   * A picture in words: the pool, then a line a container. Debug code.
   *
   * @throws HeapError `ERR_UNSUPPORTED` in a production build
   */
  dump(): string {
    throw notInProduction("dump");
  }

  /**
   * Proves every invariant of the layout. O(containers).
   *
   * @throws HeapError `ERR_CORRUPT` that names the one that does not hold
   */
  check(): void {
    const state = this.expectState("check");
    state.look("check", () => checkPool(state));
  }

  /** @internal Makes the empty struct a pool. */
  fill(call: string, capacity: unknown, options: PoolOptions = {}): void {
    if (this.state !== undefined) throw refused(call, "the pool is initialised already; destroy it first");
    const backing = checkedBacking(call, options);
    const handle = makePool(call, capacity, backing, options, this.isDebugByDefault);
    this.state = stateOf(backing, handle, this.watchFor(backing, handle, options), options);
    this.isGone = false;
  }

  /** @internal */
  expectState(call: string): PoolState {
    if (this.state !== undefined) return this.state;
    if (this.isGone) throw destroyed(call, "pool");
    throw refused(call, "the pool has not been initialised; call mem_pool_init");
  }

  /** The state; `undefined` of the empty struct. */
  #stateIfMade(call: string): PoolState | undefined {
    return this.isGone ? this.expectState(call) : this.state;
  }

  /** @internal What is to be told of what happens in the pool: nobody, but in a debug build. */
  watchFor(_backing: Allocator, _handle: Ptr, _options: PoolOptions | undefined): PoolWatch | undefined {
    return undefined;
  }

  /** @internal `DEBUG_MEMORY_MANAGER` of the build. */
  get isDebugByDefault(): boolean {
    return false;
  }
}

/** What a production build says to calls that need debug code. */
export function notInProduction(call: string): MemoryError {
  const remedy = "resolve this package with the condition `development`";
  return new MemoryError("ERR_UNSUPPORTED", `${call}: this is a production build, without debug code; ${remedy}`);
}

function handleOf(call: string, container: unknown): number {
  if (!(container instanceof MemoryContainer)) throw badArgument(call, "the container", container, "a MemoryContainer");
  container.expectAlive(call);
  return container.handle;
}
