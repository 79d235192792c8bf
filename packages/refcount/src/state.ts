/**
 * The state's definition, as `rm_state.h` has it: what lies where in the heap. It may change with any minor version.
 *
 * @module
 */

// The control block, the table's first words, and a slot
export { RM_ENTRY, RM_STATE, RM_TABLE } from "./layout.ts";

// What they hold at most
export { RM_MAX_DEALLOCATORS, RM_MAX_REFERENCES } from "./layout.ts";

// What homes are made of
export { hash } from "./hash.ts";
