/**
 * Serves folders on loopback, cross-origin isolated or not, and opens their pages in Chromium.
 *
 * @module
 */
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

import { type Browser, chromium } from "playwright";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".wasm": "application/wasm",
};

const ISOLATED = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

/** Serves a folder until `stop`. */
export async function serve(folder: string, isolated: boolean): Promise<{ url: string; stop(): Promise<void> }> {
  const server = createServer(async ({ url = "/" }, response) => {
    const path = normalize(new URL(url, "http://127.0.0.1").pathname);
    const file = join(folder, path.endsWith("/") ? `${path}index.html` : path);
    const headers = {
      "Content-Type": TYPES[extname(file)] ?? "application/octet-stream",
      ...(isolated ? ISOLATED : {}),
    };
    try {
      const body = await readFile(file);
      response.writeHead(200, headers).end(body);
    } catch {
      response.writeHead(404, headers).end();
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port on loopback");
  async function stop(): Promise<void> {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  }
  return { url: `http://127.0.0.1:${address.port}/`, stop };
}

/** Starts Chromium; it draws without a graphics card. */
export function startBrowser(): Promise<Browser> {
  const args = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
  ];
  return chromium.launch({ executablePath: process.env["CHROMIUM_BIN"] ?? "/usr/bin/chromium", args });
}

/**
 * Opens the page of a folder.
 *
 * @returns what the page left in `globalThis.found`
 * @throws Error with what the page threw, or said on its console as an error
 */
export async function foundIn(browser: Browser, folder: string, isolated: boolean): Promise<unknown> {
  const { url, stop } = await serve(folder, isolated);
  const page = await browser.newPage();
  try {
    const failure = new Promise<never>((_, reject) => {
      page.on("pageerror", reject);
      page.on("console", (message) => {
        if (message.type() === "error" && !message.location().url.endsWith("favicon.ico"))
          reject(new Error(message.text()));
      });
    });
    await Promise.race([failure, page.goto(url)]);
    const found = page.waitForFunction(() => (globalThis as { readonly found?: unknown }).found, undefined, {
      timeout: 60_000,
    });
    return await Promise.race([failure, found.then((handle) => handle.jsonValue())]);
  } finally {
    await page.close();
    await stop();
  }
}
