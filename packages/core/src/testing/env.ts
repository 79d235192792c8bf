/**
 * What the environment says of a test run: `FC_SEED` repeats one, `FC_RUNS` makes it longer or shorter.
 *
 * @module
 */
import { HeapError } from "../errors.ts";

const SEED_LIMIT = 2 ** 31;

let printed: number | undefined;

/**
 * The seed of this run: `FC_SEED` when it is set, otherwise one that nobody chose. The first call prints it to stderr, so
 * that a run that fails can be repeated.
 *
 * @returns a whole number, the same at every call in this process
 * @throws HeapError `ERR_INVALID_ARGUMENT` when `FC_SEED` is no whole number
 */
export function seedFromEnv(): number {
  if (printed === undefined) {
    printed = wholeNumber("FC_SEED") ?? Math.floor(Math.random() * SEED_LIMIT);
    console.error(`FC_SEED=${printed}`);
  }
  return printed;
}

/**
 * Scales a number of runs by `FC_RUNS`.
 *
 * @param count - how many there are by default, a whole number from 1
 * @returns `count * FC_RUNS`, rounded, at least 1; `count` itself when `FC_RUNS` is not set
 * @throws HeapError `ERR_INVALID_ARGUMENT` when `FC_RUNS` is not a number above 0
 */
export function runs(count: number): number {
  const text = variable("FC_RUNS");
  if (text === undefined) return count;
  const factor = Number(text);
  if (!(factor > 0 && factor < Infinity)) throw badVariable("FC_RUNS", text, "a number above 0");
  return Math.max(1, Math.round(count * factor));
}

/**
 * Reads an environment variable where there are any: a browser has none.
 *
 * @param name - of the variable
 * @returns its value; undefined when it is empty or not set
 */
export function variable(name: string): string | undefined {
  const host: { readonly env?: Readonly<Record<string, string | undefined>> } | undefined = Reflect.get(
    globalThis,
    "process",
  );
  const value = host?.env?.[name];
  return value === "" ? undefined : value;
}

function wholeNumber(name: string): number | undefined {
  const text = variable(name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw badVariable(name, text, "a whole number");
  return value;
}

function badVariable(name: string, text: string, wanted: string): HeapError {
  return new HeapError("ERR_INVALID_ARGUMENT", `${name} is ${JSON.stringify(text)}; set it to ${wanted}`);
}
