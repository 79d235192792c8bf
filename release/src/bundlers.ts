/**
 * Four bundlers, each with what its users set for a page with a worker.
 *
 * @module
 */
import { copyFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { nodeResolve } from "@rollup/plugin-node-resolve";
import * as esbuild from "esbuild";
import { rollup } from "rollup";
import webpack from "webpack";

import type { Consumer } from "./managers.ts";
import { newUser, runTool } from "./program.ts";

/** Makes a page of the programs in a folder. Returns the folder that it lies in. */
type Bundler = (consumer: Consumer) => Promise<string>;

/** For those that do not know pages: what the page loads is a file, and so is its worker. */
const ENTRIES = ["page.js", "page-worker.js"];

async function withVite({ folder, home }: Consumer): Promise<string> {
  const settings = `export default { build: { outDir: "vite" }, worker: { format: "es" } };`;
  await writeFile(join(folder, "vite.config.js"), settings);
  await runTool("vite", "bin/vite.js", ["build", "--logLevel", "error"], { cwd: folder, env: newUser(home) });
  return join(folder, "vite");
}

async function withEsbuild({ folder }: Consumer): Promise<string> {
  const outdir = join(folder, "esbuild");
  const entryPoints = ENTRIES.map((file) => join(folder, file));
  await esbuild.build({ entryPoints, outdir, bundle: true, minify: true, format: "esm", logLevel: "error" });
  await copyFile(join(folder, "index.html"), join(outdir, "index.html"));
  return outdir;
}

/** Makes a page of one program and the HTML file of its name. Returns the folder that it lies in. */
export async function esbuildPage({ folder }: Consumer, name: string): Promise<string> {
  const outdir = join(folder, name);
  const entryPoints = [join(folder, `${name}.js`)];
  await esbuild.build({ entryPoints, outdir, bundle: true, minify: true, format: "esm", logLevel: "error" });
  await copyFile(join(folder, `${name}.html`), join(outdir, "index.html"));
  return outdir;
}

async function withRollup({ folder }: Consumer): Promise<string> {
  const dir = join(folder, "rollup");
  const input = ENTRIES.map((file) => join(folder, file));
  const refuse = ({ message }: { readonly message: string }): never => {
    throw new Error(message);
  };
  const bundle = await rollup({ input, plugins: [nodeResolve({ browser: true })], onwarn: refuse });
  await bundle.write({ dir, format: "es" });
  await bundle.close();
  await copyFile(join(folder, "index.html"), join(dir, "index.html"));
  return dir;
}

async function withWebpack({ folder }: Consumer): Promise<string> {
  const path = join(folder, "webpack");
  const compiler = webpack({
    mode: "production",
    context: folder,
    entry: "./page.js",
    output: { path, filename: "page.js" },
  });
  const said = await new Promise<string>((resolve, reject) => {
    compiler?.run((error, stats) => {
      if (error === null || error === undefined)
        resolve(stats?.toString({ all: false, errors: true, warnings: true }) ?? "");
      else reject(error);
    });
  });
  if (said !== "") throw new Error(said);
  await copyFile(join(folder, "index.html"), join(path, "index.html"));
  return path;
}

export const BUNDLERS: ReadonlyMap<string, Bundler> = new Map([
  ["vite", withVite],
  ["esbuild", withEsbuild],
  ["rollup", withRollup],
  ["webpack", withWebpack],
]);
