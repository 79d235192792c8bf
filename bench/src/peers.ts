/**
 * The allocators that can be compared. Each is loaded lazily, so that a process holds only the one it measures.
 *
 * @module
 */
import type { MicroPeerModule, PeerModule } from "./adapter.ts";

/** The name under which the C library's malloc runs; it is a process of its own kind. */
export const LIBC = "libc";

const REPLAY_LOADERS: Readonly<Record<string, () => Promise<PeerModule>>> = {
  core: () => import("./peers/core.ts"),
  "pool-variadic": () => import("./peers/pool-variadic.ts"),
  apf: () => import("./peers/apf.ts"),
  "thi.ng": () => import("./peers/thi-ng.ts"),
  "dlmalloc-wasm": () => import("./peers/sqlite.ts"),
  "tlsf-wasm": () => import("./peers/assemblyscript.ts"),
};

const MICRO_LOADERS: Readonly<Record<string, () => Promise<MicroPeerModule>>> = {
  ...REPLAY_LOADERS,
  "pool-fixed": () => import("./peers/pool-fixed.ts"),
  mempool: () => import("./peers/mempool.ts"),
  refcount: () => import("./peers/refcount.ts"),
  memkit: () => import("./peers/memkit.ts"),
  structurae: () => import("./peers/structurae.ts"),
  deepool: () => import("./peers/deepool.ts"),
  "Buffer.allocUnsafe": () => import("./peers/buffer.ts"),
  Uint8Array: () => import("./peers/typed-array.ts"),
};

/** Those that serve blocks of one size only. */
export const ONE_SIZE_PEERS: ReadonlySet<string> = new Set(["pool-fixed", "mempool", "structurae", "deepool"]);

/** The C program with these in place of the C library's malloc, and what their libraries are called. */
export const NATIVE_PEERS: Readonly<Record<string, string>> = {
  mimalloc: "libmimalloc.so.2",
  jemalloc: "libjemalloc.so.2",
  tcmalloc: "libtcmalloc_minimal.so.4",
};

const NATIVE_NAMES = [LIBC, ...Object.keys(NATIVE_PEERS)];

/** Our own, in the order of the tables. */
export const OWN_PEERS: readonly string[] = [
  "core",
  "pool-fixed",
  "pool-variadic",
  "apf",
  "mempool",
  "refcount",
  "memkit",
];

/** What `replay --only` takes, in the order of the tables. */
export const REPLAY_PEERS: readonly string[] = [...Object.keys(REPLAY_LOADERS), ...NATIVE_NAMES];

/** What `micro --only` takes, in the order of the tables. */
export const MICRO_PEERS: readonly string[] = [...Object.keys(MICRO_LOADERS), ...NATIVE_NAMES];

/** What is replayed and timed when `--only` names nothing: few, to keep the first run short. */
export const USUAL_REPLAY_PEERS: readonly string[] = ["core", "thi.ng", LIBC];
export const USUAL_MICRO_PEERS: readonly string[] = ["core", "pool-fixed", "pool-variadic", "thi.ng", LIBC];

/** @param name - one of {@link REPLAY_PEERS}, not libc */
export function loadPeer(name: string): Promise<PeerModule> {
  return loaderOf(name, REPLAY_LOADERS)();
}

/** @param name - one of {@link MICRO_PEERS}, not libc */
export function loadMicroPeer(name: string): Promise<MicroPeerModule> {
  return loaderOf(name, MICRO_LOADERS)();
}

function loaderOf<T>(name: string, loaders: Readonly<Record<string, () => Promise<T>>>): () => Promise<T> {
  const load = loaders[name];
  if (load === undefined) throw new Error(`no allocator "${name}" here`);
  return load;
}
