/**
 * Replays one trace through several allocators: each verified in a process of its own, then all timed in rounds, one
 * after another within a round, so that a disturbance of the machine meets all of them.
 *
 * @module
 */
import { isTiming, isVerification } from "./answers.ts";
import type { Sample, Verification } from "./replay.ts";
import { Session, TimeLimitError, type Launch } from "./session.ts";
import { spreadOf, type Spread } from "./statistics.ts";
import type { Trace } from "./trace.ts";

export interface PeerFigures {
  readonly peer: string;
  /** Per operation; null when the allocator failed or was cut off. */
  readonly nanoseconds: Spread | null;
  /** Peak live payload over footprint; null when the allocator failed or its footprint is not known. */
  readonly utilisation: number | null;
  readonly footprint: number | null;
  readonly samples: readonly Sample[];
  /** Why figures are missing; null when none are. */
  readonly note: string | null;
}

export interface TraceFigures {
  readonly trace: string;
  readonly operations: number;
  readonly peakBytes: number;
  readonly peers: readonly PeerFigures[];
}

export interface CompareOptions {
  readonly rounds: number;
  readonly warmMilliseconds: number;
  readonly roundMilliseconds: number;
  /** Time that one allocator may take to verify one trace, and again to time it. */
  readonly limitMilliseconds: number;
}

/** Beyond the limit a process is no longer asked but ended. */
const GRACE_MILLISECONDS = 2000;

/**
 * @param prepared - the file that holds the trace in the form of `prepared.ts`
 * @param launches - how each peer is started, in the order of the results
 * @param onStep - called before each step with what it does
 */
export async function compareTrace(
  trace: Trace,
  prepared: string,
  launches: ReadonlyMap<string, Launch>,
  options: CompareOptions,
  onStep: (what: string) => void,
): Promise<TraceFigures> {
  const verified = new Map<string, Verification | string>();
  for (const [peer, launch] of launches) {
    onStep(`${trace.name}: verifying ${peer}`);
    verified.set(peer, await verify(trace, prepared, launch, options.limitMilliseconds));
  }
  const sound = [...launches].filter(([peer]) => typeof verified.get(peer) !== "string");
  onStep(`${trace.name}: timing ${sound.map(([peer]) => peer).join(", ")}`);
  const timed = await time(prepared, sound, options);
  const peers = [...launches.keys()].map((peer): PeerFigures => {
    const verification = verified.get(peer) ?? "";
    if (typeof verification === "string") return { ...NO_FIGURES, peer, note: verification };
    const nanoseconds = timed.get(peer) ?? cutOff(options);
    const known = verification.footprint > 0;
    return {
      peer,
      nanoseconds: typeof nanoseconds === "string" ? null : nanoseconds,
      utilisation: known ? trace.peakBytes / verification.footprint : null,
      footprint: known ? verification.footprint : null,
      samples: verification.samples,
      note: typeof nanoseconds === "string" ? nanoseconds : null,
    };
  });
  return { trace: trace.name, operations: trace.kinds.length, peakBytes: trace.peakBytes, peers };
}

const NO_FIGURES = { nanoseconds: null, utilisation: null, footprint: null, samples: [] } as const;

function cutOff(options: CompareOptions): string {
  return `>${options.limitMilliseconds / 1000} s, cut off`;
}

/** @returns the verification, or why there is none that counts */
async function verify(
  trace: Trace,
  prepared: string,
  launch: Launch,
  limitMilliseconds: number,
): Promise<Verification | string> {
  const session = new Session(launch);
  const patience = limitMilliseconds + GRACE_MILLISECONDS;
  try {
    await session.ask(`load ${prepared}`, patience, isNull);
    const verification = await session.ask(`verify ${limitMilliseconds}`, patience, isVerification);
    if (verification.fault !== null) return verification.fault;
    if (verification.operations < trace.kinds.length) return `>${limitMilliseconds / 1000} s, cut off`;
    return verification;
  } catch (error) {
    if (error instanceof TimeLimitError) return `>${limitMilliseconds / 1000} s, cut off`;
    throw error;
  } finally {
    session.close();
  }
}

/** Times all peers in interleaved rounds; one that has used up its time takes no part in further rounds. */
async function time(
  prepared: string,
  launches: readonly (readonly [string, Launch])[],
  options: CompareOptions,
): Promise<Map<string, Spread | string>> {
  const sessions = new Map(launches.map(([peer, launch]) => [peer, new Session(launch)]));
  const spent = new Map<string, number>();
  const times = new Map<string, number[]>();
  const cut = new Set<string>();
  const run = async (peer: string, session: Session, milliseconds: number): Promise<number | undefined> => {
    const patience = options.limitMilliseconds + milliseconds + GRACE_MILLISECONDS;
    const start = performance.now();
    try {
      return (await session.ask(`run ${milliseconds}`, patience, isTiming)).nanoseconds;
    } catch (error) {
      if (!(error instanceof TimeLimitError)) throw error;
      cut.add(peer);
      return undefined;
    } finally {
      spent.set(peer, (spent.get(peer) ?? 0) + performance.now() - start);
    }
  };
  try {
    for (const [peer, session] of sessions) {
      await session.ask(`load ${prepared}`, options.limitMilliseconds + GRACE_MILLISECONDS, isNull);
      await run(peer, session, options.warmMilliseconds);
    }
    for (let round = 0; round < options.rounds; round++) {
      for (const [peer, session] of sessions) {
        const had = times.get(peer) ?? [];
        const tired = (spent.get(peer) ?? 0) > options.limitMilliseconds && had.length > 0;
        if (cut.has(peer) || tired) continue;
        const nanoseconds = await run(peer, session, options.roundMilliseconds);
        if (nanoseconds !== undefined) times.set(peer, [...had, nanoseconds]);
      }
    }
  } finally {
    for (const session of sessions.values()) session.close();
  }
  return new Map(
    launches.map(([peer]) => [peer, cut.has(peer) ? cutOff(options) : spreadOf(times.get(peer) ?? [])]),
  );
}

function isNull(answer: unknown): answer is null {
  return answer === null;
}
