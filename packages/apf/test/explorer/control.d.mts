export const CONTROL: Readonly<
  Record<
    | "COMMAND"
    | "SCENARIO"
    | "STEP"
    | "MESSAGE_LENGTH"
    | "GO"
    | "STATUS"
    | "BLOCKS_BYTES"
    | "BLOCKS"
    | "MESSAGE_BYTES"
    | "BYTES",
    number
  >
>;
export const COMMAND: Readonly<Record<"ARRANGE" | "SAVE" | "RUN" | "END", number>>;
export const KIND: Readonly<Record<"RUNNING" | "ACCESS" | "LOCK" | "DONE", number>>;
