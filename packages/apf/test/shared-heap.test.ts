/** What the document and the original's conformance cases say holds in a shared heap too. */
import { describe } from "vitest";

import { inSharedHeaps } from "./made.ts";

inSharedHeaps();

describe("in a shared heap", async () => {
  await import("./document.test.ts");
  await import("./conformance.test.ts");
  await import("./bad-input.test.ts");
  await import("./exhaustion.test.ts");
  await import("./attach.test.ts");
  await import("./tuner.test.ts");
});
