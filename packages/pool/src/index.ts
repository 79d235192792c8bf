/** @module */

// The document's API
export {
  mem_align,
  pool_fixed_alloc,
  pool_fixed_destroy,
  pool_fixed_foreach,
  pool_fixed_free,
  pool_fixed_init,
  pool_fixed_is_associated,
  pool_variadic_alloc,
  pool_variadic_destroy,
  pool_variadic_free,
  pool_variadic_init,
  pool_variadic_is_associated,
} from "./mem-pool.ts";

// Classes
export { FixedMemPool } from "./fixed-mem-pool.ts";
export { VariadicMemPool } from "./variadic-mem-pool.ts";
export type { PoolBlock, PoolOptions, PoolStats } from "./pool.ts";
