/** @module */

// What the production build has as well
export * from "./both.ts";

// With debug code
export { DEBUG_MEMORY_MANAGER, mem_pool_dump, mem_pool_validate, MemoryPool } from "./debug.ts";
