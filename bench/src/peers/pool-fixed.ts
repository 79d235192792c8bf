import { FixedMemPool } from "@heapwright/pool";

import type { Load, Pair } from "../adapter.ts";
import { backingFor } from "./pool.ts";

const INCREASE_COUNT = 16_384;

/** The fixed pool, for loads of one block size; it grows by 16,384 blocks. */
export function open(load: Load): { readonly target: Pair } {
  if (load.blockBytes === undefined) throw new Error("the fixed pool serves blocks of one size only");
  return { target: new FixedMemPool(load.blockBytes, INCREASE_COUNT, { backing: backingFor(load) }) };
}
