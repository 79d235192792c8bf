/**
 * Times several processes in rounds, one after another within a round, so that a disturbance of the machine meets all of
 * them alike.
 *
 * @module
 */
import { isNull, isTiming } from "./answers.ts";
import type { Timing } from "./child.ts";
import { Session, TimeLimitError, type Launch } from "./session.ts";
import { spreadOf, type Spread } from "./statistics.ts";

export interface RoundOptions {
  readonly rounds: number;
  /** How long each process runs before the first round: the same wall time for all. */
  readonly warmMilliseconds: number;
  readonly roundMilliseconds: number;
  /** Time for all rounds of one process; a process that has used it up takes no part in further ones. */
  readonly limitMilliseconds: number;
}

/** Nanoseconds per operation. */
export interface Times {
  readonly clock: Spread;
  /** Of all processors and threads. */
  readonly cpu: Spread;
}

/** Beyond the limit a process is not waited for but ended. */
export const GRACE_MILLISECONDS = 2000;

/** @returns what stands in the place of a figure that took too long */
export function cutOff(options: RoundOptions): string {
  return `>${options.limitMilliseconds / 1000} s, cut off`;
}

/** @returns whether a note tells of something wrong, rather than of something slow */
export function isFailure(note: string | null): boolean {
  return note !== null && !note.startsWith(">");
}

/** @returns what stands there when the process did not answer */
export function noteOn(error: unknown, options: RoundOptions): string {
  if (error instanceof TimeLimitError) return cutOff(options);
  return error instanceof Error ? error.message : String(error);
}

/**
 * @param ready - the command that makes the load ready
 * @param launches - how each peer is started
 * @returns nanoseconds per operation by peer, or why there are none
 */
export async function timeInRounds(
  ready: string,
  launches: ReadonlyMap<string, Launch>,
  options: RoundOptions,
): Promise<Map<string, Times | string>> {
  const runners = [...launches].map(([peer, launch]) => new Runner(peer, new Session(launch), options));
  try {
    for (const runner of runners) await runner.start(ready);
    for (let round = 0; round < options.rounds; round++) {
      for (const runner of runners) await runner.round();
    }
  } finally {
    for (const runner of runners) runner.close();
  }
  return new Map(runners.map((runner) => [runner.peer, runner.result()]));
}

class Runner {
  readonly peer: string;
  readonly #session: Session;
  readonly #options: RoundOptions;
  readonly #timings: Timing[] = [];
  #spent = 0;
  #failure: string | null = null;

  constructor(peer: string, session: Session, options: RoundOptions) {
    this.peer = peer;
    this.#session = session;
    this.#options = options;
  }

  async start(ready: string): Promise<void> {
    await this.#within(this.#session.ask(ready, this.#patience(), isNull));
    await this.#run(this.#options.warmMilliseconds);
  }

  async round(): Promise<void> {
    if (this.#timings.length > 0 && this.#spent > this.#options.limitMilliseconds) return;
    const timing = await this.#run(this.#options.roundMilliseconds);
    if (timing !== undefined) this.#timings.push(timing);
  }

  result(): Times | string {
    if (this.#failure !== null) return this.#failure;
    const timings = this.#timings;
    return {
      clock: spreadOf(timings.map(({ nanoseconds }) => nanoseconds)),
      cpu: spreadOf(timings.map(({ cpuNanoseconds }) => cpuNanoseconds)),
    };
  }

  close(): void {
    this.#session.close();
  }

  async #run(milliseconds: number): Promise<Timing | undefined> {
    if (this.#failure !== null) return undefined;
    const start = performance.now();
    const timing = await this.#within(this.#session.ask(`run ${milliseconds}`, this.#patience(), isTiming));
    this.#spent += performance.now() - start;
    return timing;
  }

  async #within<T>(answer: Promise<T>): Promise<T | undefined> {
    try {
      return await answer;
    } catch (error) {
      this.#failure = noteOn(error, this.#options);
      return undefined;
    }
  }

  #patience(): number {
    return this.#options.limitMilliseconds + GRACE_MILLISECONDS;
  }
}
