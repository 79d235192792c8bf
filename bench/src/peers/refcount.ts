import type { Ptr } from "@heapwright/core";
import { rm_create_state, rm_malloc, rm_release } from "@heapwright/refcount";

import type { Load, MicroSubject } from "../adapter.ts";
import { backingFor } from "./pool.ts";

const HASH_SIZE = 4096;
/** The table of pointers beside the blocks, which for the smallest of them is larger than they are. */
const ROOM_FACTOR = 4;

/** A block with one reference, which is released. */
export function open(load: Load): MicroSubject {
  const backing = backingFor(load, ROOM_FACTOR);
  const state = rm_create_state(HASH_SIZE, { backing });
  return {
    target: { malloc: (size) => rm_malloc(state, size), free: (block: Ptr) => rm_release(state, block) },
    bytes: () => backing.u8,
  };
}
