/**
 * A pool in a shared heap: each step of the private one under the heap's lock, counts by atomic operations without it.
 *
 * @module
 */
import type { Lock, SharedHeap } from "@heapwright/core";

import { CONTAINER, POOL } from "./layout.ts";
import { PoolState } from "./pool-state.ts";
import { recoverPool } from "./recover-pool.ts";

const DEATHS = POOL.offsets.deaths >>> 2;
const REFS = CONTAINER.offsets.refs >>> 2;

/** A cursor over a pool that several workers use. */
export class SharedPoolState extends PoolState {
  /** The pool without a lock, for what is done under it. */
  declare readonly inner: PoolState;
  declare readonly lock: Lock;

  constructor(inner: PoolState, heap: SharedHeap) {
    super(inner.backing, inner.handle, inner.watch, inner.report);
    this.inner = inner;
    this.lock = heap.lock;
  }

  override look<T>(call: string, act: (u32: Uint32Array) => T): T {
    return this.#locked(call, () => this.inner.look(call, act));
  }

  override takeOrphan(size: number, shift: number): number {
    const outer = this.#enter("allocate");
    try {
      return this.inner.takeOrphan(size, shift);
    } catch (error) {
      throw this.lock.thrown(error);
    } finally {
      if (outer) this.lock.leave();
    }
  }

  override append(container: number): number {
    const outer = this.#enter("allocate");
    try {
      return this.inner.append(container);
    } catch (error) {
      throw this.lock.thrown(error);
    } finally {
      if (outer) this.lock.leave();
    }
  }

  override retire(container: number, mayKeep: boolean): number {
    const outer = this.#enter("destroy");
    try {
      return this.inner.retire(container, mayKeep);
    } catch (error) {
      throw this.lock.thrown(error);
    } finally {
      if (outer) this.lock.leave();
    }
  }

  override dropOrphan(): number {
    return this.#locked("trim", () => this.inner.dropOrphan());
  }

  override add(call: string, container: number, backing: PoolState["backing"]): number {
    return this.#locked(call, () => this.inner.add(call, container, backing));
  }

  override remove(call: string, container: number, isDestroyed: boolean): number {
    return this.#locked(call, () => this.inner.remove(call, container, isDestroyed));
  }

  override grow(): number {
    return this.#locked("grow", () => this.inner.grow());
  }

  override link(pointer: number): void {
    this.#locked("allocate", () => this.inner.link(pointer));
  }

  override unlink(pointer: number): void {
    this.#locked("destroy", () => this.inner.unlink(pointer));
  }

  override destroy(): void {
    this.#locked("destroy", () => {
      this.inner.destroy();
      this.control = this.inner.control;
    });
  }

  override refsOf(container: number): number {
    return Atomics.load(this.heap.i32, (container >>> 2) + REFS);
  }

  override retain(container: number): void {
    Atomics.add(this.heap.i32, (container >>> 2) + REFS, 1);
  }

  override releaseShared(container: number): boolean {
    const { i32 } = this.heap;
    const word = (container >>> 2) + REFS;
    for (let refs = Atomics.load(i32, word); refs > 1;) {
      const found = Atomics.compareExchange(i32, word, refs, refs - 1);
      if (found === refs) return true;
      refs = found;
    }
    return false;
  }

  #locked<T>(call: string, act: () => T): T {
    const outer = this.#enter(call);
    try {
      return act();
    } catch (error) {
      throw this.lock.thrown(error);
    } finally {
      if (outer) this.lock.leave();
    }
  }

  /** Takes the lock, and repairs what a dead holder left. */
  #enter(call: string): boolean {
    const outer = this.lock.enter(call);
    try {
      const u32 = this.expectAlive(call);
      const { deaths } = this.lock;
      if (u32[this.control + DEATHS] !== deaths) {
        recoverPool(this.heap, this.control);
        u32[this.control + DEATHS] = deaths;
      }
    } catch (error) {
      if (outer) this.lock.leave();
      throw error;
    }
    return outer;
  }
}
