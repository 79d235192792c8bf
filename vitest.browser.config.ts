import { playwright } from "@vitest/browser-playwright";
import { defineConfig } from "vitest/config";

// Browser tests of a package: `vitest run --root . --config ../../vitest.browser.config.ts`.
export default defineConfig({
  // Cross-origin isolation, without which a page has no SharedArrayBuffer.
  server: {
    headers: {
      "Cross-Origin-Opener-Policy": "same-origin",
      "Cross-Origin-Embedder-Policy": "require-corp",
    },
  },
  test: {
    include: ["test/browser/**/*.test.ts"],
    passWithNoTests: true,
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      instances: [{ browser: "chromium" }],
      provider: playwright({
        launchOptions: {
          executablePath: process.env["CHROMIUM_BIN"] ?? "/usr/bin/chromium",
          args: [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--disable-quic",
          ],
        },
      }),
    },
  },
});
