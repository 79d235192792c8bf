/**
 * A running process of one allocator, as the parent sees it: one command at a time, answered by one line of JSON.
 *
 * @module
 */
import { spawn, type ChildProcessByStdio } from "node:child_process";
import { createInterface, type Interface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";

import { isFailure } from "./answers.ts";

const CHILD = fileURLToPath(new URL("./child.js", import.meta.url));

/** How a peer's process is started. */
export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  /** Set beside the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
}

/** @param peer - a name that `loadPeer` knows */
export function launchPeer(peer: string): Launch {
  return { command: process.execPath, args: ["--expose-gc", CHILD, peer] };
}

/** The process did not answer in time and has been ended. */
export class TimeLimitError extends Error {
  override readonly name = "TimeLimitError";
}

export class Session {
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #lines: Interface;
  #complaint = "";

  constructor(launch: Launch) {
    this.#process = spawn(launch.command, launch.args, {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, ...launch.env },
    });
    this.#process.stderr.setEncoding("utf8").on("data", (text: string) => (this.#complaint += text));
    this.#process.on("error", (error) => (this.#complaint += error.message));
    // A process that has gone is noticed through its missing answer.
    this.#process.stdin.on("error", () => undefined);
    this.#lines = createInterface({ input: this.#process.stdout });
  }

  /**
   * @param command - one line
   * @param limit - milliseconds to wait for the answer
   * @param isAnswer - recognises the answer's shape
   * @throws {TimeLimitError} after the limit; an Error when the process fails, ends or answers something else
   */
  ask<T>(command: string, limit: number, isAnswer: (answer: unknown) => answer is T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const ended = (): Error => new Error(`"${command}": the process ended. ${this.#complaint.trim()}`);
      if (this.#process.exitCode !== null || this.#process.signalCode !== null) return reject(ended());
      const settle = (finish: () => void): void => {
        clearTimeout(timer);
        this.#lines.off("line", onLine);
        this.#process.off("close", onClose);
        this.#process.off("error", onError);
        finish();
      };
      const onLine = (line: string): void => {
        const answer: unknown = JSON.parse(line);
        if (isAnswer(answer)) settle(() => resolve(answer));
        else if (isFailure(answer)) settle(() => reject(new Error(answer.error)));
        else settle(() => reject(new Error(`"${command}": unexpected answer ${line}`)));
      };
      const onClose = (): void => settle(() => reject(ended()));
      const onError = (error: Error): void => settle(() => reject(error));
      const timer = setTimeout(() => {
        this.#process.kill("SIGKILL");
        settle(() => reject(new TimeLimitError(`"${command}": no answer within ${limit} ms`)));
      }, limit);
      this.#lines.once("line", onLine);
      this.#process.once("close", onClose).once("error", onError);
      this.#process.stdin.write(`${command}\n`);
    });
  }

  /** Ends the process; it has nothing left to save. */
  close(): void {
    this.#process.kill("SIGKILL");
  }
}
