import { Pool } from "structurae";

import type { Load, MicroSubject } from "../adapter.ts";

const SPARE_BLOCKS = 1024;

/** The pool of `structurae`: it gives out indices, of which a program makes places in a buffer of its own. */
export function open(load: Load): MicroSubject {
  const { blockBytes, peakBytes } = load;
  if (blockBytes === undefined) throw new Error("structurae's pool serves blocks of one size only");
  const count = Math.ceil(peakBytes / blockBytes) + SPARE_BLOCKS;
  const pool = Pool.create(count);
  // Place 0 is left free, so that 0 is no block.
  const bytes = new Uint8Array((count + 1) * blockBytes);
  return {
    target: {
      malloc: () => (pool.get() + 1) * blockBytes,
      free: (block: number) => pool.free(block / blockBytes - 1),
    },
    bytes: () => bytes,
  };
}
