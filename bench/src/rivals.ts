/**
 * Where someone else's allocator for JavaScript is ahead of one of ours.
 *
 * @module
 */
import type { MicroFigures } from "./micro-command.ts";
import { OWN_PEERS } from "./peers.ts";
import { isNative } from "./everything.ts";

/** A rival that took less time than one of ours. */
export interface Defeat {
  readonly own: string;
  readonly rival: string;
  /** The loads, with our time over the rival's, the largest first. */
  readonly loads: readonly { readonly work: string; readonly factor: number }[];
}

/** @returns each pair in which the rival's median was lower for some load; ours in the order of the tables */
export function defeatsIn(figures: readonly MicroFigures[]): Defeat[] {
  const rivals = [...new Set(figures.map(({ peer }) => peer))].filter(
    (peer) => !OWN_PEERS.includes(peer) && !isNative(peer),
  );
  return OWN_PEERS.flatMap((own) =>
    rivals.flatMap((rival) => {
      const loads = lostLoads(figures, own, rival);
      return loads.length > 0 ? [{ own, rival, loads }] : [];
    }),
  );
}

function lostLoads(figures: readonly MicroFigures[], own: string, rival: string): Defeat["loads"] {
  return figures
    .filter(({ peer }) => peer === own)
    .flatMap(({ work, nanoseconds }) => {
      const other = figures.find((entry) => entry.work === work && entry.peer === rival)?.nanoseconds;
      if (nanoseconds === null || other === null || other === undefined) return [];
      const factor = nanoseconds.median / other.median;
      return factor > 1 ? [{ work, factor }] : [];
    })
    .sort((a, b) => b.factor - a.factor);
}
