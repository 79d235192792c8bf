/**
 * Pointers are byte offsets in a heap's buffer. Two brands keep payloads and block addresses apart, so that the compiler
 * refuses to free a header.
 *
 * @module
 */

declare const brand: unique symbol;

/** Byte offset of a payload in its heap's buffer, 0 to 2^32 - 1; what callers hold. `NULL` names no block. */
export type Ptr = number & { readonly [brand]: "Ptr" };

/** Byte offset of a block's header: what an allocator holds, never its callers. */
export type Block = number & { readonly [brand]: "Block" };

/** The pointer that names no block: 0, where no payload ever lies. */
export const NULL: Ptr = 0 as Ptr;

/**
 * Takes a number that came from outside (WebAssembly, a message, a file) for a pointer. Nothing is checked here: the
 * allocator that is handed the pointer checks it.
 *
 * @param address - byte offset in the heap's buffer
 * @returns the same number, branded
 */
export function asPtr(address: number): Ptr {
  return address as Ptr;
}

/**
 * A place inside a payload.
 *
 * @param ptr - the payload
 * @param bytes - distance from its start, in bytes
 * @returns `ptr + bytes`; it can be read and written through, but not freed
 */
export function offsetPtr(ptr: Ptr, bytes: number): Ptr {
  return (ptr + bytes) as Ptr;
}
