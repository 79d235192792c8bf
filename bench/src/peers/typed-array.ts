import type { MicroSubject } from "../adapter.ts";

/** `new Uint8Array`, freed by the garbage collector. */
export function open(): MicroSubject {
  return { target: { malloc: (size) => new Uint8Array(size), free: () => undefined } };
}
