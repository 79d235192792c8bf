/**
 * What explorations come to, for tests.
 *
 * @module
 */
import { type Budget, explore, type Report } from "./explore.ts";
import type { Play } from "./scenarios.ts";
import type { Change } from "./sources.ts";

/** A scenario and how far it is to be explored. */
export interface Exploration {
  readonly name: string;
  readonly play: Play;
  readonly budget: Budget;
  /** Fewer schedules than these are a sign that nothing is explored. */
  readonly floor: number;
}

/** Explores all of it. Returns how many schedules there were; throws, with the schedule, when one fails. */
export async function expectClean(
  { name, play, budget }: Omit<Exploration, "floor">,
  changes?: readonly Change[],
): Promise<number> {
  const report = explore(await play(budget, changes));
  console.log(`${name}: ${inWords(report)}`);
  if (report.failure === undefined) return report.schedules;
  throw new Error(`${report.failure.error.message}\n${report.failure.schedule.join("\n")}`, {
    cause: report.failure.error,
  });
}

/** Looks for a failure with few pre-emptions first. Prints the schedule that led to it. */
export async function expectFailure(
  { name, play, budget }: Omit<Exploration, "floor">,
  changes: readonly Change[],
): Promise<string> {
  let schedules = 0;
  let seconds = 0;
  for (let preemptions = 0; preemptions <= budget.preemptions; preemptions += 1) {
    const report = explore(await play({ ...budget, preemptions }, changes));
    schedules += report.schedules;
    seconds += report.seconds;
    if (report.failure === undefined) continue;
    const { error, schedule } = report.failure;
    const found = `found in ${schedules} schedules, ${seconds.toFixed(1)} s, with ${preemptions} pre-emptions`;
    console.log(`${name}: ${found}\n${schedule.join("\n")}\n  ${error.message}`);
    return error.message;
  }
  return `nothing found in ${schedules} schedules`;
}

function inWords({ schedules, complete, states, contended, seconds }: Report): string {
  return `${schedules} schedules, ${complete} to their end; ${states} states, ${contended} words; ${seconds.toFixed(1)} s`;
}
