// A worker of the page's heap: does what it is told, and says when it is done.
import { Heap } from "../../src/heap.ts";
import { NULL } from "../../src/ptr.ts";

/** What a worker can be told. `places` is a ring of pointers in the heap, which all of them take from and put into. */
export type Job =
  | { readonly do: "exchange"; readonly places: number; readonly count: number }
  | { readonly do: "hold"; readonly ms: number }
  | { readonly do: "hold for ever" };

/** Pointers of the ring. */
export const PLACES = 256;

const heap = await Heap.spawned();

self.addEventListener("message", ({ data: job }: MessageEvent<Job>) => {
  if (job.do === "exchange") {
    self.postMessage(exchange(job.places, job.count));
  } else {
    heap.lock.acquire();
    self.postMessage("held");
    const cell = new Int32Array(new SharedArrayBuffer(4));
    Atomics.wait(cell, 0, 0, job.do === "hold" ? job.ms : Infinity);
    heap.lock.release();
  }
});
self.postMessage(heap.slot);

/** Allocates, writes, swaps with what another has left, and frees that. Returns how many blocks were not as they were left. */
function exchange(places: number, count: number): number {
  let wrong = 0;
  for (let i = 0; i < count; i += 1) {
    const words = 2 + ((i * 7) % 60);
    const ptr = heap.malloc(words * 4);
    if (ptr === NULL) throw new Error("no memory");
    heap.u32.fill(ptr, ptr >>> 2, (ptr >>> 2) + words);
    heap.u32[ptr >>> 2] = words;
    const place = (places >>> 2) + ((i * 31) % PLACES);
    const other = Atomics.exchange(heap.u32, place, ptr) as typeof ptr;
    if (other === NULL) continue;
    const held = heap.u32[other >>> 2] ?? 0;
    for (let at = 1; at < held; at += 1) if (heap.u32[(other >>> 2) + at] !== other) wrong += 1;
    heap.free(other);
  }
  return wrong;
}
