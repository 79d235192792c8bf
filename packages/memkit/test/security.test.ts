/**
 * What is given back is zero, on the raw bytes: each block, before the backing has it again, and what a pool or an arena
 * keeps for what comes next.
 */
import { type Allocator, asPtr, type Heap, type HeapBuffer, type Ptr } from "@heapwright/core";
import { describe, expect, test } from "vitest";

import { MemoryArena, MemoryContainer, MemoryPointer, MemoryPool, type PoolOptions } from "../src/index.ts";
import { allocated, bytesOf, got, heapOf, keep } from "./made.ts";

/** A heap that refuses to take a block back which is not zero from its first to its last byte. */
class Strict implements Allocator {
  readonly heap: Heap<HeapBuffer>;
  readonly sizes = new Map<Ptr, number>();
  freed = 0;

  constructor(heap: Heap<HeapBuffer> = heapOf(1 << 21)) {
    this.heap = heap;
  }
  malloc(size: number): Ptr {
    return this.#lent(this.heap.malloc(size), size);
  }
  alignedAlloc(alignment: number, size: number): Ptr {
    return this.#lent(this.heap.alignedAlloc(alignment, size), size);
  }
  free(ptr: Ptr): void {
    const size = this.sizes.get(ptr);
    if (size === undefined) throw new Error("not lent");
    const left = this.heap.bytes(ptr, size).findIndex((byte) => byte !== 0);
    if (left >= 0) throw new Error(`byte ${left} of ${size} is not zero when the block is freed`);
    this.sizes.delete(ptr);
    this.freed += 1;
    this.heap.free(ptr);
  }
  usableSize(ptr: Ptr): number {
    return this.heap.usableSize(ptr);
  }
  /** Full of what someone else has left there. */
  #lent(ptr: Ptr, size: number): Ptr {
    if (ptr === 0) return ptr;
    this.sizes.set(ptr, size);
    this.heap.u8.fill(0xee, ptr, ptr + size);
    return ptr;
  }
}

const SIZES = [1, 8, 64, 200, 512, 513, 5000, 70_000];
const SECRET = "the_name_of_a_secret_variable";
const MARK = 0xa5;

/** Whether a run of bytes is anywhere in a heap, free memory included. */
function isAnywhere(heap: Heap<HeapBuffer>, bytes: Buffer): boolean {
  return Buffer.from(heap.u8).includes(bytes);
}
const isAll = (bytes: Uint8Array, byte: number): boolean => bytes.every((one) => one === byte);
const marked = Buffer.alloc(8, MARK);

/** A pointer with a container full of marks. */
function secret(pool: MemoryPool, name: string, size: number): MemoryPointer & { container: MemoryContainer } {
  const ptr = allocated(pool, name, size);
  const { container, heap } = ptr;
  heap.u8.fill(MARK, container.data, container.data + container.size);
  return ptr;
}

const kinds: [name: string, options: PoolOptions][] = [
  ["a pool", {}],
  ["a pool without debug", { debug: false }],
  ["a pool that destroys orphans", { orphans: "destroy" }],
  ["a pool without debug that destroys orphans", { orphans: "destroy", debug: false }],
  ["a pool aligned to 64", { alignment: 64, debug: false }],
];

describe.each(kinds)("%s", (_, options) => {
  const strictPool = (): { backing: Strict; pool: MemoryPool } => {
    const backing = new Strict();
    return { backing, pool: keep(new MemoryPool(4, { backing, ...options })) };
  };

  test.each(SIZES)("data of %d bytes is zero once the last reference is gone, and so is the name", (size) => {
    const { backing, pool } = strictPool();
    const ptr = secret(pool, SECRET, size);
    const { container, handle } = ptr;
    const { data, size: rounded } = container;
    const other = keep(ptr.share(`${SECRET}_too`));
    expect(isAnywhere(backing.heap, Buffer.from(SECRET))).toBe(true);
    ptr.destroy();
    expect(isAll(backing.heap.bytes(data, rounded), MARK)).toBe(true);
    other.destroy();
    // The first 16 bytes of a block that the heap has back are its own.
    expect(isAll(backing.heap.bytes(asPtr(data + 16), Math.max(0, rounded - 16)), 0)).toBe(true);
    expect(isAll(backing.heap.bytes(asPtr(handle + 16), 28 + SECRET.length - 16), 0)).toBe(true);
    expect(isAnywhere(backing.heap, Buffer.from(SECRET))).toBe(false);
    expect(isAnywhere(backing.heap, marked)).toBe(false);
  });

  test("orphans that are used again are zero, where the request is smaller, too", () => {
    const { backing, pool } = strictPool();
    for (const size of SIZES) {
      secret(pool, "first", size).destroy();
      const next = allocated(pool, "next", Math.ceil(size / 2));
      const { data, size: given } = next.container;
      expect(isAll(backing.heap.bytes(data, given), 0)).toBe(true);
      next.destroy();
    }
  });

  test("a container that was outgrown, and one that was copied, leave nothing behind", () => {
    const { backing, pool } = strictPool();
    for (const size of SIZES) {
      const ptr = secret(pool, "grows", size);
      const { data, size: old } = ptr.container;
      expect(ptr.allocate(size + 4000, pool)).toBe(true);
      expect(ptr.container.data).not.toBe(data);
      expect(isAll(backing.heap.bytes(asPtr(data + 16), Math.max(0, old - 16)), 0)).toBe(true);
      expect(isAll(backing.heap.bytes(ptr.container.data, old), MARK)).toBe(true);
      ptr.destroy();
    }
    expect(isAnywhere(backing.heap, marked)).toBe(false);
  });

  test("the tail that a shrinking copy does not take is zero in the copy, and in the old one when that goes", () => {
    const { backing, pool } = strictPool();
    // Larger than the copy: it is reused for it.
    secret(pool, "before", 1000).destroy();
    const ptr = secret(pool, "shrinks", 2000);
    const other = keep(ptr.share("keeps"));
    const { data, size: old } = ptr.container;
    expect(ptr.allocate(104, pool)).toBe(true);
    const { data: copy, size } = ptr.container;
    const taken = options.alignment === 64 ? 128 : 104;
    expect(isAll(backing.heap.bytes(copy, taken), MARK)).toBe(true);
    expect(isAll(backing.heap.bytes(asPtr(copy + taken), size - taken), 0)).toBe(true);
    expect(isAll(backing.heap.bytes(data, old), MARK)).toBe(true);
    other.destroy();
    expect(isAll(backing.heap.bytes(asPtr(data + 16), old - 16), 0)).toBe(true);
    ptr.destroy();
    expect(isAnywhere(backing.heap, marked)).toBe(false);
  });

  test("destroying a pool zeroes containers in use, array and control block", () => {
    const { backing, pool } = strictPool();
    const ptrs = SIZES.map((size, i) => secret(pool, `secret_${i}`, size));
    for (const ptr of ptrs.splice(2, 3)) ptr.destroy();
    const { freed } = backing;
    pool.destroy();
    expect(backing.freed - freed).toBeGreaterThanOrEqual(ptrs.length + 2);
    expect(isAnywhere(backing.heap, marked)).toBe(false);
    for (const ptr of ptrs) ptr.destroy();
    expect(backing.sizes.size).toBe(0);
    expect(isAnywhere(backing.heap, Buffer.from("secret_"))).toBe(false);
  });

  test("trim, remove and destruction by hand give back zeros", () => {
    const { backing, pool } = strictPool();
    for (const size of SIZES) secret(pool, "p", size).destroy();
    pool.trim();
    const ptr = secret(pool, "p", 64);
    const other = secret(pool, "q", 64);
    const { container } = ptr;
    pool.remove(container);
    container.destroy();
    pool.remove(other.container);
    other.end(false);
    const loose = new MemoryContainer(5n, 100, { backing });
    backing.heap.u8.fill(MARK, loose.data, loose.data + 104);
    loose.destroy();
    expect(isAnywhere(backing.heap, marked)).toBe(false);
  });

  test("an array that has grown or shrunk leaves zeros", () => {
    const { backing, pool } = strictPool();
    const ptrs = Array.from({ length: 200 }, (__, i) => allocated(pool, `p${i}`, 8));
    const grown = pool.capacity;
    for (const ptr of ptrs) ptr.destroy();
    pool.trim();
    expect(pool.capacity).toBeLessThan(grown);
    // Strict has looked at each array that was freed.
    expect(backing.freed).toBeGreaterThan(200);
  });

  test("it is so each time, also when all of it has been compiled", () => {
    const { backing, pool } = strictPool();
    const { heap } = backing;
    let left = 0;
    for (let i = 0; i < 3000; i += 1) {
      const ptr = new MemoryPointer("cycles", 0, { backing });
      if (!ptr.allocate(64, pool)) throw new Error("no room");
      const { data } = got(ptr.container);
      heap.u8.fill(MARK, data, data + 64);
      ptr.destroy();
      // Bytes 16 and 56: the heap has none of its words there.
      left += heap.u32[(data + 16 + 4 * (i % 12)) >>> 2]!;
    }
    expect(left).toBe(0);
    expect(isAnywhere(heap, marked)).toBe(false);
  });
});

describe("arenas", () => {
  test.each([8, 64])("slabs are zero when they are freed, and after a reset or a rewind; alignment %d", (alignment) => {
    const backing = new Strict();
    const { heap } = backing;
    const arena = keep(new MemoryArena(1000, { backing, alignment }));
    const fill = (size: number): Ptr => {
      const ptr = got(arena.alloc(size));
      heap.u8.fill(MARK, ptr, ptr + size);
      return ptr;
    };
    fill(500);
    const mark = arena.mark();
    for (const size of SIZES) fill(size);
    arena.rewind(mark);
    expect(Buffer.from(heap.u8).lastIndexOf(marked)).toBeLessThan(mark);
    for (const size of SIZES) fill(size);
    arena.reset();
    expect(isAnywhere(heap, marked)).toBe(false);
    for (const size of SIZES) fill(size);
    arena.destroy();
    expect(isAnywhere(heap, marked)).toBe(false);
    expect(backing.sizes.size).toBe(0);
  });
});

describe("use after free", () => {
  test("a container's bytes are no longer to be had by its old handle, and a read by a kept address finds zeros", () => {
    const backing = new Strict();
    const pool = keep(new MemoryPool(4, { backing }));
    const ptr = secret(pool, "p", 64);
    const { container } = ptr;
    const { data } = container;
    ptr.destroy();
    expect(() => container.data).toThrow(/has been freed since/);
    expect(bytesOf(backing.heap, data, 64)).toEqual(Array(64).fill(0));
  });
});
