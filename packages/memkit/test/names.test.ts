import { random, runs, seedFromEnv } from "@heapwright/core/testing";
import { expect, test } from "vitest";

import { mem_compute_hash, mem_pointer_allocate, MemoryPointer } from "../src/index.ts";
import { allocated, keep, poolOf } from "./made.ts";

/** Published vectors of FNV-1a over 64 bits. */
const vectors: [name: string, hash: bigint][] = [
  ["", 0xcbf29ce484222325n],
  ["a", 0xaf63dc4c8601ec8cn],
  ["b", 0xaf63df4c8601f1a5n],
  ["c", 0xaf63de4c8601eff2n],
  ["d", 0xaf63d94c8601e773n],
  ["e", 0xaf63d84c8601e5c0n],
  ["f", 0xaf63db4c8601ead9n],
  ["fo", 0x08985907b541d342n],
  ["foo", 0xdcb27518fed9d577n],
  ["foob", 0xdd120e790c2512afn],
  ["fooba", 0xcac165afa2fef40an],
  ["foobar", 0x85944171f73967e8n],
  ["data_buffer", 0x0a201975fc571218n],
];

/** The definition, in whole numbers of any size. */
function fnv1a(bytes: Iterable<number>): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) {
    if (byte === 0) break;
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return hash;
}

test.each(vectors)("FNV-1a of %j", (name, hash) => {
  expect(mem_compute_hash(name)).toBe(hash);
  expect(fnv1a(new TextEncoder().encode(name))).toBe(hash);
});

test("null has no hash", () => {
  expect(mem_compute_hash(null)).toBe(0n);
});

test("only what stands before the first NUL counts, as in C", () => {
  expect(mem_compute_hash("foo\0bar")).toBe(mem_compute_hash("foo"));
  expect(mem_compute_hash("\0")).toBe(mem_compute_hash(""));
});

test("names are hashed as UTF-8; half of a surrogate pair as U+FFFD", () => {
  for (const name of ["größe", "名前", "\u{1f600}", "\ufeffname", "x\ud800y"]) {
    expect(mem_compute_hash(name), name).toBe(fnv1a(new TextEncoder().encode(name)));
  }
  expect(mem_compute_hash("\udc00")).toBe(mem_compute_hash("\ufffd"));
});

test("random names, each twice, with others between", () => {
  const seed = seedFromEnv();
  const draw = random(seed);
  const encoder = new TextEncoder();
  for (let i = 0; i < runs(3000); i += 1) {
    const length = Math.floor(draw() * 40);
    const limit = draw() < 0.5 ? 127 : 0xffff;
    const name = String.fromCharCode(...Array.from({ length }, () => 1 + Math.floor(draw() * limit)));
    const hash = fnv1a(encoder.encode(name));
    if (mem_compute_hash(name) !== hash) throw new Error(`FC_SEED=${seed}: hash of ${JSON.stringify(name)}`);
    if (i % 3 === 0) mem_compute_hash(`other_${i % 5}`);
    if (mem_compute_hash(name) !== hash) throw new Error(`FC_SEED=${seed}: second hash of ${JSON.stringify(name)}`);
  }
  expect(seed).toBeTypeOf("number");
});

test("a container has the identity of its pointer's name, whichever name was used last", () => {
  const pool = poolOf(8, { debug: false });
  const first = keep(new MemoryPointer("first", 0, { backing: pool.backing }));
  const second = keep(new MemoryPointer("second", 0, { backing: pool.backing }));
  for (const ptr of [first, second, first]) {
    mem_compute_hash("another");
    expect(mem_pointer_allocate(ptr, 8, pool)).toBe(true);
    expect(ptr.container?.address).toBe(mem_compute_hash(ptr.variable_name));
  }
  // Two variables of one name have one identity, and so has the same name in another run.
  expect(allocated(pool, "first", 8).container.address).toBe(first.container?.address);
});
