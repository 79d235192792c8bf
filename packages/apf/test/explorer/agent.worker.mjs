// An agent under the scheduler: runs the compiled package as it is, in a thread of its own, and stops before each access to
// a word that others touch too. Views of the heap are proxies, and so is Atomics; what is behind them is real shared memory.
import { workerData } from "node:worker_threads";

import { COMMAND, CONTROL, KIND } from "./control.mjs";
import { SCENARIOS } from "./scenarios.mjs";

const { control, contended, touched, agent, apfUrl, coreUrl, descriptor, handle } = workerData;
const bit = 1 << agent;
const go = CONTROL.GO + agent;
const status = CONTROL.STATUS + agent;
const SMALLEST_BYTES = 1024;
/** Bits of `touched`: which agents have, which of them wrote, which had no lock then. */
const WRITTEN_SHIFT = 4;
const UNLOCKED_SHIFT = 8;
const plain = Object.fromEntries(Object.getOwnPropertyNames(Atomics).map((name) => [name, Atomics[name]]));
const { Uint32Array: Words } = globalThis;
const plainViews = new WeakMap();

let isWatching = false;
let holdsLock = false;
let lockWord = -1;

/** Lets others go on, if anyone else may notice when this is done. */
function stop(kind) {
  const turn = plain.load(control, go);
  plain.store(control, status, kind);
  plain.notify(control, status);
  while (plain.load(control, go) === turn) plain.wait(control, go, turn);
}

function before(word, isWrite) {
  if (!isWatching || word === lockWord) return;
  touched[word] |= bit | (isWrite ? bit << WRITTEN_SHIFT : 0) | (holdsLock ? 0 : bit << UNLOCKED_SHIFT);
  if (contended[word] !== 0) stop(KIND.ACCESS);
}

function wordOf(view, index) {
  return (view.byteOffset + index * view.BYTES_PER_ELEMENT) >>> 2;
}

function watchedView(view) {
  const watching = new Proxy(view, {
    get(target, key) {
      const index = typeof key === "string" ? Number(key) : NaN;
      if (index >= 0) {
        before(wordOf(target, index), false);
        return target[index];
      }
      const value = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
    set(target, key, value) {
      before(wordOf(target, Number(key)), true);
      target[Number(key)] = value;
      return true;
    },
  });
  plainViews.set(watching, view);
  return watching;
}

for (const name of ["Int32Array", "Uint32Array", "Uint8Array"]) {
  globalThis[name] = new Proxy(globalThis[name], {
    construct(target, args) {
      const view = Reflect.construct(target, args);
      const isHeap = args[0] instanceof SharedArrayBuffer && args[0].byteLength >= SMALLEST_BYTES;
      return isHeap ? watchedView(view) : view;
    },
  });
}

for (const name of ["load", "store", "add", "sub", "exchange", "compareExchange", "notify"]) {
  Atomics[name] = (view, index, ...values) => {
    const target = plainViews.get(view);
    if (target === undefined) return plain[name](view, index, ...values);
    const word = wordOf(target, index);
    if (word === lockWord && isWatching && name === "compareExchange" && values[0] === 0 && !holdsLock) {
      // Granted when it is free only.
      stop(KIND.LOCK);
      holdsLock = true;
    } else {
      before(word, name !== "load" && name !== "notify");
    }
    if (word === lockWord && name === "exchange") holdsLock = false;
    return plain[name](target, index, ...values);
  };
}

const [{ Heap }, { ApfAllocator }] = await Promise.all([import(coreUrl), import(apfUrl)]);
const heap = Heap.attach(descriptor);
const apf = ApfAllocator.attach(heap, handle);
lockWord = heap.lock.word;
const raw = new Words(heap.buffer);
const blocks = new Words(control.buffer, CONTROL.BLOCKS_BYTES);
const context = {
  heap,
  apf,
  raw,
  blocks,
  /** Allocates and signs. */
  take(at, size) {
    const ptr = apf.malloc(size);
    if (ptr === 0) throw new Error("no memory");
    raw[ptr >>> 2] = ptr ^ at;
    blocks[at] = ptr;
  },
  /** Frees what nobody has written over. */
  give(at) {
    const ptr = blocks[at];
    if (raw[ptr >>> 2] !== (ptr ^ at) >>> 0) throw new Error(`block ${at} at ${ptr} was written to`);
    blocks[at] = 0;
    apf.free(ptr);
  },
};
let saved = [];

for (;;) {
  stop(KIND.DONE);
  const command = plain.load(control, CONTROL.COMMAND);
  const scenario = SCENARIOS[plain.load(control, CONTROL.SCENARIO)];
  try {
    if (command === COMMAND.END) break;
    if (command === COMMAND.ARRANGE) scenario.arrange[plain.load(control, CONTROL.STEP)][1](context);
    if (command === COMMAND.SAVE) saved = [apf, apf.inner].map((object) => [object, { ...object }]);
    if (command === COMMAND.RUN) {
      for (const [object, fields] of saved) Object.assign(object, fields);
      holdsLock = false;
      isWatching = true;
      scenario.scripts[agent](context);
    }
  } catch (error) {
    const text = new TextEncoder().encode(`${error.stack ?? error}`.slice(0, 600));
    new Uint8Array(control.buffer, CONTROL.MESSAGE_BYTES).set(text);
    plain.store(control, CONTROL.MESSAGE_LENGTH, text.length);
  }
  isWatching = false;
}
