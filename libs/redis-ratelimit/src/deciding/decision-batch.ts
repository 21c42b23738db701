import {
  hashSlot,
  RedisCommandError,
  type RedisCall,
  type RedisConnection,
  type ScriptArgument,
} from '@redstart/redis-core';
import type { Algorithm } from '../algorithms/algorithm.js';
import { decideScript, readAnswers, type Answer, type Outcome } from '../scripts/decide.js';
import type { Plan } from './plan.js';

/** Who waits for an outcome: is called back, which costs less than a promise. One of both is called, once, and throws nothing. */
export interface Asker {
  told(outcome: Outcome): void;
  failed(error: unknown): void;
}

/** Calls that want the same of the same keys. */
interface Entry {
  readonly plan: Plan;
  readonly keys: readonly string[];
  readonly id: string | undefined;
  readonly calls: Asker[];
}

/** A script blocks the server while it runs, so one decides no more entries and calls than these: for about a millisecond. */
const mostEntries = 64;
const mostCalls = 512;
/** So many calls leave together at least; of more, half. */
const fewestCalls = 32;

/**
 * Gathers the calls of one turn of the event loop and has them decided by few scripts: one per Cluster slot, on a single server one in all.
 *
 * The first call opens a batch, and the end of the turn sends it: an immediate, which runs when all sockets that had something to say have been read. So requests
 * that arrived together over many connections are decided together, and no call waits for another. Calls with the same plan on the same keys become one
 * entry, which the script decides call by call: exactly as if they had come one after the other.
 *
 * A key that may not be touched fails its own entry only: the others are then decided one by one. Whatever else Redis refuses a script for fails all of its calls, since some may
 * have been charged.
 *
 * Of many calls only half leave at once, the others in the next turns. From then on they come and go by turns, so that Redis decides some while this process
 * deals with the answers to the others; sent as one, each would wait for the other.
 */
export class DecisionBatch {
  readonly #connection: RedisConnection;
  readonly #call: RedisCall;
  /** In the order of arrival. */
  #entries: Entry[] = [];
  /** The last entry on some first key: a later call may join that one only, or it would pass what came in between. */
  #last = new Map<string, Entry>();
  /** How many calls the entries hold. */
  #waiting = 0;

  constructor(connection: RedisConnection, call: RedisCall) {
    this.#connection = connection;
    this.#call = call;
  }

  /**
   * @param keys one per limit of the plan, then that of the memory of an `exact` call; all in one slot
   * @param asker is told the outcome, or what the connection's `call` throws; a RedisCommandError when a key holds something else
   * @param id of a call whose plan is `named`
   */
  ask(plan: Plan, keys: readonly string[], asker: Asker, id?: string): void {
    if (this.#entries.length === 0) setImmediate(this.#send);
    const [first = ''] = keys;
    let entry = id === undefined ? this.#last.get(first) : undefined;
    if (entry?.plan !== plan || !isSame(entry.keys, keys)) {
      entry = { plan, keys, id, calls: [] };
      this.#entries.push(entry);
      this.#last.set(first, entry);
    }
    entry.calls.push(asker);
    this.#waiting += 1;
  }

  readonly #send = (): void => {
    const entries = this.#leaving();
    if (this.#entries.length > 0) setImmediate(this.#send);
    for (const together of this.#bySlot(entries)) {
      for (const portion of portionsOf(together)) void this.#decide(portion);
    }
  };

  /** Takes the oldest calls out: half of them, or all when they are few. */
  #leaving(): Entry[] {
    let room = Math.max(fewestCalls, Math.ceil(this.#waiting / 2));
    if (room >= this.#waiting) {
      const all = this.#entries;
      this.#waiting = 0;
      this.#entries = [];
      this.#last = new Map();
      return all;
    }
    const leaving: Entry[] = [];
    let emptied = 0;
    for (const oldest of this.#entries) {
      const calls = oldest.calls.splice(0, room);
      room -= calls.length;
      this.#waiting -= calls.length;
      leaving.push({ ...oldest, calls });
      if (oldest.calls.length > 0) break;
      emptied += 1;
      const [first = ''] = oldest.keys;
      // Nobody may join what has left.
      if (this.#last.get(first) === oldest) this.#last.delete(first);
      if (room === 0) break;
    }
    this.#entries.splice(0, emptied);
    return leaving;
  }

  #bySlot(entries: Entry[]): Iterable<Entry[]> {
    if (!this.#connection.cluster || entries.length === 1) return [entries];
    const slots = new Map<number, Entry[]>();
    for (const entry of entries) {
      const slot = hashSlot(entry.keys[0] ?? '');
      const others = slots.get(slot);
      if (others === undefined) slots.set(slot, [entry]);
      else others.push(entry);
    }
    return slots.values();
  }

  async #decide(entries: readonly Entry[]): Promise<void> {
    try {
      const { script, keys, args } = scriptCallOf(entries);
      const reply = await this.#connection.scripts.run(this.#call, script, keys, args);
      const shapes = entries.map(({ plan, calls }) => ({ calls: calls.length, limits: plan.limits.length }));
      readAnswers(reply, shapes).forEach((answer, index) => {
        settle(entries[index]?.calls ?? [], answer, this.#call.operation);
      });
    } catch (error) {
      if (entries.length > 1 && isForOne(error)) for (const entry of entries) void this.#decide([entry]);
      else for (const { calls } of entries) for (const call of calls) call.failed(error);
    }
  }
}

/** What one script may decide at a time. An entry with more calls is decided by several, which the server runs in their order. */
function* portionsOf(entries: readonly Entry[]): Generator<Entry[]> {
  let portion: Entry[] = [];
  let room = mostCalls;
  for (const entry of entries) {
    let { calls } = entry;
    while (calls.length > room) {
      yield [...portion, { ...entry, calls: calls.slice(0, room) }];
      calls = calls.slice(room);
      portion = [];
      room = mostCalls;
    }
    portion.push({ ...entry, calls });
    room -= calls.length;
    if (portion.length < mostEntries && room > 0) continue;
    yield portion;
    portion = [];
    room = mostCalls;
  }
  if (portion.length > 0) yield portion;
}

/** A key that the user of the connection may not touch: the server looks before it runs anything, and would have let the others pass. */
function isForOne(error: unknown): boolean {
  return error instanceof RedisCommandError && error.reason === 'NOPERM';
}

function scriptCallOf(entries: readonly Entry[]) {
  const plans = new Map<Plan, number>();
  const kinds = new Set<Algorithm<never>>();
  const keys: string[] = [];
  const calls: ScriptArgument[] = [];
  for (const { plan, keys: own, id, calls: same } of entries) {
    let index = plans.get(plan);
    if (index === undefined) {
      index = plans.size + 1;
      plans.set(plan, index);
      for (const kind of plan.kinds) kinds.add(kind);
    }
    keys.push(...own);
    calls.push(index, same.length);
    if (id !== undefined) calls.push(id);
  }
  const args: ScriptArgument[] = [plans.size];
  for (const plan of plans.keys()) args.push(...plan.args);
  if (plans.size > 1 || entries.some(({ id, calls: same }) => id !== undefined || same.length > 1)) args.push(...calls);
  return { script: decideScript([...kinds]), keys, args };
}

function settle(calls: readonly Asker[], answer: Answer, operation: string): void {
  calls.forEach((call, index) => {
    const outcome = 'failure' in answer ? undefined : answer[index];
    if (outcome !== undefined) call.told(outcome);
    else
      call.failed(
        new RedisCommandError(`${operation}: ${'failure' in answer ? answer.failure : 'no answer'}.`, 'WRONGTYPE'),
      );
  });
}

function isSame(some: readonly string[], others: readonly string[]): boolean {
  if (some.length !== others.length) return false;
  for (let index = 0; index < some.length; index++) if (some[index] !== others[index]) return false;
  return true;
}
