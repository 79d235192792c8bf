/**
 * The allocator that serves whoever names none, as Rust's `#[global_allocator]` does: the default heap, unless set.
 *
 * It hangs on `globalThis` under a registered symbol, so that two copies of this package in one program agree on it.
 *
 * @module
 */
import { type Allocator, expectAllocator } from "./allocator.ts";
import { Heap } from "./heap.ts";

const GLOBAL = Symbol.for("heapwright.global");
const DEFAULT_BYTES = 1 << 20;
const DEFAULT_MAX_BYTES = 1 << 30;

interface Globals {
  allocator?: Allocator | undefined;
  heap?: Heap;
}

function globals(): Globals {
  const holder = globalThis as { [GLOBAL]?: Globals };
  return (holder[GLOBAL] ??= {});
}

/**
 * The heap of those who name none: private, 1 MiB, growing to 1 GiB, made at the first call in each agent.
 *
 * @throws HeapError `ERR_OUT_OF_MEMORY` when the engine has no memory for it
 */
export function defaultHeap(): Heap {
  const held = globals();
  return (held.heap ??= new Heap({ bytes: DEFAULT_BYTES, maxBytes: DEFAULT_MAX_BYTES }));
}

/**
 * Sets what {@link globalAllocator} returns from now on in this agent. An allocator keeps what it was made on.
 *
 * @param allocator - any allocator; `undefined` goes back to the default heap
 * @throws HeapError `ERR_INVALID_ARGUMENT` for what is no allocator
 */
export function setGlobalAllocator(allocator: Allocator | undefined): void {
  if (allocator !== undefined) expectAllocator("setGlobalAllocator", allocator);
  globals().allocator = allocator;
}

/** What serves those who name no allocator: read once, when an allocator is made. */
export function globalAllocator(): Allocator {
  return globals().allocator ?? defaultHeap();
}
