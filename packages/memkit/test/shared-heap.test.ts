/** What holds in a private heap holds in a shared one too, with one agent in it. */
import { describe } from "vitest";

import { inSharedHeaps } from "./made.ts";

inSharedHeaps();

describe("in a shared heap", async () => {
  await import("./document.test.ts");
  await import("./conformance.test.ts");
  await import("./attach.test.ts");
  await import("./bad-input.test.ts");
  await import("./exhaustion.test.ts");
  await import("./security.test.ts");
  await import("./memory-pointer.test.ts");
  await import("./memory-pool.test.ts");
  await import("./memory-container.test.ts");
  await import("./memory-arena.test.ts");
  await import("./orphans.test.ts");
  await import("./pool-array.test.ts");
  await import("./debug.test.ts");
});
