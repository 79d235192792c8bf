/**
 * What both builds export.
 *
 * @module
 */

// The document's API
export {
  type AllocatedPointer,
  grow_pool_capacity,
  mem_arena_alloc,
  mem_arena_create,
  mem_arena_destroy,
  mem_compute_hash,
  mem_container_create,
  mem_container_destroy,
  mem_errno,
  mem_pointer_allocate,
  mem_pointer_create,
  mem_pointer_destroy,
  mem_pointer_share,
  mem_pointer_write,
  mem_pool_add_container,
  mem_pool_destroy,
  mem_pool_get_count,
  mem_pool_get_total_bytes,
  mem_pool_init,
  remove_container_from_pool,
} from "./memkit.ts";
export { mem_set_oom_handler, type OomHandler } from "./oom-handler.ts";

// Its configuration
export { type BackingOptions, MEM_ALIGNMENT } from "./backing.ts";
export { MEM_POOL_DEFAULT_CAPACITY } from "./pool-array.ts";
export { MEM_THREAD_SAFE, type PoolOptions } from "./pool-control.ts";

// Classes
export { type ArenaSlab, MemoryArena, type MemoryArenaStats } from "./memory-arena.ts";
export { MemoryContainer } from "./memory-container.ts";
export { MemoryPointer } from "./memory-pointer.ts";
export type { MemoryPoolStats, PoolBlock } from "./memory-pool.ts";

// Errors
export { EAGAIN, EFAULT, EINVAL, ENOENT, ENOMEM, ENOTSUP, EOVERFLOW, MemoryError } from "./memory-error.ts";
