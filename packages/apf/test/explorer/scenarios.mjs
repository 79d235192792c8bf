/**
 * What is explored. An agent's script is short: it allocates and frees blocks that others have or have had. A superblock has
 * twelve blocks of 320 bytes, and six are fetched at a time.
 */
const BYTES = 320;
/** Blocks with numbers from here on are the heap's, of 260 zeros. */
export const HEAPS = 48;
const times = (count, act) => Array.from({ length: count }, (_, at) => act(at));

/** The first agent takes the blocks 0 to 11, a whole superblock; the others see the map that it is in. */
const whole = [
  [0, ({ take }) => times(12, (at) => take(at, BYTES))],
  [1, ({ apf }) => apf.check()],
];
const wholeOfThree = [...whole, [2, ({ apf }) => apf.check()]];

export const SCENARIOS = [
  {
    name: "remote free against refill",
    arrange: whole,
    scripts: [({ take }) => take(20, BYTES), ({ give }) => times(2, give)],
  },
  {
    name: "remote free against refill, twice",
    arrange: [...whole, [1, ({ give }) => give(5)]],
    scripts: [
      ({ take }) => {
        take(20, BYTES);
        take(21, BYTES);
      },
      ({ give }) => times(2, give),
    ],
  },
  {
    name: "two agents free blocks of a third",
    arrange: wholeOfThree,
    scripts: [({ take }) => take(20, BYTES), ({ give }) => give(0), ({ give }) => give(1)],
  },
  {
    name: "the last blocks of a superblock, which goes back to the heap and is something else then",
    arrange: [...whole, [1, ({ give }) => times(11, give)]],
    scripts: [
      ({ apf, heap, raw, blocks }) => {
        apf.flush();
        // As large as the descriptor was: what is in its memory now stays as it is.
        for (let at = HEAPS; at < HEAPS + 4; at += 1) {
          blocks[at] = heap.malloc(260);
          raw.fill(0, blocks[at] >>> 2, (blocks[at] + 260) >>> 2);
        }
      },
      ({ give }) => give(11),
    ],
  },
  {
    name: "flush",
    arrange: [...whole, [0, ({ give }) => times(3, (at) => give(at + 6))]],
    scripts: [({ apf }) => apf.flush(), ({ give }) => times(2, give)],
  },
  {
    name: "adoption, and a block of what is adopted",
    arrange: [...wholeOfThree, [1, ({ give }) => give(5)], [0, ({ heap }) => heap.detach()]],
    scripts: [() => {}, ({ give }) => give(0), ({ take }) => take(20, BYTES)],
  },
  {
    name: "a superblock changes hands while a block of it is freed",
    arrange: [
      ...wholeOfThree,
      [0, ({ heap }) => heap.detach()],
      [1, ({ give }) => give(5)],
      [1, ({ apf }) => apf.check()],
    ],
    scripts: [
      () => {},
      ({ give }) => times(2, give),
      ({ take }) => {
        take(20, BYTES);
        take(21, BYTES);
      },
    ],
  },
];
