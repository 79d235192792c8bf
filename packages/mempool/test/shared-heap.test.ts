/** What the document and the original's conformance cases say holds in a shared heap too, block for block. */
import { describe } from "vitest";

import { inSharedHeaps } from "./made.ts";

inSharedHeaps();

describe("in a shared heap", async () => {
  await import("./document.test.ts");
  await import("./conformance.test.ts");
  await import("./mempool.test.ts");
  await import("./suballocator.test.ts");
  await import("./external.test.ts");
  await import("./attach.test.ts");
  await import("./bad-input.test.ts");
});
