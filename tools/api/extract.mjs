/**
 * The public surface of an entry point, as API Extractor sees it in the declarations that are published.
 *
 * @module
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Extractor, ExtractorConfig } from "@microsoft/api-extractor";

/** As in tsconfig.base.json, which API Extractor's own compiler is too old to read. */
const COMPILER_OPTIONS = {
  target: "es2022",
  module: "nodenext",
  lib: ["es2022", "esnext.disposable", "es2024.sharedmemory", "es2024.arraybuffer", "dom"],
  types: [],
  strict: true,
  skipLibCheck: true,
};

/** What is forgotten stands on the page all the same, and undocumented exports are found where the page is written. */
const IGNORED = new Set([
  "ae-forgotten-export",
  "ae-undocumented",
  "ae-missing-release-tag",
  // Links to what another entry point exports; pages show the name.
  "ae-unresolved-link",
  "console-api-report-created",
]);

/**
 * @param {string} folder the package's folder
 * @param {import("./entries.mjs").Entry} entry
 * @returns {{ report: string, model: any, findings: string[] }} the text of the API report; the model as JSON; doc
 * comments that cannot be read
 */
export function extract(folder, entry) {
  const scratch = mkdtempSync(join(tmpdir(), "heapwright-api-"));
  const modelPath = join(scratch, "model.api.json");
  /** @type {string[]} */
  const findings = [];
  try {
    const config = ExtractorConfig.prepare({
      configObject: {
        projectFolder: folder,
        mainEntryPointFilePath: entry.declarations,
        newlineKind: "lf",
        compiler: { overrideTsconfig: { compilerOptions: COMPILER_OPTIONS, files: [entry.declarations] } },
        apiReport: {
          enabled: true,
          reportFolder: scratch,
          reportTempFolder: join(scratch, "new"),
          reportFileName: "report",
          includeForgottenExports: true,
        },
        docModel: { enabled: true, apiJsonFilePath: modelPath, includeForgottenExports: true },
        dtsRollup: { enabled: false },
        tsdocMetadata: { enabled: false },
        messages: {
          compilerMessageReporting: { default: { logLevel: /** @type {any} */ ("warning") } },
          extractorMessageReporting: { default: { logLevel: /** @type {any} */ ("warning") } },
          tsdocMessageReporting: { default: { logLevel: /** @type {any} */ ("warning") } },
        },
      },
      configObjectFullPath: undefined,
      packageJsonFullPath: join(folder, "package.json"),
    });
    Extractor.invoke(config, {
      localBuild: true,
      messageCallback(message) {
        message.handled = true;
        const isModuleTag = message.messageId === "tsdoc-undefined-tag" && message.text.includes('"@module"');
        if ((message.logLevel === "warning" || message.logLevel === "error") && !IGNORED.has(message.messageId)) {
          if (!isModuleTag) findings.push(`${message.sourceFilePath}:${message.sourceFileLine}: ${message.text}`);
        }
      },
    });
    return {
      report: readFileSync(join(scratch, "report.api.md"), "utf8"),
      model: JSON.parse(readFileSync(modelPath, "utf8")),
      findings,
    };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
