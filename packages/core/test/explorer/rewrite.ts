/**
 * Turns functions into generators that stop at each access to shared words, so that a scheduler can have another agent go
 * on in between. What the explorer runs is the source itself, rewritten:
 *
 * ```text
 *   u32[i]                        (rt.load(u32, i, site) ? yield : rt.value)
 *   u32[i] = v                    (rt.store(u32, i, v, site) ? yield : rt.value)
 *   u32[i] += v                   ($0 = u32, $1 = i, rt.store($0, $1, <load of $0[$1]> + (v), site) ? yield : rt.value)
 *   Atomics.add(i32, i, v)        (rt.atomic("add", site, i32, i, v) ? yield : rt.value)
 *   u32.fill(v, from, to)         (rt.fill(u32, v, from, to, site) ? yield : rt.value)
 *   memory.buffer                 (rt.buffer(memory, site) ? yield : rt.value)
 *   Date.now()                    (rt.now(site) ? yield : rt.value)
 *   release(u32, block)           (yield* release(u32, block))
 *   heap.u32, a getter            (yield* heap.get$u32()), where there is one
 *   new SlotTable(heap)           (yield* rt.make(SlotTable, heap)), whose constructor is *$init
 *   async, await                  nothing: who runs the event loop sees to it
 * ```
 *
 * `rt` answers at once (false, and the result in `rt.value`) where nobody else can notice, and has the agent stop (true)
 * where someone can: then the scheduler does what was asked for, and hands the result to `yield`.
 *
 * Only functions that come to an access are rewritten: those that contain one, and those that call them, by name. What the
 * rewriting does not know makes it throw, so that no access is missed: computed members of objects that are neither views nor
 * among `PLAIN_TABLES`, for one.
 *
 * @module
 */

/** A node of the syntax tree, ESTree's. */
export interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

/** A module without types. */
export interface Module {
  /** As it is imported: `./lock.ts`. */
  readonly path: string;
  readonly code: string;
  readonly program: Node;
  /** Whether its functions are to be rewritten. */
  readonly isStepped: boolean;
}

/** Where an access stands in the source. */
export interface Site {
  readonly place: string;
  readonly text: string;
}

/** Views of the heap's words by name, as variables and as fields. */
const VIEWS = new Set(["u32", "i32", "words", "i32View"]);
/** What a `WebAssembly.Memory` is called. */
const MEMORIES = new Set(["memory", "source"]);
/** Computed members of these are no shared words. */
const PLAIN_TABLES = new Set(["offsets", "place", "STATES"]);
const TYPED_ARRAYS = /^(?:Big)?(?:Int|Uint|Float)\d+Array$/;
/** Stands for a function that waits for a promise; the scheduler has it wait. */
const ASYNC_SLEEP = "sleepAsync";

/** A function of the source. */
interface Fn {
  readonly node: Node;
  readonly module: Module;
  readonly kind: "function" | "method" | "getter" | "constructor" | "arrow" | "generator";
  readonly name: string;
  /** What the class extends that it stands in. */
  readonly parent: string | undefined;
}

/** Which names stand for functions that come to an access. */
interface Stepping {
  readonly functions: Set<string>;
  readonly methods: Set<string>;
  readonly getters: Set<string>;
  /** By their constructors. */
  readonly classes: Set<string>;
  readonly arrows: Set<Node>;
}

export function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && typeof (value as Node).type === "string";
}

/** A part of a node that is there. */
function part(node: Node, key: string): Node {
  const value = node[key];
  if (isNode(value)) return value;
  throw new Error(`${node.type} without ${key}`);
}

function parts(node: Node, key: string): Node[] {
  return (node[key] as unknown[]).filter(isNode);
}

/** The parts of a node as they stand in the text, those that stand twice (`{ a }`) once. */
function childrenOf(node: Node): Node[] {
  const found = Object.values(node).flatMap((value) =>
    Array.isArray(value) ? value.filter(isNode) : isNode(value) ? [value] : [],
  );
  found.sort((a, b) => a.start - b.start || b.end - a.end);
  return found.filter((child, at) => at === 0 || child.start >= found[at - 1]!.end);
}

function isFunction(node: Node): boolean {
  return /^(?:FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type);
}

/** The nodes of a function that are its own, not those of functions in it. */
function* ownNodes(fn: Node): Generator<Node> {
  for (const child of childrenOf(fn)) {
    yield child;
    if (!isFunction(child)) yield* ownNodes(child);
  }
}

/** A name, with its `#` if it is private; "" for anything else. */
function nameOf(node: unknown): string {
  if (!isNode(node)) return "";
  if (node.type === "PrivateIdentifier") return `#${String(node["name"])}`;
  return node.type === "Identifier" ? String(node["name"]) : "";
}

/** The name of a member that is not computed. */
function memberName(node: Node): string {
  return node.type === "MemberExpression" && node["computed"] !== true ? nameOf(node["property"]) : "";
}

function isView(node: Node): boolean {
  return VIEWS.has(nameOf(node)) || VIEWS.has(memberName(node));
}

function isMemory(node: Node): boolean {
  return MEMORIES.has(nameOf(node)) || MEMORIES.has(memberName(node));
}

/** `u32[i]`. */
function isWord(node: Node): boolean {
  if (node.type !== "MemberExpression" || node["computed"] !== true) return false;
  const object = part(node, "object");
  if (isView(object)) return true;
  const name = nameOf(object) || memberName(object);
  if (PLAIN_TABLES.has(name)) return false;
  throw new Error(`is ${name || object.type}[...] a word of the heap? Tell VIEWS or PLAIN_TABLES`);
}

/** `SLOT_RECORD.get.cursors(heap, record)`. */
function isCodec(node: Node): boolean {
  if (node.type !== "CallExpression") return false;
  const callee = part(node, "callee");
  if (memberName(callee) === "") return false;
  const accessors = part(callee, "object");
  return /^[gs]et$/.test(memberName(accessors)) && /^[A-Z_]+$/.test(nameOf(accessors["object"]));
}

/** A call of a method of a global or of a view: `Atomics.load()`, `u32.fill()`. */
function isCallOf(node: Node, object: (node: Node) => boolean, method: RegExp): boolean {
  if (node.type !== "CallExpression") return false;
  const callee = part(node, "callee");
  return method.test(memberName(callee)) && object(part(callee, "object"));
}

const isAtomic = (node: Node): boolean => isCallOf(node, (object) => nameOf(object) === "Atomics", /./);
const isFill = (node: Node): boolean => isCallOf(node, isView, /^(?:fill|copyWithin)$/);
const isGrow = (node: Node): boolean => isCallOf(node, isMemory, /^grow$/);
const isNow = (node: Node): boolean => isCallOf(node, (object) => nameOf(object) === "Date", /^now$/);
const isBuffer = (node: Node): boolean => memberName(node) === "buffer" && isMemory(part(node, "object"));

function isAccess(node: Node): boolean {
  return (
    isWord(node) || isAtomic(node) || isFill(node) || isGrow(node) || isNow(node) || isBuffer(node) || isCodec(node)
  );
}

/** All functions of a module; a class without a constructor has an empty node for one. */
function functionsOf(module: Module): Fn[] {
  const found: Fn[] = [];
  const add = (node: Node, kind: Fn["kind"], name: string, parent?: string): void => {
    found.push({ node, module, kind: node["generator"] === true ? "generator" : kind, name, parent });
  };
  const visit = (node: Node, parent?: string): void => {
    if (node.type === "FunctionDeclaration") add(node, "function", nameOf(node["id"]));
    else if (node.type === "ArrowFunctionExpression") add(node, "arrow", "", parent);
    else if (node.type === "ClassDeclaration") visitClass(node);
    const own = node.type === "ClassDeclaration" ? nameOf(node["superClass"]) : parent;
    for (const child of childrenOf(node)) visit(child, own);
  };
  const visitClass = (node: Node): void => {
    const [name, parent] = [nameOf(node["id"]), nameOf(node["superClass"])];
    const methods = parts(part(node, "body"), "body").filter(({ type }) => type === "MethodDefinition");
    for (const method of methods) {
      const kind = { get: "getter", constructor: "constructor" }[String(method["kind"])] ?? "method";
      const key = part(method, "key");
      const own = method["computed"] === true ? `[${module.code.slice(key.start, key.end)}]` : nameOf(key);
      add(part(method, "value"), kind as Fn["kind"], kind === "constructor" ? name : own, parent);
    }
    if (!methods.some((method) => method["kind"] === "constructor")) {
      add({ type: "ImplicitConstructor", start: node.start, end: node.start }, "constructor", name, parent);
    }
  };
  visit(module.program);
  return found;
}

/** Names of a module's own functions, and of those that it imports from others whose functions are rewritten. */
function knownFunctions(module: Module, modules: readonly Module[]): { stepped: Set<string>; plain: Set<string> } {
  const stepped = new Set<string>();
  const plain = new Set<string>();
  for (const statement of parts(module.program, "body")) {
    if (statement.type === "ImportDeclaration") {
      const from = modules.find(({ path }) => path === part(statement, "source")["value"]);
      for (const specifier of parts(statement, "specifiers")) {
        const name = nameOf(specifier["local"]);
        const isStepped = from?.isStepped === true;
        if (isStepped && nameOf(specifier["imported"]) !== name)
          throw new Error(`${module.path}: ${name}: another name`);
        (isStepped ? stepped : plain).add(name);
      }
    } else {
      const declaration = isNode(statement["declaration"]) ? statement["declaration"] : statement;
      if (declaration.type === "FunctionDeclaration") stepped.add(nameOf(declaration["id"]));
    }
  }
  return { stepped, plain };
}

/** Rewrites modules that belong together. */
export class Rewriting {
  readonly sites: Site[] = [];
  /** Functions that the model has no means for; they throw when they are called. */
  readonly unmodelled: string[] = [];
  readonly #stepping: Stepping = {
    functions: new Set(),
    methods: new Set(),
    getters: new Set(),
    classes: new Set(),
    arrows: new Set(),
  };
  readonly #known = new Map<Module, { stepped: Set<string>; plain: Set<string> }>();
  readonly #functions = new Map<Node, Fn>();

  constructor(modules: readonly Module[]) {
    for (const module of modules) {
      if (!module.isStepped) continue;
      this.#known.set(module, knownFunctions(module, modules));
      for (const fn of functionsOf(module)) this.#functions.set(fn.node, fn);
    }
    // Whoever calls one that steps, steps: until nothing is added.
    while ([...this.#functions.values()].filter((fn) => this.#learn(fn)).length > 0);
  }

  /** Marks a function that comes to an access. Whether that was news. */
  #learn(fn: Fn): boolean {
    const { functions, methods, getters, classes, arrows } = this.#stepping;
    if (fn.kind === "generator" || this.#isStepping(fn)) return false;
    const isInherited = fn.node.type === "ImplicitConstructor" && classes.has(fn.parent ?? "");
    if (!isInherited && ![...ownNodes(fn.node)].some((node) => this.#steps(node, fn))) return false;
    if (fn.kind === "function") functions.add(fn.name);
    else if (fn.kind === "method") methods.add(fn.name);
    else if (fn.kind === "getter") getters.add(fn.name);
    else if (fn.kind === "constructor") classes.add(fn.name);
    else arrows.add(fn.node);
    return true;
  }

  #isStepping({ kind, name, node }: Fn): boolean {
    const { functions, methods, getters, classes, arrows } = this.#stepping;
    if (kind === "function") return functions.has(name);
    if (kind === "method") return methods.has(name);
    if (kind === "getter") return getters.has(name);
    if (kind === "constructor") return classes.has(name);
    return kind === "arrow" && arrows.has(node);
  }

  /** Whether a node of a function is an access, or a call of what comes to one. */
  #steps(node: Node, fn: Fn): boolean {
    if (isAccess(node) || node.type === "AwaitExpression") return true;
    if (node.type === "CallExpression") return this.#callKind(node, fn) !== "plain";
    if (node.type === "NewExpression") return this.#stepping.classes.has(nameOf(node["callee"]));
    if (node.type === "ObjectPattern") return this.#gettersIn(node).length > 0;
    return this.#isGetter(node);
  }

  #gettersIn(pattern: Node): Node[] {
    return parts(pattern, "properties").filter((property) => this.#stepping.getters.has(nameOf(property["key"])));
  }

  #isGetter(node: Node): boolean {
    if (!this.#stepping.getters.has(memberName(node)) || isView(part(node, "object"))) return false;
    return !/^[A-Z_]+$/.test(nameOf(node["object"]));
  }

  /** How a call is to be made. */
  #callKind(call: Node, fn: Fn): "plain" | "stepping" | "dynamic" | "super" | "filter" {
    const callee = part(call, "callee");
    const { functions, methods, classes, arrows } = this.#stepping;
    if (callee.type === "Super") return classes.has(fn.parent ?? "") ? "super" : "plain";
    const member = memberName(callee);
    if (member !== "") {
      if (parts(call, "arguments").some((argument) => arrows.has(argument)) && isArrayMethod(member)) {
        if (member !== "filter") throw new Error(`${member} of a function that steps`);
        return "filter";
      }
      return methods.has(member) ? "stepping" : "plain";
    }
    const name = nameOf(callee);
    if (name === "") return "plain";
    const { stepped, plain } = this.#known.get(fn.module)!;
    if (stepped.has(name)) return functions.has(name) ? "stepping" : "plain";
    // A parameter or a variable: what it holds is known when it is called.
    return plain.has(name) || name in globalThis ? "plain" : "dynamic";
  }

  /** A module as the body of a function of `rt`, `imports` and some globals that returns what is exported. */
  emit(module: Module): string {
    const exported: string[] = [];
    const text = splice(module.code, module.program, (statement) => {
      if (statement.type === "ImportDeclaration") {
        const names = parts(statement, "specifiers").map(
          (specifier) => `${nameOf(specifier["imported"])}: ${nameOf(specifier["local"])}`,
        );
        return `const { ${names.join(", ")} } = imports[${JSON.stringify(part(statement, "source")["value"])}];`;
      }
      if (statement.type !== "ExportNamedDeclaration") return this.#emitted(statement, undefined, module);
      for (const specifier of parts(statement, "specifiers")) {
        exported.push(`${nameOf(specifier["exported"])}: ${nameOf(specifier["local"])}`);
      }
      if (!isNode(statement["declaration"])) return "";
      const declaration = part(statement, "declaration");
      const named = declaration.type === "VariableDeclaration" ? parts(declaration, "declarations") : [declaration];
      exported.push(...named.map((node) => nameOf(node["id"])));
      return this.#emitted(declaration, undefined, module);
    });
    return `"use strict"; ${text}\nreturn { ${exported.join(", ")} };\n//# sourceURL=explorer/${module.path.slice(2)}`;
  }

  #emitted(node: Node, writer: Writer | undefined, module: Module): string {
    const fn = this.#functions.get(node);
    if (fn !== undefined) return this.#emitFunction(node, fn);
    if (writer !== undefined) {
      const special = this.#special(node, writer);
      if (special !== undefined) return special;
    } else if (node.type === "MethodDefinition" && this.#functions.has(part(node, "value"))) {
      return this.#emitMethod(node, module);
    }
    return splice(module.code, node, (child) => this.#emitted(child, writer, module));
  }

  /** A function or an arrow that stands for itself. */
  #emitFunction(node: Node, fn: Fn): string {
    const { code } = fn.module;
    if (!this.#isStepping(fn)) {
      return splice(code, node, (child) => this.#emitted(child, undefined, fn.module));
    }
    const text = `function* ${fn.name}${this.#signatureAndBody(node, fn)}`;
    if (fn.kind === "function") return text;
    const usesThis = [...ownNodes(node)].some(({ type }) => /^(?:ThisExpression|Super)$/.test(type));
    return usesThis ? `(${text}).bind(this)` : `(${text})`;
  }

  #emitMethod(node: Node, module: Module): string {
    const value = part(node, "value");
    const fn = this.#functions.get(value)!;
    const key = module.code.slice(part(node, "key").start, part(node, "key").end);
    if (!this.#isStepping(fn))
      return splice(module.code, node, (child) =>
        child === value ? this.#plainMethod(value, module) : this.#emitted(child, undefined, module),
      );
    if (node["static"] === true) throw new Error(`${module.path}: ${key}: not in the model`);
    const rest = this.#signatureAndBody(value, fn);
    if (fn.kind === "constructor") return `*$init${rest}`;
    if (fn.kind === "getter") return `*get$${key}${rest} get ${key}() { return rt.direct(this.get$${key}()); }`;
    return node["computed"] === true ? `*[${key}]${rest}` : `*${key}${rest}`;
  }

  #plainMethod(value: Node, module: Module): string {
    return splice(module.code, value, (child) => this.#emitted(child, undefined, module));
  }

  /** `(parameters) { body }`. */
  #signatureAndBody(node: Node, fn: Fn): string {
    const { code } = fn.module;
    const params = parts(node, "params");
    const signature = params.map((param) => code.slice(param.start, param.end)).join(", ");
    const body = part(node, "body");
    if (fn.name === ASYNC_SLEEP) return `(${signature}) { rt.waitAsync(${signature}); yield; }`;
    const place = `${fn.module.path.slice(2)} ${fn.name || "(arrow)"}`;
    if (!this.#isModelled(fn)) {
      this.unmodelled.push(place);
      return `(${signature}) { throw new Error("not in the model: ${place}"); }`;
    }
    const writer = new Writer(fn, place);
    const isBlock = body.type === "BlockStatement";
    const text = this.#emitted(body, writer, fn.module);
    const temporaries = writer.temporaries.length === 0 ? "" : `let ${writer.temporaries.join(", ")};`;
    return isBlock ? `(${signature}) {${temporaries}${text}}` : `(${signature}) {${temporaries} return (${text}); }`;
  }

  /** Promises are only waited for by who calls what is in the model. */
  #isModelled(fn: Fn): boolean {
    return ![...ownNodes(fn.node)].some((node) => {
      if (node.type === "NewExpression") return nameOf(node["callee"]) === "Promise";
      if (node.type !== "AwaitExpression") return false;
      const argument = part(node, "argument");
      return argument.type !== "CallExpression" || this.#callKind(argument, fn) !== "stepping";
    });
  }

  /** The text of what is not to stay as it is, inside of a function that steps. */
  #special(node: Node, writer: Writer): string | undefined {
    const { fn } = writer;
    const emit = (child: Node): string => this.#emitted(child, writer, fn.module);
    const all = (call: Node): string => parts(call, "arguments").map(emit).join(", ");
    const site = (): string => this.#site(node, writer);
    const access = (call: string): string => `(rt.${call} ? yield : rt.value)`;
    switch (node.type) {
      case "AwaitExpression":
        return emit(part(node, "argument"));
      case "AssignmentExpression": {
        const left = part(node, "left");
        const right = emit(part(node, "right"));
        if (this.#isGetter(left)) {
          return `${emit(part(left, "object"))}.${memberName(left)} ${String(node["operator"])} ${right}`;
        }
        if (!isWord(left)) return undefined;
        const [view, index] = [emit(part(left, "object")), emit(part(left, "property"))];
        const operator = String(node["operator"]).slice(0, -1);
        if (operator === "") return access(`store(${view}, ${index}, ${right}, ${site()})`);
        const [a, b] = [writer.temporary(), writer.temporary()];
        const old = access(`load(${a}, ${b}, ${site()})`);
        return `(${a} = ${view}, ${b} = ${index}, ${access(`store(${a}, ${b}, ${old} ${operator} (${right}), ${site()})`)})`;
      }
      case "UpdateExpression":
        if (isWord(part(node, "argument"))) throw new Error(`${writer.place}: ++ of a word`);
        return undefined;
      case "VariableDeclarator":
        return this.#emitDestructuring(node, writer);
      case "NewExpression": {
        const name = nameOf(node["callee"]);
        const args = parts(node, "arguments").length === 0 ? "" : `, ${all(node)}`;
        if (TYPED_ARRAYS.test(name)) return `rt.view(${name}${args})`;
        return this.#stepping.classes.has(name) ? `(yield* rt.make(${name}${args}))` : undefined;
      }
      case "MemberExpression": {
        if (isWord(node))
          return access(`load(${emit(part(node, "object"))}, ${emit(part(node, "property"))}, ${site()})`);
        if (isBuffer(node)) return access(`buffer(${emit(part(node, "object"))}, ${site()})`);
        if (!this.#isGetter(node)) return undefined;
        return this.#emitGet(emit(part(node, "object")), memberName(node), writer);
      }
      case "CallExpression": {
        const callee = part(node, "callee");
        if (isAtomic(node)) return access(`atomic("${memberName(callee)}", ${site()}, ${all(node)})`);
        if (isNow(node)) return access(`now(${site()})`);
        if (isFill(node))
          return access(`${memberName(callee)}(${site()}, ${emit(part(callee, "object"))}, ${all(node)})`);
        if (isGrow(node)) return access(`grow(${emit(part(callee, "object"))}, ${all(node)}, ${site()})`);
        if (isCodec(node)) return this.#emitCodec(node, writer);
        const kind = this.#callKind(node, fn);
        if (kind === "super") return `(yield* super.$init(${all(node)}))`;
        if (kind === "filter") return `(yield* rt.filter(${emit(part(callee, "object"))}, ${all(node)}))`;
        const isSuper = callee["object"] !== undefined && part(callee, "object").type === "Super";
        // A generator in place of an arrow function knows no super.
        const call = isSuper
          ? `${fn.parent}.prototype.${memberName(callee)}.call(this, ${all(node)})`
          : `${emit(callee)}(${all(node)})`;
        if (kind === "dynamic") return `(yield* rt.run(${call}))`;
        return kind === "stepping" ? `(yield* ${call})` : undefined;
      }
      default:
        return undefined;
    }
  }

  /** Asks whether the object has the getter that steps: a field of another class may have its name. */
  #emitGet(object: string, name: string, writer: Writer): string {
    const a = writer.temporary();
    return `((${a} = ${object}).get$${name} === undefined ? ${a}.${name} : yield* ${a}.get$${name}())`;
  }

  /** `const { u32, base } = heap`, where `u32` is a getter. */
  #emitDestructuring(node: Node, writer: Writer): string | undefined {
    const pattern = part(node, "id");
    if (pattern.type !== "ObjectPattern" || this.#gettersIn(pattern).length === 0) return undefined;
    const object = writer.temporary();
    const fields = parts(pattern, "properties").map((property, at) => {
      const [name, variable] = [nameOf(property["key"]), nameOf(property["value"])];
      if (name === "" || variable === "") throw new Error(`${writer.place}: a pattern that is not in the model`);
      const from = at === 0 ? `(${object} = ${this.#emitted(part(node, "init"), writer, writer.fn.module)})` : object;
      const isGetter = this.#stepping.getters.has(name);
      return `${variable} = ${isGetter ? this.#emitGet(from, name, writer) : `${from}.${name}`}`;
    });
    return fields.join(", ");
  }

  /** A field of a struct in the heap's words. */
  #emitCodec(node: Node, writer: Writer): string {
    const callee = part(node, "callee");
    const struct = part(part(callee, "object"), "object");
    const [heap, ptr, value] = parts(node, "arguments").map((child) => this.#emitted(child, writer, writer.fn.module));
    const index = `((${ptr}) + ${nameOf(struct)}.offsets.${memberName(callee)}) >>> 2`;
    const site = this.#site(node, writer);
    const call =
      value === undefined
        ? `load(${heap}.words, ${index}, ${site})`
        : `store(${heap}.words, ${index}, ${value}, ${site})`;
    return `(rt.${call} ? yield : rt.value)`;
  }

  #site(node: Node, { fn, place }: Writer): string {
    const text = fn.module.code.slice(node.start, node.end).replaceAll(/\s+/g, " ");
    this.sites.push({ place, text: text.length > 70 ? `${text.slice(0, 67)}...` : text });
    return String(this.sites.length - 1);
  }
}

/** What is known while a function is written. */
class Writer {
  readonly fn: Fn;
  readonly place: string;
  readonly temporaries: string[] = [];

  constructor(fn: Fn, place: string) {
    this.fn = fn;
    this.place = place;
  }

  /** A variable of the function's own. */
  temporary(): string {
    this.temporaries.push(`$${this.temporaries.length}`);
    return this.temporaries.at(-1)!;
  }
}

function isArrayMethod(name: string): boolean {
  return name in Array.prototype || name === "from";
}

/** A node's text with its parts' replaced. */
function splice(code: string, node: Node, emit: (child: Node) => string): string {
  let text = "";
  let at = node.start;
  for (const child of childrenOf(node)) {
    text += code.slice(at, child.start) + emit(child);
    at = child.end;
  }
  return text + code.slice(at, node.end);
}
