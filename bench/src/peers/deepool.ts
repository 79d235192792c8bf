import { create } from "deepool";

import type { Load, MicroSubject } from "../adapter.ts";

/** The object pool `deepool`, of byte arrays. */
export function open(load: Load): MicroSubject {
  const { blockBytes } = load;
  if (blockBytes === undefined) throw new Error("a pool of objects serves blocks of one size only");
  const pool = create(() => new Uint8Array(blockBytes));
  return { target: { malloc: () => pool.use(), free: (block: Uint8Array<ArrayBuffer>) => pool.recycle(block) } };
}
