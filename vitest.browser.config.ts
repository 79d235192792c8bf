import { playwright, type PlaywrightProviderOptions } from "@vitest/browser-playwright";
import { defineConfig, type TestProjectInlineConfiguration } from "vitest/config";

type Browser = "chromium" | "firefox" | "webkit";

/** Chromium is the one of the system; the others are those that Playwright installs. */
const TEST_BROWSER = (process.env["TEST_BROWSER"] ?? "chromium") as Browser;
const LAUNCH_OPTIONS: Record<Browser, PlaywrightProviderOptions["launchOptions"]> = {
  chromium: {
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
  firefox: {},
  webkit: {},
};

/** Tests in one kind of page. */
function project(
  name: string,
  include: string,
  exclude: string[],
  headers: Record<string, string>,
): TestProjectInlineConfiguration {
  return {
    server: { headers },
    test: {
      name,
      include: [include],
      exclude,
      browser: {
        enabled: true,
        headless: true,
        screenshotFailures: false,
        instances: [{ browser: TEST_BROWSER }],
        provider: playwright({ launchOptions: LAUNCH_OPTIONS[TEST_BROWSER] }),
      },
    },
  };
}

// Browser tests of a package: `vitest run --root . --config ../../vitest.browser.config.ts`.
export default defineConfig({
  test: {
    passWithNoTests: true,
    projects: [
      // Cross-origin isolation, without which a page has no SharedArrayBuffer.
      project("isolated", "test/browser/**/*.test.ts", ["test/browser/**/*.plain.test.ts"], {
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
      }),
      project("plain", "test/browser/**/*.plain.test.ts", [], {}),
    ],
  },
});
