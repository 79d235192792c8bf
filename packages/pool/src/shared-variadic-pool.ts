/**
 * The variadic pool in a shared heap: the private one over the same control block, under the heap's lock. It keeps no
 * magazines: each free merges at once, and each allocation is the best fit, as the document says.
 *
 * @module
 */
import { type Lock, NULL, type Ptr, type SharedHeap } from "@heapwright/core";

import { VARIADIC_CONTROL } from "./layout.ts";
import { dropPending } from "./page-table.ts";
import { Opened, type PoolBlock, type PoolStats } from "./pool.ts";
import { recoverVariadic } from "./variadic-buffers.ts";
import { VariadicPool } from "./variadic-pool.ts";

const DEATHS = VARIADIC_CONTROL.offsets.deaths >>> 2;

/** Hands out blocks of any size to several workers. */
export class SharedVariadicPool extends VariadicPool {
  /** @internal The pool without a lock, for what is done under it. */
  declare readonly inner: VariadicPool;
  /** @internal */
  declare readonly lock: Lock;

  /** @internal */
  constructor(inner: VariadicPool, heap: SharedHeap) {
    super(new Opened(inner.backing, inner.handle, inner.report));
    this.inner = inner;
    this.lock = heap.lock;
  }

  override malloc(size: number): Ptr {
    const outer = this.#enter("malloc");
    let thrown: unknown;
    try {
      return this.inner.malloc(size);
    } catch (error) {
      throw (thrown = error);
    } finally {
      this.lock.leave(outer, thrown);
    }
  }

  override free(ptr: Ptr): void {
    if (ptr === NULL && !this.isDestroyed) return;
    const outer = this.#enter("free");
    let thrown: unknown;
    try {
      this.inner.free(ptr);
    } catch (error) {
      throw (thrown = error);
    } finally {
      this.lock.leave(outer, thrown);
    }
  }

  override destroy(): void {
    this.#locked("destroy", () => {
      this.inner.destroy();
      this.control = this.inner.control;
    });
  }

  override usableSize(ptr: Ptr): number {
    return this.#locked("usableSize", () => this.inner.usableSize(ptr));
  }

  override isAssociated(ptr: Ptr): boolean {
    return this.#locked("isAssociated", () => this.inner.isAssociated(ptr));
  }

  override stats(): PoolStats {
    return this.#locked("stats", () => this.inner.stats());
  }

  override *blocks(): Generator<PoolBlock> {
    yield* this.#locked("blocks", () => [...this.inner.blocks()]);
  }

  override dump(): string {
    return this.#locked("dump", () => this.inner.dump());
  }

  override check(): void {
    this.#locked("check", () => this.inner.check());
  }

  #locked<T>(call: string, act: () => T): T {
    const outer = this.#enter(call);
    let thrown: unknown;
    try {
      return act();
    } catch (error) {
      throw (thrown = error);
    } finally {
      this.lock.leave(outer, thrown);
    }
  }

  /** Takes the lock, and repairs what a dead holder left. */
  #enter(call: string): boolean {
    const outer = this.lock.enter(call);
    try {
      const u32 = this.expectAlive(call);
      const { deaths } = this.lock;
      if (u32[this.control + DEATHS] !== deaths) {
        dropPending(this.backing, this.control);
        recoverVariadic(u32, this.control);
        u32[this.control + DEATHS] = deaths;
      }
      this.inner.refresh();
    } catch (error) {
      this.lock.leave(outer, error);
      throw error;
    }
    return outer;
  }
}
