/**
 * A clone of this checkout in a temporary folder, and the release that is made from it.
 *
 * @module
 */
import { existsSync, readdirSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

import { bareEnvironment, run } from "./program.ts";

/** The root of the checkout that this file lies in. */
export const ROOT: string = fileURLToPath(new URL("../../", import.meta.url));

/** What is published, by the folders of `packages/`, core first. */
export const PACKAGES: readonly string[] = [
  "core",
  ...readdirSync(join(ROOT, "packages"))
    .filter((name) => name !== "core" && existsSync(join(ROOT, "packages", name, "package.json")))
    .sort(),
];

/** The version of each package. */
export interface Versions {
  readonly core: string;
  readonly pool: string;
  readonly refcount: string;
  readonly [name: string]: string;
}

/** Commits and tags are made by nobody in particular. */
const COMMITTER = {
  GIT_AUTHOR_NAME: "release test",
  GIT_AUTHOR_EMAIL: "release-test@example.invalid",
  GIT_COMMITTER_NAME: "release test",
  GIT_COMMITTER_EMAIL: "release-test@example.invalid",
};

/** A clone, in which nothing is precious. */
export class Checkout {
  readonly folder: string;
  readonly #env: NodeJS.ProcessEnv;

  private constructor(folder: string) {
    this.folder = folder;
    const env = bareEnvironment();
    this.#env = { ...env, ...COMMITTER, PATH: join(folder, "node_modules/.bin") + delimiter + env["PATH"] };
  }

  /** Clones what is committed; a change that is not has no part in a release. */
  static async clone(from: string, folder: string): Promise<Checkout> {
    await run("git", ["clone", "--quiet", from, folder], { cwd: from });
    return new Checkout(folder);
  }

  async run(command: string, ...args: string[]): Promise<string> {
    return (await run(command, args, { cwd: this.folder, env: this.#env })).stdout;
  }

  /** Installs what builds and publishes, from the store of the pnpm that installed ours where it is there. */
  async install(): Promise<void> {
    // With the environment as it is: the registry of the tools may be named there.
    const env = {
      ...process.env,
      CI: "true",
      PATH: `${join(ROOT, "node_modules/.bin")}${delimiter}${process.env["PATH"]}`,
    };
    const filters = ["--filter", "heapwright", "--filter", "./packages/*"];
    await run("pnpm", ["install", "--frozen-lockfile", "--prefer-offline", ...filters], { cwd: this.folder, env });
  }

  /** Adds a change of one package: the text of a changeset, and what it changes in a file. */
  async change(file: string, edit: (text: string) => string, bump: "patch" | "minor", of: string): Promise<void> {
    const path = join(this.folder, file);
    const before = await readFile(path, "utf8");
    const after = edit(before);
    if (after === before) throw new Error(`${file} is as it was`);
    await writeFile(path, after);
    const changeset = `---\n"@heapwright/${of}": ${bump}\n---\n\nA change of ${of}.\n`;
    await writeFile(join(this.folder, ".changeset/release-test.md"), changeset);
    await this.commit(`A change of ${of}`);
  }

  /** Moves the versions, and writes the changelogs, from the changesets that there are. */
  async version(): Promise<Versions> {
    await this.run("changeset", "version");
    await this.commit("Versions");
    return this.versions();
  }

  async versions(): Promise<Versions> {
    const entries = PACKAGES.map(async (name) => {
      const { version } = JSON.parse(await readFile(join(this.folder, `packages/${name}/package.json`), "utf8"));
      return [name, version];
    });
    return Object.fromEntries(await Promise.all(entries));
  }

  async commit(message: string): Promise<void> {
    await this.run("git", "add", "--all");
    await this.run("git", "commit", "--quiet", "--allow-empty", "--no-verify", "--message", message);
  }

  async build(): Promise<void> {
    await this.run("turbo", "run", "build", "--filter=./packages/*");
  }

  /**
   * Publishes the packages whose version the registry does not have.
   *
   * @returns what was published, as `name@version` without the scope
   */
  async publish(registry: string): Promise<string[]> {
    const token = `${registry.replace(/^http:/, "")}:_authToken=nobody`;
    await writeFile(join(this.folder, ".npmrc"), `registry=${registry}\n${token}\n`);
    const before = new Set(await this.#tags());
    // What changesets asks npm about does not heed .npmrc, but only this.
    const env = { ...this.#env, npm_config_registry: registry };
    await run("changeset", ["publish"], { cwd: this.folder, env });
    return (await this.#tags()).filter((tag) => !before.has(tag)).map((tag) => tag.replace("@heapwright/", ""));
  }

  async #tags(): Promise<string[]> {
    return (await this.run("git", "tag", "--list")).split("\n").filter((tag) => tag !== "");
  }
}
