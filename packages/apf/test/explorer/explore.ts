/**
 * Runs the compiled package in real threads, of which one goes on at a time: which one is for a scheduler to choose wherever
 * an agent is about to touch a word that others touch too, or to take the lock. Depth first over all choices with up to so
 * many pre-emptions, each schedule from the beginning.
 *
 * After each schedule the allocator is whole, live is just what scripts have, and no mark has been forgotten.
 *
 * @module
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";

import { Heap, type SharedHeap } from "@heapwright/core";
import { departuresOf } from "@heapwright/core/engine";

import { ApfAllocator } from "../../src/index.ts";
import { CONTROL as APF, RECORD, SUPERBLOCK } from "../../src/layout.ts";
import { firstMark, markBytes } from "../../src/marks.ts";
import { superblocksOf } from "../../src/page-map.ts";
import { COMMAND, CONTROL, KIND } from "./control.mjs";
import { HEAPS, SCENARIOS } from "./scenarios.mjs";

/** A fault that is planted in the compiled text. */
export interface Change {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export interface Found {
  readonly schedules: number;
  readonly contended: number;
  /** What went wrong, and in which order. */
  readonly failure: string | undefined;
}

const PACKAGE = fileURLToPath(new URL("../../", import.meta.url));
const HEAP_BYTES = 1 << 17;
const REHEARSALS = 15;
const WRITTEN_SHIFT = 4;
const UNLOCKED_SHIFT = 8;
const MASK = 15;
const PATIENCE_MS = 20_000;

export async function explore(
  name: string,
  preemptions: number,
  changes: readonly Change[] = [],
  most: number = Infinity,
): Promise<Found> {
  const folder = mkdtempSync(join(PACKAGE, "node_modules/.explorer-"));
  try {
    cpSync(join(PACKAGE, "dist"), folder, { recursive: true });
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    for (const { file, find, replace } of changes) {
      const text = readFileSync(join(folder, file), "utf8");
      if (text.split(find).length !== 2) throw new Error(`${file} has ${text.split(find).length - 1} times: ${find}`);
      writeFileSync(join(folder, file), text.replace(find, replace));
    }
    const exploration = new Exploration(name, folder);
    await exploration.start();
    try {
      return exploration.search(preemptions, most);
    } finally {
      await exploration.end();
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

class Exploration {
  readonly #scenario: number;
  readonly #folder: string;
  readonly #heap: SharedHeap = new Heap({ bytes: HEAP_BYTES, shared: true });
  readonly #apf: ApfAllocator = new ApfAllocator({ backing: this.#heap, tuning: false });
  readonly #control = new Int32Array(new SharedArrayBuffer(CONTROL.BYTES));
  readonly #contended = new Uint8Array(new SharedArrayBuffer(HEAP_BYTES / 4));
  readonly #touched = new Uint16Array(new SharedArrayBuffer(HEAP_BYTES / 2));
  readonly #agents: Worker[] = [];
  #image = new Uint8Array();
  #blocks = new Uint32Array();

  constructor(name: string, folder: string) {
    this.#scenario = SCENARIOS.findIndex((scenario) => scenario.name === name);
    this.#folder = folder;
    if (this.#scenario < 0) throw new Error(`no scenario ${name}`);
  }

  get #scripts(): number {
    return SCENARIOS[this.#scenario]!.scripts.length;
  }

  async start(): Promise<void> {
    const heap = this.#heap;
    for (let agent = 0; agent < this.#scripts; agent += 1) {
      const worker = new Worker(new URL("agent.worker.mjs", import.meta.url), {
        workerData: {
          control: this.#control,
          contended: this.#contended,
          touched: this.#touched,
          agent,
          apfUrl: new URL(`file://${this.#folder}/index.js`).href,
          coreUrl: import.meta.resolve("@heapwright/core"),
          descriptor: heap.share(),
          handle: this.#apf.handle,
        },
      });
      this.#agents.push(worker);
      const failed = new Promise<never>((_, reject) => worker.once("error", reject));
      const ready = (async () => {
        while (Atomics.load(this.#control, CONTROL.STATUS + agent) !== KIND.DONE) {
          await new Promise((resolve) => setTimeout(resolve, 2));
        }
      })();
      await Promise.race([ready, failed]);
    }
    const { arrange } = SCENARIOS[this.#scenario]!;
    for (const [step, [agent]] of arrange.entries()) {
      Atomics.store(this.#control, CONTROL.STEP, step);
      this.#command(Number(agent), COMMAND.ARRANGE);
    }
    for (let agent = 0; agent < this.#scripts; agent += 1) this.#command(agent, COMMAND.SAVE);
    this.#image = new Uint8Array(heap.buffer).slice();
    this.#blocks = this.#blockWords().slice();
  }

  async end(): Promise<void> {
    await Promise.all(this.#agents.map((worker) => worker.terminate()));
  }

  search(preemptions: number, most: number): Found {
    let schedules = 0;
    // Which words are contended is found out at random.
    let seed = 1;
    for (let i = 0; i < REHEARSALS; i += 1) {
      const failure = this.#run(
        (options) => (seed = (Math.imul(seed, 48_271) >>> 0) % 0x7fff_ffff) % options,
        1e9,
      ).failure;
      schedules += 1;
      if (failure !== undefined) return { schedules, contended: this.#count(), failure };
      this.#learn();
    }
    const path: { options: number; taken: number }[] = [];
    for (; schedules < most;) {
      let depth = 0;
      const { failure } = this.#run((options) => {
        if (depth === path.length) path.push({ options, taken: 0 });
        depth += 1;
        return path[depth - 1]!.taken;
      }, preemptions);
      schedules += 1;
      if (failure !== undefined) return { schedules, contended: this.#count(), failure };
      if (this.#learn()) {
        // More stops than before: from the beginning.
        path.length = 0;
        continue;
      }
      path.length = depth;
      while (path.length > 0 && path.at(-1)!.taken + 1 >= path.at(-1)!.options) path.pop();
      if (path.length === 0) break;
      path.at(-1)!.taken += 1;
    }
    return { schedules, contended: this.#count(), failure: undefined };
  }

  /** One schedule. The first option is to go on; the others are to have another agent do so. */
  #run(choose: (options: number) => number, preemptions: number): { failure: string | undefined } {
    new Uint8Array(this.#heap.buffer).set(this.#image);
    this.#blockWords().set(this.#blocks);
    Atomics.store(this.#control, CONTROL.MESSAGE_LENGTH, 0);
    Atomics.store(this.#control, CONTROL.COMMAND, COMMAND.RUN);
    const isDone = Array.from({ length: this.#scripts }, () => false);
    const kinds = Array.from({ length: this.#scripts }, () => KIND.ACCESS);
    const order: number[] = [];
    let left = preemptions;
    let current = -1;
    for (;;) {
      const isFree = this.#heap.lock.holder === 0;
      const isReady = (agent: number): boolean => !isDone[agent] && (kinds[agent] !== KIND.LOCK || isFree);
      const ready = isDone.map((_, agent) => agent).filter(isReady);
      if (ready.length === 0) break;
      const mayGoOn = current >= 0 && isReady(current);
      const others = ready.filter((agent) => agent !== current);
      const options = mayGoOn ? [current, ...(left > 0 ? others : [])] : ready;
      const choice = options.length === 1 ? options[0] : options[choose(options.length)];
      if (choice === undefined) throw new Error("a schedule was not the same the second time");
      if (mayGoOn && choice !== current) left -= 1;
      current = choice;
      order.push(choice);
      kinds[choice] = this.#grant(choice);
      isDone[choice] = kinds[choice] === KIND.DONE;
      const length = Atomics.load(this.#control, CONTROL.MESSAGE_LENGTH);
      if (length !== 0) {
        const text = new TextDecoder().decode(
          new Uint8Array(this.#control.buffer, CONTROL.MESSAGE_BYTES, length).slice(),
        );
        return { failure: `agent ${choice}: ${text}\n${order.join("")}` };
      }
    }
    if (isDone.includes(false)) return { failure: `nobody can go on\n${order.join("")}` };
    try {
      this.#expectWhole();
      return { failure: undefined };
    } catch (error) {
      return { failure: `${String(error)}\n${order.join("")}` };
    }
  }

  /** Lets an agent go on to its next stop. */
  #grant(agent: number): number {
    const control = this.#control;
    Atomics.store(control, CONTROL.STATUS + agent, KIND.RUNNING);
    Atomics.add(control, CONTROL.GO + agent, 1);
    Atomics.notify(control, CONTROL.GO + agent);
    for (let spin = 0; spin < 2000; spin += 1) {
      const kind = Atomics.load(control, CONTROL.STATUS + agent);
      if (kind !== KIND.RUNNING) return kind;
    }
    const until = Date.now() + PATIENCE_MS;
    while (Atomics.load(control, CONTROL.STATUS + agent) === KIND.RUNNING) {
      Atomics.wait(control, CONTROL.STATUS + agent, KIND.RUNNING, 100);
      if (Date.now() > until) throw new Error(`agent ${agent} does not stop`);
    }
    return Atomics.load(control, CONTROL.STATUS + agent);
  }

  #command(agent: number, command: number): void {
    Atomics.store(this.#control, CONTROL.SCENARIO, this.#scenario);
    Atomics.store(this.#control, CONTROL.COMMAND, command);
    this.#grant(agent);
    const length = Atomics.load(this.#control, CONTROL.MESSAGE_LENGTH);
    if (length === 0) return;
    throw new Error(
      new TextDecoder().decode(new Uint8Array(this.#control.buffer, CONTROL.MESSAGE_BYTES, length).slice()),
    );
  }

  #blockWords(): Uint32Array {
    return new Uint32Array(this.#control.buffer, CONTROL.BLOCKS_BYTES, CONTROL.BLOCKS);
  }

  /** Adds the words that agents touch in turn, one of them at least without the lock. Whether there are new ones. */
  #learn(): boolean {
    let isNew = false;
    for (const [word, bits] of this.#touched.entries()) {
      if (bits === 0 || this.#contended[word] !== 0) continue;
      const agents = bits & MASK;
      const isOfMany = (agents & (agents - 1)) !== 0;
      if (!isOfMany || ((bits >>> WRITTEN_SHIFT) & MASK) === 0 || ((bits >>> UNLOCKED_SHIFT) & MASK) === 0) continue;
      this.#contended[word] = 1;
      isNew = true;
    }
    return isNew;
  }

  #count(): number {
    return this.#contended.reduce((sum, one) => sum + one, 0);
  }

  /** The allocator is sound, live is what scripts have, and every mark is counted and hinted at. */
  #expectWhole(): void {
    const heap = this.#heap;
    const { u32 } = heap;
    heap.check();
    // Before the allocator is looked at: that may adopt what is left.
    const control = this.#apf.control;
    const isAdopted = u32[control + (APF.offsets.departures >>> 2)] === departuresOf(heap);
    for (const descriptor of superblocksOf(u32, control)) {
      const at = (field: keyof typeof SUPERBLOCK.offsets): number =>
        u32[(descriptor + SUPERBLOCK.offsets[field]) >>> 2]!;
      const first = firstMark(u32, descriptor);
      const marks = heap.u8.subarray(first, first + markBytes(u32, descriptor)).reduce((sum, mark) => sum + mark, 0);
      const counted = u32[at("freed")]!;
      if (counted !== marks) throw new Error(`${marks} marks, counted as ${counted}`);
      const hint = at("record") === 0 ? 0 : u32[at("record") + (RECORD.offsets.hint >>> 2)];
      if (isAdopted && marks > 0 && hint !== 1) throw new Error(`${marks} marks that the owner will not look for`);
    }
    this.#apf.check();
    const live = new Set(
      [...this.#apf.blocks()].filter(({ state }) => state === "live").map(({ ptr }) => ptr as number),
    );
    for (const [number, ptr] of this.#blockWords().entries()) {
      if (ptr === 0) continue;
      if (number >= HEAPS) {
        const isSame = u32.subarray(ptr >>> 2, (ptr + 260) >>> 2).every((word) => word === 0);
        if (!isSame) throw new Error(`a block of the heap, at ${ptr}, was written to`);
        continue;
      }
      if (!live.delete(ptr)) throw new Error(`block ${number} at ${ptr} is not live`);
      if (u32[ptr >>> 2] !== (ptr ^ number) >>> 0) throw new Error(`block ${number} at ${ptr} was written to`);
    }
    if (live.size > 0) throw new Error(`${live.size} blocks are lost`);
  }
}
