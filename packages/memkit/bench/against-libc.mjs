// What memkit costs beside libc's malloc and free in C. Each load runs in processes of its own, which take turns with the
// C program; a figure is the median of the rounds. What is measured is processor time, so that other processes disturb it
// less.
//
//     pnpm --filter @heapwright/memkit build && node packages/memkit/bench/against-libc.mjs [--rounds 7] [--build development]
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { Heap } from "@heapwright/core";
import {
  mem_arena_alloc,
  mem_arena_create,
  mem_arena_destroy,
  mem_pointer_allocate,
  mem_pointer_create,
  mem_pointer_destroy,
  MemoryPool,
} from "@heapwright/memkit";

import { wipe } from "../dist/wipe.js";

const LIVE = 10_000;
const SIZE = 64;
const TURNS = 100_000;
const PASSES = 60;
const LARGE = 65_536;

let state = 2_463_534_242;
function below(limit) {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return Math.floor(((state >>> 0) / 2 ** 32) * limit);
}

function heapOf(bytes) {
  // Of fixed size: growth would detach buffers, and V8 looks for that ever after.
  return new Heap({ bytes });
}

/** A pool with 10,000 live containers. */
function livePool(name) {
  const backing = heapOf(1 << 24);
  const options = { backing };
  const pool = new MemoryPool(2 * LIVE, options);
  const live = Array.from({ length: LIVE }, (_, i) => {
    const pointer = mem_pointer_create(name(i), SIZE, options);
    mem_pointer_allocate(pointer, SIZE, pool);
    return pointer;
  });
  return { options, pool, live };
}

function cycles() {
  const { options, pool } = livePool(() => "data_buffer");
  return () => {
    for (let i = 0; i < TURNS; i += 1) {
      const pointer = mem_pointer_create("data_buffer", SIZE, options);
      mem_pointer_allocate(pointer, SIZE, pool);
      mem_pointer_destroy(pointer, pool);
    }
  };
}

function replacements() {
  const { options, pool, live } = livePool(() => "data_buffer");
  return () => {
    for (let i = 0; i < TURNS; i += 1) {
      const slot = below(LIVE);
      mem_pointer_destroy(live[slot], pool);
      const pointer = mem_pointer_create("data_buffer", SIZE, options);
      mem_pointer_allocate(pointer, SIZE, pool);
      live[slot] = pointer;
    }
  };
}

/** Ten at once, so that each call finds what others have left. */
function batches() {
  const { options, pool } = livePool(() => "data_buffer");
  const pointers = Array.from({ length: 10 }, () => null);
  return () => {
    for (let i = 0; i < TURNS; i += 10) {
      for (let j = 0; j < 10; j += 1) {
        pointers[j] = mem_pointer_create("data_buffer", SIZE, options);
        mem_pointer_allocate(pointers[j], SIZE, pool);
      }
      for (let j = 0; j < 10; j += 1) mem_pointer_destroy(pointers[j], pool);
    }
  };
}

function namedCycles() {
  const names = Array.from({ length: 1000 }, (_, i) => `variable_${i}`);
  const { options, pool } = livePool((i) => names[i % 1000]);
  return () => {
    for (let i = 0; i < TURNS; i += 1) {
      const pointer = mem_pointer_create(names[i % 1000], SIZE, options);
      mem_pointer_allocate(pointer, SIZE, pool);
      mem_pointer_destroy(pointer, pool);
    }
  };
}

/** Times what it allocates; making the arena and wiping it are apart. */
function arenas(bytes) {
  const options = { backing: heapOf(1 << 26) };
  let arena = null;
  return {
    before: () => (arena = mem_arena_create(bytes, options)),
    pass: () => {
      const made = arena;
      for (let i = 0; i < TURNS; i += 1) mem_arena_alloc(made, SIZE);
    },
    after: () => mem_arena_destroy(arena),
  };
}

function wholeArenas(bytes) {
  const options = { backing: heapOf(1 << 26) };
  return () => {
    const arena = mem_arena_create(bytes, options);
    for (let i = 0; i < TURNS; i += 1) mem_arena_alloc(arena, SIZE);
    mem_arena_destroy(arena);
  };
}

function wipes(bytes) {
  const heap = heapOf(1 << 20);
  const ptr = heap.malloc(2 * LARGE);
  return () => {
    for (let i = 0; i < TURNS / 100; i += 1) {
      // Somewhere else each time.
      for (let j = 0; j < (bytes === SIZE ? 100 : 1); j += 1) wipe(heap, ptr + j * 64, ptr + j * 64 + bytes);
    }
  };
}

/** What each load is called, what libc does beside it, the bar, and the load itself. */
const LOADS = {
  "create, allocate 64 B, destroy; 10,000 live": ["pairs", 3, cycles],
  "the same, ten at a time": ["pairs", undefined, batches],
  "the same with 1,000 names in turn": ["pairs", undefined, namedCycles],
  "one of 10,000 replaced at random": ["replace", undefined, replacements],
  "arena, 64 B, presized": ["pairs", 0.5, () => arenas(TURNS * SIZE)],
  "arena, 64 B, chained from 4096": ["pairs", 0.5, () => arenas(4096)],
  "the same, made and destroyed": ["pairs", undefined, () => wholeArenas(4096)],
  "zeroing 64 B": ["pairs", undefined, () => wipes(SIZE)],
  "zeroing 64 KiB": ["zero", undefined, () => wipes(LARGE), TURNS / 100],
};

/** Median of the second half of the passes, in nanoseconds a turn. */
function measure([, , open, turns = TURNS]) {
  const opened = open();
  const { before, pass, after } = typeof opened === "function" ? { pass: opened } : opened;
  const times = Array.from({ length: PASSES }, () => {
    before?.();
    const start = process.cpuUsage();
    pass();
    const { user, system } = process.cpuUsage(start);
    after?.();
    return ((user + system) * 1e3) / turns;
  });
  return median(times.slice(PASSES / 2));
}

function median(values) {
  return values.sort((a, b) => a - b)[values.length >>> 1];
}

function argument(name, fallback) {
  const at = process.argv.indexOf(name);
  return at < 0 ? fallback : process.argv[at + 1];
}

function compile() {
  const folder = fileURLToPath(new URL("../dist/bench/", import.meta.url));
  mkdirSync(folder, { recursive: true });
  const source = fileURLToPath(new URL("libc.c", import.meta.url));
  // Without -fno-builtin a compiler may drop a malloc whose block is freed unused.
  execFileSync(process.env.CC ?? "cc", ["-O2", "-fno-builtin", "-o", `${folder}libc`, source]);
  return `${folder}libc`;
}

function compareAll() {
  const rounds = Number(argument("--rounds", "7"));
  const build = argument("--build", "production");
  const libc = compile();
  const self = fileURLToPath(import.meta.url);
  const only = argument("--only", "");
  console.log(`${build} build, ${rounds} rounds`);
  console.log(`${"".padEnd(46)}     ns   libc  ratio  bar`);
  for (const [name, [work, bar]] of Object.entries(LOADS)) {
    if (!name.includes(only)) continue;
    const ours = [];
    const theirs = [];
    for (let round = 0; round < rounds; round += 1) {
      theirs.push(Number(execFileSync(libc, [work])));
      ours.push(Number(execFileSync(process.execPath, [`--conditions=${build}`, self, "--load", name])));
    }
    const [our, their] = [median(ours), median(theirs)];
    const cells = [our.toFixed(1).padStart(6), their.toFixed(1).padStart(6), (our / their).toFixed(2).padStart(6)];
    console.log(`${name.padEnd(46)} ${cells.join(" ")}  ${bar ?? ""}`);
  }
}

const load = argument("--load", undefined);
if (load === undefined) compareAll();
else console.log(measure(LOADS[load]));
