import type { MicroSubject } from "../adapter.ts";

/** `Buffer.allocUnsafe`, freed by the garbage collector. */
export function open(): MicroSubject {
  return { target: { malloc: (size) => Buffer.allocUnsafe(size), free: () => undefined } };
}
