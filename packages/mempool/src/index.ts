/** @module */

// The document's API
export {
  GIGABYTE,
  KILOBYTE,
  MEGABYTE,
  mempool_alloc,
  mempool_calloc,
  mempool_destroy,
  mempool_free,
  mempool_init,
  mempool_realloc,
  mempool_use,
} from "./mempool.ts";

// The class
export { Mempool, type MempoolBlock, type MempoolStats } from "./suballocator.ts";
export type { ExternalRange, MempoolOptions } from "./control.ts";
