/**
 * Importing this makes apf the global allocator of this agent: what serves every package that names none, from then on.
 * Leave the import out, or say `setGlobalAllocator(undefined)` of core, and it is not.
 *
 * @module
 */
import { setGlobalAllocator } from "@heapwright/core";

import { defaultAllocator } from "./default-allocator.ts";

setGlobalAllocator(defaultAllocator());

export { defaultAllocator } from "./default-allocator.ts";
