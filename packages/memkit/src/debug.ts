/**
 * The debug build: pools that say what they do, validation, dumps. Nothing else here imports this room; a production build
 * is without it.
 *
 * @module
 */
import { type Allocator, asPtr, type Ptr } from "@heapwright/core";

import { type Finding, findingsIn } from "./check-pool.ts";
import { CONTAINER, POINTER } from "./layout.ts";
import { answer, expectBoolean, expectPool } from "./answers.ts";
import { corrupt, EFAULT, EINVAL, show } from "./memory-error.ts";
import { MemoryPool as PlainMemoryPool } from "./memory-pool.ts";
import { nameIn } from "./pointer-block.ts";
import type { PoolOptions } from "./pool-control.ts";
import type { PoolState, PoolWatch } from "./pool-state.ts";
import { isZero } from "./wipe.ts";

const SIZE = CONTAINER.offsets.size >>> 2;
const REFS = CONTAINER.offsets.refs >>> 2;
const RECORD_BYTES = 24;
const HELD = POINTER.offsets.container >>> 2;

/** The document's `DEBUG_MEMORY_MANAGER`: 1 in this build, 0 in a production build. */
export const DEBUG_MEMORY_MANAGER: 0 | 1 = 1;

/** The pool of a debug build. */
export class MemoryPool extends PlainMemoryPool {
  /** @internal */
  override watchFor(backing: Allocator, handle: Ptr, options: PoolOptions | undefined): PoolWatch | undefined {
    const isDebug = options?.debug ?? true;
    return isDebug ? new Watch(backing, handle, options?.log) : undefined;
  }

  /** @internal */
  override get isDebugByDefault(): boolean {
    return DEBUG_MEMORY_MANAGER === 1;
  }

  override dump(): string {
    const state = this.expectState("dump");
    return state.look("dump", () => dumpOf(state, true));
  }
}

/**
 * Looks at every container and every list of a pool, and reports each thing that is wrong. It goes on after a container
 * that is damaged. Debug code.
 *
 * @param pool - `null` and an empty struct are none
 * @returns whether nothing is wrong; `EINVAL`, `EFAULT`
 * @throws HeapError `ERR_DESTROYED`, `ERR_INVALID_ARGUMENT` for what is no pool, `ERR_UNSUPPORTED` in a production build
 */
export function mem_pool_validate(pool: PlainMemoryPool | null): boolean {
  expectPool("mem_pool_validate", pool);
  if (pool === null || (pool.state === undefined && !pool.isGone)) return answer(EINVAL, false);
  const state = pool.expectState("mem_pool_validate");
  const findings = state.look("mem_pool_validate", (): Finding[] => [...findingsIn(state)]);
  for (const [, finding, address] of findings) reportOn(state, `Pool validation: ${finding} (at ${show(address)})`);
  return answer(findings.length === 0 ? 0 : EFAULT, findings.length === 0);
}

/**
 * Writes what a pool holds to its `report`, by default `console.error`. Debug code.
 *
 * @param pool - `null` is said to be one
 * @param detailed - whether there is a line for each container
 * @throws HeapError `ERR_DESTROYED`, `ERR_INVALID_ARGUMENT` for wrong types, `ERR_UNSUPPORTED` in a production build
 */
export function mem_pool_dump(pool: PlainMemoryPool | null, detailed: boolean): void {
  expectPool("mem_pool_dump", pool);
  expectBoolean("mem_pool_dump", "detailed", detailed);
  if (pool === null) {
    console.error("Pool is NULL.");
    return answer(EINVAL, undefined);
  }
  const isEmpty = pool.state === undefined && !pool.isGone;
  const state = isEmpty ? undefined : pool.expectState("mem_pool_dump");
  const text =
    state?.look("mem_pool_dump", () => dumpOf(state, detailed)) ?? wrapped(["Containers: 0/0", "Total bytes: 0"]);
  reportOn(state, text);
  return answer(isEmpty ? EINVAL : 0, undefined);
}

/** Puts in words what a pool does, for its `log`. */
class Watch implements PoolWatch {
  readonly #backing: Allocator;
  readonly #handle: Ptr;
  readonly #log: ((message: string) => void) | undefined;

  constructor(backing: Allocator, handle: Ptr, log: ((message: string) => void) | undefined) {
    this.#backing = backing;
    this.#handle = handle;
    this.#log = log;
  }

  resized(from: number, to: number): void {
    this.#say(`${to > from ? "grow" : "shrink"}: ${from} -> ${to} containers`);
  }

  inspect(container: number): void {
    const { heap } = this.#backing;
    const data = container + RECORD_BYTES;
    if (isZero(heap, data, data + heap.u32[(container >>> 2) + SIZE]!)) return;
    throw corrupt("allocate", "an orphan is no longer all 0: it was written to after it was freed", data);
  }

  reused(name: string, container: number, size: number): void {
    this.#say(`reuse: ${JSON.stringify(name)} gets the orphan of ${this.#describe(container)} for ${size}`);
  }

  copied(name: string, from: number, to: number): void {
    this.#say(`copy: ${JSON.stringify(name)} has ${this.#describe(to)} instead of ${this.#describe(from)}`);
  }

  refused(message: string): void {
    this.#say(`refused: ${message}`);
  }

  leaked(state: PoolState): void {
    if (this.#log === undefined) return;
    const names = namesIn(state);
    for (const container of state.containers()) {
      const refs = state.heap.u32[(container >>> 2) + REFS]! | 0;
      if (refs === 0) continue;
      const owners =
        names
          .get(container)
          ?.map((name) => JSON.stringify(name))
          .join(", ") ?? "no pointer";
      this.#say(`leak: ${this.#describe(container)}, ${refs} reference${refs === 1 ? "" : "s"}, ${owners}`);
    }
  }

  #describe(container: number): string {
    const size = this.#backing.heap.u32[(container >>> 2) + SIZE]!;
    return `${size} bytes at ${show(container + RECORD_BYTES)}`;
  }

  #say(message: string): void {
    this.#log?.(`pool ${show(this.#handle)}: ${message}`);
  }
}

/** For each container the names of the pointers to it, the one listed first in front. */
function namesIn(state: PoolState): Map<number, string[]> {
  const names = new Map<number, string[]>();
  for (const pointer of state.pointers()) {
    const container = state.heap.u32[(pointer >>> 2) + HELD]!;
    names.set(container, [nameIn(state.backing, pointer), ...(names.get(container) ?? [])]);
  }
  return names;
}

function dumpOf(state: PoolState, isDetailed: boolean): string {
  const { u32, u64 } = state.heap;
  const containers = [...state.containers()];
  const capacity = u32[state.control + 5]!;
  const total = containers.reduce((sum, container) => sum + u32[(container >>> 2) + SIZE]!, 0);
  const lines = [`Containers: ${containers.length}/${capacity}`, `Total bytes: ${total}`];
  if (!isDetailed) return wrapped(lines);
  const names = namesIn(state);
  lines.push(row("IDX", "Address", "Size", "Refs", "Data Pointer", "Variables"));
  containers.forEach((container, index) => {
    const refs = u32[(container >>> 2) + REFS]! | 0;
    const address = refs === 0 ? "(orphan)" : `0x${u64[container >>> 3]!.toString(16).padStart(16, "0")}`;
    const size = String(u32[(container >>> 2) + SIZE]!);
    const data = show(asPtr(container + RECORD_BYTES));
    lines.push(row(String(index), address, size, String(refs), data, (names.get(container) ?? []).join(", ")));
  });
  return wrapped(lines);
}

function row(index: string, address: string, size: string, refs: string, data: string, variables: string): string {
  const cells = [index.padStart(5), address.padStart(18), size.padStart(10), refs.padStart(5), data.padStart(12)];
  return [...cells, variables].join("  ").trimEnd();
}

function wrapped(lines: readonly string[]): string {
  return ["=== Memory Pool Dump ===", ...lines, "=== End Dump ==="].join("\n");
}

function reportOn(state: PoolState | undefined, message: string): void {
  (state?.report ?? console.error)(message);
}
