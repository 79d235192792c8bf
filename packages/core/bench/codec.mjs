/**
 * What a codec's accessors cost beside hand-written indexes: `node bench/codec.mjs [processes]`, after a build.
 *
 * Each loop does the same work on the same bytes in three ways: by hand, `heap.u32[(ptr + FIELD) >>> 2]`; through the
 * functions taken out of a struct, as hot code should, `const { field } = Struct.get`; and in place,
 * `Struct.get.field(heap, ptr)`. All run in one program and in turns, so that what one struct teaches the engine about
 * the code they share is there when the next one runs. Figures are nanoseconds for one record: medians over the rounds
 * of a process, then over processes, since code of floating-point loops comes out in a fast or a slow version by chance.
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Heap, array, bits, bool, f32, f64, i16, i64, i8, ptr, struct, u16, u32, u64, u8 } from "@heapwright/core";

const RECORDS = 2048;
const ROUNDS = 200;
const CALLS_PER_ROUND = 16;

const Node = struct({ next: ptr, weight: u32, color: u8 });
const Particle = struct({ x: f64, y: f64, z: f64, vx: f64, vy: f64, vz: f64 });
const Sample = struct({ kind: u8, level: i16, flags: u16, delta: i8, live: bool, gain: f32 });
const Counter = struct({ hits: u64, balance: i64 });
const Header = struct({ previous: u32, tag: bits({ state: 3, span: [3, 29] }) });
const Segment = struct({ from: struct({ x: f32, y: f32 }), to: struct({ x: f32, y: f32 }) });
const Slot = struct({ state: u32, owner: u32 });
const Ring = struct({ head: u32, slots: array(Slot, 4) });

const { next, weight, color } = Node.get;
const { x, y, z, vx, vy, vz } = Particle.get;
const { x: setX, y: setY, z: setZ } = Particle.set;
const { kind, level, flags, delta, live, gain } = Sample.get;
const { hits } = Counter.get;
const { balance: setBalance } = Counter.set;
const { previous } = Header.get;
const { span } = Header.get.tag;
const { state: setState } = Header.set.tag;
const { x: fromX, y: fromY } = Segment.get.from;
const { x: toX, y: toY } = Segment.get.to;
const { slots } = Ring.element;
const { owner } = Slot.get;
const { state: setSlotState } = Slot.set;

// Offsets as one would write them by hand. Before anything is timed, all ways must leave the same bytes.
const [NEXT, WEIGHT, COLOR] = [0, 4, 8];
const [X, Y, Z, VX, VY, VZ] = [0, 8, 16, 24, 32, 40];
const [KIND, LEVEL, FLAGS, DELTA, LIVE, GAIN] = [0, 2, 4, 6, 7, 8];
const [HITS, BALANCE] = [0, 8];
const [PREVIOUS, TAG] = [0, 4];
const [FROM_X, FROM_Y, TO_X, TO_Y] = [0, 4, 8, 12];
const [SLOTS, SLOT_BYTES, STATE, OWNER] = [4, 8, 0, 4];

const LOOPS = [
  {
    name: "walk a list, u32 and u8",
    codec: Node,
    byHand(heap, base, end) {
      let sum = 0;
      let p = base;
      for (let i = base; i < end; i += 12) {
        sum = (sum + heap.u32[(p + WEIGHT) >>> 2] + heap.u8[p + COLOR]) | 0;
        p = heap.u32[(p + NEXT) >>> 2];
      }
      return sum;
    },
    takenOut(heap, base, end) {
      let sum = 0;
      let p = base;
      for (let i = base; i < end; i += 12) {
        sum = (sum + weight(heap, p) + color(heap, p)) | 0;
        p = next(heap, p);
      }
      return sum;
    },
    inPlace(heap, base, end) {
      let sum = 0;
      let p = base;
      for (let i = base; i < end; i += 12) {
        sum = (sum + Node.get.weight(heap, p) + Node.get.color(heap, p)) | 0;
        p = Node.get.next(heap, p);
      }
      return sum;
    },
  },
  {
    name: "move particles, f64",
    codec: Particle,
    byHand(heap, base, end) {
      for (let p = base; p < end; p += 48) {
        heap.f64[(p + X) >>> 3] = heap.f64[(p + X) >>> 3] + heap.f64[(p + VX) >>> 3];
        heap.f64[(p + Y) >>> 3] = heap.f64[(p + Y) >>> 3] + heap.f64[(p + VY) >>> 3];
        heap.f64[(p + Z) >>> 3] = heap.f64[(p + Z) >>> 3] + heap.f64[(p + VZ) >>> 3];
      }
      return heap.f64[(base + X) >>> 3];
    },
    takenOut(heap, base, end) {
      for (let p = base; p < end; p += 48) {
        setX(heap, p, x(heap, p) + vx(heap, p));
        setY(heap, p, y(heap, p) + vy(heap, p));
        setZ(heap, p, z(heap, p) + vz(heap, p));
      }
      return x(heap, base);
    },
    inPlace(heap, base, end) {
      for (let p = base; p < end; p += 48) {
        Particle.set.x(heap, p, Particle.get.x(heap, p) + Particle.get.vx(heap, p));
        Particle.set.y(heap, p, Particle.get.y(heap, p) + Particle.get.vy(heap, p));
        Particle.set.z(heap, p, Particle.get.z(heap, p) + Particle.get.vz(heap, p));
      }
      return Particle.get.x(heap, base);
    },
  },
  {
    name: "sum samples, six kinds",
    codec: Sample,
    byHand(heap, base, end) {
      let sum = 0;
      for (let p = base; p < end; p += 12) {
        if (heap.u8[p + LIVE] !== 0) sum += heap.i16[(p + LEVEL) >>> 1] * heap.f32[(p + GAIN) >>> 2];
        sum += heap.u8[p + KIND] + heap.u16[(p + FLAGS) >>> 1] + heap.i8[p + DELTA];
      }
      return sum;
    },
    takenOut(heap, base, end) {
      let sum = 0;
      for (let p = base; p < end; p += 12) {
        if (live(heap, p)) sum += level(heap, p) * gain(heap, p);
        sum += kind(heap, p) + flags(heap, p) + delta(heap, p);
      }
      return sum;
    },
    inPlace(heap, base, end) {
      let sum = 0;
      for (let p = base; p < end; p += 12) {
        if (Sample.get.live(heap, p)) sum += Sample.get.level(heap, p) * Sample.get.gain(heap, p);
        sum += Sample.get.kind(heap, p) + Sample.get.flags(heap, p) + Sample.get.delta(heap, p);
      }
      return sum;
    },
  },
  {
    // No arithmetic: a BigInt that is computed and then kept in a variable becomes an object, by hand as well.
    name: "copy counters, u64 and i64",
    codec: Counter,
    byHand(heap, base, end) {
      for (let p = base; p < end; p += 16) heap.i64[(p + BALANCE) >>> 3] = heap.u64[(p + HITS) >>> 3];
      return Number(heap.i64[(base + BALANCE) >>> 3]);
    },
    takenOut(heap, base, end) {
      for (let p = base; p < end; p += 16) setBalance(heap, p, hits(heap, p));
      return Number(heap.i64[(base + BALANCE) >>> 3]);
    },
    inPlace(heap, base, end) {
      for (let p = base; p < end; p += 16) Counter.set.balance(heap, p, Counter.get.hits(heap, p));
      return Number(heap.i64[(base + BALANCE) >>> 3]);
    },
  },
  {
    name: "mark headers, bits",
    codec: Header,
    byHand(heap, base, end) {
      let sum = 0;
      for (let p = base; p < end; p += 8) {
        sum = (sum + (heap.u32[(p + TAG) >>> 2] >>> 3) + heap.u32[(p + PREVIOUS) >>> 2]) | 0;
        heap.u32[(p + TAG) >>> 2] = (heap.u32[(p + TAG) >>> 2] & ~7) | (sum & 7);
      }
      return sum;
    },
    takenOut(heap, base, end) {
      let sum = 0;
      for (let p = base; p < end; p += 8) {
        sum = (sum + span(heap, p) + previous(heap, p)) | 0;
        setState(heap, p, sum);
      }
      return sum;
    },
    inPlace(heap, base, end) {
      let sum = 0;
      for (let p = base; p < end; p += 8) {
        sum = (sum + Header.get.tag.span(heap, p) + Header.get.previous(heap, p)) | 0;
        Header.set.tag.state(heap, p, sum);
      }
      return sum;
    },
  },
  {
    name: "measure segments, nested f32",
    codec: Segment,
    byHand(heap, base, end) {
      let sum = 0;
      for (let p = base; p < end; p += 16) {
        const dx = heap.f32[(p + TO_X) >>> 2] - heap.f32[(p + FROM_X) >>> 2];
        const dy = heap.f32[(p + TO_Y) >>> 2] - heap.f32[(p + FROM_Y) >>> 2];
        sum += dx * dx + dy * dy;
      }
      return sum;
    },
    takenOut(heap, base, end) {
      let sum = 0;
      for (let p = base; p < end; p += 16) {
        const dx = toX(heap, p) - fromX(heap, p);
        const dy = toY(heap, p) - fromY(heap, p);
        sum += dx * dx + dy * dy;
      }
      return sum;
    },
    inPlace(heap, base, end) {
      let sum = 0;
      for (let p = base; p < end; p += 16) {
        const dx = Segment.get.to.x(heap, p) - Segment.get.from.x(heap, p);
        const dy = Segment.get.to.y(heap, p) - Segment.get.from.y(heap, p);
        sum += dx * dx + dy * dy;
      }
      return sum;
    },
  },
  {
    name: "scan rings, array of structs",
    codec: Ring,
    byHand(heap, base, end) {
      let sum = 0;
      for (let p = base; p < end; p += 36) {
        for (let i = 0; i < 4; i += 1) {
          const slot = p + SLOTS + i * SLOT_BYTES;
          sum = (sum + heap.u32[(slot + OWNER) >>> 2]) | 0;
          heap.u32[(slot + STATE) >>> 2] = i;
        }
      }
      return sum;
    },
    takenOut(heap, base, end) {
      let sum = 0;
      for (let p = base; p < end; p += 36) {
        for (let i = 0; i < 4; i += 1) {
          const slot = slots(p, i);
          sum = (sum + owner(heap, slot)) | 0;
          setSlotState(heap, slot, i);
        }
      }
      return sum;
    },
    inPlace(heap, base, end) {
      let sum = 0;
      for (let p = base; p < end; p += 36) {
        for (let i = 0; i < 4; i += 1) {
          const slot = Ring.element.slots(p, i);
          sum = (sum + Slot.get.owner(heap, slot)) | 0;
          Slot.set.state(heap, slot, i);
        }
      }
      return sum;
    },
  },
];
const WAYS = ["byHand", "takenOut", "inPlace"];

if (process.argv[2] === "--one") console.log(JSON.stringify(measure()));
else report(Number(process.argv[2] ?? 7));

/** For each loop and way the median over the rounds of this process, in nanoseconds for a record. */
function measure() {
  const heap = new Heap({ bytes: 1 << 20 });
  const runs = LOOPS.map((loop) => {
    const bytes = loop.codec.size * RECORDS;
    const base = heap.malloc(bytes);
    heap.bytes(base, bytes).fill(1);
    return { loop, base, end: base + bytes, samples: WAYS.map(() => []) };
  });
  for (let i = 0; i < RECORDS; i += 1) {
    // An order that jumps about, as lists have.
    const successor = runs[0].base + ((i * 613 + 613) % RECORDS) * Node.size;
    Node.write(heap, runs[0].base + i * Node.size, { next: successor, weight: i, color: 1 });
  }
  for (const run of runs) mustAgree(heap, run);

  let sink = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const { loop, base, end, samples } of runs) {
      for (let turn = 0; turn < WAYS.length; turn += 1) {
        const way = (round + turn) % WAYS.length;
        const begin = process.hrtime.bigint();
        for (let call = 0; call < CALLS_PER_ROUND; call += 1) sink += loop[WAYS[way]](heap, base, end);
        samples[way].push(Number(process.hrtime.bigint() - begin) / (CALLS_PER_ROUND * RECORDS));
      }
    }
  }
  if (Number.isNaN(sink)) throw new Error("a loop returned no number");
  return runs.map(({ samples }) => samples.map((list) => median(list.slice(ROUNDS >>> 2))));
}

function mustAgree(heap, { loop, base, end }) {
  const before = new Uint8Array(heap.image());
  const outcomes = WAYS.map((way) => {
    heap.u8.set(before);
    return `${loop[way](heap, base, end)} ${Buffer.from(heap.image()).toString("latin1")}`;
  });
  if (new Set(outcomes).size > 1) throw new Error(`${loop.name}: the ways differ`);
}

function report(processes) {
  const results = Array.from({ length: processes }, () =>
    JSON.parse(execFileSync(process.execPath, [fileURLToPath(import.meta.url), "--one"], { encoding: "utf8" })),
  );
  const products = [1, 1, 1];
  const row = (name, cells) => console.log(name.padEnd(30), ...cells.map((cell) => cell.padStart(9)));
  row("ns per record", ["by hand", "taken out", "ratio", "in place", "ratio"]);
  LOOPS.forEach(({ name }, loop) => {
    const [byHand, takenOut, inPlace] = WAYS.map((_, way) => median(results.map((result) => result[loop][way])));
    products[1] *= takenOut / byHand;
    products[2] *= inPlace / byHand;
    const ratios = [takenOut / byHand, inPlace / byHand].map((ratio) => ratio.toFixed(3));
    row(name, [byHand.toFixed(2), takenOut.toFixed(2), ratios[0], inPlace.toFixed(2), ratios[1]]);
  });
  const [, takenOut, inPlace] = products.map((product) => (product ** (1 / LOOPS.length)).toFixed(3));
  row("geometric mean", ["", "", takenOut, "", inPlace]);
}

function median(list) {
  return list.toSorted((a, b) => a - b)[list.length >>> 1];
}
