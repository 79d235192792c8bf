/**
 * What a typical import of each package adds to a bundle: minified and brotlied, without core, tree-shaken.
 *
 * `limit` is what `npm run check` enforces, and may only fall. The goal is 6 kB for core, 9 kB for apf and 5 kB for each of
 * the others; docs/sizes.md says what the bulk is. In kB of 1,000 bytes.
 */
function check(path, names, goal, limit) {
  return {
    name: `${path.split("/")[1]} ${names} (goal ${goal})`,
    path,
    import: names,
    limit,
    // What an allocator needs of core, its users have already.
    ignore: ["@heapwright/core", "@heapwright/core/*", "node:*"],
    modifyEsbuildConfig: (config) => ({ ...config, format: "esm" }),
  };
}

export default [
  check("packages/core/dist/index.js", "{ Heap, NULL }", "6 kB", "17.5 kB"),
  check("packages/pool/dist/index.js", "{ FixedMemPool }", "5 kB", "7.6 kB"),
  check("packages/pool/dist/index.js", "{ VariadicMemPool }", "5 kB", "7.6 kB"),
  check("packages/pool/dist/index.js", "{ pool_fixed_init, pool_fixed_alloc, pool_fixed_free }", "5 kB", "7.8 kB"),
  check("packages/refcount/dist/index.js", "{ RmState }", "5 kB", "5.4 kB"),
  check("packages/refcount/dist/index.js", "{ rm_create_state, rm_malloc, rm_retain, rm_release }", "5 kB", "5.6 kB"),
  check("packages/mempool/dist/index.js", "{ Mempool }", "5 kB", "8 kB"),
  check("packages/mempool/dist/index.js", "{ mempool_init, mempool_alloc, mempool_free }", "5 kB", "8.8 kB"),
  check("packages/memkit/dist/production.js", "{ MemoryPool, MemoryPointer }", "5 kB", "12.2 kB"),
  check("packages/memkit/dist/production.js", "{ MemoryArena }", "5 kB", "4 kB"),
  check("packages/apf/dist/index.js", "{ ApfAllocator }", "9 kB", "15.9 kB"),
  check("packages/apf/dist/index.js", "{ do_malloc, do_realloc, do_free }", "9 kB", "16.2 kB"),
  check("packages/apf/dist/collections/index.js", "{ HashMap }", "9 kB", "2.6 kB"),
];
