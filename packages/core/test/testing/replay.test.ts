import { describe, expect, it } from "vitest";
import { Heap } from "../../src/heap.ts";
import { runs, seedFromEnv } from "../../src/testing/env.ts";
import { allowLive } from "../../src/testing/heap-watch.ts";
import { replay } from "../../src/testing/replay.ts";
import { ShadowHeap } from "../../src/testing/shadow-heap.ts";
import { OPERATION, operations, type Stream, uniform } from "../../src/testing/stream.ts";

const seed = seedFromEnv();

describe("replay", () => {
  it("runs a heap through a stream, with a check after each operation, and leaves it empty", () => {
    const heap = new Heap({ bytes: 1 << 20 });
    const stream = operations({ seed, count: runs(2000), maxLive: 50 });
    const seen: number[] = [];
    const { failures, peakLiveBytes } = replay(heap, stream, {
      everyOp: (index) => {
        seen.push(index);
        heap.check();
      },
    });
    expect(failures).toBe(0);
    expect(peakLiveBytes).toBeGreaterThan(0);
    expect(seen).toEqual(Array.from({ length: stream.kinds.length + 1 }, (_, i) => i));
    expect(heap.stats().liveBlocks).toBe(0);
  });

  it("does what the stream says", () => {
    const stream: Stream = {
      seed: 1,
      slotCount: 2,
      kinds: Uint8Array.of(
        OPERATION.MALLOC,
        OPERATION.CALLOC,
        OPERATION.REALLOC,
        OPERATION.FREE,
        OPERATION.ALIGNED_ALLOC,
      ),
      slots: Uint32Array.of(0, 1, 0, 1, 1),
      sizes: Uint32Array.of(24, 10, 48, 0, 16),
      extras: Uint32Array.of(0, 3, 0, 0, 64),
    };
    const shadow = new ShadowHeap(new Heap({ bytes: 1 << 16 }));
    const levels: number[] = [];
    const result = replay(shadow, stream, { everyOp: () => levels.push(shadow.liveBytes) });
    expect(levels).toEqual([24, 54, 78, 48, 64, 0]);
    expect(result).toEqual({ failures: 0, peakLiveBytes: 78 });
  });

  it("fills blocks with the stream's seed, unless it is given another", () => {
    const stream = operations({ seed: 5, count: 1, sizes: uniform(64, 64), mix: { calloc: 0, alignedAlloc: 0 } });
    const bytesWith = (changed: Partial<Stream>, options: { seed?: number } = {}): string => {
      const heap = new Heap({ bytes: 1 << 14 });
      let bytes = "";
      const everyOp = (index: number): void => {
        if (index === 0) bytes = String(heap.u8);
      };
      replay(heap, { ...stream, ...changed }, { ...options, everyOp });
      return bytes;
    };
    expect(bytesWith({ seed: 6 })).not.toBe(bytesWith({}));
    expect(bytesWith({ seed: 6 }, { seed: 5 })).toBe(bytesWith({}));
  });

  it("goes on when memory runs out", () => {
    const heap = new Heap({ bytes: 1 << 14 });
    const stream = operations({ seed, count: 5000, maxLive: 200, sizes: uniform(1, 500) });
    const { failures } = replay(heap, stream, { everyOp: () => heap.check() });
    expect(failures).toBeGreaterThan(100);
    expect(heap.stats().liveBlocks).toBe(0);
  });

  it("gives malloc where there is no alignedAlloc", () => {
    const heap = new Heap({ bytes: 1 << 20 });
    const bare = {
      heap,
      malloc: (size: number) => heap.malloc(size),
      free: (ptr: ReturnType<Heap["malloc"]>) => heap.free(ptr),
    };
    const stream = operations({ seed, count: 500, maxLive: 20, mix: { alignedAlloc: 10 } });
    replay(bare, stream);
    replay(new ShadowHeap(bare), stream);
    expect(heap.stats().liveBlocks).toBe(0);
  });

  it("names seed and operation when something is wrong, and keeps the cause", () => {
    allowLive();
    const heap = new Heap({ bytes: 1 << 20 });
    const stream = operations({ seed: 7, count: 100, mix: { calloc: 0, alignedAlloc: 0, realloc: 0 } });
    const at = 42;
    const everyOp = (index: number): void => {
      if (index === at) throw new RangeError("planted");
    };
    const kind = stream.kinds[at] === OPERATION.FREE ? "free of" : `malloc(${stream.sizes[at]}) for`;
    const message = `seed 7, operation 42, ${kind} slot ${stream.slots[at]}: planted`;
    expect(() => replay(heap, stream, { everyOp })).toThrow(
      expect.objectContaining({ message, cause: expect.any(RangeError) }),
    );
  });

  it("notices what is wrong at the end", () => {
    allowLive();
    const heap = new Heap({ bytes: 1 << 20 });
    const shadow = new ShadowHeap(heap);
    shadow.malloc(5);
    expect(() => replay(shadow, operations({ seed: 7, count: 10 }))).toThrow(
      "seed 7, the end, when all was freed: 1 blocks with 5 bytes are still live",
    );
  });

  it("notices an allocator that hands out a live block", () => {
    allowLive();
    const heap = new Heap({ bytes: 1 << 20 });
    const { malloc } = heap;
    let calls = 0;
    let last = heap.malloc(64);
    heap.malloc = (size) => {
      calls += 1;
      if (calls !== 20) last = malloc.call(heap, size);
      return last;
    };
    const stream = operations({ seed, count: 1000, sizes: uniform(40, 50), mix: { free: 0, realloc: 0 } });
    expect(() => replay(heap, stream)).toThrow(/overlap block|has no room|usableSize/);
  });
});
