import type { Load, Subject } from "../adapter.ts";
import { backingFor, poolClass } from "./pool.ts";

const GROW_BYTES = 65_536;
const TOLERANCE_PERCENT = 20;

/** The variadic pool: it grows by 64 KiB and may waste 20 percent of a block. The footprint is that of its backing. */
export function open(load: Load): Subject {
  const backing = backingFor(load);
  class ReallocatingPool extends poolClass("VariadicMemPool") {
    /** The document has none: allocate, copy, free. */
    realloc(ptr: number, size: number): number {
      const room = this.usableSize(ptr);
      const moved = this.malloc(size);
      if (moved === 0) return 0;
      backing.u8.copyWithin(moved, ptr, ptr + Math.min(room, size));
      this.free(ptr);
      return moved;
    }
  }
  const target = new ReallocatingPool(GROW_BYTES, TOLERANCE_PERCENT, { backing });
  return {
    target,
    bytes: () => backing.u8,
    footprint: () => backing.stats().footprint,
    check: () => target.check(),
  };
}
