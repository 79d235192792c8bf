/**
 * Says how far a run has come: a bar on a terminal, a line per step elsewhere.
 *
 * @module
 */
import { Presets, SingleBar } from "cli-progress";

export interface Progress {
  /** @param steps - how often `step` will be called */
  start(steps: number): void;
  /** @param what - what is being done now */
  step(what: string): void;
  stop(): void;
}

/** @param stream - where it is shown: standard error, so that standard output holds results only */
export function progressOn(stream: NodeJS.WriteStream): Progress {
  return stream.isTTY ? bar(stream) : lines(stream);
}

function bar(stream: NodeJS.WriteStream): Progress {
  const single = new SingleBar(
    { format: "{bar} {value}/{total} {what}", stream, hideCursor: true, clearOnComplete: true },
    Presets.shades_classic,
  );
  return {
    start: (steps) => single.start(steps, 0, { what: "" }),
    step: (what) => single.increment({ what }),
    stop: () => single.stop(),
  };
}

function lines(stream: NodeJS.WriteStream): Progress {
  let steps = 0;
  let done = 0;
  return {
    start: (count) => (steps = count),
    step: (what) => stream.write(`${++done}/${steps} ${what}\n`),
    stop: () => undefined,
  };
}
