/**
 * Runs a scenario in every order: depth first over the choices of the scheduler, each schedule from the start, since a
 * generator cannot be copied. What has been reached before (memory, everything that each agent has read, budgets left) is
 * not gone on from a second time.
 *
 * The choices, wherever an agent is about to touch a contended word:
 *
 * - it goes on; or another one does (a pre-emption, unless this one is done, dead or asleep);
 * - it is killed, also before any other store, in its sleep, after it has been woken and before it can do anything, and when
 *   it is done;
 * - a sleeper wakes up by itself; a buffer is the one of before a growth; patience is out.
 *
 * Nobody being able to go on while someone sleeps is a failure, as is whatever a script or the final check
 * throws.
 *
 * @module
 */
import { type Agent, KIND, type Machine } from "./machine.ts";

/** How often a scheduler may do what it need not. */
export interface Budget {
  readonly preemptions: number;
  readonly kills?: number;
  readonly wakes?: number;
  readonly lags?: number;
  readonly lates?: number;
}

/** What is explored. */
export interface Scenario {
  readonly name: string;
  readonly machine: Machine;
  readonly budget: Budget;
  /** Makes the memory and all objects what they are at first. */
  begin(): readonly Agent[];
  /** Adds up what scripts remember that is in no word. */
  digest(add: (value: number) => void): void;
  /** An agent has been killed. */
  died(agent: Agent): void;
  /** Everybody is done: throws if something is wrong. */
  check(): void;
}

export interface Failure {
  readonly error: Error;
  /** What was done, a line each. */
  readonly schedule: readonly string[];
}

export interface Report {
  readonly name: string;
  /** All that were begun, and those of them that were followed to the end: the others came to where one had been. */
  readonly schedules: number;
  readonly complete: number;
  readonly states: number;
  readonly steps: number;
  /** Words at which agents were stopped. */
  readonly contended: number;
  readonly seconds: number;
  readonly failure?: Failure;
}

/** A choice is one of these and the number of an agent. */
const GO = 0;
const KILL = 16;
const WAKE = 32;
const STALE = 48;
const LATE = 64;
const AGENT_MASK = 15;
/** Schedules at random that find out which words are contended, before the first in order. */
const REHEARSALS = 200;
/** Steps of one schedule: more are an endless loop. */
const MOST_STEPS = 20_000;

interface Path {
  readonly options: number[][];
  readonly taken: number[];
}

/** One scenario on its way through all schedules. */
class Exploration {
  readonly #scenario: Scenario;
  readonly #machine: Machine;
  /** For each state the pre-emptions that were left when it was gone on from. */
  readonly #known = new Map<number, number>();
  #agents: readonly Agent[] = [];
  #current: Agent | undefined;
  #left: Required<Budget>;
  #budget: Required<Budget>;
  complete = 0;
  steps = 0;

  constructor(scenario: Scenario, budget: Budget) {
    this.#scenario = scenario;
    this.#machine = scenario.machine;
    this.#budget = { kills: 0, wakes: 0, lags: 0, lates: 0, ...budget };
    this.#left = this.#budget;
  }

  get states(): number {
    return this.#known.size;
  }

  forget(): void {
    this.#known.clear();
    this.complete = 0;
  }

  /**
   * Runs one schedule.
   *
   * @param choose - given the choices, one of them; -1 ends the schedule
   * @returns what went wrong
   */
  run(choose: (options: number[]) => number): Error | undefined {
    const machine = this.#machine;
    this.#left = { ...this.#budget };
    this.#current = undefined;
    this.#agents = this.#scenario.begin();
    machine.hasKills = this.#left.kills > 0;
    machine.hasClock = this.#left.lates > 0;
    machine.begin(this.#agents);
    try {
      for (let steps = 0; ;) {
        const options = this.#options();
        if (options.length === 0) break;
        const choice = options.length === 1 ? options[0]! : choose(options);
        if (choice === -1) return undefined;
        if (this.#apply(choice)) steps += 1;
        this.steps += 1;
        if (steps > MOST_STEPS) throw new Error("nobody gets anywhere: an endless loop");
      }
      const { sleepers } = machine;
      if (sleepers.length > 0)
        throw new Error(`${sleepers.map(({ agent }) => agent.name).join(", ")}: asleep for ever`);
      machine.end();
      this.#scenario.check();
      this.complete += 1;
      return undefined;
    } catch (error) {
      return error as Error;
    } finally {
      machine.end();
    }
  }

  /** Whether this is the first time that everything is as it is now, with so many pre-emptions left. */
  isNew(): boolean {
    const key = this.#key();
    const { preemptions } = this.#left;
    if ((this.#known.get(key) ?? -1) >= preemptions) return false;
    this.#known.set(key, preemptions);
    return true;
  }

  #options(): number[] {
    const current = this.#current;
    const left = this.#left;
    const machine = this.#machine;
    const options: number[] = [];
    if (current !== undefined && machine.isReady(current)) {
      const own = this.#agents.indexOf(current);
      options.push(GO + own);
      if (left.lags > 0 && machine.mayLag(current)) options.push(STALE + own);
      if (left.lates > 0 && current.kind === KIND.NOW) options.push(LATE + own);
      this.#offerKill(current, options);
      if (current.isQuiet) return options;
      if (left.preemptions > 0) {
        for (const [at, agent] of this.#agents.entries()) {
          if (agent !== current && machine.isReady(agent)) options.push(GO + at);
        }
      }
    } else {
      for (const [at, agent] of this.#agents.entries()) if (machine.isReady(agent)) options.push(GO + at);
      // Nobody may depend on waking up by itself.
      if (options.length === 0) return [];
    }
    for (const agent of this.#agents) {
      const isElsewhere = agent.status !== "ready" || agent.kind === KIND.WAKE;
      if (agent !== current && isElsewhere) this.#offerKill(agent, options);
    }
    if (left.wakes > 0) {
      for (const { agent, fiber } of machine.sleepers) {
        if (fiber === undefined) options.push(WAKE + this.#agents.indexOf(agent));
      }
    }
    return options;
  }

  /** Whoever has changed something, or has been woken, since it could have been killed last. */
  #offerKill(agent: Agent, options: number[]): void {
    if (this.#left.kills === 0 || !agent.isMortal || !agent.hasWritten || agent.status === "dead") return;
    agent.hasWritten = false;
    options.push(KILL + this.#agents.indexOf(agent));
    const { parent } = agent;
    if (parent?.isMortal === true && parent.status !== "dead") options.push(KILL + this.#agents.indexOf(parent));
  }

  /** Does what was chosen. Whether that was a step of an agent. */
  #apply(choice: number): boolean {
    const agent = this.#agents[choice & AGENT_MASK]!;
    const machine = this.#machine;
    const left = this.#left as { -readonly [K in keyof Budget]-?: number };
    switch (choice & ~AGENT_MASK) {
      case KILL:
        left.kills -= 1;
        machine.hasKills = left.kills > 0;
        machine.kill(agent);
        this.#scenario.died(agent);
        return false;
      case WAKE:
        left.wakes -= 1;
        machine.wakeUnasked(agent);
        return false;
      case STALE:
        left.lags -= 1;
        this.#resume(agent, machine.performStale(agent).value);
        return true;
      case LATE:
        left.lates -= 1;
        machine.hasClock = left.lates > 0;
        this.#resume(agent, machine.performLate(agent).value);
        return true;
      default: {
        const current = this.#current;
        if (current !== undefined && current !== agent && machine.isReady(current)) left.preemptions -= 1;
        this.#current = agent;
        const result = machine.perform(agent);
        if (result !== undefined) this.#resume(agent, result.value);
        return true;
      }
    }
  }

  #resume(agent: Agent, value: unknown): void {
    this.#machine.agent = agent;
    if (agent.steps.next(value).done === true) agent.status = "done";
  }

  /** A number for everything that what comes next depends on. */
  #key(): number {
    const { hash1, hash2, sleepers } = this.#machine;
    const { kills, wakes, lags, lates } = this.#left;
    let one = Math.imul(hash1 ^ (kills | (wakes << 4) | (lags << 8) | (lates << 12)), 0x9e37_79b1);
    let two = hash2;
    const add = (value: number): void => {
      one = Math.imul(one ^ value ^ (one >>> 15), 0x85eb_ca6b);
      two = (Math.imul(two ^ (two >>> 13), 0xc2b2_ae35) + value) | 0;
    };
    add(this.#current === undefined ? -1 : this.#agents.indexOf(this.#current));
    for (const agent of this.#agents) {
      if (agent.status !== "done" && agent.status !== "dead") {
        add(agent.history1);
        add(agent.history2);
      }
      const status = { ready: 0, asleep: 1, done: 2, dead: 3 }[agent.status];
      add(status | (agent.kind << 2) | (agent.hasWritten ? 64 : 0) | (agent.events.length << 8));
    }
    this.#scenario.digest(add);
    for (const { agent, index } of sleepers) add(Math.imul(agent.bit, 0x1_0001) ^ index);
    return (one >>> 0) * 0x20_0000 + (two >>> 11);
  }
}

/**
 * Explores a scenario.
 *
 * @param scenario - what to run
 * @param mostSchedules - ends the search, incomplete then
 */
export function explore(
  scenario: Scenario,
  budget: Budget = scenario.budget,
  mostSchedules: number = Infinity,
): Report {
  const { machine } = scenario;
  const exploration = new Exploration(scenario, budget);
  const started = performance.now();
  rehearse(exploration);
  let path: Path = { options: [], taken: [] };
  let schedules = 0;
  let failure: Failure | undefined;
  let contended = machine.stops;
  while (schedules < mostSchedules) {
    const { options, taken } = path;
    let depth = 0;
    const fail = exploration.run((offered) => {
      if (depth === options.length) {
        if (!exploration.isNew()) return -1;
        options.push(offered);
        taken.push(0);
      }
      const choice = options[depth]![taken[depth]!]!;
      depth += 1;
      return choice;
    });
    schedules += 1;
    if (machine.stops !== contended) {
      // A word more to stop at: all that was explored so far has not stopped there.
      contended = machine.stops;
      path = { options: [], taken: [] };
      exploration.forget();
      continue;
    }
    if (fail !== undefined) {
      failure = { error: fail, schedule: replay(exploration, machine, path) };
      break;
    }
    while (taken.length > 0 && taken.at(-1)! + 1 === options.at(-1)!.length) {
      taken.pop();
      options.pop();
    }
    if (taken.length === 0) break;
    taken[taken.length - 1]! += 1;
  }
  const { complete, states, steps } = exploration;
  const seconds = (performance.now() - started) / 1000;
  const report = { name: scenario.name, schedules, complete, states, steps, contended, seconds };
  return failure === undefined ? report : { ...report, failure };
}

/** Runs schedules at random, always the same ones. */
function rehearse(exploration: Exploration): void {
  let seed = 1;
  for (let run = 0; run < REHEARSALS; run += 1) {
    exploration.run((options) => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      const isElsewhere = run > 0 && (seed >>> 16) % 8 === 0;
      return isElsewhere ? options[(seed >>> 20) % options.length]! : options[0]!;
    });
  }
  exploration.forget();
  exploration.steps = 0;
}

/** The schedule of a failure once more, in words. */
function replay(exploration: Exploration, machine: Machine, { options, taken }: Path): string[] {
  const lines: string[] = [];
  let depth = 0;
  machine.trace = (agent, site, what) => {
    const place = site === undefined ? "" : `${site.place}: ${site.text}`;
    lines.push(`  ${agent.name.padEnd(8)} ${what.padEnd(32)} ${place}`.trimEnd());
  };
  try {
    exploration.run(() => {
      const choice = options[depth]?.[taken[depth]!] ?? -1;
      depth += 1;
      return choice;
    });
  } finally {
    machine.trace = undefined;
  }
  return lines;
}
