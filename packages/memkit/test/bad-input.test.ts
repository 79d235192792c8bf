/**
 * Every public function, given what it cannot use, an argument at a time: the documented result or a HeapError, and no byte
 * of the heap changed.
 */
import { asPtr, Heap, type HeapBuffer, HeapError, NULL, type Ptr } from "@heapwright/core";
import { beforeEach, describe, expect, test, vi } from "vitest";

import * as api from "../src/index.ts";
import { MemoryArena, MemoryContainer, MemoryPointer, MemoryPool } from "../src/index.ts";
import { allocated, got, heapOf, keep, poolOf, unchanged } from "./made.ts";

const { EFAULT, EINVAL, ENOMEM, EOVERFLOW, mem_errno } = api;

/** Values of types that no function here takes, but where the name says so. */
const STRANGERS: [name: string, value: unknown][] = [
  ["a number", 8],
  ["NaN", NaN],
  ["a BigInt", 16n],
  ["a string", "16"],
  ["undefined", undefined],
  ["an object", {}],
  ["an array", [16]],
  ["a symbol", Symbol("16")],
  ["a function", () => 16],
  ["true", true],
  ["a heap", new Heap({ bytes: 1 << 16 })],
];
/** Numbers that are no sizes, and sizes that no heap has. */
const NO_SIZES = [-1, -8, 1.5, NaN, Infinity, -Infinity];
const HUGE_SIZES = [2 ** 31, 2 ** 32 - 8, 2 ** 32, 2 ** 32 + 64, 2 ** 53, 1e300];

interface Fixture {
  readonly heap: Heap<HeapBuffer>;
  readonly pool: MemoryPool;
  readonly ptr: MemoryPointer;
  readonly container: MemoryContainer;
  readonly arena: MemoryArena;
  readonly loose: MemoryContainer;
  readonly unmade: MemoryPool;
}

/** The handler is told of sizes that no heap has. */
beforeEach(() => {
  vi.spyOn(console, "error").mockImplementation(() => {});
  return () => vi.restoreAllMocks();
});

function fixture(debug: boolean = true): Fixture {
  const heap = heapOf(1 << 16);
  const pool = poolOf(4, { debug, backing: heap });
  const ptr = allocated(pool, "data_buffer", 64);
  keep(ptr.share("twin"));
  allocated(pool, "orphan", 32).destroy();
  const arena = keep(new MemoryArena(64, { backing: heap }));
  arena.alloc(8);
  const loose = keep(new MemoryContainer(1n, 8, { backing: heap }));
  return { heap, pool, ptr, container: ptr.container, arena, loose, unmade: keep(new MemoryPool()) };
}

type Kind = "pool" | "ptr" | "container" | "arena" | "name" | "address" | "boolean" | "number" | "options";

/** Whether a stranger is none to this kind of parameter. Any object may be options, without any. */
function suits(kind: Kind, value: unknown): boolean {
  if (kind === "number") return typeof value === "number";
  if (kind === "options") return typeof value === "object" && value !== null;
  if (kind === "name") return typeof value === "string";
  if (kind === "address") return typeof value === "bigint";
  return kind === "boolean" && value === true;
}

interface Entry {
  readonly kinds: readonly Kind[];
  readonly args: (f: Fixture) => unknown[];
  /** What it gives when it fails; `undefined`: it has no result. */
  readonly failure: unknown;
  /** What `null` gives, by parameter; where it is not named, `null` is of a wrong type. */
  readonly nulls?: Readonly<Record<number, readonly [result: unknown, errno: number]>>;
  /** Parameters that may be left out. */
  readonly optional?: readonly number[];
}

/** The document's API. */
const FUNCTIONS: Record<string, Entry> = {
  mem_pool_init: {
    kinds: ["pool", "number", "options"],
    args: ({ unmade, heap }) => [unmade, 8, { backing: heap }],
    failure: false,
    nulls: { 0: [false, EINVAL] },
    optional: [2],
  },
  mem_pool_destroy: { kinds: ["pool"], args: ({ pool }) => [pool], failure: undefined, nulls: { 0: [undefined, 0] } },
  mem_pool_add_container: {
    kinds: ["pool", "container"],
    args: ({ pool, loose }) => [pool, loose],
    failure: false,
    nulls: { 0: [false, EINVAL], 1: [false, EINVAL] },
  },
  remove_container_from_pool: {
    kinds: ["pool", "container", "boolean"],
    args: ({ pool, container }) => [pool, container, true],
    failure: false,
    nulls: { 0: [false, EINVAL], 1: [false, EINVAL] },
  },
  grow_pool_capacity: { kinds: ["pool"], args: ({ pool }) => [pool], failure: false, nulls: { 0: [false, EINVAL] } },
  mem_pool_get_count: { kinds: ["pool"], args: ({ pool }) => [pool], failure: 0, nulls: { 0: [0, EINVAL] } },
  mem_pool_get_total_bytes: { kinds: ["pool"], args: ({ pool }) => [pool], failure: 0, nulls: { 0: [0, EINVAL] } },
  mem_pool_validate: { kinds: ["pool"], args: ({ pool }) => [pool], failure: false, nulls: { 0: [false, EINVAL] } },
  mem_pool_dump: {
    kinds: ["pool", "boolean"],
    args: ({ pool }) => [pool, true],
    failure: undefined,
    nulls: { 0: [undefined, EINVAL] },
  },
  mem_pointer_create: {
    kinds: ["name", "number", "options"],
    args: ({ heap }) => ["name", 8, { backing: heap }],
    failure: null,
    nulls: { 0: [null, EINVAL] },
    optional: [1, 2],
  },
  mem_pointer_allocate: {
    kinds: ["ptr", "number", "pool"],
    args: ({ ptr, pool }) => [ptr, 8, pool],
    failure: false,
    nulls: { 0: [false, EINVAL], 2: [false, EINVAL] },
  },
  mem_pointer_share: {
    kinds: ["ptr", "name"],
    args: ({ ptr }) => [ptr, "name"],
    failure: null,
    nulls: { 0: [null, EINVAL], 1: [null, EINVAL] },
  },
  mem_pointer_write: {
    kinds: ["ptr", "pool"],
    args: ({ ptr, pool }) => [ptr, pool],
    failure: false,
    nulls: { 0: [false, EINVAL], 1: [false, EINVAL] },
  },
  mem_pointer_destroy: {
    kinds: ["ptr", "pool"],
    args: ({ ptr, pool }) => [ptr, pool],
    failure: undefined,
    nulls: { 0: [undefined, 0] },
  },
  mem_container_create: {
    kinds: ["address", "number", "options"],
    args: ({ heap }) => [1n, 8, { backing: heap }],
    failure: null,
    optional: [2],
  },
  mem_container_destroy: {
    kinds: ["container"],
    args: ({ loose }) => [loose],
    failure: undefined,
    nulls: { 0: [undefined, 0] },
  },
  mem_compute_hash: { kinds: ["name"], args: () => ["name"], failure: 0n, nulls: { 0: [0n, 0] } },
  mem_arena_create: {
    kinds: ["number", "options"],
    args: ({ heap }) => [8, { backing: heap }],
    failure: null,
    optional: [1],
  },
  mem_arena_alloc: {
    kinds: ["arena", "number"],
    args: ({ arena }) => [arena, 8],
    failure: NULL,
    nulls: { 0: [NULL, EINVAL] },
  },
  mem_arena_destroy: {
    kinds: ["arena"],
    args: ({ arena }) => [arena],
    failure: undefined,
    nulls: { 0: [undefined, 0] },
  },
};

/** The classes; they throw where the document's API gives its failure value. */
const CLASSES: Record<
  string,
  Omit<Entry, "failure" | "nulls"> & { readonly call: (f: Fixture, ...args: unknown[]) => unknown }
> = {
  "new MemoryPool": {
    kinds: ["number", "options"],
    args: ({ heap }) => [8, { backing: heap }],
    call: (_, ...args) => Reflect.construct(MemoryPool, args),
    optional: [0, 1],
  },
  "pool.add": {
    kinds: ["container"],
    args: ({ loose }) => [loose],
    call: ({ pool }, ...args) => Reflect.apply(pool.add, pool, args),
  },
  "pool.remove": {
    kinds: ["container", "boolean"],
    args: ({ container }) => [container, true],
    call: ({ pool }, ...args) => Reflect.apply(pool.remove, pool, args),
    optional: [1],
  },
  "pool.next": {
    kinds: ["pool"],
    args: ({ pool }) => [pool],
    call: ({ pool }, value) => Reflect.set(pool, "next", value),
  },
  "new MemoryPointer": {
    kinds: ["name", "number", "options"],
    args: ({ heap }) => ["name", 8, { backing: heap }],
    call: (_, ...args) => Reflect.construct(MemoryPointer, args),
    optional: [1, 2],
  },
  "ptr.allocate": {
    kinds: ["number", "pool"],
    args: ({ pool }) => [8, pool],
    call: ({ ptr }, ...args) => Reflect.apply(ptr.allocate, ptr, args),
  },
  "ptr.share": {
    kinds: ["name"],
    args: () => ["name"],
    call: ({ ptr }, ...args) => Reflect.apply(ptr.share, ptr, args),
  },
  "ptr.write": {
    kinds: ["pool"],
    args: ({ pool }) => [pool],
    call: ({ ptr }, ...args) => Reflect.apply(ptr.write, ptr, args),
    optional: [0],
  },
  "new MemoryContainer": {
    kinds: ["address", "number", "options"],
    args: ({ heap }) => [1n, 8, { backing: heap }],
    call: (_, ...args) => Reflect.construct(MemoryContainer, args),
    optional: [2],
  },
  "new MemoryArena": {
    kinds: ["number", "options"],
    args: ({ heap }) => [8, { backing: heap }],
    call: (_, ...args) => Reflect.construct(MemoryArena, args),
    optional: [1],
  },
  "arena.alloc": {
    kinds: ["number"],
    args: () => [8],
    call: ({ arena }, ...args) => Reflect.apply(arena.alloc, arena, args),
  },
  "arena.rewind": {
    kinds: ["number"],
    args: ({ arena }) => [arena.mark()],
    call: ({ arena }, ...args) => Reflect.apply(arena.rewind, arena, args),
  },
};

const call = (name: string, args: readonly unknown[]): unknown =>
  Reflect.apply(Reflect.get(api, name) as () => unknown, undefined, args);

/** The code of the HeapError that an act ends with, if its message names finding and remedy; any other error is thrown again. */
function refusal(act: () => unknown): string {
  try {
    return `gives ${String(act())}`;
  } catch (error) {
    if (error instanceof HeapError && /[:;] .+/.test(error.message)) return error.code;
    throw error;
  }
}

/** Arguments with another one in a place. */
function put(args: readonly unknown[], at: number, value: unknown): unknown[] {
  return args.map((one, i) => (i === at ? value : one));
}

test("every function of the document is here", () => {
  const names = Object.entries(api).filter(([name, value]) => typeof value === "function" && /^[a-z]/.test(name));
  expect(names.map(([name]) => name).sort()).toEqual(
    [...Object.keys(FUNCTIONS), "mem_errno", "mem_set_oom_handler"].sort(),
  );
});

describe.each(Object.entries(FUNCTIONS))("%s", (name, { kinds, args, nulls = {}, optional = [] }) => {
  for (const [at, kind] of kinds.entries()) {
    test(`parameter ${at + 1}, ${kind}: of another type`, () => {
      const f = fixture();
      const good = args(f);
      const others = [f.pool, f.ptr, f.arena, f.container].filter((one) => one.constructor !== good[at]?.constructor);
      unchanged(f.heap, () => {
        for (const [, value] of [...STRANGERS, ...others.map((one) => ["", one] as const)]) {
          if (suits(kind, value) || (value === undefined && optional.includes(at))) continue;
          expect(refusal(() => call(name, put(good, at, value)))).toBe("ERR_INVALID_ARGUMENT");
          expect(mem_errno()).toBe(EINVAL);
        }
      });
    });

    test(`parameter ${at + 1}, ${kind}: null`, () => {
      const f = fixture();
      const given = put(args(f), at, null);
      unchanged(f.heap, () => {
        const [result, errno] = nulls[at] ?? [undefined, EINVAL];
        const said = nulls[at] === undefined ? "ERR_INVALID_ARGUMENT" : `gives ${String(result)}`;
        // With no pool a pointer is destroyed all the same.
        if (name === "mem_pointer_destroy" && at === 1) return;
        expect([refusal(() => call(name, given)), mem_errno()]).toEqual([said, errno]);
      });
    });
  }
});

test.each(Object.entries(FUNCTIONS))(
  "%s, given what it can use, succeeds, and errno is 0",
  (name, { args, failure }) => {
    const given = args(fixture());
    api.grow_pool_capacity(null);
    expect(mem_errno()).toBe(EINVAL);
    const result = call(name, given);
    expect(mem_errno()).toBe(0);
    expect(result === failure).toBe(failure === undefined);
    if (result instanceof MemoryPointer || result instanceof MemoryContainer || result instanceof MemoryArena)
      keep(result);
  },
);

/** Functions whose number is a size or a capacity; a hint may be anything. */
const SIZED = Object.entries(FUNCTIONS).filter(
  ([name, { kinds }]) => kinds.includes("number") && name !== "mem_pointer_create",
);
describe.each(SIZED)("%s", (name, { kinds, args, failure }) => {
  const at = kinds.indexOf("number");

  test.each(NO_SIZES)("a size of %d", (size) => {
    const f = fixture();
    unchanged(f.heap, () => {
      expect([call(name, put(args(f), at, size)), mem_errno()]).toEqual([failure, EINVAL]);
    });
  });

  test.each(HUGE_SIZES)("a size of %d", (size) => {
    const f = fixture();
    const before = f.arena.dump();
    expect(call(name, put(args(f), at, size))).toEqual(failure);
    expect([ENOMEM, EOVERFLOW]).toContain(mem_errno());
    // Orphans may have been given back in the attempt.
    expect([f.pool.stats().liveContainers, f.arena.dump()]).toEqual([1, before]);
  });
});

describe.each(Object.entries(CLASSES))("%s", (_, { kinds, args, call: act, optional = [] }) => {
  for (const [at, kind] of kinds.entries()) {
    test(`parameter ${at + 1}, ${kind}: of another type, or null`, () => {
      const f = fixture();
      const good = args(f);
      const others = [f.pool, f.ptr, f.arena, f.container].filter((one) => one.constructor !== good[at]?.constructor);
      const strangers = [...STRANGERS.map(([, value]) => value), ...others, null];
      unchanged(f.heap, () => {
        for (const value of strangers) {
          if (suits(kind, value) || (value === undefined && optional.includes(at))) continue;
          // No next pool.
          if (kinds.length === 1 && kind === "pool" && value === null && optional.length === 0) continue;
          expect([refusal(() => act(f, ...put(good, at, value))), value]).toEqual(["ERR_INVALID_ARGUMENT", value]);
        }
      });
    });
  }
});

describe("options", () => {
  const wrong: [name: string, option: Record<string, unknown>][] = [
    ...["orphans", "maxOrphans", "threadSafe", "debug", "log", "report"].flatMap((name) =>
      [null, {}, [], Symbol("x")].map((value): [string, Record<string, unknown>] => [
        `${name}: a stranger`,
        { [name]: value },
      ]),
    ),
    ["orphans: another string", { orphans: "some" }],
    ["maxOrphans: -1", { maxOrphans: -1 }],
    ["maxOrphans: 1.5", { maxOrphans: 1.5 }],
    ["maxOrphans: 2^31", { maxOrphans: 2 ** 31 }],
    ["debug: 1", { debug: 1 }],
    ["threadSafe: 0", { threadSafe: 0 }],
    ["log: a string", { log: "console" }],
  ];
  test.each(wrong)("%s", (_, option) => {
    const f = fixture();
    const options = { backing: f.heap, ...option };
    unchanged(f.heap, () => {
      expect(refusal(() => Reflect.construct(MemoryPool, [8, options]))).toBe("ERR_INVALID_ARGUMENT");
      expect(refusal(() => Reflect.apply(MemoryPool.attach, MemoryPool, [f.heap, f.pool.handle, options]))).toBe(
        "ERR_INVALID_ARGUMENT",
      );
    });
  });

  test.each([null, {}, [], 8, "heap", { malloc: () => 0 }, { heap: {} }])("a backing that is none: %o", (backing) => {
    const f = fixture();
    unchanged(f.heap, () => {
      for (const [X, ...args] of [
        [MemoryPool, 8],
        [MemoryPointer, "p", 8],
        [MemoryContainer, 1n, 8],
        [MemoryArena, 8],
      ] as const) {
        expect(refusal(() => Reflect.construct(X, [...args, { backing }]))).toBe("ERR_INVALID_ARGUMENT");
      }
    });
  });
});

describe.each([true, false])("what has been destroyed, debug: %s", (debug) => {
  /** Calls that are not refused with the code that stands before them, each with what it did instead. */
  const misses = ({ heap }: Fixture, acts: readonly (readonly [code: string, act: () => unknown])[]): unknown[] => {
    const found: unknown[] = [];
    unchanged(heap, () => {
      for (const [code, act] of acts) {
        const did = refusal(act);
        if (did !== code) found.push([code, did, String(act)]);
      }
    });
    return found;
  };

  test("pools, through whatever object", () => {
    const f = fixture(debug);
    const { heap, pool, loose } = f;
    const twin = MemoryPool.attach(heap, pool.handle);
    const empty = keep(new MemoryPointer("empty", 0, { backing: heap }));
    const { ptr } = f;
    api.mem_pool_destroy(pool);
    for (const gone of [pool, twin]) {
      expect(
        misses(
          f,
          (
            [
              () => api.mem_pool_destroy(gone),
              () => api.mem_pool_add_container(gone, loose),
              () => api.remove_container_from_pool(gone, loose, true),
              () => api.grow_pool_capacity(gone),
              () => api.mem_pool_get_count(gone),
              () => api.mem_pool_get_total_bytes(gone),
              () => api.mem_pool_validate(gone),
              () => api.mem_pool_dump(gone, true),
              () => api.mem_pointer_allocate(empty, 8, gone),
              () => gone.destroy(),
              () => gone.grow(),
              () => gone.trim(),
              () => gone.add(loose),
              () => gone.remove(loose),
              () => gone.stats(),
              () => [...gone.blocks()],
              () => gone.containers,
              () => gone.count,
              () => gone.capacity,
              () => gone.totalBytes,
              () => gone.maxOrphans,
              () => gone.next,
              () => gone.handle,
              () => gone.dump(),
              () => gone.check(),
            ] as const
          ).map((act) => ["ERR_DESTROYED", act] as const),
        ),
      ).toEqual([]);
      gone[Symbol.dispose]();
    }
    expect(
      misses(f, [
        ["ERR_USE_AFTER_FREE", () => ptr.container],
        ["ERR_USE_AFTER_FREE", () => ptr.share("s")],
        ["ERR_USE_AFTER_FREE", () => api.mem_pointer_share(ptr, "s")],
      ]),
    ).toEqual([]);
  });

  test("pointers", () => {
    const f = fixture(debug);
    const { pool } = f;
    const ptr = allocated(pool, "gone", 64);
    api.mem_pointer_destroy(ptr, pool);
    expect(
      misses(f, [
        ["ERR_DOUBLE_FREE", () => api.mem_pointer_destroy(ptr, pool)],
        ["ERR_DOUBLE_FREE", () => api.mem_pointer_destroy(ptr, null)],
        ["ERR_DOUBLE_FREE", () => ptr.destroy()],
        ["ERR_USE_AFTER_FREE", () => api.mem_pointer_allocate(ptr, 8, pool)],
        ["ERR_USE_AFTER_FREE", () => api.mem_pointer_share(ptr, "s")],
        ["ERR_USE_AFTER_FREE", () => api.mem_pointer_write(ptr, pool)],
        ["ERR_USE_AFTER_FREE", () => ptr.container],
        ["ERR_USE_AFTER_FREE", () => ptr.handle],
      ]),
    ).toEqual([]);
    expect(mem_errno()).toBe(EFAULT);
  });

  test("containers", () => {
    const f = fixture(debug);
    const { pool, heap } = f;
    const freed = new MemoryContainer(1n, 64, { backing: heap });
    freed.destroy();
    const ptr = allocated(pool, "p", 128);
    const orphaned = ptr.container;
    ptr.destroy();
    for (const gone of [freed, orphaned]) {
      expect(
        misses(f, [
          ["ERR_DOUBLE_FREE", () => api.mem_container_destroy(gone)],
          ["ERR_DOUBLE_FREE", () => gone.destroy()],
          ["ERR_USE_AFTER_FREE", () => api.mem_pool_add_container(pool, gone)],
          ["ERR_USE_AFTER_FREE", () => api.remove_container_from_pool(pool, gone, true)],
          ["ERR_USE_AFTER_FREE", () => gone.data],
          ["ERR_USE_AFTER_FREE", () => gone.size],
          ["ERR_USE_AFTER_FREE", () => gone.address],
          ["ERR_USE_AFTER_FREE", () => gone.ref_count],
        ]),
      ).toEqual([]);
    }
  });

  test("arenas", () => {
    const f = fixture(debug);
    const { arena } = f;
    api.mem_arena_destroy(arena);
    expect(
      misses(f, [
        ["ERR_DESTROYED", () => api.mem_arena_destroy(arena)],
        ["ERR_DESTROYED", () => api.mem_arena_alloc(arena, 8)],
        ["ERR_DESTROYED", () => arena.reset()],
      ]),
    ).toEqual([]);
    expect(mem_errno()).toBe(EINVAL);
  });
});

test("what is in a pool is not destroyed or added again, and what is not in it not removed", () => {
  const f = fixture();
  const { pool, container, loose, heap } = f;
  const other = poolOf(4, { backing: heap });
  unchanged(heap, () => {
    api.mem_container_destroy(container);
    expect(mem_errno()).toBe(EINVAL);
    expect([api.mem_pool_add_container(pool, container), mem_errno()]).toEqual([false, EINVAL]);
    expect([api.mem_pool_add_container(other, container), mem_errno()]).toEqual([false, EINVAL]);
    expect([api.remove_container_from_pool(pool, loose, true), mem_errno()]).toEqual([false, api.ENOENT]);
    expect([api.remove_container_from_pool(other, container, true), mem_errno()]).toEqual([false, api.ENOENT]);
  });
});

test("addresses of containers are 64 bits", () => {
  const { heap } = fixture();
  unchanged(heap, () => {
    for (const address of [-1n, 2n ** 64n, -(2n ** 80n)]) {
      expect([api.mem_container_create(address, 8, { backing: heap }), mem_errno()]).toEqual([null, EINVAL]);
    }
  });
});

test("messages name call, finding and remedy", () => {
  const { pool, ptr, heap } = fixture();
  const messages: [act: () => unknown, message: string][] = [
    [() => call("mem_pool_get_count", [8]), "mem_pool_get_count: pool is 8; pass a MemoryPool"],
    [() => call("mem_pointer_create", [5]), "mem_pointer_create: name is 5; pass a string"],
    [() => call("mem_container_create", [8, 8]), "mem_container_create: address is 8; pass a BigInt"],
    [() => call("mem_arena_create", ["8"]), 'mem_arena_create: size is "8"; pass a number'],
    [() => call("mem_pool_dump", [pool, 1]), "mem_pool_dump: detailed is 1; pass a boolean"],
    [() => new MemoryArena(0), "new MemoryArena: size is 0; pass a whole number of bytes from 1"],
    [() => new MemoryPool(-1), "new MemoryPool: initial_capacity is -1; pass a whole number from 0"],
    [() => ptr.allocate(-1, pool), 'allocate of "data_buffer": size is -1; pass a whole number of bytes from 1'],
    [() => ptr.allocate(8, new MemoryPool()), "allocate: the pool has not been initialised; call mem_pool_init"],
    [
      () => MemoryPool.attach(heap, asPtr(12)),
      "MemoryPool.attach(0xc): no such pool there; pass what `handle` of one gave",
    ],
  ];
  for (const [act, message] of messages) expect(act).toThrow(message);
});

test("a heap whose buffer has been detached", () => {
  const buffer = new ArrayBuffer(1 << 16);
  const heap = Heap.adopt(buffer);
  const pool = new MemoryPool(8, { backing: heap, debug: false });
  const arena = new MemoryArena(64, { backing: heap });
  const ptr = new MemoryPointer("p", 0, { backing: heap });
  ptr.allocate(64, pool);
  const container = got(ptr.container);
  structuredClone(buffer, { transfer: [buffer] });
  const acts: (() => unknown)[] = [
    () => ptr.allocate(100, pool),
    () => ptr.destroy(),
    () => ptr.write(),
    () => ptr.share("s"),
    () => ptr.container,
    () => pool.count,
    () => pool.check(),
    () => pool.destroy(),
    () => pool.grow(),
    () => arena.alloc(8),
    () => arena.reset(),
    () => arena.destroy(),
    () => container.data,
    () => container.destroy(),
    () => new MemoryPool(8, { backing: heap }),
    () => new MemoryArena(8, { backing: heap }),
    () => new MemoryPointer("q", 0, { backing: heap }),
    () => new MemoryContainer(1n, 8, { backing: heap }),
    () => api.mem_pointer_allocate(ptr, 8, pool),
    () => api.mem_pointer_create("q", 0, { backing: heap }),
    () => api.mem_arena_alloc(arena, 8),
  ];
  for (const act of acts) {
    expect(["ERR_DESTROYED", "ERR_USE_AFTER_FREE", "ERR_DOUBLE_FREE"]).toContain(refusal(act));
  }
});

test("addresses of heaps are no pointers: the types of Ptr are kept apart by hand only", () => {
  const { heap } = fixture();
  const block: Ptr = heap.malloc(64);
  expect(refusal(() => MemoryPointer.attach(heap, block))).toBe("ERR_INVALID_POINTER");
  expect(refusal(() => MemoryContainer.attach(heap, block))).toBe("ERR_INVALID_POINTER");
  heap.free(block);
});
