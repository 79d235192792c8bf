/**
 * The allocators that can be compared. Each is loaded lazily, so that a process holds only the one it measures.
 *
 * @module
 */
import type { PeerModule } from "./adapter.ts";

/** The name under which the C library's malloc runs; it is a process of its own kind. */
export const LIBC = "libc";

const LOADERS: Readonly<Record<string, () => Promise<PeerModule>>> = {
  core: () => import("./peers/core.ts"),
  "thi.ng": () => import("./peers/thi-ng.ts"),
};

/** Every name that `--only` takes, in the order of the tables. */
export const PEER_NAMES: readonly string[] = [...Object.keys(LOADERS), LIBC];

/** @param name - one of {@link PEER_NAMES}, not libc */
export function loadPeer(name: string): Promise<PeerModule> {
  const load = LOADERS[name];
  if (load === undefined) throw new Error(`no allocator "${name}"; there are ${PEER_NAMES.join(", ")}`);
  return load();
}
