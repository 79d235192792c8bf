/** Pages that four bundlers have made, in Chromium, cross-origin isolated and not. */
import type { Browser } from "playwright";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { BUNDLERS } from "../src/bundlers.ts";
import { everythingInstalled, FOUND } from "../src/consumers.ts";
import type { Consumer } from "../src/managers.ts";
import { foundIn, startBrowser } from "../src/pages.ts";

let consumer: Consumer;
let browser: Browser;
beforeAll(async () => {
  [consumer, browser] = await Promise.all([everythingInstalled("bundlers"), startBrowser()]);
});
afterAll(() => browser?.close());

describe.each([...BUNDLERS])("%s", (_, bundle) => {
  let folder: string;
  it("makes a page", async () => {
    folder = await bundle(consumer);
    expect(folder).toContain(consumer.folder);
  });

  it("which has private and shared heaps, and a worker, where it is cross-origin isolated", async () => {
    const found = { isolated: true, inPrivate: [FOUND, FOUND], inShared: [FOUND, FOUND] };
    expect(await foundIn(browser, folder, true)).toEqual(found);
  });

  it("which has private heaps where it is not, and says which headers shared ones need", async () => {
    const headers = "Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp";
    const refusal = {
      name: "HeapError",
      code: "ERR_NOT_ISOLATED",
      message: `new Heap: this page has no shared memory; serve it with ${headers}`,
    };
    expect(await foundIn(browser, folder, false)).toEqual({ isolated: false, inPrivate: [FOUND, FOUND], refusal });
  });
});
