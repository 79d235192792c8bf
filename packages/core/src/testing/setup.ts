/**
 * A setup file for vitest. With `HEAPWRIGHT_SHADOW=1` in the environment every private heap of the test run is watched: a
 * block that overlaps another, a pointer that should have been refused, a damaged heap, and a block that was allocated in a
 * test and is live at its end each fail that test. `HEAPWRIGHT_STACKS=1` shows where such blocks were allocated.
 *
 * ```ts
 * // vitest.config.ts
 * export default defineConfig({ test: { setupFiles: ["@heapwright/core/testing/setup"] } });
 * ```
 *
 * Tests that leave blocks live on purpose say `allowLive()`, those that damage a heap `forget(heap)`, both from
 * `@heapwright/core/testing`.
 *
 * @module
 */
import { afterEach, beforeEach } from "vitest";
import { variable } from "./env.ts";
import { HeapWatch } from "./heap-watch.ts";

if (variable("HEAPWRIGHT_SHADOW") === "1") {
  const watch = new HeapWatch({ stacks: variable("HEAPWRIGHT_STACKS") === "1" });
  watch.install();
  beforeEach(() => watch.begin());
  afterEach(({ task }) => {
    // A test that failed did not get to its frees.
    if (task.result?.state === "fail") watch.allowLive();
    watch.end();
  });
}
