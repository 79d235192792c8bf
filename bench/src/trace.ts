/**
 * Reads allocation traces: four header lines (peak live bytes, number of ids, number of operations, `1`), then
 * `a id bytes` allocate, `r id bytes` reallocate, `f id` free. A fourth header line `1 threads` says that each operation
 * ends with a thread id; the order of the lines is a valid linear order, and that is how it is replayed.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { gunzipSync } from "node:zlib";

import { byte, word } from "./typed-array.ts";

export const ALLOCATE = 0 as const;
export const FREE = 1 as const;
export const REALLOCATE = 2 as const;

/** A trace as parallel arrays: operation `i` does `kinds[i]` to block `ids[i]` with `sizes[i]` bytes (0 for a free). */
export interface Trace {
  /** File name without `.rep` and `.gz`. */
  readonly name: string;
  readonly kinds: Uint8Array;
  readonly ids: Uint32Array;
  readonly sizes: Uint32Array;
  /** Ids are 0 to `idCount - 1`. */
  readonly idCount: number;
  /** Highest sum of requested bytes live at once. */
  readonly peakBytes: number;
  /** Ids of the blocks still live after the last operation. */
  readonly leftovers: Uint32Array;
}

/** A trace file that is not one, with the place where that shows. */
export class TraceError extends Error {
  override readonly name = "TraceError";
  readonly file: string;
  /** Counted from 1; 0 when no line can be named. */
  readonly line: number;

  constructor(file: string, line: number, finding: string) {
    super(line === 0 ? `${file}: ${finding}` : `${file}:${line}: ${finding}`);
    this.file = file;
    this.line = line;
  }
}

const HEADER_LINES = 4;
const MAX_BYTES = 0xffff_ffff;
const MAX_IDS = 2 ** 30;
const TRACE_ENDING = /\.m?rep(\.gz)?$/;
const OPERATION = /^([arf]) (\d+)(?: (\d+))?(?: (\d+))?\r?$/;

/** @returns whether the name is that of a trace: `.rep` or `.mrep`, compressed or not */
export function isTraceName(file: string): boolean {
  return TRACE_ENDING.test(file);
}

/**
 * @param file - path of a `.rep` or `.mrep` file, or of one compressed by gzip
 * @throws {TraceError} when the file is no trace, with file and line
 */
export function readTrace(file: string): Trace {
  const bytes = readFileSync(file);
  if (!file.endsWith(".gz")) return parseTrace(bytes.toString("latin1"), file);
  let text: string;
  try {
    text = gunzipSync(bytes).toString("latin1");
  } catch (cause) {
    throw new TraceError(file, 0, `not gzip data (${cause instanceof Error ? cause.message : String(cause)})`);
  }
  return parseTrace(text, file);
}

/**
 * @param text - the whole trace
 * @param file - the name that errors carry
 * @throws {TraceError} at the first line that is not what the format says
 */
export function parseTrace(text: string, file: string): Trace {
  const lines = text.split("\n");
  while (lines.length > 0 && lines.at(-1)?.trim() === "") lines.pop();
  const { idCount, operationCount, threads } = parseHeader(lines, file);
  if (lines.length !== HEADER_LINES + operationCount) {
    const found = lines.length - HEADER_LINES;
    throw new TraceError(file, lines.length, `the header announces ${operationCount} operations, here are ${found}`);
  }
  const kinds = new Uint8Array(operationCount);
  const ids = new Uint32Array(operationCount);
  const sizes = new Uint32Array(operationCount);
  for (let i = 0; i < operationCount; i++) {
    const place = HEADER_LINES + i;
    const match = OPERATION.exec(lines[place] ?? "");
    if (match === null) throw new TraceError(file, place + 1, `not an operation: "${lines[place]}"`);
    const numbers = match.slice(2).filter((field) => field !== undefined);
    const expected = (match[1] === "f" ? 1 : 2) + (threads > 0 ? 1 : 0);
    if (numbers.length !== expected) {
      throw new TraceError(file, place + 1, `${expected} numbers expected, found ${numbers.length}: "${lines[place]}"`);
    }
    const id = Number(numbers[0]);
    const size = match[1] === "f" ? 0 : Number(numbers[1]);
    if (id >= idCount) throw new TraceError(file, place + 1, `id ${id}, but the header announces ${idCount} ids`);
    if (size > MAX_BYTES) throw new TraceError(file, place + 1, `${size} bytes are more than 32 bits can say`);
    if (threads > 0 && Number(numbers.at(-1)) >= threads) {
      throw new TraceError(file, place + 1, `thread ${numbers.at(-1)}, but the header announces ${threads} threads`);
    }
    kinds[i] = match[1] === "a" ? ALLOCATE : match[1] === "f" ? FREE : REALLOCATE;
    ids[i] = id;
    sizes[i] = size;
  }
  const name = basename(file).replace(/(\.rep)?(\.gz)?$/, "");
  return { name, kinds, ids, sizes, idCount, ...account(kinds, ids, sizes, idCount, file) };
}

function parseHeader(
  lines: readonly string[],
  file: string,
): { idCount: number; operationCount: number; threads: number } {
  const names = ["peak live bytes", "the number of ids", "the number of operations", "the weight 1"];
  const values = names.map((name, index) => {
    const fields = (lines[index] ?? "").trim().split(" ");
    const wanted = index === HEADER_LINES - 1 ? fields.length === 1 || fields.length === 2 : fields.length === 1;
    if (!wanted || !fields.every((field) => /^\d{1,15}$/.test(field))) {
      throw new TraceError(file, index + 1, `${name} expected, found "${lines[index] ?? "the end of the file"}"`);
    }
    return fields.map(Number);
  });
  const idCount = values[1]?.[0] ?? 0;
  if (idCount > MAX_IDS) throw new TraceError(file, 2, `${idCount} ids are more than ${MAX_IDS}`);
  return { idCount, operationCount: values[2]?.[0] ?? 0, threads: values[3]?.[1] ?? 0 };
}

/** Follows which blocks are live, and refuses operations on blocks that are not. */
function account(
  kinds: Uint8Array,
  ids: Uint32Array,
  sizes: Uint32Array,
  idCount: number,
  file: string,
): { peakBytes: number; leftovers: Uint32Array } {
  const live = new Uint8Array(idCount);
  const held = new Uint32Array(idCount);
  let liveBytes = 0;
  let peakBytes = 0;
  for (let i = 0; i < kinds.length; i++) {
    const kind = byte(kinds, i);
    const id = word(ids, i);
    const isLive = byte(live, id) === 1;
    if (isLive === (kind === ALLOCATE)) {
      throw new TraceError(file, HEADER_LINES + i + 1, `block ${id} is ${isLive ? "live already" : "not live"}`);
    }
    liveBytes += word(sizes, i) - word(held, id);
    held[id] = word(sizes, i);
    live[id] = kind === FREE ? 0 : 1;
    if (liveBytes > peakBytes) peakBytes = liveBytes;
  }
  return { peakBytes, leftovers: Uint32Array.from(live.keys()).filter((id) => byte(live, id) === 1) };
}
