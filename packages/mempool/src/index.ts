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
export { Mempool } from "./mempool-class.ts";
export type { ExternalRange, MempoolOptions } from "./control.ts";
export type { MempoolBlock, MempoolStats } from "./inspect.ts";
