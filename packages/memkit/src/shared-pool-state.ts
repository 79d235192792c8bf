/**
 * A pool in a shared heap: each step of the private one under the heap's lock, counts by atomic operations without it.
 *
 * @module
 */
import type { Lock } from "@heapwright/core";

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

  constructor(inner: PoolState, lock: Lock) {
    super(inner.backing, inner.handle, inner.watch, inner.report);
    this.inner = inner;
    this.lock = lock;
  }

  override look<T>(call: string, act: (u32: Uint32Array) => T): T {
    return this.#locked(call, () => this.inner.look(call, act));
  }

  override takeOrphan(size: number, shift: number): number {
    return this.#locked("allocate", () => this.inner.takeOrphan(size, shift));
  }

  override append(container: number): number {
    return this.#locked("allocate", () => this.inner.append(container));
  }

  override retire(container: number, mayKeep: boolean): number {
    return this.#locked("destroy", () => this.inner.retire(container, mayKeep));
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

  override halve(): void {
    this.#locked("destroy", () => this.inner.halve());
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

  override has(container: number): boolean {
    // The array may have moved meanwhile.
    return super.has(container) || this.#locked("destroy", () => this.inner.has(container));
  }

  override refsOf(container: number): number {
    return Atomics.load(this.heap.i32, (container >>> 2) + REFS);
  }

  override retain(container: number): void {
    Atomics.add(this.heap.i32, (container >>> 2) + REFS, 1);
  }

  override releaseShared(container: number): boolean {
    return releaseAtomically(this.heap.i32, (container >>> 2) + REFS);
  }

  /** Does a step under the lock; first what a dead holder left is repaired. */
  #locked<T>(call: string, act: () => T): T {
    const { lock } = this;
    const outer = lock.enter(call);
    let thrown: unknown;
    try {
      this.#catchUp(call);
      return act();
    } catch (error) {
      throw (thrown = error);
    } finally {
      lock.leave(outer, thrown);
    }
  }

  #catchUp(call: string): void {
    const u32 = this.expectAlive(call);
    const { deaths } = this.lock;
    if (u32[this.control + DEATHS] === deaths) return;
    recoverPool(this.backing, this.control);
    u32[this.control + DEATHS] = deaths;
  }
}

/** Takes one from a count, unless it is the last one. Whether it did. */
export function releaseAtomically(i32: Int32Array, word: number): boolean {
  for (let refs = Atomics.load(i32, word); refs > 1;) {
    const found = Atomics.compareExchange(i32, word, refs, refs - 1);
    if (found === refs) return true;
    refs = found;
  }
  return false;
}
