/** @module */

// The document's API
export { RM_DEFAULT_HASH_SIZE } from "./layout.ts";
export {
  rm_attach,
  rm_create_state,
  rm_destroy_state,
  rm_detach,
  rm_malloc,
  rm_release,
  rm_retain,
} from "./rm-malloc.ts";

// Classes
export { RmState } from "./rm-state.ts";
export { RmReference } from "./rm-reference.ts";
export { rm_scope, RmScope } from "./rm-scope.ts";
export { RM_MAX_REFERENCES } from "./layout.ts";
export type { Deallocator, RmOptions } from "./control.ts";
export type { RmBlock, RmStats } from "./inspect.ts";
