import initialise from "@sqlite.org/sqlite-wasm";

import type { Subject } from "../adapter.ts";

/** What the module exports and its types leave open. */
interface Exports {
  malloc(size: number): number;
  realloc(ptr: number, size: number): number;
  free(ptr: number): void;
}

const { wasm } = await initialise();
const { malloc, realloc, free } = wasm.exports as Exports;

/**
 * dlmalloc, as the WebAssembly build of SQLite carries it. Its exported functions are called as they are, without the
 * checks of the wrapper around them. There is one heap in a process, which grows.
 */
export function open(): Subject {
  return { target: { malloc, realloc, free }, bytes: () => wasm.heap8u() };
}
