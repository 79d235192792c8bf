/**
 * One reference to a pointer, as an object that gives it up on leaving the scope.
 *
 * @module
 */
import { NULL, type Ptr } from "@heapwright/core";

import { givenUp } from "./misuse.ts";
import type { RmState } from "./rm-state.ts";

/**
 * Holds a reference for `using`. Made by {@link RmState.hold}.
 *
 * @example
 * ```ts
 * using buffer = state.hold(state.malloc(2048));
 * if (buffer.ptr === NULL) throw new Error("full");
 * ```
 */
export class RmReference {
  readonly #state: RmState;
  #ptr: Ptr | undefined;

  /** @internal */
  constructor(state: RmState, ptr: Ptr) {
    this.#state = state;
    this.#ptr = ptr;
  }

  /**
   * The pointer; `NULL` for a reference to nothing.
   *
   * @throws HeapError `ERR_USE_AFTER_FREE` when the reference has been given up
   */
  get ptr(): Ptr {
    if (this.#ptr === undefined) throw givenUp("ptr");
    return this.#ptr;
  }

  /**
   * Gives the reference to the caller, who releases it: nothing is released on leaving the scope.
   *
   * @returns the pointer
   * @throws HeapError `ERR_USE_AFTER_FREE` when the reference has been given up
   */
  keep(): Ptr {
    const { ptr } = this;
    this.#ptr = undefined;
    return ptr;
  }

  /** Releases the pointer; harmless when that has been done, or when the reference was kept. */
  [Symbol.dispose](): void {
    const ptr = this.#ptr;
    this.#ptr = undefined;
    if (ptr !== undefined && ptr !== NULL) this.#state.release(ptr);
  }
}
