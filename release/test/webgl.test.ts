/** A buffer on the graphics card, or on what stands in for one, whose ranges mempool hands out. */
import type { Browser } from "playwright";
import { afterAll, beforeAll, expect, it } from "vitest";

import { esbuildPage } from "../src/bundlers.ts";
import { everythingInstalled } from "../src/consumers.ts";
import { foundIn, startBrowser } from "../src/pages.ts";

let browser: Browser;
beforeAll(async () => {
  browser = await startBrowser();
});
afterAll(() => browser?.close());

const TILES = Array.from({ length: 16 }, (_, tile) => tile);

/** The bytes of a colour whose parts are from 0 to 1. */
function bytesOf(...parts: number[]): number[] {
  return parts.map((part) => Math.round(part * 255));
}

it("suballocates, uploads, draws, reads back, frees and uses again", async () => {
  const folder = await esbuildPage(await everythingInstalled("webgl"), "webgl");
  const places = TILES.map((tile) => 4096 + 256 * tile);
  const filled = TILES.map((tile) => bytesOf(tile / 15, 1 - tile / 15, 1));
  const reused = TILES.map((tile) => (tile % 2 === 1 ? bytesOf(1, 0.2, 0) : filled[tile]));
  const joined = TILES.map((tile) => (tile < 6 ? bytesOf(0, 0.4, 0.6) : tile === 6 ? [0, 0, 0] : reused[tile]));
  expect(await foundIn(browser, folder, false)).toEqual({
    filled: { places, colours: filled, held: true },
    isFull: true,
    reused: { places, colours: reused },
    joined: { place: 4096 + 4 * 256, bytes: 768, colours: joined, held: true },
    code: "ERR_DOUBLE_FREE",
    isEmpty: true,
    untouched: true,
    error: 0,
    live: 0,
  });
});
