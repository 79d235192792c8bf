/** What API Extractor knows of an entry point becomes a page. */
import { expect, test } from "vitest";

import { readDocComment } from "../api/doc-comment.mjs";
import { writePage } from "../api/page.mjs";

const COMMENT = `/**
 * Gets a block. As {@link Pool.free},
 * in reverse.
 *
 * @remarks
 *
 * O(1).
 *
 * @param pool - made by \`init\`,
 *  and alive
 *
 * @returns the block
 *
 * @throws
 *
 * HeapError \`ERR_DESTROYED\`
 *
 * @example
 *
 * \`\`\`ts
 * @param here is code
 * get(pool);
 * \`\`\`
 */
`;

test("a doc comment is taken apart; what is in fences is code", () => {
  expect(readDocComment(COMMENT)).toEqual({
    summary: "Gets a block. As `Pool.free`, in reverse.\n\nO(1).",
    params: new Map([["pool", "made by `init`, and alive"]]),
    returns: "the block",
    throws: ["HeapError `ERR_DESTROYED`"],
    examples: ["```ts\n@param here is code\nget(pool);\n```"],
    defaultValue: "",
  });
  expect(readDocComment(undefined).summary).toBe("");
  expect(readDocComment("/**\n * Constructs a new instance of the `Pool` class\n */\n").summary).toBe("");
});

/** An item of API Extractor's model; those that are not exported have `!~` in their reference. */
function item(kind: string, name: string, text: string, more: object = {}): object {
  const excerptTokens = [{ kind: "Content", text }];
  return {
    kind,
    name,
    canonicalReference: `p!${name}`,
    docComment: "",
    excerptTokens,
    fileUrlPath: "src/a.ts",
    ...more,
  };
}

function pageOf(items: object[], elsewhere: string[] = []): ReturnType<typeof writePage> {
  const model = { members: [{ members: items }] };
  return writePage({ specifier: "p", model, sources: "../../packages/p", elsewhere: new Set(elsewhere) });
}

test("a function has its shape, what it takes, returns and throws, and its source", () => {
  const { page, undocumented } = pageOf([
    item("Function", "get", "export declare function get(pool: Pool): Ptr;", { docComment: COMMENT }),
    item("Function", "put", "export declare function put(): void;"),
  ]);
  expect(page).toContain(`### get

\`\`\`ts
function get(pool: Pool): Ptr;
\`\`\`

Gets a block. As \`Pool.free\`, in reverse.

O(1).

- \`pool\`: made by \`init\`, and alive
- returns the block
- throws HeapError \`ERR_DESTROYED\`

\`\`\`ts
@param here is code
get(pool);
\`\`\`

Source: [src/a.ts](../../packages/p/src/a.ts)
`);
  expect(undocumented).toEqual(["put"]);
});

test("members of a base that is not exported stand with the class, once; other types that are named at the end", () => {
  const docComment = "/**\n * A sentence.\n */\n";
  const base = item("Class", "Base", "declare class Base", {
    canonicalReference: "p!~Base",
    docComment,
    members: [item("Method", "free", "free(ptr: Ptr): void;"), item("Method", "malloc", "malloc(): Ptr;")],
  });
  const derived = item("Class", "Pool", "", {
    docComment,
    excerptTokens: [
      { kind: "Content", text: "export declare class Pool extends " },
      { kind: "Reference", text: "Base", canonicalReference: "p!~Base" },
    ],
    extendsTokenRange: { startIndex: 1, endIndex: 2 },
    members: [item("Method", "malloc", "malloc(size: number): Ptr;")],
  });
  const named = item("TypeAlias", "Size", "type Size = number;", { canonicalReference: "p!~Size", docComment });
  const { page } = pageOf([base, derived, named]);
  expect(page).toContain("### Pool\n");
  expect(page).toContain("- `malloc(size: number): Ptr`\n");
  expect(page).toContain("- `free(ptr: Ptr): void`\n");
  expect(page).not.toContain("- `malloc(): Ptr`");
  expect(page).not.toContain("### Base");
  expect(page).toContain("## Types in these signatures\n");
  expect(page).toContain("### Size\n");
  expect(pageOf([base, derived, named], ["Size"]).page).not.toContain("Types in these signatures");
});
