/**
 * The package as a production build has it: without debug code.
 *
 * @module
 */
import { MemoryPool } from "./memory-pool.ts";
import { thrown } from "./answers.ts";
import { notInProduction } from "./memory-pool.ts";

export * from "./both.ts";
export { MemoryPool };

/** 0: debug code is absent. */
export const DEBUG_MEMORY_MANAGER: 0 | 1 = 0;

/** @throws HeapError `ERR_UNSUPPORTED`: what nobody checks is not said to be true */
export function mem_pool_validate(_pool: MemoryPool | null): boolean {
  throw thrown(notInProduction("mem_pool_validate"));
}

/** @throws HeapError `ERR_UNSUPPORTED` */
export function mem_pool_dump(_pool: MemoryPool | null, _detailed: boolean): void {
  throw thrown(notInProduction("mem_pool_dump"));
}
