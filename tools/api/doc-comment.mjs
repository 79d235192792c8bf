/**
 * Reads doc comments as API Extractor writes them into its model: `@tag` lines at their beginning, Markdown in between.
 *
 * @module
 */

/** What API Extractor says of a constructor that has no sentence of its own. */
const OWN_WORDS = "Constructs a new instance of";

/**
 * @typedef {object} DocComment
 * @property {string} summary Markdown
 * @property {Map<string, string>} params Markdown by name, type parameters as well
 * @property {string} returns Markdown
 * @property {string[]} throws Markdown, one for each `@throws`
 * @property {string[]} examples Markdown with fences
 * @property {string} defaultValue Markdown
 */

/**
 * @param {string | undefined} comment with its stars
 * @returns {DocComment}
 */
export function readDocComment(comment) {
  const lines = (comment ?? "")
    .replace(/^\/\*\*\n?/, "")
    .replace(/\s*\*\/\s*$/, "")
    .split("\n")
    .map((line) => line.replace(/^ \* ?/, ""));
  /** @type {DocComment} */
  const doc = { summary: "", params: new Map(), returns: "", throws: [], examples: [], defaultValue: "" };
  for (const block of blocksOf(lines)) {
    const [, tag = "", rest = ""] = /^@(\w+)\s*([^]*)$/.exec(block) ?? [undefined, "", block];
    const text = flow(rest);
    if (tag === "") doc.summary = text.startsWith(OWN_WORDS) ? "" : text;
    else if (tag === "returns") doc.returns = text;
    else if (tag === "throws") doc.throws.push(text);
    else if (tag === "example") doc.examples.push(fenced(rest.trim()));
    else if (tag === "defaultValue") doc.defaultValue = text;
    else if (tag === "param" || tag === "typeParam") {
      const [, name = "", description = ""] = /^(\w+)\s*-\s*([^]*)$/.exec(rest) ?? [];
      doc.params.set(name, flow(description));
    } else if (tag === "remarks") doc.summary += `\n\n${text}`;
  }
  return doc;
}

/**
 * The text before the first tag, and from each tag to the next; tags in fences are code.
 *
 * @param {string[]} lines
 * @returns {string[]}
 */
function blocksOf(lines) {
  const blocks = [""];
  let isCode = false;
  for (const line of lines) {
    if (line.startsWith("```")) isCode = !isCode;
    if (!isCode && /^@\w/.test(line)) blocks.push(line);
    else blocks[blocks.length - 1] += `\n${line}`;
  }
  return blocks.map((block) => block.trim());
}

/**
 * Lines of one paragraph put together, so that a page's lines do not depend on the source's; links to names as names.
 *
 * @param {string} text
 * @returns {string}
 */
function flow(text) {
  return text
    .trim()
    .replaceAll(/\{@link ([^}|]+)(?:\|([^}]+))?\}/g, (_, name, label) => label?.trim() ?? `\`${name.trim()}\``)
    .split(/\n\s*\n/)
    .map((paragraph) => (/^(\s*[-|]|```)/.test(paragraph) ? paragraph : paragraph.replaceAll(/\s*\n\s*/g, " ")))
    .join("\n\n");
}

/**
 * @param {string} code with fences or without
 * @returns {string} with fences
 */
function fenced(code) {
  return code.includes("```") ? code : `\`\`\`ts\n${code}\n\`\`\``;
}
