import { expect, it } from "vitest";
import { seedFromEnv } from "../../src/testing/env.ts";
import { Granules } from "../../src/testing/granules.ts";
import { random } from "../../src/testing/stream.ts";

const seed = seedFromEnv();

it.each([1, 8, 64])("takes and releases as a set of granules of %d bytes does", (granuleBytes) => {
  const next = random(seed);
  const whole = (limit: number): number => Math.floor(next() * limit);
  const granules = new Granules(granuleBytes);
  const model = new Set<number>();
  const held: [from: number, bytes: number][] = [];
  const wrong: string[] = [];
  for (let i = 0; i < 5000; i += 1) {
    const gone = held.length > 0 && next() < 0.4 ? held.splice(whole(held.length), 1)[0] : undefined;
    const [from, bytes] = gone ?? [whole(4000) * granuleBytes, 1 + whole(granuleBytes * 2 ** whole(9))];
    const inside = Array.from({ length: Math.ceil(bytes / granuleBytes) }, (_, j) => from / granuleBytes + j);
    if (gone !== undefined) {
      granules.release(from, bytes);
      for (const granule of inside) model.delete(granule);
      continue;
    }
    const isFree = inside.every((granule) => !model.has(granule));
    if (granules.take(from, bytes) !== isFree) wrong.push(`${i}: take(${from}, ${bytes})`);
    if (!isFree) continue;
    for (const granule of inside) model.add(granule);
    held.push([from, bytes]);
  }
  expect(wrong).toEqual([]);
});

it("keeps what it holds when it grows, up to 4 GiB", () => {
  const granules = new Granules(4096);
  expect(granules.take(4096, 4096)).toBe(true);
  expect(granules.take(2 ** 32 - 4096, 4096)).toBe(true);
  expect(granules.take(4096, 1)).toBe(false);
  expect(granules.take(2 ** 32 - 8192, 5000)).toBe(false);
  expect(granules.take(2 ** 32 - 8192, 4096)).toBe(true);
});
