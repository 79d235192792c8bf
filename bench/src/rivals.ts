/**
 * Where someone else's allocator for JavaScript is ahead of one of ours.
 *
 * @module
 */
import type { MicroFigures } from "./micro-command.ts";
import { OWN_PEERS } from "./peers.ts";
import { isNative } from "./everything.ts";

/** A rival that took less time than one of ours for the same load. */
export interface Defeat {
  readonly work: string;
  readonly own: string;
  readonly rival: string;
  /** Our time over the rival's. */
  readonly factor: number;
}

/** @returns all pairs in which the rival's median was lower, the largest factor first */
export function defeatsIn(loads: readonly MicroFigures[]): Defeat[] {
  const defeats: Defeat[] = [];
  for (const { work, peer: own, nanoseconds } of loads) {
    if (nanoseconds === null || !OWN_PEERS.includes(own)) continue;
    for (const other of loads) {
      if (other.work !== work || OWN_PEERS.includes(other.peer) || isNative(other.peer)) continue;
      if (other.nanoseconds === null) continue;
      const factor = nanoseconds.median / other.nanoseconds.median;
      if (factor > 1) defeats.push({ work, own, rival: other.peer, factor });
    }
  }
  return defeats.sort((a, b) => b.factor - a.factor);
}
