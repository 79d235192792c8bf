import { readFileSync } from "node:fs";

import type { Subject } from "../adapter.ts";

interface Exports extends WebAssembly.Exports {
  readonly memory: WebAssembly.Memory;
  alloc(size: number): number;
  realloc(ptr: number, size: number): number;
  free(ptr: number): void;
}

const PROGRAM = new URL("../tlsf.wasm", import.meta.url);

/** TLSF, the allocator of AssemblyScript's own runtime, in a module that holds nothing else. It grows. */
export function open(): Subject {
  const module = new WebAssembly.Module(readFileSync(PROGRAM));
  const { alloc, realloc, free, memory } = new WebAssembly.Instance(module, {
    env: { abort: () => fail("the module aborted") },
  }).exports as Exports;
  return { target: { malloc: alloc, realloc, free }, bytes: () => new Uint8Array(memory.buffer) };
}

function fail(why: string): never {
  throw new Error(why);
}
