import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type PreparedTrace, readPrepared, writePrepared } from "../src/prepared.ts";
import { parseTrace } from "../src/trace.ts";

/** Operations as they stand in a trace file, with the header they need. */
export function traceText(operations: readonly string[]): string {
  const ids = operations.map((line) => Number(line.split(" ")[1]));
  return ["0", String(Math.max(...ids) + 1), String(operations.length), "1", ...operations].join("\n");
}

/** Runs `use` with a folder that is gone afterwards. */
export function withFolder<T>(use: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), "bench-test-"));
  try {
    return use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The operations as a replaying process gets them. */
export function prepared(operations: readonly string[]): PreparedTrace {
  return withFolder((folder) => {
    const file = join(folder, "trace.bin");
    writePrepared(parseTrace(traceText(operations), "test.rep"), file);
    return readPrepared(file);
  });
}
