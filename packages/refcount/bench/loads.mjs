// The loads, for anything with malloc and free. Imported once for each side, so that each has loops of its own for V8.

/** Pairs of an allocate and a free in a pass. */
export const COUNT = 10_000;

/** The same numbers in every process: whole ones below a limit. */
export function generator(seed) {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

export function shuffled(count, next) {
  const indices = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i -= 1) {
    const j = next(i + 1);
    [indices[i], indices[j]] = [indices[j], indices[i]];
  }
  return indices;
}

function atOnce(side) {
  return () => {
    for (let i = 0; i < COUNT; i += 1) side.free(side.malloc(64));
  };
}

function batch(order) {
  const blocks = new Uint32Array(COUNT);
  return (side) => () => {
    for (let i = 0; i < COUNT; i += 1) blocks[i] = side.malloc(64);
    for (let i = 0; i < COUNT; i += 1) side.free(blocks[order[i]]);
  };
}

/** So many blocks are live; one at random is freed and replaced, over and over. */
function replacing(side) {
  const next = generator(2);
  const slots = Uint32Array.from({ length: 1 << 17 }, () => next(COUNT));
  const sizes = Uint32Array.from(slots, () => 16 + next(497));
  const blocks = Uint32Array.from({ length: COUNT }, () => side.malloc(16 + next(497)));
  let at = 0;
  return () => {
    for (let i = 0; i < COUNT; i += 1) {
      const slot = slots[at];
      side.free(blocks[slot]);
      blocks[slot] = side.malloc(sizes[at]);
      at = (at + 1) & (slots.length - 1);
    }
  };
}

/** By name: given a side, each makes a function that runs a pass. */
export const loads = {
  "64 B at once": atOnce,
  "10,000 of 64 B, last in first out": batch(Uint32Array.from({ length: COUNT }, (_, i) => COUNT - 1 - i)),
  "10,000 of 64 B, first in first out": batch(Uint32Array.from({ length: COUNT }, (_, i) => i)),
  "10,000 of 64 B, random order": batch(shuffled(COUNT, generator(1))),
  "16 to 512 B, 10,000 live": replacing,
};
