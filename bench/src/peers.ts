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

/** Measured only when `--only` names them: pool does not export them yet. */
const ON_DEMAND: ReadonlySet<string> = new Set(["pool-fixed", "pool-variadic"]);

/** What `replay --only` takes, in the order of the tables. */
export const REPLAY_PEERS: readonly string[] = [...Object.keys(REPLAY_LOADERS), LIBC];

/** What `micro --only` takes, in the order of the tables. */
export const MICRO_PEERS: readonly string[] = [...Object.keys(MICRO_LOADERS), LIBC];

/** @returns those of the names that are measured when none is chosen */
export function usualPeers(names: readonly string[]): readonly string[] {
  return names.filter((name) => !ON_DEMAND.has(name));
}

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
