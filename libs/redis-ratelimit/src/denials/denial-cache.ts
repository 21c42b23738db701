import { isOutage, type RedisConnection } from '@redstart/redis-core';
import { LRUCache } from 'lru-cache';
import type { Plan } from '../deciding/plan.js';
import { callOf } from '../deciding/call-of.js';
import { forgetChannel } from '../keys.js';
import type { Outcome } from '../scripts/decide.js';

/** A denial that still holds. */
interface Denial {
  readonly plan: Plan;
  readonly keys: readonly string[];
  readonly outcome: Outcome;
  /** On the clock of this process. */
  readonly askedAtMs: number;
  readonly untilMs: number;
}

/** Pub/Sub may lose a message, and a server its data: no denial is believed longer than this without a new one. */
const longestMs = 5_000;
/** After a failure to listen. */
const retryMs = 10_000;

/**
 * Remembers denials, so that a call that can't pass yet is denied without asking Redis: whoever knocks all the time costs nothing.
 *
 * A denial holds until the first of its limits would let the call pass, at most 5 s, counted from when it was asked for, so that it never outlasts
 * the truth. What gives units back (`refund`, `reset`, `set`) makes every process forget the subject, by Pub/Sub; what changes a policy changes its plans. What may end
 * at any moment, a concurrency limit, is not remembered.
 *
 * - *deaf*: until the first denial. Nothing is remembered.
 * - *listening*: to what others give back. When messages may have been missed, all denials are forgotten.
 */
export class DenialCache {
  readonly #connection: RedisConnection;
  readonly #budgetMs: number;
  readonly #channel: string;
  readonly #denials: LRUCache<string, Denial> | undefined;
  /** Moves on whenever something is forgotten: a denial that was asked for before may be outdated when it arrives. */
  #generation = 0;
  #state: 'deaf' | 'about to listen' | 'listening' = 'deaf';
  #listenAgainAtMs = -Infinity;

  /** @param maxKeys 0: nothing is ever remembered */
  constructor(connection: RedisConnection, { budgetMs, maxKeys }: { budgetMs: number; maxKeys: number }) {
    this.#connection = connection;
    this.#budgetMs = budgetMs;
    this.#channel = forgetChannel(connection.keys);
    this.#denials = maxKeys === 0 ? undefined : new LRUCache({ max: maxKeys });
  }

  get generation(): number {
    return this.#generation;
  }

  get size(): number {
    return this.#denials?.size ?? 0;
  }

  /** @returns what Redis would answer by now, as far as time alone has passed */
  find(plan: Plan, keys: readonly string[]): Outcome | undefined {
    if (this.#denials === undefined || this.#denials.size === 0) return undefined;
    const name = nameOf(plan, keys);
    const denial = this.#denials.get(name);
    if (denial?.plan !== plan || !keys.every((key, index) => key === denial.keys[index])) return undefined;
    const nowMs = this.#connection.clock.now();
    if (nowMs < denial.untilMs) return later(denial.outcome, Math.floor((nowMs - denial.askedAtMs) * 1_000));
    this.#denials.delete(name);
    return undefined;
  }

  /**
   * Takes a denial in, if it can be believed.
   *
   * @param askedAtMs when the call was sent, on the clock of this process
   * @param generation as it was then
   */
  remember(plan: Plan, keys: readonly string[], outcome: Outcome, askedAtMs: number, generation: number): void {
    if (this.#denials === undefined || generation !== this.#generation) return;
    const waitUs = shortestWait(plan, outcome);
    if (waitUs === undefined) return;
    if (this.#state !== 'listening') {
      this.#listen();
      return;
    }
    const untilMs = askedAtMs + Math.min(waitUs / 1_000, longestMs);
    this.#denials.set(nameOf(plan, keys), { plan, keys, outcome, askedAtMs, untilMs });
  }

  /** Forgets a subject, here at once and in the other processes as soon as they hear of it. Never rejects because of an outage. */
  async forget(keys: readonly string[]): Promise<void> {
    this.#forgetHere(keys);
    if (this.#denials === undefined) return;
    try {
      await this.#connection.call(callOf('forget', this.#budgetMs), (client) =>
        this.#connection.subscriber.publish(client, this.#channel, keys.join('\n')),
      );
    } catch (error) {
      // What the others remember ends by itself soon.
      if (!isOutage(error)) throw error;
    }
  }

  #forgetHere(keys: readonly string[]): void {
    this.#generation += 1;
    if (this.#denials === undefined || this.#denials.size === 0) return;
    for (const [name, denial] of this.#denials.entries()) {
      if (denial.keys.some((key) => keys.includes(key))) this.#denials.delete(name);
    }
  }

  #listen(): void {
    const { clock, subscriber } = this.#connection;
    if (this.#state !== 'deaf' || clock.now() < this.#listenAgainAtMs) return;
    this.#state = 'about to listen';
    const handlers = {
      onMessage: (keys: string) => {
        this.#forgetHere(keys.split('\n'));
      },
      onGap: () => {
        this.#generation += 1;
        this.#denials?.clear();
      },
    };
    // The subscription ends with the connection.
    subscriber.subscribe(this.#channel, handlers).then(
      () => {
        this.#state = 'listening';
      },
      () => {
        this.#state = 'deaf';
        this.#listenAgainAtMs = clock.now() + retryMs;
      },
    );
  }
}

function nameOf({ id }: Plan, [first = '']: readonly string[]): string {
  return `${id} ${first}`;
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
    verdicts: verdicts.map((verdict) => ({
      ...verdict,
      retryUs: verdict.allowed ? 0 : Math.max(1, verdict.retryUs - passedUs),
      resetUs: Math.max(0, verdict.resetUs - passedUs),
      mark: 0,
    })),
  };
}
