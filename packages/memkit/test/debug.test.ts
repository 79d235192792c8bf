/** What a debug pool says, exactly: its log, dumps, findings, and the names of variables in all of them. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import {
  DEBUG_MEMORY_MANAGER,
  EFAULT,
  EINVAL,
  grow_pool_capacity,
  mem_errno,
  mem_pointer_allocate,
  mem_pointer_create,
  mem_pointer_destroy,
  mem_pointer_share,
  mem_pointer_write,
  mem_pool_add_container,
  mem_pool_destroy,
  mem_pool_dump,
  mem_pool_init,
  mem_pool_validate,
  mem_set_oom_handler,
  MemoryContainer,
  MemoryPointer,
  MemoryPool,
  type PoolOptions,
  remove_container_from_pool,
} from "../src/index.ts";
import { allocated, Failing, got, heapOf, keep, poolOf } from "./made.ts";

const hex = (ptr: number): string => `0x${ptr.toString(16)}`;

/** A pool, and what it has said since it was asked last, without the pool's name. */
function logging(capacity: number, options: PoolOptions = {}): { pool: MemoryPool; said: () => string[] } {
  const lines: string[] = [];
  const pool = poolOf(capacity, { log: (message) => lines.push(message), ...options });
  const start = `pool ${hex(pool.handle)}: `;
  return {
    pool,
    said: () => lines.splice(0).map((line) => (line.startsWith(start) ? line.slice(start.length) : `! ${line}`)),
  };
}

/** Nothing is ever printed but by `report` and `log`. */
const printed: string[] = [];
beforeEach(() => {
  printed.length = 0;
  for (const name of ["log", "info", "warn", "debug", "error"] as const) {
    vi.spyOn(console, name).mockImplementation((...values) => void printed.push(`${name}: ${values.join(" ")}`));
  }
  vi.spyOn(process.stdout, "write").mockImplementation((text) => printed.push(`stdout: ${String(text)}`) > 0);
});
afterEach(() => {
  vi.restoreAllMocks();
  mem_set_oom_handler(null);
});

test("this is the debug build", () => {
  expect(DEBUG_MEMORY_MANAGER).toBe(1);
});

describe("log", () => {
  test("grow and shrink", () => {
    const { pool, said } = logging(16, { orphans: "destroy" });
    const ptrs = Array.from({ length: 33 }, (_, i) => allocated(pool, `p${i}`, 8));
    expect(said()).toEqual(["grow: 16 -> 32 containers", "grow: 32 -> 64 containers"]);
    for (const ptr of ptrs) mem_pointer_destroy(ptr, pool);
    expect(said()).toEqual(["shrink: 64 -> 32 containers", "shrink: 32 -> 16 containers"]);
    grow_pool_capacity(pool);
    expect(said()).toEqual(["grow: 16 -> 32 containers"]);
  });

  test("reuse: who gets which orphan, and for how much", () => {
    const { pool, said } = logging(8);
    const ptr = allocated(pool, "first", 128);
    const { data } = ptr.container;
    mem_pointer_destroy(ptr, pool);
    expect(said()).toEqual([]);
    allocated(pool, "second", 97);
    expect(said()).toEqual([`reuse: "second" gets the orphan of 128 bytes at ${hex(data)} for 104`]);
  });

  test("copy: on write, and when a container is outgrown", () => {
    const { pool, said } = logging(8);
    const ptr = allocated(pool, "one", 64);
    const { data } = ptr.container;
    const other = keep(got(mem_pointer_share(ptr, "other")));
    expect(mem_pointer_write(other, pool)).toBe(true);
    const copy = got(other.container).data;
    expect(said()).toEqual([`copy: "other" has 64 bytes at ${hex(copy)} instead of 64 bytes at ${hex(data)}`]);
    expect(mem_pointer_allocate(other, 1000, pool)).toBe(true);
    const larger = got(other.container).data;
    expect(said()).toEqual([`copy: "other" has 1000 bytes at ${hex(larger)} instead of 64 bytes at ${hex(copy)}`]);
    // The second one gets the orphan that the growth has left.
    const third = keep(got(mem_pointer_share(ptr, "third")));
    expect(mem_pointer_allocate(third, 40, pool)).toBe(true);
    expect(said()).toEqual([
      `reuse: "third" gets the orphan of 64 bytes at ${hex(copy)} for 40`,
      `copy: "third" has 64 bytes at ${hex(copy)} instead of 64 bytes at ${hex(data)}`,
    ]);
  });

  test("each refused call of the document's API, with the variable's name", () => {
    const { pool, said } = logging(8);
    const { backing } = pool;
    const ptr = allocated(pool, "data_buffer", 64);
    const empty = keep(new MemoryPointer("empty", 0, { backing }));
    const loose = keep(new MemoryContainer(1n, 8, { backing }));
    const refusals: [act: () => unknown, message: string][] = [
      [() => mem_pointer_allocate(null, 8, pool), "mem_pointer_allocate: an argument is null"],
      [() => mem_pool_add_container(pool, null), "mem_pool_add_container: an argument is null"],
      [() => remove_container_from_pool(pool, null, true), "remove_container_from_pool: an argument is null"],
      [() => mem_pointer_write(null, pool), "mem_pointer_write: an argument is null"],
      [() => mem_pointer_share(ptr, null), "mem_pointer_share: an argument is null"],
      [
        () => mem_pointer_allocate(ptr, 0, pool),
        'allocate of "data_buffer": size is 0; pass a whole number of bytes from 1',
      ],
      [
        () => mem_pointer_allocate(ptr, 2 ** 32, pool),
        'allocate of "data_buffer": 4294967296 bytes, rounded up, are more than 2^32 - 1; ask for less',
      ],
      [() => mem_pointer_write(empty, pool), 'write of "empty": it has no container; allocate one'],
      [() => mem_pool_add_container(pool, ptr.container), "add: the container is in a pool already"],
      [
        () => remove_container_from_pool(pool, loose, true),
        `remove(${hex(loose.handle)}): the container is not in this pool; pass the pool that it is in`,
      ],
      [() => mem_pool_init(pool, 8), "mem_pool_init: the pool is initialised already; destroy it first"],
    ];
    for (const [act, message] of refusals) {
      const failure = act();
      expect([failure === false || failure === null, mem_errno() > 0]).toEqual([true, true]);
      expect(said()).toEqual([`refused: ${message}`]);
    }
    expect(printed).toEqual([]);
  });

  test("a refusal that is thrown is said, too", () => {
    const { pool, said } = logging(8);
    const ptr = allocated(pool, "data_buffer", 64);
    mem_pointer_destroy(ptr, pool);
    expect(() => mem_pointer_destroy(ptr, pool)).toThrow(/^destroy of "data_buffer": .+ free already; free it once$/);
    expect(mem_errno()).toBe(EFAULT);
    expect(() => mem_pointer_allocate(ptr, 8, pool)).toThrow(/^allocate of "data_buffer": .+ freed since/);
    expect(said().map((line) => /^refused: \w+ of "data_buffer"/.test(line))).toEqual([true, true]);
  });

  test("an allocation that failed", () => {
    const backing = new Failing(heapOf());
    const { pool, said } = logging(8, { backing });
    const ptr = keep(new MemoryPointer("data_buffer", 0, { backing }));
    backing.failAt = 0;
    mem_set_oom_handler(() => {});
    expect(mem_pointer_allocate(ptr, 1000, pool)).toBe(false);
    expect(said()).toEqual(['refused: allocate of "data_buffer": no room for 1000 bytes']);
    expect(grow_pool_capacity(pool)).toBe(false);
    expect(said()).toEqual(["refused: grow: no room for 64 bytes"]);
  });

  test("what is in use when the pool is destroyed, by name: a leak", () => {
    const { pool, said } = logging(8);
    const a = allocated(pool, "a", 64);
    const b = keep(got(mem_pointer_share(a, "b")));
    mem_pointer_destroy(allocated(pool, "orphan", 32), pool);
    const loose = new MemoryContainer(1n, 8, { backing: pool.backing });
    mem_pool_add_container(pool, loose);
    const { data } = a.container;
    const by = loose.data;
    said();
    mem_pool_destroy(pool);
    expect(said()).toEqual([
      `leak: 64 bytes at ${hex(data)}, 2 references, "a", "b"`,
      `leak: 8 bytes at ${hex(by)}, 1 reference, no pointer`,
    ]);
    expect(b.variable_name).toBe("b");
  });

  test("a pool that left nothing in use says nothing; neither does one without debug", () => {
    const { pool, said } = logging(8);
    mem_pointer_destroy(allocated(pool, "a", 64), pool);
    mem_pool_destroy(pool);
    expect(said()).toEqual([]);
    const quiet = logging(1, { debug: false });
    for (const name of ["a", "b", "c"]) allocated(quiet.pool, name, 64);
    mem_pointer_allocate(null, 8, quiet.pool);
    quiet.pool.destroy();
    expect(quiet.said()).toEqual([]);
    expect(printed).toEqual([]);
  });

  test("what a log function throws comes out of the call", () => {
    const pool = poolOf(1, {
      log: () => {
        throw new RangeError("log");
      },
    });
    expect(() => mem_pointer_allocate(null, 8, pool)).toThrow("log");
  });
});

describe("a log function", () => {
  /** Makes, grows, copies and destroys; each act may fail by itself. Gives the pointers that are left. */
  const work = (pool: MemoryPool, attempt: (act: () => void) => void): MemoryPointer[] => {
    const { backing } = pool;
    const ptrs = Array.from({ length: 20 }, (_, i) => new MemoryPointer(`p${i}`, 0, { backing }));
    for (const ptr of ptrs) attempt(() => ptr.allocate(64, pool));
    for (const ptr of ptrs.slice(0, 8)) attempt(() => ptr.destroy());
    for (const ptr of ptrs.slice(8)) attempt(() => ptr.allocate(100, pool));
    for (const ptr of ptrs.slice(12)) {
      attempt(() => {
        const other = keep(ptr.share("other"));
        other.write();
      });
    }
    pool.check();
    return ptrs;
  };

  test("that throws, at any of its messages, leaves a sound pool", () => {
    for (let n = 1; n < 25; n += 1) {
      let calls = 0;
      const pool = poolOf(1, {
        log: () => {
          calls += 1;
          if (calls === n) throw new Error("from the log");
        },
      });
      const failures: string[] = [];
      const ptrs = work(pool, (act) => {
        try {
          act();
        } catch (error) {
          failures.push(String(error));
        }
      });
      expect(failures.filter((failure) => failure === "Error: from the log")).toHaveLength(1);
      for (const ptr of ptrs) ptr[Symbol.dispose]();
    }
  });

  test("may use the pool that it is told of", () => {
    let isInside = false;
    const pool: MemoryPool = poolOf(1, {
      log: () => {
        if (isInside) return;
        isInside = true;
        allocated(pool, "from the log", 64);
        isInside = false;
      },
    });
    const ptrs = work(pool, (act) => act());
    expect(pool.containers.length).toBeGreaterThan(25);
    for (const ptr of ptrs) ptr[Symbol.dispose]();
  });
});

describe("mem_pool_dump", () => {
  /** A dump's lines, cut into cells. */
  const cells = (text: string): string[][] => text.split("\n").map((line) => line.trim().split(/\s{2,}/));

  test("containers in the order of the array, with identity, size, references, address and names", () => {
    const said: string[] = [];
    const pool = poolOf(8, { report: (message) => said.push(message) });
    const a = allocated(pool, "a", 100);
    const b = allocated(pool, "data_buffer", 64);
    keep(got(mem_pointer_share(b, "view")));
    const gone = allocated(pool, "gone", 32);
    const at = gone.container.data;
    mem_pointer_destroy(gone, pool);
    mem_pool_dump(pool, true);
    expect(mem_errno()).toBe(0);
    expect(said).toHaveLength(1);
    expect(cells(said[0]!)).toEqual([
      ["=== Memory Pool Dump ==="],
      ["Containers: 3/8"],
      ["Total bytes: 200"],
      ["IDX", "Address", "Size", "Refs", "Data Pointer", "Variables"],
      ["0", "0xaf63dc4c8601ec8c", "104", "1", hex(a.container.data), "a"],
      ["1", "0x0a201975fc571218", "64", "2", hex(b.container.data), "data_buffer, view"],
      ["2", "(orphan)", "32", "0", hex(at)],
      ["=== End Dump ==="],
    ]);
    expect(pool.dump()).toBe(said[0]);
    mem_pool_dump(pool, false);
    expect(cells(said[1]!).flat()).toEqual([
      "=== Memory Pool Dump ===",
      "Containers: 3/8",
      "Total bytes: 200",
      "=== End Dump ===",
    ]);
    expect(printed).toEqual([]);
  });

  test("goes to console.error where no report is given, and never to stdout", () => {
    const pool = poolOf(8);
    mem_pool_dump(pool, true);
    expect(printed).toEqual([`error: ${pool.dump()}`]);
  });

  test("NULL and the empty struct", () => {
    mem_pool_dump(null, true);
    expect([printed.splice(0), mem_errno()]).toEqual([["error: Pool is NULL."], EINVAL]);
    mem_pool_dump(new MemoryPool(), false);
    expect(printed).toEqual(["error: === Memory Pool Dump ===\nContainers: 0/0\nTotal bytes: 0\n=== End Dump ==="]);
    expect(mem_errno()).toBe(EINVAL);
  });

  test("works in a pool that is damaged", () => {
    const pool = poolOf(8);
    const { container } = allocated(pool, "a", 64);
    pool.heap.i32[(container.handle + 12) >>> 2] = -3;
    expect(pool.dump()).toMatch(/ -3 +0x[0-9a-f]+ +a$/m);
    pool.heap.i32[(container.handle + 12) >>> 2] = 1;
  });

  test("of a pool without debug has no names, but all else", () => {
    const pool = poolOf(8, { debug: false });
    const { container } = allocated(pool, "a", 64);
    expect(pool.dump()).toContain(hex(container.data));
    expect(pool.dump()).not.toMatch(/ a$/m);
  });
});

describe("mem_pool_validate", () => {
  test("says what is wrong to report, and only whether to the caller", () => {
    const said: string[] = [];
    const pool = poolOf(8, { report: (message) => said.push(message) });
    const { container } = allocated(pool, "a", 64);
    expect([mem_pool_validate(pool), mem_errno(), said]).toEqual([true, 0, []]);
    pool.heap.i32[(container.handle + 12) >>> 2] = -3;
    expect([mem_pool_validate(pool), mem_errno()]).toEqual([false, EFAULT]);
    expect(said).toEqual([`Pool validation: a count of -3 references (at ${hex(container.handle)})`]);
    pool.heap.i32[(container.handle + 12) >>> 2] = 1;
    expect(printed).toEqual([]);
  });
});

test("a debug pool notices that an orphan was written to, before it is used again", () => {
  const said: string[] = [];
  const pool = poolOf(8, { report: (message) => said.push(message) });
  const ptr = allocated(pool, "old", 64);
  const { data } = ptr.container;
  mem_pointer_destroy(ptr, pool);
  pool.heap.u8[data + 63] = 1;
  const next = keep(got(mem_pointer_create("next", 0, { backing: pool.backing })));
  expect([mem_pointer_allocate(next, 64, pool), mem_errno()]).toEqual([false, EFAULT]);
  expect(said).toEqual([
    `allocate: an orphan is no longer all 0: it was written to after it was freed, at ${hex(data)}; something wrote there`,
  ]);
  expect([next.container, pool.stats().orphans]).toEqual([null, 1]);
  pool.heap.u8[data + 63] = 0;
  expect(mem_pointer_allocate(next, 64, pool)).toBe(true);
});

test("names follow a pointer to another pool, and go with it", () => {
  const one = poolOf(8);
  const other = poolOf(8, { backing: one.backing });
  const ptr = allocated(one, "wanderer", 64);
  expect(one.dump()).toContain("wanderer");
  expect(mem_pointer_allocate(ptr, 128, other)).toBe(true);
  expect([one.dump().includes("wanderer"), other.dump().includes("wanderer")]).toEqual([false, true]);
  mem_pointer_destroy(ptr, other);
  expect(other.dump()).not.toContain("wanderer");
});

test("an object that is attached later has a log of its own, and knows the names", () => {
  const { pool, said } = logging(8);
  const lines: string[] = [];
  const twin = MemoryPool.attach(pool.heap, pool.handle, { log: (message) => lines.push(message) });
  allocated(pool, "made_before", 64);
  mem_pointer_allocate(null, 8, twin);
  expect(lines).toEqual([`pool ${hex(pool.handle)}: refused: mem_pointer_allocate: an argument is null`]);
  expect([said(), twin.dump()]).toEqual([[], pool.dump()]);
  expect(twin.dump()).toContain("made_before");
});
