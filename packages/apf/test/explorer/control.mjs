/** Words by which the scheduler and its agents understand each other. */
export const CONTROL = {
  COMMAND: 0,
  SCENARIO: 1,
  STEP: 2,
  MESSAGE_LENGTH: 3,
  GO: 8,
  STATUS: 16,
  /** Blocks of the scripts, by their numbers. */
  BLOCKS_BYTES: 128,
  BLOCKS: 64,
  MESSAGE_BYTES: 384,
  BYTES: 1016,
};

export const COMMAND = { ARRANGE: 1, SAVE: 2, RUN: 3, END: 4 };

/** Why an agent stands still; 0: it runs. */
export const KIND = { RUNNING: 0, ACCESS: 1, LOCK: 2, DONE: 3 };
