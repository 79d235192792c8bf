/**
 * Collections on regions straight from the backing: they never call malloc of an apf allocator, and no tuner sees them.
 *
 * @module
 */
export { HeapArray as Array } from "./heap-array.ts";
export { ArrayDeque } from "./array-deque.ts";
export { HashMap, type HashMapEntry } from "./hash-map.ts";
export { HashSet } from "./hash-set.ts";
export type { CollectionOptions } from "./collection.ts";
