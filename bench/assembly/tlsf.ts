// AssemblyScript's own allocator (TLSF), compiled by itself and called from outside.

export function alloc(size: usize): usize {
  return heap.alloc(size);
}

export function realloc(ptr: usize, size: usize): usize {
  return heap.realloc(ptr, size);
}

export function free(ptr: usize): void {
  heap.free(ptr);
}
