import { defineConfig } from "vitest/config";

// One config for every package: `vitest run --root . --config ../../vitest.config.ts [--mode long|memory]`.
export default defineConfig(({ mode }) => ({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/browser/**"],
    passWithNoTests: true,
    maxWorkers: 2,
    // Limits for a machine that hangs, not for one that is slow.
    testTimeout: mode === "long" ? 600_000 : 60_000,
    hookTimeout: 60_000,
    ...(mode === "long" && { env: { FC_RUNS: process.env["FC_RUNS"] ?? "10" } }),
    // Every block that is live when its test ends is a failure.
    ...(mode === "memory" && {
      env: { HEAPWRIGHT_SHADOW: "1" },
      setupFiles: ["@heapwright/core/testing/setup"],
    }),
  },
}));
