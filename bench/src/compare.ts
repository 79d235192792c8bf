/**
 * Replays one trace through several allocators: each is verified in a process of its own, then those that passed are
 * timed.
 *
 * @module
 */
import { isNull, isVerification } from "./answers.ts";
import type { Sample, Verification } from "./replay.ts";
import { cutOff, GRACE_MILLISECONDS, noteOn, timeInRounds, type RoundOptions } from "./rounds.ts";
import { Session, type Launch } from "./session.ts";
import type { Spread } from "./statistics.ts";
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

const NO_FIGURES = { nanoseconds: null, utilisation: null, footprint: null, samples: [] } as const;

/**
 * @param prepared - the file that holds the trace in the form of `prepared.ts`
 * @param launches - how each peer is started, in the order of the results
 * @param onStep - called before each step, one per peer and one for the timing, with what it does
 */
export async function compareTrace(
  trace: Trace,
  prepared: string,
  launches: ReadonlyMap<string, Launch>,
  options: RoundOptions,
  onStep: (what: string) => void,
): Promise<TraceFigures> {
  const verified = new Map<string, Verification>();
  const notes = new Map<string, string>();
  for (const [peer, launch] of launches) {
    onStep(`${trace.name}: verifying ${peer}`);
    const outcome = await verify(trace, prepared, launch, options);
    if (typeof outcome === "string") notes.set(peer, outcome);
    else verified.set(peer, outcome);
  }
  const sound = new Map([...launches].filter(([peer]) => verified.has(peer)));
  onStep(`${trace.name}: timing ${[...sound.keys()].join(", ")}`);
  const timed = await timeInRounds(`load ${prepared}`, sound, options);
  const peers = [...launches.keys()].map((peer): PeerFigures => {
    const verification = verified.get(peer);
    if (verification === undefined) return { ...NO_FIGURES, peer, note: notes.get(peer) ?? null };
    const time = timed.get(peer) ?? cutOff(options);
    const footprint = verification.footprint > 0 ? verification.footprint : null;
    return {
      peer,
      nanoseconds: typeof time === "string" ? null : time.clock,
      utilisation: footprint === null ? null : trace.peakBytes / footprint,
      footprint,
      samples: verification.samples,
      note: typeof time === "string" ? time : null,
    };
  });
  return { trace: trace.name, operations: trace.kinds.length, peakBytes: trace.peakBytes, peers };
}

/** @returns the verification, or why there is none that counts */
async function verify(
  trace: Trace,
  prepared: string,
  launch: Launch,
  options: RoundOptions,
): Promise<Verification | string> {
  const session = new Session(launch);
  const patience = options.limitMilliseconds + GRACE_MILLISECONDS;
  try {
    await session.ask(`load ${prepared}`, patience, isNull);
    const verification = await session.ask(`verify ${options.limitMilliseconds}`, patience, isVerification);
    if (verification.fault !== null) return verification.fault;
    return verification.operations < trace.kinds.length ? cutOff(options) : verification;
  } catch (error) {
    return noteOn(error, options);
  } finally {
    session.close();
  }
}
