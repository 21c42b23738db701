import { encodeSubject, type Clock, type Key, type RedisConnection } from '@redstart/redis-core';
import { LRUCache } from 'lru-cache';
import type { SubjectCharge } from '../deciding/decided.js';
import type { Plan } from '../deciding/plan.js';
import { forgetChannel } from '../keys.js';
import { ForgottenKeys } from './forgotten-keys.js';
import { NoticeChannel } from '../notices/notice-channel.js';
import type { Outcome } from '../scripts/decide.js';

/** A denial that still holds. */
interface Denial {
  readonly plan: Plan;
  /** By what it is found, though others may have the same name. */
  readonly name: string;
  readonly subjects: readonly Key[];
  readonly keys: readonly string[];
  readonly outcome: Outcome;
  /** On the clock of this process. */
  readonly askedAtMs: number;
  readonly untilMs: number;
}

/** Pub/Sub may lose a message, and a server its data: no denial is believed longer than this without a new one. */
const longestMs = 5_000;

/**
 * Remembers denials, so that a call that can't pass yet is denied without asking Redis: whoever knocks all the time costs nothing.
 *
 * It is found by its plan and subject before any key is built, since nothing else of such a call costs as much. A denial holds until the first of its limits would let the call pass, at most 5 s, counted from when it was asked for, so that it never outlasts
 * the truth. What changes a count by hand (`refund`, `reset`, `set`, `penalize`, `block`) makes every process forget the subject, by Pub/Sub; what changes a policy changes its plans. What may end
 * at any moment, a concurrency limit, is not remembered.
 *
 * It listens from the first denial on, and remembers nothing before it hears what others give back. When notices may have been missed, all denials are forgotten.
 */
export class DenialCache {
  readonly #clock: Clock;
  readonly #notices: NoticeChannel;
  /** In the order of their use. */
  readonly #denials: LRUCache<Denial, true> | undefined;
  readonly #byPlan = new Map<Plan, Map<string, Denial>>();
  /** Those that a key ends. */
  readonly #byKey = new Map<string, Set<Denial>>();
  readonly #forgotten = new ForgottenKeys();

  /** @param maxKeys 0: nothing is ever remembered */
  constructor(connection: RedisConnection, { budgetMs, maxKeys }: { budgetMs: number; maxKeys: number }) {
    this.#clock = connection.clock;
    this.#notices = new NoticeChannel(connection, forgetChannel(connection.keys), budgetMs, {
      onMessage: (keys) => {
        this.#forgetHere(keys.split('\n'));
      },
      onGap: () => {
        this.#forgotten.forgetAll();
        this.#denials?.clear();
      },
    });
    const dispose = (_: true, denial: Denial) => {
      this.#unlist(denial);
    };
    this.#denials = maxKeys === 0 ? undefined : new LRUCache({ max: maxKeys, dispose });
  }

  /** When something was last forgotten: to be told with what was asked for then. */
  get generation(): number {
    return this.#forgotten.now;
  }

  get size(): number {
    return this.#denials?.size ?? 0;
  }

  /** @returns what Redis would answer by now, as far as time alone has passed */
  find(plan: Plan, charges: readonly Pick<SubjectCharge, 'subject'>[]): Outcome | undefined {
    const denial = this.#byPlan.get(plan)?.get(nameOf(charges));
    if (denial === undefined || !isAbout(denial, charges)) return undefined;
    const nowMs = this.#clock.now();
    if (nowMs >= denial.untilMs) {
      this.#denials?.delete(denial);
      return undefined;
    }
    this.#denials?.get(denial);
    return later(denial.outcome, Math.floor((nowMs - denial.askedAtMs) * 1_000));
  }

  /**
   * Takes a denial in, if it can be believed.
   *
   * @param keys whose change ends it
   * @param askedAtMs when the call was sent, on the clock of this process
   * @param generation as it was then
   */
  remember(
    plan: Plan,
    charges: readonly Pick<SubjectCharge, 'subject'>[],
    keys: readonly string[],
    outcome: Outcome,
    askedAtMs: number,
    generation: number,
  ): void {
    if (this.#denials === undefined || this.#forgotten.anySince(generation, keys)) return;
    const waitUs = shortestWait(plan, outcome);
    if (waitUs === undefined) return;
    if (!this.#notices.listening) {
      this.#notices.listen();
      return;
    }
    const untilMs = askedAtMs + Math.min(waitUs / 1_000, longestMs);
    const name = nameOf(charges);
    // A list is its caller's, who may change it.
    const subjects = charges.map(({ subject }) => (typeof subject === 'object' ? [...subject] : subject));
    const listed = this.#byPlan.get(plan) ?? new Map<string, Denial>();
    const before = listed.get(name);
    if (before !== undefined) this.#denials.delete(before);
    const denial = { plan, name, subjects, keys, outcome, askedAtMs, untilMs };
    this.#byPlan.set(plan, listed.set(name, denial));
    for (const key of keys) this.#byKey.set(key, (this.#byKey.get(key) ?? new Set()).add(denial));
    this.#denials.set(denial, true);
  }

  /** Forgets a subject, here at once and in the other processes as soon as they hear of it: those may remember, whether this one does or not. Never rejects. */
  async forget(keys: readonly string[]): Promise<void> {
    this.#forgetHere(keys);
    await this.#notices.tell('forget', keys.join('\n'));
  }

  #forgetHere(keys: readonly string[]): void {
    this.#forgotten.forget(keys);
    for (const key of keys) {
      for (const denial of this.#byKey.get(key) ?? []) this.#denials?.delete(denial);
    }
  }

  #unlist(denial: Denial): void {
    const { plan, name, keys } = denial;
    for (const key of keys) {
      const ended = this.#byKey.get(key);
      ended?.delete(denial);
      if (ended?.size === 0) this.#byKey.delete(key);
    }
    const listed = this.#byPlan.get(plan);
    listed?.delete(name);
    // A plan may never come again.
    if (listed?.size === 0) this.#byPlan.delete(plan);
  }
}

/** A text is its own name, which costs nothing. */
function nameOf([first]: readonly Pick<SubjectCharge, 'subject'>[]): string {
  if (first === undefined) return '';
  return typeof first.subject === 'string' ? first.subject : encodeSubject(first.subject);
}

function isAbout({ subjects }: Denial, charges: readonly Pick<SubjectCharge, 'subject'>[]): boolean {
  for (let index = 0; index < charges.length; index++) {
    if (!isSameKey(subjects[index], charges[index]?.subject)) return false;
  }
  return true;
}

function isSameKey(one: Key | undefined, other: Key | undefined): boolean {
  if (one === other) return true;
  if (typeof one !== 'object' || typeof other !== 'object' || one.length !== other.length) return false;
  return one.every((part, index) => part === other[index]);
}

/** Until the first limit changes its mind; `undefined` when that may be at any moment. */
function shortestWait({ limits }: Plan, { verdicts }: Outcome): number | undefined {
  let shortest: number | undefined;
  for (const [index, { limit, policy }] of limits.entries()) {
    const verdict = verdicts[index];
    if (verdict === undefined || verdict.allowed || !policy.enforce) continue;
    if (limit.kind === 'concurrency' && !verdict.blocked) return undefined;
    shortest = Math.min(shortest ?? Infinity, verdict.retryUs);
  }
  return shortest;
}

function later({ atUs, verdicts }: Outcome, passedUs: number): Outcome {
  return {
    atUs: atUs + passedUs,
    verdicts: verdicts.map(({ allowed, blocked, remaining, retryUs, resetUs }) => ({
      allowed,
      blocked,
      remaining,
      retryUs: allowed ? 0 : Math.max(1, retryUs - passedUs),
      resetUs: Math.max(0, resetUs - passedUs),
      mark: 0,
    })),
  };
}
