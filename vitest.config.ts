import { fileURLToPath } from "node:url";

import { defineConfig } from "vitest/config";

const core = fileURLToPath(new URL("packages/core/src/", import.meta.url));

// One config for every package: `vitest run --root . --config ../../vitest.config.ts [--mode long|memory]`.
export default defineConfig(({ mode }) => ({
  // Under the shadow heap, core's own tests (which import its sources), the packages (which import it by name) and the
  // setup file must share one copy of core: a second copy would go unwatched.
  ...(mode === "memory" && {
    resolve: {
      alias: [
        { find: /^@heapwright\/core$/, replacement: `${core}index.ts` },
        { find: /^@heapwright\/core\/engine$/, replacement: `${core}engine.ts` },
        { find: /^@heapwright\/core\/testing$/, replacement: `${core}testing/index.ts` },
      ],
    },
  }),
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/browser/**"],
    passWithNoTests: true,
    maxWorkers: 2,
    // Limits for a machine that hangs, not for one that is slow.
    testTimeout: mode === "long" ? 900_000 : 240_000,
    hookTimeout: 120_000,
    ...(mode === "long" && { env: { FC_RUNS: process.env["FC_RUNS"] ?? "10" } }),
    // Every block that is live when its test ends is a failure.
    ...(mode === "memory" && {
      env: { HEAPWRIGHT_SHADOW: "1" },
      setupFiles: [`${core}testing/setup.ts`],
    }),
  },
}));
