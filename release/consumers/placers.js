/**
 * Every allocator behind the same three functions.
 *
 * @module
 */
import { ApfAllocator } from "@heapwright/apf";
import { MemoryArena, MemoryPointer, MemoryPool } from "@heapwright/memkit";
import { Mempool } from "@heapwright/mempool";
import { FixedMemPool, VariadicMemPool } from "@heapwright/pool";
import { RmState } from "@heapwright/refcount";

/** @import { Allocator, Heap, HeapBuffer, Ptr } from "@heapwright/core" */

/**
 * @typedef {object} Placer
 * @property {string} name
 * @property {() => Ptr} place - memory for a record
 * @property {(ptr: Ptr) => void} give - takes it back
 * @property {() => void} end - gives back what the allocator itself holds
 */

const RECORDS = 200;

/**
 * @param {string} name
 * @param {Allocator & { destroy?(): void }} allocator
 * @param {number} bytes
 * @returns {Placer}
 */
function plain(name, allocator, bytes) {
  return {
    name,
    place: () => allocator.malloc(bytes),
    give: (ptr) => allocator.free(ptr),
    end: () => allocator.destroy?.(),
  };
}

/**
 * Allocators over a heap, for records of `bytes`, 200 of them at once.
 *
 * @param {Heap<HeapBuffer>} heap
 * @param {number} bytes
 * @returns {Placer[]}
 */
export function placersOf(heap, bytes) {
  const options = { backing: heap };
  const arena = new MemoryArena(RECORDS * 2 * bytes, options);
  const containers = new MemoryPool(RECORDS, options);
  const state = new RmState(RECORDS, options);
  /** @type {Map<Ptr, MemoryPointer>} */
  const owners = new Map();
  return [
    plain("malloc", heap, bytes),
    plain("apf", new ApfAllocator(options), bytes),
    plain("fixed pool", new FixedMemPool(bytes, RECORDS, options), bytes),
    plain("variadic pool", new VariadicMemPool(RECORDS * 2 * bytes, 20, options), bytes),
    plain("mempool", new Mempool(RECORDS * 2 * bytes, bytes, options), bytes),
    {
      name: "refcount",
      place: () => state.malloc(bytes),
      give: (ptr) => void state.release(ptr),
      end: () => state.destroy(),
    },
    {
      name: "memkit pointers",
      place() {
        const owner = new MemoryPointer(`record ${owners.size}`, bytes, options);
        if (!owner.allocate(bytes, containers) || owner.container === null) throw new Error("the heap is full");
        const { data } = owner.container;
        owners.set(data, owner);
        return data;
      },
      give(ptr) {
        owners.get(ptr)?.destroy();
        owners.delete(ptr);
      },
      end: () => containers.destroy(),
    },
    { name: "memkit arena", place: () => arena.alloc(bytes), give: () => undefined, end: () => arena.destroy() },
  ];
}
