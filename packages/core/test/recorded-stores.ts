/**
 * Records what goes into shared memory, store by store: plain stores through any view, those of `fill`, `copyWithin` and
 * `set` element by element, Atomics, and memory that grows. A prefix of the record, stored again into a copy, is what
 * others find when whoever stored it has died there.
 *
 * It knows nothing of heaps. Views are watched when they are taken inside of `watched`.
 *
 * @module
 */

/** One store, or pages by which a memory has grown. */
export type Store =
  | { readonly at: number; readonly bytes: number; readonly value: number }
  | { readonly pages: number };

type View = Uint8Array | Int32Array | Uint32Array;
type ViewConstructor = new (...args: unknown[]) => View;
type AtomicsCall = (view: View, index: number, ...values: number[]) => number;

const VIEWS = [
  "Int8Array",
  "Uint8Array",
  "Int16Array",
  "Uint16Array",
  "Int32Array",
  "Uint32Array",
  "Float32Array",
  "Float64Array",
  "BigInt64Array",
  "BigUint64Array",
] as const;
const LOADS = ["load", "notify", "wait", "waitAsync"] as const;
const STORES = ["store", "exchange", "compareExchange", "add", "sub", "and", "or", "xor"] as const;
/** Smaller shared memory is no heap: what finds out whether a thread may sleep. */
const SMALLEST_BYTES = 1024;
const PAGE_BYTES = 65_536;

/** What is being recorded. */
let record: Store[] | undefined;
/** What lies behind watched views. */
const plainViews: WeakMap<View, View> = new WeakMap();

/**
 * Does something while the views that are taken of shared memory are watched ones, and Atomics accept them. An `act` that
 * is asynchronous may wait for its own microtasks only: nothing else is to run meanwhile.
 */
export async function watched<T>(act: () => T): Promise<Awaited<T>> {
  const undo: (() => void)[] = [];
  const replace = <F extends object>(place: object, name: string, replacement: (original: F) => F): void => {
    const descriptor = Object.getOwnPropertyDescriptor(place, name);
    if (descriptor === undefined) return;
    Object.defineProperty(place, name, { ...descriptor, value: replacement(descriptor.value as F) });
    undo.push(() => void Object.defineProperty(place, name, descriptor));
  };
  for (const name of VIEWS) replace(globalThis, name, watchingConstructor);
  for (const name of LOADS) replace(Atomics, name, loading);
  for (const name of STORES) replace(Atomics, name, storing);
  replace(ArrayBuffer, "isView", asking);
  replace(WebAssembly.Memory.prototype, "grow", growing);
  try {
    return await act();
  } finally {
    for (const restore of undo) restore();
  }
}

/** What an act stores through watched views, in order. */
export async function storesOf(act: () => unknown): Promise<Store[]> {
  const stores: Store[] = [];
  await watched(async () => {
    record = stores;
    try {
      await act();
    } finally {
      record = undefined;
    }
  });
  return stores;
}

/** Stores once more what was recorded, in memory that has grown already. */
export function storeAgain(buffer: ArrayBufferLike, stores: Iterable<Store>): void {
  const u8 = new Uint8Array(buffer);
  const u32 = new Uint32Array(buffer, 0, buffer.byteLength >>> 2);
  for (const store of stores) {
    if ("pages" in store) continue;
    if (store.bytes === 1) u8[store.at] = store.value;
    else u32[store.at >>> 2] = store.value;
  }
}

/** By how many bytes a memory has grown. */
export function growthIn(stores: Iterable<Store>): number {
  let bytes = 0;
  for (const store of stores) if ("pages" in store) bytes += store.pages * PAGE_BYTES;
  return bytes;
}

function watchingConstructor(original: ViewConstructor): ViewConstructor {
  return new Proxy(original, {
    construct(target, args) {
      const view = Reflect.construct(target, args) as View;
      const [source] = args as unknown[];
      return source instanceof SharedArrayBuffer && source.byteLength >= SMALLEST_BYTES ? watchedView(view) : view;
    },
  });
}

function watchedView(view: View): View {
  const watching: View = new Proxy(view, {
    get(target, key) {
      if (key === "fill" || key === "copyWithin") return Array.prototype[key];
      if (key === "set") return setEach;
      // Typed arrays know themselves by their own `this`, which the proxy is not.
      return Reflect.get(target, key, target) as unknown;
    },
    set(target, key, value: number) {
      target[Number(key)] = value;
      note(target, Number(key));
      return true;
    },
    // What is not there is read as such: deleting elements is none of copyWithin's business here.
    deleteProperty: () => false,
  });
  plainViews.set(watching, view);
  return watching;
}

function setEach(this: View, source: ArrayLike<number>, offset: number = 0): void {
  for (let i = 0; i < source.length; i += 1) this[offset + i] = source[i]!;
}

function loading(original: AtomicsCall): AtomicsCall {
  return (view, index, ...values) => original(plainViews.get(view) ?? view, index, ...values);
}

function storing(original: AtomicsCall): AtomicsCall {
  return (view, index, ...values) => {
    const plain = plainViews.get(view);
    if (plain === undefined) return original(view, index, ...values);
    const found = original(plain, index, ...values);
    const isRefused = original.name === "compareExchange" && found !== values[0];
    if (!isRefused) note(plain, index);
    return found;
  };
}

function asking(original: typeof ArrayBuffer.isView): typeof ArrayBuffer.isView {
  return (value): value is ArrayBufferView => original(plainViews.get(value as View) ?? value);
}

function growing(original: WebAssembly.Memory["grow"]): WebAssembly.Memory["grow"] {
  return function (this: WebAssembly.Memory, pages) {
    const before = original.call(this, pages);
    if (pages > 0) record?.push({ pages });
    return before;
  };
}

/** Notes an element of a view as it is now. */
function note(view: View, index: number): void {
  const bytes = view.BYTES_PER_ELEMENT;
  if (bytes !== 1 && bytes !== 4) throw new Error(`a store of ${bytes} bytes, which nobody records`);
  record?.push({ at: view.byteOffset + index * bytes, bytes, value: view[index]! >>> 0 });
}
