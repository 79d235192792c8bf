/**
 * References for as long as a function runs.
 *
 * @module
 */
import { NULL, type Ptr } from "@heapwright/core";

import { badArgument, givenUp, untracked } from "./misuse.ts";
import { RmState } from "./rm-state.ts";

/** What a function that {@link rm_scope} calls allocates and retains through: all of it is released when the function ends. */
export class RmScope {
  readonly #state: RmState;
  #held: Ptr[] | undefined = [];

  /** @internal */
  constructor(state: RmState) {
    this.#state = state;
  }

  /**
   * Allocates a block with one reference, which the scope holds.
   *
   * @param size - payload bytes, a whole number from 0
   * @returns the payload; `NULL` when there is no room
   * @throws HeapError as `RmState.malloc` does, `ERR_USE_AFTER_FREE` when the function has ended
   */
  malloc(size: number): Ptr {
    const held = this.#open("malloc");
    const ptr = this.#state.malloc(size);
    if (ptr !== NULL) held.push(ptr);
    return ptr;
  }

  /**
   * Adds a reference, which the scope holds.
   *
   * @param ptr - a tracked pointer
   * @returns the same pointer
   * @throws HeapError as `RmState.retain` does, `ERR_USE_AFTER_FREE` when the function has ended
   */
  retain(ptr: Ptr): Ptr {
    const held = this.#open("retain");
    this.#state.retain(ptr);
    held.push(ptr);
    return ptr;
  }

  /**
   * Gives a reference that the scope holds to the caller, who releases it.
   *
   * @param ptr - what `malloc` or `retain` of this scope returned
   * @returns the same pointer
   * @throws HeapError `ERR_INVALID_POINTER` for a pointer that the scope does not hold, `ERR_USE_AFTER_FREE` when the function
   * has ended
   */
  keep(ptr: Ptr): Ptr {
    const held = this.#open("keep");
    const at = held.lastIndexOf(ptr);
    if (at < 0) throw untracked("keep", ptr);
    held.splice(at, 1);
    return ptr;
  }

  /** @internal Releases everything, the last first, whatever goes wrong with one of them. Returns what went wrong first. */
  close(): { readonly error: unknown } | undefined {
    let failure: { readonly error: unknown } | undefined;
    for (const ptr of (this.#held ?? []).reverse()) {
      try {
        this.#state.release(ptr);
      } catch (error) {
        failure ??= { error };
      }
    }
    this.#held = undefined;
    return failure;
  }

  #open(call: string): Ptr[] {
    if (this.#held === undefined) throw givenUp(call);
    return this.#held;
  }
}

/**
 * Runs a function and releases what it allocated and retained through its argument, however it ends. If the function returns
 * a promise, that is when the promise is settled.
 *
 * @param state - where
 * @param fn - is given the scope
 * @returns what the function returns
 * @throws HeapError `ERR_INVALID_ARGUMENT` for wrong types, `ERR_DESTROYED`; what the function throws, else what goes wrong
 * with a release, after all others
 * @example
 * ```ts
 * const sum = rm_scope(state, (scope) => {
 *   const ptr = scope.malloc(1024);
 *   return ptr === NULL ? undefined : compute(ptr);
 * });
 * ```
 */
export function rm_scope<R>(state: RmState, fn: (scope: RmScope) => R): R {
  if (!(state instanceof RmState)) throw badArgument("rm_scope", "the state", state, "what rm_create_state returned");
  if (typeof fn !== "function") throw badArgument("rm_scope", "the second argument", fn, "a function");
  state.expectAlive("rm_scope");
  const scope = new RmScope(state);
  let result: R;
  try {
    result = fn(scope);
  } catch (error) {
    scope.close();
    throw error;
  }
  if (result instanceof Promise) return result.finally(() => end(scope)) as R;
  end(scope);
  return result;
}

function end(scope: RmScope): void {
  const failure = scope.close();
  if (failure !== undefined) throw failure.error;
}
