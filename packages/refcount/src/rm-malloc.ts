/**
 * The document's API, verbatim: rm_malloc's functions with their names, arguments and results. The last arguments of
 * `rm_create_state` and `rm_attach` are ours.
 *
 * A pointer that the state does not know is what it is to the document: nothing happens, and `rm_detach` and `rm_attach` give
 * -1. What a function without a result could not do is reported. Arguments of the wrong type and states that have been
 * destroyed are `HeapError`s.
 *
 * @module
 */
import { HeapError, NULL, type Ptr } from "@heapwright/core";

import type { Deallocator, RmOptions } from "./control.ts";
import { badArgument } from "./misuse.ts";
import { RmState } from "./rm-state.ts";

/**
 * Makes a state, which is to be passed to all other functions.
 *
 * @param hash_size - pointers for which the first table has homes, a whole number from 1: `RM_DEFAULT_HASH_SIZE`, or what is
 * expected to be live. The table grows
 * @param options - where table and blocks come from, and how other memory is freed
 * @throws HeapError `ERR_OUT_OF_MEMORY`, `ERR_INVALID_ARGUMENT`
 */
export function rm_create_state(hash_size: number, options?: RmOptions): RmState {
  return new RmState(hash_size, options);
}

/**
 * Gives the state back. What it tracks is not freed; with `debug` it is reported.
 *
 * @param state - made by `rm_create_state`
 * @throws HeapError `ERR_DESTROYED` the second time, `ERR_INVALID_ARGUMENT` for what is no state
 */
export function rm_destroy_state(state: RmState): void {
  expectState("rm_destroy_state", state);
  state.destroy();
}

/**
 * Allocates memory and sets its counter to 1. Amortised O(1).
 *
 * @param state - made by `rm_create_state`
 * @param size - bytes
 * @returns the memory; `NULL` when there is none, and for a number that is no size
 * @throws HeapError `ERR_DESTROYED`, `ERR_INVALID_ARGUMENT` for wrong types
 */
export function rm_malloc(state: RmState, size: number): Ptr {
  expectState("rm_malloc", state);
  try {
    return state.malloc(size);
  } catch (error) {
    if (typeof size === "number" && isMisuse(error, "ERR_INVALID_ARGUMENT")) return NULL;
    reportOrThrow(state, error);
    return NULL;
  }
}

/**
 * Tracks any memory, with a counter of 1. Amortised O(1).
 *
 * @param state - made by `rm_create_state`
 * @param data - any address
 * @param deallocator - frees it when the counter reaches 0, one of those that the state was made with. @defaultValue the
 * backing's `free`
 * @returns 0; -1 when there is no room, when it is tracked already, and for `NULL` and what is no address
 * @throws HeapError `ERR_DESTROYED`, `ERR_INVALID_ARGUMENT` for wrong types and for another deallocator
 */
export function rm_attach(state: RmState, data: Ptr, deallocator?: Deallocator): 0 | -1 {
  expectState("rm_attach", state);
  try {
    return state.attach(data, deallocator) ? 0 : -1;
  } catch (error) {
    return ignored(error, -1);
  }
}

/**
 * Increments the counter of tracked memory; does nothing for other pointers. O(1).
 *
 * @param state - made by `rm_create_state`
 * @param data - tracked memory
 * @throws HeapError `ERR_DESTROYED`, `ERR_INVALID_ARGUMENT` for wrong types
 */
export function rm_retain(state: RmState, data: Ptr): void {
  expectState("rm_retain", state);
  try {
    state.retain(data);
  } catch (error) {
    ignored(error, undefined);
  }
}

/**
 * Decrements the counter of tracked memory, and frees it at 0; does nothing for other pointers. O(1).
 *
 * @param state - made by `rm_create_state`
 * @param data - tracked memory
 * @throws HeapError `ERR_DESTROYED`, `ERR_INVALID_ARGUMENT` for wrong types; what a deallocator throws
 */
export function rm_release(state: RmState, data: Ptr): void {
  expectState("rm_release", state);
  try {
    state.release(data);
  } catch (error) {
    if (state.count(data) !== 0) reportOrThrow(state, error);
    else ignored(error, undefined);
  }
}

/**
 * Stops tracking memory, whatever its counter, without freeing it. O(1).
 *
 * @param state - made by `rm_create_state`
 * @param data - tracked memory
 * @returns the counter less 1: the references that others still hold; -1 for other pointers
 * @throws HeapError `ERR_DESTROYED`, `ERR_INVALID_ARGUMENT` for wrong types
 */
export function rm_detach(state: RmState, data: Ptr): number {
  expectState("rm_detach", state);
  try {
    return state.detach(data);
  } catch (error) {
    return ignored(error, -1);
  }
}

/** A pointer that is not tracked, or that cannot be: what the document has for it. All else is thrown again. */
function ignored<F>(error: unknown, result: F): F {
  if (!isMisuse(error, "ERR_INVALID_POINTER")) throw error;
  return result;
}

/** Memory that the backing did not take back, or handed out twice: the message is reported, all else thrown again. */
function reportOrThrow(state: RmState, error: unknown): void {
  if (!isMisuse(error, "ERR_INVALID_POINTER", "ERR_DOUBLE_FREE", "ERR_CORRUPT")) throw error;
  state.say(error.message);
}

function isMisuse(error: unknown, ...codes: HeapError["code"][]): error is HeapError {
  return error instanceof HeapError && codes.includes(error.code);
}

function expectState(call: string, state: unknown): asserts state is RmState {
  if (!(state instanceof RmState)) throw badArgument(call, "the state", state, "what rm_create_state returned");
}
