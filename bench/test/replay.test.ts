import { describe, expect, it } from "vitest";

import type { Subject, Target } from "../src/adapter.ts";
import { verifyPass } from "../src/replay.ts";
import { timedPass } from "../src/timed-pass.ts";
import { prepared } from "./load.ts";

const BUFFER_BYTES = 4096;
const FIRST = 64;
const LIMIT_MILLISECONDS = 10_000;
const OPERATIONS = ["a 0 20", "a 1 40", "r 0 60", "f 1", "a 1 10", "r 0 30", "f 0", "a 2 0", "f 2"];

/** Hands out fresh memory for ever: too simple to be wrong. The tests below spoil one part each. */
class Bump implements Target {
  readonly bytes = new Uint8Array(BUFFER_BYTES);
  readonly sizes = new Map<number, number>();
  top = FIRST;

  malloc(size: number): number {
    const ptr = this.top;
    this.top += Math.ceil(Math.max(size, 1) / 8) * 8;
    this.sizes.set(ptr, size);
    return ptr;
  }

  free(ptr: number): void {
    if (!this.sizes.delete(ptr)) throw new Error(`free(${ptr}): not live`);
  }

  realloc(ptr: number, size: number): number {
    const moved = this.malloc(size);
    this.bytes.copyWithin(moved, ptr, ptr + Math.min(size, this.sizes.get(ptr) ?? 0));
    this.free(ptr);
    return moved;
  }
}

function subjectOf(target: Bump): Subject {
  return { target, bytes: () => target.bytes };
}

function faultOf(target: Bump): string | null {
  return verifyPass(subjectOf(target), prepared(OPERATIONS), LIMIT_MILLISECONDS).fault;
}

describe("the verify pass", () => {
  it("finds nothing wrong with a sound allocator and reports its footprint", () => {
    const target = new Bump();
    const result = verifyPass(subjectOf(target), prepared(OPERATIONS), LIMIT_MILLISECONDS);
    expect(result.fault).toBeNull();
    expect(result.operations).toBe(OPERATIONS.length);
    expect(result.footprint).toBe(FIRST + 24 + 40 + 64 + 16 + 32);
    expect(result.samples.map(([, live]) => live)).toEqual([20, 60, 100, 60, 70, 40, 10, 10, 10, 10]);
    expect(target.sizes.size, "blocks live at the end are freed").toBe(0);
  });

  it("takes the footprint from an allocator that knows it", () => {
    const subject = { ...subjectOf(new Bump()), footprint: () => 1234 };
    expect(verifyPass(subject, prepared(OPERATIONS), LIMIT_MILLISECONDS).footprint).toBe(1234);
  });

  it("notices blocks that overlap", () => {
    class Overlapping extends Bump {
      override malloc(size: number): number {
        const ptr = super.malloc(size);
        this.top -= 8;
        return ptr;
      }
    }
    expect(faultOf(new Overlapping())).toMatch(/operation 2: block 1, 40 bytes at 0x50: overlaps a live block/);
  });

  it("notices a block of size 0 where another block is", () => {
    class Shared extends Bump {
      override malloc(size: number): number {
        return size === 0 ? FIRST + 24 + 40 + 64 : super.malloc(size);
      }
    }
    expect(faultOf(new Shared())).toMatch(/operation 8: .* overlaps/);
  });

  it("notices a block that is not aligned", () => {
    class Askew extends Bump {
      override top = FIRST + 4;
    }
    expect(faultOf(new Askew())).toMatch(/operation 1: .* not aligned to 8/);
  });

  it("notices a block that leaves the buffer", () => {
    class Beyond extends Bump {
      override top = BUFFER_BYTES - 16;
    }
    expect(faultOf(new Beyond())).toMatch(/operation 1: .* ends beyond the buffer's 4096 bytes/);
  });

  it("notices that memory has run out", () => {
    class Full extends Bump {
      override malloc(size: number): number {
        return size === 10 ? 0 : super.malloc(size);
      }
    }
    expect(faultOf(new Full())).toMatch(/operation 5: out of memory for block 1, 10 bytes/);
  });

  it("notices a free that writes into a live neighbour", () => {
    class Scribbling extends Bump {
      override free(ptr: number): void {
        const end = ptr + (this.sizes.get(ptr) ?? 0);
        super.free(ptr);
        if (this.sizes.has(end)) this.bytes[end] = 0;
      }
    }
    // Block 1 is freed in the fourth operation, block 0 lies behind it and is looked at in the sixth.
    expect(faultOf(new Scribbling())).toMatch(/operation 6: block 0, 60 bytes .* contents changed/);
  });

  it("notices a realloc that does not keep the contents", () => {
    class Forgetful extends Bump {
      override realloc(ptr: number, size: number): number {
        this.free(ptr);
        return this.malloc(size);
      }
    }
    expect(faultOf(new Forgetful())).toMatch(/operation 3: block 0, 20 bytes .* contents changed/);
  });

  it("notices a realloc that copies from the wrong place", () => {
    class Shifting extends Bump {
      override realloc(ptr: number, size: number): number {
        const moved = super.realloc(ptr, size);
        this.bytes.copyWithin(moved, ptr + 8, ptr + 20);
        return moved;
      }
    }
    expect(faultOf(new Shifting())).toMatch(/operation 3: .* contents changed/);
  });

  it("reports what the allocator throws and what its own check finds", () => {
    class Refusing extends Bump {
      override free(): void {
        throw new Error("never");
      }
    }
    expect(faultOf(new Refusing())).toBe("operation 3: never");
    const subject = {
      ...subjectOf(new Bump()),
      check: (): void => {
        throw new Error("broken");
      },
    };
    expect(verifyPass(subject, prepared(OPERATIONS), LIMIT_MILLISECONDS).fault).toBe("operation 1: broken");
  });

  it("stops when its time is up", () => {
    const result = verifyPass(subjectOf(new Bump()), prepared(OPERATIONS), -1);
    expect(result).toMatchObject({ operations: 0, fault: null });
  });
});

describe("the timed pass", () => {
  it("does the operations of the trace and leaves nothing live", () => {
    class Recording extends Bump {
      readonly log: string[] = [];
      override malloc(size: number): number {
        this.log.push(`malloc ${size}`);
        return super.malloc(size);
      }
      override free(ptr: number): void {
        this.log.push(`free ${this.sizes.get(ptr)}`);
        super.free(ptr);
      }
      override realloc(ptr: number, size: number): number {
        this.log.push(`realloc ${this.sizes.get(ptr)} ${size}`);
        return ptr;
      }
    }
    const target = new Recording();
    const trace = prepared(["a 0 20", "a 1 40", "r 0 60", "f 1", "a 1 10"]);
    expect(timedPass(target, trace, new Uint32Array(trace.idCount))()).toBeGreaterThanOrEqual(0);
    expect(target.log).toEqual([
      "malloc 20",
      "malloc 40",
      "realloc 20 60",
      "free 40",
      "malloc 10",
      "free 20",
      "free 10",
    ]);
    expect(target.sizes.size).toBe(0);
  });
});
