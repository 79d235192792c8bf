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
  terminate?(): unknown;
  /** Node's. */
  once?(event: "exit", listener: () => void): unknown;
  /** Node's; -1 when it has ended. */
  readonly threadId?: number;
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
export function supervise(heap: SharedHeap, worker: WorkerLike, call: string = "supervise"): HeapDescriptor {
  expectWorker(call, worker);
  const descriptor = heap.share();
  const { slots } = heap;
  const slot = slots.invite(heap.slot);
  if (slot === 0) throw noSlot(call, 0);
  const generation = slots.generation(slot);
  if (worker.once === undefined) void awaitCertificate(heap, slot, generation);
  else worker.once("exit", () => void reap(heap, slot, generation));
  return { ...descriptor, slot };
}

/** Starts a worker, or takes one that has been made, and sends it the heap. */
export function spawn<W extends WorkerLike>(heap: SharedHeap, worker: URL | string | W): W {
  const isMade = typeof worker !== "string" && !(worker instanceof URL);
  const made = isMade ? worker : (start(worker) as W);
  try {
    const descriptor = supervise(heap, made, "spawn");
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker, and no window
    made.postMessage(descriptor);
  } catch (error) {
    // Nobody else knows of it.
    if (!isMade) void made.terminate?.();
    throw error;
  }
  return made;
}

/**
 * Waits for the heap that this worker was started with.
 *
 * @param attach - makes a heap of what was sent
 */
export async function receive(attach: (descriptor: HeapDescriptor) => SharedHeap): Promise<SharedHeap> {
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
    void locks.request(name, { ifAvailable: true }, (lock) => {
      resolve();
      // Nobody asks for it before it is certified: this agent has it already.
      if (lock === null) return undefined;
      heap.slots.certify(heap.slot);
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
  const isNode = nodeWorkers() !== undefined;
  const orphans = slots.generation(slot) === generation ? slots.supervisedBy(slot) : [];
  slots.bury(slot, generation);
  // In node they have ended before their parent did. A page's tell by their certificates, which nobody awaits now.
  for (const orphan of orphans) {
    if (!isNode) void awaitCertificate(heap, orphan, slots.generation(orphan));
    else {
      orphans.push(...slots.supervisedBy(orphan).filter((own) => !orphans.includes(own)));
      slots.bury(orphan, slots.generation(orphan));
    }
  }
  lock.wakeAll();
  try {
    while (lock.attempt() === "busy") await lock.change();
  } catch (error) {
    // Who has left the heap himself supervises nobody any more.
    if (error instanceof HeapError && error.code === "ERR_DESTROYED") return;
    throw error;
  }
  // No pause between taking and giving back: other code of this agent would find the lock its own.
  let thrown: unknown;
  try {
    heap.reapDead();
  } catch (error) {
    throw (thrown = error);
  } finally {
    lock.leave(true, thrown);
  }
}

async function awaitCertificate(heap: SharedHeap, slot: number, generation: number): Promise<void> {
  const { slots } = heap;
  const name = certificateOf(heap, slot, generation);
  for (let time = POLL_MS; !slots.isCertified(slot); time = Math.min(2 * time, LONGEST_POLL_MS)) {
    if (slots.generation(slot) !== generation) return;
    await pause(time);
  }
  await navigator.locks.request(name, () => reap(heap, slot, generation));
}

function pause(time: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, time));
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
  const { once, threadId } = value as WorkerLike;
  if (threadId === -1) {
    throw new HeapError("ERR_INVALID_ARGUMENT", `${call}: the worker has ended; pass one that runs`);
  }
  if (once !== undefined || hasCertificates()) return;
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
