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
  "thi.ng": () => import("./peers/thi-ng.ts"),
};

const MICRO_LOADERS: Readonly<Record<string, () => Promise<MicroPeerModule>>> = {
  ...REPLAY_LOADERS,
  "pool-fixed": () => import("./peers/pool-fixed.ts"),
};

/** Those that serve blocks of one size only. */
export const ONE_SIZE_PEERS: ReadonlySet<string> = new Set(["pool-fixed"]);

/** What `replay --only` takes, in the order of the tables. */
export const REPLAY_PEERS: readonly string[] = [...Object.keys(REPLAY_LOADERS), LIBC];

/** What `micro --only` takes, in the order of the tables. */
export const MICRO_PEERS: readonly string[] = [...Object.keys(MICRO_LOADERS), LIBC];

/** What is replayed when `--only` names nothing: the pool is left out, to keep the first run short. */
export const USUAL_REPLAY_PEERS: readonly string[] = REPLAY_PEERS.filter((name) => name !== "pool-variadic");

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
