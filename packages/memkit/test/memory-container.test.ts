import { asPtr, type HeapErrorCode } from "@heapwright/core";
import { expect, test } from "vitest";

import { MemoryContainer } from "../src/index.ts";
import { allocated, bytesOf, heapOf, keep, poolOf } from "./made.ts";

const code = (wanted: HeapErrorCode): unknown => expect.objectContaining({ name: "HeapError", code: wanted });

test("a container made by hand is zeroed, counts 1 and is in no pool", () => {
  const backing = heapOf();
  const dirty = backing.malloc(4096);
  backing.u8.fill(255, dirty, dirty + 4096);
  backing.free(dirty);
  for (const size of [1, 8, 100, 600, 4000]) {
    const container = keep(new MemoryContainer(0xffff_ffff_ffff_ffffn, size, { backing }));
    const rounded = Math.ceil(size / 8) * 8;
    expect(container).toMatchObject({ address: 0xffff_ffff_ffff_ffffn, size: rounded, ref_count: 1 });
    expect(bytesOf(backing, container.data, rounded)).toEqual(Array(rounded).fill(0));
    expect(container.heap).toBe(backing);
  }
});

test("addresses are whole numbers of 64 bits", () => {
  const backing = heapOf();
  for (const address of [0n, 1n, 2n ** 63n, 2n ** 64n - 1n]) {
    expect(keep(new MemoryContainer(address, 8, { backing })).address).toBe(address);
  }
  for (const address of [-1n, 2n ** 64n]) {
    expect(() => new MemoryContainer(address, 8, { backing })).toThrow(
      `new MemoryContainer: address is ${address}n; pass a BigInt from 0n to 2n ** 64n - 1n`,
    );
  }
});

test("alignments: the data is a multiple, and so is its size", () => {
  const backing = heapOf();
  for (let alignment = 8; alignment <= 8192; alignment *= 2) {
    for (const size of [1, alignment, alignment + 1]) {
      const container = keep(new MemoryContainer(1n, size, { backing, alignment }));
      expect([container.data % alignment, container.size]).toEqual([0, Math.ceil(size / alignment) * alignment]);
      backing.u8.fill(1, container.data, container.data + container.size);
    }
  }
});

test("once destroyed every object of it is refused, and so is one more destroy", () => {
  const backing = heapOf();
  const container = new MemoryContainer(1n, 64, { backing });
  const twin = MemoryContainer.attach(backing, container.handle);
  container.destroy();
  const next = keep(new MemoryContainer(2n, 64, { backing }));
  expect(next.handle).toBe(container.handle);
  for (const one of [container, twin]) {
    const acts = [() => one.address, () => one.size, () => one.ref_count, () => one.data];
    for (const act of acts) expect(act).toThrow(code("ERR_USE_AFTER_FREE"));
    expect(() => one.destroy()).toThrow(code("ERR_DOUBLE_FREE"));
    one[Symbol.dispose]();
  }
  expect(next.address).toBe(2n);
});

test("a handle is of one life: orphaned, it is refused, and when the container is used again, too", () => {
  for (const debug of [true, false]) {
    const pool = poolOf(8, { debug });
    const ptr = allocated(pool, "p", 64);
    const { container } = ptr;
    ptr.destroy();
    const [orphan] = pool.containers as [MemoryContainer];
    expect(orphan.handle).toBe(container.handle);
    expect(() => container.data).toThrow(
      /^data: the container at 0x[0-9a-f]+ has been freed since; do not keep handles that long$/,
    );
    const next = allocated(pool, "p", 64);
    expect(next.container.handle).toBe(container.handle);
    for (const gone of [container, orphan]) expect(() => gone.data).toThrow(code("ERR_USE_AFTER_FREE"));
  }
});

test("attach finds containers, and nothing else", () => {
  const pool = poolOf(8);
  const { heap } = pool;
  const { container } = allocated(pool, "p", 64);
  expect(MemoryContainer.attach(heap, container.handle)).toMatchObject({
    address: container.address,
    size: 64,
    ref_count: 1,
    data: container.data,
  });
  const block = heap.malloc(64);
  heap.u8.fill(0, block, block + 64);
  for (const handle of [0, 4, 8, block, container.data, container.handle + 4, heap.size, 2 ** 32, -8, 1.5, NaN]) {
    expect(() => MemoryContainer.attach(heap, asPtr(handle)), String(handle)).toThrow(code("ERR_INVALID_POINTER"));
  }
  heap.free(block);
});
