/**
 * Every prefix of an operation's stores must leave a state whose truth can be read: what is tracked, and how often. So the
 * stores are recorded, done again one by one on a copy, and the copy is recovered after each.
 */
import { asPtr, Heap, type Ptr } from "@heapwright/core";
import { allowLive, random, runs, seedFromEnv } from "@heapwright/core/testing";
import { beforeEach, expect, test } from "vitest";

import { RmState } from "../src/index.ts";

// States stay where nothing else is tested than the bytes that they lie in.
beforeEach(() => allowLive());

interface Store {
  readonly word: number;
  readonly value: number;
}

/** What is known of the innards of heap and state: where their words are. */
interface Words {
  words: Uint32Array;
}

/** Runs an act and records its stores, those of `fill` and `copyWithin` word by word. */
function record(state: RmState, act: () => void): Store[] {
  const stores: Store[] = [];
  const heap = state.heap as unknown as Words;
  const { words } = heap;
  const proxy = new Proxy(words, {
    get(target, key) {
      if (key === "fill") return Array.prototype.fill;
      if (key === "copyWithin") return Array.prototype.copyWithin;
      // Typed arrays know themselves by their own `this`, which the proxy is not.
      return Reflect.get(target, key, target) as unknown;
    },
    set(target, key, value: number) {
      const word = Number(key);
      stores.push({ word, value: value >>> 0 });
      target[word] = value;
      return true;
    },
    deleteProperty: () => false,
  });
  heap.words = proxy;
  state.words = proxy;
  try {
    act();
  } finally {
    heap.words = words;
    state.words = words;
  }
  return stores;
}

const countsOf = (state: RmState): Map<Ptr, number> => new Map([...state].map(({ ptr, count }) => [ptr, count]));

/** A copy of a heap with some more stores; recovered, and its state too. */
function recovered(image: ArrayBuffer, stores: readonly Store[], handle: Ptr): RmState {
  const words = new Uint32Array(image.slice(0));
  for (const { word, value } of stores) words[word] = value;
  const heap = Heap.attach(words.buffer);
  heap.recover();
  const state = RmState.attach(heap, handle);
  state.recover();
  state.check();
  heap.check();
  return state;
}

/**
 * Stops an act before each of its stores.
 *
 * @param act - is run on the state in the end
 * @param own - the pointer it is about: its count may be the one before or the one after
 * @returns how many stores there were
 */
function crashEverywhere(state: RmState, act: () => void, own: (ptr: Ptr) => boolean): number {
  const { handle, heap } = state;
  const image = heap.image();
  const before = countsOf(state);
  const stores = record(state, act);
  const after = countsOf(state);
  for (let done = 0; done <= stores.length; done += 1) {
    const counts = countsOf(recovered(image, stores.slice(0, done), handle));
    for (const ptr of new Set([...before.keys(), ...after.keys(), ...counts.keys()])) {
      const [found, old, wanted] = [counts.get(ptr), before.get(ptr), after.get(ptr)];
      if (found === old && (old === wanted || own(ptr))) continue;
      if (own(ptr) && found === wanted) continue;
      throw new Error(
        `${done} of ${stores.length} stores done: ${ptr} has ${found} references, not ${old} or ${wanted}`,
      );
    }
  }
  state.check();
  return stores.length;
}

/** What an act is about, by which its pointer may be told. */
type Own = (ptr: Ptr) => boolean;
const only = (wanted: Ptr): Own => {
  return (ptr) => ptr === wanted;
};

function stateWith(tracked: number, hashSize: number = 32): { state: RmState; ptrs: Ptr[]; others: Own } {
  const state = new RmState(hashSize, { backing: new Heap({ bytes: 1 << 15 }) });
  const ptrs = Array.from({ length: tracked }, () => state.malloc(16));
  ptrs.forEach((ptr, at) => at % 3 === 0 && state.retain(ptr));
  const known = new Set(ptrs);
  return { state, ptrs, others: (ptr) => !known.has(ptr) };
}

/** Random pointers whose homes in a first table lie close together, so that most stand behind their homes. */
function crowding(seed: number): () => Ptr {
  const next = random(seed);
  const inverse = 0x0e8b_2f51;
  return () => asPtr(Math.imul(Math.floor(next() * 2 ** 29) + 1, inverse) >>> 0);
}

test("retain, release and detach are one store, a last release another few behind it", () => {
  const { state, ptrs } = stateWith(9);
  const [a, b, c] = ptrs as [Ptr, Ptr, Ptr];
  const stores = [
    crashEverywhere(state, () => state.retain(b), only(b)),
    crashEverywhere(state, () => state.release(b), only(b)),
    crashEverywhere(state, () => state.detach(a), only(a)),
  ];
  expect(stores).toEqual([1, 1, 1]);
  expect(crashEverywhere(state, () => state.release(c), only(c))).toBeGreaterThan(1);
});

test("allocating into a slot that waits for the pointer, and into an empty one", () => {
  const { state, ptrs, others } = stateWith(9);
  const last = ptrs.at(-1)!;
  state.release(last);
  expect(crashEverywhere(state, () => state.malloc(16), only(last))).toBeGreaterThan(1);
  expect(crashEverywhere(state, () => state.malloc(16), others)).toBeGreaterThan(2);
});

test("a table that is replaced by a larger one", () => {
  let replaced = 0;
  for (let tracked = 1; tracked < 60; tracked += 1) {
    const { state, others } = stateWith(tracked, 8);
    const { homes } = state.stats();
    crashEverywhere(state, () => state.malloc(16), others);
    if (state.stats().homes > homes) replaced += 1;
  }
  expect(replaced).toBeGreaterThan(5);
});

test("a table that is cleared, with pointers that move up", () => {
  let cleared = 0;
  for (let round = 0; round < runs(10); round += 1) {
    const fresh = crowding(seedFromEnv() + round);
    const state = new RmState(64, { backing: new Heap({ bytes: 1 << 14 }) });
    const ptrs = Array.from({ length: 30 }, fresh);
    for (const ptr of ptrs) state.attach(ptr);
    // A third stay; the slots of the others wait until the next one finds none.
    for (const [at, ptr] of ptrs.entries()) if (at % 3 !== 0) state.detach(ptr);
    const { homes } = state.stats();
    const ptr = fresh();
    const stores = crashEverywhere(state, () => state.attach(ptr), only(ptr));
    expect(state.stats().homes).toBe(homes);
    if (stores > 30) cleared += 1;
  }
  expect(cleared).toBeGreaterThan(0);
});

test("recover, cut short, is done again", () => {
  const fresh = crowding(seedFromEnv());
  const state = new RmState(64, { backing: new Heap({ bytes: 1 << 13 }) });
  const ptrs = Array.from({ length: 30 }, fresh);
  for (const ptr of ptrs) state.attach(ptr);
  for (const [at, ptr] of ptrs.entries()) if (at % 3 !== 0) state.detach(ptr);
  const image = state.heap.image();
  const stores = record(state, () => state.attach(fresh()));
  for (let done = 0; done <= stores.length; done += 1) {
    const words = new Uint32Array(image.slice(0));
    for (const { word, value } of stores.slice(0, done)) words[word] = value;
    const broken = RmState.attach(Heap.attach(words.buffer), state.handle);
    const again = words.buffer.slice(0);
    const repairs = record(broken, () => broken.recover());
    for (let repaired = 0; repaired <= repairs.length; repaired += 1) {
      const { size } = countsOf(recovered(again, repairs.slice(0, repaired), state.handle));
      if (size !== 10 && size !== 11) throw new Error(`${done} stores, ${repaired} repairs: ${size} pointers`);
    }
  }
  expect(stores.length).toBeGreaterThan(30);
});
