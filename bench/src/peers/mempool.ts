import { Mempool } from "@heapwright/mempool";

import type { Load, MicroSubject } from "../adapter.ts";
import { backingFor } from "./pool.ts";

const SPARE_BLOCKS = 1024;

/** A pool whose blocks have the size that is asked for. */
export function open(load: Load): MicroSubject {
  const { blockBytes, peakBytes } = load;
  if (blockBytes === undefined) throw new Error("the pool is measured with blocks of one size only");
  const backing = backingFor(load);
  const target = new Mempool(peakBytes + SPARE_BLOCKS * blockBytes, blockBytes, { backing });
  return { target, bytes: () => backing.u8 };
}
