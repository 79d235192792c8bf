/** Random operations beside a model that knows what each must do: order of the array, capacity, orphans, contents. */
import { Heap, type HeapBuffer } from "@heapwright/core";
import { random, runs, seedFromEnv } from "@heapwright/core/testing";
import { expect, test } from "vitest";

import {
  mem_compute_hash,
  mem_pointer_allocate,
  mem_pointer_destroy,
  MemoryContainer,
  MemoryArena,
  MemoryPointer,
  MemoryPool,
} from "../src/index.ts";

/** A container as it must be. */
interface Container {
  readonly data: number;
  readonly size: number;
  address: bigint;
  refs: number;
  /** Of the pattern in its data; 0: zeros. */
  key: number;
  isInPool: boolean;
}

interface Pointer {
  readonly pointer: MemoryPointer;
  readonly name: string;
  held: Container | undefined;
}

const OPERATIONS = 20_000;
const CHECK_LIMIT = 12;

/** As `expect`, for what is asked millions of times. */
function must(condition: boolean, finding: string): void {
  if (!condition) throw new Error(finding);
}

/** Whether bytes are all the same one. */
function isFilled(bytes: Uint8Array, byte: number): boolean {
  for (let at = 0; at < bytes.length; at += 1) if (bytes[at] !== byte) return false;
  return true;
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}

class Model {
  readonly heap: Heap<HeapBuffer>;
  readonly pool: MemoryPool;
  readonly draw: () => number;
  readonly maxOrphans: number;
  readonly alignment: number;
  capacity: number;
  readonly array: Container[] = [];
  /** In the order in which they became orphans. */
  readonly orphans: Container[] = [];
  readonly pointers: Pointer[] = [];
  /** Made by hand, in no pool. */
  readonly loose: MemoryContainer[] = [];
  names = 0;
  keys = 0;

  constructor(seed: number) {
    this.draw = random(seed);
    const options = { bytes: 1 << 22, alignment: this.below(2) === 0 ? 8 : 16 } as const;
    // One agent, but a lock at each step.
    this.heap = this.below(8) === 0 ? new Heap({ ...options, shared: true }) : new Heap(options);
    this.alignment = [8, 8, 8, 16, 64][this.below(5)]!;
    this.maxOrphans = [0, 1, 3, 64][this.below(4)]!;
    this.capacity = 1 + this.below(20);
    this.pool = new MemoryPool(this.capacity, {
      backing: this.heap,
      alignment: this.alignment,
      maxOrphans: this.maxOrphans,
      debug: this.below(2) === 0,
      ...(this.below(8) === 0 && { orphans: "destroy" as const }),
    });
    this.maxOrphans = this.pool.maxOrphans;
  }

  below(limit: number): number {
    return Math.floor(this.draw() * limit);
  }

  /** One operation, now rather one that allocates, then rather one that frees. */
  step(breath: number): void {
    const operations: [weight: number, act: () => void][] = [
      [8 * breath, () => this.create()],
      [4 * breath, () => this.allocate(this.anyPointer())],
      [3 * breath, () => this.share(this.anyPointer())],
      [4, () => this.write(this.anyPointer())],
      [12 / breath, () => this.destroy(this.anyPointer())],
      [0.3, () => this.grow()],
      [0.3, () => this.trim()],
      [1, () => this.remove()],
      [0.7, () => this.add()],
    ];
    let at = this.draw() * operations.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, act] of operations) {
      at -= weight;
      if (at < 0) return act();
    }
  }

  create(): void {
    this.names += 1;
    const name = this.below(3) === 0 ? "data_buffer" : `variable_${this.names % 97}`;
    const pointer: Pointer = { pointer: new MemoryPointer(name, 0, { backing: this.heap }), name, held: undefined };
    this.pointers.push(pointer);
    this.allocate(pointer);
  }

  allocate(pointer: Pointer | undefined): void {
    if (pointer === undefined) return;
    const wanted = 1 + Math.floor(2 ** (this.draw() * (this.below(6) === 0 ? 12 : 7)));
    const size = Math.ceil(wanted / this.alignment) * this.alignment;
    const { held } = pointer;
    const isKept = held !== undefined && held.size >= size && held.refs === 1 && held.data % this.alignment === 0;
    const kept = held === undefined ? 0 : Math.min(held.size, size);
    const bytes = held === undefined ? new Uint8Array() : this.bytes(held, kept);
    const fit = isKept ? undefined : this.bestOrphan(size);
    must(mem_pointer_allocate(pointer.pointer, wanted, this.pool), "no room");
    if (isKept) return this.same(pointer);
    this.hold(pointer, fit, size);
    const now = this.bytes(pointer.held!, pointer.held!.size);
    must(isSame(now.subarray(0, kept), bytes), "contents have not come along");
    must(isFilled(now.subarray(kept), 0), "what follows is not 0");
    this.letGo(held);
    this.fill(pointer.held!);
  }

  share(pointer: Pointer | undefined): void {
    if (pointer?.held === undefined) return;
    const name = `shared_${this.below(1000)}`;
    this.pointers.push({ pointer: pointer.pointer.share(name), name, held: pointer.held });
    pointer.held.refs += 1;
  }

  write(pointer: Pointer | undefined): void {
    if (pointer?.held === undefined) return;
    const { held } = pointer;
    const isOwn = held.refs === 1;
    const size = Math.ceil(held.size / this.alignment) * this.alignment;
    const fit = isOwn ? undefined : this.bestOrphan(size);
    const bytes = this.bytes(held, held.size);
    must(pointer.pointer.write(this.pool), "no room");
    if (isOwn) {
      this.same(pointer);
    } else {
      this.hold(pointer, fit, size);
      must(isSame(this.bytes(pointer.held!, held.size), bytes), "contents have not come along");
      this.letGo(held);
    }
    this.fill(pointer.held!);
  }

  destroy(pointer: Pointer | undefined): void {
    if (pointer === undefined) return;
    const mayKeep = this.below(5) !== 0;
    this.pointers.splice(this.pointers.indexOf(pointer), 1);
    mem_pointer_destroy(pointer.pointer, mayKeep ? this.pool : null);
    this.letGo(pointer.held, mayKeep);
  }

  grow(): void {
    if (this.capacity > 500) return;
    expect(this.pool.grow()).toBe(true);
    this.capacity = Math.max(8, 2 * this.capacity);
  }

  trim(): void {
    expect(this.pool.trim()).toBe(this.orphans.length);
    const bySize = this.orphans.splice(0).sort((a, b) => a.size - b.size);
    for (const orphan of bySize) this.takeOut(orphan);
  }

  /** Takes any container out of the pool. */
  remove(): void {
    if (this.array.length === 0) return;
    const slot = this.below(this.array.length);
    const container = this.array[slot]!;
    const destroys = this.below(2) === 0;
    const handle = this.pool.containers[slot]!;
    this.pool.remove(handle, destroys);
    if (container.refs === 0) this.orphans.splice(this.orphans.indexOf(container), 1);
    this.takeOut(container);
    if (container.refs > 0 || !destroys) {
      expect([Number(handle.data), handle.ref_count]).toEqual([container.data, container.refs]);
    } else {
      expect(() => handle.data).toThrow(/freed/);
    }
    if (container.refs === 0 && !destroys) handle.destroy();
  }

  /** Makes a container by hand, and takes it out again and destroys it now and then. */
  add(): void {
    if (this.loose.length > 3) {
      return this.addNoMore();
    }
    const address = BigInt(this.below(2 ** 32)) << 31n;
    const size = 8 * (1 + this.below(40));
    const container = new MemoryContainer(address, size, { backing: this.heap, alignment: this.alignment });
    this.growIfFull();
    expect(this.pool.add(container)).toBe(true);
    const entry = { data: container.data, size: container.size, address, refs: 1, key: 0, isInPool: true };
    this.array.push(entry);
    this.loose.push(container);
  }

  addNoMore(): void {
    const container = this.loose.shift()!;
    const found = this.array.find(({ data }) => data === Number(container.data));
    if (found !== undefined) {
      this.pool.remove(container);
      this.takeOut(found);
    }
    container.destroy();
  }

  anyPointer(): Pointer | undefined {
    return this.pointers[this.below(this.pointers.length)];
  }

  /** The orphan that a request must get: the smallest, of equal ones the oldest. */
  bestOrphan(size: number): Container | undefined {
    let best: Container | undefined;
    for (const orphan of this.orphans) {
      const isFit = orphan.size >= size && (best === undefined || orphan.size < best.size);
      if (isFit) best = orphan;
    }
    return best;
  }

  /** The pointer's container is an orphan now, or a new one at the end of the array. */
  hold(pointer: Pointer, fit: Container | undefined, size: number): void {
    const { container } = pointer.pointer;
    const address = mem_compute_hash(pointer.name);
    must(container?.address === address && container.ref_count === 1, "not its own");
    if (fit === undefined) {
      must(container?.size === size, "a new container of another size");
      pointer.held = { data: container!.data, size, address, refs: 1, key: 0, isInPool: true };
      this.growIfFull();
      this.array.push(pointer.held);
    } else {
      must(Number(container?.data) === fit.data && container?.size === fit.size, "not the best fit");
      this.orphans.splice(this.orphans.indexOf(fit), 1);
      pointer.held = fit;
      Object.assign(fit, { refs: 1, address, key: 0 });
    }
  }

  same(pointer: Pointer): void {
    must(Number(pointer.pointer.container?.data) === pointer.held?.data, "not the same container");
  }

  letGo(container: Container | undefined, mayKeep: boolean = true): void {
    if (container === undefined) return;
    container.refs -= 1;
    if (container.refs > 0 || !container.isInPool) return;
    if (mayKeep && this.orphans.length < this.maxOrphans) {
      container.key = 0;
      this.orphans.push(container);
    } else {
      this.takeOut(container);
    }
  }

  growIfFull(): void {
    if (this.array.length === this.capacity) this.capacity = Math.max(8, 2 * this.capacity);
  }

  /** Swap with last, and a halving. */
  takeOut(container: Container): void {
    const last = this.array.pop()!;
    if (last !== container) this.array[this.array.indexOf(container)] = last;
    container.isInPool = false;
    if (this.capacity > 16 && this.array.length * 4 < this.capacity) {
      this.capacity = Math.max(this.capacity >>> 1, 16, this.array.length);
    }
  }

  bytes(container: Container, size: number): Uint8Array {
    return this.heap.u8.slice(container.data, container.data + size);
  }

  /** Fills a container with a pattern of its own. */
  fill(container: Container): void {
    this.keys = (this.keys % 250) + 1;
    container.key = this.keys;
    this.heap.u8.fill(this.keys, container.data, container.data + container.size);
  }

  /** The pool's invariants, and all that the model knows. */
  compare(): void {
    this.pool.check();
    expect([this.pool.count, this.pool.capacity]).toEqual([this.array.length, this.capacity]);
    const found = this.pool.containers.map(({ data, size, ref_count, address }) => [
      Number(data),
      size,
      ref_count,
      address,
    ]);
    const expected = this.array.map(({ data, size, refs, address }) => [data, size, refs, refs === 0 ? 0n : address]);
    expect(found).toEqual(expected);
    for (const container of [...this.array, ...this.pointers.flatMap(({ held }) => held ?? [])]) {
      must(isFilled(this.bytes(container, container.size), container.key), "something wrote into a container");
    }
  }

  close(): void {
    while (this.loose.length > 0) this.addNoMore();
    // Some before the pool, some after it.
    const half = this.pointers.length >>> 1;
    for (const { pointer } of this.pointers.slice(0, half)) pointer.destroy();
    this.pool.destroy();
    for (const { pointer } of this.pointers.slice(half)) pointer.destroy();
    this.heap.check();
    expect(this.heap.stats()).toMatchObject({ liveBlocks: 0, liveBytes: 0 });
  }
}

test("pools do what a model says they do", { timeout: 1_200_000 }, () => {
  const seed = seedFromEnv();
  for (let run = 0; run < runs(50); run += 1) {
    const model = new Model(seed + run);
    for (let at = 0; at < OPERATIONS; at += 1) {
      model.step(Math.floor(at / 300) % 2 === 0 ? 1.5 : 0.6);
      if (model.array.length <= CHECK_LIMIT) model.pool.check();
      if (at % 250 === 0) model.compare();
    }
    model.compare();
    model.close();
  }
});

test("a container that is moved to another pool is given up there", () => {
  for (const debug of [false, true]) {
    const backing = new Heap({ bytes: 1 << 16 });
    const [from, to, third] = [4, 4, 4].map((capacity) => new MemoryPool(capacity, { backing, debug }));
    const pointers = [1, 2, 3].map((at) => new MemoryPointer(`variable_${at}`, 0, { backing }));
    for (const pointer of pointers) must(pointer.allocate(64, from!), "no room");
    const [first, second, last] = pointers as [MemoryPointer, MemoryPointer, MemoryPointer];
    for (const { container } of pointers) {
      from!.remove(container!);
      must(to!.add(container!), "no room");
    }
    backing.u32[first.container!.data >>> 2] = 42;
    // Nobody has said where it is.
    expect(() => first.destroy()).toThrow("its container has been added to another pool; pass that one");
    mem_pointer_destroy(first, third!);
    expect([first.isAlive, backing.u32[first.container!.data >>> 2], first.container!.ref_count]).toEqual([
      true,
      42,
      1,
    ]);
    mem_pointer_destroy(first, to!);
    expect([first.isAlive, from!.count, to!.stats().orphans]).toEqual([false, 0, 1]);
    // It is copied to the pool that is given, and given up where it is.
    must(second.allocate(300, to!), "no room");
    expect(to!.stats()).toMatchObject({ liveContainers: 2, orphans: 2 });
    to!.remove(last.container!);
    mem_pointer_destroy(last, third!);
    second.destroy();
    for (const pool of [from!, to!, third!]) {
      pool.check();
      pool.destroy();
    }
    expect(backing.stats().liveBlocks).toBe(0);
  }
});

test("arenas do what a model says they do", { timeout: 600_000 }, () => {
  const draw = random(seedFromEnv() + 1);
  const below = (limit: number) => Math.floor(draw() * limit);
  for (let run = 0; run < runs(20); run += 1) {
    const heap = new Heap({ bytes: 1 << 23 });
    const alignment = [8, 16, 64][below(3)]!;
    const arena = new MemoryArena(1 + below(500), { backing: heap, alignment });
    const live: [ptr: number, size: number, key: number][] = [];
    const marks: [mark: ReturnType<MemoryArena["mark"]>, live: number][] = [];
    let key = 0;
    const verify = ([ptr, size, of]: (typeof live)[number]) => {
      must(isFilled(heap.u8.subarray(ptr, ptr + size), of), "something wrote into an allocation");
    };
    for (let at = 0; at < 2000; at += 1) {
      const choice = below(100);
      if (choice < 90) {
        const size = 1 + below(choice < 3 ? 5000 : 200);
        const ptr = arena.alloc(size);
        must(ptr % alignment === 0 && isFilled(heap.u8.subarray(ptr, ptr + size), 0), "not aligned, or not 0");
        key = (key % 250) + 1;
        heap.u8.fill(key, ptr, ptr + size);
        live.push([ptr, size, key]);
      } else if (choice < 94) {
        marks.push([arena.mark(), live.length]);
      } else if (choice < 98 && marks.length > 0) {
        const chosen = below(marks.length);
        const [mark, count] = marks[chosen]!;
        marks.length = chosen;
        arena.rewind(mark);
        live.length = count;
      } else if (choice === 99 && below(10) === 0) {
        arena.reset();
        live.length = 0;
        marks.length = 0;
      }
      if (at % 20 === 0) arena.check();
      const some = live[below(live.length)];
      if (some !== undefined) verify(some);
      if (live.length > 2000) break;
    }
    live.forEach(verify);
    arena.check();
    arena.destroy();
    heap.check();
    expect(heap.stats()).toMatchObject({ liveBlocks: 0 });
  }
});
