/**
 * The lives of workers: who supervises one learns of its death and gives back what it left.
 *
 * Node says so by the worker's `exit`. A page's worker holds a Web Lock for life, whose name is the heap's and the slot's;
 * the supervisor queues for it, and is granted it when the worker is gone. A worker may run on for a while after
 * `terminate()` has returned; the lock is held as long as it does.
 *
 * The death of a slot, in this order (see lock for why): mark every corpse, wake all sleepers, take the lock without
 * blocking, repair, give back the magazines, and only then make the slots anyone's.
 *
 * @module
 */
import { HeapError, show } from "./errors.ts";
import type { SharedHeap } from "./shared-heap.ts";
import { type HeapDescriptor, noSlot } from "./slots.ts";
import { SUPERBLOCK } from "./layout.ts";

/** A worker of `node:worker_threads`, or a page's. */
export interface WorkerLike {
  postMessage(message: unknown): void;
  /** Node's. */
  once?(event: "exit", listener: () => void): unknown;
}

/** What is used of `node:worker_threads`. */
interface NodeWorkers {
  readonly Worker: new (url: URL | string) => WorkerLike;
  readonly parentPort: {
    on(event: "message", listener: (message: unknown) => void): void;
    off(event: "message", listener: (message: unknown) => void): void;
  } | null;
}

/** What is used of a page's worker. */
interface WorkerScope {
  readonly WorkerGlobalScope?: unknown;
  addEventListener(type: "message", listener: (event: Event) => void): void;
  removeEventListener(type: "message", listener: (event: Event) => void): void;
  dispatchEvent(event: Event): void;
  readonly Worker?: new (url: URL | string, options: { type: "module" }) => WorkerLike;
}

/** A look at whether a worker has its certificate, and the longest pause between two. */
const POLL_MS = 20;
const LONGEST_POLL_MS = 1000;

/** Keeps a slot for a worker, and gives it back when the worker is gone. */
export function supervise(heap: SharedHeap, worker: WorkerLike): HeapDescriptor {
  expectWorker("supervise", worker);
  const { slots } = heap;
  const slot = slots.invite(heap.slot);
  if (slot === 0) throw noSlot("supervise", 0);
  const generation = slots.generation(slot);
  if (worker.once === undefined) void awaitCertificate(heap, slot, generation);
  else worker.once("exit", () => void reap(heap, slot, generation));
  return { ...heap.share(), slot };
}

/** Starts a worker, or takes one that has been made, and sends it the heap. */
export function spawn<W extends WorkerLike>(heap: SharedHeap, worker: URL | string | W): W {
  const made = typeof worker === "string" || worker instanceof URL ? (start(worker) as W) : worker;
  made.postMessage(supervise(heap, made));
  return made;
}

/**
 * Waits for the heap that this worker was started with.
 *
 * @param attach - makes a heap of what was sent
 */
export function receive(attach: (descriptor: HeapDescriptor) => SharedHeap): Promise<SharedHeap> {
  const node = nodeWorkers();
  if (node !== undefined) return receiveInNode(node, attach);
  const scope: WorkerScope = globalThis;
  if (scope.WorkerGlobalScope === undefined) throw notInWorker();
  return receiveInPage(scope, attach);
}

/** In a page's worker: holds the Web Lock that certifies this agent's life. Resolves when it has it. */
export function certify(heap: SharedHeap): Promise<void> {
  const { locks } = navigator;
  const name = certificateOf(heap, heap.slot, heap.slots.generation(heap.slot));
  return new Promise((resolve) => {
    void locks.request(name, () => {
      heap.slots.certify(heap.slot);
      resolve();
      return new Promise(() => {});
    });
  });
}

/** Whether lives are certified by Web Locks here. */
export function hasCertificates(): boolean {
  return nodeWorkers() === undefined && typeof navigator === "object" && navigator.locks !== undefined;
}

/** A worker's slot, and those of the workers that it had itself, which end with it. */
async function reap(heap: SharedHeap, slot: number, generation: number): Promise<void> {
  const { slots, lock } = heap;
  const orphans = slots.generation(slot) === generation ? slots.supervisedBy(slot) : [];
  slots.bury(slot, generation);
  if (nodeWorkers() !== undefined) for (const orphan of orphans) slots.bury(orphan, slots.generation(orphan));
  lock.wakeAll();
  try {
    await lock.acquireAsync();
  } catch (error) {
    // Who has left the heap himself supervises nobody any more.
    if (error instanceof HeapError && error.code === "ERR_DESTROYED") return;
    throw error;
  }
  try {
    heap.reapDead();
  } finally {
    lock.release();
  }
}

async function awaitCertificate(heap: SharedHeap, slot: number, generation: number): Promise<void> {
  const { slots } = heap;
  for (let pause = POLL_MS; !slots.isCertified(slot); pause = Math.min(2 * pause, LONGEST_POLL_MS)) {
    if (slots.generation(slot) !== generation) return;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  await navigator.locks.request(certificateOf(heap, slot, generation), () => reap(heap, slot, generation));
}

function certificateOf(heap: SharedHeap, slot: number, generation: number): string {
  const word = (heap.base + SUPERBLOCK.offsets.id) >>> 2;
  return `heapwright ${heap.u32[word]!} ${heap.u32[word + 1]!} ${slot} ${generation}`;
}

function start(url: URL | string): WorkerLike {
  const node = nodeWorkers();
  if (node !== undefined) return new node.Worker(url);
  const { Worker }: WorkerScope = globalThis;
  if (Worker === undefined) throw new HeapError("ERR_UNSUPPORTED", "spawn: there are no workers here");
  return new Worker(url, { type: "module" });
}

function receiveInNode(
  { parentPort }: NodeWorkers,
  attach: (descriptor: HeapDescriptor) => SharedHeap,
): Promise<SharedHeap> {
  if (parentPort === null) throw notInWorker();
  return new Promise((resolve, reject) => {
    const listener = (message: unknown): void => {
      if (!isDescriptor(message)) return;
      parentPort.off("message", listener);
      try {
        resolve(attach(message));
      } catch (error) {
        reject(error as Error);
      }
    };
    parentPort.on("message", listener);
  });
}

/** Messages that come while the certificate is waited for are held back, so that none is missed. */
function receiveInPage(scope: WorkerScope, attach: (descriptor: HeapDescriptor) => SharedHeap): Promise<SharedHeap> {
  return new Promise((resolve, reject) => {
    const waiting: MessageEvent[] = [];
    let heap: SharedHeap | undefined;
    const pass = (): void => {
      scope.removeEventListener("message", listener);
      for (const { data, ports } of waiting) {
        scope.dispatchEvent(new MessageEvent("message", { data: data as unknown, ports: [...ports] }));
      }
    };
    const listener = (event: Event): void => {
      const message = event as MessageEvent<unknown>;
      if (heap === undefined && !isDescriptor(message.data)) return;
      event.stopImmediatePropagation();
      if (heap !== undefined) {
        waiting.push(message);
        return;
      }
      try {
        const attached = attach(message.data as HeapDescriptor);
        heap = attached;
        void certify(attached).then(() => {
          resolve(attached);
          setTimeout(pass);
        });
      } catch (error) {
        reject(error as Error);
      }
    };
    scope.addEventListener("message", listener);
  });
}

/** Whether a value is what `share` or `supervise` gave. */
export function isDescriptor(value: unknown): value is HeapDescriptor {
  return typeof value === "object" && value !== null && "heapwright" in value;
}

function notInWorker(): HeapError {
  return new HeapError("ERR_UNSUPPORTED", "Heap.spawned: this is no worker; make a heap, or attach to one");
}

function expectWorker(call: string, value: unknown): void {
  const isWorker =
    typeof value === "object" && value !== null && typeof (value as WorkerLike).postMessage === "function";
  if (!isWorker) throw new HeapError("ERR_INVALID_ARGUMENT", `${call}(${show(value)}): pass a worker`);
  if ((value as WorkerLike).once !== undefined || hasCertificates()) return;
  const finding = "nothing here tells of a worker's death: neither its exit event nor navigator.locks";
  throw new HeapError("ERR_UNSUPPORTED", `${call}: ${finding}; use share()`);
}

/** `node:worker_threads`, where this is node. */
function nodeWorkers(): NodeWorkers | undefined {
  const { process } = globalThis as {
    readonly process?: { getBuiltinModule?(name: string): unknown };
  };
  return process?.getBuiltinModule?.("node:worker_threads") as NodeWorkers | undefined;
}
