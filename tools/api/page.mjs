/**
 * Writes the page of an entry point from API Extractor's model of it: for each export its shape, what it does, what it
 * takes, returns and throws, and its source.
 *
 * @module
 */
import { readDocComment } from "./doc-comment.mjs";

/** The kinds of members, in the order in which a page lists them. */
const HEADINGS = [
  ["Constructor", "ConstructSignature"],
  ["Property", "PropertySignature"],
  ["Method", "MethodSignature"],
];

/**
 * The kinds of exports, in the order in which a page lists them.
 *
 * @type {[heading: string, kinds: string[]][]}
 */
const SECTIONS = [
  ["Functions", ["Function"]],
  ["Classes", ["Class"]],
  ["Values", ["Variable"]],
  ["Types", ["Interface", "TypeAlias"]],
];

/**
 * The names that stand on the page of an entry point.
 *
 * @param {any} model API Extractor's, as JSON
 * @returns {Set<string>}
 */
export function namesIn(model) {
  return new Set(model.members[0].members.map((/** @type {any} */ item) => plainName(item.name)));
}

/**
 * @param {object} options
 * @param {string} options.specifier what users import
 * @param {any} options.model API Extractor's, as JSON
 * @param {string} options.sources the folder that sources are relative to, as seen from the page
 * @param {Set<string>} options.elsewhere names that the package's main page describes
 * @returns {{ page: string, undocumented: string[] }} Markdown; exports without a sentence of their own
 */
export function writePage({ specifier, model, sources, elsewhere }) {
  /** @type {any[]} */
  const items = model.members[0].members.map((/** @type {any} */ item) => ({ ...item, name: plainName(item.name) }));
  const surface = new Surface(items);
  const exported = groupByName(items.filter(isExported));
  const undocumented = [...exported]
    .filter(([, group]) => group.every((item) => readDocComment(item.docComment).summary === ""))
    .map(([name]) => name);

  const lines = [
    `# ${specifier}`,
    "",
    `<!-- Written by \`npm run api\` from the doc comments. Do not edit it. -->`,
    "",
  ];
  for (const [heading, kinds] of SECTIONS) {
    const groups = [...exported].filter(([, [first]]) => kinds.includes(sectionKindOf(exported, first)));
    if (groups.length === 0) continue;
    lines.push(`## ${heading}`, "");
    for (const [name, group] of groups) lines.push(...surface.describe(name, group, sources));
  }
  const named = items.filter((item) => !isExported(item) && surface.isLeft(item) && !elsewhere.has(item.name));
  if (named.length > 0) {
    lines.push("## Types in these signatures", "", "They are named here only, and cannot be imported.", "");
    for (const [name, group] of groupByName(named)) lines.push(...surface.describe(name, group, sources));
  }
  return {
    page: `${lines
      .join("\n")
      .replaceAll(/\n{3,}/g, "\n\n")
      .trimEnd()}\n`,
    undocumented,
  };
}

/**
 * Whether users can import it; what their types name besides is in the model as well.
 *
 * @param {any} item
 */
function isExported(item) {
  return !item.canonicalReference.includes("!~");
}

/**
 * API Extractor numbers names that a global has too.
 *
 * @param {string} name
 */
function plainName(name) {
  return name.replace(/_\d+$/, "");
}

/** All that an entry point shows, and what of it has been described already. */
class Surface {
  /** @param {any[]} items */
  constructor(items) {
    this.byReference = new Map(items.map((item) => [item.canonicalReference, item]));
    /** @type {Set<any>} */
    this.merged = new Set();
  }

  /** @param {any} item */
  isLeft(item) {
    const isType = item.kind === "TypeAlias" || item.kind === "Interface" || item.kind === "Class";
    return isType && !this.merged.has(item) && item.docComment !== "";
  }

  /**
   * @param {string} name
   * @param {any[]} group overloads, or a type and a value of one name
   * @param {string} sources
   */
  describe(name, group, sources) {
    const lines = [`### ${name}`, "", "```ts"];
    for (const item of group) lines.push(shapeOf(item));
    lines.push("```", "");
    for (const item of group) lines.push(...proseOf(item, 0));
    for (const item of group) lines.push(...this.membersOf(item));
    const files = [...new Set(group.map((item) => item.fileUrlPath))];
    lines.push(`Source: ${files.map((file) => `[${file}](${sources}/${file})`).join(", ")}`, "");
    return lines;
  }

  /** @param {any} item */
  membersOf(item) {
    const members = this.collect(item, new Set());
    const lines = [];
    for (const kinds of HEADINGS) {
      const ofKind = members.filter((member) => kinds.includes(member.kind));
      const groups = groupByName(ofKind, (member) => `${member.isStatic ? "static " : ""}${member.name ?? "new"}`);
      for (const group of groups.values()) {
        lines.push(...group.map((member) => `- \`${shapeOf(member)}\``), "");
        for (const member of group) lines.push(...proseOf(member, 2));
      }
    }
    return lines;
  }

  /**
   * The members of a class or an interface, with those that it has from bases which are not exported.
   *
   * @param {any} item
   * @param {Set<string>} seen names of those that are collected
   * @returns {any[]}
   */
  collect(item, seen) {
    const own = (item.members ?? []).filter((/** @type {any} */ member) => {
      const isOfClass = isExported(item) || (member.kind !== "Constructor" && !member.isStatic);
      return isOfClass && member.name !== "[Symbol.hasInstance]" && !seen.has(`${member.isStatic} ${member.name}`);
    });
    for (const member of own) seen.add(`${member.isStatic} ${member.name}`);
    const bases = this.basesOf(item).filter((base) => !isExported(base) && base.members !== undefined);
    for (const base of bases) this.merged.add(base);
    return [...own, ...bases.flatMap((base) => this.collect(base, seen))];
  }

  /**
   * What a class or interface extends; and the class that a type is another name of.
   *
   * @param {any} item
   * @returns {any[]}
   */
  basesOf(item) {
    const ranges = [...(item.extendsTokenRanges ?? []), item.extendsTokenRange];
    if (item.kind === "TypeAlias") ranges.push(item.typeTokenRange);
    return ranges.flatMap((range) => {
      const first = range && item.excerptTokens[range.startIndex];
      const base = first?.kind === "Reference" && this.byReference.get(first.canonicalReference);
      return base && (item.kind !== "TypeAlias" || base.kind === "Class") ? [base] : [];
    });
  }
}

/**
 * A value whose type has the same name is listed once, as what one uses it for: a class.
 *
 * @param {Map<string, any[]>} exported
 * @param {any} first
 */
function sectionKindOf(exported, first) {
  const kinds = new Set(exported.get(first.name)?.map((item) => item.kind));
  return kinds.has("Variable") && kinds.size > 1 ? "Class" : first.kind;
}

/**
 * @param {any[]} items
 * @param {(item: any) => string} nameOf
 * @returns {Map<string, any[]>}
 */
function groupByName(items, nameOf = (item) => item.name) {
  const groups = new Map();
  for (const item of items) groups.set(nameOf(item), [...(groups.get(nameOf(item)) ?? []), item]);
  return groups;
}

/**
 * The declaration, in one line for members.
 *
 * @param {any} item
 */
function shapeOf(item) {
  const text = item.excerptTokens
    .map((/** @type {any} */ token) => (token.kind === "Reference" ? plainName(token.text) : token.text))
    .join("")
    .replace(/^export (declare )?/, "")
    .replace(/_\d+(?=[ <({])/, "")
    .trim();
  if (item.kind === "Variable") return `const ${text.replace(/^\w+/, item.name)};`;
  const isMember = HEADINGS.flat().includes(item.kind);
  return isMember ? text.replaceAll(/\s*\n\s*/g, " ").replace(/;$/, "") : text;
}

/**
 * What a doc comment says.
 *
 * @param {any} item
 * @param {number} indent in spaces
 * @returns {string[]}
 */
function proseOf(item, indent) {
  const doc = readDocComment(item.docComment);
  const lines = [];
  if (doc.summary !== "") lines.push(doc.summary, "");
  const parts = [...doc.params].map(([name, text]) => `- \`${name}\`: ${text}`);
  if (doc.defaultValue !== "") parts.push(`- default: ${doc.defaultValue}`);
  if (doc.returns !== "") parts.push(`- returns ${doc.returns}`);
  parts.push(...doc.throws.map((text) => `- throws ${text}`));
  if (parts.length > 0) lines.push(...parts, "");
  for (const example of doc.examples) lines.push(example, "");
  return lines
    .join("\n")
    .split("\n")
    .map((line) => (line === "" ? "" : " ".repeat(indent) + line));
}
