/**
 * What is explored: a few agents, each with a short program, on a heap that has been brought to where it matters.
 *
 * @module
 */
import type { HeapError } from "../../src/errors.ts";
import type { Ptr } from "../../src/ptr.ts";
import type { Budget, Scenario } from "./explore.ts";
import type { Steps } from "./machine.ts";
import type { Change } from "./sources.ts";
import { type Actor, MAGAZINES, type Script, Stage } from "./stage.ts";

/** A scenario on a stage of its own. */
export type Play = (budget: Budget, changes?: readonly Change[]) => Promise<Scenario>;

const NULL = 0 as Ptr;
const SPAN_OF_40 = 48;

/** Two words that nobody but the lock's holder may see differ, and how often the lock's holder had died then. */
class Guarded {
  readonly #stage: Stage;
  readonly #first: number;
  completed = 0;

  constructor(stage: Stage, main: Actor) {
    this.#stage = stage;
    const ptr = stage.before(main, () => stage.malloc(main, 64));
    this.#first = (ptr >>> 2) + 1;
    for (const index of [0, 1, 2]) stage.memory.words[this.#first + index] = 0;
  }

  /** Adds one to both words. */
  *change(actor: Actor): Steps<void> {
    const stage = this.#stage;
    const [first, second, seen] = [this.#first, this.#first + 1, this.#first + 2];
    const deaths = yield* actor.heap.mutex.get$deaths();
    if (deaths !== (yield* stage.read(seen))) {
      yield* stage.write(second, yield* stage.read(first));
      yield* stage.write(seen, deaths);
    }
    const value = yield* stage.read(first);
    if (value !== (yield* stage.read(second))) throw new Error(`${actor.agent.name} is not alone with the lock`);
    yield* stage.write(first, value + 1);
    yield* stage.write(second, value + 1);
  }

  /** As many changes as were completed, but for those of the dead, who may have died before or after. */
  check(): void {
    const stage = this.#stage;
    const value = stage.memory.words[this.#first]!;
    const done = stage.actors.reduce((sum, { rounds }) => sum + rounds, 0);
    const dead = stage.actors.filter(({ agent }) => agent.status === "dead").length;
    if (value < done || value > done + dead) throw new Error(`${done} changes are done, ${value} have been made`);
    stage.expectWhole();
  }
}

/** Takes the lock so many times, and gives up when it is late. */
function locking(guarded: Guarded, rounds: number): Script {
  return function* (actor) {
    const { mutex } = actor.heap;
    for (let round = 0; round < rounds; round += 1) {
      try {
        yield* mutex.acquire();
      } catch (error) {
        if (error instanceof Error && (error as HeapError).code === "ERR_WOULD_BLOCK") return;
        throw error;
      }
      yield* guarded.change(actor);
      yield* mutex.release();
      actor.rounds += 1;
      actor.agent.forgets(actor.rounds);
    }
  };
}

/** Agents that take the lock, each so many times. */
export function lock(rounds: readonly number[]): Play {
  return async (budget, changes = []) => {
    const stage = await Stage.make({ changes });
    const main = stage.supervisor("main");
    const guarded = new Guarded(stage, main);
    for (const [at, each] of rounds.entries()) stage.worker("abc"[at]!, locking(guarded, each), main);
    return stage.scenario(`lock of ${rounds.length}`, budget, () => guarded.check());
  };
}

/** A worker that supervises another one, which dies with it, and a stranger to both. */
export const family: Play = async (budget, changes = []) => {
  const stage = await Stage.make({ changes });
  const main = stage.supervisor("main");
  const guarded = new Guarded(stage, main);
  const parent = stage.foreman("parent", function* () {}, main);
  stage.worker("child", locking(guarded, 1), parent);
  stage.worker("other", locking(guarded, 1), main);
  return stage.scenario("family", budget, () => guarded.check());
};

/** A holder of the lock dies while another one looks at it; a worker that is started in its place takes slot and lock. */
export const successor: Play = async (budget, changes = []) => {
  const stage = await Stage.make({ changes });
  const main = stage.supervisor("main");
  const guarded = new Guarded(stage, main);
  const first = stage.worker("a", locking(guarded, 1), main);
  stage.bystander("b", locking(guarded, 1));
  const inItsPlace: Script = function* (actor) {
    actor.open = yield* stage.attach(0);
    yield* locking(guarded, 1)(actor);
  };
  stage.successor("c", inItsPlace, first);
  return stage.scenario("successor", budget, () => guarded.check());
};

/** The same, but the slot's next agent was waiting for nobody. */
export const stranger: Play = async (budget, changes = []) => {
  const stage = await Stage.make({ changes });
  const main = stage.supervisor("main");
  const guarded = new Guarded(stage, main);
  stage.worker("a", locking(guarded, 1), main);
  stage.stranger("c", function* (actor) {
    actor.open = yield* stage.attach(0);
    yield* locking(guarded, 1)(actor);
  });
  return stage.scenario("stranger", budget, () => guarded.check());
};

/** A holder of the lock dies; another agent takes its slot, and opens the heap a second time. */
export const returning: Play = async (budget, changes = []) => {
  const stage = await Stage.make({ changes });
  const main = stage.supervisor("main");
  const guarded = new Guarded(stage, main);
  stage.worker("a", locking(guarded, 1), main);
  stage.stranger("c", function* (actor) {
    actor.open = yield* stage.attach(0);
    const again = yield* stage.attach(0);
    if (again.slot !== actor.heap.slot)
      throw new Error(`c has slot ${actor.heap.slot} and another slot, ${again.slot}`);
  });
  return stage.scenario("returning", budget, () => guarded.check());
};

/** An agent detaches, and another takes its slot. */
export const departure: Play = async (budget, changes = []) => {
  const stage = await Stage.make({ changes });
  const main = stage.supervisor("main");
  const guarded = new Guarded(stage, main);
  stage.worker(
    "a",
    function* (actor) {
      const ptr = yield* stage.malloc(actor, 24);
      yield* stage.free(actor, ptr);
      // Its magazine is emptied a block at a time.
      actor.inFlight = "any";
      yield* actor.heap.detach();
      actor.inFlight = undefined;
    },
    main,
  );
  stage.bystander("b", locking(guarded, 1));
  return stage.scenario("departure", budget, () => guarded.check());
};

/**
 * One agent refills its magazine and sends a block to the other, which puts it into its own.
 *
 * @param mortal - which of both may be killed
 */
export function refill(mortal: "sender" | "receiver"): Play {
  return async (budget, changes = []) => {
    const stage = await Stage.make({ changes });
    const main = stage.supervisor("main");
    const mail = new Mail(stage, main);
    const scripts: Record<string, Script> = {
      *sender(actor) {
        yield* mail.send(actor, yield* stage.malloc(actor, 8));
        yield* stage.malloc(actor, 8);
      },
      *receiver(actor) {
        const own = yield* stage.malloc(actor, 8);
        const other = yield* mail.receive(actor);
        if (other !== NULL) yield* stage.free(actor, other);
        yield* stage.free(actor, own);
      },
    };
    for (const [name, script] of Object.entries(scripts)) {
      if (name === mortal) stage.worker(name, script, main);
      else stage.bystander(name, script);
    }
    return stage.scenario(`refill, the ${mortal} mortal`, budget, () => stage.expectWhole(mail.content));
  };
}

/** Two agents have full magazines, and each frees a block of the other's. */
export const flush: Play = async (budget, changes = []) => {
  const stage = await Stage.make({ changes });
  const main = stage.supervisor("main");
  const script: Script = function* (actor) {
    const [own] = actor.owned.keys();
    yield* stage.free(actor, own!);
    yield* stage.malloc(actor, 40);
  };
  const a = stage.worker("a", script, main);
  const b = stage.bystander("b", script);
  for (const actor of [a, b]) {
    const ptrs = Array.from({ length: 16 }, () => stage.before(actor, () => stage.malloc(actor, 40)));
    const room = actor.heap.heads + SPAN_OF_40 / 8 + MAGAZINES;
    while (stage.memory.words[room] !== 0) stage.before(actor, () => stage.free(actor, ptrs.pop()!));
  }
  swap(stage, a, b);
  return stage.scenario("flush", budget, () => stage.expectWhole());
};

/** Blocks are cut, merged and cached under the lock; whoever dies, the next one repairs, and may die of it. */
export const recovery: Play = async (budget, changes = []) => {
  const stage = await Stage.make({ changes });
  const main = stage.supervisor("main");
  const a = stage.worker("a", churn(stage, 600, 1500), main);
  const b = stage.worker("b", churn(stage, 700), main);
  for (const actor of [a, b]) {
    for (const size of [600, 200, 800]) stage.before(actor, () => stage.malloc(actor, size));
  }
  return stage.scenario("recovery", budget, () => stage.expectWhole());
};

/** Frees what lies between two others, allocates, frees what is left: cuts, merges, lists. */
function churn(stage: Stage, ...sizes: readonly number[]): Script {
  return function* (actor) {
    const [first, second] = actor.owned.keys();
    yield* stage.free(actor, first!);
    for (const size of sizes) yield* stage.malloc(actor, size);
    yield* stage.free(actor, second!);
  };
}

/** One agent grows the heap and sends a block to the other, whose views end before it. */
export const growth: Play = async (budget, changes = []) => {
  const stage = await Stage.make({ bytes: 1 << 16, maxBytes: 3 << 16, changes });
  const main = stage.supervisor("main");
  const mail = new Mail(stage, main);
  stage.worker(
    "a",
    function* (actor) {
      const ptr = yield* stage.malloc(actor, 70_000);
      if (ptr !== NULL) yield* mail.send(actor, ptr);
    },
    main,
  );
  stage.bystander("b", function* (actor) {
    const ptr = yield* mail.receive(actor);
    if (ptr !== NULL) {
      const u32 = yield* actor.heap.get$u32();
      const mark = actor.owned.get(ptr)!;
      if (u32[ptr >>> 2] !== mark >>> 0) throw new Error(`b finds ${u32[ptr >>> 2]} in the block at ${ptr}`);
      yield* stage.free(actor, ptr);
    }
    yield* stage.malloc(actor, 60_000);
  });
  return stage.scenario("growth", budget, () => stage.expectWhole(mail.content));
};

/** A word by which one program gives a block to another. */
class Mail {
  readonly #stage: Stage;
  readonly #index: number;

  constructor(stage: Stage, main: Actor) {
    this.#stage = stage;
    const ptr = stage.before(main, () => stage.malloc(main, 64));
    this.#index = (ptr >>> 2) + 1;
    stage.memory.words[this.#index] = 0;
  }

  *send(actor: Actor, ptr: Ptr): Steps<void> {
    this.#stage.leaves(actor, ptr);
    yield* this.#stage.exchange(this.#index, ptr);
    actor.inFlight = undefined;
  }

  /** NULL when there is nothing. */
  *receive(actor: Actor): Steps<Ptr> {
    const ptr = (yield* this.#stage.exchange(this.#index, 0)) as Ptr;
    this.#stage.takes(actor, ptr);
    return ptr;
  }

  /** What nobody has received. */
  get content(): readonly Ptr[] {
    const ptr = this.#stage.memory.words[this.#index] as Ptr;
    return ptr === NULL ? [] : [ptr];
  }
}

/** Each has what was the other's. */
function swap(stage: Stage, a: Actor, b: Actor): void {
  const [ofA, ofB] = [[...a.owned.keys()], [...b.owned.keys()]];
  for (const [from, to, ptrs] of [
    [a, b, ofA],
    [b, a, ofB],
  ] as const) {
    for (const ptr of ptrs) {
      stage.leaves(from, ptr);
      stage.takes(to, ptr);
      from.inFlight = undefined;
    }
  }
}
