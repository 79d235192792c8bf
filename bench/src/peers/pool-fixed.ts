import { FixedMemPool } from "@heapwright/pool";

import type { Load, MicroSubject } from "../adapter.ts";
import { backingFor } from "./pool.ts";

const INCREASE_COUNT = 16_384;

/** The fixed pool, for loads of one block size; it grows by 16,384 blocks. */
export function open(load: Load): MicroSubject {
  if (load.blockBytes === undefined) throw new Error("the fixed pool serves blocks of one size only");
  const backing = backingFor(load);
  return { target: new FixedMemPool(load.blockBytes, INCREASE_COUNT, { backing }), bytes: () => backing.u8 };
}
